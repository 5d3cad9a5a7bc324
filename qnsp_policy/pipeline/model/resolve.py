"""References between documents: each must meet a document of its kind; a miss names what is nearest and where it is."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import PydanticCustomError

from qnsp_policy.errors import DocumentError
from qnsp_policy.pipeline.documents.problems import nearest, shown
from qnsp_policy.pipeline.documents.source import PathPart, SourceDocument
from qnsp_policy.pipeline.model.kinds import KINDS, Document, Endpoint, KeyHierarchy, Platform, Project, TrustRoot
from qnsp_policy.pipeline.model.references import RefTo, reference_fields, values_at
from qnsp_policy.pipeline.model.scalars import Address, IdentityName, ResourcePath

MAX_GUESSES = 100
"""Misses for which the nearest name is looked up; the rest is told without."""


def check_references(
    typed: Mapping[Address, Document],
    addressed: Mapping[Address, SourceDocument],
    catalog: Mapping[Address, Document],
    project: Project | None,
    problems: list[DocumentError],
) -> None:
    """Add a problem for every reference, identity and resource that meets nothing, and for every cycle.

    A document that exists but has problems of its own still counts as existing, so that one mistake is told once.
    """
    known = addressed.keys() | catalog.keys()
    identities = _identities(typed, project)
    keys = _keys(typed)
    broken_keys = any(address.startswith("KeyHierarchy/") and address not in typed for address in addressed)
    guesses = MAX_GUESSES
    edges: dict[Address, list[tuple[Address, tuple[PathPart, ...]]]] = {}
    for address, source in addressed.items():
        model = KINDS.get(address.partition("/")[0])
        if model is None:
            continue
        for field in reference_fields(model):
            for path, text in values_at(source.value, field.steps):
                target = field.target
                if address not in typed and not _shaped(target, text):
                    continue
                if isinstance(target, RefTo):
                    wanted = Address(target.normalise(text))
                    if target.acyclic:
                        edges.setdefault(address, []).append((wanted, path))
                    if wanted not in known:
                        problems.append(_missing(source, path, wanted, addressed, catalog, guess=guesses > 0))
                        guesses -= 1
                elif target is IdentityName:
                    if identities is not None and text not in identities and model is not TrustRoot:
                        problems.append(_no_identity(source, path, text, identities, project, guess=guesses > 0))
                        guesses -= 1
                elif target is ResourcePath:
                    resource = ResourcePath(text)
                    problem = _resource(source, path, resource, known, keys, broken=broken_keys, guess=guesses > 0)
                    if problem is not None:
                        problems.append(problem)
                        guesses -= 1
    _cycles(edges, addressed, problems)
    _told_once(typed, addressed, problems)


def _shaped(target: RefTo | type[IdentityName | ResourcePath], text: str) -> bool:
    """Whether a text of a document that has problems is a reference at all; where not, that was told already."""
    try:
        if isinstance(target, RefTo):
            target.normalise(text)
        else:
            target.parse(text)
    except PydanticCustomError:
        return False
    return True


def _missing(
    source: SourceDocument,
    path: tuple[PathPart, ...],
    wanted: Address,
    addressed: Mapping[Address, SourceDocument],
    catalog: Mapping[Address, Document],
    *,
    guess: bool,
) -> DocumentError:
    message = f"{wanted} is used here, but no such document exists"
    if not guess:
        return source.problem("QNSP-REF-002", message, *path)
    kind = wanted.partition("/")[0]
    candidates = {address for address in (*addressed, *catalog) if address.startswith(kind + "/")}
    near = nearest(wanted, candidates)
    if near is not None and Address(near) in addressed:
        where = addressed[Address(near)].place("metadata", "name")
        hint = f"nearest: {near} ({where.file}:{where.line})"
    elif near is not None:
        hint = f"nearest: {near} (catalog)"
    elif candidates:
        some = sorted(candidates)
        hint = f"there are: {', '.join(some[:5])}" + (" ..." if len(some) > 5 else "")
    else:
        hint = f"there is no {kind} at all; write one"
    return source.problem("QNSP-REF-002", message, *path, next_step=hint)


def _identities(typed: Mapping[Address, Document], project: Project | None) -> frozenset[str] | None:
    """Names of the identities of the Project's TrustRoot, or None when they cannot be known."""
    if project is None:
        return None
    root = typed.get(project.spec.trust_root)
    if not isinstance(root, TrustRoot):
        return None
    return frozenset(str(identity.name) for identity in root.spec.identities)


def _no_identity(
    source: SourceDocument,
    path: tuple[PathPart, ...],
    name: str,
    known: frozenset[str],
    project: Project | None,
    *,
    guess: bool,
) -> DocumentError:
    near = nearest(name, known) if guess else None
    root = project.spec.trust_root if project else "TrustRoot"
    some = f", or name one of: {', '.join(sorted(known)[:8])}" if guess else ""
    return source.problem(
        "QNSP-REF-003",
        f"{shown(name)} is no identity of {root}",
        *path,
        label=f"did you mean `{near}`?" if near else "",
        next_step=None if near else f"add it to {root}{some}",
    )


