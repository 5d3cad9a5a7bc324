"""What a shell asks when somebody presses Tab, answered without loading more than the word needs.

The first word of bash is answered from the table of commands alone; everything else by typer, over a tree that holds the
one command that the line names, or stubs of all.
"""

from __future__ import annotations

from collections.abc import Mapping

from qnsp_policy.cli.table import ENTRIES

VARIABLE = "_QNSP_POLICY_COMPLETE"


def first_words(environment: Mapping[str, str]) -> str | None:
    """The commands that begin with what bash has; None where it asks for something else."""
    if environment.get(VARIABLE) != "complete_bash" or environment.get("COMP_CWORD") != "1":
        return None
    begun = "".join(_words(environment)[1:2])
    return None if begun.startswith("-") else "\n".join(name for name in ENTRIES if name.startswith(begun))


def named_command(environment: Mapping[str, str]) -> str | None:
    """The command whose own words are being completed; None while it is the command that is."""
    words = _words(environment)
    return words[1] if len(words) > 1 and words[1] in ENTRIES else None


def _words(environment: Mapping[str, str]) -> list[str]:
    return (environment.get("COMP_WORDS") or environment.get("_TYPER_COMPLETE_ARGS") or "").split()


__all__ = ["VARIABLE", "first_words", "named_command"]
