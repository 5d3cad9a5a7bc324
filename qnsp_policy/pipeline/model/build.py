"""From parsed files to a Workspace: every document typed, every reference resolved, or every problem of all files."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase

from qnsp_policy.errors import DocumentError, DocumentErrors, Place
from qnsp_policy.pipeline.documents import SourceDocument, parse
from qnsp_policy.pipeline.documents.problems import Problem
from qnsp_policy.pipeline.model.catalog_edge import shipped_catalog
from qnsp_policy.pipeline.model.kinds import CryptoTier, Document, Project, Tenant
from qnsp_policy.pipeline.model.lattice import edges, weaker_than_parent
from qnsp_policy.pipeline.model.read import read_document
from qnsp_policy.pipeline.model.resolve import check_references
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.signature_files import sort_signatures
from qnsp_policy.pipeline.model.workspace import Workspace

ROOT_FILE = "qnsp.yaml"

_PARSED, _TYPED = 0.6, 0.85
"""Parts of the work that are done when all is parsed, and when all is typed."""


def build(
    files: Mapping[str, bytes],
    *,
    signatures: Mapping[str, bytes] | None = None,
    catalog: Mapping[Address, tuple[SourceDocument, Document]] | None = None,
    told: Callable[[float], None] | None = None,
) -> Workspace:
    """Make a Workspace of the bytes of its files.

    Args:
        files: bytes by path relative to the workspace, with forward slashes.
        signatures: bytes of `signatures/<Kind>.<name>[.<part>].dsse.json` by such a path.
        catalog: shipped documents; the package's own if nothing is given.
        told: hears now and then which part of the work is done, from 0 to 1.

    Returns:
        The workspace, with every reference resolved.

    Raises:
        DocumentErrors: every problem of all files at once.
    """
    with _collector_paused():
        shipped = shipped_catalog() if catalog is None else catalog
        problems: list[DocumentError] = []
        sources: list[SourceDocument] = []
        total, done = sum(map(len, files.values())), 0
        for file in sorted(files):
            parsed = parse(file, files[file])
            done += len(files[file])
            if told is not None:
                told(_PARSED * done / max(total, 1))
            sources.extend(parsed.documents)
            problems.extend(parsed.problems)
        excluded = _excluded(sources)
        if excluded:
            sources = [source for source in sources if not _matches(source.file, excluded)]
            problems = [
                problem for problem in problems if not problem.place or not _matches(problem.place.file, excluded)
            ]
        typed, addressed = _typed(sources, problems, told)
        project = _project(typed, addressed, files, problems)
        catalog_documents = {address: document for address, (_, document) in shipped.items()}
        check_references(typed, addressed, catalog_documents, project, problems)
        sorted_signatures = sort_signatures(signatures or {}, addressed, problems)
        if problems or project is None:
            raise DocumentErrors(problems)
        workspace = Workspace(
            project=project,
            documents=dict(sorted(typed.items())),
            catalog=catalog_documents,
            sources={address: source for address, (source, _) in shipped.items()} | addressed,
            signatures=sorted_signatures,
        )
        _check_tiers(workspace, problems)
        if problems:
            raise DocumentErrors(problems)
        return workspace


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Reading makes many objects and no garbage cycles: the cyclic collector would only walk them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _excluded(sources: list[SourceDocument]) -> tuple[str, ...]:
    for source in sources:
        if source.file == ROOT_FILE and source.value.get("kind") == "Project":
            spec = source.value.get("spec")
            patterns = spec.get("exclude") if isinstance(spec, dict) else None
            if isinstance(patterns, list):
                return tuple(pattern for pattern in patterns if isinstance(pattern, str))
    return ()


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return file != ROOT_FILE and any(fnmatchcase(file, pattern) for pattern in patterns)


def _typed(
    sources: list[SourceDocument], problems: list[DocumentError], told: Callable[[float], None] | None
) -> tuple[dict[Address, Document], dict[Address, SourceDocument]]:
    typed: dict[Address, Document] = {}
    addressed: dict[Address, SourceDocument] = {}
    for number, source in enumerate(sources):
        if told is not None and number % 1_000 == 0:
            told(_PARSED + (_TYPED - _PARSED) * number / len(sources))
        document = read_document(source, problems)
        address = document.address if document is not None else Address(source.address)
        if not address:
            continue
        first = addressed.setdefault(address, source)
        if first is not source:
            problems.append(
                source.problem(
                    "QNSP-MOD-001",
                    f"{address} is declared a second time",
                    "metadata",
                    "name",
                    next_step=f"the first stands at {first.place('metadata', 'name')}; rename or remove one",
                )
            )
        elif document is not None:
            typed[address] = document
    return typed, addressed


def _project(
    typed: Mapping[Address, Document],
    addressed: Mapping[Address, SourceDocument],
    files: Mapping[str, bytes],
    problems: list[DocumentError],
) -> Project | None:
    found = [source for address, source in addressed.items() if address.startswith("Project/")]
    if not found:
        if not any(problem.place and problem.place.file == ROOT_FILE for problem in problems):
            problems.append(
                Problem(
                    "QNSP-MOD-002",
                    "this workspace has no Project" if ROOT_FILE in files else f"there is no {ROOT_FILE} here",
                    place=Place(ROOT_FILE),
                    next_step=f"write the Project into {ROOT_FILE}, or run `qnsp-policy init`",
                )
            )
        return None
    problems.extend(
        source.problem(
            "QNSP-MOD-003",
            f"the Project must stand in {ROOT_FILE}",
            "kind",
            next_step=f"move it to {ROOT_FILE}",
        )
        for source in found
        if source.file != ROOT_FILE
    )
    problems.extend(
        extra.problem(
            "QNSP-MOD-004",
            "a workspace has one Project",
            "kind",
            next_step=f"the first stands at {found[0].place('kind')}; remove one",
        )
        for extra in found[1:]
    )
    project = typed.get(Address(found[0].address))
    return project if isinstance(project, Project) else None


def _check_tiers(workspace: Workspace, problems: list[DocumentError]) -> None:
    """Tiers of the user's and tenants' combinations must come to something; shape, not strength."""
    own = {tier.address for tier in workspace.of_kind(CryptoTier)}
    broken: set[Address] = set()
    for address in sorted(own):
        try:
            workspace.tier(address)
        except DocumentError as error:
            broken.add(address)
            problems.append(
                workspace.sources[address].problem(error.code, error.message, "spec", next_step=error.next_step)
            )
    known = (*workspace.of_kind(CryptoTier), *(d for d in workspace.catalog.values() if isinstance(d, CryptoTier)))
    for weak, strong in edges(known if own else ()):
        if (weak in own or strong in own) and not broken & {weak, strong}:
            accused = strong if strong in own else weak
            problems.extend(
                workspace.sources[accused].problem(
                    "QNSP-MOD-022",
                    f"{strong} should be at least as strong as {weak}: {why}",
                    *path,
                    next_step="ask at least as much, or state another level or parent",
                )
                for path, why in weaker_than_parent(workspace.tier(strong), workspace.tier(weak))
            )
    for tenant in workspace.of_kind(Tenant):
        try:
            workspace.tier_of(tenant.address)
        except DocumentError as error:
            if any(problem.subject == error.subject for problem in problems):
                continue
            source = workspace.sources[tenant.address]
            where = ("spec", "profiles") if tenant.spec.profiles else ("spec", "tier")
            problems.append(source.problem(error.code, error.message, *where, next_step=error.next_step))


__all__ = ["ROOT_FILE", "build"]
