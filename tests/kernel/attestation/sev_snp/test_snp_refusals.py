"""Every bad SNP input that the facts name, each with its own code; semantic ones under valid signatures of a minted vendor."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import abi, hcl, table
from qnsp_policy.kernel.attestation.sev_snp.verify import verify
from qnsp_policy.kernel.attestation.values import Anchor, Evidence, EvidenceKind, Verdict, VerifiedClaims
from qnsp_policy.kernel.attestation.x509 import CertificateError, load_certificate, load_crl
from qnsp_policy.simulator import mint
from qnsp_policy.simulator.snp import SnpChip, SnpPki, leaf_extensions, make_chip, mint_pki, sign_report

Pki = Callable[[str], SnpPki]
Anchors = Callable[[str], Anchor]
SECOND = timedelta(seconds=1)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973


class Bench:
    """One good minted machine, and the verdict on what is done to it."""

    def __init__(self, pki: SnpPki, anchor: Anchor, now: datetime, *, vlek: bool = False) -> None:
        self.pki, self.anchor, self.now = pki, anchor, now
        self.chip = make_chip(pki, now, vlek=vlek)

    def judge(
        self,
        report: bytes | None = None,
        *,
        now: datetime | None = None,
        crls: tuple[bytes, ...] = (),
        anchors: list[Anchor] | None = None,
        **certificates: bytes,
    ) -> VerifiedClaims:
        endorsements = {**self.chip.certificates(), **certificates}
        endorsements = {name: data for name, data in endorsements.items() if data}
        evidence = Evidence(
            EvidenceKind.SEV_SNP, self.chip.report(bytes(64)) if report is None else report, endorsements
        )
        return verify(
            evidence,
            collateral=Collateral(crls=crls),
            anchors=[self.anchor] if anchors is None else anchors,
            now=now or self.now,
        )

    def refused(self, code: str, *args: object, **kwargs: object) -> None:
        with pytest.raises(EvidenceError) as caught:
            self.judge(*args, **kwargs)  # type: ignore[arg-type]
        assert caught.value.code == f"QNSP-ATT-SNP-{code}", caught.value


@pytest.fixture
def bench(snp_pki: Pki, snp_anchor: Anchors, now: datetime) -> Bench:
    return Bench(snp_pki("Milan"), snp_anchor("Milan"), now)


def resigned(chip: SnpChip, changes: dict[int, bytes]) -> bytes:
    """A report with bytes changed before it was signed."""
    return chip.report(bytes(64), overrides=changes)


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Siena", "Turin"])
@pytest.mark.parametrize("version", [2, 3, 4, 5])
@pytest.mark.parametrize("vlek", [False, True])
def test_every_line_version_and_key_verifies(
    snp_pki: Pki, snp_anchor: Anchors, now: datetime, product: str, version: int, vlek: bool
) -> None:
    """Versions 2 to 5 of every line, by VCEK and by VLEK, verify with the line's own TCB map, as simulated."""
    bench = Bench(snp_pki(product), snp_anchor(product), now, vlek=vlek)
    claims = bench.judge(bench.chip.report(b"\x07" * 64, version=version))
    assert claims.claims["productLine"] == bench.pki.line
    assert claims.claims["tcb.reported.microcode"] == 209
    assert ("tcb.reported.fmc" in claims.claims) == (product == "Turin")
    assert all(statement.verdict is not Verdict.OK for statement in claims.statements)


@pytest.mark.parametrize("size", [0, 1183, 1185])
def test_length(bench: Bench, size: int) -> None:
    """A byte less or more is refused."""
    bench.refused("001", bench.chip.report(bytes(64)).ljust(size, b"\0")[:size])


@pytest.mark.parametrize("version", [0, 1, 6, 99])
def test_version(bench: Bench, version: int) -> None:
    """An unknown version is refused even under a good signature."""
    bench.refused("002", resigned(bench.chip, {0: version.to_bytes(4, "little")}))


