"""Rules of a user: compiled by the pinned opa, judged beside the shipped ones, and unable to reach outside or hang."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.pipeline.model import Workspace, build
from qnsp_policy.pipeline.rules.engine import FORBIDDEN_BUILTINS, RuleSet
from qnsp_policy.pipeline.rules.evaluate import evaluate
from qnsp_policy.pipeline.rules.opa_edge import OpaEngine, local_opa
from qnsp_policy.pipeline.rules.sources_edge import user_rules
from qnsp_policy.pipeline.rules.wasm_edge import WasmEngine, shipped_rules
from qnsp_policy.testing.rule_examples import NOW, changed, files_of, signers_of

pytestmark = pytest.mark.functional

HEAD = """# METADATA
# title: Tenant without a cost centre
# description: Somebody must pay for it.
# custom:
#   severity: medium
#   population: kinds.Tenant
#   message: "{address} has no label cost-centre."
#   remediation: "Add the label `cost-centre`."
#   controls: ["ours 1"]
package qnsp.rules.house["cost-centre"]

import data.qnsp.lib

"""
GOOD = (
    HEAD
    + """pass contains index if {
	some index, member in input.kinds.Tenant
	lib.text(member.labels["cost-centre"])
}

fail contains lib.refusal(index, ["metadata"], {}) if {
	some index, member in input.kinds.Tenant
	not member.labels["cost-centre"]
}
"""
)


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    """The good workspace; one of its tenants has the label."""
    return build(files_of(changed({"Tenant/clinic": {"metadata": {"labels": {"cost-centre": "7"}}}})))


def _rules(folder: Path, opa: Path, text: str, name: str = "rule.rego") -> RuleSet:
    (folder / name).write_text(text)
    return user_rules("rules/house", folder, opa)


def test_a_users_rule_is_judged_beside_the_shipped_ones_by_both_engines(
    tmp_path: Path, opa: Path, workspace: Workspace
) -> None:
    """Its finding has its own words; the digest of the run covers it."""
    sets = (shipped_rules(), _rules(tmp_path, opa, GOOD))
    signers = signers_of(workspace)
    with WasmEngine(sets) as engine:
        report = evaluate(workspace, engine=engine, now=NOW, signers=signers)
    (finding,) = report.findings
    assert (finding.rule, finding.address, finding.path) == ("house/cost-centre", "Tenant/research", ("metadata",))
    assert finding.message == "Tenant/research has no label cost-centre."
    assert report.bundle_digest != shipped_rules().digest
    with local_opa(opa, sets) as url:
        theirs = evaluate(workspace, engine=OpaEngine(url, sets), now=NOW, signers=signers)
    assert theirs.findings == report.findings


CALLS = {
    "http.send": 'http.send({"method": "get", "url": "http://example.com"})',
    "opa.runtime": "opa.runtime()",
    "rand.intn": 'rand.intn("x", 5)',
    "time.now_ns": "time.now_ns()",
    "net.lookup_ip_addr": 'net.lookup_ip_addr("example.com")',
    "uuid.rfc4122": 'uuid.rfc4122("x")',
}


@pytest.mark.parametrize("builtin", sorted(CALLS))
def test_what_reaches_outside_is_refused_when_the_rule_is_loaded(builtin: str, tmp_path: Path, opa: Path) -> None:
    """Network, environment, chance and clock: the compiler does not know them here."""
    assert builtin in FORBIDDEN_BUILTINS
    text = GOOD + f"\nother if {CALLS[builtin]}\n"
    with pytest.raises(OperatorError, match=builtin) as caught:
        _rules(tmp_path, opa, text)
    assert caught.value.code == "QNSP-RUL-032"


LOOP = HEAD.replace("import data.qnsp.lib\n", "") + (
    "pass contains index if {\n\tsome index, _ in input.kinds.Tenant\n\tnumbers.range(1, 100000)[a] + "
    "numbers.range(1, 100000)[b] + numbers.range(1, 100000)[c] == -1\n}\n\nfail := set()\n"
)


def test_a_rule_that_does_not_end_is_ended(tmp_path: Path, opa: Path, workspace: Workspace) -> None:
    """wasmtime interrupts it; the run fails and nothing was judged."""
    sets = (shipped_rules(), _rules(tmp_path, opa, LOOP))
    began = time.monotonic()
    with WasmEngine(sets, timeout=1.0) as engine, pytest.raises(EngineError) as caught:
        evaluate(workspace, engine=engine, now=NOW)
    assert caught.value.code == "QNSP-RUL-022"
    assert time.monotonic() - began < 120


def _interrupt_once_it_waits(main: int) -> None:
    """Ctrl-C, as soon as the main thread waits for the rules."""
    while not any(step.name == "result" for step in traceback.extract_stack(sys._current_frames()[main])):
        time.sleep(0.01)
    signal.pthread_kill(main, signal.SIGINT)


def test_ctrl_c_ends_a_rule_that_does_not_end(tmp_path: Path, opa: Path, workspace: Workspace) -> None:
    """Whoever waits is free at once, and nothing goes on being evaluated behind their back."""
    sets = (_rules(tmp_path, opa, LOOP),)
    with WasmEngine(sets, timeout=3600.0) as engine:
        threading.Thread(target=_interrupt_once_it_waits, args=(threading.get_ident(),), daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            evaluate(workspace, engine=engine, now=NOW)
        for thread in threading.enumerate():
            if thread.name == "aside":
                thread.join(120)
                assert not thread.is_alive()


def test_a_member_without_an_answer_fails_the_run(tmp_path: Path, opa: Path, workspace: Workspace) -> None:
    """A rule that forgets a case is never a pass."""
    half = GOOD.split("fail contains", maxsplit=1)[0] + "fail := set()\n"
    with WasmEngine((shipped_rules(), _rules(tmp_path, opa, half))) as engine, pytest.raises(EngineError) as caught:
        evaluate(workspace, engine=engine, now=NOW)
    assert caught.value.code == "QNSP-RUL-013"
    assert "house/cost-centre" in caught.value.message


def test_functions_that_only_opa_has_ask_for_opa(tmp_path: Path, opa: Path, workspace: Workspace) -> None:
    """The embedded engine says which function is missing; the server evaluates the rule."""
    text = GOOD.replace(
        '\tlib.text(member.labels["cost-centre"])\n',
        '\tregex.find_n("[0-9]", lib.text(member.labels["cost-centre"]), -1) != []\n',
    )
    sets = (shipped_rules(), _rules(tmp_path, opa, text))
    with WasmEngine(sets) as engine, pytest.raises(OperatorError, match=r"regex\.find_n") as caught:
        evaluate(workspace, engine=engine, now=NOW)
    assert caught.value.code == "QNSP-RUL-023"
    with local_opa(opa, sets) as url:
        report = evaluate(workspace, engine=OpaEngine(url, sets), now=NOW, signers=signers_of(workspace))
    assert [finding.address for finding in report.findings] == ["Tenant/research"]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (GOOD.replace('qnsp.rules.house["cost-centre"]', "other.house"), "QNSP-RUL-033", "rules live in"),
        ("\n".join(GOOD.splitlines()[9:]), "QNSP-RUL-002", "without a METADATA"),
        (GOOD.replace("#   severity: medium", "#   severity: awful"), "QNSP-RUL-002", "awful"),
        (GOOD.replace('#   controls: ["ours 1"]\n', ""), "QNSP-RUL-002", "controls"),
        (GOOD + "\nbroken {\n", "QNSP-RUL-032", r"rule\.rego"),
        (GOOD.replace("input.kinds.Tenant\n\tlib", "input.kinds.Tenants\n\tlib"), "QNSP-RUL-032", "Tenants"),
    ],
    ids=["another package", "no annotation", "unknown severity", "no controls", "broken syntax", "unknown field"],
)
def test_a_wrong_rule_folder_is_refused_with_its_place(
    text: str, code: str, words: str, tmp_path: Path, opa: Path
) -> None:
    """Each fault has its own words."""
    with pytest.raises((OperatorError, EngineError), match=words) as caught:
        _rules(tmp_path, opa, text)
    assert caught.value.code == code


def test_a_user_cannot_replace_what_is_shipped(tmp_path: Path, opa: Path) -> None:
    """Neither the library by path nor a rule by id."""
    (tmp_path / "lib").mkdir()
    with pytest.raises(OperatorError) as caught:
        _rules(tmp_path, opa, "package qnsp.lib\n", "lib/lib.rego")
    assert caught.value.code == "QNSP-RUL-033"
    (tmp_path / "lib" / "lib.rego").unlink()
    text = GOOD.replace('house["cost-centre"]', 'tenancy["no-quota"]')
    with pytest.raises(EngineError) as clash:
        WasmEngine((shipped_rules(), _rules(tmp_path, opa, text)))
    assert clash.value.code == "QNSP-RUL-004"


def test_a_missing_folder_is_named(tmp_path: Path, opa: Path) -> None:
    """The Project may name a folder that is not there."""
    with pytest.raises(OperatorError) as caught:
        user_rules("rules/none", tmp_path / "none", opa)
    assert caught.value.code == "QNSP-RUL-030"
