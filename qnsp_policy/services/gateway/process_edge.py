"""A gateway process: reads what the guest hands it through a memory file, connects to the upstream, serves."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import httpx
import uvicorn

from qnsp_policy.errors import EngineError, QnspError
from qnsp_policy.kernel.tls.certificate import self_signed
from qnsp_policy.kernel.tls.server_edge import ServerTls, uvicorn_config
from qnsp_policy.kernel.wire.api_auth import MemoryNonces
from qnsp_policy.services.gateway.answers import AnswerSigner, ReceiptLog
from qnsp_policy.services.gateway.app import Clock, GatewayApp, utc_now
from qnsp_policy.services.gateway.callers import Callers
from qnsp_policy.services.gateway.configuration import GatewaySettings, read_settings
from qnsp_policy.services.gateway.ledger_edge import FileAnswerLedger

log = logging.getLogger("qnsp.gateway")

_LIMIT = 16 * 1024 * 1024


def build(
    settings: GatewaySettings, *, upstream: httpx.AsyncClient | None = None, clock: Clock = utc_now
) -> GatewayApp:
    """Everything of a gateway but its listener."""
    endpoint = settings.endpoint
    receipts = None
    if endpoint.receipts:
        receipts = ReceiptLog(
            FileAnswerLedger(Path(settings.ledger_dir), settings.ledger_origin, settings.ledger_keys),
            endpoint=endpoint.name,
            model=endpoint.model.resource,
            key=settings.response_key,
            model_digest=endpoint.model.plaintext_digest,
            evidence_digest=settings.evidence_digest,
        )
    return GatewayApp(
        endpoint,
        evidence=settings.evidence,
        signer=AnswerSigner(
            settings.response_key,
            model_digest=endpoint.model.plaintext_digest,
            evidence_digest=settings.evidence_digest,
        ),
        receipts=receipts,
        callers=Callers(endpoint, MemoryNonces()),
        upstream=upstream or upstream_client(settings),
        clock=clock,
    )


def upstream_client(settings: GatewaySettings) -> httpx.AsyncClient:
    """A client for the upstream's socket or loopback port, and for nothing else."""
    timeout = httpx.Timeout(settings.endpoint.timeout_seconds, connect=5.0)
    if settings.upstream_socket:
        transport = httpx.AsyncHTTPTransport(uds=settings.upstream_socket)
        return httpx.AsyncClient(transport=transport, base_url="http://upstream", timeout=timeout, trust_env=False)
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.upstream_port}", timeout=timeout, trust_env=False)


def listener_tls(settings: GatewaySettings) -> ServerTls | None:
    """TLS by the key that the evidence binds; None where plain HTTP was declared.

    Raises:
        EngineError: `QNSP-GWY-001`: TLS is declared and there is no key.
    """
    endpoint = settings.endpoint
    if endpoint.tls_mode == "insecure-plaintext":
        return None
    if settings.tls_key is None:
        raise EngineError("QNSP-GWY-001", "the endpoint declares TLS, but the guest gave no key for it")
    certificate = self_signed(settings.tls_key, [endpoint.host], utc_now())
    # OpenSSL reports classical groups in lower case; they are admitted only where a document names them.
    groups = frozenset({*endpoint.tls_groups, *(name.lower() for name in endpoint.tls_groups)})
    return ServerTls(settings.tls_key, (certificate,), groups=groups)


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; 1 with the error's text if the gateway cannot begin."""
    parser = argparse.ArgumentParser(
        prog="qnsp-gateway", description="Signs the answers of an upstream; started by the guest agent."
    )
    parser.add_argument("--config-fd", required=True, type=int, help="descriptor of the settings, read once and closed")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        with os.fdopen(options.config_fd, "rb") as file:
            settings = read_settings(file.read(_LIMIT))
        tls = listener_tls(settings)
        endpoint = settings.endpoint
        log.info("endpoint %s listens on %s (%s)", endpoint.name, endpoint.listen, endpoint.tls_mode)
        config = uvicorn_config(
            build(settings).asgi(), host=settings.bind, port=endpoint.port, tls=tls, log_level="warning", lifespan="off"
        )
        uvicorn.Server(config).run()
    except (QnspError, OSError, ValueError) as error:
        log.error("%s", error)  # noqa: TRY400 - the text says it; a traceback reaches no user
        return 1
    return 0


__all__ = ["build", "listener_tls", "main", "upstream_client"]
