"""Every bad input of the house's list has a named test, and every step its own code; what no other file tries is tried here."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.kernel.attestation.batch import Batch
from qnsp_policy.kernel.attestation.codes import lookup, table
from qnsp_policy.kernel.attestation.dcap.codes import Refusal
from qnsp_policy.kernel.attestation.nvidia_gpu import abi
from qnsp_policy.simulator import dcap
from qnsp_policy.simulator.fleet import Fleet, mint_fleet

HERE = Path(__file__).parent
STEP = 1 if os.environ.get("QNSP_FLIPS") == "all" else 3
NOW = datetime(2027, 5, 4, 3, 2, 1, tzinfo=UTC)
COVERED: dict[str, dict[str, str]] = {
    "SNP": {
        "1183 / 1185 bytes": "sev_snp/test_snp_refusals.py::test_length",
        "version 0, 1, 99": "sev_snp/test_snp_refusals.py::test_version",
        "sig_algo 0, 2": "sev_snp/test_snp_refusals.py::test_signature_algorithm",
        "flip in measurement": "sev_snp/test_snp_refusals.py::test_changed_after_signing",
        "flip in report_data": "sev_snp/test_snp_refusals.py::test_changed_after_signing",
        "r,s swapped": "sev_snp/test_snp_refusals.py::test_signature_swapped_or_big_endian",
        "r,s big-endian": "sev_snp/test_snp_refusals.py::test_signature_swapped_or_big_endian",
        "r = 0 or s >= n": "sev_snp/test_snp_refusals.py::test_changed_after_signing",
        "non-zero 0x330..0x49F": "sev_snp/test_snp_refusals.py::test_changed_after_signing",
        "VCEK of another chip": "sev_snp/test_snp_refusals.py::test_vcek_of_another_chip",
        "VCEK of another TCB": "sev_snp/test_snp_refusals.py::test_vcek_of_another_tcb",
        "ASK of another line": "sev_snp/test_snp_vectors.py::test_ask_of_another_line_is_refused",
        "self-made ARK of the same name": "sev_snp/test_snp_refusals.py::test_self_made_root_of_the_same_name",
        "VLEK report with VCEK and reverse": "sev_snp/test_snp_refusals.py::test_vlek_report_with_vcek_and_reverse",
        "DEBUG": "sev_snp/test_snp_vectors.py::test_debug_report_is_signed_but_refused",
        "VMPL": "test_batch_and_inspection.py::test_what_a_line_demands_is_held",
        "VLEK expired": "sev_snp/test_snp_vectors.py::test_vlek_report_verifies_in_its_year_only",
        "ASK serial in CRL": "sev_snp/test_snp_refusals.py::test_revoked_intermediate",
        "CRL expired": "sev_snp/test_snp_refusals.py::test_crl_clock",
        "CRL of another ARK": "sev_snp/test_snp_refusals.py::test_crl_of_another_or_forged_ark",
        "Turin report under Milan map": "sev_snp/test_snp_refusals.py::test_turin_tcb_under_the_milan_map",
        "HWID 64 vs 8": "sev_snp/test_snp_refusals.py::test_hwid_length_by_line",
        "masked chip id with VCEK": "sev_snp/test_snp_refusals.py::test_masked_chip_id_with_vcek",
        "report_data differing in length only": "test_batch_and_inspection.py::test_what_a_line_demands_is_held",
    },
    "TDX": {
        "cut at each section edge": "dcap/test_dcap_format.py::test_cut_at_every_section_edge",
        "sig length +1, -1, 2^32-1": "dcap/test_dcap_format.py::test_signature_length",
        "auth length past end": "dcap/test_dcap_format.py::test_auth_length_past_the_end",
        "vendor id": "dcap/test_dcap_format.py::test_header",
        "key type 3": "dcap/test_dcap_format.py::test_header",
        "SGX TEE with TD body": "dcap/test_dcap_format.py::test_enclave_type_over_a_td_body",
        "v5 type/size disagree": "dcap/test_dcap_format.py::test_version_5_body_type_and_size",
        "RTMR flip": "dcap/test_dcap_chain.py::test_signatures_and_bindings",
        "ak of another quote": "dcap/test_dcap_chain.py::test_signatures_and_bindings",
        "auth byte": "dcap/test_dcap_chain.py::test_signatures_and_bindings",
        "QE report_data tail": "dcap/test_dcap_chain.py::test_qe_report_data_tail",
        "chain reordered, short, extra": "dcap/test_dcap_chain.py::test_chain_form",
        "foreign root": "dcap/test_dcap_chain.py::test_test_root_quote",
        "other FMSPC's collateral": "dcap/test_dcap_tcb.py::test_tcb_info_of_another_platform",
        "TCB info re-serialised": "dcap/test_dcap_collateral.py::test_documents_signed_as_exact_bytes",
        "its signature swapped with the QE identity's": "dcap/test_dcap_collateral.py::test_documents_signed_as_exact_bytes",
        "TCB, QE identity expired, each alone": "dcap/test_dcap_collateral.py::test_documents_expire_each_alone",
        "CRL expired alone": "dcap/test_dcap_collateral.py::test_crls_expire_each_alone",
        "PCK or CA serial in CRL": "dcap/test_dcap_collateral.py::test_revoked",
        "QE MRSIGNER, ISVPRODID, revoked SVN": "dcap/test_dcap_tcb.py::test_qe_identity",
        "QE masks": "dcap/test_dcap_tcb.py::test_qe_masks_of_the_report",
        "TD DEBUG": "dcap/test_dcap_tcb.py::test_debug_is_stated_as_refused",
        "no level": "dcap/test_dcap_tcb.py::test_td_components_below",
        "unknown module major": "dcap/test_dcap_tcb.py::test_td_module",
        "Revoked": "dcap/test_dcap_tcb.py::test_revoked_and_unknown_status",
        "duplicate JSON keys": "dcap/test_dcap_collateral.py::test_signed_but_malformed_documents",
        "non-zero tail": "dcap/test_dcap_format.py::test_zero_tail_is_padding_and_other_tail_is_refused",
    },
    "SGX": {
        "v3 length edges": "dcap/test_dcap_format.py::test_cut_at_every_section_edge",
        "v2 or EPID": "dcap/test_dcap_format.py::test_header",
        "certification type 1-4 without PCK": "dcap/test_dcap_format.py::test_certification_without_a_certificate",
        "debug": "dcap/test_dcap_tcb.py::test_debug_is_stated_as_refused",
        "MRENCLAVE flip": "dcap/test_dcap_chain.py::test_signatures_and_bindings",
        "MRSIGNER policy": "test_bad_inputs_are_covered.py::test_sgx_signer_and_svn_by_policy",
        "ISVSVN floor": "test_bad_inputs_are_covered.py::test_sgx_signer_and_svn_by_policy",
        "Processor PCK with Platform CRL": "dcap/test_dcap_vectors.py::test_crl_of_the_other_ca",
        "PPID/FMSPC missing": "dcap/test_dcap_chain.py::test_pck_profile_and_extension",
        "PCESVN below all": "dcap/test_dcap_tcb.py::test_level_needs_every_component",
        "one component lower": "dcap/test_dcap_tcb.py::test_level_needs_every_component",
        "TDX TCB info": "dcap/test_dcap_tcb.py::test_tcb_info_of_another_platform",
        "TD_QE identity": "dcap/test_dcap_tcb.py::test_qe_identity",
        "attributes mask": "dcap/test_dcap_tcb.py::test_qe_masks_of_the_report",
        "custom-claims tail": "dcap/test_dcap_format.py::test_zero_tail_is_padding_and_other_tail_is_refused",
        "test-root quote": "dcap/test_dcap_chain.py::test_test_root_quote",
        "collateral out of date": "dcap/test_dcap_collateral.py::test_documents_expire_each_alone",
        "wrong-role TCB chain": "dcap/test_dcap_vectors.py::test_tcb_chain_of_another_role",
        "configuration-needed under strict policy": "test_bad_inputs_are_covered.py::test_status_word_under_a_strict_policy",
        "two PEM leaves": "dcap/test_dcap_chain.py::test_chain_form",
    },
    "Nitro": {
        "bad signature": "nitro/test_nitro.py::test_bad_envelopes",
        "alg -7, -36, none": "nitro/test_nitro.py::test_bad_envelopes",
        "alg in unprotected": "nitro/test_nitro.py::test_bad_envelopes",
        "unprotected non-empty": "nitro/test_nitro.py::test_bad_envelopes",
        "tag 98, 17": "nitro/test_nitro.py::test_bad_envelopes",
        "array of 3, 5": "nitro/test_nitro.py::test_bad_envelopes",
        "payload indefinite, non-minimal, duplicate key": "nitro/test_nitro.py::test_payload_encoding",
        "trailing bytes": "nitro/test_nitro.py::test_bad_envelopes",
        "digest SHA256": "nitro/test_nitro.py::test_bad_payloads",
        "PCR of 32 bytes": "nitro/test_nitro.py::test_bad_payloads",
        "key 0 as text": "nitro/test_nitro.py::test_bad_payloads",
        "PCR0-2 zero": "nitro/test_nitro.py::test_debug_and_pcr_policy",
        "expected PCR missing": "nitro/test_nitro.py::test_debug_and_pcr_policy",
        "cabundle reversed, empty": "nitro/test_nitro.py::test_bad_payloads",
        "root replaced": "nitro/test_nitro.py::test_chain_rules",
        "leaf as CA, CA without flag": "nitro/test_nitro.py::test_chain_rules",
        "P-256 leaf": "nitro/test_nitro.py::test_chain_rules",
        "now outside the leaf window": "nitro/test_nitro.py::test_verdict_changes_exactly_at_each_end_of_validity",
        "timestamp outside the leaf window": "nitro/test_nitro.py::test_document_time_outside_the_leaf",
        "nonce absent, other, null": "test_bad_inputs_are_covered.py::test_nonce_of_a_nitro_document",
        "each kind at the other's entry": "nitro/test_nitro.py::test_each_kind_is_refused_at_the_others_entry",
        "both PCR maps": "nitro/test_nitro.py::test_bad_payloads",
        "fields over the limits": "nitro/test_nitro.py::test_bad_payloads",
        "TPM nonce, digest or AK unlike the document": "nitro/test_nitro.py::test_tpm_quote_rules",
        "CBOR nesting bomb": "nitro/test_nitro.py::test_bad_envelopes",
    },
    "NVIDIA": {
        "SPDM 0x10, 0x12": "nvidia/test_nvidia.py::test_bad_frames",
        "code not 0x60": "nvidia/test_nvidia.py::test_bad_frames",
        "block count vs length": "nvidia/test_nvidia.py::test_bad_frames",
        "record overrun": "nvidia/test_nvidia.py::test_bad_frames",
        "duplicate index": "nvidia/test_nvidia.py::test_bad_frames",
        "spec != 1": "nvidia/test_nvidia.py::test_bad_frames",
        "size mismatch": "nvidia/test_nvidia.py::test_bad_frames",
        "opaque overrun, duplicate, unknown": "nvidia/test_nvidia.py::test_opaque_data",
        "signature 95/97 bytes": "nvidia/test_nvidia.py::test_signature_lengths",
        "nonce mismatch": "test_bad_inputs_are_covered.py::test_nonce_of_a_device",
        "responder nonce as request nonce": "test_bad_inputs_are_covered.py::test_nonce_of_a_device",
        "chain of 4, reordered, other device's leaf": "nvidia/test_nvidia.py::test_device_chain",
        "FWID mismatch, absent, zero": "nvidia/test_nvidia.py::test_firmware_id",
        "RIM digest edit": "nvidia/test_nvidia.py::test_bad_rims",
        "RIM bad SignatureValue": "nvidia/test_nvidia.py::test_bad_rims",
        "RIM two Signatures": "nvidia/test_nvidia.py::test_bad_rims",
        "RIM wrapping": "nvidia/test_nvidia.py::test_bad_rims",
        "RIM comment/entity/DTD": "nvidia/test_nvidia.py::test_bad_rims",
        "RIM external URI": "nvidia/test_nvidia.py::test_bad_rims",
        "RIM SHA-1": "nvidia/test_nvidia.py::test_bad_rims",
        "RIM other version": "nvidia/test_nvidia.py::test_rim_choice",
        "RIM other SKU": "nvidia/test_nvidia.py::test_rim_choice",
        "RIM relabelled": "nvidia/test_nvidia.py::test_rim_choice",
        "RIM debug root": "nvidia/test_nvidia.py::test_rim_signers",
        "RIM expired": "nvidia/test_nvidia.py::test_rim_signer_window_is_exact",
        "RIM index conflict": "nvidia/test_nvidia.py::test_measurements",
        "RIM one bit off in an alternative": "nvidia/test_nvidia.py::test_measurements",
        "RIM inactive treated as active": "nvidia/test_nvidia.py::test_bad_rims",
        "RIM index off by one": "nvidia/test_nvidia.py::test_measurements",
        "OCSP revoked, hold, unknown, stale, wrong id, wrong responder": "nvidia/test_nvidia.py::test_ocsp",
        "OCSP missing nonce": "nvidia/test_nvidia.py::test_ocsp",
        "list of mixed architectures, mixed SPT/MPT, repeated device": "nvidia/test_nvidia.py::test_whole_node",
    },
    "NRAS": {
        "alg none, HS384, ES256": "nras/test_nras.py::test_headers_and_algorithms",
        "DER signature": "nras/test_nras.py::test_headers_and_algorithms",
        "unknown kid": "nras/test_nras.py::test_headers_and_algorithms",
        "duplicate kid": "nras/test_nras.py::test_key_set",
        "x5c key unlike x,y": "nras/test_nras.py::test_key_set",
        "x5c not pinned": "nras/test_nras.py::test_key_set",
        "leaf outside 48 h": "nras/test_nras.py::test_key_set",
        "exp": "nras/test_nras.py::test_times_are_exact",
        "nbf": "nras/test_nras.py::test_times_are_exact",
        "iss staging or with slash": "nras/test_nras.py::test_issuer",
        "overall false": "nras/test_nras.py::test_bad_verdicts_are_correctly_signed",
        "overall true as text": "nras/test_nras.py::test_claims_versions",
        "submod digest": "nras/test_nras.py::test_submodules",
        "missing submod": "nras/test_nras.py::test_submodules",
        "extra token": "nras/test_nras.py::test_submodules",
        "token of another session": "nras/test_nras.py::test_submodules",
        "eat_nonce mismatch, zero": "nras/test_nras.py::test_nonces",
        "measres absent, or fail with overall true": "nras/test_nras.py::test_bad_verdicts_are_correctly_signed",
        "dbgstat enabled": "nras/test_nras.py::test_bad_verdicts_are_correctly_signed",
        "secboot false": "nras/test_nras.py::test_bad_verdicts_are_correctly_signed",
        "unknown claims version": "nras/test_nras.py::test_claims_versions",
        "2.0 names under 3.0": "nras/test_nras.py::test_claims_versions",
        "crit": "nras/test_nras.py::test_headers_and_algorithms",
        "duplicate keys": "nras/test_nras.py::test_duplicate_claims",
    },
    "CoCo": {
        "no insecure switch": "test_coco_sample.py::test_sample_needs_a_declaration",
        "report_data absent, empty, wrong length, wrong bytes": "test_bad_inputs_are_covered.py::test_sample_report_data",
        "loose base64": "test_coco_sample.py::test_malformed_sample",
        "url-safe alphabet": "test_coco_sample.py::test_malformed_sample",
        "svn int/float/null, missing": "test_coco_sample.py::test_malformed_sample",
        "extra field": "test_coco_sample.py::test_malformed_sample",
        "array": "test_coco_sample.py::test_malformed_sample",
        "duplicate key": "test_coco_sample.py::test_malformed_sample",
        "NaN": "test_coco_sample.py::test_malformed_sample",
        "1 MB string": "test_coco_sample.py::test_malformed_sample",
        "non-UTF-8": "test_coco_sample.py::test_malformed_sample",
        "nesting 10^5": "test_bad_inputs_are_covered.py::test_sample_nested_deep",
        "labelled snp/tdx": "test_coco_sample.py::test_sample_labels",
        "sample_device as cpu": "test_coco_sample.py::test_sample_labels",
        "init-data demanded": "test_bad_inputs_are_covered.py::test_sample_report_data",
        "mixed with a real device and merged to hardware": "test_composite_and_registry.py::test_join_keeps_roles_and_assurance_apart",
    },
}  # fmt: skip


def _functions(file: str) -> Mapping[str, str]:
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    return {node.name: ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("kind", COVERED)
def test_every_listed_bad_input_names_a_test_that_is_there(kind: str) -> None:
    """No item of the list is forgotten: each names a test, the test exists and says what it promises."""
    for item, test in COVERED[kind].items():
        file, _, function = test.partition("::")
        assert _functions(file).get(function), f"{kind}: {item}: {test}"


def test_codes_are_distinct_and_steps_follow_the_story() -> None:
    """Two causes never share a code or a meaning within a kind, and numbers rise with the steps of a DCAP quote."""
    for kind, codes in table().items():
        assert len({code.code for code in codes}) == len(codes), kind
        assert len({code.meaning for code in codes}) == len(codes), kind
    numbers = [refusal.number for refusal in Refusal if refusal.number < 90]
    steps = [refusal.value[1] for refusal in sorted(Refusal, key=lambda one: one.number) if refusal.number < 90]
    assert len(set(numbers)) == len(numbers)
    assert steps == sorted(steps)


class Memory:
    """Files in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise FileNotFoundError(2, "No such file")
        return self.files[name]

    def folder(self, name: str) -> Mapping[str, bytes]:
        return {key.removeprefix(name + "/"): data for key, data in self.files.items() if key.startswith(name + "/")}

    def is_folder(self, name: str) -> bool:
        return any(key.startswith(name + "/") for key in self.files)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return mint_fleet(NOW, 1)


