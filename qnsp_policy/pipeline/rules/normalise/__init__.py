"""The rules input of a workspace: references resolved, units turned into numbers, grouped by population.

Comes in: `Workspace`, verified signers, `now`. Goes out: `RulesInput`, a plain JSON value of the schema in
policies/schema/input.json. Nothing is judged here: what is good or bad is said in Rego.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

from qnsp_policy.pipeline.model import Address, Workspace
from qnsp_policy.pipeline.model.kinds import KINDS
from qnsp_policy.pipeline.rules.inputs import DocumentMember, Kinds, RulesInput
from qnsp_policy.pipeline.rules.normalise import attesters, crypto, keys, parties, release
from qnsp_policy.pipeline.rules.normalise.combinations import combinations
from qnsp_policy.pipeline.rules.normalise.context import Context, Located, Path, Signer, seconds

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class BuiltInput:
    """A rules input and, by population, where each member stands.

    Attributes:
        document: what the engine is given.
        places: (document, field) of each member of each population, in the same order.
    """

    document: RulesInput
    places: Mapping[str, Sequence[tuple[Address, Path]]]


def build_input(
    workspace: Workspace,
    *,
    now: datetime,
    signers: Mapping[Address, Sequence[Signer]],
    rules: Collection[str],
    whole_documents: bool = False,
) -> BuiltInput:
    """Make the input.

    Args:
        workspace: what to judge.
        now: the moment to judge at.
        signers: verified signers by document; what is not here counts as unsigned.
        rules: ids of all rules of the run, for waivers and compliance mappings.
        whole_documents: whether `kinds` holds whole documents; only rules of a user ask for them.
    """
    context = Context(workspace, seconds(now), signers, frozenset(rules))
    found = crypto.uses(context)
    by_purpose = crypto.tier_uses(found, context)
    places: dict[str, Sequence[tuple[Address, Path]]] = {}

    def members(population: str, located: Sequence[Located[M]]) -> list[M]:
        places[population] = [(one.address, one.path) for one in located]
        return [one.member for one in located]

    document: RulesInput = {
        "now": context.now,
        "environment": workspace.project.spec.environment,
        "algorithms": crypto.algorithm_table(found, context),
        "tiers": crypto.tier_table(context),
        "roles": {name: sorted(roles) for name, roles in context.roles.items()},
        "signatureUses": members("signatureUses", by_purpose["signature"]),
        "kemUses": members("kemUses", by_purpose["kem"]),
        "aeadUses": members("aeadUses", by_purpose["aead"]),
        "hashUses": members("hashUses", by_purpose["hash"]),
        "tlsUses": members("tlsUses", by_purpose["tls"]),
        "algorithmUses": members("algorithmUses", crypto.algorithm_uses(found, context)),
        "keyExchanges": members("keyExchanges", crypto.key_exchanges(found, context)),
        "tierSets": members("tierSets", crypto.tier_sets(context)),
        "tierRivalries": members("tierRivalries", crypto.rivalries(context)),
        "tenants": members("tenants", parties.tenants(context)),
        "identityReferences": members("identityReferences", parties.identity_references(context)),
        "apiKeys": members("apiKeys", parties.api_keys(context)),
        "keys": members("keys", keys.keys(context)),
        "hierarchies": members("hierarchies", keys.hierarchies(context)),
        "brokers": members("brokers", keys.brokers(context)),
        "referenceValues": members("referenceValues", attesters.reference_values(context)),
        "alternatives": members("alternatives", attesters.alternatives(context)),
        "graces": members("graces", attesters.graces(context)),
        "enclaves": members("enclaves", attesters.enclaves(context)),
        "combinations": members("combinations", combinations(context)),
        "platforms": members("platforms", attesters.platforms(context)),
        "hosts": members("hosts", attesters.hosts(context)),
        "artefacts": members("artefacts", release.artefacts(context)),
        "grants": members("grants", release.grants(context)),
        "grantResources": members("grantResources", release.grant_resources(context)),
        "endpoints": members("endpoints", release.endpoints(context)),
        "projects": members("projects", parties.projects(context)),
        "trustRoots": members("trustRoots", parties.trust_roots(context)),
        "identities": members("identities", parties.identities(context)),
        "signers": members("signers", parties.signers(context)),
        "waivers": members("waivers", parties.waivers(context)),
        "breakGlasses": members("breakGlasses", parties.break_glasses(context)),
        "controls": members("controls", parties.controls(context)),
        "kinds": _kinds(workspace, places, whole=whole_documents),
    }
    return BuiltInput(document, places)


def _kinds(workspace: Workspace, places: dict[str, Sequence[tuple[Address, Path]]], *, whole: bool) -> Kinds:
    """Whole documents by kind; where nobody asks for them no kind is there at all, so that none reads as empty."""
    if not whole:
        return cast("Kinds", {})
    found: dict[str, list[DocumentMember]] = {kind: [] for kind in KINDS}
    standing: dict[str, list[tuple[Address, Path]]] = {kind: [] for kind in KINDS}
    for address, document in workspace.documents.items():
        labels = {str(name): str(value) for name, value in document.metadata.labels.items()}
        found[document.kind].append(
            {"address": address, "name": document.name, "labels": labels, "spec": document.to_json()["spec"]}
        )
        standing[document.kind].append((address, ()))
    places.update({f"kinds.{kind}": where for kind, where in standing.items()})
    return cast("Kinds", found)


__all__ = ["BuiltInput", "Context", "Signer", "build_input"]
