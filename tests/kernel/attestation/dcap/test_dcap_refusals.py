"""Every bad TDX and SGX input that the facts name, each with its own code, under valid signatures of a minted vendor."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote as url_quote

import dcap_qvl
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.dcap import abi, documents
from qnsp_policy.kernel.attestation.dcap.codes import Tee
from qnsp_policy.kernel.attestation.dcap.tcb import TcbStatus, converge
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import AssuranceClass, EvidenceKind, Verdict
from qnsp_policy.simulator import mint
from qnsp_policy.simulator.dcap import (
    DEFAULT_COMPONENTS,
    iso,
    make_platform,
    mint_intel,
    pem,
    sign_document,
    tcb_level,
)

Machine = Any
Make = Callable[..., Machine]
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
TDX_SVNS = (5, 0, 2, *((0,) * 13))


def test_good_machine_is_simulated_never_ok(machine: Machine) -> None:
    """A minted machine verifies whole, and every statement says simulated."""
    claims = machine.judge()
    assert claims.claims["tcbStatus"] == "UpToDate"
    assert claims.assurance is AssuranceClass.SIMULATED
    assert all(statement.verdict is not Verdict.OK for statement in claims.statements)
    assert {s.name: s.verdict for s in claims.statements}["revocation"] is Verdict.SIMULATED


def test_every_version_and_body(tdx: Machine, sgx: Machine) -> None:
    """TDX 4 and 5 with both bodies, SGX 3, 4 and 5 verify."""
    for version, extended in ((4, False), (5, False), (5, True)):
        tdx.judge(tdx.platform.quote(tdx.report(extended=extended), version=version))
    for version in (3, 4, 5):
        sgx.judge(sgx.platform.quote(sgx.report(), version=version))


def sections(quote: bytes) -> list[int]:
    """Offsets at which a section of a version 4 quote ends."""
    body = 48 + (584 if quote[4] == 0x81 else 384)
    inner = body + 4 + 128 + 6
    return [
        48,
        body,
        body + 4,
        body + 4 + 64,
        body + 4 + 128,
        inner,
        inner + 384,
        inner + 448,
        inner + 450,
        inner + 482,
        inner + 488,
        len(quote),
    ]


def test_cut_at_every_section_edge(machine: Machine) -> None:
    """A quote that is cut at, before or after any section's edge is refused as to its format."""
    quote = machine.platform.quote(machine.report())
    for edge in sections(quote):
        for cut in (edge - 1, edge, edge + 1):
            if cut < len(quote):
                with pytest.raises(EvidenceError) as caught:
                    machine.judge(quote[:cut])
                assert caught.value.step == 1, cut


@pytest.mark.parametrize("change", [1, -1, 2**32 - 1])
def test_signature_length(machine: Machine, change: int) -> None:
    """A signature data length that does not agree is refused."""
    quote = machine.platform.quote(machine.report(), tail=bytes(8))
    at = 48 + len(machine.report())
    (length,) = struct.unpack_from("<I", quote, at)
    wrong = change if change > 1 else length + change
    machine.refused(8, quote[:at] + struct.pack("<I", wrong) + quote[at + 4 :])


def test_auth_length_past_the_end(machine: Machine) -> None:
    """QE authentication data that end behind the quote are refused."""
    quote = machine.platform.quote(machine.report())
    at = sections(quote)[7]
    machine.refused(9, quote[:at] + b"\xff\xff" + quote[at + 2 :])


def test_certification_length(machine: Machine) -> None:
    """A certification data length that does not agree is refused."""
    quote = machine.platform.quote(machine.report())
    at = sections(quote)[10] - 4
    (length,) = struct.unpack_from("<I", quote, at)
    machine.refused(10, quote[:at] + struct.pack("<I", length - 1) + quote[at + 4 :])


