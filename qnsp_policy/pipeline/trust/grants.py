"""Effective grants: what all documents together allow, computed from documents alone.

A Grant becomes effective for a resource and an enclave only if nothing stands in its way; whatever does is
told as a `BlockedGrant`. Wildcards are expanded to the resources that are declared, so a new key is a new line in the
trust diff and never slips in under an old one. An Endpoint implies a grant of its own configuration to its enclave.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial

from qnsp_policy.errors import Place
from qnsp_policy.pipeline.model.kinds import (
    Artefact,
    Enclave,
    Endpoint,
    Grant,
    KeyHierarchy,
    Platform,
    ReferenceValues,
    Revocation,
    Tenant,
)
from qnsp_policy.pipeline.model.kinds.emergency import RevokedImage, RevokedKey, RevokedPublisher
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform, AzurePlatform, GcpPlatform
from qnsp_policy.pipeline.model.scalars import Address, ResourcePath
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.trust import reference
from qnsp_policy.pipeline.trust.guardrails import (
    environment_guardrails,
    grant_guardrails,
    revocation_guardrails,
    tier_guardrails,
)
from qnsp_policy.pipeline.trust.initdata import initdata
from qnsp_policy.pipeline.trust.places import SELF, LazyPlaces
from qnsp_policy.pipeline.trust.values import BlockedGrant, EffectiveGrant, Guardrail


def effective_grants(
    workspace: Workspace, *, attachments: Mapping[str, bytes] | None = None
) -> tuple[EffectiveGrant, ...]:
    """Every grant that is in effect, sorted by broker, resource, enclave and grant.

    Args:
        workspace: the documents.
        attachments: contents of the files that grants name (`appraisal.rego`), by path; a file that is not given
            counts by its path, and changes of its text then go unseen.
    """
    found = [g for g in _all(workspace, attachments or {}) if isinstance(g, EffectiveGrant)]
    return tuple(sorted(found, key=lambda g: (g.broker, g.resource, g.enclave, g.grant)))


def blocked_grants(workspace: Workspace) -> tuple[BlockedGrant, ...]:
    """Every grant that is written but allows nothing, with what stands in its way."""
    return tuple(g for g in _all(workspace, {}) if isinstance(g, BlockedGrant))


def endpoint_resource(workspace: Workspace, endpoint: Endpoint) -> str:
    """The resource under which an endpoint's configuration is released: `<tenant of its model>/endpoint/<name>`."""
    return f"{endpoint_tenant(workspace, endpoint).split('/')[-1]}/endpoint/{endpoint.name}"


def endpoint_tenant(workspace: Workspace, endpoint: Endpoint) -> Address:
    """Whose endpoint it is: the tenant of its model, else the first tenant that may call it."""
    model = workspace.find(endpoint.spec.model, Artefact)
    if model.spec.tenant is not None:
        return model.spec.tenant
    if model.spec.encryption is not None:
        return Address(f"Tenant/{model.spec.encryption.key.tenant}")
    return endpoint.spec.tenants[0]


def _all(workspace: Workspace, attachments: Mapping[str, bytes]) -> Iterator[EffectiveGrant | BlockedGrant]:
    kinds = (RevokedImage, RevokedKey, RevokedPublisher)
    blocking = tuple(one for one in workspace.of_kind(Revocation) if isinstance(one.spec.revokes, kinds))
    named = {broker for one in workspace.of_kind(Revocation) for broker in one.spec.brokers}
    builder = _Builder(workspace, attachments, _declared(workspace), {}, blocking, named)
    by_enclave: defaultdict[str, list[EffectiveGrant]] = defaultdict(list)
    for grant in workspace.of_kind(Grant):
        for resource, written in builder.expanded(grant).items():
            for enclave in grant.spec.to:
                one = builder.grant(grant, resource, written, workspace.find(enclave, Enclave))
                if isinstance(one, EffectiveGrant):
                    by_enclave[one.enclave].append(one)
                yield one
    for endpoint in workspace.of_kind(Endpoint):
        yield from builder.implied(endpoint, by_enclave[str(endpoint.spec.enclave)])


