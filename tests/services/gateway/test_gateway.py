"""The gateway: who may ask, how much, and that every answer is signed, refusals too."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn

from qnsp_policy.client.answer import SavedAnswer, parse_answer
from qnsp_policy.client.verify import verify_answer
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.tls.server_edge import uvicorn_config
from qnsp_policy.kernel.wire.api_auth import sign_request
from qnsp_policy.kernel.wire.api_token import issue_api_token
from qnsp_policy.services.gateway.process_edge import listener_tls
from qnsp_policy.testing.gateway import HOST, GatewayWorld
from qnsp_policy.testing.services import START, SimulatedMember, lost

URL = f"{HOST}/v1/embeddings"
BODY = b'{"model":"tiny","input":"chest pain"}'


@pytest.fixture
def gateway(tmp_path: Path, member: SimulatedMember) -> GatewayWorld:
    return GatewayWorld(tmp_path, member)


def error_code(answer: SavedAnswer) -> str:
    return str(json.loads(answer.body)["error"]["code"])


def test_a_signed_request_gets_a_signed_answer(gateway: GatewayWorld) -> None:
    """Content-Digest, model, evidence, receipt, request binding, ML-DSA-65; verified offline."""
    answer = gateway.ask(gateway.client())
    assert answer.status == 200
    assert 'alg="ml-dsa-65"' in answer.header("signature-input")
    for covered in ('"@status"', '"content-digest"', '"@method";req', '"@path";req', '"content-digest";req'):
        assert covered in answer.header("signature-input")
    verified = verify_answer(answer, gateway.trust(), now=START, allow_simulated=True)
    assert verified.key_id == gateway.response_key.key_id


def test_a_token_signed_by_an_api_key_is_enough_for_plain_clients(gateway: GatewayWorld) -> None:
    """What `curl` and an unchanged `openai` client send as their bearer key."""
    token = issue_api_token(gateway.api_key, "clinic-embeddings", now=START)
    assert gateway.ask(gateway.client(), headers={"authorization": f"Bearer {token}"}).status == 200


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("nothing", "QNSP-GWY-010"),
        ("basic", "QNSP-GWY-010"),
        ("rubbish-token", "QNSP-SIG-090"),
        ("token-of-another-key", "QNSP-GWY-011"),
        ("token-of-another-endpoint", "QNSP-GWY-012"),
        ("expired-token", "QNSP-SIG-092"),
        ("key-of-another-tenant", "QNSP-SIG-025"),
        ("other-body", "QNSP-SIG-021"),
        ("other-path", "QNSP-SIG-001"),
        ("stale", "QNSP-SIG-027"),
        ("from-the-future", "QNSP-SIG-027"),
        ("hip5-sample-time", "QNSP-SIG-027"),
    ],
)
def test_a_request_that_does_not_prove_its_caller_is_refused(gateway: GatewayWorld, how: str, code: str) -> None:
    """One good request, one mutation; HIP-5's own sample timestamp lies years outside the window."""
    key, other = gateway.api_key, generate("ML-DSA-65")
    times = {
        "stale": START - timedelta(minutes=10),
        "from-the-future": START + timedelta(minutes=10),
        "hip5-sample-time": datetime.fromtimestamp(1703001234, UTC),
    }
    tokens = {
        "rubbish-token": "sk-abc",
        "token-of-another-key": issue_api_token(other, "clinic-embeddings", now=START),
        "token-of-another-endpoint": issue_api_token(key, "research-embeddings", now=START),
        "expired-token": issue_api_token(key, "clinic-embeddings", now=START - timedelta(hours=2)),
    }
    if how in tokens:
        headers = {"authorization": f"Bearer {tokens[how]}"}
    elif how in {"nothing", "basic"}:
        headers = {"authorization": "Basic eDp5"} if how == "basic" else {}
    else:
        signer = other if how == "key-of-another-tenant" else key
        url = f"{HOST}/v1/models" if how == "other-path" else URL
        body = b"{}" if how == "other-body" else BODY
        headers = sign_request("POST", url, body, signer, times.get(how, START))
    answer = gateway.ask(gateway.client(), BODY, headers=headers)
    assert (answer.status, error_code(answer)) == (401, code)


def test_a_replayed_request_is_refused(gateway: GatewayWorld) -> None:
    """The nonce counts once."""
    http = gateway.client()
    headers = sign_request("POST", URL, BODY, gateway.api_key, START)
    assert gateway.ask(http, headers=headers).status == 200
    again = gateway.ask(http, headers=headers)
    assert (again.status, error_code(again)) == (401, "QNSP-SIG-041")


