"""The guest agent's process and its subcommand `fetch`, which asks for one resource and says what the broker answered.

    python -m qnsp_policy.services.guest --config FILE                    serve the configured endpoints
    python -m qnsp_policy.services.guest --config FILE fetch RESOURCE     attest, ask for RESOURCE; 0 released, 3 denied, 1 else
    python -m qnsp_policy.services.guest --config FILE run                start the configured program with what it needs open

`fetch` prints the number of bytes and their SHA-256, never the bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx

from qnsp_policy.errors import OperatorError, QnspError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.tls.certificate import spki_pin
from qnsp_policy.kernel.tls.client_edge import PinnedTransport
from qnsp_policy.kernel.tls.identity import PeerIdentity
from qnsp_policy.services.guest.agent import Agent
from qnsp_policy.services.guest.attesters.choose import Attester, attester_of
from qnsp_policy.services.guest.attesters.devices import devices_of
from qnsp_policy.services.guest.bridges import Bridge, StreamAddress
from qnsp_policy.services.guest.configuration import BrokerConnection, GuestConfiguration, read_configuration
from qnsp_policy.services.guest.key_source import KeySource, KmsOrBroker, NoBroker
from qnsp_policy.services.guest.kms import METADATA_SERVICE, AttestedKms, credentials_from, credentials_of_instance
from qnsp_policy.services.guest.loopback import bring_up
from qnsp_policy.services.guest.program import run
from qnsp_policy.services.guest.rcar import BrokerSession, Denied
from qnsp_policy.services.guest.tee_key import new_tee_key

log = logging.getLogger("qnsp.guest")

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


def broker_http(connection: BrokerConnection) -> httpx.Client:
    """A client that talks to exactly this broker.

    Raises:
        OperatorError: `QNSP-GST-004`: the URL and the declared TLS mode do not go together.
    """
    plain = connection.tls.mode == "insecure-plaintext"
    if plain != connection.url.startswith("http://"):
        raise OperatorError("QNSP-GST-004", f"{connection.url} does not go with tls.mode {connection.tls.mode}")
    if plain:
        return httpx.Client(base_url=connection.url, timeout=_TIMEOUT, trust_env=False)
    pin = spki_pin(PublicKey.from_jwk(connection.tls.key))
    transport = PinnedTransport(PeerIdentity(pins=(pin,)))
    return httpx.Client(base_url=connection.url, transport=transport, timeout=_TIMEOUT, trust_env=False)


def broker_session(configuration: GuestConfiguration, attester: Attester) -> KeySource:
    """A session with this guest's evidence, key and initdata; or nobody, where it has no broker."""
    if configuration.broker is None:
        return NoBroker()
    return BrokerSession(
        broker_http(configuration.broker),
        get_report=attester.get_report,
        new_key=lambda: new_tee_key(configuration.tee_key),
        initdata=Path(configuration.initdata).read_bytes() if configuration.initdata else None,
        kind=attester.kind,
        get_devices=devices_of(configuration),
    )


def key_source(configuration: GuestConfiguration, attester: Attester) -> KeySource:
    """Where this guest's keys come from."""
    broker, settings = broker_session(configuration, attester), configuration.kms
    if settings is None or not settings.keys:
        return broker
    assert attester.get_document is not None  # the configuration was read
    get_credentials = credentials_of_instance
    if settings.credentials != METADATA_SERVICE:
        get_credentials = partial(credentials_from, StreamAddress.parse(settings.credentials))
    kms = AttestedKms(
        settings.endpoint,
        via=StreamAddress.parse(settings.via),
        get_document=attester.get_document,
        get_credentials=get_credentials,
        authorities=Path(settings.authorities) if settings.authorities else None,
        key_size=settings.key_size,
    )
    return KmsOrBroker(broker, kms, {key.resource: key for key in settings.keys})


@contextmanager
def bridged(configuration: GuestConfiguration) -> Iterator[None]:
    """The configured bridges, for as long as the guest runs."""
    with ExitStack() as stack:
        if configuration.bridges:
            bring_up()
        for settings in configuration.bridges:
            bridge = Bridge(StreamAddress.parse(settings.arrives), StreamAddress.parse(settings.leaves))
            stack.callback(bridge.close)
        yield


def fetch(configuration: GuestConfiguration, resource: str) -> int:
    """Ask for one resource and print the outcome as JSON; 0 released, 3 denied."""
    try:
        with bridged(configuration):
            released = key_source(configuration, attester_of(configuration)).fetch(resource)
    except Denied as denial:
        outcome = {"released": False, "status": denial.status, "reason": denial.code, "decision": denial.decision_id}
        sys.stdout.write(json.dumps({"resource": resource, **outcome, "detail": denial.message}) + "\n")
        return 3
    outcome = {"released": True, "bytes": len(released.data), "sha256": hashlib.sha256(released.data).hexdigest()}
    sys.stdout.write(json.dumps({"resource": resource, **outcome, "leaseSeconds": released.lease_seconds}) + "\n")
    return 0


def _stopping() -> threading.Event:
    """Set by SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def run_program(configuration: GuestConfiguration) -> int:
    """Start the configured program with its sealed files open; its exit status.

    Raises:
        OperatorError: `QNSP-GST-062`: the configuration names no program.
    """
    if configuration.program is None:
        raise OperatorError("QNSP-GST-062", "the configuration names no `program` to run", subject=configuration.name)
    stopping, attester = _stopping(), attester_of(configuration)
    with bridged(configuration):
        return run(configuration.program, key_source(configuration, attester), stopping)


def serve(configuration: GuestConfiguration) -> int:
    """Serve until SIGTERM or SIGINT."""
    stopping = _stopping()
    Path(configuration.workdir).mkdir(parents=True, exist_ok=True, mode=0o700)
    attester = attester_of(configuration)
    with bridged(configuration):
        keys = key_source(configuration, attester)
        Agent(configuration, broker=keys, get_report=attester.get_report, stopping=stopping).run()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line of the guest."""
    parser = argparse.ArgumentParser(prog="qnsp-guest", description="The agent inside an attester.")
    parser.add_argument("--config", required=True, type=Path, help="configuration file (docs/formats/units.md)")
    commands = parser.add_subparsers(dest="command")
    asked = commands.add_parser("fetch", help="ask the broker for one resource and say what it answered")
    asked.add_argument("resource", help="tenant/type/tag")
    commands.add_parser("run", help="start the configured program with what it needs open")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        configuration = read_configuration(options.config.read_bytes())
        if options.command == "fetch":
            return fetch(configuration, options.resource)
        if options.command == "run":
            return run_program(configuration)
        return serve(configuration)
    except (QnspError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - the text says it; a traceback reaches no user
        return 1


__all__ = ["bridged", "broker_http", "broker_session", "fetch", "key_source", "main", "run_program", "serve"]