def test_header(machine: Machine) -> None:
    """Vendor, key type, TEE type and version, each signed and each refused."""
    body = machine.report()
    machine.refused(6, machine.platform.quote(body, vendor=bytes(16)))
    machine.refused(5, machine.platform.quote(body, key_type=3))
    machine.refused(4, machine.platform.quote(body, tee_type=0 if machine.td else 0x81))
    machine.refused(3, machine.platform.quote(body, version=2))
    machine.refused(3, machine.platform.quote(body, version=6))


def test_kind_confusion(tdx: Machine, sgx: Machine) -> None:
    """Each kind's bytes are refused at the other's entry point."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-SGX-004"):
        tdx.judge(kind=EvidenceKind.SGX)
    with pytest.raises(EvidenceError, match="QNSP-ATT-TDX-004"):
        sgx.judge(kind=EvidenceKind.TDX)


def test_version_5_body_type_and_size(tdx: Machine) -> None:
    """A body type and size that do not agree, or a body of the other kind, are refused."""
    for kind, size in ((2, 648), (3, 584), (1, 584), (4, 584), (0, 584)):
        tdx.refused(7, tdx.platform.quote(tdx.report(), version=5, body_type=kind, body_size=size))


def test_enclave_type_over_a_td_body(tdx: Machine) -> None:
    """A TD body under the SGX TEE type is refused at the SGX entry point by its lengths."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-SGX-008"):
        tdx.judge(tdx.platform.quote(tdx.report(), tee_type=0), kind=EvidenceKind.SGX)


def test_version_3_td(tdx: Machine) -> None:
    """There is no TDX quote of version 3."""
    tdx.refused(4, tdx.platform.quote(tdx.report(), version=3))


@pytest.mark.parametrize("size", [1, 70, 3065])
def test_zero_tail_is_padding_and_other_tail_is_refused(machine: Machine, size: int) -> None:
    """Zero bytes behind a quote are padding; a custom-claims tail or any other byte is refused."""
    machine.judge(machine.platform.quote(machine.report(), tail=bytes(size)))
    machine.refused(12, machine.platform.quote(machine.report(), tail=bytes(size - 1) + b"\x01"))
    machine.refused(12, machine.platform.quote(machine.report(), tail=b"\x01claims" * size))


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_certification_without_a_certificate(machine: Machine, kind: int) -> None:
    """Types 1 to 4 have no PCK: refused, unless a chain is given; then it must have signed the QE report."""
    quote = machine.platform.quote(machine.report(), certification_type=kind, certification=bytes(404))
    machine.refused(13, quote)
    machine.judge(quote, endorsements={"pck-chain": machine.platform.chain()})
    other = make_platform(machine.pki, td=machine.td)
    machine.refused(30, quote, endorsements={"pck-chain": other.chain()})
    machine.judge(quote, {**machine.files(), "pck.pem": other.chain() + machine.platform.chain()})
    machine.refused(13, quote, {**machine.files(), "pck.pem": other.chain()})


def test_unknown_certification_type(machine: Machine) -> None:
    """An unknown certification type is refused."""
    machine.refused(11, machine.platform.quote(machine.report(), certification_type=9))


