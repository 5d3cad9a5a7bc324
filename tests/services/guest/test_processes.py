"""Broker, simulator, guest, gateway and upstream as real processes over hybrid TLS: the line that `apply` starts."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from qnsp_policy.client.answer import parse_answer
from qnsp_policy.client.transport_edge import open_endpoint
from qnsp_policy.client.verify import verify_answer
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.values import Verdict
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.tls.certificate import spki_pin
from qnsp_policy.kernel.tls.client_edge import PinnedTransport
from qnsp_policy.kernel.tls.identity import PeerIdentity
from qnsp_policy.kernel.wire.api_auth import sign_request
from qnsp_policy.testing.line import ServiceLine, contents

pytestmark = pytest.mark.functional

UPSTREAM = Path(__file__).with_name("tiny_upstream.py").read_bytes()
MODEL = b"weights " * 1000


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceLine]:
    running = ServiceLine(tmp_path_factory.mktemp("line"), UPSTREAM, MODEL)
    running.prepare()
    running.start()
    try:
        running.wait()
        yield running
    finally:
        running.stop()


def test_the_official_openai_client_gets_a_verified_answer(line: ServiceLine) -> None:
    """Unchanged `openai` code over our transport: signed request, hybrid TLS pinned by evidence, verified answer."""
    import openai

    endpoint = open_endpoint(line.url, line.trust(), api_key=line.api_key, allow_simulated=True)
    kept = []
    http: Any = endpoint.client(lambda answer, verified: kept.append((answer, verified)))
    with openai.OpenAI(base_url=endpoint.base_url, api_key="unused", http_client=http, max_retries=0) as client:
        result = client.embeddings.create(model="tiny", input="chest pain", encoding_format="float")
    assert len(result.data[0].embedding) == 4
    answer, verified = kept[0]
    assert verified.algorithm == "ML-DSA-65"
    words = {statement.name: statement.verdict for statement in verified.statements}
    assert words["signature"] is Verdict.OK
    assert words["request"] is Verdict.OK
    assert words["freshness"] is Verdict.OK
    assert words["evidence"] is Verdict.SIMULATED
    assert words["model"] is Verdict.CLAIMED
    assert words["revocation"] is Verdict.NOT_CHECKED
    saved = endpoint.fetch_receipt(answer).to_bytes()
    offline = verify_answer(parse_answer(saved), line.trust(), now=datetime.now(UTC), allow_simulated=True)
    assert {s.name: s.verdict for s in offline.statements}["receipt"] is Verdict.OK


def test_the_asynchronous_client_works_too(line: ServiceLine) -> None:
    """`openai.AsyncOpenAI` over the asynchronous transport."""
    import asyncio

    import openai

    endpoint = open_endpoint(line.url, line.trust(), api_key=line.api_key, allow_simulated=True)

    async def ask() -> int:
        http: Any = endpoint.async_client()
        async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="unused", http_client=http) as client:
            result = await client.embeddings.create(model="tiny", input=["a", "b"], encoding_format="float")
            return len(result.data)

    assert asyncio.run(ask()) == 2


def test_without_leave_simulated_hardware_is_refused(line: ServiceLine) -> None:
    """The same endpoint, without --allow-simulated: refused with its own code."""
    with pytest.raises(PeerError, match="QNSP-GWY-050"):
        open_endpoint(line.url, line.trust())


def test_another_tenants_key_is_denied_to_this_guest(line: ServiceLine) -> None:
    """The negative demonstration: `guest fetch` says 403 with reason and decision id, exit status 3."""
    status, outcome = line.fetch("research/model/tiny")
    assert status == 3
    assert outcome["status"] == 403
    assert outcome["reason"] == "QNSP-REL-001"
    assert outcome["decision"]


def test_fetch_says_that_a_key_was_released_but_not_the_key(line: ServiceLine) -> None:
    """The positive twin prints length and digest only."""
    status, outcome = line.fetch("clinic/model/tiny")
    assert status == 0
    assert (outcome["released"], outcome["bytes"]) == (True, 32)


def test_classical_tls_is_refused(line: ServiceLine) -> None:
    """No silent classical fallback: a stock TLS 1.3 client cannot connect where no exception is declared."""
    for port in (line.broker_port, line.endpoint_port):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"https://127.0.0.1:{port}/healthz", verify=False, timeout=60)


def test_the_model_is_nowhere_on_disk(line: ServiceLine) -> None:
    """Opened in memory: no file of the guest or under it holds the plaintext."""
    for path, data in contents(line.folder):
        assert MODEL[:64] not in data, path


def test_no_payload_is_logged(line: ServiceLine) -> None:
    """What was asked stands in no log and no ledger."""
    endpoint = open_endpoint(line.url, line.trust(), api_key=line.api_key, allow_simulated=True)
    secret = "a very private symptom"
    with endpoint.client() as http:
        answer = http.post("/v1/embeddings", json={"model": "tiny", "input": secret})
    assert answer.status_code == 200
    assert json.loads(answer.content)["data"]
    for path, data in contents(line.folder):
        assert secret.encode() not in data, path


def test_a_revocation_ends_what_was_being_served(line: ServiceLine) -> None:
    """An administrator revokes the code; the guest asks again, is denied, and stops upstream and gateway. Last of this file."""
    url = f"https://127.0.0.1:{line.broker_port}/qnsp/v1/admin/objects/revocation/incident"
    measurement = line.alternative().equals["measurement"]
    value = {"format": "qnsp.revocation/v1", "claim": "measurement", "values": [measurement], "reason": "incident"}
    body = jcs({"object": value})
    pin = spki_pin(line.broker_tls.public)
    with httpx.Client(transport=PinnedTransport(PeerIdentity(pins=(pin,))), timeout=60) as http:
        headers = sign_request("PUT", url, body, line.admin, datetime.now(UTC))
        assert http.put(url, content=body, headers=headers).status_code == 200
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", line.endpoint_port), 1).close()
        except OSError:
            break
        time.sleep(0.2)
    else:
        raise AssertionError(line.log("guest"))
    assert "QNSP-REL-011" in line.log("guest")
    status, outcome = line.fetch("clinic/model/tiny")
    assert (status, outcome["reason"]) == (3, "QNSP-REL-011")