def judge(fleet: Fleet, kind: str, *, files: Mapping[str, bytes] | None = None, **changes: Any) -> dict[str, Any]:
    line = next(line for line in fleet.lines if line["kind"] == kind)
    request = {name: value for name, value in {**line, **changes}.items() if value is not None}
    return Batch(Memory({**fleet.files, **(files or {})}), NOW).answer(request)


def test_sgx_signer_and_svn_by_policy(fleet: Fleet) -> None:
    """Another signer and a lower SVN than a policy wants are refused, each by its own code."""
    good = judge(fleet, "sgx")
    assert good["verdict"] == "accepted"
    assert judge(fleet, "sgx", equals={"mrSigner": good["claims"]["mrSigner"]})["verdict"] == "accepted"
    assert judge(fleet, "sgx", equals={"mrSigner": "11" * 32})["code"] == "QNSP-ATT-APR-035"
    assert judge(fleet, "sgx", equals={"mrEnclave": "11" * 32})["code"] == "QNSP-ATT-APR-031"
    floor = good["claims"]["isvSvn"]
    assert judge(fleet, "sgx", floors={"isvSvn": floor})["verdict"] == "accepted"
    assert judge(fleet, "sgx", floors={"isvSvn": floor + 1})["code"] == "QNSP-ATT-APR-040"


