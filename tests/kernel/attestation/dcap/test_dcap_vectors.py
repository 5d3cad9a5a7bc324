"""Real TDX and SGX quotes verify, or fail, exactly as their provenance says, at the time it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import dcap_qvl
import pytest

from qnsp_policy.kernel.attestation import registry
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import AssuranceClass, Evidence, EvidenceKind, Verdict, VerifiedClaims

Read = Callable[[str], bytes]
TDX, SGX = EvidenceKind.TDX, EvidenceKind.SGX
CERTS = "sgx/oasis_tcb_info_v3_fmspc_00606A000000_certs.pem"
V4 = ["tdx/oasis_tcb_info_v3_tdx_fmspc_C0806F000000.json", "tdx/oasis_qe_identity_v2_tdx2.json", CERTS]
OLD = ["tdx/oasis_tcb_info_v3_tdx_fmspc_50806F000000.json", "tdx/oasis_qe_identity_v2_tdx.json", CERTS]
V3 = ["sgx/oasis_tcb_info_v3_fmspc_00606A000000.json", "sgx/oasis_qe_identity_v2.json", CERTS]
CASES = [
    (
        TDX,
        "tdx/phala_tdx_quote",
        ["tdx/phala_tdx_quote_collateral.json"],
        "2025-06-19T10:32:27",
        "2025-07-19T10:00:35",
        "UpToDate",
        "",
    ),
    (
        SGX,
        "sgx/phala_sgx_quote",
        ["sgx/phala_sgx_quote_collateral.json"],
        "2025-06-19T10:56:11",
        "2025-07-19T10:01:18",
        "ConfigurationAndSWHardeningNeeded",
        "INTEL-SA-00289 INTEL-SA-00615",
    ),
    (
        SGX,
        "sgx/oasis_quote_v3_ecdsa_p256_pck_chain.bin",
        V3,
        "2022-12-19T09:40:10",
        "2023-01-15T12:45:36",
        "SWHardeningNeeded",
        "INTEL-SA-00615 INTEL-SA-00657",
    ),
    (TDX, "tdx/oasis_quote_v4_tdx_ecdsa_p256.bin", V4, "2024-09-02T07:25:12", "2024-10-02T06:47:57", "UpToDate", ""),
    (
        TDX,
        "tdx/oasis_quote_v4_tdx_ecdsa_p256_trailing.bin",
        V4,
        "2024-09-20T11:12:20",
        "2024-10-02T06:47:57",
        "UpToDate",
        "",
    ),
    (TDX, "tdx/trustee_tdx_quote_4.dat", OLD, "2023-06-18T08:42:58", "2023-07-08T07:24:59", "UpToDate", ""),
]


def judge(vector: Read, kind: EvidenceKind, quote: str | bytes, files: Sequence[str], now: datetime) -> VerifiedClaims:
    data = vector(quote) if isinstance(quote, str) else quote
    collateral = Collateral.from_files({name: vector(name) for name in files})
    return registry.verify_any(Evidence(kind, data), collateral=collateral, anchors=registry.pinned_anchors(), now=now)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("kind", "quote", "files", "begin", "end", "status", "advisories"), CASES)
def test_real_quote_has_its_status_in_its_whole_window_only(
    vector: Read, kind: EvidenceKind, quote: str, files: list[str], begin: str, end: str, status: str, advisories: str
) -> None:
    """Status and advisories are those that Intel's tools give; the verdict changes to the second at both ends of the window."""
    for moment in (at(begin), at(end)):
        claims = judge(vector, kind, quote, files, moment)
        assert (claims.claims["tcbStatus"], claims.claims["tcb.advisories"]) == (status, advisories)
        assert claims.assurance is AssuranceClass.HARDWARE_TEE
        assert claims.not_after == at(end)
    for moment in (at(begin) - timedelta(seconds=1), at(end) + timedelta(seconds=1)):
        with pytest.raises(EvidenceError):
            judge(vector, kind, quote, files, moment)


