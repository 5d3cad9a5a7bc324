"""The formatter changes how a file looks and never what it says."""

from __future__ import annotations

import pytest

from qnsp_policy.catalog.files_edge import catalog_files
from qnsp_policy.errors import DocumentErrors
from qnsp_policy.pipeline.documents import parse
from qnsp_policy.pipeline.documents.fmt import fmt
from qnsp_policy.testing.workspaces import sample_files

UGLY = """

# head
kind: X\x20\x20\x20
metadata:
    # note
    name: a   # trailing



    labels:
          x: "y"
spec:
    list:
    - a
    -   name: b
        # about type
        type: c
        text: |
            hello
              world\x20


            end
    - - x
      - y
    flow: {a: 1,
       b: 2}
    plain: one
      two
      # end comment
---
# second

a: 1
"""

NEAT = """# head
kind: X
metadata:
  # note
  name: a   # trailing

  labels:
    x: "y"
spec:
  list:
    - a
    - name: b
      # about type
      type: c
      text: |
          hello
            world\x20


          end
    - - x
      - y
  flow: {a: 1,
     b: 2}
  plain: one
    two
    # end comment
---
# second

a: 1
"""


def test_indentation_and_blank_lines_are_made_alike() -> None:
    """Two columns a level, lists one level below their key; comments and text stay."""
    assert fmt(UGLY) == NEAT
    assert fmt(NEAT) == NEAT


def test_values_stay() -> None:
    """The formatted text reads as before, block scalars with their blank lines and line ends included."""
    before, after = parse("a", UGLY.encode()), parse("a", NEAT.encode())
    assert [d.value for d in before.documents] == [d.value for d in after.documents]
    assert before.documents[0].value["spec"]["list"][1]["text"] == "hello\n  world \n\n\nend\n"


@pytest.mark.parametrize("file", [*sample_files(), *catalog_files()])
def test_what_we_ship_is_formatted(file: str) -> None:
    """The formatter leaves our own documents as they are."""
    data = (sample_files() | dict(catalog_files()))[file]
    assert fmt(data.decode(), file).encode() == data


def test_a_broken_file_is_refused_with_its_own_problems() -> None:
    """Formatting never hides a mistake."""
    with pytest.raises(DocumentErrors) as raised:
        fmt("a: 1\na: 2\n", "x.yaml")
    assert [problem.code for problem in raised.value.problems] == ["QNSP-DOC-006"]


@pytest.mark.parametrize(
    "text",
    [
        "a: 'one\n\n\n  two'\n",
        "? a\n: b\n",
        "a:\n- |2\n    x\n",
        "- a\n",
        "a: |+\n  x\n\n\nb: 1\n",
        'a: "x\\\n  y"\n',
        "{a: 1,\nb: 2}\n",
    ],
)
def test_odd_forms_are_kept_or_refused(text: str) -> None:
    """Whatever the form, either the values stay or the file is refused."""
    before = parse("x", text.encode())
    try:
        after = parse("x", fmt(text).encode())
    except DocumentErrors:
        return
    assert [d.value for d in after.documents] == [d.value for d in before.documents]


def test_a_form_that_cannot_be_kept_is_refused() -> None:
    """A block behind an explicit key would change: refused with its code, not guessed at."""
    with pytest.raises(DocumentErrors) as raised:
        fmt("? a\n:   - x\n    - y\n")
    assert [problem.code for problem in raised.value.problems] == ["QNSP-DOC-040"]