def test_an_expired_api_key_no_longer_calls(gateway: GatewayWorld) -> None:
    """A key ends when its document says so."""
    expires = (START - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    endpoint = gateway.endpoint()
    endpoint["tenants"][0]["apiKeys"][0]["expires"] = expires
    gateway.changes["tenants"] = endpoint["tenants"]
    assert error_code(gateway.ask(gateway.client())) == "QNSP-SIG-025"


def test_an_anonymous_endpoint_has_to_say_so(gateway: GatewayWorld) -> None:
    """`off-insecure` in the document, and only then."""
    gateway.changes["requestAuthentication"] = "off-insecure"
    assert gateway.ask(gateway.client(), headers={}).status == 200


def test_refusals_are_signed_but_leave_no_receipt(gateway: GatewayWorld) -> None:
    """A client can tell the gateway's no from somebody else's."""
    answer = gateway.ask(gateway.client(), headers={})
    assert answer.status == 401
    assert answer.header("qnsp-receipt") == ""
    assert verify_answer(answer, gateway.trust(), now=START, allow_simulated=True).status == 401


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files", "/v1/embeddings?x=1", "/../etc/passwd"])
def test_only_declared_apis_reach_the_upstream(gateway: GatewayWorld, path: str) -> None:
    """Everything else is 404 at the gateway."""
    seen: list[str] = []
    gateway.upstream = lambda request: seen.append(str(request.url)) or httpx.Response(200, json={})  # type: ignore[func-returns-value]
    assert gateway.ask(gateway.client(), path=path).status == 404
    assert seen == []


def test_the_upstream_learns_nothing_about_the_caller(gateway: GatewayWorld) -> None:
    """Content type and body go on; signatures, tokens and cookies do not."""
    seen: list[httpx.Request] = []

    def upstream(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    gateway.upstream = upstream
    gateway.ask(gateway.client())
    assert not {"signature", "signature-input", "authorization", "cookie"} & set(seen[0].headers)


def test_the_request_quota_is_refused_with_when_to_come_again(gateway: GatewayWorld) -> None:
    """429 with Retry-After; a minute later it goes on."""
    gateway.changes["quotas"] = {"requestsPerMinute": 2}
    http = gateway.client()
    assert [gateway.ask(http).status for _ in range(3)] == [200, 200, 429]
    answer = gateway.ask(http)
    assert error_code(answer) == "QNSP-GWY-013"
    assert 0 < int(answer.header("retry-after")) <= 61
    gateway.clock.forward(seconds=61)
    assert gateway.ask(http).status == 200


def test_the_token_quota_counts_what_the_upstream_used(gateway: GatewayWorld) -> None:
    """3 tokens an answer, 5 a day: the third request is refused; one tenant's use is not another's."""
    endpoint = gateway.endpoint()
    endpoint["tenants"][0]["quotas"] = {"tokensPerDay": 5}
    gateway.changes["tenants"] = endpoint["tenants"]
    http = gateway.client()
    assert [gateway.ask(http).status for _ in range(3)] == [200, 200, 429]


def test_a_body_over_the_limit_is_refused(gateway: GatewayWorld) -> None:
    """`maxRequest` of the endpoint."""
    gateway.changes["maxRequest"] = 1000
    answer = gateway.ask(gateway.client(), b" " * 1001)
    assert (answer.status, error_code(answer)) == (413, "QNSP-GWY-015")


@pytest.mark.parametrize(
    ("fault", "status"), [(httpx.ConnectError("no"), 502), (httpx.ReadTimeout("slow"), 504)], ids=["down", "slow"]
)
def test_a_dead_upstream_is_said_signed(gateway: GatewayWorld, fault: Exception, status: int) -> None:
    """502 and 504 are the gateway's own answers."""

    def upstream(_: httpx.Request) -> httpx.Response:
        raise fault

    gateway.upstream = upstream
    answer = gateway.ask(gateway.client())
    assert (answer.status, error_code(answer)) == (status, "QNSP-GWY-018")
    verify_answer(answer, gateway.trust(), now=START, allow_simulated=True)


def test_an_upstreams_error_is_passed_on_signed(gateway: GatewayWorld) -> None:
    """The model's own 400 stays a 400."""
    gateway.upstream = lambda _: httpx.Response(400, json={"error": {"message": "no"}})
    answer = gateway.ask(gateway.client())
    assert answer.status == 400
    verify_answer(answer, gateway.trust(), now=START, allow_simulated=True)


def test_streaming_is_refused_where_the_document_does_not_allow_it(gateway: GatewayWorld) -> None:
    """A client that asks for a stream is told, not silently given something else."""
    answer = gateway.ask(gateway.client(), b'{"input":"x","stream":true}')
    assert (answer.status, error_code(answer)) == (400, "QNSP-GWY-017")


def test_a_stream_ends_with_an_event_that_signs_it(gateway: GatewayWorld) -> None:
    """Every byte before the closing event is covered; one changed byte and it no longer verifies."""
    from qnsp_policy.client.transport_edge import _answer_of

    gateway.changes |= {"streaming": True, "api": {"openai": ["chat-completions"]}}
    events = b'data: {"delta":"a"}\n\ndata: {"delta":"b"}\n\ndata: [DONE]\n\n'
    gateway.upstream = lambda _: httpx.Response(200, content=events, headers={"content-type": "text/event-stream"})
    http = gateway.client()
    body, url = b'{"messages":[],"stream":true}', f"{HOST}/v1/chat/completions"
    sent = httpx.Request("POST", url, headers=sign_request("POST", url, body, gateway.api_key, START), content=body)
    document = http.get("/.well-known/qnsp/evidence").json()
    raw = http.send(sent)
    answer, content = _answer_of(raw, sent, body, document)
    assert content == events
    verify_answer(answer, gateway.trust(), now=START, allow_simulated=True)
    bent = httpx.Response(200, headers=raw.headers, content=raw.content.replace(b'"a"', b'"c"'))
    altered, _ = _answer_of(bent, sent, body, document)
    with pytest.raises(PeerError, match="QNSP-SIG-021"):
        verify_answer(altered, gateway.trust(), now=START, allow_simulated=True)


def test_a_stream_that_breaks_off_is_not_signed(gateway: GatewayWorld) -> None:
    """Half of an answer has no closing event, so no client takes it for one."""

    async def events() -> AsyncIterator[bytes]:
        yield b'data: {"delta":"a"}\n\n'
        raise httpx.ReadError("the upstream was killed")

    gateway.changes |= {"streaming": True, "api": {"openai": ["chat-completions"]}}
    gateway.upstream = lambda _: httpx.Response(200, content=events(), headers={"content-type": "text/event-stream"})
    answer = gateway.ask(gateway.client(), b'{"messages":[],"stream":true}', path="/v1/chat/completions")
    assert answer.body == b'data: {"delta":"a"}\n\n'
    with pytest.raises(PeerError, match="QNSP-GWY-042"):
        verify_answer(answer, gateway.trust(), now=START, allow_simulated=True)


def test_an_answer_that_cannot_be_recorded_is_not_given(gateway: GatewayWorld) -> None:
    """The refusal is signed, names no receipt, and holds nothing of the answer; the next one is given once the ledger is back."""
    http = gateway.client()
    assert gateway.ask(http).status == 200
    with lost(gateway.folder / "ledger"):
        answer = gateway.ask(http)
    assert (answer.status, error_code(answer), answer.header("qnsp-receipt")) == (503, "QNSP-GWY-019", "")
    assert b"0.25" not in answer.body
    assert verify_answer(answer, gateway.trust(), now=START, allow_simulated=True).status == 503
    assert gateway.ask(http).status == 200


def test_a_receipt_cannot_be_guessed(gateway: GatewayWorld) -> None:
    """Ids are random; counting finds nothing."""
    http = gateway.client()
    gateway.ask(http)
    for guess in ("0", "1", "0" * 32):
        assert http.get(f"/.well-known/qnsp/receipt/{guess}").status_code == 404


def test_the_log_holds_digests_and_no_payload(gateway: GatewayWorld, tmp_path: Path) -> None:
    """Neither question nor answer is on disk."""
    gateway.ask(gateway.client())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"chest pain" not in path.read_bytes()
            assert b"0.25" not in path.read_bytes()


@pytest.fixture
def listening(gateway: GatewayWorld) -> Iterator[str]:
    """The gateway on a real port, with the classical group X25519 declared for clients that know no other."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    gateway.changes["listen"] = f"127.0.0.1:{port}"
    gateway.changes["tls"] = {"mode": "in-process", "groups": ["X25519MLKEM768", "X25519"]}
    gateway.clock.now = datetime.now(UTC).replace(microsecond=0)
    settings = gateway.settings()
    config = uvicorn_config(
        gateway.app(settings),
        host="127.0.0.1",
        port=port,
        tls=listener_tls(settings),
        log_level="error",
        lifespan="off",
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"https://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(60)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_plain_curl_works_where_a_classical_exception_is_declared(
    gateway: GatewayWorld, listening: str, tmp_path: Path
) -> None:
    """`curl -i` with a token; what it saved verifies with the evidence beside it, and says what it does not know."""
    from dataclasses import replace

    token = issue_api_token(gateway.api_key, "clinic-embeddings", now=gateway.clock())

    def curl(*arguments: str) -> bytes:
        return subprocess.run(["curl", "-sSk", *arguments], capture_output=True, check=True, timeout=120).stdout

    saved = curl(
        "-i", f"{listening}/v1/embeddings", "-H", f"Authorization: Bearer {token}",
        "-H", "Content-Type: application/json", "-d", BODY.decode(),
    )  # fmt: skip
    evidence = json.loads(curl(f"{listening}/.well-known/qnsp/evidence"))
    answer = replace(parse_answer(saved), evidence=evidence)
    verified = verify_answer(answer, gateway.trust(), now=datetime.now(UTC), allow_simulated=True)
    words = {statement.name: statement.verdict.value for statement in verified.statements}
    assert words["signature"] == "ok"
    assert words["request"] == "claimed"
    assert words["freshness"] == "not checked"
    assert words["receipt"] == "not checked"