@pytest.mark.parametrize("algorithm", [0, 2])
def test_signature_algorithm(bench: Bench, algorithm: int) -> None:
    """Another SIGNATURE_ALGO is refused."""
    bench.refused("003", resigned(bench.chip, {0x34: algorithm.to_bytes(4, "little")}))


@pytest.mark.parametrize(("key", "code"), [(2, "010"), (6, "010"), (7, "015")])
def test_signing_key(bench: Bench, key: int, code: str) -> None:
    """A signing key that is neither VCEK nor VLEK is refused."""
    bench.refused(code, resigned(bench.chip, {0x48: (key << 2).to_bytes(4, "little")}))


def test_vlek_report_with_vcek_and_reverse(bench: Bench, snp_pki: Pki, now: datetime) -> None:
    """The certificate must be of the kind of key that the report names."""
    other = make_chip(snp_pki("Milan"), now, vlek=True)
    bench.refused("012", other.report(bytes(64)))
    bench.refused("013", None, vcek=b"", vlek=other.certificate)


def test_no_leaf(bench: Bench) -> None:
    """Without a VCEK nothing is verified."""
    bench.refused("011", None, vcek=b"")


def test_unreadable_endorsement(bench: Bench) -> None:
    """Bytes that are no certificate are named."""
    bench.refused("006", None, vcek=b"\x30\x03\x02\x01\x00")
    bench.refused("006", None, ask=b"not a certificate")


def test_leaf_key_of_another_curve(bench: Bench, now: datetime) -> None:
    """A leaf with a P-256 key is refused."""
    leaf = issue(bench, now, public=ec.generate_private_key(ec.SECP256R1()).public_key())
    bench.refused("014", None, vcek=leaf)


def issue(
    bench: Bench,
    now: datetime,
    *,
    public: mint.PublicKey | None = None,
    tcb: dict[str, int] | None = None,
    hwid: bytes | None = None,
    drop: str = "",
    product: str = "Milan",
    extra: tuple[mint.Extension, ...] = (),
    before: datetime | None = None,
    after: datetime | None = None,
    issuer: mint.Authority | None = None,
) -> bytes:
    """A VCEK for the bench's chip with one thing changed."""
    authority = issuer or bench.pki.ask
    extensions = leaf_extensions(
        product, {**bench.chip.tcb, **(tcb or {})}, hwid=bench.chip.chip_id if hwid is None else hwid
    )
    return mint.certificate(
        mint.name("SEV-VCEK"),
        public or bench.chip.key.public_key(),
        authority.name,
        authority.key,
        serial=0,
        not_before=before or now - timedelta(days=1),
        not_after=after or now + timedelta(days=1),
        extensions=[item for item in extensions if item.oid != drop] + list(extra),
    )


def test_unknown_processor(bench: Bench) -> None:
    """A CPUID of no known line is refused, not guessed."""
    bench.refused("020", resigned(bench.chip, {0x188: b"\x19\xff\x00"}))
    bench.refused("020", resigned(bench.chip, {0x188: b"\x17\x31\x00"}))


def test_report_of_another_line(bench: Bench) -> None:
    """A Genoa or Turin CPUID under a Milan VCEK is refused."""
    bench.refused("021", resigned(bench.chip, {0x188: b"\x19\x11\x00"}))
    bench.refused("021", resigned(bench.chip, {0x188: b"\x1a\x02\x00"}))


def test_product_of_another_line_in_the_leaf(bench: Bench, now: datetime) -> None:
    """A leaf under Milan's ASK that names Genoa is refused."""
    bench.refused("021", None, vcek=issue(bench, now, product="Genoa"))


def test_no_anchor(bench: Bench, snp_anchor: Anchors) -> None:
    """Without an anchor of the line nothing is believed."""
    bench.refused("022", None, anchors=[])
    bench.refused("022", None, anchors=[snp_anchor("Genoa")])


