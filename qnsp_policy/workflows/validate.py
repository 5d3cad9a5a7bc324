"""`validate`: documents against schema and references."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.workflows.progress import Progress, by_fraction, nobody


@dataclass(frozen=True, slots=True)
class Validated:
    """A workspace without an error."""

    name: str
    files: int
    documents: int
    kinds: dict[str, int]
    digest: str

    @property
    def kinds_text(self) -> list[str]:
        return [f"{count} {kind}" for kind, count in self.kinds.items()]

    def to_json(self) -> dict[str, object]:
        return {
            "valid": True,
            "workspace": self.name,
            "files": self.files,
            "documents": self.documents,
            "kinds": self.kinds,
            "documentsDigest": self.digest,
            "errors": [],
        }


def validate(root: Path, progress: Progress = nobody) -> Validated:
    """Read and build the workspace.

    Raises:
        DocumentErrors: every problem of all its files.
    """
    workspace = load(root, by_fraction(progress, "reading the documents"))
    kinds = Counter(document.kind for document in workspace.documents.values())
    files = {workspace.sources[address].file for address in workspace.documents}
    return Validated(
        workspace.project.metadata.name,
        len(files),
        len(workspace.documents),
        dict(sorted(kinds.items())),
        workspace.digest(),
    )


__all__ = ["Validated", "validate"]
