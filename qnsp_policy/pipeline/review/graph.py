"""Units, documents and grants as a drawing, in Graphviz dot and in Mermaid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from qnsp_policy.pipeline.review.escape import visible


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by id with a label and a group; edges with a label.

    Attributes:
        nodes: (id, label, group).
        edges: (from, to, label).
    """

    nodes: tuple[tuple[str, str, str], ...]
    edges: tuple[tuple[str, str, str], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "nodes": [{"id": name, "label": label, "group": group} for name, label, group in self.nodes],
            "edges": [{"from": start, "to": end, "label": label} for start, end, label in self.edges],
        }


def render_dot(graph: Graph) -> str:
    """Graphviz; `dot -Tsvg` draws it."""
    lines = ["digraph qnsp {", "  rankdir=LR;", "  node [shape=box, fontname=sans];"]
    for name, label, group in graph.nodes:
        lines.append(f'  "{_dot(name)}" [label="{_dot(label)}", tooltip="{_dot(group)}"];')
    for start, end, label in graph.edges:
        lines.append(f'  "{_dot(start)}" -> "{_dot(end)}" [label="{_dot(label)}"];')
    return "\n".join([*lines, "}"])


def render_mermaid(graph: Graph) -> str:
    """Mermaid; GitHub and GitLab draw it in a code block of that name."""
    ids = {name: f"n{number}" for number, (name, _, _) in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for group in dict.fromkeys(group for _, _, group in graph.nodes):
        lines.append(f"  subgraph {_word(group)}[{_mermaid(group)}]")
        lines += [f"    {ids[name]}[{_mermaid(label)}]" for name, label, other in graph.nodes if other == group]
        lines.append("  end")
    for start, end, label in graph.edges:
        arrow = f"-->|{_mermaid(label)}|" if label else "-->"
        lines.append(f"  {ids[start]} {arrow} {ids[end]}")
    return "\n".join(lines)


def _dot(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')


def _mermaid(text: str) -> str:
    return (
        '"' + visible(text).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;") + '"'
    )


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", text)


__all__ = ["Graph", "render_dot", "render_mermaid"]
