"""A workspace of any size, valid in every reference: for benchmarks and for tests of scale.

The same arguments give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from functools import cache

from qnsp_policy.kernel.crypto.hpke import HpkeMessage
from qnsp_policy.kernel.crypto.keys import PrivateKey
from qnsp_policy.kernel.sealed.header import SealedKey
from qnsp_policy.pipeline.model import Address, build
from qnsp_policy.pipeline.trust.initdata import initdata
from qnsp_policy.testing.workspaces import PLATFORM, QNSP, TRUST_ROOT, filled

_KEY = re.compile(r"(?<=[\s\[])@([a-z]+-(?:mldsa|ed25519|xwing|p256))")
_GROUP = 8
"""Documents a group adds: tenant, keys, reference values, two artefacts, enclave, grant, endpoint."""

_GROUP_RESOURCES = 8
"""Resources a group plans: tenant, sealed key, two release policies, simulator, guest, configuration, endpoint."""


def _group(number: int, first: str) -> str:
    n = f"{number:05d}"
    host_data = hashlib.sha256(first.replace("-00000", f"-{n}").encode()).hexdigest()
    return f"""apiVersion: qnsp.policy/v1
kind: Tenant
metadata:
  name: tenant-{n}
  labels: {{team: team-{number % 17}, cost: "{number % 5}"}}
spec:
  tier: CryptoTier/hip5-tier-2
  regions: [local]
  dataClasses: [health]   # what it holds
  owners: [alice@clinic.example]
  quotas: {{requestsPerMinute: 600, tokensPerDay: 2M, gpus: 0}}
  auditRetention: 180d
---
apiVersion: qnsp.policy/v1
kind: KeyHierarchy
metadata: {{name: tenant-{n}}}
spec:
  tenant: Tenant/tenant-{n}
  wrappingRoot: {{algorithm: ML-KEM-1024, custody: software, rotation: 365d}}
  signingRoot: {{algorithm: ML-DSA-87, custody: software, rotation: 365d}}
  keys:
    - {{name: model/main, algorithm: AES-256-GCM, wrappedBy: X-Wing, rotation: per-version}}
    - {{name: api/app, algorithm: ML-DSA-65, rotation: 30d}}
  owners: {{threshold: 1, identities: [alice@clinic.example]}}
  recovery:
    custodians: [alice@clinic.example, bob@clinic.example]
    threshold: 1
    sites: [local]
    lastDrill: 2026-11-01
---
apiVersion: qnsp.policy/v1
kind: ReferenceValues
metadata: {{name: values-{n}}}
spec:
  attester: sev-snp
  state: active
  expires: 2027-05-21
  covers:
    firmware: measurement
    kernel: measurement
    cmdline: measurement
    initrd: measurement
    rootfs: measurement
    workload: measurement
    initdata: hostData
  computedFrom:
    image: Artefact/guest-{n}
    imageDigest: "@sha256:guest{n}"
    vcpus: 2
    cmdline: "console=ttyS0 quiet"
    tool: "qnsp-policy simulator"
  builders: [lab@research.example]
  alternatives:
    - measurements: {{measurement: "@hex48:m{n}", hostData: "{host_data}"}}
      floors: {{bootloader: 3, tee: 0, snp: 14, microcode: 209, guestSvn: 0}}
      policy: {{debug: false, migrate: false, smt: true}}
      vmpl: 0
---
apiVersion: qnsp.policy/v1
kind: Artefact
metadata: {{name: model-{n}}}
spec:
  type: model
  tenant: Tenant/tenant-{n}
  location: artefacts/model-{n}.sealed
  digest: "@sha256:sealed{n}"
  plaintextDigest: "@sha256:plain{n}"
  encryption: {{key: tenant-{n}/model/main, version: 1, wrappedKey: artefacts/model-{n}.key.json}}
  publisher: lab@research.example
---
apiVersion: qnsp.policy/v1
kind: Artefact
metadata: {{name: guest-{n}}}
spec:
  type: image
  location: artefacts/guest-{n}.tar
  digest: "@sha256:guest{n}"
  publisher: lab@research.example
---
apiVersion: qnsp.policy/v1
kind: Enclave
metadata: {{name: enclave-{n}}}
spec:
  platform: Platform/lab
  attester: sev-snp
  size: {{members: 1, vcpus: 2, memory: 2Gi}}
  tenants: [Tenant/tenant-{n}]
  sharing: exclusive
  image: Artefact/guest-{n}
  referenceValues: ReferenceValues/values-{n}
  debug: false
---
apiVersion: qnsp.policy/v1
kind: Grant
metadata: {{name: grant-{n}}}
spec:
  resources: [tenant-{n}/model/main]
  broker: KeyBroker/main
  to: [Enclave/enclave-{n}]
  purpose: inference
  lease: 12h
  consent: [alice@clinic.example]
