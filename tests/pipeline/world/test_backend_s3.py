"""State in a bucket, against moto's server on loopback: conditional, honest, and refusing servers that ignore conditions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from qnsp_policy.errors import LockHeld, OperatorError
from qnsp_policy.pipeline.engine.lease import Lease
from qnsp_policy.pipeline.world.backend import ABSENT, Absent, Conflict
from qnsp_policy.pipeline.world.backend_s3_edge import S3Backend


@pytest.fixture
def backend(url: str) -> S3Backend:
    return S3Backend(url)


def test_pulumis_own_lies_beside_ours(backend: S3Backend) -> None:
    """Our records under one prefix of the bucket, the engine's stacks under another."""
    backend.put("units/a/a.json", b"2")
    backend.put("run.json", b"3")
    assert backend.url.partition("?")[0].endswith("/team/lab/pulumi")
    assert sorted(backend.files()) == ["qnsp/run.json", "qnsp/units/a/a.json"]


def test_a_repeated_write_of_the_same_bytes_is_no_conflict(backend: S3Backend) -> None:
    """A lost answer makes the client repeat a conditional write that had succeeded."""
    first = backend.put("k", b"1", if_match=ABSENT)
    assert backend.put("k", b"1", if_match=ABSENT) == first


def test_one_lease_for_all(url: str) -> None:
    """The lease works on it as on a folder: one holder, free afterwards."""
    mine, theirs = S3Backend(url), S3Backend(url)
    with Lease.acquire(mine, purpose="apply", clock=lambda: datetime.now(UTC)) as lease:
        with pytest.raises(LockHeld, match="QNSP-LCK-001"):
            Lease.acquire(theirs, purpose="apply")
        lease.check()
    Lease.acquire(theirs, purpose="apply")


def test_a_server_that_ignores_conditions_is_refused(url: str) -> None:
    """The first conditional write proves the server; one that takes everything would let two applies win."""

    class Careless(S3Backend):
        def _write(self, name: str, data: bytes, if_match: str | Absent | None) -> str:
            del if_match
            return super()._write(name, data, None)

    with pytest.raises(OperatorError, match="QNSP-ENG-015"):
        Careless(url).put("lease.json", b"1", if_match=ABSENT)


def test_a_bucket_that_is_not_there_and_a_server_that_is_away(endpoint: str) -> None:
    """Each is an error of the operator's with its cause, never a traceback or an empty state."""
    query = f"region=us-east-1&endpoint={endpoint}&disableSSL=true&s3ForcePathStyle=true"
    with pytest.raises(OperatorError, match="NoSuchBucket"):
        S3Backend(f"s3://nothing-there/x?{query}").list("")
    with pytest.raises(OperatorError, match="QNSP-ENG-014"):
        S3Backend("s3://b/x?region=us-east-1&endpoint=127.0.0.1:9&disableSSL=true&s3ForcePathStyle=true").get("k")
    with pytest.raises(OperatorError, match="QNSP-ENG-016"):
        S3Backend("s3:///x")


def test_of_many_conditional_writers_the_store_keeps_one(backend: S3Backend) -> None:
    """Whoever is told that it won finds its own bytes."""

    def attempt(number: int) -> str | None:
        try:
            return backend.put("lease", str(number).encode(), if_match=ABSENT)
        except Conflict:
            return None

    backend.put("warm", b"", if_match=ABSENT)
    with ThreadPoolExecutor(4) as pool:
        won: list[Any] = [etag for etag in pool.map(attempt, range(8)) if etag is not None]
    kept = backend.get("lease")
    assert kept is not None
    assert kept[1] in won
