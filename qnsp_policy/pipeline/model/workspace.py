"""Workspace: every document of a folder, typed, with its references resolved; the value that all later stages take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from qnsp_policy.errors import DocumentError, Place
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.pipeline.documents.problems import nearest, shown
from qnsp_policy.pipeline.documents.source import PathPart, SourceDocument
from qnsp_policy.pipeline.model.kinds import CryptoTier, Document, KeyBroker, Project, Tenant, TrustRoot
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.tiers import ResolvedTier, intersect, resolve_tier

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Workspace:
    """All documents of one workspace.

    Attributes:
        project: the one Project.
        documents: the user's documents, ordered by address.
        catalog: shipped documents, used where a reference is not found among the user's.
        sources: where each document stands, those of the catalog included.
        signatures: raw DSSE envelopes by the document they speak of, unverified.
    """

    project: Project
    documents: Mapping[Address, Document]
    catalog: Mapping[Address, Document]
    sources: Mapping[Address, SourceDocument] = field(repr=False)
    signatures: Mapping[Address, tuple[bytes, ...]] = field(default_factory=dict, repr=False)

    def of_kind(self, kind: type[D]) -> tuple[D, ...]:
        """The user's documents of one kind, ordered by name."""
        return tuple(document for document in self._by_kind.get(kind.__name__, ()) if isinstance(document, kind))

    def get(self, address: Address) -> Document:
        """A document of the user's or else of the catalog.

        Raises:
            DocumentError: QNSP-REF-002, there is none of that address.
        """
        found = self.documents.get(address) or self.catalog.get(address)
        if found is None:
            guess = nearest(address, (*self.documents, *self.catalog))
            raise DocumentError(
                "QNSP-REF-002",
                f"{shown(address)} does not exist",
                subject=shown(address),
                next_step=f"nearest: {guess}" if guess else None,
            )
        return found

    def find(self, address: Address, kind: type[D]) -> D:
        """A document of a known kind.

        Raises:
            DocumentError: there is none of that address, or it is of another kind.
        """
        found = self.get(address)
        if not isinstance(found, kind):
            raise DocumentError("QNSP-REF-001", f"{shown(address)} is not a {kind.__name__}", subject=shown(address))
        return found

    def place(self, address: Address, *path: PathPart) -> Place:
        """Where a value of a document stands; a missing field is at its nearest parent.

        Raises:
            DocumentError: QNSP-REF-002, there is no such document.
        """
        self.get(address)
        return self.sources[address].place(*path)

    def snippet(self, address: Address, *path: PathPart) -> str:
        """The source line of a value with carets under it."""
        source = self.sources[address]
        return source.snippet(source.place(*path))

    def raw(self, address: Address) -> Mapping[str, Any]:
        """The plain values of a document as its author wrote them."""
        self.get(address)
        return self.sources[address].value

    def canonical(self, address: Address) -> bytes:
        """RFC 8785 JSON of a document as written, defaults not filled in: what a signature covers."""
        value = self.raw(address)
        return jcs({key: value[key] for key in ("apiVersion", "kind", "metadata", "spec") if key in value})

    def document_digest(self, address: Address) -> str:
        """sha256 of a document's canonical form."""
        return sha256_digest(self.canonical(address))

    def digest(self) -> str:
        """sha256 over the sorted list of (address, digest of its canonical form) of the user's documents."""
        return sha256_digest(jcs([[address, self.document_digest(address)] for address in sorted(self.documents)]))

    def catalog_digest(self) -> str:
        """The same over the catalog."""
        return sha256_digest(jcs([[address, self.document_digest(address)] for address in sorted(self.catalog)]))

    def brokers_of(self, tenant: Address) -> tuple[KeyBroker, ...]:
        """The brokers that serve a tenant, by name."""
        return self._brokers.get(tenant, ())

    def serves(self, broker: Address, tenant: Address) -> bool:
        """Whether a broker serves a tenant."""
        return tenant in self._served.get(broker, ())

    @property
    def trust_root(self) -> TrustRoot:
        """The TrustRoot that the Project names."""
        return self.find(self.project.spec.trust_root, TrustRoot)

    def tier(self, address: Address) -> ResolvedTier:
        """A tier with `extends` flattened.

        Raises:
            DocumentError: it does not exist or lacks a field that no parent gives.
        """
        found = self._flat_tiers.get(address)
        if found is None:
            found = self._flat_tiers[address] = resolve_tier(address, self._tier_document)
        return found

    def tier_of(self, tenant: Address) -> ResolvedTier:
        """The tier of a tenant, narrowed by its profiles.

        Raises:
            DocumentError: QNSP-MOD-021 when tier and profiles admit nothing in common.
        """
        cached = self._tiers.get(tenant)
        if cached is None:
            spec = self.find(tenant, Tenant).spec
            cached = self.tier(spec.tier)
            for profile in spec.profiles:
                cached = intersect(cached, self.tier(profile))
            self._tiers[tenant] = cached
        return cached

    def _tier_document(self, address: Address) -> CryptoTier:
        return self.find(address, CryptoTier)

    @cached_property
    def _flat_tiers(self) -> dict[Address, ResolvedTier]:
        return {}

    @cached_property
    def _tiers(self) -> dict[Address, ResolvedTier]:
        return {}

    @cached_property
    def _brokers(self) -> Mapping[Address, tuple[KeyBroker, ...]]:
        serving: dict[Address, tuple[KeyBroker, ...]] = {}
        for broker in self.of_kind(KeyBroker):
            for tenant in dict.fromkeys(broker.spec.tenants):
                serving[tenant] = (*serving.get(tenant, ()), broker)
        return serving

    @cached_property
    def _served(self) -> Mapping[Address, frozenset[Address]]:
        return {broker.address: frozenset(broker.spec.tenants) for broker in self.of_kind(KeyBroker)}

    @cached_property
    def _by_kind(self) -> Mapping[str, tuple[Document, ...]]:
        kinds: dict[str, list[Document]] = {}
        for document in self.documents.values():
            kinds.setdefault(document.kind, []).append(document)
        return {kind: tuple(found) for kind, found in kinds.items()}


__all__ = ["Workspace"]
