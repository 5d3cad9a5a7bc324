"""Freshly minted workspaces on AWS, and what they say of who may open what: written from the same dice, never from our lowering.

A seed gives several tenants, platforms in two regions, brokers, fleets of all three attesters, several tuples a fleet, grants with dates,
wildcards and revocations. `World.opens` is the oracle: it answers from the dice alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from qnsp_policy.testing.generator import with_keys
from qnsp_policy.testing.workspaces import QNSP, TRUST_ROOT, filled

ACCOUNT, FAR = "012345678901", "210987654321"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TIERS = {"qnsp-default": {"nitro-enclave", "nitro-tpm"}, "eu-dora": {"nitro-enclave"}}
"""Tiers, and the attesters whose assurance they admit of those that KMS verifies."""
ZEROS = "0" * 96
Registers = Mapping[int, str]


@dataclass(frozen=True)
class Fleet:
    """A fleet: what its members may measure, one complete tuple each."""

    name: str
    platform: str
    attester: str
    boot: str
    tuples: tuple[Registers, ...]
    expires: datetime


@dataclass(frozen=True)
class Given:
    """A grant."""

    name: str
    resources: tuple[str, ...]
    fleets: tuple[str, ...]
    not_before: datetime | None
    not_after: datetime | None


@dataclass(frozen=True)
class Asked:
    """One question to a key.

    Attributes:
        fleet: whose role asks.
        shown: registers by kind of document, none for no document.
        context: the encryption context that is named.
    """

    resource: str
    fleet: str
    kind: str
    shown: Registers
    context: str
    at: datetime


@dataclass
class World:
    """One workspace.

    Attributes:
        name: of the project.
        accounts: platform -> (account, region).
        tenants: tenant -> (tier, platform of its fleets).
        keys: resources in KMS.
        revoked: registers that are revoked: attester, number, value.
    """

    name: str
    accounts: dict[str, tuple[str, str]]
    tenants: dict[str, tuple[str, str]]
    brokers: dict[str, str]
    keys: dict[str, list[str]]
    fleets: dict[str, Fleet]
    grants: list[Given]
    revoked: list[tuple[str, int, str]] = field(default_factory=list)

    def opens(self, asked: Asked) -> bool:
        """Whether some grant lets this fleet open this with what it shows, by now."""
        fleet = self.fleets.get(asked.fleet)
        tenant = asked.resource.split("/")[0]
        if fleet is None or asked.kind != fleet.attester or asked.context != asked.resource:
            return False
        if fleet.attester not in TIERS[self.tenants[tenant][0]] or asked.at > fleet.expires:
            return False
        met = any(
            all(asked.shown.get(number) == value for number, value in one.items())
            and not any((fleet.attester, number, value) in self.revoked for number, value in one.items())
            for one in fleet.tuples
        )
        return met and any(
            asked.fleet in grant.fleets
            and any(_covers(written, asked.resource) for written in grant.resources)
            and (grant.not_before is None or asked.at >= grant.not_before)
            and (grant.not_after is None or asked.at <= grant.not_after)
            for grant in self.grants
        )

    def role(self, fleet: str) -> str:
        """ARN of a fleet's or broker's role."""
        platform = self.fleets[fleet].platform if fleet in self.fleets else self.brokers[fleet]
        account = self.accounts[platform][0]
        return f"arn:aws:iam::{account}:role/qnsp/{self.name}/qnsp-{self.name}-{fleet}"

    def files(self) -> dict[str, bytes]:
        """Its documents."""
        parts = [
            *(_platform(name, *where) for name, where in self.accounts.items()),
            *(self._tenant(name) for name in self.tenants),
            *(self._broker(name) for name in self.brokers),
            *(self._fleet(fleet) for fleet in self.fleets.values()),
            *(self._grant(grant) for grant in self.grants),
            *(_revocation(number, *one) for number, one in enumerate(self.revoked)),
        ]
        texts = {
            "qnsp.yaml": QNSP.replace("quickstart", self.name),
            "trust-root.yaml": TRUST_ROOT.replace("quickstart", self.name),
            "world.yaml": "---\n".join(parts),
        }
        return {name: filled(with_keys(text)).encode() for name, text in texts.items()}

    def _tenant(self, name: str) -> str:
        tier, platform = self.tenants[name]
        keys = "".join(
            f"    - {{name: {key}, algorithm: AES-256-GCM, wrappedBy: ML-KEM-1024, custody: kms, rotation: 365d}}\n"
            for key in self.keys[name]
        )
        return f"""apiVersion: qnsp.policy/v1
