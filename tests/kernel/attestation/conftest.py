"""Fixtures of the attestation kernel: real vectors, throw-away vendors in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass
from qnsp_policy.simulator.snp import SnpPki, mint_pki

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
_VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture(scope="session")
def now() -> datetime:
    """The time of minted evidence."""
    return NOW


@pytest.fixture(scope="session")
def vector() -> Callable[[str], bytes]:
    """Bytes of a real vector by `<kind>/<file>`."""

    @cache
    def read(name: str) -> bytes:
        return (_VECTORS / name).read_bytes()

    return read


@pytest.fixture(scope="session")
def snp_pki() -> Callable[[str], SnpPki]:
    """A throw-away AMD by product; one per session, with short RSA keys."""

    @cache
    def make(product: str) -> SnpPki:
        return mint_pki(product, NOW, key_size=2048)

    return make


@pytest.fixture(scope="session")
def snp_anchor(snp_pki: Callable[[str], SnpPki]) -> Callable[[str], Anchor]:
    """The anchor that declares a throw-away AMD."""

    def make(product: str) -> Anchor:
        pki = snp_pki(product)
        return Anchor("simulator", pki.ark.certificate, AssuranceClass.SIMULATED, pki.line)

    return make
