"""`init --template bare`: an empty workspace, ready for documents of one's own; and what its first TrustRoot says.

Nothing is declared and nobody is trusted yet: no document, no key of a person, no genesis record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model.schema import json_schema
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.workflows.progress import Progress


@dataclass(frozen=True, slots=True)
class Bare:
    """What was made: the folder, and lines for people."""

    directory: str
    wrote: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {"directory": self.directory, "wrote": list(self.wrote)}


def prepare(directory: Path, *, gitignore: str, now: datetime, progress: Progress) -> Bare:
    """Make what every workspace needs beside its documents; the simulated vendor is there for a `local` platform.

    Raises:
        OperatorError: QNSP-OPS-011, the folder is not empty.
    """
    from qnsp_policy.simulator import make_pki
    from qnsp_policy.workflows.init import write_passphrase

    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise OperatorError(
            "QNSP-OPS-011",
            f"{directory} exists and is not empty; init writes into new or empty folders only",
            subject=str(directory),
            next_step="name another folder",
        )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".qnsp").mkdir(mode=0o700)
    (directory / "artefacts").mkdir()
    write_passphrase(directory)
    (directory / ".gitignore").write_text(gitignore, encoding="utf-8")
    (directory / ".qnsp/schema.json").write_text(json.dumps(json_schema()) + "\n", encoding="utf-8")
    progress("making the simulated vendor's certificates (they prove nothing)")
    anchor = directory / "simulator-ark.pem"
    anchor.write_text(make_pki(directory / ".qnsp/sim/pki", product="Milan", now=now).ark_pem, encoding="utf-8")
    return Bare(
        str(directory),
        (
            f"wrote {directory}/.qnsp (state, keys and a passphrase; never in git), the schema for editors, and {anchor.name}",
            "The certificate is the anchor to declare in the TrustRoot if a platform is simulated; delete it otherwise.",
        ),
    )


def trust_root(root: Path) -> dict[str, Any]:
    """Digest and members of the TrustRoot that the documents name, for a person to recognise before adopting it."""
    value = trust_root_value(load(root))
    return {
        "digest": value.digest,
        "version": value.version,
        "identities": [
            {
                "name": identity.name,
                "roles": sorted(identity.roles),
                "signers": [signer.type for signer in identity.signers],
            }
            for identity in value.identities.values()
        ],
    }


__all__ = ["Bare", "prepare", "trust_root"]
