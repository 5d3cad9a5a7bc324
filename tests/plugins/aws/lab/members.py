"""What an instance of a fleet does in the lab, as real processes of this machine: parents and their enclaves, attestable AMIs, SEV-SNP.

A parent's user data is run by bash as it stands in the launch template, with stand-ins for the commands of an instance. `nitro-cli
run-enclave` boots the very image that the script fetched: it is measured as any verifier measures it, its files are unpacked, and its own
command is started with an NSM that shows these registers. What is changed of its configuration is what a machine of its own would
give it: paths below its root, its own loopback address for 127.0.0.1, and TCP where vsock would lead.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpcore
import httpx

from qnsp_policy.errors import QnspError
from qnsp_policy.kernel.attestation.nitro_enclave import eif
from qnsp_policy.kernel.images import cpio
from qnsp_policy.kernel.tls.client_edge import BackendTransport, TlsBackend, TlsStream, engine_to
from qnsp_policy.kernel.tls.engine import client_context
from qnsp_policy.simulator.nitro import NitroPki
from qnsp_policy.simulator.nitro_devices import DeviceSocket, SimulatedNsm, SimulatedTpm
from tests.plugins.aws.lab.ground import Credentials, Said

REPOSITORY = Path(__file__).parents[4]
_OF_IMAGE = ("/srv", "/etc/qnsp", "/run/qnsp")
_PYTHON = ("python", "python3", "/usr/bin/python3")
_NOT_FOUND = Said(22)


def _to_anybody(raw: httpcore.NetworkStream, host: str, timeout: float | None) -> httpcore.NetworkStream:
    """What `curl -k` does: TLS with whoever answers."""
    return TlsStream(raw, engine_to(host, client_context()), timeout)


class World(Protocol):
    """What a member asks of the lab."""

    pki: NitroPki

    @property
    def tools(self) -> Path: ...
    @property
    def kms(self) -> tuple[int, Path]: ...
    def fetch(self, member: str, location: str) -> bytes | None: ...
    def resolve(self, host: str, port: int) -> tuple[str, int]: ...
    def complete(self, member: str, group: str, hook: str) -> bool: ...
    def ami(self, name: str) -> Path | None: ...


@dataclass
class Member:
    """One instance.

    Attributes:
        id: of the instance.
        address: on the loopback; stands for the instance's own.
        folder: its disk, console and log.
        data: of its version of the launch template.
        user_data: as the instance reads it.
    """

    id: str
    address: str
    folder: Path
    data: Mapping[str, Any]
    user_data: str
    world: World
    _closing: list[Callable[[], None]] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Begin to boot."""
        self.folder.mkdir(parents=True)

    def stop(self) -> None:
        """End what runs, at once."""
        self._stopped.set()
        with self._lock:
            while self._closing:
                self._closing.pop()()

    @property
    def hopeless(self) -> bool:
        """Whether nothing runs any more that could report it as attested: no need to wait for the hook's time to pass."""
        return False

    def tool(self, argv: Sequence[str]) -> Said:
        """A command that its user data calls."""
        return Said(127, "", f"{argv[0]}: not played here\n")

    def _until_stopped(self, close: Callable[[], None]) -> None:
        with self._lock:
            if not self._stopped.is_set():
                self._closing.append(close)
                return
        close()

    def _process(self, argv: Sequence[str], log: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as sink:
            made = subprocess.Popen(
                argv, cwd=self.folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                start_new_session=True,
            )  # fmt: skip
        self._until_stopped(lambda: _end(made))
        return made

    def _guest_environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "PYTHONPATH": str(REPOSITORY)}

    def _device(self, registers: Mapping[int, bytes], *, tpm: bool) -> Path:
        """The device that shows these registers."""
        module = SimulatedNsm(self.world.pki, lambda: datetime.now(UTC), registers, tpm=tpm)
        path = self.folder / "device.sock"
        device = DeviceSocket(path, SimulatedTpm(module).transmit if tpm else module.exchange, stream=tpm)
        self._until_stopped(device.close)
        return path

    def _credentials(self) -> str:
        held = Credentials(self.address, self.id)
        self._until_stopped(held.close)
        return f"tcp://{self.address}:8001"

    def _guest(
        self, root: Path, path: str, changes: Mapping[str, Any], carriers: Mapping[int, tuple[str, int]]
    ) -> Path:
        """A guest's configuration as it stands in its image, for a guest without a machine of its own."""
        told = json.loads((root / path.lstrip("/")).read_text(encoding="utf-8"))
        bridges = [one for one in told.get("bridges", ()) if not one["arrives"].startswith("vsock://any:")]
        if "program" in told:
            told["program"].setdefault("environment", {})["PYTHONPATH"] = str(REPOSITORY)
            place = next((at for at, word in enumerate(told["program"]["command"]) if word == "--config"), None)
            if place is not None:
                inner = told["program"]["command"][place + 1]
                made = self._moved(json.loads((root / inner.lstrip("/")).read_text(encoding="utf-8")), root, carriers)
                told["program"]["command"][place + 1] = str(self._written("program.json", made))
        moved = self._moved({**told, "bridges": bridges} if bridges else _without(told, "bridges"), root, carriers)
        if "kms" in moved:
            port, authorities = self.world.kms
            moved["kms"] |= {"via": f"tcp://127.0.0.1:{port}", "authorities": str(authorities), "keySize": 2048}
            moved["kms"]["credentials"] = self._credentials()
        Path(moved["workdir"]).mkdir(parents=True, exist_ok=True)
        return self._written("guest.json", {**moved, **changes})

    def _moved(self, value: Any, root: Path, carriers: Mapping[int, tuple[str, int]]) -> Any:
        if isinstance(value, Mapping):
            return {name: self._moved(one, root, carriers) for name, one in value.items()}
        if isinstance(value, list):
            return [self._moved(one, root, carriers) for one in value]
        if not isinstance(value, str):
            return value
        if value.startswith("vsock://parent:"):
            host, port = carriers[int(value.rpartition(":")[2])]
            return f"tcp://{host}:{port}"
        bare = value.removeprefix("sqlite:///")
        if bare.startswith(_OF_IMAGE):
            return value.replace(bare, f"{root}{bare}")
        return value.replace("127.0.0.1", self.address)

    def _written(self, name: str, value: Any) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(value, indent=1), encoding="utf-8")
        path.chmod(0o600)
        return path


