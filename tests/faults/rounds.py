"""Rounds of SIGKILL on a workspace: a command is begun, a part of it dies at a random moment, the command is run again, the world is judged.

One cycle goes from nothing to nothing: plan, approve, apply, a change of some kind, its plan, approve and apply, a look, destroy.
Each of its commands loses something to a kill. A cycle follows from its seed: what changes, who dies, when (as a part of the
time that the command took before).

    python -m tests.faults.rounds FOLDER FIRST_SEED CYCLES [full] [bucket]

`full` has the fleet and its endpoint, `bucket` its state on s3://.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.lab import BUCKET_KEYS, CLINIC, ENDPOINT, QUICKSTART, SECONDS, Ended, Lab
from tests.faults.tally import NOTHING, Tally, kills, until_done

VICTIMS = ("command", "command", "command", "everything", "engine", "engine", "supervisor", "broker", "members")
LIGHT = frozenset({"plan", "approve", "drift", "state", "refresh", "artefact", "sign"})
"""Commands that only they themselves are killed of; a refresh without a supervisor is refused."""
_VERSION, _DIGEST = re.compile(r"version: (\d+)"), re.compile(r"igest: (\"?)sha256:[0-9a-f]{64}\1")
BASE = {"platform/lab": (), "broker/main": ("broker-main",), "tenant/clinic": ()}
FLEET = {"enclave/clinic-enclave": ("enclave-clinic-enclave-0-simulator", "enclave-clinic-enclave-0-guest")}
SERVED = {"endpoint/clinic-embeddings": ()}


@dataclass(slots=True)
class Cycles:
    """Cycles on one workspace.

    Attributes:
        lab: where.
        full: with the fleet and its endpoint from the beginning.
        struck: what the kills of the present cycle struck.
        victim: of the last one.
        told: what happened in the present cycle.
    """

    lab: Lab
    full: bool = False
    struck: Counter[str] = field(default_factory=Counter)
    victim: str = ""
    told: list[str] = field(default_factory=list)
    usual: dict[str, float] = field(default_factory=dict)

    def cycle(self, seed: int) -> Counter[str]:
        """One cycle; what it struck. Raises AssertionError with what was told."""
        self.told = [f"seed {seed}"]
        self.struck = Counter()
        try:
            self._cycle(random.Random(seed))
        except AssertionError as error:
            raise AssertionError("\n".join([*self.told, str(error)])) from error
        return self.struck

    def _cycle(self, chance: random.Random) -> None:
        fleet = self.full or chance.random() < 0.3
        shown = self._declare(fleet=fleet)
        self._change(chance, "one.plan")
        self.lab.whole(units=set(shown), names={name for names in shown.values() for name in names})
        kind = chance.choice(["update", "fleet", "fleet", "replace", *([] if self.full else ["rotate"])])
        options: list[str] = []
        changed: tuple[tuple[str, str], ...] = ()
        if kind == "update":
            changed = (("requestsPerMinute: 600", f"requestsPerMinute: {chance.randint(601, 900)}"),)
        elif kind == "fleet":
            fleet = not fleet
        elif kind == "rotate":
            self._rotate(chance, fleet=fleet)
        else:
            options = ["--replace", chance.choice(["tenant/clinic", *(["enclave/clinic-enclave"] if fleet else [])])]
        self.told.append(f"  change: {kind} {options}")
        shown = self._declare(fleet=fleet, changed=changed)
        self._change(chance, "two.plan", *options)
        self.lab.whole(units=set(shown), names={name for names in shown.values() for name in names})
        if "endpoint/clinic-embeddings" in shown:
            self.lab.answers("clinic-embeddings")
        looked = self.lab.run("plan", "--detailed-exitcode")
        assert looked.code == 0, looked.said
        self._killed(
            chance,
            chance.choice([("refresh", "--yes"), ("drift",), ("state", "export", str(self.lab.root / "backup.json"))]),
        )
        self._killed(chance, ("destroy", "--approve-as", "bob", "--save", str(self.lab.root / "end.plan")))
        self.lab.whole(units=set(), names=set())

    def end(self) -> None:
        self.lab.end()

    def _declare(self, *, fleet: bool, changed: tuple[tuple[str, str], ...] = ()) -> dict[str, tuple[str, ...]]:
        addresses = (*QUICKSTART, *(CLINIC if fleet else ()), *(ENDPOINT if self.full and fleet else ()))
        self.lab.write(*addresses, changed=changed)
        return {**BASE, **(FLEET if fleet else {}), **(SERVED if self.full and fleet else {})}

    def _change(self, chance: random.Random, name: str, *options: str) -> None:
        plan = str(self.lab.root / name)
        self._killed(chance, ("plan", "--save", plan, "--as", "alice", *options))
        self._killed(chance, ("approve", plan, "--as", "bob", "--yes"))
        self._killed(chance, ("apply", plan))
        if self.victim != "command":  # what died outside the units of this plan is missed by the next one
            self._mend()

    def _rotate(self, chance: random.Random, *, fleet: bool) -> None:
        """The model under a new data key of the next version: sealed, declared, signed by its publisher."""
        lab, address = self.lab, "Artefact/minilm"
        text = lab.documents[address]
        found = _VERSION.search(text)
        assert found, text
        lab.documents[address] = text = text.replace(found[0], f"version: {int(found[1]) + 1}")
        self._declare(fleet=fleet)
        source = lab.root / "model.txt"
        source.write_bytes(chance.randbytes(200_000))
        sealed = self._killed(chance, ("artefact", "seal", str(source), "--name", address, "--format", "json"))
        told = json.loads(sealed.said[sealed.said.index("{") :])
        digests = iter((told["digest"], told["plaintextDigest"]))
        lab.documents[address] = _DIGEST.sub(lambda _: f'igest: "{next(digests)}"', text)
        self._declare(fleet=fleet)
        self._killed(chance, ("sign", address, "--as", "lab"))
        lab.signatures[address] = (lab.root / "signatures" / "Artefact.minilm.dsse.json").read_bytes()

    def _mend(self) -> None:
        """What a killed machine lacks is planned and applied like any other change."""
        plan = str(self.lab.root / "mend.plan")
        if self.lab.settled("plan", "--save", plan, "--as", "alice", "--detailed-exitcode", told=self.told).code == 2:
            self.lab.settled("approve", plan, "--as", "bob", "--yes", told=self.told)
            self.lab.settled("apply", plan, told=self.told)

    def _killed(self, chance: random.Random, line: tuple[str, ...]) -> Ended:
        """Begin a command, kill something at a random moment, run it again until it ends well."""
        verb = line[0]
        light = verb in LIGHT
        victim = "command" if light else chance.choice((*VICTIMS, *(("gateway", "gateway") if self.full else ())))
        share = chance.random()
        begun = time.monotonic()
        process = self.lab.start(*line)
        pause = share * self.usual.get(verb, 2.0 if light else 8.0)
        time.sleep(pause)
        while (
            process.poll() is None
            and victim in {"engine", "members", "broker", "supervisor", "gateway"}
            and not self.lab.of(victim)
        ):
            time.sleep(0.02)  # there is none of it yet
        died = self.lab.kill(victim, process, chance)
        self.struck[victim if died else NOTHING] += 1
        self.victim = victim
        said, _ = process.communicate(timeout=SECONDS)
        ended = Ended(process.returncode, said, time.monotonic() - begun)
        self.told.append(
            f"  {victim} ({died}) died {pause:.2f} s after {' '.join(line[:2])} -> {ended.code} in {ended.seconds:.1f} s"
        )
        if ended.code >= 0:
            self.told += [f"    | {text}" for text in said.splitlines()[-6:]]
            self.lab.decent(ended)
        again = self.lab.settled(*line, told=self.told)
        if victim == "command":
            before = self.usual.get(verb, again.seconds)
            self.usual[verb] = 0.6 * before + 0.4 * again.seconds
        return again


def main() -> int:
    """Cycles until one fails; every failure is printed and the workspace begun anew."""
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    full = "full" in sys.argv[4:]
    folder.mkdir(parents=True, exist_ok=True)
    if "bucket" in sys.argv[4:]:
        with _bucket() as port:
            return _cycles(folder, first, count, full=full, port=port)
    return _cycles(folder, first, count, full=full)


@contextlib.contextmanager
def _bucket() -> Iterator[int]:
    """The port of an AWS-shaped server with a bucket `state`."""
    import boto3

    from tests.plugins.aws.double import Double

    os.environ |= BUCKET_KEYS
    with Double() as double:
        names = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=double.url, **names).create_bucket(Bucket="state")
        yield int(double.url.rpartition(":")[2])


def _cycles(folder: Path, first: int, count: int, *, full: bool, port: int = 0) -> int:
    tally = Tally(runs=1)

    def make(seed: int) -> Cycles:
        cycles = Cycles(Lab.make(folder / f"lab-{seed}"), full)
        if port:
            cycles.lab.move_to_bucket(port, "state")
        return cycles

    def one(cycles: Cycles, seed: int) -> str:
        begun = time.monotonic()
        tally.add(str(seed), cycles.cycle(seed))
        return f"seed {seed}: whole after {kills(cycles.struck)} kills, {time.monotonic() - begun:.0f} s"

    failures = until_done(range(first, first + count), make, one)
    print(f"{tally}; {failures} failures", flush=True)  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["Cycles"]
