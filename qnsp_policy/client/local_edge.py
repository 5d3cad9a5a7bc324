"""A door on loopback for programs that can neither sign requests nor speak hybrid TLS, such as a plain `curl`.

What comes in is signed and sent over pinned hybrid TLS; what comes back is verified before it is handed on, headers included, so that
a saved answer still proves itself. An answer that does not is a 502 and its content goes nowhere. Whoever reaches the port calls in
the key's name: it listens on loopback only.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qnsp_policy.client.transport_edge import OpenEndpoint
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.tls.server_edge import uvicorn_config

_LIMIT = 64 * 1024 * 1024
_PASSED_ON = ("content-type", "accept")
_OF_THE_CONNECTION = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding"})


def local_app(http: httpx.Client) -> Starlette:
    """The ASGI application around a verifying client (`OpenEndpoint.client`)."""

    async def forward(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LIMIT:
                return _refusal(413, "QNSP-GWY-015", "the request is too large")
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        target = request.scope["raw_path"].decode("ascii", "replace")
        if request.url.query:
            target += f"?{request.url.query}"
        try:
            answer = await run_in_threadpool(http.request, request.method, target, content=body, headers=headers)
        except PeerError as error:
            return _refusal(502, error.code, error.message)
        except httpx.TransportError as error:
            return _refusal(502, "QNSP-GWY-023", f"the endpoint does not answer: {error}")
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        return Response(answer.content, status_code=answer.status_code, headers=kept)

    methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    return Starlette(routes=[Route("/{path:path}", forward, methods=methods)])


def _refusal(status: int, code: str, message: str) -> Response:
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return Response(json.dumps({"error": error}), status_code=status, media_type="application/json")


def serve_locally(endpoint: OpenEndpoint, host: str, port: int, listening: Callable[[str], None]) -> None:
    """Listen until a signal ends it.

    Args:
        endpoint: what is served.
        host: of loopback.
        port: 0 is any that is free.
        listening: told the address once it answers there.

    Raises:
        OSError: the address is taken.
        ValueError: another address than loopback.
    """
    with endpoint.client() as http:
        config = uvicorn_config(
            local_app(http), host=host, port=port, tls=None, log_level="warning", lifespan="off", date_header=False
        )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as door:
            listening(f"http://{f'[{host}]' if ':' in host else host}:{door.getsockname()[1]}")
            uvicorn.Server(config).run(sockets=[door])


__all__ = ["local_app", "serve_locally"]