def test_anchor_without_a_line_is_placed_by_its_name(bench: Bench, snp_anchor: Anchors) -> None:
    """An anchor that says no line counts for the line in its common name; another vendor's or an unreadable one never does."""
    bare = replace(bench.anchor, line="")
    bench.judge(anchors=[replace(bare, certificate=b"junk"), replace(snp_anchor("Genoa"), line=""), bare])
    bench.refused("022", None, anchors=[replace(snp_anchor("Genoa"), line="")])
    bench.refused("022", None, anchors=[replace(bench.anchor, vendor="intel")])


def test_version_2_leaf_of_no_known_line(bench: Bench, now: datetime) -> None:
    """A report without CPUID takes its line from the leaf; an issuer and product of no line are refused."""
    authority = mint.Authority(bench.pki.ask.key, b"", mint.name("SEV-Rome"))
    product = mint.Extension("1.3.6.1.4.1.3704.1.2", mint.ia5("Rome"))
    leaf = issue(bench, now, issuer=authority, drop=product.oid, extra=(product,))
    bench.refused("020", bench.chip.report(bytes(64), version=2), vcek=leaf)


def test_anchor_not_self_signed(bench: Bench) -> None:
    """An anchor that is not a root is refused."""
    bench.refused("037", None, anchors=[replace(bench.anchor, certificate=bench.pki.ask.certificate)])
    bench.refused("037", None, anchors=[replace(bench.anchor, certificate=b"junk")])


def test_self_made_root_of_the_same_name(bench: Bench, now: datetime) -> None:
    """A chain under a self-made ARK of the same name is refused, whether or not that ARK is shown."""
    forged = mint_pki("Milan", now, key_size=2048)
    chip = make_chip(forged, now)
    bench.refused("032", chip.report(bytes(64)), **chip.certificates())
    bench.refused("033", chip.report(bytes(64)), **{**chip.certificates(), "ark": b""})
    bench.refused("032", None, ark=forged.ark.certificate)


def test_leaf_by_itself_or_by_the_ark(bench: Bench, now: datetime) -> None:
    """A leaf that the ASK did not sign is refused."""
    stranger = mint.Authority(ec.generate_private_key(ec.SECP384R1()), b"", bench.pki.ask.name)
    bench.refused("035", None, vcek=issue(bench, now, issuer=stranger))


def test_intermediate_that_is_no_authority(bench: Bench, now: datetime) -> None:
    """An ASK without CA flag or with a key usage that forbids signing is refused."""
    for extensions in ([], mint.authority_extensions(0, is_ca=False)):
        ask = mint.certificate(
            bench.pki.ask.name,
            bench.pki.ask.key.public_key(),
            bench.pki.ark.name,
            bench.pki.ark.key,
            serial=7,
            not_before=now - timedelta(days=1),
            not_after=now + timedelta(days=1),
            extensions=extensions,
        )
        bench.refused("034", None, ask=ask)


def test_unknown_critical_extension(bench: Bench, now: datetime) -> None:
    """A critical extension that nobody judges is refused."""
    bench.refused("036", None, vcek=issue(bench, now, extra=(mint.Extension("1.2.3.4", b"\x05\x00", critical=True),)))


def test_leaf_that_is_an_authority(bench: Bench, now: datetime) -> None:
    """A leaf with the CA flag is refused."""
    bench.refused("038", None, vcek=issue(bench, now, extra=tuple(mint.authority_extensions())))


def test_validity_to_the_second(bench: Bench, now: datetime) -> None:
    """The verdict changes exactly at notBefore and notAfter of the leaf; both ends belong to it."""
    leaf = issue(bench, now, before=now, after=now + 10 * SECOND)
    for moment in (now, now + 10 * SECOND):
        bench.judge(vcek=leaf, now=moment)
    bench.refused("040", None, vcek=leaf, now=now - SECOND)
    bench.refused("041", None, vcek=leaf, now=now + 11 * SECOND)


