"""Steps 3 to 7 of DCAP verification: PCK chain, QE report, attestation key, signatures, under a minted vendor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.simulator import mint
from qnsp_policy.simulator.dcap import (
    make_platform,
    mint_intel,
    pem,
)

Machine = Any
Make = Callable[..., Machine]
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


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
    machine.refused(14, with_chain(pem(leaf, ca, root) + pem(root).replace(b"CERTIFICATE", b"PUBLIC KEY")))
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
    edges = machine.sections(quote)

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
    edges = machine.sections(quote)
    bound = hashlib.sha256(quote[edges[3] : edges[4]] + machine.platform.auth).digest()
    machine.refused(32, machine.platform.quote(machine.report(), qe_report_data=bound + b"\x01" + bytes(31)))


def test_attestation_key_that_is_no_point(machine: Machine) -> None:
    """An attestation key that is not on P-256 is refused though the quoting enclave vouches for it."""
    import hashlib

    bad = b"\x01" * 64
    bound = hashlib.sha256(bad + machine.platform.auth).digest() + bytes(32)
    quote = machine.platform.quote(machine.report(), qe_report_data=bound)
    edges = machine.sections(quote)
    machine.refused(33, quote[: edges[3]] + bad + quote[edges[4] :])


def test_anchors_of_other_vendors_do_not_count(machine: Machine, snp_anchor: Callable[[str], Any]) -> None:
    """A pinned root of another vendor never stands in for Intel's."""
    machine.refused(17, None, anchors=[replace(machine.anchor, vendor="amd"), snp_anchor("Milan")])
    machine.judge(None, anchors=[replace(machine.anchor, certificate=b"junk"), machine.anchor])


def test_pck_that_may_not_sign_data(machine: Machine) -> None:
    """A key usage without digitalSignature signs no QE report."""
    usage = mint.Extension("2.5.29.15", mint.bit_string(b"\x02", 1), critical=True)
    quote = make_platform(machine.pki, td=machine.td, extensions=[usage]).quote(machine.report())
    machine.refused(22, quote)
