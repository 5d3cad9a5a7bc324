"""A workspace with every kind of document, every platform type and nearly every field: for schema and model tests."""

from __future__ import annotations

from qnsp_policy.testing.workspaces import filled, sample_files

PLATFORMS = """apiVersion: qnsp.policy/v1
kind: Platform
metadata: {name: cloud-a, labels: {owner: infra}, description: "Production account in Ireland."}
spec:
  type: aws
  account: "012345678901"
  region: eu-west-1
  partition: aws
  role: arn:aws:iam::012345678901:role/qnsp-apply
  vpc: vpc-0a1b
  subnets: [subnet-1, subnet-2]
  dedicatedHosts: false
  tags: {cost: research}
---
apiVersion: qnsp.policy/v1
kind: Platform
metadata: {name: cluster}
spec:
  type: kubernetes
  context: prod-eu
  namespace: confidential
  runtimeClasses: [kata-qemu-snp, kata-qemu-nvidia-gpu-snp]
  containerRuntime: containerd
  kubernetesVersion: "1.34"
  featureGates: [RuntimeClassInImageCriApi]
  gpuOperator: {version: v26.3, ccMode: "on", sandboxWorkloads: kata, kataManager: false}
  nodeSelector: {nvidia.com/cc.mode: "on"}
  regions: [eu]
---
apiVersion: qnsp.policy/v1
kind: Platform
metadata: {name: metal}
spec: {type: bare-metal, hosts: [Host/gpu-01], hypervisor: qemu, regions: [sg], validationMaxAge: 24h}
---
apiVersion: qnsp.policy/v1
kind: Platform
metadata: {name: cloud-g}
spec: {type: gcp, project: lab-1, region: us-central1, zones: [us-central1-a], network: default, labels: {team: ml}}
---
apiVersion: qnsp.policy/v1
kind: Platform
metadata: {name: cloud-z}
spec:
  type: azure
  subscription: 00000000-1111-2222-3333-444444444444
  resourceGroup: confidential
  region: westeurope
  attestationProvider: https://shared.weu.attest.azure.net
  tags: {team: ml}
---
apiVersion: qnsp.policy/v1
kind: Host
metadata: {name: gpu-01}
spec:
  address: 10.0.0.11
  chassis: {vendor: Supermicro, product: SYS-821GE-TNHR, serial: S1}
  bios: {version: "2.1", date: 2026-02-01, settings: {TME: "on", SGX: "on"}}
  cpu: {vendor: intel, model: Xeon 8480+, line: SapphireRapids, sockets: 2, microcode: "0x2b000639"}
  memory: 2Ti
  teeMode: tdx
  gpus: [{model: H100, count: 8, formFactor: sxm, vbios: 96.00.74.00.01}]
  nvswitches: {count: 4, firmware: 96.10.57}
  kernel: {version: "6.17", cmdline: "kvm_intel.tdx=1 nohibernate", distribution: ubuntu-26.04}
  validationProfile: sys-821ge-tdx
  validation:
    verdict: passed
    at: 2026-11-20T10:00:00Z
    report: hosts/gpu-01.json
    digest: "@sha256:report"
    signer: bob@clinic.example
  state: active
"""

