"""An own workspace begins with an empty folder, a TrustRoot to recognise, and values that simulated hardware will measure."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.simulator import measure
from qnsp_policy.testing.generator import generated_files
from qnsp_policy.workflows.attest_simulated import simulated_values
from qnsp_policy.workflows.init import GITIGNORE
from qnsp_policy.workflows.init_bare import prepare, trust_root

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


def own(folder: Path) -> Path:
    """A small workspace whose first enclave's image is there."""
    for name, data in generated_files(12, files=1).items():
        (folder / name).write_bytes(data)
    (folder / "artefacts").mkdir()
    (folder / "artefacts/guest-00000.tar").write_bytes(b"image one")
    return folder


def test_the_trust_root_is_shown_whole(tmp_path: Path) -> None:
    """Whoever adopts a TrustRoot sees every identity with its roles, and the digest changes with them."""
    folder = own(tmp_path)
    shown = trust_root(folder)
    assert {"alice@clinic.example", "bob@clinic.example"} <= {identity["name"] for identity in shown["identities"]}
    path = folder / "trust-root.yaml"
    path.write_text(path.read_text().replace("tenant-owner", "auditor", 1))
    assert trust_root(folder)["digest"] != shown["digest"]


def test_simulated_values_follow_the_image(tmp_path: Path) -> None:
    """The measurement is that of the image the member runs; hostData is of its initdata and stays."""
    folder = own(tmp_path)
    before = simulated_values(folder, "enclave-00000", now=NOW)["measurements"]
    assert before["measurement"] == measure(b"image one", 2, "console=ttyS0 quiet").hex()
    (folder / "artefacts/guest-00000.tar").write_bytes(b"image two")
    after = simulated_values(folder, "Enclave/enclave-00000", now=NOW)["measurements"]
    assert after["measurement"] != before["measurement"]
    assert after["hostData"] == before["hostData"]
