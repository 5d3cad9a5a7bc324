"""One located document to one typed document: version, kind, then every field of its model."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from qnsp_policy.errors import DocumentError
from qnsp_policy.pipeline.documents.problems import nearest
from qnsp_policy.pipeline.documents.source import SourceDocument
from qnsp_policy.pipeline.model.explain import described, problems_of
from qnsp_policy.pipeline.model.kinds import KINDS, Document
from qnsp_policy.pipeline.model.scalars import API_VERSION


def read_document(source: SourceDocument, problems: list[DocumentError]) -> Document | None:
    """One typed document, or None with its problems added."""
    value: dict[str, Any] = source.value
    kind = value.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    version = value.get("apiVersion")
    if version != API_VERSION:
        if "apiVersion" not in value:
            problems.append(
                source.problem(
                    "QNSP-DOC-017",
                    "the field `apiVersion` is missing",
                    next_step=f"add `apiVersion: {API_VERSION}`; name files that are no documents in the Project's `exclude`",
                )
            )
        else:
            problems.append(
                source.problem(
                    "QNSP-DOC-016",
                    f"`apiVersion` is {described(version)}, which this program does not read",
                    "apiVersion",
                    next_step=f"write `apiVersion: {API_VERSION}`; name files that are no documents in the Project's `exclude`",
                )
            )
        if not isinstance(version, str) or not version.startswith("qnsp.policy/"):
            return None
    if "kind" not in value:
        problems.append(source.problem("QNSP-DOC-017", "the field `kind` is missing", next_step="add `kind:` here"))
        return None
    if model is None:
        guess = nearest(kind, KINDS) if isinstance(kind, str) else None
        problems.append(
            source.problem(
                "QNSP-DOC-015",
                f"`kind` cannot be {described(kind)}",
                "kind",
                label=f"did you mean `{guess}`?" if guess else "",
                next_step="one of: " + ", ".join(KINDS),
            )
        )
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = problems_of(error, source, model)
        problems.extend(
            p for p in found if version == API_VERSION or p.code != "QNSP-DOC-019" or "apiVersion" not in p.message
        )
        return None


__all__ = ["read_document"]
