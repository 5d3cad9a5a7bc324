"""What a tenant has used: requests in the last minute, tokens on this UTC day. In memory; a restart forgets, a quota is no ledger."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from qnsp_policy.kernel.wire.endpoint import Quota


@dataclass(frozen=True, slots=True)
class Exceeded:
    """Which bound was met, and when to come again (whole seconds)."""

    bound: str
    limit: int
    retry_after: int


class Meter:
    """Counts by tenant; each bound is the smaller of the tenant's and the endpoint's."""

    def __init__(self, endpoint: Quota, tenants: dict[str, Quota]) -> None:
        self._requests = {
            name: _least(q.requests_per_minute, endpoint.requests_per_minute) for name, q in tenants.items()
        }
        self._tokens = {name: _least(q.tokens_per_day, endpoint.tokens_per_day) for name, q in tenants.items()}
        self._recent: dict[str, deque[float]] = {name: deque() for name in tenants}
        self._used: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def admit(self, tenant: str, now: datetime) -> Exceeded | None:
        """Count one request of `tenant`, or say why not; a refused request is not counted."""
        with self._lock:
            moment = now.timestamp()
            recent = self._recent[tenant]
            while recent and recent[0] <= moment - 60:
                recent.popleft()
            limit = self._requests[tenant]
            if limit is not None and len(recent) >= limit:
                return Exceeded("requestsPerMinute", limit, max(1, int(recent[0] + 60 - moment) + 1) if recent else 60)
            tokens = self._tokens[tenant]
            if tokens is not None and self._tokens_today(tenant, now) >= tokens:
                midnight = 86400 - (now.hour * 3600 + now.minute * 60 + now.second)
                return Exceeded("tokensPerDay", tokens, midnight)
            recent.append(moment)
            return None

    def use_tokens(self, tenant: str, count: int, now: datetime) -> None:
        """Add what the upstream said it used."""
        with self._lock:
            self._used[tenant] = (now.strftime("%Y-%m-%d"), self._tokens_today(tenant, now) + max(0, count))

    def _tokens_today(self, tenant: str, now: datetime) -> int:
        day, count = self._used.get(tenant, ("", 0))
        return count if day == now.strftime("%Y-%m-%d") else 0


def _least(first: int | None, second: int | None) -> int | None:
    given = [bound for bound in (first, second) if bound is not None]
    return min(given) if given else None


__all__ = ["Exceeded", "Meter"]
