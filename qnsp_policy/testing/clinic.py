"""A small workspace in memory: two tenants, one broker, one fleet each; with the private keys of its people.

Tests start from it and apply one named mutation: `Clinic.workspace(change={...})` replaces text in the documents, so a
test reads as what somebody would have edited. `plan` and `applied` then make, sign, approve and record a plan without any
engine: `FakePreviews` answers for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.kernel.sealed.header import seal_key
from qnsp_policy.pipeline.model.build import build
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.plan.envelope import approve_plan, sign_plan, verify_plan
from qnsp_policy.pipeline.plan.make import Circumstances, Plan, PlanOptions, make_plan
from qnsp_policy.pipeline.plan.values import Op, Outline, PlannedStep, PreviewRequest, Step, Unit
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.pipeline.trust.initdata import host_data, initdata
from qnsp_policy.pipeline.world.recorded import Genesis, RecordedState, RecordedUnit

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
"""When the stories of tests happen."""

WORKSPACE_ID = "7d1f0c52-clinic"

PEOPLE: Mapping[str, tuple[str, ...]] = {
    "alice@clinic.example": ("author", "tenant-owner"),
    "bob@clinic.example": ("operator", "security", "tenant-owner"),
    "carol@research.example": ("tenant-owner",),
    "lab@research.example": ("publisher",),
}

_DOCUMENTS = """
apiVersion: qnsp.policy/v1
kind: Project
metadata: {name: clinic}
spec:
  environment: development
  backend: {url: "file://.qnsp/state", encryption: passphrase}
  ledger: {path: .qnsp/ledger, origin: qnsp.example/clinic}
  trustRoot: TrustRoot/clinic
  planLifetime: 24h
  failOn: high
  approvals: {default: 1, weaken: {count: 1, role: security}}
---
apiVersion: qnsp.policy/v1
kind: Tenant
metadata: {name: clinic}
spec: {tier: CryptoTier/plain, regions: [local], owners: [alice@clinic.example], quotas: {requestsPerMinute: 600}}
---
apiVersion: qnsp.policy/v1
kind: Tenant
metadata: {name: research}
spec: {tier: CryptoTier/plain, regions: [local], owners: [carol@research.example]}
---
apiVersion: qnsp.policy/v1
kind: CryptoTier
metadata: {name: plain}
spec:
  family: test
  level: 2
  source: written for tests
  kem: {allowed: [ML-KEM-768, X-Wing], default: X-Wing}
  signature: {allowed: [ML-DSA-65], default: ML-DSA-65}
  aead: {allowed: [AES-256-GCM], default: AES-256-GCM}
  hash: {allowed: [SHA-384], default: SHA-384}
  tls: {minimumVersion: "1.3", groups: [X25519MLKEM768]}
  hybrid: allowed
  assurance: {cpu: [hardware-tee]}
  maxLease: 24h
---
apiVersion: qnsp.policy/v1
kind: Platform
metadata: {name: lab}
spec: {type: local, simulated: true}
---
apiVersion: qnsp.policy/v1
kind: KeyHierarchy
metadata: {name: clinic}
spec:
  tenant: Tenant/clinic
  wrappingRoot: {algorithm: ML-KEM-1024, custody: software, rotation: 365d}
  signingRoot: {algorithm: ML-DSA-87, custody: software, rotation: 365d}
  keys: [{name: model/minilm, algorithm: AES-256-GCM, wrappedBy: X-Wing, rotation: per-version}]
  owners: {threshold: 1, identities: [alice@clinic.example]}
---
apiVersion: qnsp.policy/v1
kind: KeyHierarchy
metadata: {name: research}
spec:
  tenant: Tenant/research
  wrappingRoot: {algorithm: ML-KEM-1024, custody: software, rotation: 365d}
  signingRoot: {algorithm: ML-DSA-87, custody: software, rotation: 365d}
  keys: [{name: data/notes, algorithm: AES-256-GCM, wrappedBy: X-Wing, rotation: per-version}]
  owners: {threshold: 1, identities: [carol@research.example]}
