# ruff: noqa: N815 - members are the JSON names of the rules input
"""The rules input: what the rules may know, as types; `policies/schema/input.json` is generated from them.

Comes in: nothing. Goes out: TypedDicts, one per population. Python resolves references and units (times are Unix
seconds, lengths seconds), the rules judge. Every member has `address`, and every field always holds a value of one
type: what a document leaves open is said by a flag or an empty list, never by absence, so a rule that meets a missing
or mistyped field has no answer and the run fails.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

NEVER = 253_402_300_799
"""9999-12-31T23:59:59Z: a moment that does not come."""

UNBOUNDED = 1 << 40
"""Seconds: a length without a bound."""

_STRICT = ConfigDict(extra="forbid", strict=True)

Path = list[Annotated[str | int, Field(union_mode="left_to_right")]]


@with_config(_STRICT)
class TierUse(TypedDict):
    """One algorithm held against the tier of one tenant that it serves."""

    address: str
    path: Path
    algorithm: str
    known: bool
    tenant: str
    tier: str
    admitted: list[str]


@with_config(_STRICT)
class AlgorithmUse(TypedDict):
    """One place that names an algorithm; `purpose` is what is needed there, `kind` what the algorithm is for."""

    address: str
    path: Path
    algorithm: str
    purpose: str
    kind: str
    known: bool
    final: bool
    stateful: bool
    custody: str
    experimentalUntil: int
    deprecatedFrom: int
    disallowedFrom: int


@with_config(_STRICT)
class KeyExchange(TypedDict):
    """One TLS group held against the hybrid rule of a tenant's tier; `transport` says that the tier lets hybrids into TLS."""

    address: str
    path: Path
    algorithm: str
    hybrid: bool
    postQuantum: bool
    transport: bool
    tenant: str
    tier: str
    hybridRule: str
    choices: list[str]


@with_config(_STRICT)
class TierSet(TypedDict):
    """One algorithm set of a tier in use: what it admits, what it takes by default, what of it has no final standard."""

    address: str
    path: Path
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

    address: str
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

    address: str
    path: Path
    identity: str
    required: str
    roles: list[str]


@with_config(_STRICT)
class ApiKeyMember(TypedDict):
    """A tenant's key for calling its endpoints."""

    address: str
    path: Path
    name: str
    expires: int


@with_config(_STRICT)
class TierRivalry(TypedDict):
    """A tier that contradicts a tenant's own, with the tenants that have taken it."""

    address: str
    path: Path
    tier: str
    rival: str
    rivalTenants: list[str]
    reason: str


@with_config(_STRICT)
class KeyMember(TypedDict):
    """A key of a hierarchy: a root or a named key; a rotation by event has no length and the other way round."""

    address: str
    path: Path
    name: str
    role: str
    algorithm: str
    kind: str
    tenant: str
    tier: str
    custody: str
    custodyRank: int
    requiredCustody: str
    requiredCustodyRank: int
    rotation: int
    rotationEvent: str
    maximum: int
    requiredEvent: str


@with_config(_STRICT)
class HierarchyMember(TypedDict):
    """A tenant's key hierarchy as a whole."""

    address: str
    tenant: str
    ownerThreshold: int
    owners: int
    hasRecovery: bool
    custodians: int
    recoveryThreshold: int
    sites: int
    lastDrill: int
    production: bool


@with_config(_STRICT)
class KeyPath(TypedDict):
    """A resource path and every hierarchy that claims it."""

    address: str
    path: Path
    resource: str
    claimants: list[str]


@with_config(_STRICT)
class BrokerMember(TypedDict):
    """A key broker."""

    address: str
    production: bool
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

    address: str
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
    """One alternative of a ReferenceValues document: names of its measurements and floors, its flags."""

    address: str
    path: Path
    attester: str
    measurements: list[str]
    identifying: list[str]
    floors: list[str]
    requiredFloors: list[str]
    debug: bool
    migrate: bool


@with_config(_STRICT)
class GraceMember(TypedDict):
    """A dated exception after a TCB recovery."""

    address: str
    path: Path
    until: int


@with_config(_STRICT)
class EnclaveMember(TypedDict):
    """A fleet of attesters with what its tenants' tiers demand and what its platform can do."""

    address: str
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

    address: str
    path: Path
    combination: str
    unmet: list[str]
    reason: str
    nearest: str


@with_config(_STRICT)
class PlatformMember(TypedDict):
    """A platform that units land on."""

    address: str
    type: str
    simulated: bool
    production: bool


@with_config(_STRICT)
class HostMember(TypedDict):
    """A bare-metal host; `verdict` is passed, failed or missing."""

    address: str
    used: bool
    verdict: str
    at: int
    maximumAge: int
    active: bool
    confidential: bool


@with_config(_STRICT)
class ArtefactMember(TypedDict):
    """A model, dataset, vector index or image."""

    address: str
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

    address: str
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

    address: str
    path: Path
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

    address: str
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

    address: str
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

    address: str
    production: bool
    threshold: int
    approvers: list[str]
    authors: list[str]
    security: list[str]
    simulatedAnchors: int


@with_config(_STRICT)
class IdentityMember(TypedDict):
    """One identity of the TrustRoot; `duplicates` are other identities with one of its keys."""

    address: str
    path: Path
    identity: str
    roles: list[str]
    duplicates: list[str]
    signers: int


@with_config(_STRICT)
class SignerMember(TypedDict):
    """One signer of an identity; `weighty` says that its identity writes, approves or publishes."""

    address: str
    path: Path
    identity: str
    roles: list[str]
    type: str
    expires: int
    postQuantum: bool
    production: bool
    weighty: bool


@with_config(_STRICT)
class WaiverMember(TypedDict):
    """A waiver of a rule; whether it silences a finding is decided after all rules have answered."""

    address: str
    rule: str
    ruleKnown: bool
    object: str
    path: Path
    approver: str
    signers: list[str]
    mayWaive: list[str]
    expires: int
    horizon: int


@with_config(_STRICT)
class BreakGlassMember(TypedDict):
    """A release prepared for an emergency."""

    address: str
    holders: int
    threshold: int
    expires: int
    wildcards: list[str]


@with_config(_STRICT)
class ControlMember(TypedDict):
    """One control of a compliance mapping."""

    address: str
    path: Path
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
    """A whole document with defaults filled in, for rules of a user; empty lists when none are loaded."""

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
    """The whole input: the moment, the environment, then one list per population."""

    now: int
    environment: str
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
    keyPaths: list[KeyPath]
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
    "KeyPath",
    "Kinds",
    "NEVER",
    "Path",
    "PlatformMember",
    "ProjectMember",
    "ReferenceValuesMember",
    "RulesInput",
    "SignerMember",
    "TenantMember",
    "TierRivalry",
    "TierSet",
    "TierUse",
    "TrustRootMember",
    "UNBOUNDED",
    "WaiverMember",
]
