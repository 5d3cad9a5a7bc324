"""An own workspace begins with an empty folder, a TrustRoot to recognise, and values that simulated hardware will measure."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.workflows.init import GITIGNORE
from qnsp_policy.workflows.init_bare import prepare

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def test_bare_makes_no_document_and_trusts_nobody(tmp_path: Path) -> None:
    """State, schema and the simulated vendor are there; no document, no key of a person, no genesis record."""
    folder = tmp_path / "shop"
    made = prepare(folder, gitignore=GITIGNORE, now=NOW, progress=lambda _: None)
    assert made.directory == str(folder)
    assert not list(folder.glob("*.yaml"))
    assert not (folder / ".qnsp/keys").exists()
    assert not (folder / ".qnsp/state").exists()
    assert (folder / ".qnsp").stat().st_mode & 0o077 == 0
    assert (folder / ".qnsp/passphrase").stat().st_mode & 0o077 == 0
    assert (folder / "simulator-ark.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert ".qnsp/" in (folder / ".gitignore").read_text()
    before = hashlib.sha256((folder / ".qnsp/passphrase").read_bytes()).digest()
    with pytest.raises(OperatorError) as caught:
        prepare(folder, gitignore=GITIGNORE, now=NOW, progress=lambda _: None)
    assert caught.value.code == "QNSP-OPS-011"
    assert hashlib.sha256((folder / ".qnsp/passphrase").read_bytes()).digest() == before
