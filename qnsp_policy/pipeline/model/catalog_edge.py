"""The shipped catalog, read once and typed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from qnsp_policy.catalog.files_edge import catalog_files
from qnsp_policy.errors import DocumentError, DocumentErrors
from qnsp_policy.pipeline.documents import SourceDocument, parse
from qnsp_policy.pipeline.model.kinds import Document
from qnsp_policy.pipeline.model.read import read_document
from qnsp_policy.pipeline.model.scalars import Address


@lru_cache(maxsize=1)
def shipped_catalog() -> Mapping[Address, tuple[SourceDocument, Document]]:
    """Every shipped document with its source.

    Raises:
        DocumentErrors: the installation is damaged.
    """
    problems: list[DocumentError] = []
    catalog: dict[Address, tuple[SourceDocument, Document]] = {}
    for file, data in catalog_files().items():
        parsed = parse(f"catalog/{file}", data)
        problems.extend(parsed.problems)
        for source in parsed.documents:
            document = read_document(source, problems)
            if document is not None:
                catalog[document.address] = (source, document)
    if problems:
        raise DocumentErrors(problems)
    return MappingProxyType(dict(sorted(catalog.items())))


__all__ = ["shipped_catalog"]
