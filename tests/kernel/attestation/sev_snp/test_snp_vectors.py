"""Real SNP evidence verifies, or fails, exactly as its provenance says, at the time it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import table
from qnsp_policy.kernel.attestation.sev_snp.anchors import ANCHORS
from qnsp_policy.kernel.attestation.sev_snp.verify import verify
from qnsp_policy.kernel.attestation.values import AssuranceClass, Evidence, EvidenceKind, Verdict, VerifiedClaims
from qnsp_policy.kernel.attestation.x509 import load_certificate, split_pem

Read = Callable[[str], bytes]
CHAINS = ("ms_milan_ask.pem", "ms_genoa_ask.pem", "gsg_ask_ark_milan_vlek.pem")
NOW = datetime(2026, 9, 1, tzinfo=UTC)
IN_VLEK_TIME = datetime(2025, 6, 1, tzinfo=UTC)


def judge(
    vector: Read,
    report: str,
    leaf: str,
    *,
    now: datetime = NOW,
    name: str = "vcek",
    chains: tuple[str, ...] = CHAINS,
    crl: bool = False,
) -> VerifiedClaims:
    files = {chain: vector(f"snp/{chain}") for chain in chains}
    if crl:
        files["kds_milan_20260819.crl.der"] = vector("snp/kds_milan_20260819.crl.der")
    evidence = Evidence(EvidenceKind.SEV_SNP, vector(f"snp/{report}"), {name: vector(f"snp/{leaf}")})
    return verify(evidence, collateral=Collateral.from_files(files), anchors=ANCHORS, now=now)


@pytest.mark.parametrize(
    ("report", "leaf", "line", "version"),
    [
        ("ms_milan_attestation_report.bin", "ms_milan_vcek.pem", "Milan", 3),
        ("ms_genoa_attestation_report.bin", "ms_genoa_vcek.pem", "Genoa", 3),
        ("gsg_attestation.bin", "gsg_vcek.testcer", "Milan", 2),
        ("trustee_test-report.bin", "trustee_test-vcek.der", "Milan", 2),
        ("trustee_azsnp_hcl-report.bin", "trustee_azsnp_vcek.pem", "Milan", 2),
    ],
)
def test_real_report_verifies(vector: Read, report: str, leaf: str, line: str, version: int) -> None:
    """A real report of each origin verifies to AMD's own root."""
    claims = judge(vector, report, leaf)
    assert claims.claims["productLine"] == line
    assert claims.claims["version"] == version
    assert claims.assurance is AssuranceClass.HARDWARE_TEE
    stated = {statement.name: statement.verdict for statement in claims.statements}
    assert (stated["signature"], stated["chain"], stated["revocation"]) == (Verdict.OK, Verdict.OK, Verdict.NOT_CHECKED)


def test_debug_report_is_signed_but_refused(vector: Read) -> None:
    """A correctly signed report of a debuggable guest says so: signed and acceptable are two answers."""
    claims = judge(vector, "gsg_attestation.bin", "gsg_vcek.testcer")
    (debug,) = [statement for statement in claims.statements if statement.name == "debug"]
    assert (debug.verdict, debug.code) == (Verdict.REFUSED, "QNSP-ATT-SNP-080")
    assert claims.claims["policy.debug"] is True


def test_vlek_report_verifies_in_its_year_only(vector: Read) -> None:
    """A VLEK lives one year; inside it the report of VMPL 1 verifies, at both ends to the second."""
    args = ("trustee_test-vlek-report.bin", "trustee_test-vlek.der")
    claims = judge(vector, *args, now=IN_VLEK_TIME, name="vlek")
    assert (claims.claims["signingKey"], claims.claims["vmpl"]) == ("vlek", 1)
    assert claims.claims["cspId"] == "CN=cc-us-east-2.amazonaws.com"
    for moment in ("2024-12-10T22:14:21+00:00", "2025-12-10T22:14:21+00:00"):
        judge(vector, *args, now=datetime.fromisoformat(moment), name="vlek")
    for moment, code in (("2024-12-10T22:14:20+00:00", "040"), ("2025-12-10T22:14:22+00:00", "041")):
        with pytest.raises(EvidenceError) as caught:
            judge(vector, *args, now=datetime.fromisoformat(moment), name="vlek")
        assert caught.value.code == f"QNSP-ATT-SNP-{code}"


def test_reported_tcb_is_the_one_that_counts(vector: Read) -> None:
    """Where CURRENT and REPORTED TCB differ, the VCEK is held against REPORTED_TCB."""
    claims = judge(vector, "trustee_test-report.bin", "trustee_test-vcek.der").claims
    assert (claims["tcb.reported.microcode"], claims["tcb.current.microcode"]) == (0x73, 0xCE)


@pytest.mark.parametrize("leaf", ["trustee_test-vcek-invalid-legacy.der", "trustee_test-vcek-invalid-new.der"])
def test_leaf_not_by_amd_is_refused(vector: Read, leaf: str) -> None:
    """A VCEK that the ASK did not sign is refused at the chain."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-035"):
        judge(vector, "trustee_test-report.bin", leaf)


def test_crl_in_force_is_checked(vector: Read) -> None:
    """With AMD's CRL in force, revocation is checked and bounds the verdict."""
    claims = judge(vector, "ms_milan_attestation_report.bin", "ms_milan_vcek.pem", crl=True)
    assert {s.name: s.verdict for s in claims.statements}["revocation"] is Verdict.OK
    assert claims.not_after == datetime(2026, 10, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "code"),
    [("2026-08-19T14:19:22+00:00", "073"), ("2026-10-04T00:00:01+00:00", "074")],
)
def test_crl_outside_its_time_is_refused(vector: Read, moment: str, code: str) -> None:
    """One second before thisUpdate or after nextUpdate the CRL is refused, never ignored."""
    with pytest.raises(EvidenceError) as caught:
        judge(
            vector, "ms_milan_attestation_report.bin", "ms_milan_vcek.pem", now=datetime.fromisoformat(moment), crl=True
        )
    assert caught.value.code == f"QNSP-ATT-SNP-{code}"


