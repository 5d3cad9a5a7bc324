"""State in a bucket: `s3://BUCKET/PREFIX?region=...` backends, of AWS or of a server that speaks its protocol.

A conditional write is the server's own (`If-Match`, `If-None-Match: *` of PutObject). A server that ignores conditions
would let two applies win, so the first conditional write of a process proves that this one does not. Query members are
those of Pulumi's own S3 backend: region, endpoint, profile, disableSSL, s3ForcePathStyle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.world.backend import ABSENT, Absent, Conflict, check_key

_ABSENT_CODES = frozenset({"NoSuchKey", "404", "NotFound"})
_CONFLICT_CODES = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_PROOF = "conditions.txt"
_REACH = "see that the bucket exists and credentials reach it"
_NEW_CREDENTIALS = (
    "knows these credentials no more or not yet",
    "take new credentials (`aws sso login`, a new role session)",
)
_REFUSALS = {
    "AccessDenied": ("denies access", "let this identity get, put, list and delete objects under the prefix"),
    "403": ("denies access", "let this identity get, put, list and delete objects under the prefix"),
    "InvalidAccessKeyId": _NEW_CREDENTIALS,
    "SignatureDoesNotMatch": _NEW_CREDENTIALS,
    "ExpiredToken": _NEW_CREDENTIALS,
    "RequestTimeTooSkewed": ("says that this machine's clock is wrong", "set the clock"),
    "NoSuchBucket": ("has no such bucket", "make the bucket, or name another in `backend.url`"),
    "SlowDown": ("asks for patience", "wait"),
    "ServiceUnavailable": ("is not available", "wait until it is"),
    "503": ("is not available", "wait until it is"),
}
_NO_ANSWER = {
    "NoCredentialsError": "give credentials as for every AWS tool (environment, profile, role)",
    "EndpointConnectionError": "see that the server runs and can be reached",
    "ConnectTimeoutError": "see that the server runs and can be reached",
    "ReadTimeoutError": "see that the server answers",
}


class S3Backend:
    """A prefix of a bucket as state store: ours below `<prefix>/qnsp`, Pulumi's own below `<prefix>/pulumi`.

    Args:
        url: of the Project.
        client: boto3's S3 client; made from the environment's credentials if nothing is given.

    Raises:
        OperatorError: QNSP-ENG-016, the URL names no bucket or boto3 is not installed.
    """

    def __init__(self, url: str, *, client: Any = None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise OperatorError("QNSP-ENG-016", f"{url} names no bucket", subject=url, next_step="s3://BUCKET/PREFIX")
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._query = parts.query
        self._client = client if client is not None else _client({k: v[-1] for k, v in parse_qs(parts.query).items()})
        self._proven = False

    @property
    def url(self) -> str:
        """The URL that Pulumi is given."""
        return f"s3://{self._bucket}/{self._joined('pulumi')}" + (f"?{self._query}" if self._query else "")

    def get(self, key: str) -> tuple[bytes, str] | None:
        return self._read(self._key(key))

    def put(self, key: str, data: bytes, *, if_match: str | Absent | None = None) -> str:
        name = self._key(key)
        if if_match is not None:
            self._prove()
        try:
            return self._write(name, data, if_match)
        except Conflict:
            # An answer that was lost made the client repeat a write that had succeeded.
            present = self._read(name)
            if present is not None and present[0] == data:
                return present[1]
            raise Conflict(key) from None

    def list(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        root = self._joined("qnsp") + "/"
        return sorted(name.removeprefix(root) for name in self._names(root + prefix) if not name.endswith(_PROOF))

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        name = self._key(key)
        if if_match is not None:
            present = self._read(name)
            if present is None or present[1] != if_match:
                raise Conflict(key)
        with self._as_ours():
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def files(self) -> Mapping[str, bytes]:
        """Everything below the prefix, ours and Pulumi's, by name relative to it."""
        root = f"{self._prefix}/" if self._prefix else ""
        found = {}
        for name in self._names(root):
            present = self._read(name)
            if present is not None and not name.endswith(_PROOF):
                found[name.removeprefix(root)] = present[0]
        return found

    def put_files(self, files: Mapping[str, bytes]) -> None:
        """Write what `files` gave."""
        for name, data in files.items():
            self._write(self._joined(name), data, None)

    def drop_files(self, folder: str) -> None:
        for name in self._names(self._joined(f"{folder}/")):
            with self._as_ours():
                self._client.delete_object(Bucket=self._bucket, Key=name)

    def drop_scratch(self) -> None:
        """Nothing: an object is there whole or not at all."""

    def _joined(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _key(self, key: str) -> str:
        return self._joined(f"qnsp/{check_key(key)}")

    def _names(self, prefix: str) -> Sequence[str]:
        with self._as_ours():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return [str(item["Key"]) for page in pages for item in page.get("Contents", ())]

    def _read(self, name: str) -> tuple[bytes, str] | None:
        with self._as_ours():
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=name)
                return found["Body"].read(), str(found["ETag"])
            except _client_error() as error:
                if _code(error) in _ABSENT_CODES:
                    return None
                raise

    def _write(self, name: str, data: bytes, if_match: str | Absent | None) -> str:
        condition: dict[str, str] = {}
        if if_match is ABSENT:
            condition["IfNoneMatch"] = "*"
        elif isinstance(if_match, str):
            condition["IfMatch"] = if_match
        with self._as_ours():
            try:
                return str(self._client.put_object(Bucket=self._bucket, Key=name, Body=data, **condition)["ETag"])
            except _client_error() as error:
                absent = _code(error) in _ABSENT_CODES and isinstance(if_match, str)
                if absent or _code(error) in _CONFLICT_CODES:
                    raise Conflict(name) from error
                raise

    def _prove(self) -> None:
        if self._proven:
            return
        name = self._key(_PROOF)
        self._write(name, b"this server must refuse a conditional write that does not hold\n", None)
        wrong: tuple[str | Absent, ...] = (ABSENT, '"00000000000000000000000000000000"')
        for condition in wrong:
            with contextlib.suppress(Conflict):
                self._write(name, b"this server ignores conditions\n", condition)
                raise OperatorError(
                    "QNSP-ENG-015",
                    f"the server of s3://{self._bucket} ignores conditions on writes, so two applies could run at once",
                    subject=self._bucket,
                    next_step="use a server with conditional writes (If-Match on PutObject), or a file:// backend",
                )
        self._proven = True

    @contextlib.contextmanager
    def _as_ours(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 -- only with a bucket

        try:
            yield
        except _client_error() as error:
            why = _REFUSALS.get(_code(error), ("refuses", _REACH))
            raise self._unusable(f"the server {why[0]} ({_code(error)})", why[1]) from error
        except BotoCoreError as error:
            raise self._unusable(str(error), _NO_ANSWER.get(type(error).__name__, _REACH)) from error

    def _unusable(self, why: str, next_step: str) -> OperatorError:
        return OperatorError(
            "QNSP-ENG-014",
            f"state at s3://{self._bucket}/{self._prefix}: {why}",
            subject=self._bucket,
            next_step=f"{next_step}, and run the command again; nothing was lost",
        )


def _client(query: Mapping[str, str]) -> Any:
    try:
        import boto3
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as error:
        raise OperatorError(
            "QNSP-ENG-016", "an s3:// backend needs boto3", next_step="pip install 'qnsp-policy[aws]'"
        ) from error
    plain = query.get("disableSSL") == "true"
    endpoint = query.get("endpoint")
    if endpoint is not None and "://" not in endpoint:
        endpoint = f"{'http' if plain else 'https'}://{endpoint}"
    style = "path" if query.get("s3ForcePathStyle") == "true" else "auto"
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard"}, s3={"addressing_style": style})
    try:
        session = boto3.session.Session(profile_name=query.get("profile"), region_name=query.get("region"))
        return session.client("s3", endpoint_url=endpoint, use_ssl=not plain, config=config)
    except (BotoCoreError, ValueError) as error:
        raise OperatorError(
            "QNSP-ENG-016",
            f"an s3:// backend cannot be used so: {error}",
            next_step="put right the profile, region or endpoint in the URL, in AWS_* variables or in ~/.aws",
        ) from error


def _client_error() -> type[Exception]:
    from botocore.exceptions import ClientError  # noqa: PLC0415

    found: type[Exception] = ClientError
    return found


def _code(error: Exception) -> str:
    response: Mapping[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


__all__ = ["S3Backend"]
