"""Who may become a key broker: what one must prove to be it, as entries of the trust diff beside the grants.

Whoever becomes a broker releases every key in its hands, so a change of where it runs is a change for every tenant that it serves.
Comes in: documents, or the inputs of units (planned, recorded). Goes out: one grant a broker and tenant, of everything of that tenant
(`<tenant>/*`) to the broker itself. These grants say what is so; no release policy ever holds one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from qnsp_policy.errors import Place
from qnsp_policy.kernel.attestation.values import Alternative, AssuranceClass, EvidenceKind
from qnsp_policy.kernel.crypto.canonical import sha256_digest
from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, KeyBroker, Platform, ReferenceValues
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.trust import reference
from qnsp_policy.pipeline.trust.aws_attested import ASSURANCE
from qnsp_policy.pipeline.trust.codec import (
    alternative_from_json,
    alternative_to_json,
    guardrail_from_json,
    guardrail_to_json,
    members,
    origin_from_json,
    origin_to_json,
)
from qnsp_policy.pipeline.trust.from_documents import anchors_of
from qnsp_policy.pipeline.trust.initdata import initdata
from qnsp_policy.pipeline.trust.places import SELF, LazyPlaces
from qnsp_policy.pipeline.trust.values import NOT_RECORDED, EffectiveGrant, Guardrail, GuardrailKind, Json, Origin

KMS_ASKS = "registers, by AWS KMS, before the store opens"
"""What a broker's store demands where a key of KMS opens it. Without one nobody asks for the measurement."""
_VENDORS: Mapping[EvidenceKind, str] = {EvidenceKind.NITRO_ENCLAVE: "aws", EvidenceKind.NITRO_TPM: "aws"}


@dataclass(frozen=True, slots=True)
class Home:
    """Where one broker runs.

    Attributes:
        broker: its address.
        tenants: addresses of those whose keys are in its hands, sorted.
        enclave: address of the enclave it runs in, its own address for a process that nobody measures, `NOT_RECORDED` for
            a fleet that was applied before this was recorded.
        alternatives: one of which whoever becomes it must show whole.
        guardrails: what stands behind the evidence, and who asks for it.
        origins: by alternative name.
        places: where it is written.
    """

    broker: str
    tenants: tuple[str, ...]
    enclave: str
    alternatives: tuple[Alternative, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)

    @property
    def unmeasured(self) -> bool:
        return self.enclave == self.broker

    def to_json(self) -> Json:
        return {
            "broker": self.broker,
            "tenants": list(self.tenants),
            "enclave": self.enclave,
            "alternatives": [alternative_to_json(one) for one in self.alternatives],
            "guardrails": [guardrail_to_json(one) for one in self.guardrails],
            "origins": {name: origin_to_json(one) for name, one in sorted(self.origins.items())},
        }

    @classmethod
    def from_json(cls, value: object) -> Home:
        """Read what `to_json` wrote; `ValueError` on anything else."""
        shape = {
            "broker": str,
            "tenants": list,
            "enclave": str,
            "alternatives": list,
            "guardrails": list,
            "origins": dict,
        }
        found = members(value, shape, "broker")
        return cls(
            broker=found["broker"],
            tenants=tuple(found["tenants"]),
            enclave=found["enclave"],
            alternatives=tuple(alternative_from_json(one) for one in found["alternatives"]),
            guardrails=tuple(guardrail_from_json(one) for one in found["guardrails"]),
            origins={name: origin_from_json(one) for name, one in found["origins"].items()},
        )

    def grants(self) -> tuple[EffectiveGrant, ...]:
        """What it means, one sentence a tenant."""
        return tuple(
            EffectiveGrant(
                grant=self.enclave,
                broker=self.broker,
                tenant=tenant,
                resource=f"{tenant.split('/')[-1]}/*",
                enclave=self.broker,
                purpose="broker",
                lease_seconds=0,
                not_before=None,
                not_after=None,
                alternatives=self.alternatives,
                guardrails=self.guardrails,
                origins=self.origins,
                places=self.places,
            )
            for tenant in self.tenants
        )


def homes_of_documents(workspace: Workspace) -> tuple[Home, ...]:
    """Every broker of the documents, by address; with places."""
    anchors = anchors_of(workspace)
    found = []
    for broker in workspace.of_kind(KeyBroker):
        tenants = tuple(sorted(str(tenant) for tenant in broker.spec.tenants))
        platform = workspace.find(broker.spec.platform, Platform).spec
        place = {SELF: partial(workspace.place, broker.address, "spec", *(["enclave"] if broker.spec.enclave else []))}
        if not isinstance(platform, AwsPlatform) or broker.spec.enclave is None:
            found.append(Home(str(broker.address), tenants, str(broker.address), places=LazyPlaces(place)))
            continue
        enclave = workspace.find(broker.spec.enclave, Enclave)
        values = workspace.find(enclave.spec.reference_values, ReferenceValues)
        alternatives, origins = _measured(workspace, enclave, values)
        for one in alternatives:
            index = int(one.name.split("#")[1].split("/")[0])
            place[one.name] = partial(workspace.place, values.address, "spec", "alternatives", index)
        rails = _guardrails(
            alternatives,
            account=str(platform.account),
            simulated=platform.simulated is not None,
            anchors=anchors,
            asked=broker.spec.unsealing.method == "attested-kms",
        )
        found.append(
            Home(str(broker.address), tenants, str(enclave.address), alternatives, rails, origins, LazyPlaces(place))
        )
    return tuple(sorted(found, key=lambda home: home.broker))