def test_crl_ends_are_inside(vector: Read) -> None:
    """At thisUpdate and at nextUpdate themselves the CRL is in force."""
    for moment in (datetime(2026, 8, 19, 14, 19, 23, tzinfo=UTC), datetime(2026, 10, 4, tzinfo=UTC)):
        judge(vector, "ms_milan_attestation_report.bin", "ms_milan_vcek.pem", now=moment, crl=True)


def test_crl_of_another_ark_is_refused(vector: Read) -> None:
    """Milan's CRL says nothing of Genoa."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-071"):
        judge(vector, "ms_genoa_attestation_report.bin", "ms_genoa_vcek.pem", crl=True)


def test_ask_of_another_line_is_refused(vector: Read) -> None:
    """Genoa's ASK does not stand behind a Milan VCEK."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-031"):
        judge(vector, "ms_milan_attestation_report.bin", "ms_milan_vcek.pem", chains=("ms_genoa_ask.pem",))


def test_missing_ask_is_named(vector: Read) -> None:
    """Without an ASK the chain cannot be built, and that is what is said."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-030"):
        judge(vector, "ms_milan_attestation_report.bin", "ms_milan_vcek.pem", chains=())


@pytest.mark.parametrize(
    ("report", "leaf", "code"),
    [
        ("ms_milan_attestation_report.bin", "ms_genoa_vcek.pem", "021"),
        ("ms_milan_attestation_report.bin", "gsg_vcek.testcer", "053"),
        ("trustee_test-report.bin", "gsg_vcek.testcer", "053"),
        ("ms_milan_attestation_report.bin", "trustee_test-vlek.der", "013"),
        ("trustee_test-vlek-report.bin", "ms_milan_vcek.pem", "012"),
    ],
)
def test_certificate_of_something_else_is_refused(vector: Read, report: str, leaf: str, code: str) -> None:
    """A VCEK of another line or chip, a VLEK for a VCEK report and the reverse: each by its own code."""
    with pytest.raises(EvidenceError) as caught:
        judge(vector, report, leaf, now=IN_VLEK_TIME if "vlek" in leaf + report else NOW)
    assert caught.value.code == f"QNSP-ATT-SNP-{code}"


def test_certificate_table_carries_the_chain(vector: Read) -> None:
    """The GUID table of an extended report is enough collateral."""
    certificates = {
        "vcek": split_pem(vector("snp/ms_milan_vcek.pem"))[0],
        "ask": split_pem(vector("snp/ms_milan_ask.pem"))[0],
        "ark": split_pem(vector("snp/ms_milan_ark.pem"))[0],
    }
    blob = table.build(certificates)
    assert table.parse(blob) == certificates
    evidence = Evidence(
        EvidenceKind.SEV_SNP, vector("snp/ms_milan_attestation_report.bin"), {"auxblob": blob + bytes(100)}
    )
    claims = verify(evidence, collateral=Collateral(), anchors=ANCHORS, now=NOW)
    assert claims.claims["productLine"] == "Milan"


def test_verdict_ends_with_the_leaf(vector: Read) -> None:
    """The verdict changes exactly at the ends of the VCEK's validity."""
    leaf = load_certificate(split_pem(vector("snp/ms_genoa_vcek.pem"))[0])
    second = timedelta(seconds=1)
    for moment in (leaf.not_before, leaf.not_after):
        judge(vector, "ms_genoa_attestation_report.bin", "ms_genoa_vcek.pem", now=moment)
    for moment, code in ((leaf.not_before - second, "040"), (leaf.not_after + second, "041")):
        with pytest.raises(EvidenceError) as caught:
            judge(vector, "ms_genoa_attestation_report.bin", "ms_genoa_vcek.pem", now=moment)
        assert caught.value.code == f"QNSP-ATT-SNP-{code}"


def test_hcl_wrapper_binds_its_runtime_data(vector: Read) -> None:
    """Azure's wrapper verifies, and any change of its JSON, sizes or padding is refused."""
    raw = vector("snp/trustee_azsnp_hcl-report.bin")
    endorsements = {"vcek": vector("snp/trustee_azsnp_vcek.pem")}

    def run(data: bytes) -> VerifiedClaims:
        return verify(
            Evidence(EvidenceKind.SEV_SNP, data, endorsements), collateral=Collateral(), anchors=ANCHORS, now=NOW
        )

    assert {s.name: s.verdict for s in run(raw).statements}["tpm-quote"] is Verdict.NOT_CHECKED
    for position, code in (
        (0x4D4 + 10, "092"),
        (0x4C0, "090"),
        (0x4C8, "091"),
        (0x4CC, "090"),
        (len(raw) - 1, "090"),
        (4, "090"),
    ):
        changed = bytearray(raw)
        changed[position] ^= 1
        with pytest.raises(EvidenceError) as caught:
            run(bytes(changed))
        assert caught.value.code == f"QNSP-ATT-SNP-{code}", hex(position)