GOVERNANCE = """apiVersion: qnsp.policy/v1
kind: CryptoTier
metadata: {name: clinic-tier}
spec:
  family: clinic
  level: 1
  extends: CryptoTier/hip5-tier-2
  source: "Clinic's own, above HIP-5 tier 2"
  kem: {allowed: [ML-KEM-1024, MLKEM1024-P384], default: MLKEM1024-P384}
  maxLease: 8h
---
apiVersion: qnsp.policy/v1
kind: ComplianceMapping
metadata: {name: clinic-iso}
spec:
  framework: Framework/iso27001-2022
  edition: "2022"
  tenants: [Tenant/clinic]
  owner: bob@clinic.example
  cadence: 1d
  controls:
    - {control: A.8.24, assertions: [crypto/kem-below-tier], coverage: partial, severity: high}
    - control: A.8.11
      notApplicable: {reason: "no masking is used", decidedBy: bob@clinic.example, decided: 2026-11-01}
---
apiVersion: qnsp.policy/v1
kind: Waiver
metadata: {name: one-custodian}
spec:
  rule: keys/recovery-sites
  object: KeyHierarchy/clinic
  path: [spec, recovery]
  reason: "second site opens in January"
  approver: bob@clinic.example
  approved: 2026-11-20
  expires: 2027-01-31
---
apiVersion: qnsp.policy/v1
kind: Waiver
metadata: {name: masking}
spec:
  control: {framework: Framework/iso27001-2022, control: A.8.11}
  object: Tenant/clinic
  reason: "covered by the enclave"
  approver: bob@clinic.example
  expires: 2027-01-31T12:00:00Z
---
apiVersion: qnsp.policy/v1
kind: Revocation
metadata: {name: bad-measurement}
spec:
  revokes: {type: measurement, attester: sev-snp, claim: measurement, value: "@hex48:bad"}
  reason: "guest image leaked its key"
  responder: bob@clinic.example
  since: 2026-11-21T08:00:00Z
  brokers: [KeyBroker/main]
---
apiVersion: qnsp.policy/v1
kind: Revocation
metadata: {name: old-tcb}
spec:
  revokes: {type: tcb, attester: sev-snp, productLine: Milan, below: {microcode: 209}}
  reason: "advisory"
  responder: bob@clinic.example
  since: 2026-11-21
  advisory: AMD-SB-3019
---
apiVersion: qnsp.policy/v1
kind: BreakGlass
metadata: {name: clinic-emergency}
spec:
  who: [alice@clinic.example, bob@clinic.example]
  resources: [clinic/model/minilm]
  broker: KeyBroker/main
  threshold: 2
  hours: 4
  reason: "restore after loss of the attester"
  expires: 2027-05-21
  notify: [alice@clinic.example]
---
apiVersion: qnsp.policy/v1
kind: AlgorithmTimeline
metadata: {name: house}
spec:
  regime: "our own"
  provenance: {title: "own", version: "1", retrieved: 2026-11-21, licence: own, confidence: confirmed}
  entries:
    - {algorithm: ML-DSA-65, use: signature, status: approved, disallowedAfter: 2034-12-31, category: 3, confidence: confirmed}
---
apiVersion: qnsp.policy/v1
kind: PlatformCapability
metadata: {name: our-cloud}
spec:
  platform: aws
  provenance: {title: "own", version: "1", retrieved: 2026-11-21, licence: own, confidence: confirmed}
  attesters: [{attester: nitro-tpm, assurance: measured-boot, machines: [p5], gpus: [H100], maxGpus: 8}]
  custody: [kms]
  refused: [{id: none, when: {attester: tdx}, reason: "not bought", nearest: "nitro-tpm"}]
  trustStatement: "AWS is trusted."
---
apiVersion: qnsp.policy/v1
kind: Framework
metadata: {name: house-rules}
spec:
  title: House rules
  edition: "1"
  provenance: {title: "own", version: "1", retrieved: 2026-11-21, licence: own, confidence: confirmed}
  textCopyrighted: false
  controls: [{control: H.1, summary: "keys rotate", assertions: [keys/rotation], confidence: confirmed}]
  refusedIds: {H.0: "an old id"}
"""

