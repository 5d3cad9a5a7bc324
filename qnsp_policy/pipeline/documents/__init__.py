"""From bytes of YAML files to located documents: plain values now, positions when somebody asks.

Comes in: file names and bytes. Goes out: `ParsedFile` with `SourceDocument`s and every problem found. The reading is
YAML 1.2 core schema, strict: no anchors, aliases, tags, directives, duplicate keys (docs/formats/documents.md).
"""

from qnsp_policy.pipeline.documents.problems import Problem, render, shown
from qnsp_policy.pipeline.documents.reader import parse
from qnsp_policy.pipeline.documents.source import ParsedFile, SourceDocument

__all__ = ["ParsedFile", "Problem", "SourceDocument", "parse", "render", "shown"]