---
apiVersion: qnsp.policy/v1
kind: ReferenceValues
metadata: {name: clinic-1}
spec:
  attester: sev-snp
  state: active
  expires: 2027-05-21
  covers: {firmware: measurement, kernel: measurement, cmdline: measurement, initrd: measurement, rootfs: measurement, workload: measurement, initdata: hostData}
  computedFrom: {imageDigest: "sha256:@image@", cmdline: "console=ttyS0", vcpus: 2, tool: simulator}
  builders: [lab@research.example]
  alternatives:
    - measurements: {measurement: "@m-clinic@", hostData: "@h-clinic@"}
      floors: {bootloader: 3, snp: 14, microcode: 209}
      policy: {debug: false, smt: true}
      vmpl: 0
---
apiVersion: qnsp.policy/v1
kind: ReferenceValues
metadata: {name: research-1}
spec:
  attester: sev-snp
  state: active
  expires: 2027-05-21
  covers: {firmware: measurement, initdata: hostData}
  computedFrom: {imageDigest: "sha256:@image@", vcpus: 2, tool: simulator}
  builders: [lab@research.example]
  alternatives:
    - measurements: {measurement: "@m-research@", hostData: "@h-research@"}
      floors: {snp: 10}
---
apiVersion: qnsp.policy/v1
kind: Enclave
metadata: {name: clinic-cpu}
spec:
  platform: Platform/lab
  attester: sev-snp
  size: {members: 1, vcpus: 2, memory: 2Gi}
  tenants: [Tenant/clinic]
  image: Artefact/guest
  referenceValues: ReferenceValues/clinic-1
---
apiVersion: qnsp.policy/v1
kind: Enclave
metadata: {name: research-cpu}
spec:
  platform: Platform/lab
  attester: sev-snp
  size: {members: 2, vcpus: 2, memory: 2Gi}
  tenants: [Tenant/research]
  image: Artefact/guest
  referenceValues: ReferenceValues/research-1
---
apiVersion: qnsp.policy/v1
kind: Grant
metadata: {name: clinic-model}
spec:
  resources: [clinic/model/minilm]
  broker: KeyBroker/main
  to: [Enclave/clinic-cpu]
  purpose: inference
  lease: 12h
  consent: [alice@clinic.example]
---
apiVersion: qnsp.policy/v1
kind: Grant
metadata: {name: research-notes}
spec:
  resources: ["research/data/*"]
  broker: KeyBroker/main
  to: [Enclave/research-cpu]
  purpose: training
  lease: 1h
  consent: [carol@research.example]
---
apiVersion: qnsp.policy/v1
kind: Artefact
metadata: {name: guest}
spec: {type: image, location: artefacts/guest.tar, digest: "sha256:@image@", publisher: lab@research.example}
---
apiVersion: qnsp.policy/v1
kind: Artefact
metadata: {name: minilm}
spec:
  type: model
  tenant: Tenant/clinic
  location: artefacts/minilm.sealed
  digest: "sha256:@sealed@"
  plaintextDigest: "sha256:@plain@"
  encryption: {key: clinic/model/minilm, version: 1, wrappedKey: artefacts/minilm.key.json}
  publisher: lab@research.example
---
apiVersion: qnsp.policy/v1
kind: Artefact
metadata: {name: notes}
spec:
  type: dataset
  tenant: Tenant/research
  location: artefacts/notes.sealed
  digest: "sha256:@sealed@"
  plaintextDigest: "sha256:@plain@"
  encryption: {key: research/data/notes, version: 1, wrappedKey: artefacts/notes.key.json}
  publisher: lab@research.example
---
apiVersion: qnsp.policy/v1
kind: Endpoint
metadata: {name: embeddings}
spec:
  enclave: Enclave/clinic-cpu
  model: Artefact/minilm
  api: {openai: [embeddings]}
  tenants: [Tenant/clinic]
  upstream: {command: [python, upstream/app.py]}
  listen: 127.0.0.1:8443
