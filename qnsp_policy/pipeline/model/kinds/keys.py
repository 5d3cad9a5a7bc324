"""KeyHierarchy: a tenant's keys from two roots down; KeyBroker: who hands them out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qnsp_policy.pipeline.model.kinds.base import Custody, Document
from qnsp_policy.pipeline.model.kinds.checks import distinct, needs, reachable
from qnsp_policy.pipeline.model.references import EnclaveRef, PeerRef, PlatformRef, TenantRef
from qnsp_policy.pipeline.model.scalars import (
    AlgorithmName,
    Count,
    Duration,
    HostPort,
    IdentityName,
    Jwk,
    KeyName,
    Location,
    Moment,
    Part,
    Rotation,
    TextValue,
    Word,
)


class RootKey(Part):
    """A root: a KEM wraps and a signature certifies, so there are two of them."""

    algorithm: AlgorithmName
    custody: Custody
    rotation: Rotation
    key: Word | None = None
    """How its keeper names it (PKCS#11 URI, KMS ARN); nothing for software keys."""


class TenantKey(Part):
    """One key below the roots."""

    name: KeyName
    algorithm: AlgorithmName
    wrapped_by: AlgorithmName | None = None
    """The KEM that wraps it; nothing for a signature key."""
    custody: Custody | None = None
    """Where it lives; nothing means as its root."""
    rotation: Rotation
    purpose: Word | None = None


class Owners(Part):
    """k of n owners must agree."""

    threshold: Count
    identities: Annotated[tuple[IdentityName, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _possible(self) -> Owners:
        distinct(self.identities, "owner")
        reachable(self.threshold, len(self.identities), "owners")
        return self


class Recovery(Part):
    """How the roots come back after a loss."""

    custodians: Annotated[tuple[IdentityName, ...], Field(min_length=1)]
    threshold: Count
    sites: tuple[Word, ...] = ()
    last_drill: Moment | None = None

    @model_validator(mode="after")
    def _possible(self) -> Recovery:
        distinct(self.custodians, "custodian")
        reachable(self.threshold, len(self.custodians), "custodians")
        return self


class KeyHierarchySpec(Part):
    """The keys of one tenant."""

    tenant: TenantRef
    wrapping_root: RootKey
    signing_root: RootKey
    keys: tuple[TenantKey, ...] = ()
    owners: Owners
    recovery: Recovery | None = None

    @model_validator(mode="after")
    def _each_once(self) -> KeyHierarchySpec:
        distinct((key.name for key in self.keys), "key")
        return self


class KeyHierarchy(Document):
    """The keys of one tenant."""

    kind: Literal["KeyHierarchy"]
    spec: KeyHierarchySpec


class StorageUrl(TextValue):
    """A database without credentials in it."""

    __slots__ = ()
    SHAPE = "a database URL without credentials: sqlite://<path> or postgresql://host/name"
    PATTERN = r"(?:sqlite|postgresql)://[^\s@]*"
    MAX = 512


class BrokerIdentity(Part):
    """Public keys of the broker, known before the plan."""

    tls: Jwk
    token: Jwk
    unwrap: Jwk
    admin: tuple[Jwk, ...] = ()
    """Keys that may use the admin interface; they can read and tighten, never widen."""
    previous: tuple[Jwk, ...] = ()
    """Keys still accepted while a rotation overlaps."""
    rotation: Rotation | None = None
    overlap: Duration | None = None


class Unsealing(Part):
    """How a broker gets at its own store after a start."""

    method: Literal["software-insecure", "attested-kms", "shares", "peer"]
    key: Word | None = None
    """For attested-kms: the KMS key."""
    threshold: Count | None = None
    custodians: tuple[IdentityName, ...] = ()
    peers: tuple[PeerRef, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Unsealing:
        if self.method == "attested-kms":
            needs(self.key is not None, "key", "the method is attested-kms")
        if self.method == "shares":
            needs(self.threshold is not None, "threshold", "the method is shares")
            needs(bool(self.custodians), "custodians", "the method is shares")
            distinct(self.custodians, "custodian")
            reachable(self.threshold or 1, len(self.custodians), "custodians")
        if self.method == "peer":
            needs(bool(self.peers), "peers", "the method is peer")
        return self


class Storage(Part):
    """Where sessions, resources and policies are kept."""

    url: StorageUrl


class KeyBrokerSpec(Part):
    """A key broker."""

    platform: PlatformRef
    enclave: EnclaveRef | None = None
    """The enclave it runs in; none is said so in the trust statement."""
    identity: BrokerIdentity
    unsealing: Unsealing
    storage: Storage
    listen: HostPort
    mode: Literal["strict", "compat"] = "strict"
    tenants: Annotated[tuple[TenantRef, ...], Field(min_length=1)]
    replicas: Count = 1
    regions: tuple[Word, ...] = ()
    tls: Literal["embedded", "caddy", "insecure-plaintext"] = "embedded"
    collateral: Location | None = None
    """Folder of CRLs, TCB info, RIMs and OCSP answers that the broker judges with; filled by `attest collateral fetch`."""


class KeyBroker(Document):
    """Who hands keys out."""

    kind: Literal["KeyBroker"]
    spec: KeyBrokerSpec


__all__ = [
    "BrokerIdentity",
    "KeyBroker",
    "KeyBrokerSpec",
    "KeyHierarchy",
    "KeyHierarchySpec",
    "Owners",
    "Recovery",
    "RootKey",
    "TenantKey",
    "Unsealing",
]
