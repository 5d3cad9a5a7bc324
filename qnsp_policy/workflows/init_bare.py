"""`init --template bare`: an empty workspace, ready for documents of one's own; and what its first TrustRoot says.

Nothing is declared and nobody is trusted yet: no document, no key of a person, no genesis record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.pipeline.model.schema import json_schema
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.workflows.init_folder import new_folder
from qnsp_policy.workflows.progress import Progress

ANCHOR = "simulator-ark.pem"


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

    with new_folder(directory) as making:
        if making is None:
            progress("an earlier init had made everything here; it is moved into its place")
        else:
            progress("making the simulated vendor's certificates (they prove nothing)")
            (making / ".qnsp").mkdir(mode=0o700)
            (making / "artefacts").mkdir()
            write_passphrase(making)
            (making / ".gitignore").write_text(gitignore, encoding="utf-8")
            (making / ".qnsp/schema.json").write_text(json.dumps(json_schema()) + "\n", encoding="utf-8")
            pki = make_pki(making / ".qnsp/sim/pki", product="Milan", now=now)
            (making / ANCHOR).write_text(pki.ark_pem, encoding="utf-8")
    return Bare(
        str(directory),
        (
            f"wrote {directory}/.qnsp (state, keys and a passphrase; never in git), the schema for editors, and {ANCHOR}",
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
