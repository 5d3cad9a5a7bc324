"""Reference values computed from what is launched: firmware, images, boot programs, Secure Boot variables, a builder's SIGSTRUCT.

Comes in: a file of launch inputs (docs/formats/launch-inputs.md) and the files that it names, or an enclave image. Goes out: one whole
tuple with what it covers. What cannot be computed is refused.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation import event_log
from qnsp_policy.kernel.attestation.nitro_enclave import eif
from qnsp_policy.kernel.attestation.nitro_tpm import pcrs as tpm_pcrs
from qnsp_policy.kernel.attestation.sev_snp.launch import Hypervisor, Kernel, LaunchError, launch_digest, vcpu_signature
from qnsp_policy.kernel.attestation.sgx import sigstruct
from qnsp_policy.kernel.attestation.tdx.mrtd import mrtd
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object, sha256_digest
from qnsp_policy.kernel.files_edge import read_plain

_MODELS: Final[Mapping[str, tuple[tuple[int, int, int], int]]] = {
    "EPYC": ((23, 1, 2), 5),
    "EPYC-Rome": ((23, 49, 0), 5),
    "EPYC-Milan": ((25, 1, 1), 3),
    "EPYC-Genoa": ((25, 17, 0), 2),
    "EPYC-Turin": ((26, 0, 0), 1),
}
"""Combined family, model and stepping of QEMU's CPU models, and how many versions (`-v1` ...) it has of each; all have its signature."""
CPUS: Final[Mapping[str, tuple[int, int, int]]] = {
    name: signature
    for model, (signature, versions) in _MODELS.items()
    for name in (model, *(f"{model}-v{number + 1}" for number in range(versions)))
} | {"EPYC-IBPB": (23, 1, 2)}
MAX_INPUT: Final = 4 * 1024 * 1024 * 1024
"""Bytes of one input."""
_BOOT_APPLICATION: Final = 0x80000003
_KERNEL_REGISTER, _OPTIONS_REGISTER = 2, 3
"""Numbers of RTMR1 and RTMR2 in a CC event log."""


@dataclass(frozen=True, slots=True)
class Values:
    """One whole tuple of values and where it comes from, in the words of the document."""

    attester: str
    alternative: dict[str, Any]
    covers: dict[str, str]
    computed: dict[str, Any]
    origin: str = "computed"


def launch_inputs(data: bytes) -> Mapping[str, Any] | None:
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
        return read_plain(self.source.parent / path, MAX_INPUT)

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


def of_inputs(source: Path, inputs: Mapping[str, Any]) -> Values:
    makers: Mapping[str, Callable[[_Reader], Values]] = {
        "sev-snp": _snp,
        "tdx": _tdx,
        "nitro-enclave": lambda reader: of_image(reader.needed("image")),
        "nitro-tpm": _tpm,
        "sgx": _sgx,
    }
    attester = inputs["attester"]
    reader = _Reader(source, inputs)
    if attester not in makers:
        raise reader.refuse(f"`attester` must be one of {', '.join(makers)}")
    found = makers[attester](reader)
    reader.end()
    return found


def _snp(reader: _Reader) -> Values:
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
        measured["hostData"] = _initdata(initdata, "sha256", 32).hex()
        covers["initdata"] = "hostData"
    alternative: dict[str, Any] = {"measurements": measured, "floors": floors, "policy": policy, "vmpl": vmpl}
    return Values("sev-snp", alternative, covers, computed)


def _cpu(reader: _Reader, cpu: Any, hypervisor: str) -> tuple[int, int, int]:
    if cpu is None and hypervisor != Hypervisor.QEMU:
        return 0, 0, 0  # only QEMU lets the model reach the measurement
    if isinstance(cpu, str) and cpu in CPUS:
        return CPUS[cpu]
    if isinstance(cpu, list) and len(cpu) == 3 and all(type(part) is int and 0 <= part < 256 for part in cpu):
        return cpu[0], cpu[1], cpu[2]
    raise reader.refuse(f"`cpu` must be one of {', '.join(_MODELS)}, or family, model and stepping as three numbers")


def _tdx(reader: _Reader) -> Values:
    firmware, log = reader.needed("firmware"), reader.file("eventLog", required=False)
    initdata, order = reader.file("initdata", required=False), reader.take("pageOrder", str, "interleaved")
    if order not in {"interleaved", "two-pass"}:
        raise reader.refuse("`pageOrder` must be interleaved or two-pass")
    measured = {"mrTd": mrtd(firmware, two_pass=order == "two-pass").hex()}
    covers = {"firmware": "mrTd"}
    origin = "computed"
    if log is not None:
        events = event_log.parse(log)
        measured |= {f"rtmr{index}": value.hex() for index, value in enumerate(event_log.replay(events))}
        covers |= _logged(reader, events)
        origin = "trust-on-first-use"  # a log says what once ran, not what should
    if initdata is not None:
        measured["mrConfigId"] = _initdata(initdata, "sha384", 48).hex()
        covers["initdata"] = "mrConfigId"
    alternative = {"measurements": measured, "policy": {"debug": False}}
    return Values("tdx", alternative, covers, {"firmwareDigest": sha256_digest(firmware)}, origin)


