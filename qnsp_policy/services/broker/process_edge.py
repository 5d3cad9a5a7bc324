"""A broker process from its configuration file: reads keys and trust root, opens store and log, recovers, serves."""

from __future__ import annotations

import argparse
import json
import logging
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import uvicorn

from qnsp_policy.errors import OperatorError, PeerError, QnspError
from qnsp_policy.kernel.attestation.coco_sample.verify import INSECURE_ANCHOR
from qnsp_policy.kernel.attestation.collateral_edge import CollateralFolder
from qnsp_policy.kernel.attestation.registry import pinned_anchors, verify_any
from qnsp_policy.kernel.attestation.values import AssuranceClass, Evidence, VerifiedClaims
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
from qnsp_policy.kernel.crypto.keys import PublicKey, public_keys
from qnsp_policy.kernel.tls.certificate import self_signed
from qnsp_policy.kernel.tls.engine import PQ_GROUPS
from qnsp_policy.kernel.tls.server_edge import ServerTls, uvicorn_config
from qnsp_policy.kernel.wire import rfc9421
from qnsp_policy.kernel.wire.api_auth import MemoryNonces, verify_request
from qnsp_policy.pipeline.trust.anchors import declared_anchors
from qnsp_policy.pipeline.trust.authorisation import verify_authorisation
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.services.broker.app import BrokerApp, Clock, utc_now
from qnsp_policy.services.broker.configuration import BrokerConfiguration, read_configuration
from qnsp_policy.services.broker.key_operations import SoftwareKeyOperations, private_half
from qnsp_policy.services.broker.ledger_edge import FileBrokerLedger, open_log_keys
from qnsp_policy.services.broker.objects import AcceptedPlan, ObjectAdministration, StateKeeper, VerifyPlan
from qnsp_policy.services.broker.service import Broker
from qnsp_policy.services.broker.store_edge import SqlStore

log = logging.getLogger("qnsp.broker")


def build(
    configuration: BrokerConfiguration, *, clock: Clock = utc_now, verify_plan: VerifyPlan | None = None
) -> BrokerApp:
    """Everything of a broker but its listener.

    Args:
        configuration: of this broker.
        clock: reads the time.
        verify_plan: another way to verify plans, for tests of the broker alone; by default the real one.

    Raises:
        OperatorError: keys, trust root or anchors are not what the configuration says.
    """
    keys = read_key_file(Path(configuration.keys))
    pinned = read_trust_root(Path(configuration.trust_root), configuration.trust_root_digest)
    anchors = (*pinned_anchors(), *declared_anchors(anchor.model_dump() for anchor in configuration.anchors))
    store = SqlStore(configuration.database)
    ledger = FileBrokerLedger(
        Path(configuration.ledger.dir),
        configuration.ledger.origin,
        open_log_keys(Path(configuration.ledger.keys), configuration.name),
    )
    keeper = StateKeeper(store, ledger, configuration.address)
    keeper.recover()

    collateral = CollateralFolder(Path(configuration.collateral) if configuration.collateral else None)

    def verify_evidence(evidence: Evidence, now: datetime) -> VerifiedClaims:
        claims = verify_any(evidence, collateral=collateral.current(), anchors=anchors, now=now)
        if claims.assurance is AssuranceClass.SIMULATED and configuration.environment == "production":
            raise PeerError("QNSP-KBS-119", "simulated hardware is refused in environment production")
        return claims

    def trust_root_in_force() -> TrustRootValue:
        stored = store.object("trust-root", "current")
        return pinned if stored is None else TrustRootValue.from_json(dict(stored.value))

    def verify(envelope: bytes, now: datetime) -> AcceptedPlan:
        authorisation = verify_authorisation(
            envelope, pinned_trust_root=trust_root_in_force(), workspace_id=configuration.workspace_id, now=now
        )
        return AcceptedPlan(
            digest=authorisation.plan_digest,
            authorises=dict(authorisation.objects.get(configuration.address, {})),
            base_serial=int(authorisation.payload["base"]["serial"]),
            base={
                resource: policy.digest
                for (broker, resource), policy in authorisation.base.items()
                if broker == configuration.address
            },
            expires=authorisation.expires,
            author=authorisation.author,
            approvers=authorisation.approvers,
            between=dict(authorisation.between.get(configuration.address, {})),
        )

    broker = Broker(
        name=configuration.name,
        store=store,
        ledger=ledger,
        keeper=keeper,
        keys=SoftwareKeyOperations(
            unwrap=private_half(keys, configuration.identity.unwrap, "unwrap"),
            token=private_half(keys, configuration.identity.token, "token"),
        ),
        verify_evidence=verify_evidence,
        session_seconds=configuration.session_seconds,
        token_seconds=configuration.token_seconds,
    )
    return BrokerApp(
        broker,
        administration=ObjectAdministration(
            store, keeper, configuration.address, verify_plan or verify, insecure_sample=INSECURE_ANCHOR in anchors
        ),
        keeper=keeper,
        store=store,
        ledger=ledger,
        authenticate=AdminAuthentication(public_keys(list(configuration.admin_keys))),
        identity={
            "format": "qnsp.broker/v1",
            "name": configuration.name,
            "address": configuration.address,
            "environment": configuration.environment,
            "identity": configuration.identity.model_dump(mode="json"),
        },
        strict=configuration.mode == "strict",
        secure_cookie=configuration.tls.mode != "insecure-plaintext",
        clock=clock,
    )


