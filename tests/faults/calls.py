"""Applies and destroys in which a process of ours dies at one of the calls by which it changes files, or such a call fails.

Runs commands with `points.c` preloaded, into their services too. A cycle goes from nothing to nothing: plan, approve, an apply
that is struck, the same again until it ends well, a look, a destroy that is struck, again, a look.

    python -m tests.faults.calls FOLDER SEED CYCLES [WHO HOW]
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.lab import QUICKSTART, SECONDS, Ended, Lab
from tests.faults.tally import until_done
from tests.faults.walk import HOWS, MEETS, built

UNITS = {"platform/lab": (), "broker/main": ("broker-main",), "tenant/clinic": ()}
WHO = {
    "command": "qnsp_policy.cli.main",
    "supervisor": "qnsp_policy.services.supervisor",
    "broker": "qnsp_policy.services.broker",
}
USUAL = {"apply": 220, "destroy": 110}
"""About as many calls does a command make; where they were not counted."""


@dataclass(slots=True)
class Calls:
    """Cycles on one workspace.

    Attributes:
        lab: where.
        library: of `points.c`.
        told: what happened in the present cycle.
        counted: what each kind of process calls for a verb when nothing fails.
    """

    lab: Lab
    library: Path
    told: list[str] = field(default_factory=list)
    counted: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def count(self, who: str) -> None:
        """A cycle without faults."""
        self.cycle(0, who, "nothing")

    def end(self) -> None:
        self.lab.end()

    def cycle(self, seed: int, who: str, way: str) -> None:
        """One cycle; raises AssertionError with what was told."""
        self.told = [f"seed {seed}: {who} {way}"]
        chance = random.Random(f"{seed} {who} {way}")
        plan = str(self.lab.root / "one.plan")
        try:
            self.lab.write(*QUICKSTART)
            self.lab.settled("plan", "--save", plan, "--as", "alice", told=self.told)
            self.lab.settled("approve", plan, "--as", "bob", "--yes", told=self.told)
            self._struck(chance, who, way, ("apply", plan))
            self.lab.whole(units=set(UNITS), names={name for names in UNITS.values() for name in names})
            looked = self.lab.run("plan", "--detailed-exitcode")
            assert looked.code == 0, looked.said
            self._struck(
                chance, who, way, ("destroy", "--approve-as", "bob", "--save", str(self.lab.root / "end.plan"))
            )
            self.lab.whole(units=set(), names=set())
        except AssertionError as error:
            raise AssertionError("\n".join([*self.told, str(error)])) from error

    def _struck(self, chance: random.Random, who: str, way: str, line: tuple[str, ...]) -> None:
        gate, log = self.lab.temporary.parent / "gate", self.lab.temporary.parent / "calls.log"
        log.unlink(missing_ok=True)
        gate.touch()
        known = self.counted.get((who, line[0]))
        most = USUAL[line[0]] if known is None else sum(call in MEETS.get(way, {call}) for call in known)
        at = 0 if way == "nothing" else chance.randint(1, max(1, most))
        more = {
            "LD_PRELOAD": str(self.library),
            "POINTS_WHO": WHO[who],
            "POINTS_FOLDER": f"{self.lab.root}/",
            "POINTS_AT": str(at),
            "POINTS_HOW": str(HOWS.get(way, 0)) if way in MEETS or way == "EIO" else way,
            "POINTS_LOG": str(log),
            "POINTS_WHILE": str(gate),
        }
        before = dict(self.lab.environment)
        self.lab.environment |= more
        try:
            first = self.lab.run(*line)
        finally:
            self.lab.environment = before
        called = log.read_text().splitlines() if log.exists() else []
        hit = next((text for text in called if text.startswith(f"{at} ")), f"none of {len(called)}")
        self.told.append(f"  {way} of {who} at {hit}: {line[0]} -> {first.code} in {first.seconds:.1f} s")
        self.told += [f"    | {text}" for text in first.said.splitlines()[-6:]]
        self._decent(first, who, way)
        gate.unlink(missing_ok=True)
        if way == "nothing":
            self.counted[who, line[0]] = [text.split()[1] for text in called]
        self.lab.settled(*line, told=self.told)

    def _decent(self, ended: Ended, who: str, way: str) -> None:
        assert ended.seconds < SECONDS
        self.lab.decent(ended)
        killed = who == "command" and way in {"kill", "torn"}
        assert ended.code in {0, 1, 6, *([-9] if killed else [])}, ended.said
        assert ended.code in {0, -9} or "= next:" in ended.said, ended.said


def main() -> int:
    """Cycles until all are done; every failure is printed and the workspace begun anew."""
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    library = built(folder)
    counted: dict[tuple[str, str], list[str]] = {}

    def one(calls: Calls, seed: int) -> str:
        chance = random.Random(seed)
        who = sys.argv[4] if len(sys.argv) > 4 else chance.choice(["command", "command", "supervisor", "broker"])
        way = sys.argv[5] if len(sys.argv) > 5 else chance.choice(["kill", "kill", "torn", "ENOSPC", "EIO", "EROFS"])
        if (who, "apply") not in counted:
            calls.count(who)
        calls.cycle(seed, who, way)
        return "\n".join(text for text in calls.told if " of " in text)

    failures = until_done(
        range(first, first + count),
        lambda seed: Calls(Lab.make(folder / f"lab-{seed}"), library, counted=counted),
        one,
    )
    print(f"{failures} failures", flush=True)  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["Calls"]
