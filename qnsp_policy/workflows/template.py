"""Fills a template's documents: every quoted `"{{ name }}"` becomes its value, in JSON, which is YAML too.

A template without values is readable YAML already, so an editor's schema works on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PLACE = re.compile(r'"\{\{ ([a-zA-Z0-9.-]+) \}\}"')


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with every place filled.

    Raises:
        KeyError: a place has no value: the template and its maker disagree.
    """
    return _PLACE.sub(lambda match: json.dumps(values[match.group(1)], ensure_ascii=False), text)


def fill_documents(source: Path, directory: Path, values: Mapping[str, Any]) -> None:
    """Every document of a template, filled, into a workspace, with the line by which editors find the schema."""
    for path in sorted(source.glob("*.yaml")):
        text = "# yaml-language-server: $schema=.qnsp/schema.json\n" + path.read_text(encoding="utf-8")
        (directory / path.name).write_text(fill(text, values), encoding="utf-8")


__all__ = ["fill", "fill_documents"]
