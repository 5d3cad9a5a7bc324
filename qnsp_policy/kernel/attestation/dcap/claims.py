"""The claims that a verified quote makes, by dotted name, and what its measurements cover."""

from __future__ import annotations

from qnsp_policy.kernel.attestation.dcap.abi import EnclaveReport, TdReport
from qnsp_policy.kernel.attestation.dcap.codes import Tee
from qnsp_policy.kernel.attestation.values import ClaimValue


def sgx_claims(body: EnclaveReport) -> dict[str, ClaimValue]:
    """Claims of an enclave report."""
    flags = body.attributes[0]
    return {
        "mrEnclave": body.mr_enclave.hex(),
        "mrSigner": body.mr_signer.hex(),
        "isvProdId": body.isv_prod_id,
        "isvSvn": body.isv_svn,
        "isvExtProdId": body.isv_ext_prod_id.hex(),
        "isvFamilyId": body.isv_family_id.hex(),
        "configId": body.config_id.hex(),
        "configSvn": body.config_svn,
        "cpuSvn": body.cpu_svn.hex(),
        "miscSelect": f"{body.misc_select:08x}",
        "attributes.raw": body.attributes.hex(),
        "attributes.debug": bool(flags & 0x02),
        "attributes.mode64": bool(flags & 0x04),
        "attributes.provisionKey": bool(flags & 0x10),
        "attributes.einitTokenKey": bool(flags & 0x20),
        "attributes.kss": bool(flags & 0x80),
        "reportData": body.report_data.hex(),
    }


def td_claims(body: TdReport) -> dict[str, ClaimValue]:
    """Claims of a TD report."""
    flags = int.from_bytes(body.td_attributes, "little")
    claims: dict[str, ClaimValue] = {
        "mrTd": body.mr_td.hex(),
        "mrConfigId": body.mr_config_id.hex(),
        "mrOwner": body.mr_owner.hex(),
        "mrOwnerConfig": body.mr_owner_config.hex(),
        "mrSeam": body.mr_seam.hex(),
        "mrSignerSeam": body.mr_signer_seam.hex(),
        "seamAttributes": body.seam_attributes.hex(),
        "tdAttributes.raw": body.td_attributes.hex(),
        "tdAttributes.debug": bool(
            flags & 0xFF
        ),  # group TUD: DEBUG and the profiling bits, any of which unprotects a TD
        "tdAttributes.tud": flags & 0xFF,
        "tdAttributes.septVeDisable": bool(flags >> 28 & 1),
        "tdAttributes.migratable": bool(flags >> 29 & 1),
        "tdAttributes.pks": bool(flags >> 30 & 1),
        "tdAttributes.perfmon": bool(flags >> 63 & 1),
        "xfam": body.xfam.hex(),
        "teeTcbSvn": body.tee_tcb_svn.hex(),
        "reportData": body.report_data.hex(),
    }
    for index, value in enumerate(body.rtmrs):
        claims[f"rtmr{index}"] = value.hex()
    if body.tee_tcb_svn2 is not None and body.mr_service_td is not None:
        claims["teeTcbSvn2"] = body.tee_tcb_svn2.hex()
        claims["mrServiceTd"] = body.mr_service_td.hex()
    return claims


def coverage(tee: Tee) -> str:
    """What the measurements vouch for, in words."""
    if tee is Tee.TDX:
        return "MRTD covers the initial memory (firmware); kernel, command line and initrd are in RTMR1 and RTMR2"
    return "MRENCLAVE covers the enclave's initial memory; what it loads later is covered by nothing here"


__all__ = ["coverage", "sgx_claims", "td_claims"]
