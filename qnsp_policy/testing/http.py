"""An ASGI application behind a synchronous httpx client: our real clients against our real servers, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx


class SyncAsgiTransport(httpx.BaseTransport):
    """Runs each request in an event loop of its own."""

    def __init__(self, app: Any) -> None:
        self._transport = httpx.ASGITransport(app=app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def exchange() -> tuple[int, list[tuple[bytes, bytes]], bytes]:
            sent = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
            response = await self._transport.handle_async_request(sent)
            return response.status_code, response.headers.raw, await response.aread()

        status, headers, body = asyncio.run(exchange())
        return httpx.Response(status, headers=headers, content=body, request=request)


def sync_client(app: Any, base_url: str = "http://127.0.0.1:8555") -> httpx.Client:
    """A client whose requests go straight into `app`."""
    return httpx.Client(transport=SyncAsgiTransport(app), base_url=base_url)


__all__ = ["SyncAsgiTransport", "sync_client"]