def test_debug_td_is_signed_but_refused(vector: Read) -> None:
    """Only the DEBUG attribute stands against this TD."""
    claims = judge(vector, TDX, "tdx/trustee_tdx_quote_4.dat", OLD, at("2023-06-20T00:00:00"))
    (debug,) = [statement for statement in claims.statements if statement.name == "debug"]
    assert (debug.verdict, debug.code) == (Verdict.REFUSED, "QNSP-ATT-TDX-096")


def test_no_level_is_a_hard_error(vector: Read) -> None:
    """A platform below every level is refused, not called out of date."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-TDX-083"):
        judge(
            vector,
            TDX,
            "tdx/oasis_quote_v4_tdx_ecdsa_p256_out_of_date.bin",
            OLD,
            datetime.fromtimestamp(1687091776, UTC),
        )


def test_version_5_quote_verifies_without_collateral_but_says_so(vector: Read) -> None:
    """Without TCB info the signature is good and the TCB is stated as not checked."""
    claims = judge(vector, TDX, "tdx/trustee_tdx_quote_5.dat", [], at("2025-07-01T00:00:00"))
    stated = {statement.name: statement.verdict for statement in claims.statements}
    assert (stated["signature"], stated["tcb"], stated["revocation"]) == (
        Verdict.OK,
        Verdict.NOT_CHECKED,
        Verdict.NOT_CHECKED,
    )
    assert "tcbStatus" not in claims.claims
    assert "mrServiceTd" in claims.claims


def test_encrypted_ppid_has_no_certificate(vector: Read) -> None:
    """Certification data of type 3 hold no PCK; a foreign chain given for it fails at the QE signature."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-SGX-013"):
        judge(vector, SGX, "sgx/oasis_quote_v3_ecdsa_p256_eppid.bin", V3, at("2022-12-20T00:00:00"))


def test_tcb_chain_of_another_role(vector: Read) -> None:
    """A chain that verifies to Intel's root but ends in a PCK CA does not sign TCB info."""
    files = [V3[0], V3[1], CERTS.replace("certs.pem", "certs_bad.pem")]
    with pytest.raises(EvidenceError, match="QNSP-ATT-SGX-042"):
        judge(vector, SGX, "sgx/oasis_quote_v3_ecdsa_p256_pck_chain.bin", files, at("2022-12-20T00:00:00"))


def test_crl_of_the_other_ca(vector: Read) -> None:
    """A Processor PCK beside the CRL of the Platform CA is refused."""
    bundle = json.loads(vector("sgx/phala_sgx_quote_collateral.json"))
    bundle["pck_crl"] = json.loads(vector("tdx/phala_tdx_quote_collateral.json"))["pck_crl"]
    collateral = Collateral.from_files({"bundle.json": json.dumps(bundle).encode()})
    with pytest.raises(EvidenceError, match="QNSP-ATT-SGX-056"):
        registry.verify_any(
            Evidence(SGX, vector("sgx/phala_sgx_quote")),
            collateral=collateral,
            anchors=registry.pinned_anchors(),
            now=at("2025-07-01T00:00:00"),
        )


def test_collateral_of_another_platform(vector: Read) -> None:
    """TCB info of another FMSPC is refused as such."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-TDX-081"):
        judge(
            vector,
            TDX,
            "tdx/trustee_tdx_quote_5.dat",
            ["tdx/phala_tdx_quote_collateral.json"],
            at("2025-07-01T00:00:00"),
        )


@pytest.mark.parametrize(("kind", "quote", "files", "begin", "end", "status", "advisories"), CASES[:2])
def test_same_status_as_dcap_qvl(
    vector: Read, kind: EvidenceKind, quote: str, files: list[str], begin: str, end: str, status: str, advisories: str
) -> None:
    """An independent implementation gives the same status and advisories within the window, and an error outside."""
    bundle = dcap_qvl.QuoteCollateralV3.from_json(vector(files[0]).decode())
    middle = at(begin) + (at(end) - at(begin)) / 2
    report = dcap_qvl.verify(vector(quote), bundle, int(middle.timestamp()))
    claims = judge(vector, kind, quote, files, middle).claims
    assert claims["tcbStatus"] == report.status == status
    assert sorted(str(claims["tcb.advisories"]).split()) == sorted(report.advisory_ids) == advisories.split()
