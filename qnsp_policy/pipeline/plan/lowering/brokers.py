"""Units `platform` and `broker`: the supervisor, and each key broker with what belongs to the broker itself."""

from __future__ import annotations

from qnsp_policy.pipeline.model.kinds import KeyBroker, Platform, Revocation
from qnsp_policy.pipeline.plan.lowering.context import (
    RUN,
    Json,
    Lowering,
    broker_object,
    configuration,
    connection,
    platform_shape,
    process,
    ready,
    tls_mode,
)
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.trust.codec import time_to_text
from qnsp_policy.pipeline.trust.guardrails import guardrails_of_revocation
from qnsp_policy.pipeline.trust.places import SELF, LazyPlaces
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.pipeline.trust.values import GuardrailKind


def platform_unit(context: Lowering, platform: Platform) -> Unit:
    """The unit of one platform; on `local` it is the supervisor that keeps the processes."""
    inputs: Json = {"platform": platform_shape(platform)}
    if platform.spec.type == "local":
        inputs["supervisor"] = {
            "runDir": RUN,
            "socket": f"{RUN}/supervisor.sock",
            "state": f"{RUN}/supervisor.json",
            "logs": f"{RUN}/logs",
        }
    places = LazyPlaces({SELF: context.place(platform.address)})
    return Unit(f"platform/{platform.name}", "platform", inputs, (), places=places)


def broker_unit(context: Lowering, broker: KeyBroker) -> Unit:
    """The unit of one key broker."""
    workspace, address = context.workspace, broker.address
    platform = workspace.find(broker.spec.platform, Platform)
    unit_id = f"broker/{broker.name}"
    inputs: Json = {
        "platform": platform_shape(platform),
        "broker": connection(broker),
        "processes": [_process(context, broker, _pin(context, unit_id, broker))],
        "objects": [broker_object("trust-root", "current", context.proposed.to_json()), *_revocations(context, broker)],
    }
    places = {
        SELF: context.place(address),
        "processes": context.place(address, "spec"),
        "objects[trust-root": context.place(workspace.trust_root.address),
    }
    for revocation in workspace.of_kind(Revocation):
        places[f"objects[revocation/{revocation.name}]"] = context.place(revocation.address)
    return Unit(unit_id, "broker", inputs, (f"platform/{platform.name}",), places=LazyPlaces(places))


def _pin(context: Lowering, unit_id: str, broker: KeyBroker) -> TrustRootValue:
    """The TrustRoot that this broker was made with: kept while the broker lives, else the one in force."""
    recorded = context.recorded.units.get(unit_id)
    if recorded is not None:
        path = _trust_root_path(broker)
        for shape in recorded.inputs.get("processes", ()):
            for file in shape["files"]:
                if file["path"] == path:
                    return TrustRootValue.from_json(file["json"])
    return context.judge


def _trust_root_path(broker: KeyBroker) -> str:
    return f"{RUN}/cfg/broker-{broker.name}.trust-root.json"


def _process(context: Lowering, broker: KeyBroker, pin: TrustRootValue) -> Json:
    project, name = context.workspace.project, f"broker-{broker.name}"
    home = f".qnsp/broker/{broker.name}"
    url = str(broker.spec.storage.url)
    identity = broker.spec.identity
    settings: Json = {
        "name": broker.name,
        "listen": str(broker.spec.listen),
        "database": f"sqlite:///{home}/broker.db" if url == "sqlite://" else url,
        "keys": f".qnsp/keys/{name}.json",
        "tls": {"mode": tls_mode(broker.spec.tls)},
        "identity": {"tls": dict(identity.tls), "token": dict(identity.token), "unwrap": dict(identity.unwrap)},
        "trustRoot": _trust_root_path(broker),
        "trustRootDigest": pin.digest,
        "workspaceId": context.workspace_id,
        "environment": project.spec.environment,
        "anchors": [dict(anchor) for anchor in context.proposed.anchors],
        "ledger": {
            "dir": f"{home}/ledger",
            "origin": f"{project.spec.ledger.origin}/broker/{broker.name}",
            "keys": f"{home}/ledger-keys.json",
        },
        "adminKeys": [dict(key) for key in identity.admin],
        "mode": broker.spec.mode,
    }
    if broker.spec.collateral is not None:
        settings["collateral"] = str(broker.spec.collateral)
    pinned: Json = {"path": _trust_root_path(broker), "mode": "0600", "json": pin.to_json()}
    return process(
        name,
        "qnsp_policy.services.broker",
        [configuration(name, settings), pinned],
        readiness=ready(http=f"{connection(broker)['url']}/healthz"),
    )


def _revocations(context: Lowering, broker: KeyBroker) -> list[Json]:
    """Revoked claims, which a broker refuses whatever a release policy says; every other kind acts on the policies."""
    found = []
    for revocation in context.workspace.of_kind(Revocation):
        rails = [r for r in guardrails_of_revocation(revocation) if r.kind is GuardrailKind.DENIED_CLAIM]
        if rails and (not revocation.spec.brokers or broker.address in revocation.spec.brokers):
            value: Json = {
                "format": "qnsp.revocation/v1",
                "name": revocation.name,
                "claim": rails[0].claim,
                "values": list(rails[0].values),
                "reason": str(revocation.spec.reason),
                "responder": str(revocation.spec.responder),
                "since": time_to_text(revocation.spec.since.at),
            }
            found.append(broker_object("revocation", revocation.name, value))
    return found


__all__ = ["broker_unit", "platform_unit"]