def test_validity_of_intermediate_and_root(snp_pki: Pki, bench: Bench, now: datetime) -> None:
    """An ASK or ARK outside its validity is refused with a code of its own."""
    ask = mint.certificate(
        bench.pki.ask.name,
        bench.pki.ask.key.public_key(),
        bench.pki.ark.name,
        bench.pki.ark.key,
        serial=7,
        not_before=now,
        not_after=now + SECOND,
        extensions=mint.authority_extensions(0),
    )
    leaf = issue(bench, now, before=now - timedelta(days=900), after=now + timedelta(days=20000))
    bench.judge(vcek=leaf, ask=ask, now=now + SECOND)
    bench.refused("042", None, vcek=leaf, ask=ask, now=now + 2 * SECOND)
    bench.refused("042", None, vcek=leaf, ask=ask, now=now - SECOND)
    ark = mint.root(bench.pki.ark.key, bench.pki.ark.name, not_before=now, not_after=now + SECOND)
    anchor = replace(bench.anchor, certificate=ark.certificate)
    ask = mint.certificate(
        bench.pki.ask.name,
        bench.pki.ask.key.public_key(),
        bench.pki.ark.name,
        bench.pki.ark.key,
        serial=7,
        not_before=now,
        not_after=now + 5 * SECOND,
        extensions=mint.authority_extensions(0),
    )
    bench.judge(vcek=leaf, ask=ask, ark=b"", now=now + SECOND, anchors=[anchor])
    bench.refused("043", None, vcek=leaf, ask=ask, ark=b"", now=now + 2 * SECOND, anchors=[anchor])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({0x90: b"\xff"}, "052"),
        ({0x50: b"\xff"}, "052"),
        ({0x330: b"\x01"}, "055"),
        ({0x49F: b"\x01"}, "055"),
        ({0x2A0: bytes(72)}, "050"),
        ({0x2E8: bytes(72)}, "050"),
        ({0x2E8: ORDER.to_bytes(72, "little")}, "050"),
        ({0x2A0: ORDER.to_bytes(72, "little")}, "050"),
        ({0x2A0 + 71: b"\x01"}, "051"),
        ({0x2E8 + 48: b"\x01"}, "051"),
    ],
)
def test_changed_after_signing(bench: Bench, change: dict[int, bytes], code: str) -> None:
    """A change of signed bytes, of the signature's form or of the unsigned rest: each by its own code."""
    report = bytearray(bench.chip.report(bytes(64)))
    for position, data in change.items():
        report[position : position + len(data)] = data
    bench.refused(code, bytes(report))


def test_signature_swapped_or_big_endian(bench: Bench) -> None:
    """R and S in each other's place, or written big-endian, are named as such."""
    good = bench.chip.report(bytes(64))
    r, s = good[0x2A0:0x2E8], good[0x2E8:0x330]
    bench.refused("056", good[:0x2A0] + s + r + good[0x330:])
    big = r[:48][::-1] + bytes(24) + s[:48][::-1] + bytes(24)
    bench.refused("057", good[:0x2A0] + big + good[0x330:])


def test_vcek_of_another_chip(bench: Bench, now: datetime) -> None:
    """A VCEK of another chip fails at the signature; with the same key and another HWID, at the identity."""
    other = make_chip(bench.pki, now)
    bench.refused("053", None, vcek=other.certificate)
    bench.refused("063", None, vcek=issue(bench, now, hwid=other.chip_id))


def test_vcek_of_another_tcb(bench: Bench, now: datetime) -> None:
    """A VCEK issued for another TCB, each component by itself, is refused under a good signature."""
    for component in ("bootloader", "tee", "snp", "microcode"):
        bench.refused("061", None, vcek=issue(bench, now, tcb={component: bench.chip.tcb[component] + 1}))
    other = make_chip(bench.pki, now, chip_id=bench.chip.chip_id, tcb={"snp": 99})
    bench.refused("054", None, vcek=other.certificate)