def runs_in(workspace: Workspace, enclave: Enclave) -> Json:
    """The member `runsIn` of a broker's unit: what whoever becomes that broker must show."""
    values = workspace.find(enclave.spec.reference_values, ReferenceValues)
    alternatives, origins = _measured(workspace, enclave, values)
    image = workspace.find(enclave.spec.image, Artefact).spec
    return {
        "enclave": str(enclave.address),
        "image": {"location": str(image.location), "digest": str(image.digest)},
        "alternatives": [alternative_to_json(one) for one in alternatives],
        "origins": {name: origin_to_json(one) for name, one in sorted(origins.items())},
    }


def _measured(
    workspace: Workspace, enclave: Enclave, values: ReferenceValues
) -> tuple[tuple[Alternative, ...], Mapping[str, Origin]]:
    found = reference.alternatives(values, enclave, floors={}, graces=())
    data = initdata(workspace, enclave.address)
    return found, {one.name: reference.origin(values, one, data) for one in found}


def alternatives_of(inputs: Mapping[str, Any]) -> tuple[Alternative, ...]:
    """What the inputs of a broker's unit say that whoever becomes it must show."""
    return tuple(alternative_from_json(one) for one in inputs["runsIn"]["alternatives"])


def homes_of(units: Iterable[Mapping[str, Any]]) -> tuple[Home, ...]:
    """Every broker in the inputs of units, by address; what stands behind its evidence follows from the same inputs.

    Raises:
        ValueError, KeyError: a unit is not of the form that this version reads.
    """
    brokers, tenants = [], dict[str, set[str]]()
    for inputs in units:
        if "tenant" in inputs and "brokers" in inputs:
            for holder in inputs["brokers"]:
                tenants.setdefault(holder["broker"]["address"], set()).add(inputs["tenant"]["address"])
        elif "broker" in inputs and "objects" in inputs:
            brokers.append(inputs)
    found = [_home(inputs, tuple(sorted(tenants.get(inputs["broker"]["address"], ())))) for inputs in brokers]
    return tuple(sorted(found, key=lambda home: home.broker))


def _home(inputs: Mapping[str, Any], tenants: tuple[str, ...]) -> Home:
    address = str(inputs["broker"]["address"])
    if "fleet" not in inputs:
        return Home(address, tenants, address)
    if "runsIn" not in inputs:
        return Home(address, tenants, NOT_RECORDED)
    told = members(inputs["runsIn"], {"enclave": str, "image": dict, "alternatives": list, "origins": dict}, "runsIn")
    if told["enclave"] in {address, NOT_RECORDED}:
        raise ValueError("runsIn.enclave is no enclave")
    roots = [entry["object"]["anchors"] for entry in inputs["objects"] if entry["kind"] == "trust-root"]
    alternatives = alternatives_of(inputs)
    rails = _guardrails(
        alternatives,
        account=str(inputs["platform"]["account"]),
        simulated=bool(inputs["platform"].get("simulated")),
        anchors=[anchor for found in roots for anchor in found],
        asked=bool(inputs.get("keys")),
    )
    origins = {name: origin_from_json(one) for name, one in told["origins"].items()}
    return Home(address, tenants, told["enclave"], alternatives, rails, origins)


def _guardrails(
    alternatives: Sequence[Alternative],
    *,
    account: str,
    simulated: bool,
    anchors: Iterable[Mapping[str, Any]],
    asked: bool,
) -> tuple[Guardrail, ...]:
    """What stands behind the evidence (class, account, roots beside the vendor's own), and whether anybody asks for it."""
    vendors = {_VENDORS[one.kind] for one in alternatives if one.kind in _VENDORS}
    behind = {f"AWS account {account}"}
    behind |= {ASSURANCE[one.kind].value if one.kind in ASSURANCE else one.kind.value for one in alternatives}
    behind |= {AssuranceClass.SIMULATED.value} if simulated else set()
    behind |= {
        f"{anchor['assurance']} root {sha256_digest(str(anchor['certificate']).encode())[:23]}"
        for anchor in anchors
        if anchor["vendor"] in vendors
    }
    rails = [Guardrail(GuardrailKind.ASSURANCE, "", tuple(sorted(behind)))]
    if asked:
        rails.append(Guardrail(GuardrailKind.CHECKED, "", (KMS_ASKS,)))
    return tuple(rails)


def broker_grants(
    before: Sequence[Home], after: Sequence[Home]
) -> tuple[tuple[EffectiveGrant, ...], tuple[EffectiveGrant, ...]]:
    """Both sides of the trust diff, of every broker that is measured on one of them.

    Of a broker that nobody measures before nor after there is nothing to compare; that it is so is said of its unit (`restsOn`).
    """
    told = {home.broker for home in (*before, *after) if not home.unmeasured}
    old, new = (
        tuple(grant for home in homes if home.broker in told for grant in home.grants()) for homes in (before, after)
    )
    return old, new


def of_broker(change: Mapping[str, Any]) -> bool:
    """Whether a change of a diff, as JSON, says who may become a broker."""
    return bool(change["enclave"] == change["broker"])


def folded(changes: Iterable[Mapping[str, Any]]) -> list[Json]:
    """Changes of a diff for readers: those of one broker that say the same of several tenants are one, with all its `tenants`."""
    found: dict[str, Json] = {}
    for number, change in enumerate(changes):
        key = str(number)
        if of_broker(change):
            key = str({name: value for name, value in change.items() if name not in {"tenant", "resource"}})
        known = found.setdefault(key, {**change, "tenants": []})
        known["tenants"].append(change["tenant"])
    return list(found.values())


__all__ = [
    "Home",
    "alternatives_of",
    "broker_grants",
    "folded",
    "homes_of",
    "homes_of_documents",
    "of_broker",
    "runs_in",
]