@pytest.mark.parametrize("status", ["ConfigurationNeeded", "SWHardeningNeeded", "OutOfDate"])
def test_status_word_under_a_strict_policy(fleet: Fleet, status: str) -> None:
    """A status that is not UpToDate is shown, and refused by the policy that wants better."""
    pki = dcap.mint_intel(NOW)
    platform = dcap.make_platform(pki, td=False)
    info = dcap.tcb_info(platform, NOW, NOW, [dcap.tcb_level(status)])
    files = {f"own/{name}": data for name, data in dcap.collateral_files(platform, NOW, NOW, info=info).items()}
    files |= {"own.quote": platform.quote(dcap.enclave_report(report_data=b""), version=3)}
    files |= {"own.pem": dcap.pem(pki.root.certificate)}
    bare = {"evidence": "own.quote", "collateral": "own", "anchors": ["own.pem"], "nonce": None, "requireChecked": None}
    shown = judge(fleet, "sgx", files=files, **{**bare, "equals": None})
    assert (shown["verdict"], shown["claims"]["tcbStatus"], shown["results"]["tcb"]) == ("accepted", status, "claimed")
    strict = judge(fleet, "sgx", files=files, **{**bare, "equals": {"tcbStatus": "UpToDate"}})
    assert (strict["code"], lookup(strict["code"]) is not None) == ("QNSP-ATT-APR-038", True)


