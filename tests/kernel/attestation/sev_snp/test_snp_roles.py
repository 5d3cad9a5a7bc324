"""Who may issue and sign what in AMD's hierarchy, under valid signatures: found by a minting side written from the standards alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp.verify import verify
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, Evidence, EvidenceKind
from qnsp_policy.kernel.attestation.x509 import to_pem
from qnsp_policy.simulator import mint
from qnsp_policy.simulator.snp import SnpChip, SnpPki, leaf_extensions, make_chip

Pki = Callable[[str], SnpPki]
Anchors = Callable[[str], Anchor]
DAY = timedelta(days=1)
CRL_SIGN_ONLY = mint.Extension("2.5.29.15", mint.bit_string(b"\x02", 1), critical=True)


def leaf(chip: SnpChip, now: datetime, issuer: mint.Authority, extensions: list[mint.Extension]) -> bytes:
    """A leaf for the chip's key by any issuer, with any extensions."""
    return mint.certificate(
        mint.name("SEV-VLEK" if chip.vlek else "SEV-VCEK"),
        chip.key.public_key(),
        issuer.name,
        issuer.key,
        serial=0,
        not_before=now - DAY,
        not_after=now + DAY,
        extensions=extensions,
    )


def judge(chip: SnpChip, anchor: Anchor, now: datetime, **certificates: bytes) -> None:
    verify(
        Evidence(EvidenceKind.SEV_SNP, chip.report(bytes(64)), certificates),
        collateral=Collateral(),
        anchors=[anchor],
        now=now,
    )


@pytest.mark.parametrize("vlek", [False, True])
def test_leaf_by_the_other_intermediate(snp_pki: Pki, snp_anchor: Anchors, now: datetime, vlek: bool) -> None:
    """An ASVK, which a cloud's VLEKs hang on, issues no VCEK, and an ASK no VLEK."""
    pki = snp_pki("Genoa")
    chip = make_chip(pki, now, vlek=vlek)
    hwid, csp = (None, "CN=cloud.example") if vlek else (chip.chip_id, "")
    extensions = leaf_extensions("Genoa", chip.tcb, hwid=hwid, csp_id=csp)
    own, other = (pki.asvk, pki.ask) if vlek else (pki.ask, pki.asvk)
    judge(chip, snp_anchor("Genoa"), now, chain=mint_pem(leaf(chip, now, own, extensions), own.certificate))
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-039"):
        judge(chip, snp_anchor("Genoa"), now, chain=mint_pem(leaf(chip, now, other, extensions), other.certificate))


def mint_pem(*certificates: bytes) -> bytes:

    return b"".join(to_pem(one) for one in certificates)


def test_vlek_that_names_a_chip(snp_pki: Pki, snp_anchor: Anchors, now: datetime) -> None:
    """A VLEK has no HWID; one that has must name the report's chip."""
    pki = snp_pki("Milan")
    chip = make_chip(pki, now, vlek=True)
    extensions = leaf_extensions("Milan", chip.tcb, hwid=b"\x01" * 64, csp_id="CN=cloud.example")
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-064"):
        judge(chip, snp_anchor("Milan"), now, vlek=leaf(chip, now, pki.asvk, extensions), asvk=pki.asvk.certificate)


def test_spare_components_are_compared(snp_pki: Pki, snp_anchor: Anchors, now: datetime) -> None:
    """SPL 4 to 7 of the leaf are bytes 2 to 5 of REPORTED_TCB, also while AMD has given them no meaning."""
    pki = snp_pki("Milan")
    chip = make_chip(pki, now)
    extensions = [
        mint.Extension(one.oid, mint.integer(1)) if one.oid.endswith(".3.4") else one
        for one in leaf_extensions("Milan", chip.tcb, hwid=chip.chip_id)
    ]
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-061"):
        judge(chip, snp_anchor("Milan"), now, vcek=leaf(chip, now, pki.ask, extensions), ask=pki.ask.certificate)


def test_leaf_that_may_not_sign_data(snp_pki: Pki, snp_anchor: Anchors, now: datetime) -> None:
    """A key usage without digitalSignature signs no report."""
    pki = snp_pki("Milan")
    chip = make_chip(pki, now)
    extensions = [*leaf_extensions("Milan", chip.tcb, hwid=chip.chip_id), CRL_SIGN_ONLY]
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-038"):
        judge(chip, snp_anchor("Milan"), now, vcek=leaf(chip, now, pki.ask, extensions), ask=pki.ask.certificate)


def test_endorsements_of_any_name_are_read(snp_pki: Pki, snp_anchor: Anchors, now: datetime) -> None:
    """Certificates under names of a caller's own are sorted by what they are, as those of a folder."""
    pki = snp_pki("Milan")
    chip = make_chip(pki, now)
    given = chip.certificates()
    judge(chip, snp_anchor("Milan"), now, **{"leaf.der": given["vcek"], "cert_chain": mint_pem(pki.ask.certificate)})


def test_anchor_of_amd_without_a_line_and_of_any_name(snp_pki: Pki, now: datetime) -> None:
    """A root that a caller declares as AMD's need not be named after a line."""
    key = snp_pki("Milan").ark.key
    root = mint.root(key, mint.name("A root"), not_before=now - DAY, not_after=now + DAY)
    pki = snp_pki("Milan")
    ask = mint.certificate(
        pki.ask.name,
        pki.ask.key.public_key(),
        root.name,
        root.key,
        serial=7,
        not_before=now - DAY,
        not_after=now + DAY,
        extensions=mint.authority_extensions(0),
    )
    chip = make_chip(pki, now)
    anchor = Anchor("amd", root.certificate, AssuranceClass.SIMULATED)
    judge(chip, anchor, now, vcek=chip.certificates()["vcek"], ask=ask)


def test_extensions_that_are_judged_may_be_critical(snp_pki: Pki, snp_anchor: Anchors, now: datetime) -> None:
    """AMD's own extensions are read, so that marking them critical changes nothing."""
    pki = snp_pki("Milan")
    chip = make_chip(pki, now)
    extensions = [
        mint.Extension(one.oid, one.value, critical=True)
        for one in leaf_extensions("Milan", chip.tcb, hwid=chip.chip_id)
    ]
    judge(chip, snp_anchor("Milan"), now, vcek=leaf(chip, now, pki.ask, extensions), ask=pki.ask.certificate)
