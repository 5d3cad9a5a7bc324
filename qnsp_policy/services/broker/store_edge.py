"""Sessions and objects in SQL through SQLAlchemy Core: SQLite for one process, PostgreSQL for replicas.

The audit trail is not here: that is the ledger.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from qnsp_policy.errors import OperatorError
from qnsp_policy.services.broker.state import (
    Change,
    HeldObject,
    Session,
    SessionState,
    StateVersion,
    StoredObject,
    state_digest,
)

_METADATA = sa.MetaData()
_SESSIONS = sa.Table(
    "session",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("nonce", sa.String(64), nullable=False),
    sa.Column("tee", sa.String(32), nullable=False),
    sa.Column("hash_algorithm", sa.String(16), nullable=False),
    sa.Column("created", sa.Integer, nullable=False),
    sa.Column("expires", sa.Integer, nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("tee_pubkey", sa.Text),
    sa.Column("claims", sa.Text),
)
_OBJECTS = sa.Table(
    "object",
    _METADATA,
    sa.Column("kind", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(512), primary_key=True),
    sa.Column("digest", sa.String(80), nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("plan", sa.String(80), nullable=False),
)
_STATE = sa.Table(
    "state",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(80), nullable=False),
)
_STAGED = sa.Table(
    "staged",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("name", sa.String(512), nullable=False),
    sa.Column("digest", sa.String(80)),
    sa.Column("value", sa.Text),
    sa.Column("plan", sa.String(80)),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state_digest", sa.String(80), nullable=False),
)
_PLANS = sa.Table(
    "plan",
    _METADATA,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("digest", sa.String(80), nullable=False, unique=True),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("accepted", sa.Integer, nullable=False),
)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _object(row: sa.Row[Any]) -> StoredObject:
    return StoredObject(row.kind, row.name, row.digest, json.loads(row.value), row.plan)


class SqlStore:
    """`BrokerStore` over a database URL; tables are made at first use.

    Args:
        url: `sqlite:///relative/or/absolute.db` or `postgresql+...://`.

    Every method raises OperatorError `QNSP-KBS-021` where the database cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._engine = sa.create_engine(parsed)
        if parsed.get_backend_name() == "sqlite":
            sa.event.listen(self._engine, "connect", _sqlite_pragmas)
        with self._changing() as db:
            _METADATA.create_all(db)
            if db.execute(sa.select(_STATE)).first() is None:
                db.execute(_STATE.insert().values(id=1, version=0, digest=state_digest(())))

    def close(self) -> None:
        self._engine.dispose()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sa.Connection]:
        with _told(), self._engine.begin() as db:
            yield db

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _told(), self._engine.connect() as db:
            yield db

    def add_session(self, session: Session) -> None:
        with self._changing() as db:
            db.execute(
                _SESSIONS.insert().values(
                    id=session.id,
                    nonce=session.nonce,
                    tee=session.tee,
                    hash_algorithm=session.hash_algorithm,
                    created=int(session.created.timestamp()),
                    expires=int(session.expires.timestamp()),
                    state=session.state.value,
                )
            )

    def session(self, session_id: str) -> Session | None:
        with self._reading() as db:
            row = db.execute(sa.select(_SESSIONS).where(_SESSIONS.c.id == session_id)).first()
        if row is None:
            return None
        return Session(
            id=row.id,
            nonce=row.nonce,
            tee=row.tee,
            hash_algorithm=row.hash_algorithm,
            created=_moment(row.created),
            expires=_moment(row.expires),
            state=SessionState(row.state),
            tee_pubkey=json.loads(row.tee_pubkey) if row.tee_pubkey else None,
            claims=json.loads(row.claims) if row.claims else None,
        )

    def spend_session(self, session_id: str) -> bool:
        with self._changing() as db:
            done = db.execute(
                _SESSIONS.update()
                .where(_SESSIONS.c.id == session_id, _SESSIONS.c.state == SessionState.OPEN.value)
                .values(state=SessionState.SPENT.value)
            )
            return done.rowcount == 1

    def attest_session(
        self, session_id: str, tee_pubkey: Mapping[str, Any], claims: Mapping[str, Any], expires: datetime
    ) -> None:
        with self._changing() as db:
            db.execute(
                _SESSIONS.update()
                .where(_SESSIONS.c.id == session_id, _SESSIONS.c.state == SessionState.SPENT.value)
                .values(
                    state=SessionState.ATTESTED.value,
                    tee_pubkey=json.dumps(tee_pubkey),
                    claims=json.dumps(claims),
                    expires=int(expires.timestamp()),
                )
            )

    def drop_expired_sessions(self, now: datetime) -> None:
        with self._changing() as db:
            db.execute(_SESSIONS.delete().where(_SESSIONS.c.expires < int(now.timestamp())))

    def objects(self) -> tuple[HeldObject, ...]:
        columns = (_OBJECTS.c.kind, _OBJECTS.c.name, _OBJECTS.c.digest, _OBJECTS.c.plan)
        with self._reading() as db:
            rows = db.execute(sa.select(*columns).order_by(_OBJECTS.c.kind, _OBJECTS.c.name)).all()
        return tuple(HeldObject(*row) for row in rows)

    def object(self, kind: str, name: str) -> StoredObject | None:
        with self._reading() as db:
            row = db.execute(sa.select(_OBJECTS).where(_OBJECTS.c.kind == kind, _OBJECTS.c.name == name)).first()
        return None if row is None else _object(row)

    def objects_of(self, kind: str) -> tuple[StoredObject, ...]:
        with self._reading() as db:
            rows = db.execute(sa.select(_OBJECTS).where(_OBJECTS.c.kind == kind).order_by(_OBJECTS.c.name)).all()
        return tuple(_object(row) for row in rows)

    def version(self) -> StateVersion:
        with self._reading() as db:
            row = db.execute(sa.select(_STATE)).one()
        return StateVersion(row.version, row.digest)

    def stage(self, change: Change, becomes: StateVersion) -> None:
        stored = change.stored
        with self._changing() as db:
            db.execute(_STAGED.delete())
            db.execute(
                _STAGED.insert().values(
                    id=1,
                    kind=change.kind,
                    name=change.name,
                    digest=stored.digest if stored else None,
                    value=json.dumps(stored.value) if stored else None,
                    plan=stored.plan if stored else None,
                    version=becomes.version,
                    state_digest=becomes.digest,
                )
            )

    def staged(self) -> tuple[Change, StateVersion] | None:
        with self._reading() as db:
            row = db.execute(sa.select(_STAGED)).first()
        if row is None:
            return None
        stored = _object(row) if row.value is not None else None
        return Change(row.kind, row.name, stored), StateVersion(row.version, row.state_digest)

    def take_over(self) -> None:
        found = self.staged()
        if found is None:
            return
        change, becomes = found
        with self._changing() as db:
            db.execute(_OBJECTS.delete().where(_OBJECTS.c.kind == change.kind, _OBJECTS.c.name == change.name))
            if change.stored is not None:
                db.execute(
                    _OBJECTS.insert().values(
                        kind=change.kind,
                        name=change.name,
                        digest=change.stored.digest,
                        value=json.dumps(change.stored.value),
                        plan=change.stored.plan,
                    )
                )
            db.execute(_STATE.update().values(version=becomes.version, digest=becomes.digest))
            db.execute(_STAGED.delete())

    def drop_staged(self) -> None:
        with self._changing() as db:
            db.execute(_STAGED.delete())

    def seen_plans(self) -> tuple[str, ...]:
        with self._reading() as db:
            return tuple(db.execute(sa.select(_PLANS.c.digest).order_by(_PLANS.c.sequence)).scalars())

    def remember_plan(self, digest: str, envelope: bytes, now: datetime) -> None:
        with self._changing() as db:
            db.execute(_PLANS.delete().where(_PLANS.c.digest == digest))
            db.execute(_PLANS.insert().values(digest=digest, envelope=envelope, accepted=int(now.timestamp())))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """The database's errors as ours; SQLAlchemy's own texts hold the statement's values, which are nobody's to read."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        reason = error.orig if isinstance(error, sa.exc.DBAPIError) else type(error).__name__
        raise OperatorError(
            "QNSP-KBS-021",
            f"the broker's store cannot be read or written: {reason}",
            next_step="make room, or see to the database; the broker goes on from there by itself",
        ) from None


def _sqlite_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


__all__ = ["SqlStore"]
