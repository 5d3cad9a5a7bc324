"""The rules input: what the rules may know, as types; `policies/schema/input.json` is generated from them.

Comes in: nothing. Goes out: TypedDicts, one per population. Python resolves references and units (times are Unix
seconds, lengths seconds), the rules judge. Where a member stands is known to Python by its index and is not sent. Every
field always holds a value of one type: what a document leaves open is said by a flag or an empty list, never by
absence, so a rule that meets a missing or mistyped field has no answer and the run fails.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

NEVER = 253_402_300_799
"""9999-12-31T23:59:59Z: a moment that does not come."""

UNBOUNDED = 1 << 40
"""Seconds: a length without a bound."""

_STRICT = ConfigDict(extra="forbid", strict=True)


@with_config(_STRICT)
class AlgorithmEntry(TypedDict):
    """One algorithm: what it is for, which assumptions it rests on, when it ends."""

    kind: str
    known: bool
    final: bool
    stateful: bool
    hybrid: bool
    postQuantum: bool
    deprecatedFrom: int
    disallowedFrom: int


@with_config(_STRICT)
class TierBar(TypedDict):
    """What one tier, or a tier narrowed by profiles, asks: sets by purpose, lives of keys by class.

    Every class of keys is in `maximum` (seconds, a bound that is never met where the tier sets none) and in `event`
    (the event that such keys follow, or nothing).
    """

    signature: list[str]
    kem: list[str]
    aead: list[str]
    hash: list[str]
    tls: list[str]
    hybrid: str
    custody: str
    custodyRank: int
    maximum: dict[str, int]
    event: dict[str, str]


@with_config(_STRICT)
class TierUse(TypedDict):
    """One algorithm held against the tier of one tenant that it serves."""

    algorithm: str
    tenant: str
    tier: str


@with_config(_STRICT)
class AlgorithmUse(TypedDict):
    """One place that names an algorithm; `purpose` is what is needed there."""

    algorithm: str
    purpose: str
    custody: str
    experimentalUntil: int


@with_config(_STRICT)
class KeyExchange(TypedDict):
    """One TLS group, or one KEM that wraps keys, held against the hybrid rule of a tenant's tier."""

    algorithm: str
    purpose: str
    tenant: str
    tier: str


@with_config(_STRICT)
class TierSet(TypedDict):
    """One algorithm set of a tier in use: what it admits, what it takes by default, what of it has no final standard."""

    tier: str
    purpose: str
    admitted: list[str]
    default: str
    hasDefault: bool
    unsettled: list[str]
    acknowledged: list[str]


@with_config(_STRICT)
class TenantMember(TypedDict):
    """A tenant with what its tier demands; lengths in seconds."""

    tier: str
    teeIo: bool
    unavailable: str
    acknowledge: str
    auditRetention: int
    hasQuota: bool
    production: bool


@with_config(_STRICT)
class IdentityReference(TypedDict):
    """One place that names an identity and the role that it needs there."""

    identity: str
    required: str


@with_config(_STRICT)
class ApiKeyMember(TypedDict):
    """A tenant's key for calling its endpoints."""

    name: str
    expires: int


@with_config(_STRICT)
class TierRivalry(TypedDict):
    """A tier that contradicts a tenant's own, with the tenants that have taken it."""

    tier: str
    rival: str
    rivalTenants: list[str]
    reason: str


@with_config(_STRICT)
class KeyMember(TypedDict):
    """A key of a hierarchy: a root or a named key; `keyClass` is what tiers bound, `role` what it is.

    `kmsEnvelope` says that a KMS hands it out in an RSA-OAEP envelope.
    """

    name: str
    kmsEnvelope: bool
    keyClass: str
    role: str
    algorithm: str
    tier: str
    custody: str
    custodyRank: int
    rotation: int
    event: str


@with_config(_STRICT)
class HierarchyMember(TypedDict):
    """A tenant's key hierarchy as a whole."""

    tenant: str
    hasRecovery: bool
    custodians: int
    recoveryThreshold: int
    sites: int
    lastDrill: int
    production: bool


@with_config(_STRICT)
class BrokerMember(TypedDict):
    """A key broker; `classicalFor` are its tenants whose tier forbids the RSA-OAEP envelope that its store is opened by."""

    production: bool
    classicalFor: list[str]
    mode: str
    unsealing: str
    insecureUnsealing: bool
    hasEnclave: bool
    embeddedStorage: bool
    plaintext: bool
    replicas: int
    adminKeys: int


