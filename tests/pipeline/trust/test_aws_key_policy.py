"""Key policies of AWS KMS, held against an evaluator of our own: the servers that tests run against enforce none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.kernel.attestation.values import Alternative, EvidenceKind
from qnsp_policy.pipeline.trust.aws_attested import ATTESTED_ACTIONS, IMAGE, PREFIX, attested
from qnsp_policy.pipeline.trust.aws_key_policy import (
    ADMIN_ACTIONS,
    CONTEXT,
    NEVER_ACTIONS,
    Release,
    key_policy,
    signing_policy,
    tuples_of,
)
from qnsp_policy.testing.iam_evaluator import Request, allowed

ACCOUNT = "arn:aws:iam::012345678901"
ROOT, ADMIN, FLEET = f"{ACCOUNT}:root", f"{ACCOUNT}:role/key-admin", f"{ACCOUNT}:role/qnsp/prod/clinic"
OTHER, APPLY = f"{ACCOUNT}:role/qnsp/prod/research", f"{ACCOUNT}:role/qnsp-apply"
PATH = "clinic/model/minilm"
PLACE = Place("values.yaml", 7)
A, B = {"pcr0": "a0" * 48, "pcr1": "a1" * 48}, {"pcr0": "b0" * 48, "pcr1": "b1" * 48}
UNTOUCHED = "0" * 96
NOW = "2026-11-21T12:00:00Z"
ANY_IAM = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]}


def enclave(measurements: dict[str, str], name: str = "ReferenceValues/a#0") -> Alternative:
    return Alternative(name, EvidenceKind.NITRO_ENCLAVE, dict(measurements))


def tpm(**measurements: str) -> Alternative:
    return Alternative("ReferenceValues/t#0", EvidenceKind.NITRO_TPM, dict(measurements))


def release(alternative: Alternative, **more: Any) -> Release:
    return Release(FLEET, attested(alternative, boot=None, place=PLACE), **more)


def policy(*releases: Release) -> dict[str, Any]:
    return key_policy(resource=PATH, root=ROOT, admin=ADMIN, releases=releases, sealer=APPLY)


def call(action: str = "kms:Decrypt", principal: str = FLEET, **context: str) -> Request:
    return Request(principal, action, {f"kms:EncryptionContext:{CONTEXT}": PATH, "aws:CurrentTime": NOW, **context})


def shown(**registers: str) -> dict[str, str]:
    """The condition keys of a request whose Recipient is a Nitro enclave's document."""
    return {IMAGE if name == "pcr0" else f"{PREFIX}{name.upper()}": value for name, value in registers.items()}


def shown_tpm(**registers: str) -> dict[str, str]:
    return {f"{PREFIX}NitroTPM{name.upper()}": value for name, value in registers.items()}


