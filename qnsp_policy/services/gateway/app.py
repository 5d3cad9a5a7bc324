"""The gateway's HTTP surface: authenticate, meter, forward, sign, record. Every answer under /v1 is signed, refusals too.

Routes: the OpenAI-compatible paths that the endpoint's document names; `/.well-known/qnsp/evidence`, `/.well-known/qnsp/receipt/<id>`,
`/healthz`. What goes upstream is method, path, content type and body; nothing that identifies the caller.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.wire.endpoint import API_PATHS, EndpointConfiguration
from qnsp_policy.services.gateway.answers import AnswerSigner, Exchange, ReceiptLog
from qnsp_policy.services.gateway.callers import Caller, Callers
from qnsp_policy.services.gateway.quota import Meter

log = logging.getLogger("qnsp.gateway")

Clock = Callable[[], datetime]
_ANSWER_LIMIT = 64 * 1024 * 1024
_READ_AT_MOST = 64 * 1024 * 1024


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class _Refused(Exception):  # noqa: N818 - an answer, not a fault
    """An answer of the gateway's own."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()


class GatewayApp:
    """Routes around one upstream."""

    def __init__(
        self,
        endpoint: EndpointConfiguration,
        *,
        evidence: Mapping[str, object],
        signer: AnswerSigner,
        receipts: ReceiptLog | None,
        callers: Callers,
        upstream: httpx.AsyncClient,
        clock: Clock = utc_now,
    ) -> None:
        self._endpoint = endpoint
        self._evidence = dict(evidence)
        self._signer = signer
        self._receipts = receipts
        self._callers = callers
        self._upstream = upstream
        self._meter = Meter(endpoint.quota, {tenant.name: tenant.quota for tenant in endpoint.tenants})
        self._clock = clock
        self._allowed = {API_PATHS[api] for api in endpoint.apis} | {API_PATHS["models"]}

    def asgi(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/healthz", self._health, methods=["GET"]),
                Route("/.well-known/qnsp/evidence", self._show_evidence, methods=["GET"]),
                Route("/.well-known/qnsp/receipt/{id}", self._show_receipt, methods=["GET"]),
                Route("/{path:path}", self._answer, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
            ]
        )

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "endpoint": self._endpoint.name})

    async def _show_evidence(self, _request: Request) -> Response:
        return JSONResponse(self._evidence, headers={"Cache-Control": "no-cache"})

    async def _show_receipt(self, request: Request) -> Response:
        found = None
        if self._receipts is not None:
            found = await run_in_threadpool(self._receipts.prove, request.path_params["id"])
        if found is None:
            return JSONResponse({"error": {"message": "no such receipt", "code": "QNSP-GWY-016"}}, status_code=404)
        return JSONResponse(found)

    async def _answer(self, request: Request) -> Response:
        now = self._clock()
        target = request.scope["raw_path"].decode("ascii", "replace")
        if request.url.query:
            target += f"?{request.url.query}"
        headers = {name.lower(): value for name, value in request.headers.items()}
        body, digest, caller = b"", hashlib.sha256(b"").digest(), None
        try:
            body, digest = await self._body(request)
            if len(body) > self._endpoint.max_request:
                raise _Refused(413, "QNSP-GWY-015", f"a request has at most {self._endpoint.max_request} bytes here")
            if (request.method, target) not in self._allowed:
                # A refusal, too, speaks of the request's digest and carries the nonce of who asked, where that is known.
                with contextlib.suppress(_Refused):
                    caller = await self._authenticate(request.method, target, headers, body, now)
                raise _Refused(404, "QNSP-GWY-014", f"{request.method} {target[:100]} is not served here")
            caller = await self._authenticate(request.method, target, headers, body, now)
            self._admit(caller, now)
            streaming = self._wants_stream(body)
            exchange = Exchange.begin(request.method, target, headers, digest, caller, now)
            if streaming:
                return await self._forward_stream(exchange, headers, body)
            status, content_type, answer = await self._forward(exchange.method, target, headers, body)
            self._count_tokens(caller, answer, now)
            extra: dict[str, str] = {}
        except _Refused as refusal:
            exchange = Exchange.begin(request.method, target, headers, digest, caller, now)
            status, content_type, answer, extra = refusal.status, "application/json", refusal.body(), refusal.headers
        try:
            signed = await run_in_threadpool(self._sign, exchange, status, content_type, answer)
        except OperatorError as error:
            # What cannot be recorded is not handed out; the refusal has no receipt, as that of somebody unknown has none.
            log.error("%s: %s", target[:200], error)  # noqa: TRY400 - the text says it
            unsaid = _Refused(503, "QNSP-GWY-019", "this answer could not be recorded, so it is not given")
            exchange = replace(exchange, caller=None)
            status, content_type, answer, extra = unsaid.status, "application/json", unsaid.body(), {}
            signed = await run_in_threadpool(self._sign, exchange, status, content_type, answer)
        return Response(answer, status_code=status, headers={**extra, **signed, "Content-Type": content_type})

    def _sign(self, exchange: Exchange, status: int, content_type: str, answer: bytes) -> dict[str, str]:
        """Receipt first, so that the answer can name it; then the signature."""
        receipt = ""
        if self._receipts is not None and exchange.caller is not None:
            receipt = self._receipts.record(exchange, status, hashlib.sha256(answer).digest(), self._clock())
        return self._signer.sign(exchange, status, content_type, answer, receipt=receipt, now=self._clock())

    async def _body(self, request: Request) -> tuple[bytes, bytes]:
        """The body and its SHA-256.

        Of one that is too long only the beginning is kept, longer than allowed; the rest is digested as it comes, so that
        the refusal speaks of the request that was sent. What is absurdly long is not even read to its end.
        """
        limit = self._endpoint.max_request
        kept, seen, digest = bytearray(), 0, hashlib.sha256()
        try:
            async for chunk in request.stream():
                seen += len(chunk)
                digest.update(chunk)
                kept += chunk[: max(0, limit + 1 - len(kept))]
                if seen > max(_READ_AT_MOST, 4 * limit):
                    break
        except ClientDisconnect:
            raise _Refused(400, "QNSP-GWY-015", "the request ended early") from None
        return bytes(kept), digest.digest()

    async def _authenticate(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Caller:
        try:
            return await run_in_threadpool(self._callers.authenticate, method, target, headers, body, now)
        except PeerError as error:
            raise _Refused(401, error.code, error.message, {"WWW-Authenticate": "Bearer"}) from None

    def _admit(self, caller: Caller, now: datetime) -> None:
        exceeded = self._meter.admit(caller.tenant, now)
        if exceeded is not None:
            raise _Refused(
                429,
                "QNSP-GWY-013",
                f"the quota {exceeded.bound} of {exceeded.limit} is used up; come again in {exceeded.retry_after} s",
                {"Retry-After": str(exceeded.retry_after)},
            )

    def _wants_stream(self, body: bytes) -> bool:
        try:
            value = json.loads(body) if body else {}
        except (ValueError, RecursionError):
            return False
        wanted = isinstance(value, dict) and value.get("stream") is True
        if wanted and not self._endpoint.streaming:
            raise _Refused(400, "QNSP-GWY-017", "streaming is off for this endpoint")
        return wanted

    async def _forward(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str, bytes]:
        try:
            async with self._upstream.stream(
                method, target, content=body, headers=_upstream_headers(headers)
            ) as answer:
                chunks: list[bytes] = []
                size = 0
                async for chunk in answer.aiter_bytes():
                    size += len(chunk)
                    if size > _ANSWER_LIMIT:
                        raise _Refused(502, "QNSP-GWY-018", "the upstream's answer is too large")
                    chunks.append(chunk)
                return answer.status_code, answer.headers.get("content-type", "application/json"), b"".join(chunks)
        except httpx.TimeoutException:
            raise _Refused(504, "QNSP-GWY-018", "the upstream did not answer in time") from None
        except httpx.TransportError:
            raise _Refused(502, "QNSP-GWY-018", "the upstream does not answer") from None

    async def _forward_stream(self, exchange: Exchange, headers: Mapping[str, str], body: bytes) -> Response:
        """Pass server-sent events through and close with one that signs all bytes before it."""
        request = self._upstream.build_request(
            exchange.method, exchange.target, content=body, headers=_upstream_headers(headers)
        )
        try:
            answer = await self._upstream.send(request, stream=True)
        except httpx.TimeoutException:
            raise _Refused(504, "QNSP-GWY-018", "the upstream did not answer in time") from None
        except httpx.TransportError:
            raise _Refused(502, "QNSP-GWY-018", "the upstream does not answer") from None
        content_type = answer.headers.get("content-type", "text/event-stream")

        async def events() -> AsyncIterator[bytes]:
            running = self._signer.running_digest()
            try:
                async for chunk in answer.aiter_bytes():
                    running.update(chunk)
                    yield chunk
                yield await run_in_threadpool(self._close_stream, exchange, answer.status_code, content_type, running)
            except (OperatorError, httpx.TransportError) as error:
                # Half of an answer, or one that could not be recorded: it ends without the event that signs it.
                log.error("%s: %s", exchange.target[:200], error)  # noqa: TRY400 - the text says it
            finally:
                await answer.aclose()

        return StreamingResponse(events(), status_code=answer.status_code, headers={"Content-Type": content_type})

    def _close_stream(self, exchange: Exchange, status: int, content_type: str, running: hashlib._Hash) -> bytes:
        now, receipt = self._clock(), ""
        if self._receipts is not None and exchange.caller is not None:
            receipt = self._receipts.record(exchange, status, running.digest(), now)
        return self._signer.closing_event(exchange, status, content_type, running, receipt, now)

    def _count_tokens(self, caller: Caller, answer: bytes, now: datetime) -> None:
        try:
            used = json.loads(answer)["usage"]["total_tokens"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if isinstance(used, int) and not isinstance(used, bool):
            self._meter.use_tokens(caller.tenant, used, now)


def _upstream_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("content-type", "accept") if name in headers}


__all__ = ["GatewayApp", "utc_now"]
