"""A broker and simulated guests for tests: real keys, real reports under a throw-away vendor, a folder to live in.

Plans are the one thing that is not real here: `FakePlans` stands in for `VerifyPlan`, so that a test of the broker says in one line
what a plan authorises. Tests of real plans use `qnsp_policy.pipeline.plan`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from qnsp_policy.errors import PlanRefused
from qnsp_policy.kernel.attestation.values import Alternative, EvidenceKind
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.crypto.keyfile_edge import write_key_file
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.sealed.header import seal_key
from qnsp_policy.kernel.wire.api_auth import sign_request
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.trust_root import (
    ApprovalRule,
    ApprovalRules,
    IdentityValue,
    SignerValue,
    TrustRootValue,
)
from qnsp_policy.pipeline.trust.values import EffectiveGrant, Guardrail, GuardrailKind
from qnsp_policy.services.broker.app import BrokerApp
from qnsp_policy.services.broker.configuration import BrokerConfiguration
from qnsp_policy.services.broker.objects import AcceptedPlan
from qnsp_policy.services.broker.process_edge import build
from qnsp_policy.services.guest.attesters.report import AttesterReport
from qnsp_policy.simulator.snp import SnpChip, SnpPki

START = datetime.now(UTC).replace(microsecond=0)
"""When test stories begin: clients and cookies look at the real clock, too."""


@dataclass(slots=True)
class Clock:
    """A clock that a test moves."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@dataclass(frozen=True, slots=True)
class SimulatedMember:
    """A guest's hardware: a chip, and what was launched on it."""

    chip: SnpChip
    measurement: bytes = b"\x11" * 48
    host_data: bytes = b"\x22" * 32
    policy: int = 0x30000

    def report(self, report_data: bytes) -> AttesterReport:
        """As `services.guest.attesters.tsm.get_report` would answer."""
        raw = self.chip.report(
            report_data.ljust(64, b"\0"), measurement=self.measurement, host_data=self.host_data, policy=self.policy
        )
        return AttesterReport(EvidenceKind.SEV_SNP, raw, self.chip.certificates())

    def alternative(self, floors: Mapping[str, int] | None = None) -> Alternative:
        """Reference values that this member meets, unless `floors` are above it."""
        return Alternative(
            name="ReferenceValues/test#0",
            kind=EvidenceKind.SEV_SNP,
            equals={
                "measurement": self.measurement.hex(),
                "hostData": self.host_data.hex(),
                "policy.debug": False,
                "vmpl": 0,
            },
            floors=floors or {"tcb.reported.snp": 14},
        )


@dataclass(slots=True)
class FakePlans:
    """Plans that are whatever a test says: an envelope is JSON of an `AcceptedPlan`."""

    refuse: str = ""

    def envelope(
        self,
        authorises: Mapping[str, str],
        *,
        serial: int = 0,
        base: Mapping[str, str] | None = None,
        expires: datetime = START + timedelta(hours=24),
        mark: str = "",
        between: Mapping[str, str] | None = None,
    ) -> bytes:
        return jcs(
            {
                "authorises": dict(authorises),
                "serial": serial,
                "base": dict(base or {}),
                "expires": expires.isoformat(),
                "mark": mark,
                "between": dict(between or {}),
            }
        )

    def __call__(self, envelope: bytes, now: datetime) -> AcceptedPlan:
        if self.refuse:
            raise PlanRefused(self.refuse, "this plan is refused")
        value = json.loads(envelope)
        expires = datetime.fromisoformat(value["expires"])
        if now >= expires:
            raise PlanRefused("QNSP-PLN-010", "the plan expired")
        return AcceptedPlan(
            digest=sha256_digest(envelope),
            authorises=value["authorises"],
            base_serial=value["serial"],
            base=value["base"],
            expires=expires,
            author="alice@clinic.example",
            approvers=("bob@clinic.example",),
            between=value["between"],
        )


def trust_root() -> TrustRootValue:
    """A TrustRoot with one author and one approver, whose keys nobody has."""

    def identity(name: str, *roles: str) -> IdentityValue:
        keys = tuple(generate(algorithm).public.to_jwk() for algorithm in ("ML-DSA-65", "Ed25519"))
        return IdentityValue(name, frozenset(roles), (SignerValue("software", keys, START + timedelta(days=365)),))

    people = (identity("alice@clinic.example", "author"), identity("bob@clinic.example", "operator", "security"))
    one = ApprovalRule(1)
    return TrustRootValue(
        name="test",
        version=1,
        environment="development",
        fail_on="high",
        plan_lifetime_seconds=86400,
        identities={person.name: person for person in people},
        threshold=1,
        role_thresholds={},
        approvals=ApprovalRules(one, one, one),
    )


