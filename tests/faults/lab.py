"""A workspace made by `init`, cut to size, driven by commands of its own, with a look at everything that a kill could leave behind."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pulumi_qnsp.supervisor_edge import SupervisorClient, SupervisorFolder
from qnsp_policy.kernel.wire.supervisor import State
from qnsp_policy.pipeline.engine import lease, records
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.workflows.ledger import ledger_verify
from qnsp_policy.workflows.runtime import open_backend, open_ledger

QUICKSTART = (
    "Project/quickstart",
    "TrustRoot/quickstart",
    "Platform/lab",
    "KeyBroker/main",
    "Tenant/clinic",
    "KeyHierarchy/clinic",
    "Artefact/clinic-guest",
    "Artefact/minilm",
)
CLINIC = ("ReferenceValues/clinic-1", "Enclave/clinic-enclave", "Grant/clinic-model-to-enclave")
ENDPOINT = ("Endpoint/clinic-embeddings",)
SECONDS = 400
BUCKET_KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_NAME = re.compile(r"^metadata: *\{name: ([a-z0-9-]+)", re.MULTILINE)
_KIND = re.compile(r"^kind: *(\w+)", re.MULTILINE)
_SCRATCH = re.compile(r"\.new$|\.part$|\.tmp$|fileblob|^\..*\.json\.\d+$")
ANSWERS = frozenset({0, 1, 4, 5, 6})
"""Exit codes that a command may end with after a kill of something else, or as the first one after a kill."""


@dataclass(slots=True)
class Ended:
    """How a command ended; a negative code is a signal."""

    code: int
    said: str
    seconds: float


@dataclass(slots=True)
class Lab:
    """One workspace. Everything it starts keeps its scratch files in `temporary`."""

    root: Path
    documents: dict[str, str] = field(default_factory=dict)
    signatures: dict[str, bytes] = field(default_factory=dict)
    temporary: Path = Path()
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    descriptors: int = 0

    @classmethod
    def make(cls, root: Path) -> Lab:
        """`init`, whose ports are of its own."""
        subprocess.run(
            [sys.executable, "-m", "qnsp_policy.cli.main", "init", "--template", "quickstart", str(root)],
            check=True,
            capture_output=True,
        )
        lab = cls(root, temporary=root.parent / f"{root.name}-tmp")
        lab.temporary.mkdir()
        lab.environment["TMPDIR"] = str(lab.temporary)
        for path in sorted(root.glob("*.yaml")):
            for text in path.read_text().split("\n---\n"):
                kind, name = _KIND.search(text), _NAME.search(text)
                assert kind, text
                assert name, text
                lab.documents[f"{kind[1]}/{name[1]}"] = text
            path.unlink()
        for path in sorted((root / "signatures").glob("*.dsse.json")):
            lab.signatures[path.name.removesuffix(".dsse.json").replace(".", "/", 1)] = path.read_bytes()
        broker = lab.documents["KeyBroker/main"].replace("Tenant/clinic, Tenant/research", "Tenant/clinic")
        lab.documents["KeyBroker/main"] = broker
        return lab

    def move_to_bucket(self, port: int, bucket: str) -> None:
        """Take the state into a bucket of an AWS-shaped server on loopback, by `state export` and `state import`."""
        self.environment |= BUCKET_KEYS
        self.write(*QUICKSTART)
        backup, told = str(self.root.parent / f"{self.root.name}-backup.json"), list[str]()
        self.settled("state", "export", backup, told=told)
        url = f"s3://{bucket}/team/{self.root.name}?region=us-east-1&endpoint=127.0.0.1:{port}&disableSSL=true&s3ForcePathStyle=true"
        project = self.documents["Project/quickstart"]
        self.documents["Project/quickstart"] = project.replace("file://.qnsp/state", url)
        self.write(*QUICKSTART)
        self.settled("state", "import", backup, told=told)

    def write(self, *addresses: str, changed: tuple[tuple[str, str], ...] = ()) -> None:
        """The documents that shall stand now."""
        texts = [self.documents[address] for address in addresses]
        body = "\n---\n".join(texts[1:])
        for old, new in changed:
            assert old in body, old
            body = body.replace(old, new)
        (self.root / "qnsp.yaml").write_text(texts[0])
        (self.root / "all.yaml").write_text(body)
        for address, data in self.signatures.items():
            path = self.root / "signatures" / f"{address.replace('/', '.')}.dsse.json"
            path.write_bytes(data) if address in addresses else path.unlink(missing_ok=True)

    def start(self, *line: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "qnsp_policy.cli.main", "-C", str(self.root), *line]
        if self.descriptors:
            command = ["bash", "-c", f'ulimit -n {self.descriptors}; exec "$0" "$@"', *command]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self.environment,
            start_new_session=True,
        )

    def run(self, *line: str) -> Ended:
        begun = time.monotonic()
        process = self.start(*line)
        try:
            said, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said = f"{line} did not end within {SECONDS} s"
            process.communicate()
            raise AssertionError(said) from None
        return Ended(process.returncode, said, time.monotonic() - begun)

    def settled(self, *line: str, told: list[str]) -> Ended:
        """Run again until it ends well; what met a killed part may say so, in words and with a code of ours."""
        for _ in range(4):
            ended = self.run(*line)
            told.append(f"  {' '.join(line)} -> {ended.code} in {ended.seconds:.1f} s")
            self.decent(ended)
            if ended.code in {0, 2} or (ended.code == 4 and "this very plan was applied" in ended.said):
                return ended
            told += [f"    | {text}" for text in ended.said.splitlines()[-12:]]
            assert ended.code in ANSWERS, ended.said
        raise AssertionError(f"{line} never ends well\n{ended.said}")

    @staticmethod
    def decent(ended: Ended) -> None:
        for word in ("Traceback", "a part of ours failed", "Exception in thread", "never retrieved"):
            assert word not in ended.said, ended.said

    # processes

    def processes(self) -> list[psutil.Process]:
        """Everything that works for this workspace, the command itself included."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                words = process.cmdline()
                ours = any(str(self.root) in word for word in words) or process.environ().get("QNSP_WORKSPACE") == str(
                    self.root
                )
                if ours or process.cwd().startswith(str(self.root)):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def supervised(self) -> dict[str, list[psutil.Process]]:
        """First processes of what the supervisor runs, by name."""
        found: dict[str, list[psutil.Process]] = {}
        for process in self.processes():
            try:
                mark = process.environ().get("QNSP_SUPERVISED", "")
                if mark and _mark(process.parent()) != mark:
                    found.setdefault(mark.split("/")[1], []).append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def of(self, victim: str) -> list[psutil.Process]:
        """The processes that a victim's name means."""
        found = []
        for process in self.processes():
            try:
                words, mark = process.cmdline(), process.environ().get("QNSP_SUPERVISED", "")
            except (psutil.Error, OSError):
                continue
            engine = bool(words) and Path(words[0]).name.startswith("pulumi")
            kinds = {
                "engine": engine,
                "supervisor": "qnsp_policy.services.supervisor" in words,
                "broker": "/broker-main/" in mark,
                "gateway": "qnsp_policy.services.gateway" in words,
                "members": "/enclave-" in mark,
                "everything": True,
            }
            if kinds[victim]:
                found.append(process)
        return found

    def answers(self, endpoint: str, *, seconds: float = 90) -> None:
        """An endpoint's answer is signed and verifies, as soon as whoever serves it is up again."""
        line = ("call", endpoint, "--input", "chest pain", "--allow-simulated")
        deadline = time.monotonic() + seconds
        while (ended := self.run(*line)).code != 0:
            self.decent(ended)
            assert time.monotonic() < deadline, ended.said

    def supervisor(self) -> SupervisorClient:
        return SupervisorClient(SupervisorFolder.at(self.root / ".qnsp" / "run"))

    def kill(self, victim: str, command: subprocess.Popen[str], chance: random.Random) -> int:
        """How many processes it struck."""
        if victim == "command":
            struck = command.poll() is None
            command.kill()
            return int(struck)
        found = self.of(victim)
        if victim in {"engine", "members"} and found:
            found = [chance.choice(found)]
        struck_ones = 0
        for process in found:
            try:
                process.kill()
            except psutil.Error:
                continue
            struck_ones += 1
        if victim == "everything":
            command.kill()
        return struck_ones

    # judgement

    def quiet(self) -> None:
        """No engine process outlives its command for long."""
        deadline = time.monotonic() + 120
        while (left := self.of("engine")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, [process.cmdline()[:6] for process in left]

    def whole(self, *, units: set[str], names: set[str]) -> None:
        """What was declared runs, once; state, ledger and lease are whole; nothing is left lying about."""
        workspace = load(self.root)
        backend = open_backend(self.root, workspace)
        state = records.read_state(backend)
        assert set(state.units) == units
        assert all(unit.digest for unit in state.units.values())
        assert records.read_run(backend).status == records.APPLIED
        found = lease.read(backend)
        assert found is None or found[0].owner is None, found
        self.quiet()
        running = self.supervised()
        assert set(running) == names, {name: [p.pid for p in items] for name, items in running.items()}
        assert all(len(items) == 1 for items in running.values()), running
        if names:
            deadline = time.monotonic() + 120
            while {report.state for report in self.supervisor().reports()} != {State.READY}:
                assert time.monotonic() < deadline, self.supervisor().reports()
                time.sleep(0.2)
        else:
            assert self.of("supervisor") == []
        assert ledger_verify(self.root)
        self.recorded()
        left = self.litter()
        assert left == [], left

    def recorded(self) -> None:
        """Every apply that came to its end stands in the ledger, once."""
        workspace = load(self.root)
        backend = open_backend(self.root, workspace)
        log = open_ledger(self.root, workspace).log
        noted: dict[int, int] = {}
        for _, record in log.records():
            if record.type in {"apply", "destroy"} and "units" in record.data:
                statuses = {unit["status"] for unit in record.data["units"]}
                if statuses <= {"applied", "already"}:
                    noted[record.data["serial"]] = noted.get(record.data["serial"], 0) + 1
        for key in backend.list("applies/"):
            value = json.loads((backend.get(key) or (b"{}", ""))[0])
            if {unit["status"] for unit in value["units"]} <= {"applied", "already"} and value["serial"]:
                assert noted.get(value["serial"]) == 1, (value["serial"], noted)

    def litter(self) -> list[str]:
        """Scratch files and locks that a killed run left."""
        found = [path for path in self.root.rglob("*") if _SCRATCH.search(path.name)]
        found += list((self.root / ".qnsp/state/pulumi/.pulumi/locks").rglob("*.json"))
        found += [path for path in self.temporary.iterdir() if not _in_use(path) and not _probe(path)]
        return sorted(str(path) for path in found)

    def end(self) -> None:
        """Whatever happened, nothing of it lives on."""
        for process in self.processes():
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue


def _in_use(folder: Path) -> bool:
    """Whether a living process holds its scratch folder."""
    try:
        with (folder / ".held").open() as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _probe(path: Path) -> bool:
    """What Python's `tempfile` writes once a process, to see whether it can; whoever is killed in there leaves it."""
    return path.is_file() and path.read_bytes() in {b"", b"blat"}


def _mark(process: psutil.Process | None) -> str:
    try:
        return "" if process is None else str(process.environ().get("QNSP_SUPERVISED", ""))
    except (psutil.Error, OSError):  # the first process of a container is nobody's to ask
        return ""


__all__ = ["BUCKET_KEYS", "CLINIC", "ENDPOINT", "QUICKSTART", "Ended", "Lab"]
