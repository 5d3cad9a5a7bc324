"""The door: help, lazy loading, usage, exit codes, how an error looks."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from qnsp_policy.cli import exits
from qnsp_policy.cli.main import help_text, main
from qnsp_policy.cli.options import Session, UsageProblem, split_line
from qnsp_policy.cli.table import ENTRIES, SECTIONS
from qnsp_policy.cli.tree import build_tree
from qnsp_policy.errors import (
    DocumentError,
    DocumentErrors,
    LockHeld,
    OperatorError,
    PartialApply,
    PeerError,
    Place,
    PlanRefused,
)

HEAVY = (
    "pulumi",
    "pydantic",
    "yaml",
    "cryptography",
    "sqlalchemy",
    "jinja2",
    "httpx",
    "wasmtime",
    "rich",
    "starlette",
    "qnsp_policy.pipeline",
    "qnsp_policy.kernel",
)


def _modules_after(line: str) -> set[str]:
    code = (
        f"import sys; from qnsp_policy.cli.main import main; main({line}); print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("['--help']", set()),
        # typer reads annotations with pydantic, and a command's output goes through `review`, which is text only.
        ("['plan', '--help']", {"pydantic", "qnsp_policy.pipeline"}),
        ("['policy', '--help']", {"pydantic", "qnsp_policy.pipeline"}),
    ],
)
def test_help_loads_nothing_heavy(line: str, allowed: set[str]) -> None:
    """Help of the program and of a command imports no engine, no cryptography and no stage but `review`."""
    heavy = {name for name in HEAVY if name not in allowed}
    offenders = {name for name in _modules_after(line) for part in heavy if name == part or name.startswith(part + ".")}
    assert not offenders
    stages = {name for name in _modules_after(line) if name.startswith("qnsp_policy.pipeline.")}
    assert not {name for name in stages if not name.startswith("qnsp_policy.pipeline.review")}


def test_help_is_fast() -> None:
    """`--help` takes less than 0.2 s of a processor (the best of five; by the wall a busy machine takes longer)."""
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "qnsp_policy.cli.main", "--help"], capture_output=True, check=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 0.2


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_table_says_what_the_command_says(entry: object) -> None:
    """The one line of the first help page is the command's own, and its help ends with two examples."""
    from qnsp_policy.cli.table import Entry

    assert isinstance(entry, Entry)
    module = import_module(f"qnsp_policy.cli.commands.{entry.module}")
    if entry.group:
        epilogs = [command.epilog or "" for command in module.app.registered_commands]
        assert epilogs
    else:
        assert (module.command.__doc__ or "").split("\n")[0] == entry.help
        epilogs = [module.EXAMPLES]
    for epilog in epilogs:
        assert epilog.count("qnsp-policy ") == 2


def test_first_page_lists_every_command() -> None:
    """The first help page names every command once, and the exit codes."""
    text = help_text()
    for _, entries in SECTIONS:
        for entry in entries:
            assert f"\n  {entry.name:<16} {entry.help}" in text
    assert "64 usage" in text


def test_every_page_fits_a_terminal() -> None:
    """The first help page has no line over 80 columns."""
    assert [line for line in help_text().split("\n") if len(line) > 80] == []


@pytest.mark.parametrize("name", ENTRIES)
def test_a_tree_holds_the_command_it_is_asked_for(name: str) -> None:
    """One command or group with its own words; without a name the names of all."""
    tree = build_tree(name)
    names = [command.name for command in tree.registered_commands] + [group.name for group in tree.registered_groups]
    assert names == [name]
    assert {command.name for command in build_tree().registered_commands} == set(ENTRIES)


