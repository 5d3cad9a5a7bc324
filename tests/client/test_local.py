"""The door on loopback: a plain client gets verified answers, or none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from qnsp_policy.client.answer import SavedAnswer
from qnsp_policy.client.local_edge import local_app
from qnsp_policy.client.transport_edge import VerifyingTransport
from qnsp_policy.client.verify import verify_answer
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.simulator.snp import make_chip, mint_pki
from qnsp_policy.testing.gateway import HOST, GatewayWorld, OneMember
from qnsp_policy.testing.http import SyncAsgiTransport, sync_client
from qnsp_policy.testing.services import START, SimulatedMember


@pytest.fixture(scope="module")
def member() -> SimulatedMember:
    return SimulatedMember(make_chip(mint_pki("Milan", START, key_size=4096), START))


class Meddler(httpx.BaseTransport):
    """Somebody between gateway and client."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner, self.bend = inner, False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.inner.handle_request(request)
        content = answer.content.replace(b"0.25", b"0.75") if self.bend else answer.content
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)


@pytest.fixture
def door(tmp_path: Path, member: SimulatedMember) -> tuple[httpx.Client, Meddler, GatewayWorld]:
    """A plain client at the door of a gateway, and who may meddle behind it."""
    world = GatewayWorld(tmp_path, member)
    app = world.app()
    document = sync_client(app, HOST).get("/.well-known/qnsp/evidence").json()
    meddler = Meddler(SyncAsgiTransport(app))

    def now() -> datetime:
        return world.clock()

    transport = VerifyingTransport(
        OneMember(meddler, document, world.trust()),
        trust=world.trust(),
        api_key=world.api_key,
        allow_simulated=True,
        clock=now,
    )
    behind = httpx.Client(transport=transport, base_url=HOST)
    return sync_client(local_app(behind), "http://127.0.0.1:8080"), meddler, world


def test_a_plain_request_comes_back_verified_with_its_proof(
    door: tuple[httpx.Client, Meddler, GatewayWorld],
) -> None:
    """No signature, no token, no TLS at the door; what comes out is whole and verifies elsewhere."""
    plain, _, world = door
    answer = plain.post("/v1/embeddings", json={"model": "tiny", "input": "x"})
    assert answer.status_code == 200
    evidence = plain.get("/.well-known/qnsp/evidence").json()
    saved = SavedAnswer(200, tuple((n.lower(), v) for n, v in answer.headers.items()), answer.content, None, evidence)
    assert verify_answer(replace(saved), world.trust(), now=START, allow_simulated=True).status == 200


def test_a_refusal_of_a_long_request_comes_through(door: tuple[httpx.Client, Meddler, GatewayWorld]) -> None:
    """The gateway's own 413, about the very request that was sent: its signature holds, and nothing claims otherwise."""
    plain, _, world = door
    assert world.settings().endpoint.max_request == 1 << 20
    answer = plain.post("/v1/embeddings", content=b" " * ((1 << 20) + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "QNSP-GWY-015")


def test_a_refusal_of_a_stranger_comes_through(tmp_path: Path, member: SimulatedMember) -> None:
    """A key that the endpoint does not know is told so by a verified 401, not by a failed verification."""
    world = GatewayWorld(tmp_path, member)
    app = world.app()
    document = sync_client(app, HOST).get("/.well-known/qnsp/evidence").json()
    transport = VerifyingTransport(
        OneMember(SyncAsgiTransport(app), document, world.trust()),
        trust=world.trust(),
        api_key=generate("ML-DSA-65"),
        allow_simulated=True,
        clock=world.clock,
    )
    answer = httpx.Client(transport=transport, base_url=HOST).post("/v1/embeddings", json={"model": "tiny"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"].startswith("QNSP-SIG-")


def test_an_altered_answer_does_not_pass_the_door(door: tuple[httpx.Client, Meddler, GatewayWorld]) -> None:
    """502 with the reason; not one byte of the answer."""
    plain, meddler, _ = door
    meddler.bend = True
    answer = plain.post("/v1/embeddings", json={"model": "tiny", "input": "x"})
    assert answer.status_code == 502
    assert json.loads(answer.content)["error"]["code"] == "QNSP-SIG-021"
    assert b"0.75" not in answer.content


def test_a_demanded_receipt_is_fetched_and_checked(tmp_path: Path, member: SimulatedMember) -> None:
    """With `receipts: true`, as `trust export` writes it, the client fetches the proof itself; refusals need none."""
    world = GatewayWorld(tmp_path, member)
    app = world.app()
    trust = replace(world.trust(), receipts=True)
    document = sync_client(app, HOST).get("/.well-known/qnsp/evidence").json()
    transport = VerifyingTransport(
        OneMember(SyncAsgiTransport(app), document, trust),
        trust=trust,
        api_key=world.api_key,
        allow_simulated=True,
        clock=world.clock,
    )
    http = httpx.Client(transport=transport, base_url=HOST)
    assert http.post("/v1/embeddings", json={"model": "tiny", "input": "x"}).status_code == 200
    assert transport.last is not None
    assert transport.last[0].receipt is not None
    assert {s.name: str(s.verdict) for s in transport.last[1].statements}["receipt"] == "ok"
    assert http.post("/v1/nothing", json={"a": "refusal of a request with a body"}).status_code == 404