def test_chain_form(machine: Machine) -> None:
    """A chain that is short, long, reordered, has two leafs, other bytes, or a foreign root is refused by its own code."""
    leaf, ca, root = machine.platform.pck, machine.platform.ca.certificate, machine.pki.root.certificate
    other = make_platform(machine.pki, td=machine.td).pck

    def with_chain(data: bytes) -> bytes:
        return bytes(machine.platform.quote(machine.report(), certification=data))

    machine.refused(15, with_chain(pem(leaf, ca)))
    machine.refused(15, with_chain(pem(leaf, ca, root, root)))
    machine.refused(15, with_chain(pem(leaf, other, ca, root)))
    machine.refused(16, with_chain(pem(ca, leaf, root)))
    machine.refused(16, with_chain(pem(leaf, root, ca)))
    machine.refused(16, with_chain(pem(leaf, other, root)))
    machine.refused(14, with_chain(pem(leaf, ca, root) + b"x"))
    machine.refused(14, with_chain(pem(leaf, ca) + b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"))
    foreign = mint_intel(machine.now)
    machine.refused(18, with_chain(pem(leaf, ca, foreign.root.certificate)))


def test_test_root_quote(machine: Machine) -> None:
    """A whole chain under another root is refused; without any anchor of Intel's form that is said instead."""
    foreign = mint_intel(machine.now)
    platform = make_platform(foreign, td=machine.td)
    machine.refused(18, platform.quote(machine.report()))
    machine.refused(17, None, anchors=[])


def test_chain_links(machine: Machine) -> None:
    """A CA that the root did not sign and a PCK that the CA did not sign are refused."""
    foreign = mint_intel(machine.now)
    leaf, ca, root = machine.platform.pck, machine.platform.ca, machine.pki.root
    machine.refused(
        19,
        machine.platform.quote(
            machine.report(), certification=pem(leaf, foreign.platform_ca.certificate, root.certificate)
        ),
    )
    stranger = replace(
        machine.pki, platform_ca=mint.Authority(ec.generate_private_key(ec.SECP256R1()), ca.certificate, ca.name)
    )
    machine.refused(21, make_platform(stranger, td=machine.td).quote(machine.report()))


def test_ca_of_another_role(machine: Machine) -> None:
    """A PCK under an authority of another name is refused though the root signed it."""
    key = ec.generate_private_key(ec.SECP256R1())
    extensions = mint.authority_extensions(0, crl_sign=True)
    encoded = machine.pki.issue(machine.pki.root, "Intel SGX Other CA", key, extensions=extensions)
    other = replace(machine.pki, platform_ca=mint.Authority(key, encoded, mint.name("Intel SGX Other CA")))
    machine.refused(20, make_platform(other, td=machine.td).quote(machine.report()))


def test_pck_profile_and_extension(machine: Machine) -> None:
    """A PCK that is a CA, has unknown critical extensions, or lacks PPID, FMSPC, PCE-ID or an SVN is refused."""
    body = machine.report()
    for extensions in (mint.authority_extensions(), [mint.Extension("1.2.3.4", b"\x05\x00", critical=True)]):
        machine.refused(22, make_platform(machine.pki, td=machine.td, extensions=extensions).quote(body))
    for drop in ("1", "2", "3", "4", "5", "2.1", "2.16", "2.17", "2.18"):
        machine.refused(23, make_platform(machine.pki, td=machine.td, drop=drop).quote(body))


def test_pck_validity_to_the_second(make_machine: Make, now: datetime) -> None:
    """The verdict changes exactly at the ends of the PCK's validity."""
    machine = make_machine(td=True, not_before=now - 10 * SECOND, not_after=now + 10 * SECOND)
    for moment in (now - 10 * SECOND, now + 10 * SECOND):
        machine.judge(now=moment)
    machine.refused(24, now=now - 11 * SECOND)
    machine.refused(25, now=now + 11 * SECOND)


def test_signatures_and_bindings(machine: Machine, make_machine: Make) -> None:
    """QE signature, binding of key and authentication data, its tail, and the quote's signature: each by its own code."""
    quote = machine.platform.quote(machine.report())
    edges = sections(quote)

    def flip(position: int, data: bytes = quote) -> bytes:
        return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]

    machine.refused(30, flip(edges[6] - 100))  # QE report
    machine.refused(30, flip(edges[7] - 1))  # its signature
    machine.refused(31, flip(edges[9] - 1))  # authentication data
    other = make_machine(td=machine.td).platform.quote(machine.report())
    machine.refused(31, quote[: edges[3]] + other[edges[3] : edges[4]] + quote[edges[4] :])  # key of another quote
    bound = bytearray(64)
    machine.refused(31, machine.platform.quote(machine.report(), qe_report_data=bytes(bound)))
    machine.refused(34, flip(edges[3] - 1))
    machine.refused(34, flip(60))
    with pytest.raises(EvidenceError, match="-034"):
        machine.judge(flip(edges[1] - 1))  # report data


def test_qe_report_data_tail(machine: Machine) -> None:
    """A binding followed by anything but zeros is refused under a good QE signature."""
    import hashlib

    quote = machine.platform.quote(machine.report())
    edges = sections(quote)
    bound = hashlib.sha256(quote[edges[3] : edges[4]] + machine.platform.auth).digest()
    machine.refused(32, machine.platform.quote(machine.report(), qe_report_data=bound + b"\x01" + bytes(31)))


def test_attestation_key_that_is_no_point(machine: Machine) -> None:
    """An attestation key that is not on P-256 is refused though the quoting enclave vouches for it."""
    import hashlib

    bad = b"\x01" * 64
    bound = hashlib.sha256(bad + machine.platform.auth).digest() + bytes(32)
    quote = machine.platform.quote(machine.report(), qe_report_data=bound)
    edges = sections(quote)
    machine.refused(33, quote[: edges[3]] + bad + quote[edges[4] :])


def test_anchors_of_other_vendors_do_not_count(machine: Machine, snp_anchor: Callable[[str], Any]) -> None:
    """A pinned root of another vendor never stands in for Intel's."""
    machine.refused(17, None, anchors=[replace(machine.anchor, vendor="amd"), snp_anchor("Milan")])
    machine.judge(None, anchors=[replace(machine.anchor, certificate=b"junk"), machine.anchor])


@pytest.mark.parametrize("auth", [b"", bytes(32), bytes(range(32)), bytes(1000)])
def test_authentication_data_of_any_host(machine: Machine, auth: bytes) -> None:
    """Empty, zero, counted and long authentication data occur and verify."""
    machine = replace(machine, platform=replace(machine.platform, auth=auth))
    machine.judge()


def test_collateral_absent_is_stated(machine: Machine) -> None:
    """Each missing piece of collateral is a statement, never a pass."""
    for drop, name in (
        ("tcb-info.json", "tcb"),
        ("qe-identity.json", "tcb"),
        ("pck.crl", "revocation"),
        ("root-ca.crl", "revocation"),
    ):
        files = machine.files()
        del files[drop]
        claims = machine.judge(None, files)
        assert {s.name: s.verdict for s in claims.statements}[name] is Verdict.NOT_CHECKED, drop
        assert ("tcbStatus" in claims.claims) == (name == "revocation")


def test_signer_missing_or_of_another_role(machine: Machine) -> None:
    """Without a TCB signing certificate, with one of another role, root or date: each by its own code."""
    files = machine.files()
    machine.refused(41, None, {**files, "tcb-signing-chain.pem": pem(machine.pki.root.certificate)})
    machine.refused(42, None, {**files, "tcb-signing-chain.pem": pem(machine.platform.ca.certificate)})
    foreign = mint_intel(machine.now)
    machine.refused(43, None, {**files, "tcb-signing-chain.pem": pem(foreign.tcb_signing.certificate)})
    expired = machine.pki.issue(
        machine.pki.root,
        "Intel SGX TCB Signing",
        machine.pki.tcb_signing.key,
        not_before=machine.now - DAY,
        not_after=machine.now - SECOND,
    )
    machine.refused(44, None, {**files, "tcb-signing-chain.pem": pem(expired)})


def test_documents_signed_as_exact_bytes(machine: Machine) -> None:
    """Re-serialised, or with the other document's signature, a document is refused."""
    files = machine.files()
    info, identity = json.loads(files["tcb-info.json"]), json.loads(files["qe-identity.json"])
    machine.refused(45, None, {**files, "tcb-info.json": json.dumps(info, indent=1).encode()})
    machine.refused(48, None, {**files, "qe-identity.json": json.dumps(identity, indent=1).encode()})
    swapped = files["tcb-info.json"].replace(info["signature"].encode(), identity["signature"].encode())
    machine.refused(45, None, {**files, "tcb-info.json": swapped})
    swapped = files["qe-identity.json"].replace(identity["signature"].encode(), info["signature"].encode())
    machine.refused(48, None, {**files, "qe-identity.json": swapped})


@pytest.mark.parametrize(("member", "early", "late"), [("info", 46, 47), ("identity", 49, 50)])
def test_documents_expire_each_alone(machine: Machine, member: str, early: int, late: int) -> None:
    """TCB info and QE identity hold from issueDate to nextUpdate, both included, each with codes of its own."""
    value = getattr(machine, member)()
    value["issueDate"], value["nextUpdate"] = iso(machine.now), iso(machine.now + 10 * SECOND)
    files = machine.files(**{member: value})
    for moment in (machine.now, machine.now + 10 * SECOND):
        machine.judge(None, files, now=moment)
    machine.refused(early, None, files, now=machine.now - SECOND)
    machine.refused(late, None, files, now=machine.now + 11 * SECOND)


@pytest.mark.parametrize(("name", "early", "late"), [("pck.crl", 58, 59), ("root-ca.crl", 60, 61)])
def test_crls_expire_each_alone(machine: Machine, name: str, early: int, late: int) -> None:
    """PCK CRL and root CRL hold from thisUpdate to nextUpdate, each with codes of its own."""
    issuer = machine.platform.ca if name == "pck.crl" else machine.pki.root
    files = {**machine.files(), name: mint.crl(issuer, this_update=machine.now, next_update=machine.now + 10 * SECOND)}
    for moment in (machine.now, machine.now + 10 * SECOND):
        machine.judge(None, files, now=moment)
    machine.refused(early, None, files, now=machine.now - SECOND)
    machine.refused(late, None, files, now=machine.now + 11 * SECOND)


def test_revoked(machine: Machine, make_machine: Make) -> None:
    """A revoked PCK, PCK CA or TCB signer is refused, each by its own code."""
    revocable = make_machine(td=machine.td, serial=0x7777)
    revocable.judge(None, revocable.files(pck_serials=(1, 2)))
    revocable.refused(62, None, revocable.files(pck_serials=(1, 0x7777)))
    revocable.refused(63, None, revocable.files(root_serials=(0x2001,)))
    revocable.refused(64, None, revocable.files(root_serials=(0x2003,)))


def test_crl_forged_or_of_the_other_ca(machine: Machine) -> None:
    """A CRL that its CA did not sign, one of the other CA, an unreadable one: each by its own code."""
    window = (machine.now - DAY, machine.now + DAY)
    forged = mint.Authority(ec.generate_private_key(ec.SECP256R1()), b"", machine.platform.ca.name)
    machine.refused(
        57, None, {**machine.files(), "pck.crl": mint.crl(forged, this_update=window[0], next_update=window[1])}
    )
    other = mint.crl(machine.pki.processor_ca, this_update=window[0], next_update=window[1])
    machine.refused(56, None, {**machine.files(), "pck.crl": other})
    machine.refused(55, None, {**machine.files(), "pck.crl": b"\x30\x00"})


def test_processor_ca(make_machine: Make) -> None:
    """A PCK under the Processor CA verifies with that CA's CRL."""
    claims = make_machine(td=False, processor=True).judge()
    assert claims.claims["pckCa"] == "processor"


def test_qe_identity(machine: Machine) -> None:
    """Id, MRSIGNER, ISVPRODID, MISCSELECT and ATTRIBUTES under their masks, and SVN levels: each by its own code."""

    def with_identity(**changes: Any) -> dict[str, bytes]:
        return dict(machine.files(identity={**machine.identity(), **changes}))

    machine.refused(70, None, with_identity(id="QVE"))
    machine.refused(70, None, with_identity(id="QE" if machine.td else "TD_QE"))
    machine.refused(71, None, with_identity(mrsigner="AB" * 32))
    machine.refused(72, None, with_identity(isvprodid=77))
    machine.refused(73, None, with_identity(miscselect="00000001"))
    machine.refused(74, None, with_identity(attributes="13" + "00" * 15))
    machine.judge(None, with_identity(attributes="15" + "00" * 15))  # bit 2 is outside the mask

    def with_svn(svn: int) -> Any:
        return replace(machine, platform=replace(machine.platform, qe={"isv_svn": svn}))

    with_svn(9).judge()
    old = with_svn(7).judge()
    assert (old.claims["tcbStatus"], old.claims["tcb.advisories"]) == ("OutOfDate", "INTEL-SA-90002")
    with_svn(4).refused(76)
    with_svn(3).refused(75)


def test_qe_masks_of_the_report(machine: Machine) -> None:
    """A debuggable quoting enclave is refused by its attributes."""
    debug = replace(machine, platform=replace(machine.platform, qe={"attributes": b"\x13" + bytes(15)}))
    debug.refused(74)


def test_tcb_info_of_another_platform(machine: Machine, make_machine: Make) -> None:
    """Another TEE's, another FMSPC's or another PCE-ID's TCB info is refused, each by its own code."""
    machine.refused(80, None, machine.files(info={**machine.info(), "id": "SGX" if machine.td else "TDX"}))
    machine.refused(81, None, machine.files(info={**machine.info(), "fmspc": "112233445566"}))
    machine.refused(82, None, machine.files(info={**machine.info(), "pceId": "0001"}))
    machine.judge(None, machine.files(info={**machine.info(), "fmspc": machine.platform.fmspc.hex()}))


def test_fitting_tcb_info_is_chosen_among_many(tdx: Machine, make_machine: Make) -> None:
    """A folder with the TCB info of several platforms and both TEEs does no harm."""
    other = make_machine(td=True, fmspc=bytes.fromhex("010203040506"))
    sgx = make_machine(td=False)
    files = tdx.files() | {
        "a.json": other.files()["tcb-info.json"],
        "b.json": sgx.files()["tcb-info.json"],
        "z.json": sgx.files()["qe-identity.json"],
    }
    assert tdx.judge(None, files).claims["tcbStatus"] == "UpToDate"


@pytest.mark.parametrize("index", [0, 3, 7])
def test_level_needs_every_component(machine: Machine, make_machine: Make, index: int) -> None:
    """One component one lower, or a lower PCESVN, and the level is not reached."""
    tdx = TDX_SVNS if machine.td else None
    levels = [
        tcb_level("UpToDate", tdx=tdx),
        tcb_level(
            "OutOfDate", components=(0,) * 16, pce_svn=0, tdx=(0,) * 16 if tdx else None, advisories=["INTEL-SA-1"]
        ),
    ]
    lower = list(DEFAULT_COMPONENTS)
    lower[index] -= 1
    for weak in (make_machine(td=machine.td, components=lower), make_machine(td=machine.td, pce_svn=10)):
        claims = weak.judge(None, weak.files(info={**weak.info(), "tcbLevels": levels})).claims
        assert (claims["tcbStatus"], claims["tcb.advisories"]) == ("OutOfDate", "INTEL-SA-1")
        weak.refused(83)


def test_level_is_the_first_in_list_order(machine: Machine) -> None:
    """The first level that is reached counts, not the best."""
    tdx = TDX_SVNS if machine.td else None
    levels = [tcb_level("SWHardeningNeeded", tdx=tdx), tcb_level("UpToDate", tdx=tdx)]
    assert (
        machine.judge(None, machine.files(info={**machine.info(), "tcbLevels": levels})).claims["tcbStatus"]
        == "SWHardeningNeeded"
    )


def test_revoked_and_unknown_status(machine: Machine) -> None:
    """A platform at a Revoked level, or with a status that is no known word, is refused."""
    tdx = TDX_SVNS if machine.td else None
    for word, number in (("Revoked", 85), ("Fine", 84), ("uptodate", 84)):
        machine.refused(number, None, machine.files(info={**machine.info(), "tcbLevels": [tcb_level(word, tdx=tdx)]}))


def test_td_module(tdx: Machine) -> None:
    """The module by its own identity: major, signer, attributes, levels; an unknown major is refused."""

    def td(svn: bytes, **report: Any) -> bytes:
        return bytes(tdx.platform.quote(tdx.report(tee_tcb_svn=svn.ljust(16, b"\0"), **report)))

    good = tdx.judge(td(b"\x04\x01\x03")).claims
    assert (good["moduleId"], good["tcbStatus"]) == ("TDX_01", "UpToDate")
    old = tdx.judge(td(b"\x03\x01\x03")).claims
    assert (old["tcbStatus"], old["module.status"], old["tcb.advisories"]) == (
        "OutOfDate",
        "OutOfDate",
        "INTEL-SA-90001",
    )
    tdx.refused(94, td(b"\x01\x01\x03"))
    tdx.refused(93, td(b"\x00\x01\x03"))
    tdx.refused(90, td(b"\x04\x07\x03"))
    for svn in (b"\x05\x00\x03", b"\x04\x01\x03"):
        tdx.refused(91, td(svn, mr_signer_seam=b"\x01" * 48))
        tdx.refused(92, td(svn, seam_attributes=b"\x01" + bytes(7)))


def test_td_components_below(tdx: Machine) -> None:
    """With module major 0 every TD component counts; from major 1 on the first two are the module's."""
    tdx.refused(83, tdx.platform.quote(tdx.report(tee_tcb_svn=bytes([4, 0, 3]) + bytes(13))))
    tdx.refused(83, tdx.platform.quote(tdx.report(tee_tcb_svn=bytes([5, 0, 1]) + bytes(13))))
    tdx.judge(tdx.platform.quote(tdx.report(tee_tcb_svn=bytes([4, 1, 2]) + bytes(13))))


def test_debug_is_stated_as_refused(tdx: Machine, sgx: Machine) -> None:
    """DEBUG of a TD or an enclave leaves the signature good and the debug statement refused."""
    for claims in (
        tdx.judge(tdx.platform.quote(tdx.report(td_attributes=0x10000001))),
        sgx.judge(sgx.platform.quote(sgx.report(attributes=b"\x07" + bytes(15)))),
    ):
        (debug,) = [statement for statement in claims.statements if statement.name == "debug"]
        assert (debug.verdict, debug.code[-4:]) == (Verdict.REFUSED, "-096")


@pytest.mark.parametrize(
    "text",
    [
        b'{"tcbInfo":{"id":"TDX","id":"TDX"},"signature":"00"}',
        b'{"tcbInfo":{},"signature":"zz"}',
        b'{"tcbInfo":',
        b'{"tcb_info":"x"}',
    ],
)
def test_malformed_documents(machine: Machine, text: bytes) -> None:
    """Duplicate keys, a signature that is no hex, or cut JSON are refused."""
    machine.refused(40, None, {**machine.files(), "tcb-info.json": text})


def test_signed_but_malformed_documents(machine: Machine) -> None:
    """A validly signed document whose members are of another form is refused, never half read."""
    good = machine.info()
    faults: list[dict[str, Any]] = [
        {"version": 4},
        {"fmspc": "zz"},
        {"issueDate": "yesterday"},
        {"tcbLevels": {}},
        {"tcbLevels": [{"tcb": 5}]},
        {"tcbEvaluationDataNumber": "19"},
    ]
    for changes in faults:
        machine.refused(40, None, machine.files(info={**good, **changes}))
    machine.refused(40, None, machine.files(identity={**machine.identity(), "miscselectMask": "FF"}))


def test_issuer_chain_in_every_form_it_is_saved(machine: Machine) -> None:
    """Issuer chains as headers beside the body, before it, in JSON around it, or as JSON of headers, are read."""
    whole = machine.files()
    chain = whole.pop("tcb-signing-chain.pem").decode()
    header = b"TCB-Info-Issuer-Chain: " + url_quote(chain).encode()
    body = whole.pop("tcb-info.json")
    for files in (
        {"tcb": body, "tcb.headers": header},
        {"tcb": b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n" + body},
        {"tcb": b"HTTP/2 200\n" + header + b"\n\n" + body},
        {"tcb": body, "headers.json": json.dumps({"TCB-Info-Issuer-Chain": url_quote(chain)}).encode()},
        {"tcb.json": json.dumps({"headers": {"x": chain}, "body": body.decode()}).encode()},
    ):
        assert machine.judge(None, {**whole, **files}).claims["tcbStatus"] == "UpToDate", list(files)


def test_evaluation_number_is_a_claim_with_a_floor(machine: Machine) -> None:
    """The older of both tcbEvaluationDataNumbers is a claim, so that a policy can set a minimum."""
    files = machine.files(identity={**machine.identity(), "tcbEvaluationDataNumber": 17})
    assert machine.judge(None, files).claims["tcb.evaluationDataNumber"] == 17


def test_convergence_is_the_worst() -> None:
    """Statuses join as Intel's library joins them, in any order."""
    expected = {
        ("UpToDate", "OutOfDate"): "OutOfDate",
        ("SWHardeningNeeded", "OutOfDate"): "OutOfDate",
        ("ConfigurationNeeded", "OutOfDate"): "OutOfDateConfigurationNeeded",
        ("ConfigurationAndSWHardeningNeeded", "OutOfDate"): "OutOfDateConfigurationNeeded",
        ("ConfigurationNeeded", "SWHardeningNeeded"): "ConfigurationAndSWHardeningNeeded",
        ("Revoked", "UpToDate"): "Revoked",
    }
    for (one, other), worst in expected.items():
        for pair in ((one, other), (other, one)):
            assert converge([TcbStatus(word) for word in pair]) == worst
    for status in TcbStatus:
        assert converge([status, TcbStatus.UP_TO_DATE]) is status


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=3000))
def test_dcap_parsers_raise_only_our_errors(data: bytes) -> None:
    """On any bytes the parsers raise only our errors."""
    for tee in Tee:
        with contextlib.suppress(EvidenceError):
            abi.parse(data, tee)
        head = struct.pack("<HHI", 4, 2, tee.number) + bytes(4) + abi.INTEL_QE + bytes(20)
        with contextlib.suppress(EvidenceError):
            abi.parse(head + data, tee)
    from qnsp_policy.kernel.attestation.collateral import Collateral

    with contextlib.suppress(documents.DocumentFormError):
        documents.read(Collateral(documents={"x.json": b'{"tcbInfo":' + data, "y": data}))


