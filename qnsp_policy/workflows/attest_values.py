"""`attest reference-values FROM`: a ReferenceValues document from launch inputs (computed) or from evidence (trust on first use).

FROM is an enclave image (EIF), a file of launch inputs (JSON, docs/formats/launch-inputs.md), or evidence, which must verify first. Always
whole tuples: what cannot be computed is refused or left out of `covers`, never guessed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation import event_log
from qnsp_policy.kernel.attestation.batch import Batch
from qnsp_policy.kernel.attestation.batch_edge import DiskFiles
from qnsp_policy.kernel.attestation.nitro_enclave import eif
from qnsp_policy.kernel.attestation.nitro_tpm import pcrs as tpm_pcrs
from qnsp_policy.kernel.attestation.sev_snp.launch import Hypervisor, Kernel, LaunchError, launch_digest, vcpu_signature
from qnsp_policy.kernel.attestation.tdx.mrtd import mrtd
from qnsp_policy.kernel.attestation.values import AttestationResult, EvidenceKind, Verdict
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object, sha256_digest

_HALF_YEAR: Final = timedelta(days=182)
_CPUS: Final = {"EPYC-Rome": (23, 49, 0), "EPYC-Milan": (25, 1, 1), "EPYC-Genoa": (25, 17, 0)}
"""Combined family, model and stepping of QEMU's CPU models; others are given as three numbers."""
_TOOL: Final = "qnsp-policy attest reference-values"
_MAX_INPUT: Final = 4 * 1024 * 1024 * 1024
_SNP_FLOORS: Final = ("bootloader", "tee", "snp", "microcode", "fmc")


@dataclass(frozen=True, slots=True)
class Tuple:
    """One whole tuple of values and where it comes from, in the words of the document."""

    attester: str
    alternative: dict[str, Any]
    covers: dict[str, str]
    computed: dict[str, Any]
    origin: str = "computed"


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
    if source.stat().st_size > _MAX_INPUT:
        raise OperatorError("QNSP-OPS-095", f"{source} is larger than {_MAX_INPUT} bytes", subject=str(source))
    data = source.read_bytes()
    try:
        if eif.is_image(data):
            found = _of_image(data)
        elif (inputs := _inputs(data)) is not None:
            found = _of_inputs(source, inputs)
        else:
            found = _of_evidence(source, evidence_line, allow_simulated=allow_simulated, now=now)
    except (LaunchError, eif.EifError, event_log.EventLogError) as error:
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


def _inputs(data: bytes) -> Mapping[str, Any] | None:
    """Launch inputs, or None where the bytes are none."""
    if data[:1] not in (b"{", b" ", b"\n") or len(data) > 1024 * 1024:
        return None
    try:
        value = parse_object(data)
    except CanonicalJsonError:
        return None
    return value if "attester" in value else None


class _Reader:
    """Members of a launch file, each read once; paths are relative to the file."""

    def __init__(self, source: Path, value: Mapping[str, Any]) -> None:
        self.source, self.value = source, dict(value)
        self.value.pop("attester")

    def refuse(self, text: str) -> OperatorError:
        return OperatorError(
            "QNSP-OPS-097",
            f"{self.source}: {text}",
            subject=str(self.source),
            next_step="see docs/formats/launch-inputs.md",
        )

    def file(self, member: str, *, required: bool = True) -> bytes | None:
        path = self.value.pop(member, None)
        if path is None and not required:
            return None
        if not isinstance(path, str):
            raise self.refuse(f"`{member}` must name a file")
        return (self.source.parent / path).read_bytes()

    def needed(self, member: str) -> bytes:
        data = self.file(member)
        assert data is not None
        return data

    def take(self, member: str, kind: type, default: Any = None) -> Any:
        found = self.value.pop(member, default)
        if found is not default and (not isinstance(found, kind) or (kind is int and isinstance(found, bool))):
            raise self.refuse(f"`{member}` must be {kind.__name__}")
        return found

    def end(self) -> None:
        if self.value:
            raise self.refuse(f"unknown members: {', '.join(sorted(self.value))}")


def _of_inputs(source: Path, inputs: Mapping[str, Any]) -> Tuple:
    makers: Mapping[str, Callable[[_Reader], Tuple]] = {
        "sev-snp": _snp,
        "tdx": _tdx,
        "nitro-enclave": lambda reader: _of_image(reader.needed("image")),
        "nitro-tpm": _tpm,
    }
    attester = inputs["attester"]
    reader = _Reader(source, inputs)
    if attester not in makers:
        raise reader.refuse(
            "MRENCLAVE of SGX is signed by its builder: take it from the SIGSTRUCT"
            if attester == "sgx"
            else f"`attester` must be one of {', '.join(makers)}"
        )
    found = makers[attester](reader)
    reader.end()
    return found


