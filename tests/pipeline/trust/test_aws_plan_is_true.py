"""What a plan says of keys in KMS follows from the grants that approvers read, or nobody verifies the plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import PlanRefused
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.consistency import check_payload
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.trust.objects import unit_digest
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.testing.aws_examples import CLOUD_TEMPLATES, initialised, planned

Payload = dict[str, Any]
Plans = Mapping[str, tuple[Payload, TrustRootValue]]
MALLORY = "arn:aws:iam::012345678901:role/mallory"


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    found = {}
    for template in CLOUD_TEMPLATES:
        root = initialised(tmp_path_factory.mktemp(template), template)
        found[template] = (json.loads(jcs(dict(planned(root).payload))), trust_root_value(load(root)))
    return found


@pytest.mark.parametrize("template", CLOUD_TEMPLATES)
def test_an_examples_plan_is_true_to_itself(template: str, plans: Plans) -> None:
    """Every key policy is computed again from the release policies and is the same."""
    payload, judge = plans[template]
    check_payload(payload, judge)


def _unit(payload: Payload, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(unit for unit in payload["units"] if unit["id"] == name)
    return found


def _statements(
    payload: Payload, unit: str = "aws-keys/clinic", usage: str = "ENCRYPT_DECRYPT"
) -> list[dict[str, Any]]:
    keys = _unit(payload, unit)["inputs"]["keys"]
    found: list[dict[str, Any]] = next(key for key in keys if key["usage"] == usage)["policy"]["Statement"]
    return found


def _release(payload: Payload, unit: str = "aws-keys/clinic") -> dict[str, Any]:
    return next(one for one in _statements(payload, unit) if one["Sid"].startswith("Release"))


def _another_fleet(payload: Payload) -> None:
    _release(payload)["Principal"] = {"AWS": MALLORY}


def _one_tuple_more(payload: Payload) -> None:
    more = json.loads(json.dumps(_release(payload)))
    more["Sid"] += "x"
    more["Condition"]["StringEqualsIgnoreCase"]["kms:RecipientAttestation:ImageSha384"] = "ee" * 48
    _statements(payload).append(more)


def _half_a_tuple(payload: Payload) -> None:
    del _release(payload)["Condition"]["StringEqualsIgnoreCase"]["kms:RecipientAttestation:PCR2"]


def _no_end(payload: Payload) -> None:
    del _release(payload)["Condition"]["DateLessThanEquals"]


def _no_denial(payload: Payload) -> None:
    found = _statements(payload)
    found[:] = [one for one in found if one["Effect"] == "Allow"]


def _another_signer(payload: Payload) -> None:
    for one in _statements(payload, usage="SIGN_VERIFY"):
        if one["Sid"] == "SignerSigns":
            one["Principal"] = {"AWS": MALLORY}


def _store_for_another(payload: Payload) -> None:
    _release(payload, "broker/main")["Principal"] = {"AWS": MALLORY}


def _store_without_evidence(payload: Payload) -> None:
    del _release(payload, "broker/main")["Condition"]["StringEqualsIgnoreCase"]


def _store_of_debug(payload: Payload) -> None:
    conditions = _release(payload, "broker/main")["Condition"]["StringEqualsIgnoreCase"]
    conditions["kms:RecipientAttestation:ImageSha384"] = "0" * 96


def _better_than_it_is(payload: Payload) -> None:
    payload["restsOn"]["enclave/triage"]["assurance"] = "hardware-tee"


def _nothing_said(payload: Payload) -> None:
    payload["restsOn"]["aws-keys/clinic"]["trusted"] = []


@pytest.mark.parametrize(
    "forge",
    [_another_fleet, _one_tuple_more, _half_a_tuple, _no_end, _no_denial, _another_signer, _store_for_another,
     _store_without_evidence, _store_of_debug, _better_than_it_is, _nothing_said],
)  # fmt: skip
def test_an_author_slips_nothing_into_a_key_policy(forge: Callable[[Payload], None], plans: Plans) -> None:
    """With every digest made right: the approver's tool, apply and the broker refuse it, whatever the trust diff says."""
    payload, judge = plans["aws-nitro"]
    payload = json.loads(json.dumps(payload))
    forge(payload)
    for unit in payload["units"]:
        unit["digest"] = unit_digest(unit["program"], unit["inputs"], unit["dependsOn"], unit["references"])
    with pytest.raises(PlanRefused) as caught:
        check_payload(payload, judge)
    assert caught.value.code == "QNSP-PLN-018"


def test_keys_and_their_tenant_are_planned_together(tmp_path: Path) -> None:
    """A target that names one takes the other along: else the trust diff would speak for half."""
    from qnsp_policy.pipeline.plan.make import _together
    from qnsp_policy.pipeline.plan.selection import select

    root = initialised(tmp_path, "aws-nitro")
    depends = {unit["id"]: unit["dependsOn"] for unit in planned(root).payload["units"]}
    for target in ("tenant/clinic", "aws-keys/clinic"):
        assert select(_together(depends), targets=[target]) >= {"tenant/clinic", "aws-keys/clinic"}
    assert not select(_together(depends), excludes=["aws-keys/clinic"]) & {"tenant/clinic", "aws-keys/clinic"}