---
apiVersion: qnsp.policy/v1
kind: Endpoint
metadata: {{name: endpoint-{n}}}
spec:
  enclave: Enclave/enclave-{n}
  model: Artefact/model-{n}
  api: {{openai: [embeddings]}}
  tenants: [Tenant/tenant-{n}]
  upstream: {{command: [python, upstream/app.py]}}
  listen: 127.0.0.1:{10000 + number % 50000}
  responseSignature: {{algorithm: ML-DSA-65}}
  receipts: true
  streaming: false
"""


def generated_files(documents: int, *, files: int = 10) -> dict[str, bytes]:
    """The files of a valid workspace of at least `documents` documents.

    Args:
        documents: how many at least; groups of eight are added until there are so many.
        files: over how many files the groups are spread.
    """
    return _files(_groups(documents), files, _first_initdata())


@cache
def _first_initdata() -> str:
    """The initdata of the first enclave; that of every other differs by its number alone."""
    return initdata(build(_files(1, 1, "")), Address("Enclave/enclave-00000")).decode()


def _files(groups: int, files: int, first: str) -> dict[str, bytes]:
    tenants = ", ".join(f"Tenant/tenant-{n:05d}" for n in range(groups))
    platform = PLATFORM.replace("[Tenant/clinic, Tenant/research]", f"[{tenants}]")
    texts = {"qnsp.yaml": QNSP, "trust-root.yaml": TRUST_ROOT, "platform.yaml": platform}
    for file in range(files):
        part = [_group(n, first) for n in range(file, groups, files)]
        if part:
            texts[f"tenants-{file:03d}.yaml"] = "---\n".join(part)
    return {file: filled(with_keys(text)).encode() for file, text in texts.items()}


def with_keys(text: str) -> str:
    """A template with `@<who>-<algorithm>` replaced by public keys that are some."""
    return _KEY.sub(lambda match: json.dumps(key(match[1]).public.to_jwk()), text)


@cache
def key(name: str) -> PrivateKey:
    """The private key behind `@<who>-<algorithm>` of the generated files: throw-away, everybody can make it."""
    algorithm = {"mldsa": "ML-DSA-65", "ed25519": "Ed25519", "xwing": "X-Wing", "p256": "ECDSA-P256"}
    return PrivateKey(algorithm[name.rpartition("-")[2]], hashlib.sha256(f"throw-away {name}".encode()).digest())


def generated_attachments(documents: int) -> dict[str, bytes]:
    """The sealed keys that the documents of `generated_files` name: well-formed, but nobody can open them."""
    unwrap = key("broker-xwing").key_id
    found = {}
    for number in range(_groups(documents)):
        n = f"{number:05d}"
        digest = filled(f"@sha256:sealed{n}")
        message = HpkeMessage("X-Wing", unwrap, number.to_bytes(4, "big") * 280, bytes(48))
        sealed = SealedKey(f"tenant-{n}/model/main", 1, "CryptoTier/hip5-tier-2", digest, message)
        found[f"artefacts/model-{n}.key.json"] = sealed.to_bytes()
    return found


def documents_of(resources: int) -> int:
    """How many documents yield at least so many planned resources, each group being three units of eight resources."""
    return -(-resources // _GROUP_RESOURCES) * _GROUP + 4


def _groups(documents: int) -> int:
    return max(1, -(-(documents - 4) // _GROUP))


RULE_FAULTS = (
    (b"algorithm: AES-256-GCM", b"algorithm: AES-128-GCM"),
    (b"algorithm: ML-DSA-65", b"algorithm: RSA-2048"),
    (b"rotation: 365d", b"rotation: 9999d"),
    (b"rotation: 30d", b"rotation: 3000d"),
    (b"custody: software", b"custody: kms"),
    (b"auditRetention: 180d", b"auditRetention: 1d"),
)
"""What makes a rule refuse; the documents stay valid."""

DOCUMENT_FAULTS = (
    (b"enclave: Enclave/e", b"enclave: Enclave/x"),
    (b"regions: [local]", b"regoins: [local]"),
    (b"tier: CryptoTier/hip5-tier-2", b"tier: CryptoTier/hip5-tier-9"),
)
"""What makes `validate` refuse: a reference into nothing, a misspelt field, a tier that is none."""

Faults = Sequence[tuple[bytes, bytes]]


def with_faults(files: Mapping[str, bytes], faults: Faults, *, share: float, seed: int) -> dict[str, bytes]:
    """The files with that share of the lines that can carry one of these faults given it, by chance."""
    chance = random.Random(seed)  # noqa: S311 -- nothing secret: the same seed gives the same faults
    made = {}
    for name in sorted(files):
        lines = files[name].split(b"\n")
        for number, line in enumerate(lines):
            for good, bad in faults:
                if good in line and chance.random() < share:
                    lines[number] = line.replace(good, bad)
        made[name] = b"\n".join(lines)
    return made


__all__ = [
    "DOCUMENT_FAULTS",
    "RULE_FAULTS",
    "documents_of",
    "generated_attachments",
    "generated_files",
    "key",
    "with_faults",
    "with_keys",
]