"""


@cache
def _private(name: str, algorithm: str) -> PrivateKey:  # noqa: ARG001 - the cache reads it
    """One key a name and algorithm for the whole run: tests never depend on which."""
    return generate(algorithm)


def signer(name: str) -> SoftwareSigner:
    """The software signer of a person, ML-DSA-65 and Ed25519."""
    return SoftwareSigner.of(name, [_private(name, "ML-DSA-65"), _private(name, "Ed25519")])


def _jwk(name: str, algorithm: str) -> str:
    return json.dumps(_private(name, algorithm).public.to_jwk())


def _identity(name: str, roles: Sequence[str], expires: str) -> str:
    keys = ", ".join(_jwk(name, algorithm) for algorithm in ("ML-DSA-65", "Ed25519"))
    signers = f"[{{type: software, keys: [{keys}], expires: {expires}}}]"
    return f"    - {{name: {name}, roles: [{', '.join(roles)}], signers: {signers}}}"


@dataclass(frozen=True)
class Clinic:
    """The documents as text, with what a test changed about them.

    Attributes:
        people: roles by identity name.
        version: of the TrustRoot.
        threshold: of the TrustRoot.
        signers_expire: date by identity name.
        change: text to replace in the documents, each of which must occur.
        more: further documents.
    """

    people: Mapping[str, Sequence[str]] = field(default_factory=lambda: dict(PEOPLE))
    version: int = 1
    threshold: int = 1
    signers_expire: Mapping[str, str] = field(default_factory=dict)
    change: Mapping[str, str] = field(default_factory=dict)
    more: str = ""

    def but(self, **changes: Any) -> Clinic:
        """This workspace with other fields."""
        return replace(self, **changes)

    def text(self) -> str:
        """All documents; texts of `change` are replaced, and one that does not occur is a mistake of the test."""
        identities = "\n".join(
            _identity(name, roles, self.signers_expire.get(name, "2027-11-21")) for name, roles in self.people.items()
        )
        keys = {name: _jwk("broker-main", algorithm) for name, algorithm in _BROKER_KEYS.items()}
        root = f"""
---
apiVersion: qnsp.policy/v1
kind: TrustRoot
metadata: {{name: clinic}}
spec:
  version: {self.version}
  identities:
{identities}
  thresholds: {{trustRoot: {self.threshold}}}
---
apiVersion: qnsp.policy/v1
kind: KeyBroker
metadata: {{name: main}}
spec:
  platform: Platform/lab
  tenants: [Tenant/clinic, Tenant/research]
  listen: 127.0.0.1:8555
  identity: {{tls: {keys["tls"]}, token: {keys["token"]}, unwrap: {keys["unwrap"]}, admin: [{keys["admin"]}]}}
  unsealing: {{method: software-insecure}}
  storage: {{url: "sqlite://"}}
