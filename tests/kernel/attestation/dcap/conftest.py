"""Fixtures of DCAP tests: a throw-away Intel in memory, one good machine of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from qnsp_policy.kernel.attestation import registry
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, Evidence, EvidenceKind, VerifiedClaims
from qnsp_policy.simulator.dcap import (
    IntelPki,
    IntelPlatform,
    collateral_files,
    enclave_report,
    make_platform,
    mint_intel,
    qe_identity,
    tcb_info,
    td_report,
)

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Machine:
    """One good minted platform, and the verdict on what is done to it."""

    pki: IntelPki
    platform: IntelPlatform
    now: datetime
    td: bool
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        return "TDX" if self.td else "SGX"

    @property
    def anchor(self) -> Anchor:
        return Anchor("simulator", self.pki.root.certificate, AssuranceClass.SIMULATED)

    @staticmethod
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

    def report(self, **changes: Any) -> bytes:
        """A body with good values but for the changes."""
        fields: dict[str, Any] = {"report_data": b"\x05" * 64, **self.body, **changes}
        if self.td:
            return td_report(**fields)
        fields.setdefault("attributes", bytes.fromhex("0500000000000000") + bytes(8))
        return enclave_report(**fields)

    def info(self) -> dict[str, Any]:
        return tcb_info(self.platform, self.now - DAY, self.now + DAY)

    def identity(self) -> dict[str, Any]:
        return qe_identity(self.platform, self.now - DAY, self.now + DAY)

    def files(self, **changes: Any) -> dict[str, bytes]:
        return collateral_files(self.platform, self.now - DAY, self.now + DAY, **changes)

    def judge(
        self,
        quote: bytes | None = None,
        files: Mapping[str, bytes] | None = None,
        *,
        now: datetime | None = None,
        anchors: list[Anchor] | None = None,
        endorsements: Mapping[str, bytes] | None = None,
        kind: EvidenceKind | None = None,
    ) -> VerifiedClaims:
        """The verdict on a quote (a good one if not given) with collateral (good if not given)."""
        return registry.verify_any(
            Evidence(
                kind or (EvidenceKind.TDX if self.td else EvidenceKind.SGX),
                self.platform.quote(self.report()) if quote is None else quote,
                endorsements or {},
            ),
            collateral=Collateral.from_files(self.files() if files is None else files),
            anchors=[self.anchor] if anchors is None else anchors,
            now=now or self.now,
        )

    def refused(self, number: int, *args: Any, **kwargs: Any) -> None:
        """Asserts the refusal by its code."""
        with pytest.raises(EvidenceError) as caught:
            self.judge(*args, **kwargs)
        assert caught.value.code == f"QNSP-ATT-{self.prefix}-{number:03d}", caught.value


@pytest.fixture(scope="session")
def intel(now: datetime) -> IntelPki:
    """A throw-away Intel."""
    return mint_intel(now)


@pytest.fixture(scope="session")
def make_machine(intel: IntelPki, now: datetime) -> Callable[..., Machine]:
    """Makes a machine; arguments go to `make_platform`."""

    def make(*, td: bool, body: dict[str, Any] | None = None, **platform: Any) -> Machine:
        return Machine(intel, make_platform(intel, td=td, **platform), now, td, body or {})

    return make


@pytest.fixture
def tdx(make_machine: Callable[..., Machine]) -> Machine:
    return make_machine(td=True)


@pytest.fixture
def sgx(make_machine: Callable[..., Machine]) -> Machine:
    return make_machine(td=False)


@pytest.fixture(params=[True, False], ids=["tdx", "sgx"])
def machine(request: pytest.FixtureRequest, make_machine: Callable[..., Machine]) -> Machine:
    """Both kinds, one after the other."""
    return make_machine(td=bool(request.param))