def _initdata(data: bytes, usual: str, size: int) -> bytes:
    """The digest of init data as the field carries it: by the algorithm that it names itself, padded with zeros or cut.

    Source: Confidential Containers initdata specification 0.1.0.
    """
    try:
        stated = tomllib.loads(data.decode("utf-8")).get("algorithm", usual)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        stated = usual
    name = str(stated).replace("-", "").lower()
    if name not in {"sha256", "sha384", "sha512"}:
        raise LaunchError(f"the init data names the hash {str(stated)[:40]!r}; sha256, sha384 or sha512 are known")
    return hashlib.new(name, data).digest()[:size].ljust(size, b"\0")


def _logged(reader: _Reader, events: Sequence[event_log.Event]) -> dict[str, str]:
    """What of the boot the log measures; a part that is given must be among its events.

    Linux's EFI stub and TDVF measure the kernel as a program (RTMR1), then the command line and the initrd (RTMR2).
    """
    covers: dict[str, str] = {}
    if any(one.register == _KERNEL_REGISTER and one.kind == _BOOT_APPLICATION for one in events):
        covers["kernel"] = "rtmr1"
    options = {one.digest for one in events if one.register == _OPTIONS_REGISTER}
    if len(options) > 1:  # a separator alone stands where nothing is measured
        covers |= {"cmdline": "rtmr2", "initrd": "rtmr2"}
    kernel, initrd = reader.file("kernel", required=False), reader.file("initrd", required=False)
    cmdline = reader.take("cmdline", str)
    text = "" if cmdline is None else cmdline
    wide = [(text + end).encode("utf-16-le") for end in ("", "\0")]
    given = {
        "kernel": [tpm_pcrs.authenticode(kernel)] if kernel is not None else None,
        "initrd": [hashlib.sha384(initrd).digest()] if initrd is not None else None,
        "cmdline": [hashlib.sha384(one).digest() for one in wide] if cmdline is not None else None,
    }
    for name, digests in given.items():
        register = _KERNEL_REGISTER if name == "kernel" else _OPTIONS_REGISTER
        logged = {one.digest for one in events if one.register == register}
        if digests is not None and not logged.intersection(digests):
            raise LaunchError(f"the event log measures another {name}, or none")
    return covers


def of_image(data: bytes) -> Values:
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
    return Values("nitro-enclave", {"measurements": measured}, covers, computed)


def _tpm(reader: _Reader) -> Values:
    boot = reader.take("boot", list, [])
    variables, cmdline = reader.take("variables", dict, {}), reader.take("cmdline", str)
    if not boot or not all(isinstance(path, str) for path in boot):
        raise reader.refuse("`boot` must list the boot programs (PE images) in the order in which they start")
    programs = [read_plain(reader.source.parent / path, MAX_INPUT) for path in boot]
    given = {str(name): read_plain(reader.source.parent / str(path), MAX_INPUT) for name, path in variables.items()}
    measured = {
        "pcr4": tpm_pcrs.pcr4(programs, given).hex(),
        "pcr7": tpm_pcrs.pcr7(given, programs).hex(),
        "pcr12": tpm_pcrs.pcr12(programs, cmdline, secure=tpm_pcrs.secure_boot(given)).hex(),
    }
    covers = {"firmware": "pcr7", "kernel": "pcr4", "cmdline": "pcr4" if cmdline is None else "pcr12", "initrd": "pcr4"}
    computed: dict[str, Any] = {"imageDigest": sha256_digest(programs[-1])}
    computed |= {} if cmdline is None else {"cmdline": cmdline}
    return Values("nitro-tpm", {"measurements": measured}, covers, computed)


def _sgx(reader: _Reader) -> Values:
    data = reader.needed("sigstruct")
    found = sigstruct.parse(data)
    if found.debug:
        raise LaunchError("the builder signed it as a debug enclave")
    alternative = {
        "measurements": {"mrEnclave": found.enclave_hash.hex(), "mrSigner": found.signer.hex()},
        "floors": {"isvSvn": found.svn},
        "policy": {"debug": False},
        "note": f"signed by its builder, dated {found.date}, product {found.product_id}",
    }
    computed = {"imageDigest": sha256_digest(sigstruct.locate(data))}
    return Values("sgx", alternative, {"workload": "mrEnclave"}, computed, "vendor")


__all__ = ["CPUS", "MAX_INPUT", "Values", "launch_inputs", "of_image", "of_inputs"]
