"""`attest reference-values FROM`: a ReferenceValues document from launch inputs (computed) or from evidence (trust on first use).

FROM is an enclave image (EIF), a file of launch inputs (JSON, docs/formats/launch-inputs.md), or evidence, which must verify first. Always
whole tuples: what cannot be computed is refused or left out of `covers`, never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation import event_log
from qnsp_policy.kernel.attestation.batch import Batch
from qnsp_policy.kernel.attestation.batch_edge import DiskFiles
from qnsp_policy.kernel.attestation.nitro_enclave import eif
from qnsp_policy.kernel.attestation.sev_snp.launch import LaunchError
from qnsp_policy.kernel.attestation.sgx.sigstruct import SigstructError
from qnsp_policy.kernel.attestation.values import AttestationResult, EvidenceKind, Verdict
from qnsp_policy.kernel.crypto.canonical import sha256_digest
from qnsp_policy.kernel.files_edge import read_plain
from qnsp_policy.workflows.attest_launch import MAX_INPUT, Values, launch_inputs, of_image, of_inputs

_HALF_YEAR: Final = timedelta(days=182)
_TOOL: Final = "qnsp-policy attest reference-values"
_SNP_FLOORS: Final = ("bootloader", "tee", "snp", "microcode", "fmc")


def reference_values(
    source: Path,
    *,
    name: str,
    expires: date | None,
    evidence_line: Mapping[str, Any],
    allow_simulated: bool,
    now: datetime,
) -> dict[str, Any]:
    """The document as plain JSON, valid in our model.

    Args:
        source: what it is made from.
        name: of the document.
        expires: last day of the values; half a year from `now` if not given.
        evidence_line: members of a batch line for evidence (endorsements, collateral, anchors).
        allow_simulated: whether simulated evidence may be learnt from.
        now: the time of the run.

    Raises:
        OperatorError: the inputs cannot be read, or values cannot be computed from them.
        PeerError: the evidence does not verify.
    """
    data = read_plain(source, MAX_INPUT)
    try:
        if eif.is_image(data):
            found = of_image(data)
        elif (inputs := launch_inputs(data)) is not None:
            found = of_inputs(source, inputs)
        else:
            found = _of_evidence(source, evidence_line, allow_simulated=allow_simulated, now=now)
    except (LaunchError, eif.EifError, event_log.EventLogError, SigstructError) as error:
        raise OperatorError(
            "QNSP-OPS-096", f"no values can be computed from {source}: {error}", subject=str(source)
        ) from error
    until = expires or (now + _HALF_YEAR).date()
    document = {
        "apiVersion": "qnsp.policy/v1",
        "kind": "ReferenceValues",
        "metadata": {"name": name},
        "spec": {
            "attester": found.attester,
            "state": "candidate",
            "expires": until.isoformat(),
            "origin": found.origin,
            "covers": found.covers,
            "computedFrom": {**found.computed, "tool": _TOOL},
            "alternatives": [found.alternative],
        },
    }
    _validate(document)
    return document


def _validate(document: dict[str, Any]) -> None:
    from qnsp_policy.pipeline.model.kinds.attestation import ReferenceValues

    ReferenceValues.model_validate(document)


_LEARNT: Final[Mapping[EvidenceKind, tuple[str, ...]]] = {
    EvidenceKind.SEV_SNP: ("measurement", "hostData"),
    EvidenceKind.TDX: ("mrTd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrConfigId", "mrOwner", "mrOwnerConfig"),
    EvidenceKind.SGX: ("mrEnclave", "mrSigner"),
    EvidenceKind.NITRO_ENCLAVE: ("pcr0", "pcr1", "pcr2"),
    EvidenceKind.NITRO_TPM: ("pcr4", "pcr7", "pcr12"),
}
_COVERS: Final[Mapping[EvidenceKind, dict[str, str]]] = {
    EvidenceKind.SEV_SNP: {"firmware": "measurement"},
    EvidenceKind.TDX: {"firmware": "mrTd", "kernel": "rtmr1", "cmdline": "rtmr2", "initrd": "rtmr2"},
    EvidenceKind.SGX: {"workload": "mrEnclave"},
    EvidenceKind.NITRO_ENCLAVE: {
        "kernel": "pcr1",
        "cmdline": "pcr1",
        "initrd": "pcr1",
        "rootfs": "pcr2",
        "workload": "pcr2",
    },
    EvidenceKind.NITRO_TPM: {"firmware": "pcr7", "kernel": "pcr4", "cmdline": "pcr4", "initrd": "pcr4"},
}
"""What a measurement vouches for when only evidence is known: an SNP launch digest of unknown inputs covers firmware alone."""


def _of_evidence(source: Path, line: Mapping[str, Any], *, allow_simulated: bool, now: datetime) -> Values:
    words = ["hardware-tee", "provider-isolation", "measured-boot", *(["simulated"] if allow_simulated else [])]
    request = {**line, "evidence": str(source), "assurance": words}
    result = Batch(DiskFiles(Path.cwd()), now).result(request)
    claims = result.claims
    if not result.accepted:
        first = result.mismatches[0]
        raise PeerError(first.code, f"{first.claim}: {first.seen}, required {first.required}", subject=str(source))
    if claims.kind not in _LEARNT:
        raise OperatorError("QNSP-OPS-098", f"there are no ReferenceValues of {claims.kind.value}", subject=str(source))
    measured = {name: str(claims.claims[name]) for name in _LEARNT[claims.kind] if name in claims.claims}
    alternative: dict[str, Any] = {"measurements": measured, "note": _note(result)}
    covers = dict(_COVERS[claims.kind])
    if claims.kind is EvidenceKind.SEV_SNP:
        alternative["floors"] = {
            part: claims.claims[f"tcb.reported.{part}"]
            for part in _SNP_FLOORS
            if f"tcb.reported.{part}" in claims.claims
        }
        alternative["policy"] = {"debug": False, "migrate": bool(claims.claims["policy.migrate"])}
        alternative["vmpl"] = claims.claims["vmpl"]
        if any(bytes.fromhex(measured["hostData"])):
            covers["initdata"] = "hostData"
    if claims.kind is EvidenceKind.TDX and any(bytes.fromhex(measured["mrConfigId"])):
        covers["initdata"] = "mrConfigId"
    return Values(
        claims.kind.value,
        alternative,
        covers,
        {"imageDigest": sha256_digest(read_plain(source, MAX_INPUT))},
        "trust-on-first-use",
    )


def _note(result: AttestationResult) -> str:
    unchecked = [one.name for one in result.statements if one.verdict is Verdict.NOT_CHECKED]
    text = f"learnt from {result.claims.assurance.value} evidence on {result.appraised_at:%Y-%m-%d}"
    return text + (f"; not checked: {', '.join(unchecked)}" if unchecked else "")


def as_yaml(document: Mapping[str, Any]) -> str:
    """The document as YAML that our own reader takes; text stands in JSON quotes, which are YAML's too."""
    lines: list[str] = []

    def write(value: Any, indent: int) -> None:
        for name, item in value.items():
            lead = "  " * indent + f"{name}:"
            if isinstance(item, dict) and item:
                lines.append(lead)
                write(item, indent + 1)
            elif isinstance(item, list) and item and isinstance(item[0], dict):
                lines.append(lead)
                for one in item:
                    start = len(lines)
                    write(one, indent + 2)
                    lines[start] = "  " * (indent + 1) + "- " + lines[start].lstrip()
            elif isinstance(item, str) and item.replace("/", "").replace("-", "").replace(".", "").isalpha():
                lines.append(f"{lead} {item}")
            else:
                lines.append(f"{lead} {json.dumps(item, ensure_ascii=False)}")

    write(document, 0)
    return "\n".join(lines) + "\n"


__all__ = ["as_yaml", "reference_values"]
