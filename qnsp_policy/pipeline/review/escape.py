"""Makes foreign text harmless in the place where it is printed: terminal, Markdown, workflow command, XML.

Names, messages and file names come from documents and from peers. A newline starts a workflow command on GitHub, an
escape sequence rewrites a terminal, a backtick leaves a Markdown span, an at-sign notifies strangers.
"""

from __future__ import annotations

import unicodedata

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
_MARKDOWN = "\\`*_{}[]()#+!|~"


def visible(text: str) -> str:
    r"""The text with every control, format and bidirectional character spelled out (`\x1b`, `\u202e`)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(c) if c != " " and unicodedata.category(c) in _INVISIBLE else c for c in text)


def _spelled(character: str) -> str:
    number = ord(character)
    if character == "\n":
        return "\\n"
    if character == "\t":
        return "\\t"
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def terminal(text: str) -> str:
    """One line of foreign text for a terminal."""
    return visible(text)


def markdown(text: str) -> str:
    """One line of foreign text inside Markdown: nothing formats, nothing links, nobody is mentioned."""
    escaped = "".join("\\" + character if character in _MARKDOWN else character for character in visible(text))
    for raw, inert in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "@\u200b"), ("://", ":\u200b//")):
        escaped = escaped.replace(raw, inert)
    return escaped


def code_span(text: str) -> str:
    """A Markdown code span that its content cannot leave."""
    text = visible(text)
    fence = "`" * (longest_run(text, "`") + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def fenced(text: str, language: str = "") -> str:
    """A Markdown block whose fence is longer than any run of backticks inside."""
    body = "\n".join(visible(line) for line in text.split("\n"))
    fence = "`" * max(3, longest_run(body, "`") + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def longest_run(text: str, character: str) -> int:
    """How many of this character stand in a row at most."""
    longest = run = 0
    for each in text:
        run = run + 1 if each == character else 0
        longest = max(longest, run)
    return longest


def workflow_data(text: str) -> str:
    """The message of a GitHub workflow command."""
    return visible_keep_lines(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def workflow_property(text: str) -> str:
    """A property (file, title) of a GitHub workflow command."""
    return workflow_data(text).replace(":", "%3A").replace(",", "%2C")


def visible_keep_lines(text: str) -> str:
    """Like `visible`, but line ends of our own messages stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def xml_text(text: str) -> str:
    """Text for an XML document: what XML 1.0 cannot hold is spelled out, markup is escaped."""
    for raw, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;")):
        text = text.replace(raw, entity)
    return visible_keep_lines(text)


__all__ = [
    "code_span",
    "fenced",
    "longest_run",
    "markdown",
    "terminal",
    "visible",
    "visible_keep_lines",
    "workflow_data",
    "workflow_property",
    "xml_text",
]
