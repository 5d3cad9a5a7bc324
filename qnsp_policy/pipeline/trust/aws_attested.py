"""What AWS KMS can hold a release to: one complete tuple of measurements, as condition keys.

Comes in: an effective grant's alternatives. Goes out: `AttestedTuple`, the only thing from which a key-policy statement is
made, so that a statement without what makes it safe cannot be written. Condition keys as the AWS KMS Developer Guide
lists them ("Condition keys for attested platforms", read 2026-11): `kms:RecipientAttestation:ImageSha384` (PCR0 of a Nitro
enclave), `kms:RecipientAttestation:PCR<n>`, `kms:RecipientAttestation:NitroTPMPCR<n>`; each single-valued, lower-case hex.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.kernel.attestation.values import Alternative, AssuranceClass, EvidenceKind
from qnsp_policy.pipeline.trust.values import EffectiveGrant, GuardrailKind

PREFIX = "kms:RecipientAttestation:"
IMAGE = f"{PREFIX}ImageSha384"
ATTESTED_ACTIONS = ("kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey", "kms:GenerateDataKeyPair")
"""Actions on a key that yield plaintext and take a Recipient; GenerateRandom takes one too, but uses no key."""

ASSURANCE: Mapping[EvidenceKind, AssuranceClass] = {
    EvidenceKind.NITRO_ENCLAVE: AssuranceClass.PROVIDER_ISOLATION,
    EvidenceKind.NITRO_TPM: AssuranceClass.MEASURED_BOOT,
}
"""The kinds of evidence that KMS itself verifies, and what stands behind them."""

_REGISTER = re.compile(r"pcr([0-9]|1[0-9]|2[0-3])")
_SHA384 = re.compile(r"[0-9a-f]{96}")
_ZERO = "0" * 96
_ADVISORY = "GHSA-xrv8-2pf5-f3q7"


@dataclass(frozen=True, slots=True)
class AttestedTuple:
    """One complete tuple that KMS holds a request to; made by `attested` only.

    Attributes:
        name: of the alternative, e.g. `ReferenceValues/broker-1#0`.
        kind: nitro-enclave or nitro-tpm.
        conditions: condition key to one value, sorted by key.
        not_after: when the values expire, None where nothing gives a date.
    """

    name: str
    kind: EvidenceKind
    conditions: Mapping[str, str]
    not_after: datetime | None


def attested(alternative: Alternative, *, boot: str | None, place: Place) -> AttestedTuple:
    """An alternative as conditions of KMS.

    Args:
        alternative: one complete tuple of reference values.
        boot: of a NitroTPM instance, `standard` (None is read so) or `secure-boot`.
        place: the tuple's line, for refusals.

    Raises:
        OperatorError: QNSP-PLN-210 KMS verifies no such evidence, -211 it cannot hold a request to all of it, -212 a
            register that makes it safe is missing, -213 a value that KMS never matches or always does.
    """

    def refuse(code: str, message: str, next_step: str) -> OperatorError:
        return OperatorError(code, message, subject=alternative.name, place=place, next_step=next_step)

    if alternative.kind not in ASSURANCE:
        raise refuse(
            "QNSP-PLN-210",
            f"AWS KMS verifies no {alternative.kind} evidence, so no key policy can hold a release to {alternative.name}",
            "let a key broker release it, or use attester nitro-enclave or nitro-tpm",
        )
    registers = _registers(alternative, refuse)
    if alternative.kind is EvidenceKind.NITRO_ENCLAVE:
        _need(registers, 0, "PCR0 measures the enclave image; without it any image is admitted", refuse)
        for number in (0, 1, 2):
            if registers.get(number) == _ZERO:
                raise refuse(
                    "QNSP-PLN-213",
                    f"pcr{number} of {alternative.name} is all zeros, which every enclave in debug mode shows",
                    "write the value that `nitro-cli build-enclave` printed",
                )
        names = {number: IMAGE if number == 0 else f"{PREFIX}PCR{number}" for number in registers}
    else:
        _need(
            registers,
            12,
            f"without PCR12 the kernel command line can be replaced while PCR4 stays ({_ADVISORY})",
            refuse,
            hint="; of a command line that nothing was added to it is 96 zeros",
        )
        if boot == "secure-boot":
            _need(registers, 7, "PCR7 is what Secure Boot measures", refuse)
        else:
            _need(registers, 4, "PCR4 measures the boot image under standard boot", refuse)
        for number in (4, 7):
            if registers.get(number) == _ZERO:
                raise refuse(
                    "QNSP-PLN-213",
                    f"pcr{number} of {alternative.name} is all zeros: nothing was measured into it",
                    "write the value that `nitro-tpm-pcr-compute` printed",
                )
        names = {number: f"{PREFIX}NitroTPMPCR{number}" for number in registers}
    conditions = dict(sorted((names[number], value) for number, value in registers.items()))
    return AttestedTuple(alternative.name, alternative.kind, conditions, alternative.not_after)


Refuse = Callable[[str, str, str], OperatorError]


def _registers(alternative: Alternative, refuse: Refuse) -> dict[int, str]:
    beyond = [*alternative.floors, *(device.name for device in alternative.devices)]
    found: dict[int, str] = {}
    for claim, value in alternative.equals.items():
        named = _REGISTER.fullmatch(claim)
        if named is None:
            beyond.append(claim)
        elif not isinstance(value, str) or not _SHA384.fullmatch(value):
            raise refuse(
                "QNSP-PLN-213",
                f"{claim} of {alternative.name} is not 96 lower-case hex digits (SHA-384), so KMS never matches it",
                "write the SHA-384 value; NitroTPM documents carry no SHA-256 bank",
            )
        else:
            found[int(named[1])] = value
    if beyond:
        raise refuse(
            "QNSP-PLN-211",
            f"AWS KMS compares registers only; it cannot hold a release to {', '.join(sorted(beyond))} of {alternative.name}",
            "let a key broker release it, or leave the rest out of these reference values",
        )
    return found


def _need(registers: Mapping[int, str], number: int, why: str, refuse: Refuse, hint: str = "") -> None:
    if number not in registers:
        raise refuse("QNSP-PLN-212", f"pcr{number} is not among the measurements: {why}", f"add pcr{number}{hint}")


def admitted(grant: EffectiveGrant, tuples: tuple[AttestedTuple, ...]) -> tuple[AttestedTuple, ...]:
    """Those tuples of a grant that its guardrails leave; KMS enforces the rest of them by leaving statements out.

    Raises:
        OperatorError: QNSP-PLN-214, a rule of the user's own stands over the grant; KMS cannot evaluate it.
    """
    kept = tuples
    for rail in grant.guardrails:
        if rail.kind is GuardrailKind.OPAQUE:
            raise OperatorError(
                "QNSP-PLN-214",
                f"{grant.grant} carries a rule of its own ({rail.source}), which AWS KMS cannot evaluate",
                subject=grant.resource,
                place=grant.place,
                next_step="give the key custody software, so that the broker alone decides",
            )
        if rail.kind is GuardrailKind.ASSURANCE:
            kept = tuple(item for item in kept if ASSURANCE[item.kind].value in rail.values)
        if rail.kind is GuardrailKind.DEVICE_ASSURANCE and rail.values:
            kept = ()
        if rail.kind is GuardrailKind.DENIED_CLAIM:
            kept = tuple(
                item for item in kept if item.conditions.get(_condition(item.kind, rail.claim)) not in rail.values
            )
    return kept


def _condition(kind: EvidenceKind, claim: str) -> str:
    number = claim.removeprefix("pcr")
    if kind is EvidenceKind.NITRO_TPM:
        return f"{PREFIX}NitroTPMPCR{number}"
    return IMAGE if number == "0" else f"{PREFIX}PCR{number}"


__all__ = ["ASSURANCE", "ATTESTED_ACTIONS", "IMAGE", "PREFIX", "AttestedTuple", "admitted", "attested"]