class AdminAuthentication:
    """Signed admin requests: one of the declared keys, this method, target and body, now, and once."""

    def __init__(self, keys: tuple[PublicKey, ...]) -> None:
        self._keys = {key.key_id: key for key in keys}
        self._nonces = MemoryNonces()
        self._lock = threading.Lock()

    def __call__(self, method: str, target: str, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        request = rfc9421.Request(method, f"http://{headers.get('host', '')}{target}", tuple(headers.items()))
        with self._lock:
            return verify_request(request, body, self._keys, self._nonces, now).key.key_id


def read_trust_root(path: Path, digest: str) -> TrustRootValue:
    """The pinned trust root; the digest in the configuration is the pin, the file only its text.

    Raises:
        OperatorError: `QNSP-KBS-003`.
    """
    try:
        value = TrustRootValue.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise OperatorError(
            "QNSP-KBS-003", f"the trust root {path} cannot be read: {error}", subject=str(path)
        ) from None
    if value.digest != digest:
        raise OperatorError(
            "QNSP-KBS-003", "the trust root is not the pinned one", subject=str(path), expected=digest, got=value.digest
        )
    return value


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; 1 with the error's text if the broker cannot begin."""
    parser = argparse.ArgumentParser(prog="qnsp-broker", description="Attestation-gated key broker.")
    parser.add_argument("--config", required=True, type=Path, help="configuration file (docs/formats/broker.md)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        configuration = read_configuration(options.config.read_bytes())
        app = build(configuration)
        serve(configuration, app)
    except (QnspError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - the text says it; a traceback reaches no user
        return 1
    return 0


def serve(configuration: BrokerConfiguration, app: BrokerApp) -> None:
    """Listen until a signal ends the process."""
    tls = listener_tls(configuration)
    log.info("%s listens on %s (%s)", configuration.address, configuration.listen, configuration.tls.mode)
    config = uvicorn_config(
        app.asgi(), host=configuration.host, port=configuration.port, tls=tls, log_level="warning", lifespan="off"
    )
    uvicorn.Server(config).run()


def listener_tls(configuration: BrokerConfiguration) -> ServerTls | None:
    """TLS by the declared identity; None where plain HTTP was declared.

    Raises:
        OperatorError: `QNSP-KBS-005` no TLS identity, `QNSP-KBS-002` no private half.
    """
    if configuration.tls.mode == "insecure-plaintext":
        return None
    if configuration.identity.tls is None:
        raise OperatorError("QNSP-KBS-005", "identity.tls is missing: the broker has no key to be known by")
    key = private_half(read_key_file(Path(configuration.keys)), configuration.identity.tls, "tls")
    named = configuration.tls.groups or tuple(PQ_GROUPS)
    # OpenSSL reports classical groups in lower case; they are admitted only where a document names them.
    groups = frozenset({*named, *(name.lower() for name in named)})
    return ServerTls(key, (self_signed(key, [configuration.host], utc_now()),), groups=groups)


__all__ = ["AdminAuthentication", "build", "listener_tls", "main", "read_trust_root", "serve"]
