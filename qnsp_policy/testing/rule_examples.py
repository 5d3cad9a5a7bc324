"""Executable rule examples: the good workspace of policies/, changed by merge patches, and who signed its documents.

Signatures are said, not made: the rules are given verified signers as values, and this gives them such values.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import yaml

from qnsp_policy.pipeline.model import Address, Workspace
from qnsp_policy.pipeline.model.signers import VerifiedSigner
from qnsp_policy.pipeline.rules.examples import RuleExample, read_examples
from qnsp_policy.resources_edge import data_path
from qnsp_policy.testing.workspaces import filled, sample_jwk

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class _Texts(yaml.SafeLoader):
    """Reads dates as texts, as documents do."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def good_documents() -> dict[str, Any]:
    """The good workspace's documents by address."""
    text = data_path("policies", "good_workspace.yaml").read_text()
    return {f"{d['kind']}/{d['metadata']['name']}": merged(None, d) for d in yaml.load_all(text, _Texts)}


def merged(value: Any, patch: Any) -> Any:
    """RFC 7396, and a mapping in place of a list changes its items by name or position; `@who-algorithm` is a key."""
    if isinstance(patch, str) and patch.startswith("@"):
        return filled(patch) if ":" in patch else sample_jwk(patch[1:])
    if isinstance(patch, list):
        return [merged(None, item) for item in patch]
    if not isinstance(patch, dict):
        return patch
    if isinstance(value, list):
        return _items_changed(value, patch)
    result = dict(value) if isinstance(value, dict) else {}
    for name, item in patch.items():
        if item is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), item)
    return result


def _items_changed(items: list[Any], patch: Mapping[str | int, Any]) -> list[Any]:
    names = [item.get("name", position) for position, item in enumerate(items)]
    by_name = dict(zip(names, items, strict=True))
    for name, item in patch.items():
        if item is None:
            del by_name[name]
        else:
            by_name[name] = {"name": name, **merged({}, item)} if name not in by_name else merged(by_name[name], item)
    return list(by_name.values())


def changed(change: Mapping[str, Any]) -> dict[str, Any]:
    """The good documents after a change; a patch that brings `kind` of its own makes a document."""
    documents = good_documents()
    for address, patch in change.items():
        if patch is None:
            del documents[address]
            continue
        kind, _, name = address.partition("/")
        empty = {"apiVersion": "qnsp.policy/v1", "kind": kind, "metadata": {"name": name}, "spec": {}}
        documents[address] = merged(documents.get(address, empty), patch)
    return documents


def files_of(documents: Mapping[str, Any]) -> dict[str, bytes]:
    """The Project in its file, everything else in one."""
    files: dict[str, list[Any]] = {"qnsp.yaml": [], "documents.yaml": []}
    for address, document in documents.items():
        files["qnsp.yaml" if address.startswith("Project/") else "documents.yaml"].append(document)
    return {name: yaml.safe_dump_all(items, sort_keys=False).encode() for name, items in files.items()}


def signers_of(workspace: Workspace, example: RuleExample | None = None) -> dict[Address, tuple[VerifiedSigner, ...]]:
    """Every document signed by whoever must sign it, but for what an example takes away or exchanges."""
    roles = {str(one.name): tuple(one.roles) for one in workspace.trust_root.spec.identities}
    usual = {
        "Artefact": ("lab", "lab-two"),
        "ReferenceValues": ("lab", "lab-two"),
        "Enclave": ("carol", "dave"),
        "Grant": ("carol", "dave"),
        "Waiver": ("bob",),
    }
    found: dict[Address, tuple[VerifiedSigner, ...]] = {}
    for address in workspace.documents:
        names = usual.get(address.partition("/")[0], ())
        if example is not None:
            names = () if address in example.unsigned else (example.signed or {}).get(address, names)
        found[address] = tuple(VerifiedSigner(name, roles.get(name, ()), "pkcs11", (name,)) for name in names)
    return found


def shipped_examples() -> dict[str, RuleExample]:
    """Every shipped rule's example by rule id."""
    root = data_path("policies")
    return read_examples({p.parent.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("example.yaml")})


__all__ = ["NOW", "changed", "files_of", "good_documents", "merged", "shipped_examples", "signers_of"]