MORE = """apiVersion: qnsp.policy/v1
kind: Enclave
metadata: {name: training}
spec:
  platform: Platform/metal
  attester: tdx
  size: {members: 2, vcpus: 32, memory: 512Gi, disk: 1Ti, instanceType: whole}
  gpus: {model: H100, count: 8, confidentialMode: ppcie}
  tenants: [Tenant/clinic, research]
  sharing: shared
  image: Artefact/clinic-guest
  referenceValues: ReferenceValues/training
  initdata: {cdh.toml: "x = 1"}
  launch:
    guestPolicy: {debug: false, svn: 2}
    cmdline: "console=ttyS0"
    kernelHashes: true
    ssh: false
    exec: false
    nvswitches: 4
---
apiVersion: qnsp.policy/v1
kind: ReferenceValues
metadata: {name: training}
spec:
  attester: tdx
  state: candidate
  expires: 2027-05-21
  origin: computed
  covers: {firmware: mrTd, kernel: rtmr1, cmdline: rtmr2, initrd: rtmr2, rootfs: rtmr2, workload: rtmr3, initdata: mrConfigId}
  computedFrom:
    firmware: OVMF.inteltdx.fd
    firmwareDigest: "@sha256:ovmf"
    kernelDigest: "@sha256:kernel"
    memory: 512Gi
    cpuModel: host
    tool: tdx-measure
    toolDigest: "@sha256:tool"
  builders: [lab@research.example]
  alternatives:
    - measurements: {mrTd: "@hex48:mrtd", rtmr1: "@hex48:r1"}
      floors: {tdxModuleSvn: 5}
      policy: {debug: false}
      chipIds: ["@hex16:ppid"]
      advisories: [INTEL-SA-00837]
      devices:
        - {model: H100, architecture: hopper, vbios: 96.00.74.00.01, driver: "580.95", mode: ppcie, floors: {vbios: 1}}
  grace: {until: 2026-12-31, floors: {tdxModuleSvn: 4}, reason: "firmware update window"}
  supersedes: ReferenceValues/clinic-2026-11
---
apiVersion: qnsp.policy/v1
kind: Grant
metadata: {name: corpus-to-training}
spec:
  resources: [research/data/corpus, research/data/*]
  broker: main
  to: [Enclave/training]
  purpose: fine-tuning
  lease: 4h
  notBefore: 2026-11-21T00:00:00Z
  notAfter: 2027-01-01
  appraisal:
    floors: {tdxModuleSvn: 5}
    assurance: [hardware-tee]
    requireChecked: [revocation]
    rego: rules/extra.rego
    grace: {until: 2026-12-31, floors: {tdxModuleSvn: 4}, reason: "firmware update window"}
  consent: [bob@clinic.example]
  licence: {name: research-only, quota: 2M, expires: 2027-01-01}
---
apiVersion: qnsp.policy/v1
kind: Artefact
metadata: {name: corpus}
spec:
  type: dataset
  tenant: Tenant/research
  location: s3://bucket/corpus.sealed
  digest: "@sha256:corpus"
  size: 1048576
  encryption: {key: research/data/corpus, version: 2, wrappedKey: artefacts/corpus.key.json, cipher: AES-256-GCM}
  publisher: lab@research.example
  signature: signatures/corpus.sig
  licence: CC-BY-4.0
  source: "hospital export 2026"
  lineage: [{artefact: Artefact/minilm, relation: derived-from, digest: "@sha256:plain"}]
---
apiVersion: qnsp.policy/v1
kind: KeyBroker
metadata: {name: standby}
spec:
  platform: Platform/metal
  enclave: Enclave/training
  identity: {tls: @standby-p256, token: @standby-mldsa, unwrap: @standby-xwing, rotation: 90d, overlap: 7d}
  unsealing: {method: shares, threshold: 2, custodians: [alice@clinic.example, bob@clinic.example]}
  storage: {url: "postgresql://db.internal/broker"}
  listen: "[::1]:8555"
  mode: compat
  tenants: [clinic]
  replicas: 3
  regions: [sg]
  tls: caddy
---
apiVersion: qnsp.policy/v1
kind: KeyBroker
metadata: {name: third}
spec:
  platform: Platform/metal
  identity: {tls: @third-p256, token: @third-mldsa, unwrap: @third-xwing}
  unsealing: {method: peer, peers: [KeyBroker/standby]}
  storage: {url: "sqlite://"}
  listen: 10.0.0.1:8555
  tenants: [clinic]
"""


def every_kind_files() -> dict[str, bytes]:
    """The sample workspace with documents of every other kind added."""
    texts = {"platforms.yaml": PLATFORMS, "governance.yaml": GOVERNANCE, "more.yaml": MORE}
    return sample_files() | {file: filled(text).encode() for file, text in texts.items()}


__all__ = ["every_kind_files"]