@dataclass(slots=True)
class BrokerWorld:
    """A broker in a folder, with the keys that speak to it.

    Attributes:
        folder: holds key files, database and log.
        pki: the vendor whose root the broker's configuration declares.
        admin: the administrator's key.
        plans: what verifies plans.
    """

    folder: Path
    pki: SnpPki
    clock: Clock = field(default_factory=Clock)
    plans: FakePlans = field(default_factory=FakePlans)
    admin: PrivateKey = field(default_factory=lambda: generate("ML-DSA-65"))
    unwrap: PrivateKey = field(default_factory=lambda: generate("X-Wing"))
    token: PrivateKey = field(default_factory=lambda: generate("ECDSA-P256"))
    settings: dict[str, Any] = field(default_factory=dict)

    def configuration(self, **changes: Any) -> BrokerConfiguration:
        """The broker's configuration; the files that it names are written at the first call."""
        keys, root_file = self.folder / "keys.json", self.folder / "trust-root.json"
        root = self.folder / "root.digest"
        if not keys.exists():
            write_key_file(keys, "broker-main", (self.unwrap, self.token))
            value = trust_root()
            root_file.write_bytes(jcs(value.to_json()))
            root.write_text(value.digest)
        return BrokerConfiguration.model_validate(
            {
                "name": "main",
                "listen": "127.0.0.1:8555",
                "database": f"sqlite:///{self.folder}/broker.db",
                "keys": str(keys),
                "tls": {"mode": "insecure-plaintext"},
                "identity": {"token": self.token.public.to_jwk(), "unwrap": self.unwrap.public.to_jwk()},
                "trustRoot": str(root_file),
                "trustRootDigest": root.read_text(),
                "workspaceId": "test",
                "environment": "development",
                "anchors": [{"vendor": "amd", "line": "Milan", "certificate": self.pki.ark_pem}],
                "ledger": {
                    "dir": str(self.folder / "ledger"),
                    "origin": "qnsp.example/test/broker/main",
                    "keys": str(self.folder / "ledger-keys.json"),
                },
                "adminKeys": [self.admin.public.to_jwk()],
                **self.settings,
                **changes,
            }
        )

    def start(self, **changes: Any) -> BrokerApp:
        """A broker over whatever lies in the folder."""
        return build(self.configuration(**changes), clock=self.clock, verify_plan=self.plans)

    def sealed_key(self, resource: str, data_key: bytes) -> dict[str, Any]:
        """A `resource` object that this broker can open."""
        return seal_key(
            data_key,
            self.unwrap.public,
            resource=resource,
            version=1,
            tier="CryptoTier/hip5-tier-2",
            artefact_digest="sha256:" + "0" * 64,
        ).to_json()


class Admin:
    """An administrator of a `BrokerWorld` who signs every request."""

    def __init__(self, world: BrokerWorld, http: httpx.Client) -> None:
        self.world, self.http = world, http

    def send(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        url = f"{self.http.base_url}".rstrip("/") + "/qnsp/v1/admin" + path
        headers = sign_request(method, url, body, self.world.admin, self.world.clock())
        return self.http.request(method, url, content=body, headers=headers)

    def put(self, name: str, value: object, plan: str = "") -> httpx.Response:
        return self.send("PUT", f"/objects/{name}", jcs({"object": value, "plan": plan}))

    def apply(self, objects: Mapping[str, Mapping[str, Any]], **plan: Any) -> str:
        """Accept a plan that authorises exactly `objects`, and put them; returns the plan's digest."""
        digests = {name: sha256_digest(jcs(value)) for name, value in objects.items()}
        envelope = self.world.plans.envelope(digests, **plan)
        accepted = self.send("POST", "/plans", envelope)
        self._must(accepted)
        for name, value in objects.items():
            self._must(self.put(name, value, accepted.json()["plan"]))
        plan_digest: str = accepted.json()["plan"]
        return plan_digest

    @staticmethod
    def _must(answer: httpx.Response) -> None:
        if answer.status_code != 200:
            raise AssertionError(answer.text)


def release_policy(resource: str, *alternatives: Alternative, enclave: str = "Enclave/test") -> dict[str, Any]:
    """A `release-policy` object: any of the alternatives, on simulated hardware, wrapped post-quantum."""
    tenant = f"Tenant/{resource.split('/', maxsplit=1)[0]}"
    grant = EffectiveGrant(
        grant="Grant/test",
        broker="KeyBroker/main",
        tenant=tenant,
        resource=resource,
        enclave=enclave,
        purpose="inference",
        lease_seconds=43200,
        not_before=None,
        not_after=None,
        alternatives=alternatives,
        guardrails=(
            Guardrail(GuardrailKind.ASSURANCE, "CryptoTier/hip5-tier-2", ("hardware-tee", "simulated")),
            Guardrail(GuardrailKind.WRAPPING, "CryptoTier/hip5-tier-2", ("ML-KEM-1024", "ML-KEM-768", "X-Wing")),
        ),
    )
    return ReleasePolicy("KeyBroker/main", tenant, resource, (grant,)).to_json()


def tenant_object(name: str) -> dict[str, Any]:
    """A `tenant` object."""
    return {
        "format": "qnsp.tenant/v1",
        "name": name,
        "tier": "CryptoTier/hip5-tier-2",
        "owners": [],
        "wrapping": ["ML-KEM-768"],
        "apiKeys": [],
    }


@contextlib.contextmanager
def lost(folder: Path) -> Iterator[None]:
    """A folder that cannot be written for a while, whoever the tests run as: another file lies where it was, as after a lost mount."""
    away = folder.with_name(folder.name + ".away")
    folder.rename(away)
    folder.write_bytes(b"")
    yield
    folder.unlink()
    away.rename(folder)


__all__ = [
    "START",
    "Admin",
    "BrokerWorld",
    "Clock",
    "FakePlans",
    "SimulatedMember",
    "lost",
    "release_policy",
    "tenant_object",
    "trust_root",
]
