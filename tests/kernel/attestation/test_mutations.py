"""Random damage to evidence and collateral: a verifier answers with a refusal of ours or with the good claims, never with a crash."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation import registry
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind, VerifiedClaims
from qnsp_policy.kernel.attestation.x509 import split_pem

Read = Callable[[str], bytes]
SNP_NOW, DCAP_NOW = datetime(2026, 9, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC)
quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A way to damage bytes: some changed, a slice cut, doubled, or replaced by another of the same bytes."""
    kind = draw(st.sampled_from(["change", "cut", "double", "move", "length"]))
    at, other = draw(st.floats(0, 1)), draw(st.floats(0, 1))
    size, value = draw(st.integers(1, 40)), draw(st.binary(min_size=1, max_size=4))

    def apply(data: bytes) -> bytes:
        start, source = int(at * len(data)), int(other * len(data))
        match kind:
            case "change":
                return data[:start] + value + data[start + len(value) :]
            case "cut":
                return data[:start] + data[start + size :]
            case "double":
                return data[: start + size] + data[start:]
            case "move":
                return data[:start] + data[source : source + size] + data[start + size :]
        return data[:start] + b"\x30\x84" + value + data[start:]

    return apply


def judge(
    kind: EvidenceKind, data: bytes, now: datetime, files: Mapping[str, bytes], endorsements: Mapping[str, bytes]
) -> VerifiedClaims | None:
    """Claims, or None where it was refused by an error of ours."""
    try:
        return registry.verify_any(
            Evidence(kind, data, endorsements),
            collateral=Collateral.from_files(files),
            anchors=registry.pinned_anchors(),
            now=now,
        )
    except EvidenceError:
        return None


@quick
@given(damage(), st.sampled_from(["report", "vcek", "ask", "ark", "crl"]))
def test_damaged_snp(vector: Read, hurt: Callable[[bytes], bytes], which: str) -> None:
    """Damage to report, certificates or CRL is refused, or was outside what counts and changed no claim."""
    parts = {
        "report": vector("snp/ms_milan_attestation_report.bin"),
        "vcek": split_pem(vector("snp/ms_milan_vcek.pem"))[0],
        "ask": split_pem(vector("snp/ms_milan_ask.pem"))[0],
        "ark": split_pem(vector("snp/ms_milan_ark.pem"))[0],
        "crl": vector("snp/kds_milan_20260819.crl.der"),
    }
    good = judge(
        EvidenceKind.SEV_SNP,
        parts["report"],
        SNP_NOW,
        {},
        {name: parts[name] for name in ("vcek", "ask", "ark", "crl")},
    )
    assert good is not None
    hurt_parts = {**parts, which: hurt(parts[which])}
    endorsements = {name: hurt_parts[name] for name in ("vcek", "ask", "ark", "crl")}
    claims = judge(EvidenceKind.SEV_SNP, hurt_parts["report"], SNP_NOW, {}, endorsements)
    assert claims is None or (hurt_parts == parts and claims == good)


@quick
@given(damage())
def test_damaged_quote(vector: Read, hurt: Callable[[bytes], bytes]) -> None:
    """Damage to a quote is refused, or touched only the number of zero bytes behind it."""
    quote, bundle = vector("tdx/phala_tdx_quote"), {"b.json": vector("tdx/phala_tdx_quote_collateral.json")}
    good = judge(EvidenceKind.TDX, quote, DCAP_NOW, bundle, {})
    claims = judge(EvidenceKind.TDX, hurt(quote), DCAP_NOW, bundle, {})
    assert claims is None or claims == good
    if claims is not None:
        assert hurt(quote).rstrip(b"\0") == quote.rstrip(b"\0")


@quick
@given(
    damage(), st.sampled_from(["whole", "tcb_info", "qe_identity", "tcb_info_issuer_chain", "pck_crl", "root_ca_crl"])
)
def test_damaged_collateral(vector: Read, hurt: Callable[[bytes], bytes], which: str) -> None:
    """Damage to collateral never turns into other claims than the good ones, or than those stated as not checked."""
    quote, whole = vector("tdx/phala_tdx_quote"), vector("tdx/phala_tdx_quote_collateral.json")
    good = judge(EvidenceKind.TDX, quote, DCAP_NOW, {"b.json": whole}, {})
    assert good is not None
    if which == "whole":
        damaged = hurt(whole)
    else:
        bundle: dict[str, Any] = json.loads(whole)
        bundle[which] = hurt(bundle[which].encode()).decode("latin-1")
        damaged = json.dumps(bundle).encode()
    claims = judge(EvidenceKind.TDX, quote, DCAP_NOW, {"b.json": damaged}, {})
    if claims is not None:
        status = claims.claims.get("tcbStatus")
        assert status in (None, good.claims["tcbStatus"])
