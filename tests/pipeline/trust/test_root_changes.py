"""A change of the TrustRoot in the words that approvers sign: what widens, what tightens, whose keys, and what holds afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.trust.root_changes import root_changes, weakens
from qnsp_policy.pipeline.trust.trust_root import ApprovalRule, TrustRootValue
from qnsp_policy.testing.clinic import PEOPLE, Clinic

ALICE, BOB, _, _ = PEOPLE
EVE = "eve@x.example"


def clinic(**changes: Any) -> TrustRootValue:
    return trust_root_value(Clinic(**changes).workspace())


def identity(root: TrustRootValue, name: str, **changes: Any) -> TrustRootValue:
    return replace(root, identities={**root.identities, name: replace(root.identities[name], **changes)})


@pytest.fixture(scope="module")
def root() -> TrustRootValue:
    return clinic()


PAIRS: dict[str, tuple[dict[str, Any], str, str]] = {
    "another approval": (
        {"change": {"default: 1": "default: 2"}},
        "approvals of any change: 1 by any approver -> 2",
        "^",
    ),
    "a findings level": ({"change": {"failOn: high": "failOn: low"}}, "block a plan from severity: high -> low", "^"),
    "a lifetime": (
        {"change": {"planLifetime: 24h": "planLifetime: 25h"}},
        "a plan may wait for its apply: 24h -> 25h",
        "!",
    ),
    "production": (
        {"change": {"environment: development": "environment: production"}},
        "environment: development -> production",
        "^",
    ),
    "a threshold": ({"threshold": 2}, "approvals of a change of the TrustRoot: 1 -> 2", "^"),
    "an auditor": ({"people": {**PEOPLE, EVE: ("auditor",)}}, f"{EVE} is new: auditor", "!"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_each_difference_is_told_with_its_direction_and_its_opposite(root: TrustRootValue, name: str) -> None:
    """One line says it, and going back turns the sign."""
    changed, told, sign = PAIRS[name]
    there, back = root_changes(root, clinic(**changed)), root_changes(clinic(**changed), root)
    assert [line[0] for line in there if told in line] == [sign]
    signed = [line[0] for line in back if line[0] in "!^>"]
    assert signed == ["!" if sign == "^" else "^"]
    assert weakens(there) == (sign == "!")
    assert weakens(back) == (sign == "^")


def test_roles_go_each_its_way(root: TrustRootValue) -> None:
    """Gained and lost are two lines."""
    lines = root_changes(root, identity(root, BOB, roles=(root.identities[BOB].roles - {"security"}) | {"author"}))
    assert f"! WEAKENED  {BOB} becomes author" in lines
    assert f"^ STRENGTHENED  {BOB} is no longer security" in lines


def test_other_keys_are_told_whole(root: TrustRootValue) -> None:
    """Old and new thumbprints of both keys, to be compared with what their owner reads out."""
    bob, alice = root.identities[BOB], root.identities[ALICE]
    other = identity(replace(root, identities={BOB: bob}), BOB, signers=alice.signers)
    lines = root_changes(replace(root, identities={BOB: bob}), other)
    assert lines[0] == f"> REPLACED  {BOB} signs with other keys, or for another time"
    for signer in (*bob.signers, *alice.signers):
        for key in signer.public_keys:
            assert f"      {key.algorithm}  {key.key_id}" in lines
    assert not weakens(lines)


@pytest.mark.parametrize(("days", "sign"), [(1, "!"), (-1, "^")], ids=["longer", "shorter"])
def test_the_same_keys_for_another_time_have_a_direction(root: TrustRootValue, days: int, sign: str) -> None:
    """Longer is wider."""
    bob = root.identities[BOB]
    signers = tuple(replace(signer, expires=signer.expires + timedelta(days=days)) for signer in bob.signers)
    assert root_changes(root, identity(root, BOB, signers=signers))[0].startswith(sign)


def test_a_signer_more_and_a_signer_less(root: TrustRootValue) -> None:
    """One more way to sign is wider."""
    bob = root.identities[BOB]
    more = identity(
        root, BOB, signers=(*bob.signers, replace(bob.signers[0], expires=bob.signers[0].expires + timedelta(1)))
    )
    assert root_changes(root, more)[0] == f"! WEAKENED  {BOB} may sign with more keys"
    assert root_changes(more, root)[0] == f"^ STRENGTHENED  {BOB} may sign with fewer keys"


def test_a_role_that_is_given_up_is_wider_whatever_the_number(root: TrustRootValue) -> None:
    """Two of anybody are not one of security."""
    strict = replace(root, approvals=replace(root.approvals, weaken=ApprovalRule(1, "security")))
    loose = replace(root, approvals=replace(root.approvals, weaken=ApprovalRule(2)))
    assert root_changes(strict, loose)[0].startswith(
        "! WEAKENED  approvals of weakened trust: 1 by security -> 2 by any approver"
    )


def test_anchors_by_digest(root: TrustRootValue) -> None:
    """A vendor's root that is accepted is wider; its certificate is named, not printed."""
    anchor = {"vendor": "amd", "line": "Milan", "assurance": "simulated", "certificate": "PEM"}
    lines = root_changes(replace(root, anchors=()), replace(root, anchors=(anchor,)))
    assert lines[0].startswith("! WEAKENED  amd Milan simulated is accepted as a vendor's root: certificate sha256:")
    assert root_changes(replace(root, anchors=(anchor,)), replace(root, anchors=()))[0].startswith("^ STRENGTHENED")


def test_the_end_says_who_may_do_what(root: TrustRootValue) -> None:
    """Without knowing what stood before."""
    lines = root_changes(root, replace(root, version=root.version + 1))
    assert lines[0].startswith(f"afterwards plans are written by: {ALICE}")
    assert f"{BOB} (" in lines[1]
    assert lines[-1] == f"TrustRoot version {root.version} -> {root.version + 1}"
    assert root_changes(root, replace(root, identities={}))[-4:-2] == [
        "afterwards plans are written by: nobody",
        "afterwards plans are approved by: nobody",
    ]
