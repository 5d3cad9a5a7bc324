"""The claims that a verified report makes, by dotted name, and what its launch digest covers."""

from __future__ import annotations

from qnsp_policy.kernel.attestation.sev_snp import leaf
from qnsp_policy.kernel.attestation.sev_snp.abi import Line, Report, SigningKey, Tcb
from qnsp_policy.kernel.attestation.sev_snp.chain import ISSUING
from qnsp_policy.kernel.attestation.values import (
    ClaimValue,
)


def claims_of(report: Report, line: Line, identity: leaf.LeafIdentity) -> dict[str, ClaimValue]:
    policy, platform = report.policy, report.platform_info
    claims: dict[str, ClaimValue] = {
        "version": report.version,
        "productLine": line.value,
        "product": identity.product,
        "measurement": report.measurement.hex(),
        "hostData": report.host_data.hex(),
        "reportData": report.report_data.hex(),
        "familyId": report.family_id.hex(),
        "imageId": report.image_id.hex(),
        "idKeyDigest": report.id_key_digest.hex(),
        "authorKeyDigest": report.author_key_digest.hex(),
        "authorKeyEnabled": report.author_key_enabled,
        "reportId": report.report_id.hex(),
        "reportIdMa": report.report_id_ma.hex(),
        "chipId": report.chip_id.hex(),
        "chipKeyMasked": report.chip_key_masked,
        "vmpl": report.vmpl,
        "guestSvn": report.guest_svn,
        "signingKey": ISSUING[SigningKey(report.signing_key)].lower(),
        "cspId": identity.csp_id,
        "policy.raw": f"0x{policy:016x}",
        "policy.abiMinor": policy & 0xFF,
        "policy.abiMajor": policy >> 8 & 0xFF,
        "policy.smt": bool(policy >> 16 & 1),
        "policy.migrate": bool(policy >> 18 & 1),
        "policy.debug": bool(policy >> 19 & 1),
        "policy.singleSocket": bool(policy >> 20 & 1),
        "policy.cxlAllowed": bool(policy >> 21 & 1),
        "policy.memAes256Xts": bool(policy >> 22 & 1),
        "policy.raplDisabled": bool(policy >> 23 & 1),
        "policy.ciphertextHidingDram": bool(policy >> 24 & 1),
        "policy.pageSwapDisabled": bool(policy >> 25 & 1),
        "platform.raw": f"0x{platform:016x}",
        "platform.smtEnabled": bool(platform & 1),
        "platform.tsmeEnabled": bool(platform >> 1 & 1),
        "platform.eccEnabled": bool(platform >> 2 & 1),
        "platform.raplDisabled": bool(platform >> 3 & 1),
        "platform.ciphertextHidingDram": bool(platform >> 4 & 1),
        "platform.aliasCheckComplete": bool(platform >> 5 & 1),
        "platform.sevTio": bool(platform >> 7 & 1),
        "build.current": f"{report.current_build[2]}.{report.current_build[1]}.{report.current_build[0]}",
        "build.committed": f"{report.committed_build[2]}.{report.committed_build[1]}.{report.committed_build[0]}",
    }
    for name, value in (
        ("reported", report.reported_tcb),
        ("committed", report.committed_tcb),
        ("current", report.current_tcb),
        ("launch", report.launch_tcb),
    ):
        for part, number in Tcb.unpack(value, line).components().items():
            claims[f"tcb.{name}.{part}"] = number
    if report.cpuid is not None:
        claims["cpuid.family"], claims["cpuid.model"], claims["cpuid.stepping"] = report.cpuid
    if report.version >= 5:
        claims["mitigations.launch"] = f"0x{report.launch_mitigations:016x}"
        claims["mitigations.current"] = f"0x{report.current_mitigations:016x}"
    return claims


def components(tcb: Tcb) -> str:
    return " ".join(f"{name}={value}" for name, value in tcb.components().items())


def coverage(*, paravisor: bool) -> str:
    """What the launch digest vouches for, in words."""
    if paravisor:
        return "the launch digest covers the paravisor; kernel and root filesystem are in the vTPM's PCRs only"
    return "the launch digest covers the initial memory: firmware, and kernel, command line and initrd only if it hashes them"


__all__ = ["claims_of", "components", "coverage"]
