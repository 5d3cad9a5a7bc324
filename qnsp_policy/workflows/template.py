"""Fills a template's documents: every quoted `"{{ name }}"` becomes its value, in JSON, which is YAML too.

A template without values is readable YAML already, so an editor's schema works on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_PLACE = re.compile(r'"\{\{ ([a-zA-Z0-9.-]+) \}\}"')


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with every place filled.

    Raises:
        KeyError: a place has no value: the template and its maker disagree.
    """
    return _PLACE.sub(lambda match: json.dumps(values[match.group(1)], ensure_ascii=False), text)


__all__ = ["fill"]
