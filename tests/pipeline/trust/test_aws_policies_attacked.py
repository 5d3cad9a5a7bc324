"""Every action by every principal with every evidence in every region, against the policies that a hard workspace is given.

Two tenants, each with a key opened by two fleets of different kinds with several tuples, a broker's store and a signing root. What may be is
listed once; the evaluator of the tests says what is, for each of some ten thousand calls made with every IAM permission there is.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from qnsp_policy.errors import Place
from qnsp_policy.kernel.attestation.values import Alternative, EvidenceKind
from qnsp_policy.pipeline.trust.aws_attested import ATTESTED_ACTIONS, IMAGE, PREFIX
from qnsp_policy.pipeline.trust.aws_key_policy import (
    ADMIN_ACTIONS,
    CONTEXT,
    NEVER_ACTIONS,
    READ_ACTIONS,
    key_policy,
    signing_policy,
)
from qnsp_policy.pipeline.trust.aws_names import Names
from qnsp_policy.pipeline.trust.aws_releases import STORE_ACTIONS, releases
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.rollout import overlapping
from qnsp_policy.pipeline.trust.values import EffectiveGrant, Guardrail, GuardrailKind
from qnsp_policy.testing.iam_evaluator import Request, allowed

NAMES = Names("prod", "cloud", "012345678901", "eu-west-1", "aws")
ADMIN, ENGINE = (f"arn:aws:iam::012345678901:role/{name}" for name in ("keys", "apply"))
ABROAD = "arn:aws:iam::999999999999:role/qnsp/prod/qnsp-prod-cpu"
END = datetime(2027, 1, 1, tzinfo=UTC)
NOW = "2026-11-21T12:00:00Z"
ANY_IAM = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
OTHERS = ("kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKeyPairWithoutPlaintext", "kms:GenerateMac",
          "kms:VerifyMac", "kms:Sign", "kms:Verify", "kms:RetireGrant", "kms:SynchronizeMultiRegionKey",
          "kms:DisableKeyRotation", "kms:ListKeyRotations", "kms:DeriveSharedSecret")  # fmt: skip
EVERY_ACTION = tuple(dict.fromkeys((*ATTESTED_ACTIONS, *ADMIN_ACTIONS, *READ_ACTIONS, *NEVER_ACTIONS, *OTHERS)))


def _nitro(mark: str) -> Alternative:
    return Alternative(f"n{mark}", EvidenceKind.NITRO_ENCLAVE, {f"pcr{n}": f"{n}{mark}" * 48 for n in range(3)})


def _tpm(mark: str) -> Alternative:
    return Alternative(f"t{mark}", EvidenceKind.NITRO_TPM, {"pcr4": f"4{mark}" * 48, "pcr12": "0" * 96})


def _shown(one: Alternative) -> dict[str, str]:
    tpm = one.kind is EvidenceKind.NITRO_TPM
    return {
        IMAGE if name == "pcr0" else f"{PREFIX}{'NitroTPM' if tpm else ''}{name.upper()}": str(value)
        for name, value in one.equals.items()
    }


def _grant(tenant: str, fleet: str, *tuples: Alternative, rails: tuple[Guardrail, ...] = ()) -> EffectiveGrant:
    return EffectiveGrant(f"Grant/{fleet}", "KeyBroker/main", f"Tenant/{tenant}", f"{tenant}/data/x", f"Enclave/{fleet}",
                          "inference", 60, None, END, tuples, rails)  # fmt: skip


A, B, C, REVOKED = _nitro("a"), _nitro("b"), _nitro("c"), _nitro("d")
TA, TB = _tpm("a"), _tpm("b")
DENIED = Guardrail(GuardrailKind.DENIED_CLAIM, "Revocation/bad", (str(REVOKED.equals["pcr0"]),), "pcr0")
GRANTS = {
    "clinic": [_grant("clinic", "cpu", A, B, REVOKED, rails=(DENIED,)), _grant("clinic", "gpu", TA)],
    "bank": [_grant("bank", "bank-cpu", C), _grant("bank", "bank-gpu", TB)],
}
FLEET = {fleet: NAMES.role(fleet) for fleet in ("cpu", "gpu", "bank-cpu", "bank-gpu", "main")}
OPENS = {
    ("clinic", FLEET["cpu"]): [A, B], ("clinic", FLEET["gpu"]): [TA],
    ("bank", FLEET["bank-cpu"]): [C], ("bank", FLEET["bank-gpu"]): [TB],
}  # fmt: skip
PRINCIPALS = (NAMES.root, ADMIN, ENGINE, ABROAD, *FLEET.values())

FULL = {one.name: _shown(one) for one in (A, B, C, REVOKED, TA, TB)}
MIXED = {
    "two-tuples": {**_shown(A), f"{PREFIX}PCR1": _shown(B)[f"{PREFIX}PCR1"]},
    "half": {IMAGE: _shown(A)[IMAGE]},
    "both-kinds": {**_shown(A), **_shown(TB)},
    "debug": {IMAGE: "0" * 96, f"{PREFIX}PCR1": "0" * 96, f"{PREFIX}PCR2": "0" * 96},
    "other-command-line": {**_shown(TA), f"{PREFIX}NitroTPMPCR12": "ee" * 48},
    "enclave-shows-pcr4": {f"{PREFIX}PCR4": "4a" * 48, f"{PREFIX}PCR12": "0" * 96},
    "none": {},
}
EVIDENCE = {**FULL, **MIXED}


@dataclass(frozen=True)
class Key:
    """A key, and what of it is rightful."""

    tenant: str
    policy: dict[str, Any]


@pytest.fixture(scope="module")
def keys() -> list[Key]:
    return [
        Key(tenant, key_policy(resource=f"{tenant}/data/x", root=NAMES.root, admin=ADMIN, sealer=ENGINE,
                               releases=list(releases(grants, NAMES, lambda g, a: (None, Place("x", 1))))))
        for tenant, grants in GRANTS.items()
    ]  # fmt: skip


def _rightful(key: Key, principal: str, action: str, evidence: str, context: str, region: str) -> bool:
    if principal == ABROAD:
        return False
    if action in READ_ACTIONS:
        return principal == ADMIN or principal.startswith("arn:aws:iam::012345678901:")
    if action in ADMIN_ACTIONS:
        return principal == ADMIN
    if action in {"kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext"}:
        return principal == ENGINE and context == f"{key.tenant}/data/x"
    if action != "kms:Decrypt":
        return False
    del region
    full = [_shown(one) for one in OPENS.get((key.tenant, principal), ())]
    # A document of one kind holds no registers of the other; beyond its tuple it may show more.
    met = any(EVIDENCE[evidence].items() >= wanted.items() for wanted in full)
    return met and context == f"{key.tenant}/data/x"


def test_every_call_is_refused_that_no_grant_allows(keys: list[Key]) -> None:
    """Whoever asks, with whatever evidence, context, way and region: what is allowed is what the list says, and no call more."""
    asked = wrong = 0
    for key, principal, action, evidence, context, region in itertools.product(
        keys, PRINCIPALS, EVERY_ACTION, EVIDENCE, ("clinic/data/x", "bank/data/x"), ("eu-west-1", "us-east-2")
    ):
        service = f"ec2.{region}.amazonaws.com" if region != NAMES.region else ""
        more = {"kms:ViaService": service, "kms:GrantIsForAWSResource": "true"} if service else {}
        told = {f"kms:EncryptionContext:{CONTEXT}": context, "aws:CurrentTime": NOW, "aws:RequestedRegion": region,
                **EVIDENCE[evidence], **more}  # fmt: skip
        request = Request(principal, action, told, f"arn:aws:kms:{region}:012345678901:key/1")
        is_ = allowed(request, key.policy, [ANY_IAM] if principal != ABROAD else [])
        asked += 1
        wrong += is_ is not _rightful(key, principal, action, evidence, context, region)
    assert wrong == 0
    assert asked > 10_000


def test_a_revoked_tuple_opens_nothing_though_its_grant_stands(keys: list[Key]) -> None:
    """The guardrail of the revocation leaves its statement out."""
    told = {f"kms:EncryptionContext:{CONTEXT}": "clinic/data/x", "aws:CurrentTime": NOW, **FULL["nd"]}
    assert not allowed(Request(FLEET["cpu"], "kms:Decrypt", told), keys[0].policy, [ANY_IAM])


def test_after_its_end_a_grant_opens_nothing(keys: list[Key]) -> None:
    """By the service's own clock."""
    told = {f"kms:EncryptionContext:{CONTEXT}": "clinic/data/x", **FULL["na"]}
    for moment, opens in ((NOW, True), ("2027-01-01T00:00:01Z", False)):
        request = Request(FLEET["cpu"], "kms:Decrypt", {**told, "aws:CurrentTime": moment})
        assert allowed(request, keys[0].policy, [ANY_IAM]) is opens


