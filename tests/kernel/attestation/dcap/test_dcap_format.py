"""Steps 1 to 3 of DCAP verification: the bytes of a quote, each wrong length, type and tail with its own code."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.dcap import abi, documents
from qnsp_policy.kernel.attestation.dcap.codes import Tee
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import AssuranceClass, EvidenceKind, Verdict
from qnsp_policy.simulator.dcap import (
    make_platform,
)

Machine = Any


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


def test_cut_at_every_section_edge(machine: Machine) -> None:
    """A quote that is cut at, before or after any section's edge is refused as to its format."""
    quote = machine.platform.quote(machine.report())
    for edge in machine.sections(quote):
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
    at = machine.sections(quote)[7]
    machine.refused(9, quote[:at] + b"\xff\xff" + quote[at + 2 :])


def test_certification_length(machine: Machine) -> None:
    """A certification data length that does not agree is refused."""
    quote = machine.platform.quote(machine.report())
    at = machine.sections(quote)[10] - 4
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


@pytest.mark.parametrize("auth", [b"", bytes(32), bytes(range(32)), bytes(1000)])
def test_authentication_data_of_any_host(machine: Machine, auth: bytes) -> None:
    """Empty, zero, counted and long authentication data occur and verify."""
    machine = replace(machine, platform=replace(machine.platform, auth=auth))
    machine.judge()


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