@pytest.mark.parametrize(
    ("shell", "words", "offered"),
    [
        ("complete_bash", "qnsp-policy pl", {"plan"}),
        ("complete_bash", "qnsp-policy trust sh", {"show"}),
        ("complete_bash", "qnsp-policy plan --detai", {"--detailed-exitcode"}),
        ("complete_zsh", "qnsp-policy pl", {"plan"}),
    ],
)
def test_completion(shell: str, words: str, offered: set[str]) -> None:
    """Commands, sub-commands and options; the first word of bash without typer or any command."""
    environment = {
        "_QNSP_POLICY_COMPLETE": shell,
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_TYPER_COMPLETE_ARGS": words,
        "PATH": "",
    }
    code = (
        "import sys; from qnsp_policy.cli.main import main; code = main([]);"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert offered <= set(re.findall(r"[\w-]+", done.stdout))
    if words == "qnsp-policy pl" and shell == "complete_bash":
        assert done.stdout.split() == ["plan"]
        assert not {"typer", "qnsp_policy.cli.commands.plan"} & set(done.stderr.split())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["plann"], "did you mean `plan`"),
        (["plan", "--sav", "x"], "--save"),
        (["--format", "xml", "plan"], "is not one of text, json, ndjson"),
        (["--now", "yesterday", "plan"], "RFC 3339"),
        (["--now", "2026-11-21T10:00:00", "plan"], "no time zone"),
        (["-C"], "needs a value"),
        (["trust", "diff"], "'BASE'"),
        (["apply"], "'PLAN'"),
        (["check", "--out", "sarif"], "KIND=PATH"),
    ],
)
def test_usage_is_64(
    line: list[str], said: str, capsys: pytest.CaptureFixture[str], quickstart_documents: Path
) -> None:
    """A wrong line ends with 64 and says what is wrong."""
    prefix = [] if "-C" in line else ["-C", str(quickstart_documents)]
    assert main([*prefix, *line]) == 64
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "instead"), [("rm", "`destroy`"), ("mv", "another unit"), ("pull", "export"), ("x", "--help")]
)
def test_commands_of_neighbours_are_told_what_does_their_work(
    verb: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`state rm` and the like, which are not there for a reason; any other word finds the help."""
    assert main(["state", verb, "a"]) == 64
    assert instead in capsys.readouterr().err


def test_global_options_stand_anywhere() -> None:
    """Before or after the command, with or without an equals sign; everything after `--` is left alone."""
    session = Session()
    left = split_line(["plan", "-C", "lab", "--format=json", "-q", "--full", "--", "-v"], session)
    assert left == ["plan", "--full", "--", "-v"]
    assert (session.directory, session.format, session.verbosity) == (Path("lab"), "json", -1)


def test_now_is_utc() -> None:
    """`--now` with an offset becomes UTC."""
    session = Session()
    split_line(["--now", "2026-11-21T12:00:00+02:00"], session)
    assert session.now == datetime(2026, 11, 21, 10, tzinfo=UTC)
    with pytest.raises(UsageProblem, match="RFC 3339"):
        split_line(["--now", "x"], session)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DocumentErrors([DocumentError("QNSP-DOC-001", "x")]), 1),
        (OperatorError("QNSP-OPS-001", "x"), 1),
        (PlanRefused("QNSP-PLN-001", "x"), 4),
        (LockHeld("QNSP-LCK-001", "x"), 5),
        (PartialApply("QNSP-APL-001", "x"), 6),
        (PeerError("QNSP-SIG-001", "x"), 7),
    ],
)
def test_exit_codes_by_family(error: OperatorError, code: int) -> None:
    """Each family of errors has its own exit code."""
    assert exits.code_of(error) == code


def test_several_codes_at_once() -> None:
    """1 over 6 over 4 over 5 over 3 over 2 over 0."""
    assert exits.worst(2, 3, 5, 4, 6, 1) == 1
    assert exits.worst(2, 3, 5, 4, 6) == 6
    assert exits.worst(2, 3, 5, 4) == 4
    assert exits.worst(2, 3, 5) == 5
    assert exits.worst(2, 3, 0) == 3
    assert exits.worst(0, 2) == 2
    assert exits.worst() == 0


def test_an_error_shows_place_snippet_and_next_step(tmp_path: Path) -> None:
    """Code, place, the line with a caret under the value, expected, got, next step; no escape sequence gets through."""
    (tmp_path / "a.yaml").write_text("kind: Ten\x1bant\nmetadata: {}\n")
    stderr = io.StringIO()
    session = Session(directory=tmp_path, stderr=stderr)
    problem = DocumentError(
        "QNSP-DOC-014",
        "unknown kind `Ten\x1b[31mant`",
        subject="Tenant/x",
        place=Place("a.yaml", 1, 7, 14),
        expected="a kind",
        got="Ten\x1bant",
        next_step="did you mean `Tenant`?",
    )
    exits.print_error(problem, session)
    text = stderr.getvalue()
    assert "\x1b" not in text
    assert "error[QNSP-DOC-014]: unknown kind `Ten\\x1b[31mant`" in text
    assert "--> a.yaml:1:7   Tenant/x" in text
    assert "1 | kind: Ten\\x1bant" in text
    assert "  |       ^^^^^^^" in text
    assert "= next: did you mean `Tenant`?" in text


def test_errors_as_json(tmp_path: Path) -> None:
    """`--format json` prints all problems with stable names and the exit code, on standard output."""
    stdout = io.StringIO()
    session = Session(directory=tmp_path, format="json", stdout=stdout)
    exits.print_error(DocumentErrors([DocumentError("QNSP-DOC-001", "x", place=Place("a.yaml", 3, 4))]), session)
    body = json.loads(stdout.getvalue())
    assert body["exitCode"] == 1
    assert body["errors"][0] == {"code": "QNSP-DOC-001", "message": "x", "file": "a.yaml", "line": 3, "column": 4}


def test_no_traceback_without_debug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the system refuses becomes one error; nobody sees a stack unless they ask for it."""
    assert main(["-C", str(tmp_path / "nowhere"), "validate"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert main(["-C", str(tmp_path), "validate"]) == 1
    assert "qnsp-policy init" in capsys.readouterr().err


def test_a_closed_pipe_is_not_an_error(tmp_path: Path) -> None:
    """`qnsp-policy policy list | head -1` ends quietly."""
    line = f"'{sys.executable}' -m qnsp_policy.cli.main -C '{tmp_path}' policy list | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_an_error_quotes_no_file_that_is_none_of_the_workspace(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The snippet of an error never waits for a FIFO and never shows a line of a file outside of the workspace."""
    root = tmp_path / "ws"
    root.mkdir()
    (root / "qnsp.yaml").write_text("a: b\n", encoding="utf-8")
    outside = tmp_path / "outside.yaml"
    outside.write_text("private: line\n", encoding="utf-8")
    if kind == "fifo":
        os.mkfifo(root / "z.yaml")
    else:
        (root / "z.yaml").symlink_to(outside)
    assert main(["-C", str(root), "validate"]) == exits.ERROR
    shown = capsys.readouterr().err
    assert ("QNSP-DOC-032" if kind == "fifo" else "QNSP-DOC-031") in shown
    assert "private" not in shown


def test_nobody_approves_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal to ask at, `approve` wants `--yes`; it never signs what nobody was shown."""
    plan = tmp_path / "a.plan"
    plan.write_text("{}", encoding="utf-8")
    assert main(["approve", str(plan), "--as", "bob"]) == exits.USAGE
    assert "--yes" in capsys.readouterr().err


def test_a_group_without_its_verb_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`trust` alone is a usage error that shows the group's verbs, line by line."""
    assert main(["trust"]) == exits.USAGE
    assert "\n  show" in capsys.readouterr().out


def test_a_wrong_level_is_a_usage_error(tmp_path: Path) -> None:
    """`--fail-on hihg` is 64, like every other misspelt word of the line."""
    assert main(["-C", str(tmp_path), "check", "--fail-on", "hihg"]) == exits.USAGE


def test_explain_takes_a_rule_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A document by its kind, a rule by its category; an unknown rule names the nearest."""
    assert main(["-C", str(tmp_path), "explain", "crypto/signature-below-tier"]) == 0
    assert "crypto/signature-below-tier" in capsys.readouterr().out
    assert main(["-C", str(tmp_path), "explain", "crypto/signature-below-teir"]) == 1
    assert "did you mean `crypto/signature-below-tier`" in capsys.readouterr().err


def test_a_reader_that_goes_away_early_is_told_by_the_code(tmp_path: Path) -> None:
    """As by a signal: 141, nothing printed, and never the code of an error."""
    line = f"'{sys.executable}' -m qnsp_policy.cli.main -C '{tmp_path}' schema export | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES.values() if entry.group], ids=lambda entry: entry.name)
def test_a_group_says_each_verb_in_whole_words(
    entry: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 80 columns no verb's line is cut off, and no type of Python's stands for a value."""
    from qnsp_policy.cli.table import Entry

    assert isinstance(entry, Entry)
    monkeypatch.setenv("COLUMNS", "80")
    assert main([entry.name, "--help"]) == 0
    page = capsys.readouterr().out
    lines = [line for line in page.partition("Commands:\n")[2].split("\n") if line.strip()]
    assert [line for line in lines if line.endswith("...")] == []
    verbs = [line.split()[0] for line in lines]
    assert verbs
    for verb in verbs:
        assert main(["help", entry.name, verb]) == 0
        page = capsys.readouterr().out
        assert not re.search(r"<(str|path|int|float|list|file)", page), page


def test_help_names_the_exit_codes_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A command with codes of its own says them in its help, before the examples."""
    assert main(["help", "drift"]) == 0
    page = capsys.readouterr().out
    assert page.index("2 drift") < page.index("Examples:")


def test_a_line_without_a_command_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    """`--format json` alone is a usage error that a program can read."""
    assert main(["--format", "json"]) == exits.USAGE
    assert json.loads(capsys.readouterr().out)["exitCode"] == exits.USAGE


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["check", "--engine", "opaa"], "did you mean opa?"),
        (["plan", "--fail-on", "hihg"], "did you mean high?"),
        (["drift", "--fail-on", "some"], "none of any, security"),
    ],
)
def test_a_word_that_is_none_names_the_nearest(line: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Options that take one of a few words refuse others before anything is read, as usage."""
    assert main(line) == exits.USAGE
    assert says in capsys.readouterr().err


def test_documents_for_others_are_one_line_of_ndjson(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`schema export` prints one value a line where lines are asked, and says what it wrote where it writes."""
    assert main(["schema", "export", "--format", "ndjson"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["title"]
    out = tmp_path / "s.json"
    assert main(["schema", "export", "--out", str(out), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"wrote": str(out)}
    assert json.loads(out.read_text(encoding="utf-8")) == json.loads(line)


def test_a_misspelt_name_is_answered_by_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Algorithms, identities and templates: what was meant, as an error of whoever typed it."""
    assert main(["-C", str(tmp_path), "key", "new", "alice", "--algorithm", "ML-DSA-66"]) == exits.ERROR
    assert "did you mean `ML-DSA-65`?" in capsys.readouterr().err
    assert main(["-C", str(tmp_path), "key", "new", "alice@clinic.example"]) == 0
    assert main(["-C", str(tmp_path), "key", "show", "alcie"]) == exits.ERROR
    assert "did you mean `alice`?" in capsys.readouterr().err
    assert main(["init", "--template", "bar", str(tmp_path / "new")]) == exits.ERROR
    assert "did you mean `bare`?" in capsys.readouterr().err
