"""A small whole workspace as bytes, with well-formed keys and digests that belong to nobody."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping

QNSP = """# yaml-language-server: $schema=https://qnsp.example/schemas/qnsp.policy-v1.json
apiVersion: qnsp.policy/v1
kind: Project
metadata: {name: quickstart}
spec:
  environment: development
  backend: {url: "file://.qnsp/state", encryption: passphrase}
  ledger: {path: .qnsp/ledger, origin: qnsp.example/quickstart}
  trustRoot: TrustRoot/quickstart
  planLifetime: 24h
  failOn: high
  approvals: {default: 1, weaken: {count: 1, role: security}, tiers: {}}
  rules: []
"""

TRUST_ROOT = """apiVersion: qnsp.policy/v1
kind: TrustRoot
metadata: {name: quickstart}
spec:
  version: 1
  identities:
    - name: alice@clinic.example
      roles: [author, tenant-owner]
      signers: [{type: software, keys: [@alice-mldsa, @alice-ed25519], expires: 2027-11-21}]
    - name: bob@clinic.example
      roles: [operator, security, tenant-owner]
      signers: [{type: software, keys: [@bob-mldsa, @bob-ed25519], expires: 2027-11-21}]
    - name: lab@research.example
      roles: [publisher]
      signers: [{type: software, keys: [@lab-mldsa, @lab-ed25519], expires: 2027-11-21}]
  thresholds: {trustRoot: 1}
"""

TENANTS = """apiVersion: qnsp.policy/v1
kind: Tenant
metadata: {name: clinic}
spec:
  tier: CryptoTier/hip5-tier-2
  regions: [local]
  dataClasses: [health]
  owners: [alice@clinic.example]
  quotas: {requestsPerMinute: 600, tokensPerDay: 2M, gpus: 0}
  auditRetention: 180d
  apiKeys: [{name: clinic-app, key: @app-mldsa, expires: 2027-05-21}]
---
apiVersion: qnsp.policy/v1
kind: Tenant
metadata: {name: research}
spec:
  tier: CryptoTier/qnsp-strict
  regions: [local]
  dataClasses: [public]
  owners: [bob@clinic.example]
---
apiVersion: qnsp.policy/v1
kind: KeyHierarchy
metadata: {name: clinic}
spec:
  tenant: Tenant/clinic
  wrappingRoot: {algorithm: ML-KEM-1024, custody: software, rotation: 365d}
  signingRoot: {algorithm: ML-DSA-87, custody: software, rotation: 365d}
  keys:
    - {name: model/minilm, algorithm: AES-256-GCM, wrappedBy: X-Wing, rotation: per-version}
    - {name: api/clinic-app, algorithm: ML-DSA-65, rotation: 30d}
  owners: {threshold: 1, identities: [alice@clinic.example]}
  recovery: {custodians: [alice@clinic.example, bob@clinic.example], threshold: 1, sites: [local], lastDrill: 2026-11-01}
---
apiVersion: qnsp.policy/v1
kind: KeyHierarchy
metadata: {name: research}
spec:
  tenant: Tenant/research
  wrappingRoot: {algorithm: ML-KEM-1024, custody: software, rotation: 365d}
  signingRoot: {algorithm: ML-DSA-87, custody: software, rotation: 365d}
  keys:
    - {name: data/corpus, algorithm: AES-256-GCM, wrappedBy: ML-KEM-768, rotation: per-version}
  owners: {threshold: 1, identities: [bob@clinic.example]}
"""

PLATFORM = """apiVersion: qnsp.policy/v1
kind: Platform
metadata: {name: lab}
spec: {type: local, simulated: true}
---
apiVersion: qnsp.policy/v1
kind: KeyBroker
metadata: {name: main}
spec:
  platform: Platform/lab
  enclave: null
  identity: {tls: @broker-p256, token: @broker-mldsa, unwrap: @broker-xwing, admin: [@broker-ed25519]}
  unsealing: {method: software-insecure}
  storage: {url: "sqlite://"}
  listen: 127.0.0.1:8555
  mode: strict
  tenants: [Tenant/clinic, Tenant/research]
  replicas: 1
