"""The guest agent's process and its subcommand `fetch`, which asks for one resource and says what the broker answered.

    python -m qnsp_policy.services.guest --config FILE                    serve the configured endpoints
    python -m qnsp_policy.services.guest --config FILE fetch RESOURCE     attest, ask for RESOURCE; 0 released, 3 denied, 1 else

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
from pathlib import Path

import httpx

from qnsp_policy.errors import OperatorError, QnspError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.tls.certificate import spki_pin
from qnsp_policy.kernel.tls.client_edge import PinnedTransport
from qnsp_policy.kernel.tls.identity import PeerIdentity
from qnsp_policy.services.guest.agent import Agent
from qnsp_policy.services.guest.configuration import BrokerConnection, GuestConfiguration, read_configuration
from qnsp_policy.services.guest.rcar import BrokerSession, Denied
from qnsp_policy.services.guest.tee_key import new_tee_key
from qnsp_policy.services.guest.tsm import TsmReport, get_report

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


def broker_session(configuration: GuestConfiguration) -> BrokerSession:
    """A session with this guest's evidence, key and initdata."""

    def report(report_data: bytes) -> TsmReport:
        return get_report(Path(configuration.tsm), report_data)

    return BrokerSession(
        broker_http(configuration.broker),
        get_report=report,
        new_key=lambda: new_tee_key(configuration.tee_key),
        initdata=Path(configuration.initdata).read_bytes() if configuration.initdata else None,
    )


def fetch(configuration: GuestConfiguration, resource: str) -> int:
    """Ask for one resource and print the outcome as JSON; 0 released, 3 denied."""
    try:
        released = broker_session(configuration).fetch(resource)
    except Denied as denial:
        outcome = {"released": False, "status": denial.status, "reason": denial.code, "decision": denial.decision_id}
        sys.stdout.write(json.dumps({"resource": resource, **outcome, "detail": denial.message}) + "\n")
        return 3
    outcome = {"released": True, "bytes": len(released.data), "sha256": hashlib.sha256(released.data).hexdigest()}
    sys.stdout.write(json.dumps({"resource": resource, **outcome, "leaseSeconds": released.lease_seconds}) + "\n")
    return 0


def serve(configuration: GuestConfiguration) -> int:
    """Serve until SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def report(report_data: bytes) -> TsmReport:
        return get_report(Path(configuration.tsm), report_data)

    Path(configuration.workdir).mkdir(parents=True, exist_ok=True, mode=0o700)
    Agent(configuration, broker=broker_session(configuration), get_report=report, stopping=stopping).run()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line of the guest."""
    parser = argparse.ArgumentParser(prog="qnsp-guest", description="The agent inside an attester.")
    parser.add_argument("--config", required=True, type=Path, help="configuration file (docs/formats/units.md)")
    commands = parser.add_subparsers(dest="command")
    asked = commands.add_parser("fetch", help="ask the broker for one resource and say what it answered")
    asked.add_argument("resource", help="tenant/type/tag")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        configuration = read_configuration(options.config.read_bytes())
        if options.command == "fetch":
            return fetch(configuration, options.resource)
        return serve(configuration)
    except (QnspError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - the text says it; a traceback reaches no user
        return 1


__all__ = ["broker_http", "broker_session", "fetch", "main", "serve"]
