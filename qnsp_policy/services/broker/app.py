"""The broker's HTTP surface and its process: KBS routes for guests, signed routes for administrators.

Bodies are capped before they are read; work that touches keys, SQL or the ledger runs in worker threads. Every error on a KBS route
has a JSON body with `type` and `detail`, as existing clients abort without one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from qnsp_policy.errors import OperatorError, PeerError, PlanRefused, QnspError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object
from qnsp_policy.kernel.wire.broker_admin import KINDS
from qnsp_policy.kernel.wire.broker_admin import PREFIX as ADMIN_PREFIX
from qnsp_policy.kernel.wire.kbs import BODY_LIMIT, PREFIX, SESSION_COOKIE
from qnsp_policy.services.broker.objects import ObjectAdministration, StateKeeper
from qnsp_policy.services.broker.problems import AdminRefusal, KbsRefusal, Variant
from qnsp_policy.services.broker.service import Broker, Credential
from qnsp_policy.services.broker.state import BrokerLedger, BrokerStore

log = logging.getLogger("qnsp.broker")

_PLAN_LIMIT = 64 * 1024 * 1024

Clock = Callable[[], datetime]
Authenticate = Callable[[str, str, Mapping[str, str], bytes, datetime], str]
"""(method, target, headers, body, now) -> id of the administrator's key; raises `PeerError`."""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class BrokerApp:
    """Routes around one broker."""

    def __init__(
        self,
        broker: Broker,
        *,
        administration: ObjectAdministration,
        keeper: StateKeeper,
        store: BrokerStore,
        ledger: BrokerLedger,
        authenticate: Authenticate,
        identity: Mapping[str, Any],
        strict: bool,
        secure_cookie: bool,
        clock: Clock = utc_now,
    ) -> None:
        self._broker = broker
        self._administration = administration
        self._keeper = keeper
        self._store = store
        self._ledger = ledger
        self._authenticate = authenticate
        self._identity = dict(identity)
        self._strict = strict
        self._secure_cookie = secure_cookie
        self._clock = clock

    def asgi(self) -> Starlette:
        """The ASGI application."""
        admin = ADMIN_PREFIX
        return Starlette(
            routes=[
                Route("/healthz", self._health, methods=["GET"]),
                Route("/.well-known/qnsp/broker.json", self._identity_page, methods=["GET"]),
                Route(f"{PREFIX}/auth", self._auth, methods=["POST"]),
                Route(f"{PREFIX}/attest", self._attest, methods=["POST"]),
                Route(f"{PREFIX}/resource/{{path:path}}", self._resource, methods=["GET"]),
                Route(f"{admin}/plans", self._admin(self._put_plan, _PLAN_LIMIT), methods=["POST"]),
                Route(f"{admin}/state", self._admin(self._state), methods=["GET"]),
                Route(f"{admin}/objects", self._admin(self._list), methods=["GET"]),
                Route(
                    f"{admin}/objects/{{kind}}/{{name:path}}",
                    self._admin(self._object),
                    methods=["GET", "PUT", "DELETE"],
                ),
                Route("/{path:path}", self._nothing, methods=["GET", "POST", "PUT", "DELETE"]),
            ],
        )

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "name": self._identity.get("name")})

    async def _identity_page(self, _request: Request) -> Response:
        return JSONResponse(self._identity)

    async def _nothing(self, request: Request) -> Response:
        refusal = KbsRefusal(Variant.PLUGIN_NOT_FOUND, "QNSP-KBS-104", f"nothing is served at {request.url.path[:200]}")
        return self._refused(refusal)

    async def _auth(self, request: Request) -> Response:
        async def work(body: bytes) -> Response:
            session, challenge = await run_in_threadpool(self._broker.auth, body, self._clock())
            response = Response(challenge.to_bytes(), media_type="application/json")
            self._set_cookie(response, session.id, session.expires)
            return response

        return await self._guarded(request, work)

    async def _attest(self, request: Request) -> Response:
        async def work(body: bytes) -> Response:
            cookie = request.cookies.get(SESSION_COOKIE)
            session, token = await run_in_threadpool(self._broker.attest, cookie, body, self._clock())
            response = JSONResponse({"token": token})
            self._set_cookie(response, session.id, session.expires)
            return response

        return await self._guarded(request, work)

    async def _resource(self, request: Request) -> Response:
        async def work(_body: bytes) -> Response:
            scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
            credential = Credential(
                session_id=request.cookies.get(SESSION_COOKIE),
                bearer=bearer.strip() if scheme.lower() == "bearer" else None,
            )
            path = unquote(request.scope["raw_path"].decode("ascii", "replace"))[len(f"{PREFIX}/resource/") :]
            release = await run_in_threadpool(self._broker.resource, path, credential, self._clock())
            return Response(
                release.body,
                media_type="application/json",
                headers={
                    "Cache-Control": "no-store",
                    "Qnsp-Lease": str(release.lease_seconds),
                    "Qnsp-Decision": release.decision_id,
                },
            )

        return await self._guarded(request, work)

    async def _guarded(self, request: Request, work: Callable[[bytes], Any]) -> Response:
        """Run a KBS route; whatever goes wrong becomes a body that KBS clients can read."""
        try:
            body = await _body(request, BODY_LIMIT)
            response: Response = await work(body)
        except KbsRefusal as refusal:
            return self._refused(refusal)
        except QnspError as error:
            # Its own disk or database: guests read this body, too, and nothing was handed out.
            log.error("%s: %s", request.url.path[:200], error)  # noqa: TRY400 - the text says it
            return self._refused(
                KbsRefusal(Variant.PLUGIN_INTERNAL, error.code, "this broker does not serve", strict_status=503)
            )
        return response

    def _refused(self, refusal: KbsRefusal) -> Response:
        return JSONResponse(refusal.body(strict=self._strict), status_code=refusal.status(strict=self._strict))

    def _set_cookie(self, response: Response, session_id: str, expires: datetime) -> None:
        stamp = expires.strftime("%a, %d %b %Y %H:%M:%S GMT")
        parts = [f"{SESSION_COOKIE}={session_id}", f"Expires={stamp}", "Path=/"]
        if self._strict:
            parts += ["HttpOnly", "SameSite=Strict"]
            if self._secure_cookie:
                parts.append("Secure")
        response.headers["set-cookie"] = "; ".join(parts)

    def _admin(self, work: Callable[..., Any], limit: int = BODY_LIMIT) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                body = await _body(request, limit)
                query = request.url.query
                target = request.scope["raw_path"].decode("ascii", "replace") + (f"?{query}" if query else "")
                headers = {name.lower(): value for name, value in request.headers.items()}
                now = self._clock()
                try:
                    actor = await run_in_threadpool(self._authenticate, request.method, target, headers, body, now)
                except PeerError as error:
                    raise AdminRefusal(401, error.code, error.message) from None
                response: Response = await run_in_threadpool(work, request, body, actor, now)
            except AdminRefusal as refusal:
                return JSONResponse(refusal.to_json(), status_code=refusal.status)
            except KbsRefusal as refusal:
                return self._refused(refusal)
            except QnspError as error:
                failed = isinstance(error, OperatorError) and not isinstance(error, PlanRefused)
                status = 503 if failed else 403
                return JSONResponse(error.to_json(), status_code=status)
            return response

        return endpoint

    def _put_plan(self, _request: Request, body: bytes, actor: str, now: datetime) -> Response:
        plan = self._administration.accept_plan(body, actor=actor, now=now)
        return JSONResponse({"plan": plan.digest, "authorises": dict(plan.authorises)})

    def _state(self, _request: Request, _body: bytes, _actor: str, _now: datetime) -> Response:
        version = self._store.version()
        plan = self._administration.current_plan()
        return JSONResponse(
            {
                "version": version.version,
                "digest": version.digest,
                "plan": plan.digest if plan else None,
                "checkpoint": self._ledger.checkpoint(),
            }
        )

    def _list(self, _request: Request, _body: bytes, _actor: str, _now: datetime) -> Response:
        self._keeper.check()
        return JSONResponse(
            [
                {"kind": o.kind, "name": o.name, "digest": o.digest, "plan": o.plan or None}
                for o in self._store.objects()
                if o.kind in KINDS
            ]
        )

    def _object(self, request: Request, body: bytes, actor: str, now: datetime) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        if request.method == "GET":
            self._keeper.check()
            stored = self._store.object(kind, name) if kind in KINDS else None
            if stored is None:
                raise AdminRefusal(404, "QNSP-KBS-040", f"no object {kind}/{name} here", subject=f"{kind}/{name}")
            value = {
                "kind": kind,
                "name": name,
                "digest": stored.digest,
                "plan": stored.plan or None,
                "object": stored.value,
            }
            return JSONResponse(value)
        if request.method == "DELETE":
            removed = self._administration.remove(kind, name, actor=actor, now=now)
            return JSONResponse({"kind": kind, "name": name, "removed": removed})
        try:
            value = parse_object(body, max_bytes=BODY_LIMIT)
        except CanonicalJsonError as error:
            raise AdminRefusal(400, "QNSP-KBS-035", error.message) from None
        plan = value.get("plan")
        changed = self._administration.put(
            kind, name, value.get("object"), plan if isinstance(plan, str) else "", actor=actor, now=now
        )
        stored = self._store.object(kind, name)
        assert stored is not None
        return JSONResponse(
            {"kind": kind, "name": name, "digest": stored.digest, "plan": stored.plan or None, "changed": changed}
        )


async def _body(request: Request, limit: int) -> bytes:
    """The body, never more than `limit` bytes of it in memory."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> KbsRefusal:
    return KbsRefusal(Variant.PAYLOAD_TOO_LARGE, "QNSP-KBS-105", f"a body has at most {limit} bytes")


__all__ = ["Authenticate", "BrokerApp", "utc_now"]
