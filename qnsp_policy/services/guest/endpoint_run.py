"""One running endpoint inside the guest: opened model, upstream, gateway; started together, stopped together.

The gateway is a process of its own and is given everything through a memory file: its configuration holds the private key that
signs answers, which was made here and whose public half the evidence binds.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.values import Evidence
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.files_edge import own_folder
from qnsp_policy.kernel.ports_edge import free_ports
from qnsp_policy.kernel.sealed.stream import open_sealed
from qnsp_policy.kernel.wire.endpoint import EndpointConfiguration, evidence_document, runtime_data, runtime_report_data
from qnsp_policy.services.guest.attesters.report import GetReport
from qnsp_policy.services.guest.workload import (
    Child,
    UpstreamAddress,
    command_of,
    memory_file,
    wait_until_ready,
)

LOG_ALGORITHMS = ("Ed25519", "ML-DSA-44")
TLS_ALGORITHM = "ECDSA-P256"


class RunningEndpoint:
    """An endpoint that serves; `stop` ends upstream and gateway and drops the model."""

    def __init__(
        self,
        configuration: EndpointConfiguration,
        *,
        data_key: bytes,
        get_report: GetReport,
        artefacts: Path,
        payload: Path,
        workdir: Path,
        upstream_seconds: float,
        bind: str | None = None,
    ) -> None:
        self.configuration = configuration
        self._children: list[Child] = []
        self._folders = contextlib.ExitStack()
        self._sockets = self._folders.enter_context(own_folder("qnsp-"))
        self._workdir, self._bind = workdir, bind
        try:
            upstream = self._start_upstream(data_key, artefacts, payload, upstream_seconds)
            self._start_gateway(upstream, get_report)
        except BaseException:
            self.stop()
            raise

    def ended(self) -> str:
        """The name of a child that has ended, or ""."""
        return next((child.name for child in self._children if child.ended() is not None), "")

    def stop(self) -> None:
        for child in reversed(self._children):
            child.stop()
        self._folders.close()

    def _start_upstream(self, data_key: bytes, artefacts: Path, payload: Path, seconds: float) -> UpstreamAddress:
        endpoint = self.configuration
        model = open_model(endpoint, data_key, artefacts)
        offered = UpstreamAddress(str(self._sockets / "upstream.sock"), free_ports(1)[0])
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(payload),
            "QNSP_UPSTREAM_SOCKET": offered.socket,
            "QNSP_LISTEN": f"127.0.0.1:{offered.port}",
            "QNSP_MODEL_FD": str(model),
            "QNSP_MODEL_NAME": endpoint.model.name,
            "QNSP_MODEL_DIGEST": endpoint.model.plaintext_digest,
            "QNSP_ENDPOINT": endpoint.name,
        }
        for word in endpoint.upstream_environment:
            name, _, value = word.partition("=")
            environment.setdefault(name, value)
        try:
            child = Child(
                f"upstream of {endpoint.name}",
                command_of(endpoint.upstream_command),
                cwd=payload,
                environment=environment,
                descriptors=(model,),
            )
        finally:
            os.close(model)
        self._children.append(child)
        return wait_until_ready(child, offered, seconds)

    def _start_gateway(self, upstream: UpstreamAddress, get_report: GetReport) -> None:
        endpoint = self.configuration
        response_key = generate(endpoint.signature_algorithm)
        log_keys = tuple(generate(algorithm) for algorithm in LOG_ALGORITHMS)
        tls_key = None if endpoint.tls_mode == "insecure-plaintext" else generate(TLS_ALGORITHM)
        # A key that lives only here can sign only one log: the origin carries its id, so that no two logs share a name.
        origin = f"{endpoint.ledger_origin}/{response_key.key_id[:12]}"
        runtime = runtime_data(
            endpoint,
            response_keys=(response_key.public.to_jwk(),),
            tls_key=None if tls_key is None else tls_key.public.to_jwk(),
            ledger_origin=origin,
            ledger_keys=tuple(key.public.to_jwk() for key in log_keys),
            created=datetime.now(UTC).replace(microsecond=0),
        )
        report = get_report(runtime_report_data(runtime))
        evidence = Evidence(report.kind, report.data, report.certificates)
        settings = {
            "endpoint": dict(endpoint.raw),
            "bind": self._bind,
            "upstream": upstream.to_json(),
            "evidence": evidence_document(evidence, runtime),
            "responseKey": response_key.to_jwk_insecure(),
            "tlsKey": None if tls_key is None else tls_key.to_jwk_insecure(),
            "ledger": {
                "dir": str((self._workdir / "ledger" / response_key.key_id[:12]).resolve()),
                "origin": origin,
                "keys": [key.to_jwk_insecure() for key in log_keys],
            },
        }
        self._children.append(_start_gateway_process(endpoint.name, settings))


def _start_gateway_process(name: str, settings: Mapping[str, Any]) -> Child:
    descriptor = memory_file("qnsp-gateway", [json.dumps(settings).encode()])
    try:
        return Child(
            f"gateway of {name}",
            [sys.executable, "-m", "qnsp_policy.services.gateway", "--config-fd", str(descriptor)],
            cwd=Path("/"),
            environment={name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ},
            descriptors=(descriptor,),
        )
    finally:
        os.close(descriptor)


def open_model(endpoint: EndpointConfiguration, data_key: bytes, artefacts: Path) -> int:
    """The sealed artefact, opened into a memory file; nothing of it is handed on unless all of it is authentic.

    An artefact that lies in a bucket is looked for under its own name: an enclave's image carries it.

    Raises:
        OperatorError: `QNSP-GST-021`: the file is not there.
        PeerError: it is not the artefact that the plan names, or does not open.
    """
    location = endpoint.model.location
    path = artefacts / (location.rpartition("/")[2] if "://" in location else location)
    try:
        with path.open("rb") as file:
            return memory_file(
                "qnsp-model",
                open_sealed(file, data_key, endpoint.model.plaintext_digest, resource=endpoint.model.resource),
            )
    except FileNotFoundError:
        raise OperatorError(
            "QNSP-GST-021", f"the sealed artefact {path} is not there", subject=endpoint.model.name
        ) from None


__all__ = ["LOG_ALGORITHMS", "GetReport", "RunningEndpoint", "open_model"]
