"""Steps 8 and 9 of DCAP verification: PCS documents, their signers and times, revocation, and in which forms all of it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote as url_quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from qnsp_policy.kernel.attestation.values import Verdict
from qnsp_policy.kernel.attestation.x509 import to_pem
from qnsp_policy.simulator import mint
from qnsp_policy.simulator.dcap import (
    iso,
    mint_intel,
    pem,
    sign_document,
)

Machine = Any
Make = Callable[..., Machine]
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


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
    odd: Any
    for odd in ({}, [], 5, None):
        machine.refused(40, None, machine.files(info={**good, "issueDate": odd}))
        machine.refused(40, None, machine.files(identity={**machine.identity(), "nextUpdate": odd}))


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


def test_sign_document_refuses_other_keys(machine: Machine) -> None:
    """The minted documents are signed by the TCB signer only when asked so; a PCK's signature is refused."""
    stranger = mint.Authority(machine.platform.pck_key, b"", b"")
    forged = sign_document(machine.pki, "tcbInfo", machine.info(), signer=stranger)
    machine.refused(45, None, {**machine.files(), "tcb-info.json": forged})


def test_signer_that_may_not_sign_documents(machine: Machine) -> None:
    """A certificate named TCB Signing whose key usage or critical extensions say otherwise has another role."""
    files = machine.files()
    usage = mint.Extension("2.5.29.15", mint.bit_string(b"\x02", 1), critical=True)
    for extension in (usage, mint.Extension("1.2.3.4", b"\x05\x00", critical=True)):
        key = machine.pki.tcb_signing.key
        signer = machine.pki.issue(machine.pki.root, "Intel SGX TCB Signing", key, extensions=[extension])
        machine.refused(42, None, {**files, "tcb-signing-chain.pem": pem(signer)})


def test_document_of_tomorrow_beside_the_one_in_force(machine: Machine) -> None:
    """Of two documents of one platform the one in force counts, not the newest."""
    begin, end = iso(machine.now + DAY), iso(machine.now + 30 * DAY)
    later = {**machine.info(), "issueDate": begin, "nextUpdate": end}
    files = {**machine.files(), "tomorrow.json": sign_document(machine.pki, "tcbInfo", later)}
    assert machine.judge(None, files).claims["tcbStatus"] == "UpToDate"


def test_signed_document_that_lost_its_name(machine: Machine) -> None:
    """A PCS body whose member is of no known name is refused, not passed over as somebody else's."""
    files = machine.files()
    machine.refused(
        40, None, {**files, "qe-identity.json": files["qe-identity.json"].replace(b"enclaveI", b"enclavei")}
    )
    machine.refused(40, None, {**files, "tcb-info.json": b"x" + files["tcb-info.json"]})


def test_collateral_as_the_library_hands_it_over(machine: Machine) -> None:
    """A bundle whose documents are whole PCS bodies and whose CRLs are PEM or hex is read like one of separate signatures."""
    files = machine.files()
    crl = to_pem(files["pck.crl"]).replace(b"CERTIFICATE", b"X509 CRL")
    bundle = {
        "tcb_info": files["tcb-info.json"].decode(),
        "tcb_info_issuer_chain": files["tcb-signing-chain.pem"].decode(),
        "qe_identity": files["qe-identity.json"].decode(),
        "pck_crl": crl.decode(),
        "root_ca_crl": files["root-ca.crl"].hex(),
    }
    claims = machine.judge(None, {"collateral.json": json.dumps(bundle).encode()})
    assert claims.claims["tcbStatus"] == "UpToDate"
    assert {one.name: one.verdict for one in claims.statements}["revocation"] is Verdict.SIMULATED


def test_the_last_second_is_whole(machine: Machine) -> None:
    """A time within the last second of a document is still within it."""
    end = machine.now + DAY
    machine.judge(now=end.replace(microsecond=999_999))
    machine.refused(47, now=end + SECOND)
