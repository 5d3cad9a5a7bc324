"""Steps 10 to 15 of DCAP verification: QE identity, platform, TCB levels, TDX module, status, debug; held against dcap-qvl."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dcap_qvl
import pytest

from qnsp_policy.kernel.attestation.dcap.tcb import TcbStatus, converge
from qnsp_policy.kernel.attestation.values import Verdict
from qnsp_policy.simulator.dcap import (
    DEFAULT_COMPONENTS,
    pem,
    tcb_level,
)

Machine = Any
Make = Callable[..., Machine]
TDX_SVNS = (5, 0, 2, *((0,) * 13))


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


@pytest.mark.parametrize("bit", range(1, 8))
def test_every_attribute_of_a_td_under_debug(tdx: Machine, bit: int) -> None:
    """Any bit of the group TUD (profiling of HGS+, performance, PMT; reserved ones) leaves a TD as open as DEBUG does."""
    claims = tdx.judge(tdx.platform.quote(tdx.report(td_attributes=1 << bit)))
    assert claims.claims["tdAttributes.debug"] is True
    assert {s.name: s.verdict for s in claims.statements}["debug"] is Verdict.REFUSED


def test_tcb_info_of_version_2(sgx: Machine) -> None:
    """SGX's TCB info of PCS API version 3: no id, each component by its own name; a component too low is still too low."""
    info = sgx.info()
    level = info["tcbLevels"][0]
    numbers = [one["svn"] for one in level["tcb"]["sgxtcbcomponents"]]

    def flat(components: list[int]) -> dict[str, bytes]:
        tcb = {f"sgxtcbcomp{index:02d}svn": svn for index, svn in enumerate(components, 1)}
        value = {name: member for name, member in info.items() if name != "id"} | {
            "version": 2,
            "tcbLevels": [
                {**level, "tcb": {**tcb, "pcesvn": level["tcb"]["pcesvn"]}, "tcbStatus": "SWHardeningNeeded"}
            ],
        }
        files: dict[str, bytes] = sgx.files(info=value)
        return files

    assert sgx.judge(None, flat(numbers)).claims["tcbStatus"] == "SWHardeningNeeded"
    sgx.refused(83, None, flat([*numbers[:15], 255]))


def test_tcb_info_of_version_2_is_not_of_a_td(tdx: Machine) -> None:
    """Version 2 knows no TDX."""
    value = {name: member for name, member in tdx.info().items() if name != "id"} | {"version": 2}
    tdx.refused(80, None, tdx.files(info=value))