@with_config(_STRICT)
class ReferenceValuesMember(TypedDict):
    """A ReferenceValues document with who signed it and which enclaves use it."""

    state: str
    expires: int
    users: list[str]
    production: bool
    learnt: bool
    covered: list[str]
    required: list[str]
    builders: list[str]
    publisherSigners: list[str]
    approverSigners: list[str]


@with_config(_STRICT)
class AlternativeMember(TypedDict):
    """One alternative of a ReferenceValues document: names of its measurements and floors, its flags.

    `blank` are registers that no image gives: declared placeholders, and zeros, which a debug enclave shows.
    """

    attester: str
    blank: list[str]
    measurements: list[str]
    identifying: list[str]
    floors: list[str]
    requiredFloors: list[str]
    debug: bool
    migrate: bool


@with_config(_STRICT)
class GraceMember(TypedDict):
    """A dated exception after a TCB recovery."""

    until: int


@with_config(_STRICT)
class EnclaveMember(TypedDict):
    """A fleet of attesters with what its tenants' tiers demand and what its platform can do."""

    production: bool
    platform: str
    platformType: str
    simulated: bool
    attester: str
    offered: list[str]
    assurance: str
    requiredAssurance: list[str]
    debug: bool
    openings: list[str]
    tenants: list[str]
    sharing: str
    consents: list[str]
    referenceAttester: str
    imageType: str
    imageDigestMatches: bool
    imageKnown: bool
    gpus: int
    gpuModel: str
    gpuMode: str
    gpuAttesters: list[str]
    gpuRequired: bool
    devices: int
    regions: list[str]
    tenantRegions: list[str]
    attestersAllowed: list[str]


@with_config(_STRICT)
class CombinationMember(TypedDict):
    """A combination that the catalog excludes, held against one enclave: the conditions it does not meet."""

    combination: str
    unmet: list[str]
    reason: str
    nearest: str


@with_config(_STRICT)
class PlatformMember(TypedDict):
    """A platform that units land on."""

    type: str
    simulated: bool
    production: bool


@with_config(_STRICT)
class HostMember(TypedDict):
    """A bare-metal host; `verdict` is passed, failed or missing."""

    used: bool
    verdict: str
    at: int
    maximumAge: int
    active: bool
    confidential: bool


@with_config(_STRICT)
class ArtefactMember(TypedDict):
    """A model, dataset, vector index or image."""

    type: str
    tenant: str
    hasTenant: bool
    public: bool
    encrypted: bool
    mustEncrypt: bool
    keyTenant: str
    tierAtRest: bool
    publisher: str
    signers: list[str]
    publisherSigners: list[str]
    lineage: int
    key: str
    plaintextDigest: bool


@with_config(_STRICT)
class GrantMember(TypedDict):
    """A grant as a whole; lengths in seconds."""

    lease: int
    leaseMaximum: int
    tier: str
    hasEnd: bool
    end: int
    start: int
    opaque: bool
    production: bool


@with_config(_STRICT)
class GrantResource(TypedDict):
    """One resource that a grant names for one enclave."""

    resource: str
    wildcard: bool
    tenant: str
    owners: list[str]
    consenting: list[str]
    signed: list[str]
    ownersNeeded: int
    enclave: str
    enclaveTenants: list[str]
    brokerServes: bool
    broker: str


@with_config(_STRICT)
class EndpointMember(TypedDict):
    """An inference endpoint."""

    production: bool
    enclave: str
    tenants: list[str]
    enclaveTenants: list[str]
    receipts: bool
    model: str
    modelType: str
    modelTenant: str
    modelSealed: bool
    modelGranted: bool
    plaintext: bool
    authenticated: bool
    auditOff: bool


@with_config(_STRICT)
class ProjectMember(TypedDict):
    """The project."""

    production: bool
    backendScheme: str
    stateEncryption: str
    failOn: str
    approvals: int
    weakenApprovals: int
    weakenRole: str
    planLifetime: int


@with_config(_STRICT)
class TrustRootMember(TypedDict):
    """The TrustRoot as a whole."""

    production: bool
    threshold: int
    approvers: list[str]
    authors: list[str]
    security: list[str]
    simulatedAnchors: int


@with_config(_STRICT)
class IdentityMember(TypedDict):
    """One identity of the TrustRoot."""

    identity: str
    roles: list[str]
    signers: int


@with_config(_STRICT)
class SignerMember(TypedDict):
    """One signer of an identity; `weighty` says that its identity writes, approves or publishes."""

    identity: str
    roles: list[str]
    type: str
    expires: int
    postQuantum: bool
    production: bool
    weighty: bool


