"""The rules input of a workspace: references resolved, units turned into numbers, grouped by population.

Comes in: `Workspace`, verified signers, `now`. Goes out: `RulesInput`, a plain JSON value of the schema in
policies/schema/input.json. Nothing is judged here: what is good or bad is said in Rego.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from qnsp_policy.pipeline.model import Address, Workspace
from qnsp_policy.pipeline.model.kinds import KINDS
from qnsp_policy.pipeline.rules.inputs import DocumentMember, Kinds, RulesInput
from qnsp_policy.pipeline.rules.normalise import attesters, crypto, keys, parties, release
from qnsp_policy.pipeline.rules.normalise.combinations import combinations
from qnsp_policy.pipeline.rules.normalise.context import Context, Signer, seconds


def build_input(
    workspace: Workspace,
    *,
    now: datetime,
    signers: Mapping[Address, Sequence[Signer]],
    rules: Collection[str],
    whole_documents: bool = False,
) -> RulesInput:
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
    return {
        "now": context.now,
        "environment": workspace.project.spec.environment,
        "signatureUses": by_purpose["signature"],
        "kemUses": by_purpose["kem"],
        "aeadUses": by_purpose["aead"],
        "hashUses": by_purpose["hash"],
        "tlsUses": by_purpose["tls"],
        "algorithmUses": crypto.algorithm_uses(found, context),
        "keyExchanges": crypto.key_exchanges(found, context),
        "tierSets": crypto.tier_sets(context),
        "tierRivalries": crypto.rivalries(context),
        "tenants": parties.tenants(context),
        "identityReferences": parties.identity_references(context),
        "apiKeys": parties.api_keys(context),
        "keys": keys.keys(context),
        "hierarchies": keys.hierarchies(context),
        "keyPaths": keys.key_paths(context),
        "brokers": keys.brokers(context),
        "referenceValues": attesters.reference_values(context),
        "alternatives": attesters.alternatives(context),
        "graces": attesters.graces(context),
        "enclaves": attesters.enclaves(context),
        "combinations": combinations(context),
        "platforms": attesters.platforms(context),
        "hosts": attesters.hosts(context),
        "artefacts": release.artefacts(context),
        "grants": release.grants(context),
        "grantResources": release.grant_resources(context),
        "endpoints": release.endpoints(context),
        "projects": parties.projects(context),
        "trustRoots": parties.trust_roots(context),
        "identities": parties.identities(context),
        "signers": parties.signers(context),
        "waivers": parties.waivers(context),
        "breakGlasses": parties.break_glasses(context),
        "controls": parties.controls(context),
        "kinds": _kinds(workspace, whole=whole_documents),
    }


def _kinds(workspace: Workspace, *, whole: bool) -> Kinds:
    found: dict[str, list[DocumentMember]] = {kind: [] for kind in KINDS}
    if whole:
        for address, document in workspace.documents.items():
            labels = {str(name): str(value) for name, value in document.metadata.labels.items()}
            member: DocumentMember = {
                "address": address,
                "name": document.name,
                "labels": labels,
                "spec": document.to_json()["spec"],
            }
            found[document.kind].append(member)
    return found  # type: ignore[return-value]


__all__ = ["Context", "Signer", "build_input"]