def test_the_attested_fleet_opens_its_key() -> None:
    """With the whole tuple, the right context and within the dates."""
    assert allowed(call(**shown(**A)), policy(release(enclave(A))))
    assert allowed(call(**shown(pcr0="A0" * 48, pcr1="a1" * 48)), policy(release(enclave(A))))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (call(), "no attestation document"),
        (call(**shown(pcr0=A["pcr0"])), "half a tuple"),
        (call(**shown(pcr0=A["pcr0"], pcr1=B["pcr1"])), "registers of two tuples mixed"),
        (call(principal=OTHER, **shown(**A)), "the fleet of another tenant"),
        (call(principal=ROOT, **shown(**A)), "root of the account, even attested"),
        (call(principal=APPLY, **shown(**A)), "the engine's own role"),
        (call("kms:GenerateDataKey", **shown(**A)), "an action that was not granted"),
        (call(**{**shown(**A), f"kms:EncryptionContext:{CONTEXT}": "research/data/notes"}), "another resource"),
        (call(**shown_tpm(pcr4="aa" * 48, pcr12=UNTOUCHED)), "evidence of another kind"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_else_opens_it(request_: Request, why: str) -> None:
    """Each with every IAM permission there is: the key policy alone decides."""
    del why
    assert not allowed(request_, policy(release(enclave(A)), release(enclave(B))), [ANY_IAM])


@pytest.mark.parametrize("action", ATTESTED_ACTIONS)
@pytest.mark.parametrize("principal", [ROOT, ADMIN, FLEET, APPLY, OTHER])
def test_no_plaintext_without_attestation(action: str, principal: str) -> None:
    """No principal, whatever IAM allows it; not the administrator of keys either."""
    everything = policy(release(enclave(A), actions=ATTESTED_ACTIONS))
    assert not allowed(call(action, principal), everything, [ANY_IAM])


@pytest.mark.parametrize("action", NEVER_ACTIONS)
@pytest.mark.parametrize("principal", [ROOT, ADMIN, FLEET, APPLY])
def test_a_key_is_never_delegated(action: str, principal: str) -> None:
    """CreateGrant, ReplicateKey and ReEncrypt would go around the tuple."""
    assert not allowed(call(action, principal, **shown(**A)), policy(release(enclave(A))), [ANY_IAM])


@pytest.mark.parametrize(
    "action", ["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:UpdateAlias", "kms:RevokeGrant"]
)
def test_only_the_key_administrator_administers(action: str) -> None:
    """And may use nothing: administration and use never meet in one role."""
    assert action in ADMIN_ACTIONS
    made = policy(release(enclave(A)))
    assert allowed(call(action, ADMIN), made)
    for principal in (ROOT, FLEET, APPLY):
        assert not allowed(call(action, principal), made, [ANY_IAM])
    assert not allowed(call("kms:Encrypt", ADMIN), made, [ANY_IAM])


def test_the_administrator_cannot_lock_everybody_out_nor_hurry_a_deletion() -> None:
    """Not past KMS's own check, and never in fewer days than the longest wait."""
    made = policy(release(enclave(A)))
    bypass, window = "kms:BypassPolicyLockoutSafetyCheck", "kms:ScheduleKeyDeletionPendingWindowInDays"
    assert allowed(call("kms:PutKeyPolicy", ADMIN, **{bypass: "false"}), made)
    assert not allowed(call("kms:PutKeyPolicy", ADMIN, **{bypass: "true"}), made, [ANY_IAM])
    assert allowed(call("kms:ScheduleKeyDeletion", ADMIN, **{window: "30"}), made)
    assert not allowed(call("kms:ScheduleKeyDeletion", ADMIN, **{window: "7"}), made, [ANY_IAM])


def test_the_engine_may_read_what_it_compares() -> None:
    """A provider reads policy, rotation and tags of a key by the key administrator's role."""
    made = policy(release(enclave(A)))
    for action in ("kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags"):
        assert allowed(call(action, ADMIN), made)


@pytest.mark.parametrize("service", ["ec2.eu-west-1.amazonaws.com", "lambda.eu-west-1.amazonaws.com"])
def test_a_service_of_aws_gets_no_grant_and_no_plaintext(service: str) -> None:
    """kms:ViaService and GrantIsForAWSResource open nothing: no volume or function is ever encrypted under such a key."""
    made = policy(release(enclave(A)))
    context = {"kms:ViaService": service, "kms:GrantIsForAWSResource": "true", "kms:CallerAccount": "012345678901"}
    for action in ("kms:CreateGrant", "kms:Decrypt", "kms:ReEncryptFrom", "kms:GenerateDataKey"):
        for principal in (ROOT, ADMIN, APPLY, FLEET):
            assert not allowed(call(action, principal, **context), made, [ANY_IAM])


@pytest.mark.parametrize(
    "action",
    ["kms:GenerateDataKeyPair", "kms:GenerateDataKeyPairWithoutPlaintext", "kms:DeriveSharedSecret", "kms:GenerateMac",
     "kms:Sign", "kms:EnableKeyRotation", "kms:DisableKeyRotation", "kms:RotateKeyOnDemand", "kms:UpdatePrimaryRegion",
     "kms:ImportKeyMaterial", "kms:RetireGrant", "kms:SynchronizeMultiRegionKey"],
)  # fmt: skip
@pytest.mark.parametrize("principal", [ROOT, ADMIN, FLEET, APPLY])
def test_what_no_statement_names_is_nobodys(action: str, principal: str) -> None:
    """Even attested, even with every IAM permission: the account's root delegates reading only."""
    assert not allowed(call(action, principal, **shown(**A)), policy(release(enclave(A))), [ANY_IAM])


def test_the_sealer_encrypts_for_this_resource_only() -> None:
    """And reads nothing back."""
    made = policy(release(enclave(A)))
    assert allowed(call("kms:Encrypt", APPLY), made)
    assert not allowed(call("kms:Encrypt", APPLY, **{f"kms:EncryptionContext:{CONTEXT}": "x/y/z"}), made)
    assert not allowed(call("kms:Decrypt", APPLY), made, [ANY_IAM])


def test_a_key_without_grants_opens_for_nobody() -> None:
    """No release is no release: evidence of either kind is refused."""
    for context in (shown(**A), shown_tpm(pcr4="aa" * 48, pcr12=UNTOUCHED), {}):
        assert not allowed(call(**context), policy(), [ANY_IAM])


def test_dates_of_grant_and_values_are_conditions() -> None:
    """The earlier end counts; the moment itself still holds."""
    end = datetime(2026, 12, 1, tzinfo=UTC)
    one = replace(enclave(A), not_after=datetime(2027, 1, 1, tzinfo=UTC))
    made = policy(release(one, not_after=end, not_before=datetime(2026, 11, 1, tzinfo=UTC)))
    for moment, opens in (
        ("2026-12-01T00:00:00Z", True),
        ("2026-12-01T00:00:01Z", False),
        ("2026-10-31T23:59:59Z", False),
    ):
        assert allowed(call(**shown(**A), **{"aws:CurrentTime": moment}), made) is opens


def test_one_statement_a_tuple_and_one_value_a_register() -> None:
    """Never a list of values a register: lists of two tuples would admit four."""
    made = policy(release(enclave(A)), release(enclave(B)))
    found = tuples_of(made)
    assert len(found) == 2
    assert all(isinstance(value, str) for block in found for value in block.values())


def test_nitro_tpm_standard_boot_needs_pcr4_and_pcr12() -> None:
    """GHSA-xrv8-2pf5-f3q7: a replaced command line leaves PCR4 as it was."""
    made = policy(release(tpm(pcr4="aa" * 48, pcr12=UNTOUCHED)))
    assert allowed(call(**shown_tpm(pcr4="aa" * 48, pcr12=UNTOUCHED)), made)
    assert not allowed(call(**shown_tpm(pcr4="aa" * 48, pcr12="cc" * 48)), made, [ANY_IAM])
    assert not allowed(call(**shown_tpm(pcr4="aa" * 48)), made, [ANY_IAM])


@pytest.mark.parametrize(
    ("alternative", "boot", "code", "says"),
    [
        (tpm(pcr4="aa" * 48), None, "QNSP-PLN-212", "GHSA-xrv8-2pf5-f3q7"),
        (tpm(pcr7="aa" * 48), "secure-boot", "QNSP-PLN-212", "pcr12"),
        (tpm(pcr4="aa" * 48, pcr12=UNTOUCHED), "secure-boot", "QNSP-PLN-212", "pcr7"),
        (tpm(pcr7="aa" * 48, pcr12=UNTOUCHED), "standard", "QNSP-PLN-212", "pcr4"),
        (tpm(pcr4="aa" * 32, pcr12=UNTOUCHED), None, "QNSP-PLN-213", "96 lower-case"),
        (tpm(pcr4="AA" * 48, pcr12=UNTOUCHED), None, "QNSP-PLN-213", "96 lower-case"),
        (tpm(pcr4=UNTOUCHED, pcr12=UNTOUCHED), None, "QNSP-PLN-213", "all zeros"),
        (enclave({"pcr8": "aa" * 48}), None, "QNSP-PLN-212", "pcr0"),
        (enclave({"pcr0": UNTOUCHED}), None, "QNSP-PLN-213", "debug"),
        (replace(enclave(A), floors={"snp": 3}), None, "QNSP-PLN-211", "snp"),
        (replace(enclave(A), equals={**A, "moduleId": "i-1"}), None, "QNSP-PLN-211", "moduleId"),
        (replace(enclave(A), kind=EvidenceKind.SEV_SNP), None, "QNSP-PLN-210", "sev-snp"),
    ],
    ids=["no-pcr12", "secure-boot-no-pcr12", "no-pcr7", "no-pcr4", "sha256", "upper-case", "unmeasured", "no-image",
         "debug-enclave", "floors", "other-claims", "snp"],
)  # fmt: skip
def test_what_a_key_policy_cannot_hold_safely_is_refused(
    alternative: Alternative, boot: str | None, code: str, says: str
) -> None:
    """At the tuple's line, with what would work."""
    with pytest.raises(OperatorError) as caught:
        attested(alternative, boot=boot, place=PLACE)
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.place == PLACE
    assert caught.value.next_step


def test_signing_keys_are_for_the_signer_alone() -> None:
    """Sign takes no Recipient, so the role is all there is; the administrator can't sign."""
    made = signing_policy(root=ROOT, admin=ADMIN, signer=APPLY)
    assert allowed(call("kms:Sign", APPLY), made)
    for principal in (ROOT, ADMIN, FLEET):
        assert not allowed(call("kms:Sign", principal), made, [ANY_IAM])