"""

ENCLAVES = """apiVersion: qnsp.policy/v1
kind: ReferenceValues
metadata: {name: clinic-2026-11}
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
    image: Artefact/clinic-guest
    imageDigest: "@sha256:guest"
    vcpus: 2
    cmdline: "console=ttyS0"
    tool: "qnsp-policy simulator"
  builders: [lab@research.example]
  alternatives:
    - measurements: {measurement: "@hex48:measurement", hostData: "@hex32:hostdata"}
      floors: {bootloader: 3, tee: 0, snp: 14, microcode: 209, guestSvn: 0}
      policy: {debug: false, migrate: false, smt: true}
      vmpl: 0
---
apiVersion: qnsp.policy/v1
kind: Enclave
metadata: {name: clinic-enclave}
spec:
  platform: Platform/lab
  attester: sev-snp
  size: {members: 1, vcpus: 2, memory: 2Gi}
  tenants: [Tenant/clinic]
  sharing: exclusive
  image: Artefact/clinic-guest
  referenceValues: ReferenceValues/clinic-2026-11
  debug: false
---
apiVersion: qnsp.policy/v1
kind: Grant
metadata: {name: clinic-model-to-enclave}
spec:
  resources: [clinic/model/minilm]
  broker: KeyBroker/main
  to: [Enclave/clinic-enclave]
  purpose: inference
  lease: 12h
  consent: [alice@clinic.example]
"""

ENDPOINTS = """apiVersion: qnsp.policy/v1
kind: Artefact
metadata: {name: minilm}
spec:
  type: model
  tenant: Tenant/clinic
  location: artefacts/minilm.sealed
  digest: "@sha256:sealed"
  plaintextDigest: "@sha256:plain"
  encryption: {key: clinic/model/minilm, version: 1, wrappedKey: artefacts/minilm.key.json}
  publisher: lab@research.example
---
apiVersion: qnsp.policy/v1
kind: Artefact
metadata: {name: clinic-guest}
spec:
  type: image
  location: artefacts/clinic-guest.tar
  digest: "@sha256:guest"
  publisher: lab@research.example
---
apiVersion: qnsp.policy/v1
kind: Endpoint
metadata: {name: clinic-embeddings}
spec:
  enclave: Enclave/clinic-enclave
  model: Artefact/minilm
  api: {openai: [embeddings]}
  tenants: [Tenant/clinic]
  upstream: {command: [python, upstream/app.py]}
  listen: 127.0.0.1:8443
  responseSignature: {algorithm: ML-DSA-65}
  receipts: true
  streaming: false
  quotas: {}
"""

_SIZES = {"mldsa": 1952, "ed25519": 32, "xwing": 1216}


def _bytes(name: str, size: int) -> bytes:
    return hashlib.shake_256(name.encode()).digest(size)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sample_jwk(name: str) -> dict[str, str]:
    """A public JWK named `<who>-<mldsa|ed25519|xwing|p256>`, well-formed and made of nothing."""
    algorithm = name.rpartition("-")[2]
    if algorithm == "ed25519":
        return {"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "x": _b64(_bytes(name, 32))}
    if algorithm == "p256":
        # The base point of P-256: a valid point whose private key (1) everybody knows.
        return {
            "kty": "EC",
            "crv": "P-256",
            "alg": "ES256",
            "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
            "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
        }
    alg = {"mldsa": "ML-DSA-65", "xwing": "X-Wing"}[algorithm]
    return {"kty": "AKP", "alg": alg, "pub": _b64(_bytes(name, _SIZES[algorithm]))}


def filled(text: str) -> str:
    """A template with `@<name>-<algorithm>` replaced by JWKs, `@sha256:x`, `@hex48:x` and `@hex32:x` by bytes."""
    text = re.sub(r"@sha256:(\w+)", lambda m: "sha256:" + hashlib.sha256(m[1].encode()).hexdigest(), text)
    text = re.sub(r"@hex(\d+):(\w+)", lambda m: _bytes(m[2], int(m[1])).hex(), text)
    return re.sub(r"(?<=[\s\[])@([a-z]+-(?:mldsa|ed25519|xwing|p256))", lambda m: json.dumps(sample_jwk(m[1])), text)


def sample_files() -> dict[str, bytes]:
    """The files of a workspace like `examples/quickstart`, valid in every reference."""
    texts: Mapping[str, str] = {
        "qnsp.yaml": QNSP,
        "trust-root.yaml": TRUST_ROOT,
        "tenants.yaml": TENANTS,
        "platform.yaml": PLATFORM,
        "enclaves.yaml": ENCLAVES,
        "endpoints.yaml": ENDPOINTS,
    }
    return {file: filled(text).encode() for file, text in texts.items()}


__all__ = ["filled", "sample_files", "sample_jwk"]