"""
        text = _DOCUMENTS + root + self.more
        for old, new in self.change.items():
            if old not in text:
                raise ValueError(f"{old!r} is not in the documents")
            text = text.replace(old, new)
        for name in ("image", "sealed", "plain"):
            text = text.replace(f"@{name}@", sha256_digest(name.encode()).removeprefix("sha256:"))
        for name in ("clinic", "research"):
            text = text.replace(f"@m-{name}@", name.encode().hex().ljust(96, "0"))
        return text

    def workspace(self) -> Workspace:
        """The workspace, with `hostData` of both fleets computed from their initdata."""
        text = self.text()
        draft = build({"qnsp.yaml": _with_host_data(text, "0" * 64, "1" * 64).encode()})
        found = [host_data(initdata(draft, Address(f"Enclave/{name}"))) for name in ("clinic-cpu", "research-cpu")]
        return build({"qnsp.yaml": _with_host_data(text, *found).encode()})

    def genesis(self) -> RecordedState:
        """The state right after `init`: a genesis record and nothing else."""
        return RecordedState(Genesis(WORKSPACE_ID, trust_root_value(self.workspace()), NOW - timedelta(days=1)))

    def plan(self, recorded: RecordedState, *, author: str = "alice@clinic.example", **more: Any) -> Plan:
        """A plan of these documents against `recorded`; `more` goes to `make_plan` and its options."""
        workspace = self.workspace()
        names = set(PlanOptions.__dataclass_fields__)
        options = PlanOptions(**{name: value for name, value in more.items() if name in names})
        drifted = more.pop("drifted", {})
        rest = {name: value for name, value in more.items() if name not in names}
        return make_plan(
            workspace,
            effective_grants(workspace),
            recorded,
            rest.pop("previews", FakePreviews()),
            OUTLINES,
            rest.pop("findings", ()),
            now=rest.pop("now", NOW),
            author=author,
            options=options,
            circumstances=Circumstances(attachments=attachments(), drifted=drifted),
        )


_BROKER_KEYS = {"tls": "ECDSA-P256", "token": "ML-DSA-65", "unwrap": "X-Wing", "admin": "Ed25519"}


def _with_host_data(text: str, clinic: str, research: str) -> str:
    return text.replace("@h-clinic@", clinic).replace("@h-research@", research)


@cache
def attachments() -> Mapping[str, bytes]:
    """The sealed keys of both artefacts, sealed to the broker."""
    unwrap = _private("broker-main", "X-Wing").public
    digest = sha256_digest(b"sealed")
    found = {}
    for path, resource in (("minilm", "clinic/model/minilm"), ("notes", "research/data/notes")):
        sealed = seal_key(
            b"k" * 32, unwrap, resource=resource, version=1, tier="CryptoTier/plain", artefact_digest=digest
        )
        found[f"artefacts/{path}.key.json"] = jcs(sealed.to_json())
    return found


def _outline(unit: Unit) -> tuple[Step, ...]:
    """One step a process and one an object: the shape of the real outlines without their packages."""
    steps = [Step("qnsp:local:Process", process["name"]) for process in unit.inputs.get("processes", ())]
    if not steps:
        steps.append(Step("qnsp:test:Unit", unit.id))
    return tuple(steps)


OUTLINES: Mapping[str, Outline] = dict.fromkeys(("platform", "broker", "tenant", "enclave", "endpoint"), _outline)


@dataclass
class FakePreviews:
    """Answers every preview with one update of the unit's outline, and remembers what it was asked.

    Attributes:
        asked: ids of units, in order.
        op: what the steps say.
    """

    asked: list[str] = field(default_factory=list)
    op: Op = Op.UPDATE

    def preview(self, requests: Sequence[PreviewRequest]) -> Mapping[str, tuple[PlannedStep, ...]]:
        """Implements the port."""
        self.asked += [request.unit.id for request in requests]
        return {
            request.unit.id: tuple(PlannedStep(self.op, step, ("inputs",)) for step in _outline(request.unit))
            for request in requests
        }


def signed(plan: Plan, *, author: str = "alice@clinic.example") -> bytes:
    """The plan file, signed by its author."""
    return sign_plan(plan, signer(author))


def approved(data: bytes, recorded: RecordedState, *approvers: str, now: datetime = NOW) -> bytes:
    """The plan file with approvals."""
    genesis, judge = recorded.judge()
    for approver in approvers:
        data = approve_plan(
            data, signer(approver), approver=approver, judge=judge, workspace_id=genesis.workspace_id, now=now
        )
    return data


def applied(plan: Plan, recorded: RecordedState) -> RecordedState:
    """What would be recorded after applying `plan`, as the engine does it."""
    root = plan.payload["trust"]["trustRoot"]
    _, judge = recorded.judge()
    digest = plan.digest
    units = {
        unit.id: RecordedUnit(
            id=unit.id,
            program=unit.program,
            digest=unit.digest,
            inputs=unit.inputs,
            depends_on=unit.depends_on,
            deployment_digest=sha256_digest(unit.digest.encode()),
            plan_digest=digest,
            applied_at=NOW,
        )
        for unit in plan.units.values()
    }
    return replace(
        recorded,
        serial=recorded.serial + 1,
        trust_root=judge if root is None else type(judge).from_json(root["next"]),
        units=units,
        documents_digest=plan.payload["documentsDigest"],
    )


def running(clinic: Clinic | None = None) -> RecordedState:
    """The state after a first apply of the whole workspace, verified on the way."""
    clinic = clinic or Clinic()
    recorded = clinic.genesis()
    plan = clinic.plan(recorded)
    data = approved(signed(plan), recorded, "bob@clinic.example", "carol@research.example")
    verify_plan(data, recorded, now=NOW)
    return applied(plan, recorded)


__all__ = [
    "NOW",
    "OUTLINES",
    "PEOPLE",
    "WORKSPACE_ID",
    "Clinic",
    "FakePreviews",
    "applied",
    "approved",
    "attachments",
    "running",
    "signed",
    "signer",
]
