"""Fetches collateral from vendors into a content-addressed cache, and lays it out as a folder or a bundle for an air gap.

The cache holds each answer once, by the SHA-256 of its bytes, and an index by address. What is fetched is not believed: the verifier checks
it like collateral from anywhere; but an answer must be what was asked for, so that an error page is not kept for a day. No redirects are
followed; an answer is at most 16 MiB and comes within two minutes; 429 and 503 are asked again at most three times, and never
before the time that the vendor named.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import secrets
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

import httpx

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.collateral_edge import MAX_BYTES, MAX_FILES, read_folder
from qnsp_policy.kernel.attestation.collateral_times import window_of
from qnsp_policy.kernel.attestation.needs import Need
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object, timestamp

FORMAT: Final = "qnsp.collateral/v1"
MANIFEST: Final = "manifest.json"
_HIDDEN_MANIFEST: Final = ".manifest.json"
_MAX_ANSWER: Final = 16 * 1024 * 1024
_ATTEMPTS: Final = 3
_LONGEST_WAIT: Final = 10.0
_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_DEADLINE: Final = 120.0
_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": "qnsp-policy"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """One file of collateral: its name, bytes, and where it came from."""

    name: str
    data: bytes
    url: str
    fetched: datetime
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of answers by content; `max_age` in seconds before an answer is asked for again even though it still holds."""

    root: Path
    max_age: float = 86400.0

    def get(self, key: str, name: str, now: datetime) -> tuple[Fetched, ...]:
        """The files of an address that are whole, young enough and still in their window; else none."""
        try:
            entry = json.loads((self.root / "index" / f"{_sha256(key.encode())}.json").read_bytes())
            fetched = datetime.fromisoformat(entry["fetched"])
            found = tuple(
                Fetched(one["name"], self._blob(one["sha256"]), entry["url"], fetched, cached=True)
                for one in entry["files"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return ()
        age = (now - fetched).total_seconds()
        whole = bool(found) and found[0].name == name and 0 <= age <= self.max_age
        fresh = all(window_of(one.name, one.data).state(now) in {"valid", "unknown"} for one in found)
        return found if whole and fresh else ()

    def put(self, key: str, files: Iterable[Fetched]) -> None:
        """Keeps the files of an address; each write is whole or not at all."""
        listed = list(files)
        for one in listed:
            _write(self.root / "blobs" / _sha256(one.data), one.data)
        entry = {
            "url": listed[0].url,
            "fetched": timestamp(listed[0].fetched),
            "files": [{"name": one.name, "sha256": _sha256(one.data)} for one in listed],
        }
        _write(self.root / "index" / f"{_sha256(key.encode())}.json", json.dumps(entry, indent=2).encode())

    def _blob(self, digest: str) -> bytes:
        data = (self.root / "blobs" / str(PurePosixPath(digest).name)).read_bytes()
        if _sha256(data) != digest:
            raise ValueError("the cache holds other bytes than it says")
        return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    part.write_bytes(data)
    part.replace(path)


def fetch(
    needs: Iterable[Need],
    *,
    now: datetime,
    cache: Cache | None = None,
    transport: httpx.BaseTransport | None = None,
    wait: Callable[[float], None] = time.sleep,
    seconds: float = _DEADLINE,
) -> tuple[Fetched, ...]:
    """Every file that is needed, from the cache where it still holds.

    Args:
        needs: what to ask for.
        now: the time of the run.
        cache: where answers are kept; None asks for each.
        transport: instead of the network.
        wait: sleeps for so many seconds.
        seconds: for one answer, from the request to its last byte.

    Raises:
        OperatorError: QNSP-OPS-100 a vendor does not answer, -101 answers with an error, -102 with something else than was asked for.
    """
    found: list[Fetched] = []
    with httpx.Client(timeout=_TIMEOUT, headers=_HEADERS, transport=transport) as client:
        for need in needs:
            key = f"{need.url} {_sha256(need.body)}"
            files = cache.get(key, need.name, now) if cache else ()
            if not files:
                files = _answer(client, need, now, wait, seconds)
                if cache:
                    cache.put(key, files)
            found += files
    return tuple(found)


def _answer(
    client: httpx.Client, need: Need, now: datetime, wait: Callable[[float], None], seconds: float
) -> tuple[Fetched, ...]:
    headers, body = _ask(client, need, wait, seconds)
    data = _rim(need, body) if need.form == "rim" else body
    if not data:
        raise OperatorError("QNSP-OPS-102", f"{need.url} answered with nothing", subject=need.name)
    files = [Fetched(need.name, data, need.url, now)]
    if need.chain_header:
        chain = headers.get(need.chain_header)
        if not chain:
            raise OperatorError(
                "QNSP-OPS-102", f"{need.url} answered without the header {need.chain_header}", subject=need.name
            )
        files.append(Fetched(f"{need.name}.issuer-chain", chain.encode(), need.url, now))
    for one, wanted in zip(files, (need.what, "certificates"), strict=False):
        got = window_of(one.name, one.data).what
        if got != wanted:
            raise OperatorError(
                "QNSP-OPS-102",
                f"{need.url} answered with something else than was asked for",
                subject=one.name,
                expected=wanted,
                got="an HTML page" if one.data.lstrip()[:1] == b"<" and got != "RIM" else got,
                next_step="see what stands at that address: a login page of the network, or another service",
            )
    return tuple(files)


def _ask(
    client: httpx.Client, need: Need, wait: Callable[[float], None], seconds: float
) -> tuple[httpx.Headers, bytes]:
    for attempt in range(_ATTEMPTS):
        try:
            request = client.build_request(
                "POST" if need.body else "GET", need.url, content=need.body or None, headers=dict(need.headers)
            )
            response = client.send(request, stream=True)
            try:
                body = _limited(response, need, time.monotonic() + seconds)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OperatorError(
                "QNSP-OPS-100",
                f"{need.url} does not answer: {type(error).__name__}",
                subject=need.name,
                next_step="check the network, or name another --endpoint; behind an air gap carry a bundle in",
            ) from error
        if response.status_code not in {429, 503} or attempt == _ATTEMPTS - 1:
            break
        pause = _pause(response.headers.get("retry-after", ""), attempt)
        if pause > _LONGEST_WAIT:
            raise OperatorError(
                "QNSP-OPS-101",
                f"{need.url} answered {response.status_code}: it asks for {pause:.0f} s of patience",
                subject=need.name,
                next_step=f"fetch again in {pause:.0f} s; what came before is in the cache",
            )
        wait(pause)
    if response.status_code != 200:
        raise OperatorError(
            "QNSP-OPS-101",
            f"{need.url} answered {response.status_code}",
            subject=need.name,
            next_step="the vendor has nothing for this evidence there, or asks to be called less often",
        )
    return response.headers, body


def _pause(stated: str, attempt: int) -> float:
    """How long to wait: what the vendor says, in seconds or as a date (RFC 9110 section 10.2.3), else longer each time."""
    if stated.isdigit():
        return float(stated[:9])
    try:
        until = parsedate_to_datetime(stated).timestamp() if stated else 0.0
    except ValueError:
        until = 0.0
    return max(2.0**attempt, until - time.time())


def _limited(response: httpx.Response, need: Need, deadline: float) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise OperatorError("QNSP-OPS-102", f"{need.url} answered compressed, unasked", subject=need.name)
    data = bytearray()
    for part in response.iter_bytes():
        data += part
        if time.monotonic() > deadline:
            raise OperatorError("QNSP-OPS-100", f"{need.url} does not end its answer", subject=need.name)
        if len(data) > _MAX_ANSWER:
            raise OperatorError(
                "QNSP-OPS-102", f"{need.url} answered with more than {_MAX_ANSWER} bytes", subject=need.name
            )
    return bytes(data)


def _rim(need: Need, body: bytes) -> bytes:
    """The RIM within the service's JSON; its digest must be the stated one."""
    if body.lstrip()[:1] == b"<":
        return body
    try:
        value = parse_object(body)
        data = base64.b64decode(str(value["rim"]), validate=True)
    except (CanonicalJsonError, KeyError, binascii.Error) as error:
        raise OperatorError("QNSP-OPS-102", f"{need.url} answered with no RIM", subject=need.name) from error
    stated = value.get("sha256")
    if stated is not None and str(stated).lower() != _sha256(data):
        raise OperatorError(
            "QNSP-OPS-102", f"the RIM of {need.url} is not that of its stated digest", subject=need.name
        )
    return data


def manifest(files: Mapping[str, bytes], about: Mapping[str, Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    """What a folder or bundle holds: name, size, digest, window, and for fetched files address and time."""
    listed = []
    for name, data in sorted(files.items()):
        window = window_of(name, data)
        entry: dict[str, Any] = {"name": name, "bytes": len(data), "sha256": _sha256(data), "what": window.what}
        if window.begins:
            entry["begins"] = timestamp(window.begins)
        if window.ends:
            entry["ends"] = timestamp(window.ends)
        listed.append(entry | dict(about.get(name, {})))
    return {"format": FORMAT, "made": timestamp(now), "files": listed}


def write_folder(folder: Path, fetched: Iterable[Fetched], now: datetime) -> dict[str, Any]:
    """Writes files and their manifest (hidden: it is no collateral); returns the manifest."""
    files: dict[str, bytes] = {}
    about: dict[str, dict[str, Any]] = {}
    for one in fetched:
        files[one.name] = one.data
        about[one.name] = {"url": one.url, "fetched": timestamp(one.fetched)}
        _write(folder / one.name, one.data)
    found = manifest(files, about, now)
    _write(folder / _HIDDEN_MANIFEST, json.dumps(found, indent=2).encode() + b"\n")
    return found


def pack(folder: Path, bundle: Path, now: datetime) -> dict[str, Any]:
    """A tar of a folder with its manifest first; the same folder gives the same bytes but for the time in the manifest."""
    files = read_folder(folder)
    about: dict[str, dict[str, Any]] = {}
    try:
        kept = json.loads((folder / _HIDDEN_MANIFEST).read_bytes())
        about = {one["name"]: {k: one[k] for k in ("url", "fetched") if k in one} for one in kept["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        about = {}
    found = manifest(files, about, now)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in ((MANIFEST, json.dumps(found, indent=2).encode() + b"\n"), *sorted(files.items())):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o644, 0
            archive.addfile(member, io.BytesIO(data))
    _write(bundle, buffer.getvalue())
    return found


def unpack(bundle: Path, folder: Path) -> dict[str, Any]:
    """Lays a bundle out once every file is what the manifest says, and nothing else is in it.

    Raises:
        OperatorError: QNSP-OPS-103.
    """

    def refuse(why: str) -> OperatorError:
        return OperatorError("QNSP-OPS-103", f"{bundle} is no whole bundle of collateral: {why}", subject=str(bundle))

    if bundle.stat().st_size > MAX_BYTES + 16 * 1024 * 1024:
        raise refuse("too large")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(bundle, "r:") as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts
                if not member.isreg() or not parts or ".." in parts or parts[0] == "/" or member.name in files:
                    raise refuse(f"a member is no plain file of its own: {member.name[:80]!r}")
                if len(files) > MAX_FILES or member.size > MAX_BYTES:
                    raise refuse("too many files, or one too large")
                stream = archive.extractfile(member)
                files[member.name] = stream.read() if stream else b""
    except tarfile.TarError as error:
        raise refuse(str(error)) from error
    try:
        found = parse_object(files.pop(MANIFEST, b""))
        stated = {str(one["name"]): str(one["sha256"]) for one in found["files"]}
    except (CanonicalJsonError, KeyError, TypeError) as error:
        raise refuse("no manifest") from error
    if found.get("format") != FORMAT or stated != {name: _sha256(data) for name, data in files.items()}:
        raise refuse("the files are not those of the manifest")
    for name, data in files.items():
        _write(folder / name, data)
    _write(folder / _HIDDEN_MANIFEST, json.dumps(found, indent=2).encode() + b"\n")
    return found


__all__ = ["FORMAT", "Cache", "Fetched", "fetch", "manifest", "pack", "unpack", "write_folder"]