@with_config(_STRICT)
class WaiverMember(TypedDict):
    """A waiver of a rule and where its finding stands (`field` as texts, empty for anywhere).

    Whether it silences a finding is decided after all rules have answered.
    """

    rule: str
    ruleKnown: bool
    object: str
    field: list[str]
    approver: str
    signers: list[str]
    mayWaive: list[str]
    expires: int
    horizon: int


@with_config(_STRICT)
class BreakGlassMember(TypedDict):
    """A release prepared for an emergency."""

    holders: int
    threshold: int
    expires: int
    wildcards: list[str]


@with_config(_STRICT)
class ControlMember(TypedDict):
    """One control of a compliance mapping."""

    framework: str
    control: str
    controlKnown: bool
    otherEdition: str
    unknownAssertions: list[str]
    assertions: int
    responsibility: str
    notApplicable: bool


@with_config(_STRICT)
class DocumentMember(TypedDict):
    """A whole document with defaults filled in, for rules of a user; no kind is there when none are loaded."""

    address: str
    name: str
    labels: dict[str, str]
    spec: dict[str, Any]


@with_config(_STRICT)
class Kinds(TypedDict):
    """Documents by kind; a rule's population is then `kinds.<Kind>`."""

    Project: list[DocumentMember]
    TrustRoot: list[DocumentMember]
    CryptoTier: list[DocumentMember]
    Tenant: list[DocumentMember]
    Platform: list[DocumentMember]
    Host: list[DocumentMember]
    ReferenceValues: list[DocumentMember]
    Enclave: list[DocumentMember]
    Grant: list[DocumentMember]
    KeyHierarchy: list[DocumentMember]
    KeyBroker: list[DocumentMember]
    Artefact: list[DocumentMember]
    Endpoint: list[DocumentMember]
    ComplianceMapping: list[DocumentMember]
    Waiver: list[DocumentMember]
    Revocation: list[DocumentMember]
    BreakGlass: list[DocumentMember]
    AlgorithmTimeline: list[DocumentMember]
    PlatformCapability: list[DocumentMember]
    Framework: list[DocumentMember]


@with_config(_STRICT)
class RulesInput(TypedDict):
    """The whole input: the moment, the environment, three tables, then one list per population."""

    now: int
    environment: str
    algorithms: dict[str, AlgorithmEntry]
    tiers: dict[str, TierBar]
    roles: dict[str, list[str]]
    signatureUses: list[TierUse]
    kemUses: list[TierUse]
    aeadUses: list[TierUse]
    hashUses: list[TierUse]
    tlsUses: list[TierUse]
    algorithmUses: list[AlgorithmUse]
    keyExchanges: list[KeyExchange]
    tierSets: list[TierSet]
    tenants: list[TenantMember]
    identityReferences: list[IdentityReference]
    apiKeys: list[ApiKeyMember]
    tierRivalries: list[TierRivalry]
    keys: list[KeyMember]
    hierarchies: list[HierarchyMember]
    brokers: list[BrokerMember]
    referenceValues: list[ReferenceValuesMember]
    alternatives: list[AlternativeMember]
    graces: list[GraceMember]
    enclaves: list[EnclaveMember]
    combinations: list[CombinationMember]
    platforms: list[PlatformMember]
    hosts: list[HostMember]
    artefacts: list[ArtefactMember]
    grants: list[GrantMember]
    grantResources: list[GrantResource]
    endpoints: list[EndpointMember]
    projects: list[ProjectMember]
    trustRoots: list[TrustRootMember]
    identities: list[IdentityMember]
    signers: list[SignerMember]
    waivers: list[WaiverMember]
    breakGlasses: list[BreakGlassMember]
    controls: list[ControlMember]
    kinds: Kinds


__all__ = [
    "NEVER",
    "UNBOUNDED",
    "AlgorithmEntry",
    "AlgorithmUse",
    "AlternativeMember",
    "ApiKeyMember",
    "ArtefactMember",
    "BreakGlassMember",
    "BrokerMember",
    "CombinationMember",
    "ControlMember",
    "DocumentMember",
    "EnclaveMember",
    "EndpointMember",
    "GraceMember",
    "GrantMember",
    "GrantResource",
    "HierarchyMember",
    "HostMember",
    "IdentityMember",
    "IdentityReference",
    "KeyExchange",
    "KeyMember",
    "Kinds",
    "PlatformMember",
    "ProjectMember",
    "ReferenceValuesMember",
    "RulesInput",
    "SignerMember",
    "TenantMember",
    "TierBar",
    "TierRivalry",
    "TierSet",
    "TierUse",
    "TrustRootMember",
    "WaiverMember",
]
