"""Keys of AWS KMS, as values: each with its computed policy and its aliases, made by the key administrator's provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_qnsp.components.aws_foundation import text
from pulumi_qnsp.components.children import Child, Ref, ordered


@dataclass(frozen=True, slots=True)
class KeysArgs:
    """The keys of one hierarchy or broker."""

    keys: Sequence[Mapping[str, Any]]
    tags: Mapping[str, str]


def keys(args: KeysArgs) -> tuple[Child, ...]:
    """Keys, each followed by its aliases."""
    return ordered(child for key in args.keys for child in _key(key, args.tags))


def _marks(key: Mapping[str, Any]) -> dict[str, str]:
    # A state written before keys carried the mark of their workspace has none.
    named = {"qnsp:workspace": key["workspace"]} if "workspace" in key else {}
    return {**named, "qnsp:resource": key["resource"]}


def _key(key: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Child]:
    yield Child(
        "aws:kms/key:Key",
        key["name"],
        {
            "description": key["description"],
            "customer_master_key_spec": key["spec"],
            "key_usage": key["usage"],
            "policy": text(key["policy"]),
            "multi_region": False,
            # A rotation is a new key behind the alias: KMS's own would keep one policy over all material.
            "enable_key_rotation": False,
            "deletion_window_in_days": key["deletionDays"],
            "bypass_policy_lockout_safety_check": False,
            # The organisation's policies know our keys by the mark of the workspace.
            "tags": {**tags, **_marks(key)},
        },
        ("customer_master_key_spec", "key_usage", "policy", "multi_region", "enable_key_rotation"),
        protect=True,
        keeper=True,
    )
    for alias in key["aliases"]:
        yield Child(
            "aws:kms/alias:Alias", alias, {"name": alias, "target_key_id": Ref(key["name"])}, ("name",), keeper=True
        )


__all__ = ["KeysArgs", "keys"]
