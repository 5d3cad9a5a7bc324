"""`qnsp:local:Supervisor` and `qnsp:local:Process`: the processes of a local platform."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pulumi_qnsp.kinds import Changes, InitFailed, Json, NotOurs, Setting, compare
from pulumi_qnsp.supervisor_edge import SupervisorClient, SupervisorFolder
from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.kernel.wire.supervisor import ProcessReport, ProcessSpec, State
from qnsp_policy.pipeline.world.local import declared_files, files_digest, process_spec

_HOPELESS_RESTARTS = 3
_SLICE_SECONDS = 0.5
DEFAULT_WAIT_SECONDS = 30.0


class SupervisorKind:
    """The supervisor of a run folder; there is one whatever happens, so create adopts."""

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        missing = [name for name in ("runDir", "socket", "state", "logs") if not isinstance(inputs.get(name), str)]
        return [(name, "is missing or no path") for name in missing]

    def diff(self, setting: Setting, old: Json, new: Json) -> Changes:
        del setting
        return compare(old, new, frozen=frozenset({"runDir", "socket", "state", "logs"}))

    def identity(self, inputs: Json) -> str:
        return str(inputs["runDir"])

    def create(self, setting: Setting, urn: str, inputs: Json) -> tuple[str, Json]:
        del urn
        pid = SupervisorClient(_folder(setting, inputs)).start()
        return self.identity(inputs), {**inputs, "pid": pid}

    def read(self, setting: Setting, urn: str, resource_id: str, state: Json) -> Json | None:
        del urn, resource_id
        pid = SupervisorClient(_folder(setting, state)).ping()
        return None if pid is None else {**state, "pid": pid}

    def update(self, setting: Setting, urn: str, old: Json, new: Json) -> Json:
        del old
        return self.create(setting, urn, new)[1]

    def delete(self, setting: Setting, urn: str, resource_id: str, state: Json) -> None:
        del urn, resource_id
        client = SupervisorClient(_folder(setting, state))
        if client.wake():
            client.shutdown()


class ProcessKind:
    """A process under the supervisor."""

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        try:
            ProcessSpec.from_json(process_spec(inputs, workspace=Path("/"), python="python").to_json())
            anywhere = Setting(Path("/"))
            for path in inputs["files"]:
                anywhere.path(path)
            entries = [json.loads(text) for text in inputs["files"].values()]
            if files_digest(declared_files(entries)) != inputs["filesDigest"]:
                return [("filesDigest", "is not the digest of the files")]
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, OperatorError) as error:
            return [("argv", f"is not a process that can be run: {error}")]
        return []

    def diff(self, setting: Setting, old: Json, new: Json) -> Changes:
        changes = compare(old, new, frozen=frozenset({"name"}))
        properties = dict(changes.properties)
        # The specification also holds absolute paths, and what really runs may be another one than was recorded.
        if not properties and old.get("specDigest") != _spec(setting, new).digest():
            properties["specDigest"] = "update"
        return Changes(properties, changes.replaces)

    def identity(self, inputs: Json) -> str:
        return str(inputs["name"])

    def create(self, setting: Setting, urn: str, inputs: Json) -> tuple[str, Json]:
        """Have it run. One of that name that runs for another resource is left alone, and so are its files.

        Raises:
            NotOurs: QNSP-APL-016, the name is another resource's.
        """
        spec = _spec(setting, inputs)
        client = SupervisorClient(_run_folder(setting, inputs))
        client.start()
        held = next((report for report in client.reports([spec.name]) if report.owner not in {"", urn}), None)
        if held is not None:
            raise NotOurs(
                "QNSP-APL-016",
                f"process {spec.name} runs for {held.owner}, not for {urn}",
                subject=spec.name,
                next_step="give one of the two another name, or destroy the unit that it runs for first",
            )
        _write_files(setting, inputs)
        report, lines = _ensure(setting, client, spec, urn)
        state = {**inputs, "pid": report.pid or 0, "specDigest": report.digest, "log": f"logs/{spec.name}.log"}
        if report.state is not State.READY and not (report.state is State.EXITED and report.exit_code == 0):
            said = "".join(f"\n    | {line}" for line in lines[-8:])
            raise InitFailed(
                "QNSP-APL-011",
                f"process {spec.name} is not ready: {report.reason or report.state.value}; log {report.log}{said}",
                spec.name,
                state,
            )
        return spec.name, state

    def read(self, setting: Setting, urn: str, resource_id: str, state: Json) -> Json | None:
        try:
            reports = SupervisorClient(_run_folder(setting, state)).reports([resource_id])
        except OSError:
            return None
        report = next((item for item in reports if item.owner in {"", urn}), None)
        if report is None or report.state is State.FAILED:
            return None
        files = {
            path: (str(json.loads(text).get("mode", "0600")), _content(setting.path(path)))
            for path, text in state["files"].items()
        }
        return {
            **state,
            "pid": report.pid or 0,
            "specDigest": report.digest,
            "filesDigest": files_digest(files),
        }

    def update(self, setting: Setting, urn: str, old: Json, new: Json) -> Json:
        outputs = self.create(setting, urn, new)[1]
        for path in sorted(set(old.get("files", {})) - set(new["files"])):
            setting.path(path).unlink(missing_ok=True)
        return outputs

    def delete(self, setting: Setting, urn: str, resource_id: str, state: Json) -> None:
        client = SupervisorClient(_run_folder(setting, state))
        if client.wake():
            if any(report.owner not in {"", urn} for report in client.reports([resource_id])):
                return
            client.stop(resource_id)
        for path in state.get("files", {}):
            setting.path(path).unlink(missing_ok=True)


def _folder(setting: Setting, inputs: Json) -> SupervisorFolder:
    return SupervisorFolder(*(setting.path(inputs[name]) for name in ("runDir", "socket", "state", "logs")))


def _run_folder(setting: Setting, inputs: Json) -> SupervisorFolder:
    return SupervisorFolder.at(setting.path(str(inputs.get("runDir", ".qnsp/run"))))


def _spec(setting: Setting, inputs: Json) -> ProcessSpec:
    return process_spec(inputs, workspace=setting.workspace, python=sys.executable)


def _ensure(
    setting: Setting, client: SupervisorClient, spec: ProcessSpec, owner: str
) -> tuple[ProcessReport, list[str]]:
    """Ask in short slices, so that a cancelled run does not sit out a long readiness."""
    limit = spec.readiness.timeout_seconds if spec.readiness else DEFAULT_WAIT_SECONDS
    deadline = time.monotonic() + limit
    while True:
        report, lines = client.ensure(spec, owner=owner, wait_seconds=_SLICE_SECONDS)
        waiting = report.state in {State.STARTING, State.BACKOFF}
        if not waiting or report.restarts >= _HOPELESS_RESTARTS or time.monotonic() >= deadline:
            return report, lines
        if setting.cancelled.is_set():
            return report, lines


def _write_files(setting: Setting, inputs: Json) -> None:
    entries = [json.loads(text) for text in inputs["files"].values()]
    for path, (mode, data) in declared_files(entries).items():
        target = setting.path(path)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(target, data, mode=int(mode, 8))
        target.chmod(int(mode, 8))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


__all__ = ["DEFAULT_WAIT_SECONDS", "ProcessKind", "SupervisorKind"]