kind: Tenant
metadata: {{name: {name}}}
spec:
  tier: CryptoTier/{tier}
  regions: [{self.accounts[platform][1]}]
  dataClasses: [health]
  owners: [alice@clinic.example]
---
apiVersion: qnsp.policy/v1
kind: KeyHierarchy
metadata: {{name: {name}}}
spec:
  tenant: Tenant/{name}
  wrappingRoot: {{algorithm: ML-KEM-1024, custody: enclave, rotation: 365d}}
  signingRoot: {{algorithm: ML-DSA-87, custody: kms, rotation: 365d}}
  keys:
{keys}  owners: {{threshold: 1, identities: [alice@clinic.example]}}
"""

    def _broker(self, name: str) -> str:
        tenants = ", ".join(f"Tenant/{one}" for one in self.tenants)
        measured = "".join(f'pcr{n}: "@hex48:{name}{n}", ' for n in range(3)).rstrip(", ")
        return f"""apiVersion: qnsp.policy/v1
kind: KeyBroker
metadata: {{name: {name}}}
spec:
  platform: Platform/{self.brokers[name]}
  enclave: Enclave/{name}-enclave
  tenants: [{tenants}]
  listen: {name}.clinic.example:8555
  mode: strict
  identity: {{tls: @broker-p256, token: @broker-mldsa, unwrap: @broker-xwing, admin: [@broker-ed25519]}}
  unsealing: {{method: attested-kms, key: alias/qnsp/{self.name}/broker/{name}/store}}
  storage: {{url: "sqlite://"}}
---
{_enclave(f"{name}-enclave", self.brokers[name], "nitro-enclave", "", tenants, f"s3://images/{name}.eif")}---
{_values(f"{name}-enclave", "nitro-enclave", NOW + timedelta(days=400), [f"{{{measured}}}"])}"""

    def _fleet(self, fleet: Fleet) -> str:
        tenants = ", ".join(f"Tenant/{name}" for name, (_, home) in self.tenants.items() if home == fleet.platform)
        where = f"s3://images/{fleet.name}.eif" if fleet.attester == "nitro-enclave" else "ami-0123456789abcdef0"
        claim = "measurement" if fleet.attester == "sev-snp" else "pcr{}"
        tuples = ["{" + ", ".join(f'{claim.format(n)}: "{v}"' for n, v in one.items()) + "}" for one in fleet.tuples]
        enclave = _enclave(fleet.name, fleet.platform, fleet.attester, fleet.boot, tenants, where)
        return f"{enclave}---\n{_values(fleet.name, fleet.attester, fleet.expires, tuples)}"

    def _grant(self, grant: Given) -> str:
        dates = f"  notBefore: {grant.not_before:%Y-%m-%dT%H:%M:%SZ}\n" if grant.not_before else ""
        dates += f"  notAfter: {grant.not_after:%Y-%m-%d}\n" if grant.not_after else ""
        return f"""apiVersion: qnsp.policy/v1
kind: Grant
metadata: {{name: {grant.name}}}
spec:
  resources: [{", ".join(grant.resources)}]
  broker: KeyBroker/{min(self.brokers)}
  to: [{", ".join(f"Enclave/{one}" for one in grant.fleets)}]
  purpose: inference
  lease: 1h
  consent: [alice@clinic.example]
{dates}"""


def _covers(written: str, resource: str) -> bool:
    return resource.startswith(written[:-1]) if written.endswith("*") else written == resource


def _platform(name: str, account: str, region: str) -> str:
    arn = f"arn:aws:iam::{account}:role"
    return f"""apiVersion: qnsp.policy/v1
kind: Platform
metadata: {{name: {name}}}
spec: {{type: aws, account: "{account}", region: {region}, role: "{arn}/qnsp-apply", keyAdmin: "{arn}/qnsp-key-admin"}}
"""


def _enclave(name: str, platform: str, attester: str, boot: str, tenants: str, location: str) -> str:
    launch = f"  launch: {{boot: {boot}}}\n" if boot else ""
    return f"""apiVersion: qnsp.policy/v1
kind: Artefact
metadata: {{name: {name}-image}}
spec: {{type: image, location: "{location}", digest: "@sha256:{name.replace("-", "")}", publisher: lab@research.example}}
---
apiVersion: qnsp.policy/v1
kind: Enclave
metadata: {{name: {name}}}
spec:
  platform: Platform/{platform}
  attester: {attester}
  size: {{members: 1, vcpus: 2, memory: 2Gi}}
  tenants: [{tenants}]
  image: Artefact/{name}-image
  referenceValues: ReferenceValues/{name}
{launch}"""


def _values(name: str, attester: str, expires: datetime, tuples: list[str]) -> str:
    alternatives = "".join(f"    - measurements: {one}\n" for one in tuples)
    return f"""apiVersion: qnsp.policy/v1
