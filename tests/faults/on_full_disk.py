"""Run within a mount namespace of its own (`unshare -rm`): a workspace on a small disk that fills up, and is freed again.

    unshare -rm python -m tests.faults.on_full_disk FOLDER KILOBYTES...

    unshare -rm python -m tests.faults.on_full_disk FOLDER read-only

FOLDER holds a prepared workspace `lab`. For every number a plan is applied with so much space left; it must end with a code of
ours and a word about the disk, and go on when there is space again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.faults.lab import Lab

UNITS = {"platform/lab", "broker/main", "tenant/clinic"}
READS = (("validate",), ("state", "list"), ("ledger", "verify"), ("lock", "list"))


def fill(disk: Path, left: int) -> Path:
    """Leave so many kilobytes."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free - left * 1024
    with ballast.open("wb") as file:
        while free > 0:
            free -= file.write(b"\0" * min(free, 1 << 20))
    return ballast


def read_only(folder: Path) -> int:
    """Try every kind of command on a workspace whose file system may not be written."""
    lab = Lab(folder / "lab", temporary=folder)
    plan = folder / "lab" / "one.plan"
    told: list[str] = []
    lab.settled("plan", "--save", str(plan), "--as", "alice", told=told)
    lab.settled("approve", str(plan), "--as", "bob", "--yes", told=told)
    subprocess.run(["mount", "--bind", str(lab.root), str(lab.root)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(lab.root)], check=True)
    lines = {
        **{name: name for name in ("validate", "check", "plan", "state list", "lock list", "ledger verify", "drift")},
        "trust show": "trust show",
        "plan --save": f"plan --save {lab.root}/two.plan --as alice",
        "approve": f"approve {plan} --as bob --yes",
        "apply": f"apply {plan}",
        "state export": f"state export {lab.root}/b.json",
        "key new": "key new zoe",
    }
    answers = {}
    for name, words in lines.items():
        ended = lab.run(*words.split())
        lab.decent(ended)
        answers[name] = {"code": ended.code, "said": ended.said[-600:]}
    print(json.dumps(answers))  # noqa: T201
    return 0


def main() -> int:
    folder = Path(sys.argv[1])
    if sys.argv[2] == "read-only":
        return read_only(folder)
    spaces = [int(word) for word in sys.argv[2:]]
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(disk)], check=True)
    shutil.copytree(folder / "lab", disk / "lab", ignore=shutil.ignore_patterns("*.sealed"))
    lab = Lab(disk / "lab", temporary=disk / "tmp")
    lab.temporary.mkdir()
    plan = str(lab.root / "one.plan")
    told: list[str] = []
    answers = []
    try:
        for left in spaces:
            lab.settled("plan", "--save", plan, "--as", "alice", told=told)
            lab.settled("approve", plan, "--as", "bob", "--yes", told=told)
            ballast = fill(disk, left)
            ended = lab.run("apply", plan)
            lab.decent(ended)
            answers.append({"left": left, "code": ended.code, "said": ended.said[-1500:]})
            if left == 0:
                for line in READS:
                    looked = lab.run(*line)
                    assert looked.code == 0, (line, looked.said)
                for words in (f"plan --save {plan} --as alice", f"state export {lab.root}/b.json"):
                    refused = lab.run(*words.split())
                    lab.decent(refused)
                    assert refused.code == 1, (words, refused.said)
                    assert "disk is full" in refused.said or "No space left" in refused.said, refused.said
            ballast.unlink()
            lab.settled("apply", plan, told=told)
            lab.whole(units=UNITS, names={"broker-main"})
            lab.settled("destroy", "--approve-as", "bob", "--save", str(lab.root / "end.plan"), told=told)
            lab.whole(units=set(), names=set())
    except AssertionError:
        print("\n".join(told), json.dumps(answers, indent=1), file=sys.stderr)  # noqa: T201
        raise
    finally:
        lab.end()
    print(json.dumps(answers))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["fill"]