class Parent(Member):
    """The parent of a Nitro enclave."""

    def start(self) -> None:
        super().start()
        self.carriers: dict[int, tuple[str, int]] = {}
        (self.folder / "run").mkdir()
        (self.folder / "etc").mkdir()
        script = self.user_data.replace("/run/qnsp", str(self.folder / "run"))
        script = script.replace("/etc/nitro_enclaves", str(self.folder / "etc"))
        path = self.folder / "user-data.sh"
        path.write_text(script, encoding="utf-8")
        environment = {"PATH": f"{self.world.tools}:/usr/bin:/bin", "LAB_MEMBER": self.id, "LANG": "C.UTF-8"}
        self._script = self._process(["bash", str(path)], "console.log", environment)

    @property
    def hopeless(self) -> bool:
        return self._script.poll() not in {None, 0}

    def tool(self, argv: Sequence[str]) -> Said:
        match argv:
            case ["dnf" | "systemctl", *_]:
                return Said()
            case ["sleep", *_]:
                self._stopped.wait(0.2)
                return Said(1 if self._stopped.is_set() else 0)
            case ["curl", *_, url]:
                return self._curl(url)
            case ["aws", "s3", "cp", *_, location, path]:
                data = self.world.fetch(self.id, location)
                if data is None:
                    return Said(1, "", f"fatal error: 403 or 404 for {location}\n")
                Path(path).write_bytes(data)
                return Said()
            case ["aws", *words] if "complete-lifecycle-action" in words:
                given = dict(itertools.pairwise(words))
                if given["--lifecycle-action-result"] == "ABANDON":
                    return Said()  # `hopeless` tells it, once the script has ended
                done = self.world.complete(
                    given["--instance-id"], given["--auto-scaling-group-name"], given["--lifecycle-hook-name"]
                )
                return Said() if done else Said(254, "", "no such hook, or its role may not\n")
            case ["systemd-run", *words]:
                return self._carry(words)
            case ["nitro-cli", "run-enclave", *words]:
                return self._boot(dict(zip(words[::2], words[1::2], strict=True)))
            case _:
                return super().tool(argv)

    def _curl(self, url: str) -> Said:
        if url.endswith("/api/token"):
            return Said(0, "token-of-a-lab")
        if url.endswith("/meta-data/instance-id"):
            return Said(0, self.id)
        if not url.startswith("https://127.0.0.1:"):
            return _NOT_FOUND
        base, _, path = url.replace("127.0.0.1", self.address).removeprefix("https://").partition("/")
        try:
            with httpx.Client(transport=BackendTransport(TlsBackend(_to_anybody)), timeout=60) as http:
                return Said(0 if http.get(f"https://{base}/{path}").status_code == 200 else 22)
        except (QnspError, OSError, ValueError, httpx.HTTPError):
            return _NOT_FOUND

    def _carry(self, words: Sequence[str]) -> Said:
        """A carrier of bytes; those that lead out of the enclave are remembered, the rest is this machine's loopback."""
        near = next((word for word in words if word.startswith("VSOCK-LISTEN:")), "")
        far = next((word for word in words if word.startswith("TCP:")), "")
        if near and far:
            host, port = shlex.split(far)[0].removeprefix("TCP:").rsplit(":", 1)
            self.carriers[int(near.split(":")[1].split(",")[0])] = self.world.resolve(host, int(port))
        for word in words:
            if word.endswith("/vsock-proxy"):
                self.carriers[int(words[words.index(word) + 1])] = ("127.0.0.1", self.world.kms[0])
        if near and not far:
            self.carriers[int(near.split(":")[1].split(",")[0])] = (self.address, 8001)
        return Said()

    def _boot(self, options: Mapping[str, str]) -> Said:
        image = eif.parse(Path(options["--eif-path"]).read_bytes())
        root = self.folder / "enclave"
        words: list[str] = []
        for name, entry in cpio.read(image.of("ramdisk")[1]):
            if name == "cmd":
                words = entry.data.decode().splitlines()
            elif name.startswith("rootfs/") and entry.kind == "file":
                path = root / name.removeprefix("rootfs/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(entry.data)
        device = self._device(eif.pcrs(image), tpm=False)
        place = words.index("--config") + 1
        guest = self._guest(root, words[place], {"device": str(device)}, self.carriers)
        argv = [sys.executable if word in _PYTHON else word for word in words]
        argv[place] = str(guest)
        self._process(argv, "enclave.log", self._guest_environment())
        return Said(0, "Started enclave\n")


class MeasuredInstance(Member):
    """An attestable AMI on NitroTPM: it reports once KMS opened what it is for, under the registers of its own boot programs."""

    def start(self) -> None:
        super().start()
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()

    def _run(self) -> None:
        ami = self.world.ami(str(self.data["ImageId"]))
        if ami is None:
            return
        registers = json.loads((ami / "registration.json").read_text(encoding="utf-8"))["registers"]
        shown = {int(name.removeprefix("pcr")): bytes.fromhex(value) for name, value in registers.items()}
        device = self._device(shown, tpm=True)
        guest = self._guest(ami / "root", "/etc/qnsp/guest.json", {"device": str(device)}, {})
        wanted = [one["resource"] for one in json.loads(guest.read_text(encoding="utf-8"))["kms"]["keys"]]
        line = [sys.executable, "-m", "qnsp_policy.services.guest", "--config", str(guest), "fetch"]
        while not self._stopped.is_set():
            asked = [self._process([*line, one], "instance.log", self._guest_environment()) for one in wanted]
            if all(process.wait() == 0 for process in asked):
                break
            self._stopped.wait(0.5)
        told = dict(line.split(" = ", 1) for line in self.user_data.splitlines())
        if not self._stopped.is_set():
            self.world.complete(self.id, told["group"], told["hook"])


class SevInstance(Member):
    """A SEV-SNP instance: nobody asks it for evidence, no key is granted to it, so it says that it runs and nothing more."""

    def start(self) -> None:
        super().start()
        told = dict(line.split(" = ", 1) for line in self.user_data.splitlines())
        thread = threading.Thread(target=self.world.complete, args=(self.id, told["group"], told["hook"]), daemon=True)
        thread.start()


def _without(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: one for key, one in value.items() if key != name}


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def member_of(data: Mapping[str, Any]) -> type[Member]:
    """The kind of instance that a launch template starts."""
    if str((data.get("EnclaveOptions") or {}).get("Enabled")).lower() == "true":
        return Parent
    return SevInstance if (data.get("CpuOptions") or {}).get("AmdSevSnp") else MeasuredInstance


__all__ = ["REPOSITORY", "MeasuredInstance", "Member", "Parent", "SevInstance", "World", "member_of"]