def _keys(typed: Mapping[Address, Document]) -> Mapping[str, frozenset[str]]:
    keys: dict[str, set[str]] = {}
    for document in typed.values():
        if isinstance(document, KeyHierarchy):
            tenant = document.spec.tenant.partition("/")[2]
            keys.setdefault(tenant, set()).update(str(key.name) for key in document.spec.keys)
    return {tenant: frozenset(names) for tenant, names in keys.items()}


def _resource(
    source: SourceDocument,
    path: tuple[PathPart, ...],
    resource: ResourcePath,
    known: frozenset[Address] | set[Address],
    keys: Mapping[str, frozenset[str]],
    *,
    broken: bool,
    guess: bool,
) -> DocumentError | None:
    near: str | None = None
    if Address(f"Tenant/{resource.tenant}") not in known:
        if guess:
            near = nearest(resource.tenant, (a.partition("/")[2] for a in known if a.startswith("Tenant/")))
        return source.problem(
            "QNSP-REF-005",
            f"{shown(resource)} belongs to Tenant/{resource.tenant}, but no such tenant exists",
            *path,
            next_step=f"nearest: Tenant/{near}" if near else "begin the path with the name of a tenant",
        )
    if resource.wildcard or broken or resource.key in keys.get(resource.tenant, frozenset()):
        return None
    if guess:
        near = nearest(resource.key, keys.get(resource.tenant, frozenset()))
    return source.problem(
        "QNSP-REF-007",
        f"no KeyHierarchy of Tenant/{resource.tenant} has the key {resource.key}",
        *path,
        label=f"did you mean `{resource.tenant}/{near}`?" if near else "",
        next_step=None if near else f"add `{resource.key}` to its KeyHierarchy",
    )


def _told_once(
    typed: Mapping[Address, Document],
    addressed: Mapping[Address, SourceDocument],
    problems: list[DocumentError],
) -> None:
    """A tenant's key has one hierarchy; an address of a machine has one listener."""
    keys: dict[str, tuple[Address, int]] = {}
    listeners: dict[str, Address] = {}
    for address, document in sorted(typed.items()):
        if isinstance(document, KeyHierarchy):
            for index, key in enumerate(document.spec.keys):
                first = keys.setdefault(f"{document.spec.tenant}/{key.name}", (address, index))
                if first[0] != address:
                    problems.append(
                        addressed[address].problem(
                            "QNSP-MOD-005",
                            f"the key {key.name} of {document.spec.tenant} is declared in {first[0]} as well",
                            "spec",
                            "keys",
                            index,
                            "name",
                            next_step="keep it in one of the two",
                        )
                    )
        listen = getattr(document.spec, "listen", None)
        if listen is None or str(listen).endswith(":0") or not _is_local(document, typed):
            continue
        other = listeners.setdefault(str(listen), address)
        if other != address:
            problems.append(
                addressed[address].problem(
                    "QNSP-MOD-006",
                    f"{other} listens on {listen} as well",
                    "spec",
                    "listen",
                    next_step="give one of the two another port",
                )
            )


def _is_local(document: Document, typed: Mapping[Address, Document]) -> bool:
    """Whether a broker or endpoint runs on this machine, where two listeners cannot share an address."""
    spec = document.spec
    if isinstance(document, Endpoint):
        enclave = typed.get(document.spec.enclave)
        spec = enclave.spec if enclave is not None else None
    platform = typed.get(getattr(spec, "platform", Address("")))
    return isinstance(platform, Platform) and platform.spec.type == "local"


def _cycles(
    edges: Mapping[Address, list[tuple[Address, tuple[PathPart, ...]]]],
    addressed: Mapping[Address, SourceDocument],
    problems: list[DocumentError],
) -> None:
    done: set[Address] = set()
    for start in sorted(edges):
        if start in done:
            continue
        trail: list[Address] = []
        on_trail: set[Address] = set()
        stack: list[tuple[Address, int]] = [(start, 0)]
        while stack:
            address, position = stack.pop()
            if position == 0:
                trail.append(address)
                on_trail.add(address)
            targets = edges.get(address, [])
            if position == len(targets):
                trail.pop()
                on_trail.discard(address)
                done.add(address)
                continue
            stack.append((address, position + 1))
            target, path = targets[position]
            if target in on_trail:
                ring = [*trail[trail.index(target) :], target]
                problems.append(
                    addressed[address].problem(
                        "QNSP-REF-006",
                        f"{address} comes back to itself: {' -> '.join(ring[:8])}",
                        *path,
                        next_step="remove one of these references",
                    )
                )
            elif target not in done and target in edges:
                stack.append((target, 0))


__all__ = ["check_references"]