def test_a_signing_root_signs_for_one_role_and_opens_nothing() -> None:
    """Every action again, for the key that signs plans: no plaintext, no delegation, one signer, one administrator."""
    policy = signing_policy(root=NAMES.root, admin=ADMIN, signer=ENGINE)
    for principal, action, evidence in itertools.product(PRINCIPALS, EVERY_ACTION, EVIDENCE.values()):
        rightful = (
            (action in READ_ACTIONS and principal != ABROAD) or (action == "kms:Verify" and principal != ABROAD)
            or (action == "kms:Sign" and principal == ENGINE) or (action in ADMIN_ACTIONS and principal == ADMIN)
        )  # fmt: skip
        iam = [ANY_IAM] if principal != ABROAD else []
        assert allowed(Request(principal, action, dict(evidence)), policy, iam) is rightful, (principal, action)


def test_the_stores_key_is_the_brokers() -> None:
    """Its fleet opens and makes data keys with its own tuple; fleets of tenants do neither."""
    store = "broker/main/store"
    opened = [one for grant in [_grant("clinic", "main", A)] for one in releases([grant], NAMES)]
    policy = key_policy(resource=store, root=NAMES.root, admin=ADMIN, sealer=ENGINE,
                        releases=[type(one)(one.principal, one.attested, actions=STORE_ACTIONS) for one in opened])  # fmt: skip
    for principal, action, evidence in itertools.product(PRINCIPALS, ATTESTED_ACTIONS, EVIDENCE):
        told = {f"kms:EncryptionContext:{CONTEXT}": store, "aws:CurrentTime": NOW, **EVIDENCE[evidence]}
        rightful = principal == FLEET["main"] and action in STORE_ACTIONS and evidence in {"na", "both-kinds"}
        iam = [ANY_IAM] if principal != ABROAD else []
        assert allowed(Request(principal, action, told), policy, iam) is rightful, (principal, action, evidence)


@pytest.mark.parametrize(("rails", "opened"), [((), [B, REVOKED]), ((DENIED,), [B])], ids=["replaced", "revoked"])
def test_while_a_fleet_is_replaced_a_revoked_tuple_opens_nothing(
    rails: tuple[Guardrail, ...], opened: list[Alternative]
) -> None:
    """Old values stay beside new ones until the fleet is replaced; what a revocation names does not."""

    def policy(grant: EffectiveGrant) -> ReleasePolicy:
        return ReleasePolicy(grant.broker, grant.tenant, grant.resource, (grant,))

    both = overlapping(
        policy(_grant("clinic", "cpu", REVOKED)), policy(_grant("clinic", "cpu", B, rails=rails)), {"Enclave/cpu"}
    )
    assert len(both.grants[0].alternatives) == 2
    found = [dict(one.attested.conditions) for one in releases(both.grants, NAMES)]
    assert found == [_shown(one) for one in opened]
