"""A workspace of a thousand applied local resources, read back for real: `plan` without changes, beside `tofu plan` without changes.

The quickstart without its endpoint, with so many more sealed datasets of one tenant: each is a sealed key and a release policy at
a real broker. `python -m tests.benchmarks.applied_bench 1000`: everything through the command line, from `init` to `destroy`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.pipeline.model import Address
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.workflows.keys import signer_of
from qnsp_policy.workflows.sealing import seal_file
from qnsp_policy.workflows.signing import sign_addresses

TENANT, TIER, PUBLISHER, OWNER = "research", "CryptoTier/hip5-tier-1", "lab@research.example", "bob@clinic.example"


def command(root: Path, *words: str) -> list[str]:
    """A line of ours in a workspace."""
    return [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(root), "--format", "json", *words]


def run(root: Path, *words: str, expected: Sequence[int] = (0,)) -> Any:
    """Run it; its JSON."""
    done = subprocess.run(command(root, *words), capture_output=True, text=True, check=False)
    if done.returncode not in expected:
        raise SystemExit(f"{words}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def workspace(root: Path, resources: int) -> None:
    """Write and sign the documents."""
    subprocess.run(command(root, "init", "--template", "quickstart", str(root)), check=True, capture_output=True)
    (root / "endpoints.yaml").unlink()
    broker = next(d for d in _documents(root / "platform.yaml") if d["kind"] == "KeyBroker")
    unwrap = PublicKey.from_jwk(broker["spec"]["identity"]["unwrap"])
    plaintext = root / ".qnsp" / "record"
    names = [f"record-{number:05}" for number in range(resources // 2)]
    artefacts = []
    for name in names:
        plaintext.write_bytes(name.encode())
        sealed, key = root / "artefacts" / f"{name}.sealed", root / "artefacts" / f"{name}.key.json"
        made = seal_file(plaintext, sealed, key, broker=unwrap, resource=f"{TENANT}/data/{name}", version=1, tier=TIER)
        spec = {
            "type": "dataset",
            "tenant": f"Tenant/{TENANT}",
            "location": f"artefacts/{name}.sealed",
            "digest": made.digest,
            "plaintextDigest": made.plaintext_digest,
            "encryption": {
                "key": f"{TENANT}/data/{name}",
                "version": 1,
                "wrappedKey": f"artefacts/{name}.key.json",
            },
            "publisher": PUBLISHER,
        }
        artefacts.append({"apiVersion": "qnsp.policy/v1", "kind": "Artefact", "metadata": {"name": name}, "spec": spec})
    _write(root / "records.yaml", artefacts)
    hierarchies = _documents(root / "keys.yaml")
    for document in hierarchies:
        if document["metadata"]["name"] == TENANT:
            like = document["spec"]["keys"][0]
            document["spec"]["keys"] += [{**like, "name": f"data/{name}"} for name in names]
    _write(root / "keys.yaml", hierarchies)
    grants = _documents(root / "grants.yaml")
    for document in grants:
        if document["metadata"]["name"].startswith(TENANT):
            document["spec"]["resources"] += [f"{TENANT}/data/{name}" for name in names]
            changed = document["metadata"]["name"]
    _write(root / "grants.yaml", grants)
    (root / "signatures" / f"Grant.{changed}.dsse.json").unlink()
    loaded = load(root)
    sign_addresses(root, loaded, [Address(f"Artefact/{name}") for name in names], signer_of(root, PUBLISHER))
    sign_addresses(root, loaded, [Address(f"Grant/{changed}")], signer_of(root, OWNER))


@contextmanager
def applied(resources: int) -> Iterator[tuple[Path, int, int]]:
    """The workspace planned, approved and applied, destroyed at the end; with its numbers of units and resources."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    root = folder / "lab"
    try:
        workspace(root, resources)
        made = run(root, "plan", "--save", str(root / "one.plan"), expected=(0, 3))["plan"]
        run(root, "approve", str(root / "one.plan"), "--as", "alice", "--yes", expected=(0, 4))
        run(root, "approve", str(root / "one.plan"), "--as", "bob", "--yes")
        run(root, "apply", str(root / "one.plan"))
        yield root, len(made["units"]), sum(len(action["steps"]) for action in made["actions"])
    finally:
        run(root, "destroy", "--approve-as", "bob", "--save", str(root / "end.plan"), expected=range(256))
        shutil.rmtree(folder, ignore_errors=True)


def _documents(file: Path) -> list[Any]:
    return list(yaml.safe_load_all(file.read_text()))


def _write(file: Path, documents: Sequence[Any]) -> None:
    file.write_text(yaml.safe_dump_all(documents, sort_keys=False))


def main() -> None:
    """Apply once, plan again, say how long each took."""
    import time

    resources = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    started = time.perf_counter()
    with applied(resources) as (root, units, steps):
        sys.stdout.write(
            f"applied {steps} resources in {units} units; everything took {time.perf_counter() - started:.1f} s\n"
        )
        for _ in range(3):
            started = time.perf_counter()
            said = run(root, "plan", "--detailed-exitcode", expected=(0, 2, 3))
            changes = [action["unit"] for action in said["plan"]["actions"] if action["op"] != "no-op"]
            sys.stdout.write(f"plan without changes {time.perf_counter() - started:.2f} s, changes: {changes}\n")


if __name__ == "__main__":
    main()