@pytest.mark.parametrize("kind", ["nitro-enclave", "nitro-tpm"])
def test_nonce_of_a_nitro_document(fleet: Fleet, kind: str) -> None:
    """Another nonce, one of another length, and none where one is expected: three codes."""
    line = next(line for line in fleet.lines if line["kind"] == kind)
    assert judge(fleet, kind)["verdict"] == "accepted"
    other = bytes(len(line["nonce"]) // 2).hex()
    assert judge(fleet, kind, nonce=other)["code"] == "QNSP-ATT-APR-011"
    assert judge(fleet, kind, nonce=other + "00")["code"] == "QNSP-ATT-APR-010"
    assert judge(fleet, kind, nonce=None, expectedReportData="00")["code"] == "QNSP-ATT-APR-012"


@pytest.mark.parametrize("kind", ["nvidia-gpu", "nvswitch"])
def test_nonce_of_a_device(fleet: Fleet, kind: str) -> None:
    """The responder's own nonce is not the request's, and another request's is refused."""
    line = next(line for line in fleet.lines if line["kind"] == kind)
    report = abi.parse(fleet.files[line["evidence"]])
    assert judge(fleet, kind, nonce=report.responder_nonce.hex())["code"] == "QNSP-ATT-APR-011"
    assert judge(fleet, kind, nonce="00" * 32)["code"] == "QNSP-ATT-APR-011"
    assert judge(fleet, kind, nonce="00" * 31)["code"] == "QNSP-ATT-APR-010"


@pytest.mark.parametrize(
    ("evidence", "changes", "code"),
    [
        (b'{"svn":"1"}', {}, "QNSP-ATT-APR-012"),
        (b'{"svn":"1","report_data":""}', {}, "QNSP-ATT-APR-012"),
        (b'{"svn":"1","report_data":"AAEC"}', {}, "QNSP-ATT-APR-010"),
        (b'{"svn":"1","report_data":"AAECBA=="}', {}, "QNSP-ATT-APR-011"),
        (b'{"svn":"1","report_data":"AAECAw=="}', {"equals": {"initData": "00"}}, "QNSP-ATT-APR-030"),
        (b'{"svn":"1","report_data":"AAECAw=="}', {"requireChecked": ["signature"]}, "QNSP-ATT-APR-005"),
    ],
)
def test_sample_report_data(fleet: Fleet, evidence: bytes, changes: dict[str, Any], code: str) -> None:
    """A sample without, with other or shorter report data; init data or a signature that it cannot have."""
    answer = judge(fleet, "coco-sample", files={"own.json": evidence}, evidence="own.json", **changes)
    assert answer["code"] == code


def test_sample_nested_deep(fleet: Fleet) -> None:
    """A bomb of brackets is refused before anything else."""
    bomb = b'{"svn":' + b"[" * 100_000
    assert judge(fleet, "coco-sample", files={"bomb": bomb}, evidence="bomb")["code"] == "QNSP-ATT-SMP-002"


@pytest.mark.parametrize(
    "kind", ["sev-snp", "tdx", "sgx", "nitro-enclave", "nitro-tpm", "nvidia-gpu", "nvswitch", "nras"]
)
def test_verdict_changes_exactly_at_its_end(fleet: Fleet, kind: str) -> None:
    """A verdict holds up to the moment that it names, and not a second longer."""
    good = judge(fleet, kind)
    end = datetime.fromisoformat(good["notAfter"])
    over = 1 if kind != "nras" else 0  # exp itself is outside (RFC 7519)
    last = datetime.fromtimestamp(end.timestamp() + over - 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    past = datetime.fromtimestamp(end.timestamp() + over, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert judge(fleet, kind, now=last)["verdict"] == "accepted", judge(fleet, kind, now=last)["detail"]
    assert judge(fleet, kind, now=past)["verdict"] == "refused"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["sev-snp", "tdx", "sgx", "nitro-enclave", "nitro-tpm", "nvidia-gpu", "nvswitch", "nras"]
)
def test_no_flipped_byte_of_minted_evidence_is_accepted(fleet: Fleet, kind: str) -> None:
    """Every third byte of evidence (`make flips`: every byte), one bit each: refused; only PEM line ends and the zero tail of a quote are no content."""
    line = next(line for line in fleet.lines if line["kind"] == kind)
    raw = fleet.files[line["evidence"]]
    good = abi.parse(raw).signed + abi.parse(raw).signature if kind in {"nvidia-gpu", "nvswitch"} else raw
    claims = judge(fleet, kind)["claims"]
    for at in range(0, len(good), STEP):
        bad = good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :]
        answer = judge(fleet, kind, files={"bad": bad}, evidence="bad")
        if answer["verdict"] == "accepted":
            assert answer["claims"] == claims, at
            assert kind in {"tdx", "sgx", "nras"}, at


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sev-snp", "tdx", "sgx", "nvidia-gpu", "nvswitch", "nras"])
def test_flipped_collateral_never_changes_a_verdict_unseen(fleet: Fleet, kind: str) -> None:
    """A bit flipped anywhere in collateral refuses, or touched nothing that counts: every claim and result stays the same.

    An OCSP answer that no longer speaks of the signer of a RIM leaves that signer unasked, and says so.
    """
    line = next(line for line in fleet.lines if line["kind"] == kind)
    named = line["collateral"]
    names = [
        name for name in fleet.files if (name.startswith(named + "/") if isinstance(named, str) else name in named)
    ]
    good = judge(fleet, kind)
    refused = 0
    for name in names:
        data = fleet.files[name]
        for at in range(0, len(data), 1 if STEP == 1 else max(1, len(data) // 70)):
            bad = data[:at] + bytes([data[at] ^ 0x04]) + data[at + 1 :]
            answer = judge(fleet, kind, files={name: bad})
            if answer["verdict"] == "accepted":
                stays = dict(good["results"])
                if answer["results"].get("rim-revocation") == "not checked":
                    stays["rim-revocation"] = "not checked"
                    assert name.endswith(".ocsp"), (name, at)
                assert (answer["claims"], answer["results"]) == (good["claims"], stays), (name, at)
            else:
                refused += 1
                assert answer["code"] != "QNSP-ATT-BAT-005", (name, at, answer["detail"])
    assert refused