def test_hwid_length_by_line(bench: Bench, snp_pki: Pki, snp_anchor: Anchors, now: datetime) -> None:
    """64 bytes on Milan, 8 on Turin; the other's length is refused, a DER-wrapped HWID is read."""
    bench.refused("062", None, vcek=issue(bench, now, hwid=bench.chip.chip_id[:8]))
    bench.judge(vcek=issue(bench, now, hwid=b"\x04\x40" + bench.chip.chip_id))
    turin = Bench(snp_pki("Turin"), snp_anchor("Turin"), now)
    turin.judge()
    turin.refused("062", None, vcek=issue(turin, now, hwid=turin.chip.chip_id, product="Turin"))
    turin.refused("063", resigned(turin.chip, {0x1A0 + 8: b"\x01"}))


def test_turin_tcb_under_the_milan_map(snp_pki: Pki, snp_anchor: Anchors, now: datetime) -> None:
    """A Turin report whose TCB bytes follow Milan's map is refused."""
    turin = Bench(snp_pki("Turin"), snp_anchor("Turin"), now)
    milan_map = bytes([3, 0, 0, 0, 0, 0, 14, 209])
    turin.refused("061", resigned(turin.chip, {0x180: milan_map}))


def test_missing_or_malformed_extension(bench: Bench, now: datetime) -> None:
    """A leaf without one of AMD's extensions, or with one of another type, is refused."""
    for tail in ("3.1", "3.2", "3.3", "3.8", "4"):
        bench.refused("060", None, vcek=issue(bench, now, drop="1.3.6.1.4.1.3704.1." + tail))
    wrong = mint.Extension("1.3.6.1.4.1.3704.1.3.1", b"\x04\x01\x03")
    bench.refused("060", None, vcek=issue(bench, now, drop=wrong.oid, extra=(wrong,)))


def test_masked_chip_id_with_vcek(bench: Bench) -> None:
    """A VCEK cannot be bound to a report whose CHIP_ID is masked."""
    bench.refused("064", resigned(bench.chip, {0x1A0: bytes(64)}))


def test_revoked_intermediate(bench: Bench, now: datetime) -> None:
    """An ASK whose serial the ARK's CRL names is refused; another serial is not."""
    begin, end = now - SECOND, now + SECOND
    bench.judge(crls=(bench.pki.crl(serials=(1, 2, 3), this_update=begin, next_update=end),))
    bench.refused("075", None, crls=(bench.pki.crl(serials=(0x10001,), this_update=begin, next_update=end),))


def test_crl_clock(bench: Bench, now: datetime) -> None:
    """A CRL is in force from thisUpdate to nextUpdate, both included, and refused one second outside."""
    crl = bench.pki.crl(this_update=now, next_update=now + SECOND)
    for moment in (now, now + SECOND):
        assert {s.name: s.verdict for s in bench.judge(crls=(crl,), now=moment).statements}[
            "revocation"
        ] is Verdict.SIMULATED
    bench.refused("073", None, crls=(crl,), now=now - SECOND)
    bench.refused("074", None, crls=(crl,), now=now + 2 * SECOND)


def test_crl_of_another_or_forged_ark(bench: Bench, snp_pki: Pki, now: datetime) -> None:
    """A CRL of another line's ARK, of a self-made ARK of the same name, or unreadable: each by its own code."""
    bench.refused("071", None, crls=(snp_pki("Genoa").crl(this_update=now - SECOND, next_update=now + SECOND),))
    forged = mint.Authority(ec.generate_private_key(ec.SECP384R1()), b"", bench.pki.ark.name)
    bench.refused("072", None, crls=(mint.crl(forged, this_update=now - SECOND, next_update=now + SECOND),))
    bench.refused("070", None, crls=(b"\x30\x00",))


