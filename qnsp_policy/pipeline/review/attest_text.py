"""Attestation results for a reader: fields of evidence, a verdict with each of its steps, the ends of collateral.

Comes in: the JSON of the `attest` commands. Goes out: text. Whatever an attester or vendor wrote is escaped.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from qnsp_policy.kernel.attestation.codes import table
from qnsp_policy.kernel.attestation.values import Statement, Verdict
from qnsp_policy.pipeline.review.answer_text import render_verdict
from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.style import Paint, Style

_INDENT: Final = " " * 13
_FETCHED: Final = ("revocation", "tcb")
"""Statements that vendors' collateral settles."""
_SERVED: Final = frozenset({"sev-snp", "tdx", "sgx", "nvidia-gpu", "nvswitch"})
"""Kinds for which vendors serve it."""
_MISSING: Final = frozenset({"QNSP-ATT-SNP-011", "QNSP-ATT-NRAS-006"})
"""Refusals for want of something that a vendor serves."""


def verdict_text(found: Mapping[str, Any], *, paint: Paint, width: int, with_ear: bool) -> str:
    """A verdict, then what was checked, not checked and refused, for the evidence and each device."""
    about = f"{found['kind']}, {found['assurance']}, holds until {found['notAfter']}" if "kind" in found else ""
    lines: list[str] = []
    if found["verdict"] == "accepted":
        lines.append(f"{paint('good', 'accepted')}     {about}")
    else:
        lines.append(f"{paint('bad', 'refused')}      {found['code']}   step {found['step']} {found['stepName']}")
        lines += _wrapped(terminal(found["detail"]), width)
        lines += [_INDENT + about] if about else _steps(found, width)
    for number, shown in enumerate((found, *found.get("devices", ()))):
        if number:
            lines += ["", f"device {number - 1}: {shown['kind']}, {shown['assurance']}"]
        statements = [
            Statement(one["name"], Verdict(one["verdict"]), one["detail"], one.get("code", ""))
            for one in shown.get("statements", ())
        ]
        lines += [render_verdict(statements, paint=paint)] if statements else []
    for opinion in found.get("secondOpinions", ()):
        lines += _opinion(opinion, paint)
    if with_ear and "ear" in found:
        lines += ["", f"ear  {found['ear']}"]
    return "\n".join([*lines, *_next(found, paint)])


def _next(found: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    """What fills the gaps, where collateral would."""
    results = found.get("results", {}) if found.get("kind") in _SERVED else {}
    if found["code"] in _MISSING or any(results.get(name) == "not checked" for name in _FETCHED):
        fetch = "qnsp-policy attest collateral fetch EVIDENCE --out collateral/"
        yield f"{paint('note', 'next')}         what is missing can be fetched: {fetch}"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, max(width, 40), initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    )


def _steps(found: Mapping[str, Any], width: int) -> Iterator[str]:
    """Where verification stopped: what came before without a refusal, and what was not reached."""
    listed = next((codes for codes in table().values() if any(one.code == found["code"] for one in codes)), ())
    names: dict[int, str] = {}
    for code in listed:
        names.setdefault(code.step, code.step_name)
    before = [f"{step} {names[step]}" for step in sorted(names) if step < found["step"]]
    after = [f"{step} {names[step]}" for step in sorted(names) if step > found["step"]]
    if before:
        yield from _wrapped(f"not refused before it: {', '.join(before)}", width)
    if after:
        yield from _wrapped(f"not reached: {', '.join(after)}", width)


def _opinion(opinion: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    yield ""
    yield f"second opinion of {terminal(opinion['by'])} on {opinion['subject']}: {opinion['verdict']}"
    if "note" in opinion:
        yield f"{paint('warn', 'note')}         {terminal(opinion['note'])}"
    if "failure" in opinion:
        yield f"{paint('bad', 'none')}         {terminal(opinion['failure'])}"
    styles: dict[str, Style] = {"ok": "good", "refused": "bad"}
    for one in opinion["steps"]:
        word = f"{one['verdict']:<12}"
        word = paint(styles[one["verdict"]], word) if one["verdict"] in styles else word
        yield f"{word} {terminal(one['step'])}: {terminal(one['detail'])}".rstrip(": ")
    for one in opinion["findings"]:
        yield f"{paint('bad', 'finding')}      {one['code']}   {terminal(one['detail'])}"


def windows_text(found: Mapping[str, Any], *, paint: Paint) -> str:
    """Each file of collateral with its state and end."""
    lines = []
    for one in found["files"]:
        state = one.get("state", "")
        shown = paint("bad" if state not in {"valid", "unknown", ""} else "good", f"{state:<13}") if state else ""
        ends = one.get("ends", "no end stated")
        lines.append(f"{shown}{one['what']:<13} {ends:<21} {terminal(one['name'])}")
    return "\n".join(lines)


def simulated_text(found: Mapping[str, Any]) -> str:
    """What simulated members will measure and the anchors that they need, as lines of the two documents."""
    inner = ", ".join(f'{name}: "{value}"' for name, value in found["measurements"].items())
    lines = [f"For {terminal(found['referenceValues'])}:", f"  - measurements: {{{inner}}}", "", "For the TrustRoot:"]
    lines.append("  anchors:")
    for anchor in found["anchors"]:
        lines.append(f"    - vendor: {anchor['vendor']}")
        lines += [f"      line: {anchor['line']}"] if "line" in anchor else []
        lines += [
            "      simulated: true",
            "      certificate: |",
            *(f"        {text}" for text in anchor["certificate"].splitlines()),
        ]
    return "\n".join(lines)


__all__ = ["simulated_text", "verdict_text", "windows_text"]