kind: ReferenceValues
metadata: {{name: {name}}}
spec:
  attester: {attester}
  state: active
  expires: {expires:%Y-%m-%d}
  covers: {{firmware: pcr0, kernel: pcr1, cmdline: pcr1, initrd: pcr1, rootfs: pcr2, workload: pcr2, initdata: pcr2}}
  builders: [lab@research.example]
  alternatives:
{alternatives}"""


def _revocation(number: int, attester: str, register: int, value: str) -> str:
    return f"""apiVersion: qnsp.policy/v1
kind: Revocation
metadata: {{name: bad-{number}}}
spec:
  revokes: {{type: measurement, attester: {attester}, claim: pcr{register}, value: "{value}"}}
  reason: "found wanting"
  responder: bob@clinic.example
  since: 2026-11-01T00:00:00Z
"""


def _day(dice: random.Random, least: int, most: int) -> datetime:
    return datetime(2026, 11, 22, tzinfo=UTC) + timedelta(days=dice.randint(least, most))


def _last(dice: random.Random, least: int, most: int) -> datetime:
    """A day's last second: a document that names a day as an end includes it."""
    return _day(dice, least, most) + timedelta(days=1, seconds=-1)


def _tuple(dice: random.Random, attester: str, boot: str) -> Registers:
    def value() -> str:
        return f"{dice.getrandbits(384):096x}"

    if attester == "sev-snp":
        return {0: value()}
    if attester == "nitro-enclave":
        return {number: value() for number in (0, 1, 2, *dice.sample([3, 8], dice.randint(0, 2)))}
    more = dice.sample([4, 7, 9], dice.randint(0, 2))
    needed = 7 if boot == "secure-boot" else 4
    return {n: ZEROS if n == 12 and dice.random() < 0.7 else value() for n in sorted({needed, 12, *more})}


def world(seed: int) -> World:
    """The world of a seed."""
    dice = random.Random(seed)  # noqa: S311 - nothing secret: the same seed gives the same world
    accounts = {"near": (ACCOUNT, "eu-west-1")}
    if dice.random() < 0.6:
        accounts["far"] = (dice.choice([ACCOUNT, FAR]), "us-east-2")
    tenants = {
        f"t{number}": (dice.choice(sorted(TIERS)), dice.choice(sorted(accounts)))
        for number in range(dice.randint(1, 3))
    }
    brokers = {f"b{number}": dice.choice(sorted(accounts)) for number in range(dice.randint(1, 2))}
    keys = {name: [f"data/k{number}" for number in range(dice.randint(1, 3))] for name in tenants}
    fleets: dict[str, Fleet] = {}
    for platform in sorted({home for _, home in tenants.values()}):
        for number in range(dice.randint(2, 4)):
            attester = dice.choice(["nitro-enclave", "nitro-enclave", "nitro-tpm", "sev-snp"])
            boot = dice.choice(["standard", "secure-boot"]) if attester == "nitro-tpm" else ""
            tuples = tuple(_tuple(dice, attester, boot) for _ in range(dice.randint(1, 3)))
            fleet = Fleet(f"{platform}{number}", platform, attester, boot, tuples, _last(dice, 40, 200))
            fleets[fleet.name] = fleet
    grants = []
    for tenant, (_, home) in tenants.items():
        there = [one.name for one in fleets.values() if one.platform == home and one.attester != "sev-snp"]
        for number in range(dice.randint(1, 3) if there else 0):
            named = [f"{tenant}/{key}" for key in dice.sample(keys[tenant], dice.randint(1, len(keys[tenant])))]
            written = [f"{tenant}/data/*"] if dice.random() < 0.3 else named
            to = dice.sample(there, dice.randint(1, len(there)))
            begins = _day(dice, -20, 20) if dice.random() < 0.4 else None
            ends = _last(dice, 25, 250) if dice.random() < 0.7 else None
            grants.append(Given(f"{tenant}-g{number}", tuple(written), tuple(to), begins, ends))
    found = World(f"w{seed}", accounts, tenants, brokers, keys, fleets, grants)
    for fleet in fleets.values():
        if fleet.attester != "sev-snp" and len(fleet.tuples) > 1 and dice.random() < 0.4:
            number, value = next(item for item in sorted(fleet.tuples[0].items()) if item[1] != ZEROS)
            found.revoked.append((fleet.attester, number, value))
    return found


__all__ = ["NOW", "TIERS", "ZEROS", "Asked", "Fleet", "Given", "World", "world"]