def _declared(workspace: Workspace) -> tuple[str, ...]:
    """Every resource that documents name: wrapped keys of hierarchies, keys of artefacts; sorted."""
    found = {
        f"{hierarchy.spec.tenant.split('/')[-1]}/{key.name}"
        for hierarchy in workspace.of_kind(KeyHierarchy)
        for key in hierarchy.spec.keys
        if key.wrapped_by is not None
    }
    for artefact in workspace.of_kind(Artefact):
        if artefact.spec.encryption is not None:
            found.add(str(artefact.spec.encryption.key))
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class _Builder:
    workspace: Workspace
    attachments: Mapping[str, bytes]
    declared: tuple[str, ...]
    initdata: dict[Address, bytes]
    blocking: tuple[Revocation, ...]
    """Revocations that block grants; the others are guardrails."""
    named: AbstractSet[Address]
    """Brokers that revocations are for."""
    denied: dict[Address, tuple[Guardrail, ...]] = field(default_factory=dict)

    def expanded(self, grant: Grant) -> Mapping[str, int]:
        """The resources of a grant with every wildcard replaced by what is declared; each with where it is written first."""
        found: dict[str, int] = {}
        for index, resource in enumerate(grant.spec.resources):
            prefix = resource[:-1]
            named = [r for r in self.declared if r.startswith(prefix)] if resource.wildcard else [str(resource)]
            for one in named:
                found.setdefault(one, index)
        return found

    def grant(self, grant: Grant, resource: str, written: int, enclave: Enclave) -> EffectiveGrant | BlockedGrant:
        tenant = Address(f"Tenant/{ResourcePath(resource).tenant}")
        written_at = ("spec", "resources", written)
        blocked = self._blocked(grant, resource, tenant, enclave)
        if blocked:
            return BlockedGrant(
                str(grant.address),
                resource,
                str(enclave.address),
                blocked,
                self.workspace.place(grant.address, *written_at),
            )
        workspace, spec = self.workspace, grant.spec
        values = workspace.find(enclave.spec.reference_values, ReferenceValues)
        found = reference.alternatives(
            values,
            enclave,
            floors=spec.appraisal.floors,
            graces=(spec.appraisal.grace,) if spec.appraisal.grace else (),
        )
        data = self._initdata(enclave.address)
        tier = workspace.tier_of(tenant)
        platform = workspace.find(enclave.spec.platform, Platform).spec
        rails = (
            *environment_guardrails(workspace),
            *tier_guardrails(workspace, tier, platform),
            *grant_guardrails(grant, self.attachments),
            *self._rails_of_revocations(spec.broker),
        )
        dates = [reference.ends(spec.not_after), reference.ends(spec.licence.expires if spec.licence else None)]
        known = [moment for moment in dates if moment is not None]
        return EffectiveGrant(
            grant=str(grant.address),
            broker=str(spec.broker),
            tenant=str(tenant),
            resource=resource,
            enclave=str(enclave.address),
            purpose=str(spec.purpose),
            lease_seconds=spec.lease.seconds,
            not_before=spec.not_before.at if spec.not_before else None,
            not_after=min(known) if known else None,
            alternatives=found,
            guardrails=rails,
            origins={alternative.name: reference.origin(values, alternative, data) for alternative in found},
            places=self._places(
                grant, written_at, values, tenant, {rail.source for rail in rails}, [a.name for a in found]
            ),
        )

    def _places(
        self,
        grant: Grant,
        written_at: tuple[str | int, ...],
        values: ReferenceValues,
        tenant: Address,
        sources: AbstractSet[str],
        names: Sequence[str],
    ) -> Mapping[str, Place]:
        place = self.workspace.place
        found = {SELF: partial(place, grant.address, *written_at)}
        for name in ("lease", "purpose", "notBefore", "notAfter"):
            found[name] = partial(place, grant.address, "spec", name)
        for source in sources:
            known = Address(source) in self.workspace.documents
            found[source] = partial(place, Address(source), "spec") if known else partial(place, tenant, "spec", "tier")
        for name in names:
            index = int(name.split("#")[1].split("/")[0])
            found[name] = partial(place, values.address, "spec", "alternatives", index)
        return LazyPlaces(found)

    def _rails_of_revocations(self, broker: Address) -> tuple[Guardrail, ...]:
        """Those of a broker; brokers that no revocation names share theirs."""
        known = broker if broker in self.named else Address("")
        if known not in self.denied:
            self.denied[known] = tuple(revocation_guardrails(self.workspace, broker))
        return self.denied[known]

    def _initdata(self, enclave: Address) -> bytes:
        if enclave not in self.initdata:
            self.initdata[enclave] = initdata(self.workspace, enclave)
        return self.initdata[enclave]

    def _blocked(self, grant: Grant, resource: str, tenant: Address, enclave: Enclave) -> str:
        """What stands in the way of a grant, "" if nothing does."""
        workspace = self.workspace
        owner = workspace.find(tenant, Tenant)
        platform = workspace.find(enclave.spec.platform, Platform)
        values = workspace.find(enclave.spec.reference_values, ReferenceValues)
        if not workspace.serves(grant.spec.broker, tenant):
            return f"{grant.spec.broker} does not serve {tenant}"
        if not set(grant.spec.consent) & set(owner.spec.owners):
            return f"no owner of {tenant} consents"
        if owner.spec.attesters and enclave.spec.attester not in owner.spec.attesters:
            return f"{tenant} does not admit the attester {enclave.spec.attester}"
        outside = [region for region in _regions(platform) if region not in owner.spec.regions]
        if outside:
            return f"{platform.address} lies in {', '.join(outside)}, which {tenant} does not admit"
        if values.spec.attester != enclave.spec.attester:
            return f"{values.address} speaks of {values.spec.attester}, {enclave.address} is {enclave.spec.attester}"
        if values.spec.state not in reference.USABLE_STATES:
            return f"{values.address} is {values.spec.state}"
        return self._revoked(grant.spec.broker, resource, enclave, values)

    def _revoked(self, broker: Address, resource: str, enclave: Enclave, values: ReferenceValues) -> str:
        image = self.workspace.find(enclave.spec.image, Artefact)
        for revocation in self.blocking:
            if revocation.spec.brokers and broker not in revocation.spec.brokers:
                continue
            revoked = revocation.spec.revokes
            hit = (
                (
                    isinstance(revoked, RevokedImage)
                    and (revoked.image == image.address or revoked.digest == image.spec.digest)
                )
                or (isinstance(revoked, RevokedKey) and revoked.resource == resource)
                or (
                    isinstance(revoked, RevokedPublisher)
                    and revoked.publisher in {image.spec.publisher, *values.spec.builders}
                )
            )
            if hit:
                return f"revoked by {revocation.address}: {revocation.spec.reason}"
        return ""

    def implied(self, endpoint: Endpoint, given: Sequence[EffectiveGrant]) -> Iterator[EffectiveGrant | BlockedGrant]:
        """An endpoint's configuration goes wherever its model's key goes, under the same conditions."""
        model = self.workspace.find(endpoint.spec.model, Artefact)
        key = str(model.spec.encryption.key) if model.spec.encryption else None
        resource, tenant = endpoint_resource(self.workspace, endpoint), endpoint_tenant(self.workspace, endpoint)
        seen: set[str] = set()
        for grant in given:
            fits = grant.resource == key if key else grant.tenant == tenant
            if fits and grant.broker not in seen:
                seen.add(grant.broker)
                yield EffectiveGrant(
                    grant=str(endpoint.address),
                    broker=grant.broker,
                    tenant=str(tenant),
                    resource=resource,
                    enclave=grant.enclave,
                    purpose="inference",
                    lease_seconds=grant.lease_seconds,
                    not_before=grant.not_before,
                    not_after=grant.not_after,
                    alternatives=grant.alternatives,
                    guardrails=grant.guardrails,
                    implicit=True,
                    origins=grant.origins,
                    places=_at(grant.places, partial(self.workspace.place, endpoint.address)),
                )
        if not seen:
            yield BlockedGrant(
                str(endpoint.address),
                resource,
                str(endpoint.spec.enclave),
                f"no grant in effect releases the model of {endpoint.address} to its enclave",
                self.workspace.place(endpoint.address, "spec", "model"),
            )


def _at(places: Mapping[str, Place], own: Callable[[], Place]) -> Mapping[str, Place]:
    """The same places for a grant that is written elsewhere."""
    return LazyPlaces({name: partial(places.__getitem__, name) for name in places} | {SELF: own})


def _regions(platform: Platform) -> tuple[str, ...]:
    """Where a platform may place things; a platform that names no region is nowhere in particular."""
    spec = platform.spec
    if isinstance(spec, AwsPlatform | GcpPlatform | AzurePlatform):
        return (str(spec.region),)
    return tuple(str(region) for region in spec.regions)


__all__ = ["blocked_grants", "effective_grants", "endpoint_resource", "endpoint_tenant"]