def _snp(reader: _Reader) -> Tuple:
    firmware, vcpus = reader.needed("firmware"), reader.take("vcpus", int)
    cpu, hypervisor = reader.value.pop("cpu", None), reader.take("hypervisor", str, "qemu")
    kernel, initrd = reader.file("kernel", required=False), reader.file("initrd", required=False)
    cmdline, initdata = reader.take("cmdline", str), reader.file("initdata", required=False)
    floors, policy = reader.take("floors", dict, {}), reader.take("policy", dict, {"debug": False, "migrate": False})
    features, vmpl = reader.take("features", int, 1), reader.take("vmpl", int, 0)
    if vcpus is None:
        raise reader.refuse("`vcpus` is missing")
    if kernel is None and (initrd is not None or cmdline is not None):
        raise reader.refuse("`initrd` and `cmdline` are measured only with a `kernel` that is booted directly")
    if hypervisor not in set(map(str, Hypervisor)):
        raise reader.refuse(f"`hypervisor` must be one of {', '.join(Hypervisor)}")
    digest = launch_digest(
        firmware,
        vcpus=vcpus,
        signature=vcpu_signature(*_cpu(reader, cpu, hypervisor)),
        hypervisor=Hypervisor(hypervisor),
        features=features,
        kernel=Kernel(kernel, initrd or b"", cmdline or "") if kernel is not None else None,
    )
    measured = {"measurement": digest.hex()}
    covers = {"firmware": "measurement"}
    computed: dict[str, Any] = {"firmwareDigest": sha256_digest(firmware), "vcpus": vcpus}
    if isinstance(cpu, str):
        computed["cpuModel"] = cpu
    if kernel is not None:
        covers |= {"kernel": "measurement", "cmdline": "measurement", "initrd": "measurement"}
        computed |= {"kernelDigest": sha256_digest(kernel), "initrdDigest": sha256_digest(initrd or b"")}
        computed |= {"cmdline": cmdline} if cmdline else {}
    if initdata is not None:
        measured["hostData"] = hashlib.sha256(initdata).hexdigest()
        covers["initdata"] = "hostData"
    alternative: dict[str, Any] = {"measurements": measured, "floors": floors, "policy": policy, "vmpl": vmpl}
    return Tuple("sev-snp", alternative, covers, computed)


def _cpu(reader: _Reader, cpu: Any, hypervisor: str) -> tuple[int, int, int]:
    if cpu is None and hypervisor != Hypervisor.QEMU:
        return 0, 0, 0  # only QEMU lets the model reach the measurement
    if isinstance(cpu, str) and cpu in _CPUS:
        return _CPUS[cpu]
    if isinstance(cpu, list) and len(cpu) == 3 and all(type(part) is int and 0 <= part < 256 for part in cpu):
        return cpu[0], cpu[1], cpu[2]
    raise reader.refuse(f"`cpu` must be one of {', '.join(_CPUS)}, or family, model and stepping as three numbers")


def _tdx(reader: _Reader) -> Tuple:
    firmware, log = reader.needed("firmware"), reader.file("eventLog", required=False)
    initdata, order = reader.file("initdata", required=False), reader.take("pageOrder", str, "interleaved")
    if order not in {"interleaved", "two-pass"}:
        raise reader.refuse("`pageOrder` must be interleaved or two-pass")
    measured = {"mrTd": mrtd(firmware, two_pass=order == "two-pass").hex()}
    covers = {"firmware": "mrTd"}
    origin = "computed"
    if log is not None:
        replayed = event_log.replay(event_log.parse(log))
        measured |= {f"rtmr{index}": value.hex() for index, value in enumerate(replayed)}
        covers |= {"kernel": "rtmr1", "cmdline": "rtmr2", "initrd": "rtmr2"}
        origin = "trust-on-first-use"  # a log says what once ran, not what should
    if initdata is not None:
        measured["mrConfigId"] = hashlib.sha384(initdata).hexdigest()
        covers["initdata"] = "mrConfigId"
    alternative = {"measurements": measured, "policy": {"debug": False}}
    return Tuple("tdx", alternative, covers, {"firmwareDigest": sha256_digest(firmware)}, origin)


def _of_image(data: bytes) -> Tuple:
    image = eif.parse(data)
    measured = {f"pcr{index}": value.hex() for index, value in eif.pcrs(image).items()}
    covers = {"kernel": "pcr1", "cmdline": "pcr1", "initrd": "pcr1", "rootfs": "pcr2", "workload": "pcr2"}
    computed: dict[str, Any] = {
        "imageDigest": sha256_digest(data),
        "kernelDigest": sha256_digest(image.of("kernel")[0]),
        "initrdDigest": sha256_digest(image.of("ramdisk")[0]),
    }
    if text := image.of("cmdline")[0].decode("utf-8", "replace").strip("\0 \n"):
        computed["cmdline"] = text
    return Tuple("nitro-enclave", {"measurements": measured}, covers, computed)


def _tpm(reader: _Reader) -> Tuple:
    boot = reader.take("boot", list, [])
    variables, cmdline = reader.take("variables", dict, {}), reader.take("cmdline", str)
    if not boot or not all(isinstance(path, str) for path in boot):
        raise reader.refuse("`boot` must list the boot programs (PE images) in the order in which they start")
    if cmdline is not None:
        raise reader.refuse(
            "PCR12 with a command line from outside the image is not computed here; build it into the image"
        )
    programs = [(reader.source.parent / path).read_bytes() for path in boot]
    given = {str(name): (reader.source.parent / str(path)).read_bytes() for name, path in variables.items()}
    measured = {
        "pcr4": tpm_pcrs.pcr4(programs).hex(),
        "pcr7": tpm_pcrs.pcr7(given).hex(),
        "pcr12": tpm_pcrs.ZERO.hex(),
    }
    covers = {"firmware": "pcr7", "kernel": "pcr4", "cmdline": "pcr4", "initrd": "pcr4"}
    return Tuple("nitro-tpm", {"measurements": measured}, covers, {"imageDigest": sha256_digest(programs[-1])})


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


def _of_evidence(source: Path, line: Mapping[str, Any], *, allow_simulated: bool, now: datetime) -> Tuple:
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
    return Tuple(
        claims.kind.value,
        alternative,
        covers,
        {"imageDigest": sha256_digest(source.read_bytes())},
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
