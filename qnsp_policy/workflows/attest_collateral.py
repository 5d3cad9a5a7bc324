"""`attest collateral fetch|bundle|status`: what verification needs, fetched, carried, and watched for its end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.collateral_edge import read_folder
from qnsp_policy.kernel.attestation.collateral_times import window_of
from qnsp_policy.kernel.attestation.encodings import MAX_FILE, decode, named
from qnsp_policy.kernel.attestation.fetch_edge import Cache, fetch, manifest, pack, unpack, write_folder
from qnsp_policy.kernel.attestation.inspection import recognise
from qnsp_policy.kernel.attestation.needs import ENDPOINTS, needs_of, needs_of_rim
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind
from qnsp_policy.kernel.files_edge import read_plain


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where answers of vendors are kept: the user's cache."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "qnsp-policy" / "collateral"


def fetch_collateral(
    paths: Sequence[Path],
    kind: str,
    along: Mapping[str, Path],
    endpoints: Mapping[str, str],
    out: Path,
    *,
    refresh: bool,
    now: datetime,
) -> dict[str, Any]:
    """Fetches what the evidence needs into a folder; returns its manifest with the state of each file.

    Raises:
        OperatorError: an endpoint is none of ours, the kind cannot be told, or a vendor does not answer as it should.
        EvidenceError: the evidence cannot be read.
    """
    if unknown := endpoints.keys() - ENDPOINTS.keys():
        raise OperatorError(
            "QNSP-OPS-104",
            f"there is no endpoint {', '.join(sorted(unknown))}",
            next_step=f"use one of: {', '.join(ENDPOINTS)}",
        )
    endorsements = {name: read_plain(path, MAX_FILE) for name, path in along.items()}
    addresses = {**ENDPOINTS, **endpoints}
    needs = [need for path in paths for need in needs_of(_evidence(path, kind, endorsements), addresses)]
    cache = Cache(cache_folder(os.environ), -1.0 if refresh else 86400.0)
    found = list(fetch({need.name: need for need in needs}.values(), now=now, cache=cache))
    rims = {need.name for need in needs if need.form == "rim"}
    signers = [need for one in found if one.name in rims for need in needs_of_rim(one.data, addresses)]
    found += fetch({need.name: need for need in signers}.values(), now=now, cache=cache)
    return _with_state(write_folder(out, found, now), out, now)


def _evidence(path: Path, kind: str, endorsements: Mapping[str, bytes]) -> Evidence:
    data = read_plain(path, MAX_FILE)
    wanted = None if kind == "auto" else EvidenceKind(kind)
    decoded = decode(data, wanted)
    found = wanted or decoded.kind or recognise(decoded.data)
    if found is None:
        raise OperatorError(
            "QNSP-OPS-094",
            f"the kind of {path} cannot be told from its bytes",
            subject=str(path),
            next_step=f"name it: --kind {'|'.join(EvidenceKind)}",
        )
    return Evidence(found, decoded.data, named(found, {**decoded.endorsements, **endorsements}))


def pack_bundle(folder: Path, out: Path, *, now: datetime) -> dict[str, Any]:
    """A tar of the folder with manifest and digests.

    Raises:
        OperatorError: QNSP-OPS-041, no folder, or nothing in it.
    """
    if not read_folder(folder):
        raise OperatorError(
            "QNSP-OPS-041",
            f"there is no collateral in {folder}",
            subject=str(folder),
            next_step=f"fill it: qnsp-policy attest collateral fetch EVIDENCE --out {folder}",
        )
    return _with_state(pack(folder, out, now), folder, now)


def unpack_bundle(bundle: Path, folder: Path) -> dict[str, Any]:
    """Lays a bundle out once it is whole."""
    return unpack(bundle, folder)


def collateral_status(folder: Path, *, now: datetime) -> dict[str, Any]:
    """Each file with what it is, when it ends, and its state at `now`."""
    return _with_state(manifest(read_folder(folder), {}, now), folder, now)


def _with_state(found: dict[str, Any], folder: Path, now: datetime) -> dict[str, Any]:
    files = read_folder(folder)
    listed = [{**one, "state": window_of(one["name"], files[one["name"]]).state(now)} for one in found["files"]]
    return {**found, "files": listed}


__all__ = ["cache_folder", "collateral_status", "fetch_collateral", "pack_bundle", "unpack_bundle"]