def test_newest_crl_counts_and_no_revocation_is_lost(bench: Bench, now: datetime) -> None:
    """With an expired and a current CRL the current one counts; a serial named by either is revoked."""
    old = bench.pki.crl(this_update=now - timedelta(days=60), next_update=now - timedelta(days=30))
    fresh = bench.pki.crl(this_update=now - SECOND, next_update=now + SECOND)
    bench.judge(crls=(old, fresh))
    revoking = bench.pki.crl(
        this_update=now - timedelta(days=60), next_update=now - timedelta(days=30), serials=(0x10001,)
    )
    bench.refused("075", None, crls=(revoking, fresh))


def test_other_kind(bench: Bench) -> None:
    """SNP bytes labelled as another kind are refused at this entry point."""
    evidence = Evidence(EvidenceKind.TDX, bench.chip.report(bytes(64)), bench.chip.certificates())
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-004"):
        verify(evidence, collateral=Collateral(), anchors=[bench.anchor], now=bench.now)


def test_among_several_leafs_the_fitting_one_is_taken(bench: Bench, now: datetime) -> None:
    """A folder with VCEKs of many chips does no harm."""
    others = tuple(make_chip(bench.pki, now).certificate for _ in range(3))
    certificates = {**bench.chip.certificates(), "vcek": b""}
    evidence = Evidence(
        EvidenceKind.SEV_SNP, bench.chip.report(bytes(64)), {k: v for k, v in certificates.items() if v}
    )
    collateral = Collateral(certificates=(*others, bench.chip.certificate, *others))
    verify(evidence, collateral=collateral, anchors=[bench.anchor], now=now)


def test_table_in_the_folder(bench: Bench, now: datetime) -> None:
    """A certificate table that lies in the folder of collateral serves as well as one that travelled along."""
    evidence = Evidence(EvidenceKind.SEV_SNP, bench.chip.report(bytes(64)))
    files = {"certs.bin": table.build(bench.chip.certificates())}
    verify(evidence, collateral=Collateral.from_files(files), anchors=[bench.anchor], now=now)


@pytest.mark.parametrize(
    "blob",
    [
        b"\x01" * 24,
        b"\x01" * 23,
        b"",
        bytes.fromhex("63da758de6644564adc5f4b93be8accd")
        + (48).to_bytes(4, "little")
        + (10**6).to_bytes(4, "little")
        + bytes(24),
        (bytes.fromhex("63da758de6644564adc5f4b93be8accd") + (72).to_bytes(4, "little") + bytes(4)) * 2 + bytes(24),
    ],
)
def test_certificate_table_malformed(blob: bytes) -> None:
    """A table without end, past its end, or with a type twice is refused."""
    with pytest.raises(EvidenceError, match="QNSP-ATT-SNP-005"):
        table.parse(blob)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_parsers_raise_only_our_errors(data: bytes) -> None:
    """On any bytes the parsers raise only our errors."""
    for parse in (abi.parse, hcl.parse, table.parse):
        with contextlib.suppress(EvidenceError):
            parse(data)
    for load in (load_certificate, load_crl):
        with contextlib.suppress(CertificateError):
            load(data)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1184, max_size=1184), st.integers(2, 5))
def test_any_report_is_refused_without_trace(data: bytes, version: int) -> None:
    """A report of arbitrary bytes, in the right size and version, is refused by our errors only."""
    body = version.to_bytes(4, "little") + data[4:0x34] + (1).to_bytes(4, "little") + data[0x38:]
    with pytest.raises(EvidenceError):
        verify(
            Evidence(EvidenceKind.SEV_SNP, body),
            collateral=Collateral(),
            anchors=[],
            now=datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
        )


def test_report_signed_by_a_stranger(bench: Bench) -> None:
    """A report of the right form by another key is refused at the signature."""
    report = bench.chip.report(bytes(64))
    bench.refused("052", sign_report(report[:0x2A0], ec.generate_private_key(ec.SECP384R1())))