STATUSES = [status.value for status in TcbStatus if status is not TcbStatus.REVOKED]


@pytest.mark.parametrize("td", [True, False])
def test_minted_statuses_agree_with_dcap_qvl(make_machine: Make, td: bool) -> None:
    """Over minted platforms of every status the independent implementation agrees, advisories included."""
    machine = make_machine(td=td)
    tdx = TDX_SVNS if td else None
    for word in STATUSES:
        files = machine.files(
            info={**machine.info(), "tcbLevels": [tcb_level(word, tdx=tdx, advisories=["INTEL-SA-00001"])]}
        )
        info, identity = json.loads(files["tcb-info.json"]), json.loads(files["qe-identity.json"])
        chain = files["tcb-signing-chain.pem"].decode()
        bundle = dcap_qvl.QuoteCollateralV3(
            pem(machine.platform.ca.certificate, machine.pki.root.certificate).decode(),
            files["root-ca.crl"],
            files["pck.crl"],
            chain,
            json.dumps(info["tcbInfo"], separators=(",", ":")),
            bytes.fromhex(info["signature"]),
            chain,
            json.dumps(identity["enclaveIdentity"], separators=(",", ":")),
            bytes.fromhex(identity["signature"]),
        )
        quote = machine.platform.quote(machine.report(), version=4 if td else 3)
        report = dcap_qvl.verify_with_root_ca(quote, bundle, machine.pki.root.certificate, int(machine.now.timestamp()))
        claims = machine.judge(quote, files).claims
        assert (claims["tcbStatus"], str(claims["tcb.advisories"]).split()) == (
            report.status,
            list(report.advisory_ids),
        ), word


def test_sign_document_refuses_other_keys(machine: Machine) -> None:
    """The minted documents are signed by the TCB signer only when asked so; a PCK's signature is refused."""
    stranger = mint.Authority(machine.platform.pck_key, b"", b"")
    forged = sign_document(machine.pki, "tcbInfo", machine.info(), signer=stranger)
    machine.refused(45, None, {**machine.files(), "tcb-info.json": forged})
