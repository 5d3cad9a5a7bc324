"""The bulk reader of the local platform: one question to the supervisor, one to each broker, one to each gateway.

Takes no lock, starts no engine process, and cannot write: it holds readers only. What is compared is what was applied
(recorded inputs), through the same functions by which the provider made it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnsp_policy.errors import PeerError, QnspError
from qnsp_policy.kernel.wire.broker_admin import ObjectEntry
from qnsp_policy.kernel.wire.supervisor import MAX_LINE, ProcessReport, Request, State, parse_answer
from qnsp_policy.kernel.wire.unix_edge import ask
from qnsp_policy.pipeline.world.broker_edge import BrokerReader
from qnsp_policy.pipeline.world.gateway import GatewayStatement
from qnsp_policy.pipeline.world.gateway_edge import read_gateway
from qnsp_policy.pipeline.world.guest_edge import read_guests
from qnsp_policy.pipeline.world.local import declared_files, process_inputs, process_spec
from qnsp_policy.pipeline.world.observed import Concern, Deviation, Observation
from qnsp_policy.pipeline.world.recorded import RecordedUnit

ReadObjects = Callable[[Mapping[str, Any]], Sequence[ObjectEntry]]
ReadGateway = Callable[[Mapping[str, Any]], GatewayStatement]

RUN_DIR = ".qnsp/run"
_SECONDS = 20.0
# A broker's own bookkeeping, and what a responder may add at once without a plan.
_OWN_KINDS = frozenset({"plan"})
_SECURITY_KINDS = frozenset(
    {"release-policy", "reference-values", "resource", "tenant", "trust-root", "endpoint", "revocation"}
)


@dataclass(frozen=True, slots=True)
class LocalReader:
    """Reads the units of local platforms.

    Attributes:
        workspace: absolute folder.
        operator_key: file of the key that signs questions to brokers, None leaves their objects unknown.
        read_objects, read_gateway: the ways out, replaceable by fakes.
    """

    workspace: Path
    operator_key: Path | None = None
    read_objects: ReadObjects | None = None
    read_gateway: ReadGateway = read_gateway

    def observe(self, units: Mapping[str, RecordedUnit]) -> Observation:
        """Look at everything these units made."""
        look = _Look(self, units)
        return look.run()

    def objects_of(self, connection: Mapping[str, Any]) -> Sequence[ObjectEntry]:
        """What one broker holds."""
        if self.read_objects is not None:
            return self.read_objects(connection)
        with BrokerReader(connection, self.operator_key) as reader:
            return reader.objects()

    def reports(self) -> dict[str, ProcessReport]:
        """What the supervisor runs, by name.

        Raises:
            OSError: there is no supervisor.
        """
        line = ask(
            self.workspace / RUN_DIR / "supervisor.sock", Request("list").to_line(), timeout=_SECONDS, limit=MAX_LINE
        )
        found = [ProcessReport.from_json(item) for item in parse_answer(line)["processes"]]
        return {report.name: report for report in found}


class _Look:
    def __init__(self, reader: LocalReader, units: Mapping[str, RecordedUnit]) -> None:
        self._reader = reader
        self._units = units
        self._found: list[Deviation] = []
        self._unknown: dict[str, str] = {}

    def run(self) -> Observation:
        connections = {_key(c): c for unit in self._units.values() for c, _ in _objects(unit.inputs)}
        endpoints = [unit for unit in self._units.values() if isinstance(unit.inputs.get("endpoint"), dict)]
        with ThreadPoolExecutor(8, thread_name_prefix="read") as pool:
            held = {key: pool.submit(self._reader.objects_of, c) for key, c in connections.items()}
            served = {unit.id: pool.submit(self._gateway, unit) for unit in endpoints}
            self._processes()
            at_brokers: dict[str, Mapping[str, ObjectEntry]] = {}
            failed: dict[str, str] = {}
            for key, future in held.items():
                try:
                    at_brokers[key] = {entry.key: entry for entry in future.result()}
                except (QnspError, OSError) as error:
                    failed[key] = str(error)
            self._compare_objects(at_brokers, failed)
            for unit_id, future_gateway in served.items():
                self._compare_gateway(self._units[unit_id], future_gateway.result())
        order = {unit: number for number, unit in enumerate(self._units)}
        found = sorted(self._found, key=lambda item: (order[item.unit], item.resource))
        read = tuple(name for name in order if name not in self._unknown)
        return Observation(tuple(found), self._unknown, read)

    # processes

    def _processes(self) -> None:
        wanted = [(unit, shape) for unit in self._units.values() for shape in unit.inputs.get("processes", [])]
        platforms = [unit for unit in self._units.values() if "supervisor" in unit.inputs]
        if not wanted and not platforms:
            return
        try:
            reports = self._reader.reports()
        except (OSError, QnspError):
            for unit in platforms:
                self._note(
                    unit.id, "supervisor", Concern.AVAILABILITY, "the supervisor does not run", "running", "absent"
                )
            for unit, shape in wanted:
                self._note(
                    unit.id,
                    shape["name"],
                    Concern.AVAILABILITY,
                    f"process {shape['name']} does not run",
                    "running",
                    "absent",
                )
            return
        for unit, shape in wanted:
            self._process(unit, shape, reports.get(shape["name"]))
        declared = {shape["name"] for _, shape in wanted}
        for name in sorted(set(reports) - declared):
            for unit in platforms[:1]:
                self._note(
                    unit.id, name, Concern.SECURITY, f"process {name} runs, but nobody declared it", "absent", "running"
                )

    def _process(self, unit: RecordedUnit, shape: Mapping[str, Any], report: ProcessReport | None) -> None:
        name = shape["name"]
        if report is None:
            self._note(unit.id, name, Concern.AVAILABILITY, f"process {name} does not run", "running", "absent")
            return
        spec = process_spec(process_inputs(shape), workspace=self._reader.workspace, python=sys.executable)
        if report.digest != spec.digest():
            text = f"process {name} runs with another command or configuration than was applied"
            self._note(unit.id, name, Concern.SECURITY, text, spec.digest(), report.digest)
        if report.state is not State.READY:
            text = f"process {name} is {report.state.value}" + (f": {report.reason}" if report.reason else "")
            self._note(unit.id, name, Concern.AVAILABILITY, text, State.READY.value, report.state.value)
        for path, (_, data) in declared_files(shape.get("files", [])).items():
            try:
                same = (self._reader.workspace / path).read_bytes() == data
            except OSError:
                same = False
            if not same:
                text = f"file {path} of process {name} is not what was applied"
                self._note(unit.id, path, Concern.SECURITY, text)

    # objects at brokers

    def _compare_objects(self, at_brokers: Mapping[str, Mapping[str, ObjectEntry]], failed: Mapping[str, str]) -> None:
        declared: dict[str, set[str]] = {key: set() for key in at_brokers}
        home: dict[str, str] = {}
        for unit in self._units.values():
            for connection, items in _objects(unit.inputs):
                key, name = _key(connection), connection["name"]
                if unit.program == "broker":
                    home[key] = unit.id
                if key in failed:
                    if items:
                        self._unknown.setdefault(unit.id, failed[key])
                    continue
                for item in items:
                    full = f"{item['kind']}/{item['name']}"
                    declared[key].add(full)
                    self._object(unit, f"{full} at {name}", item, at_brokers[key].get(full))
        for key, entries in at_brokers.items():
            for full in sorted(set(entries) - declared[key]):
                if entries[full].kind not in _OWN_KINDS and key in home:
                    text = f"{full} is held by the broker, but was not applied from here"
                    self._note(home[key], full, Concern.SECURITY, text, "absent", entries[full].digest)

    def _object(self, unit: RecordedUnit, label: str, item: Mapping[str, Any], entry: ObjectEntry | None) -> None:
        concern = Concern.SECURITY if item["kind"] in _SECURITY_KINDS else Concern.COSMETIC
        if entry is None:
            self._note(unit.id, label, Concern.AVAILABILITY, f"{label} is gone", item["digest"], "absent")
        elif entry.digest != item["digest"]:
            self._note(unit.id, label, concern, f"{label} differs from what was applied", item["digest"], entry.digest)

    # endpoints

    def _gateway(self, unit: RecordedUnit) -> GatewayStatement | QnspError | OSError:
        endpoint = unit.inputs["endpoint"]
        try:
            return self._reader.read_gateway(endpoint)
        except (QnspError, OSError) as error:
            return error

    def _compare_gateway(self, unit: RecordedUnit, said: GatewayStatement | QnspError | OSError) -> None:
        name = unit.inputs["endpoint"]["name"]
        if isinstance(said, PeerError) and said.code != "QNSP-GWY-020":
            text = f"what answers as endpoint {name} is not it: {said}"
            self._note(
                unit.id, name, Concern.SECURITY, text, said.expected or "its evidence", said.got or "other evidence"
            )
            return
        if not isinstance(said, GatewayStatement):
            quoted = [status.text for status in read_guests(self._reader.workspace, name) if status.text]
            text = f"endpoint {name} does not answer: {said}" + (f"; its guest says: {quoted[0]}" if quoted else "")
            self._note(unit.id, name, Concern.AVAILABILITY, text, "answers", "silent")
            return
        applied = str(unit.outputs.get("keyId", ""))
        fleet = self._units.get(f"enclave/{unit.inputs['endpoint'].get('enclave', '')}")
        sized = {} if fleet is None else fleet.inputs.get("fleet") or fleet.inputs.get("enclave", {})
        if int(sized.get("members", 1)) > 1:
            # Behind one name answers now this member, now that, each by a key of its own; its evidence was verified.
            return
        if applied and said.key_id != applied:
            # Every start of an enclave makes a new key; relying parties follow the evidence, which was verified here too.
            text = f"endpoint {name} signs with a new key since its enclave was started anew; its evidence holds"
            self._note(unit.id, name, Concern.REFRESHED, text, applied, said.key_id)

    def _note(self, unit: str, resource: str, concern: Concern, text: str, expected: str = "", got: str = "") -> None:
        self._found.append(Deviation(unit, resource, concern, text, expected, got))


def _key(connection: Mapping[str, Any]) -> str:
    return f"{connection['name']} {connection['url']}"


def _objects(inputs: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]:
    """Every broker that a unit's inputs name, with the objects it was given."""
    if isinstance(inputs.get("broker"), dict):
        return [(inputs["broker"], inputs.get("objects") or [])]
    entries = [entry for entry in inputs.get("brokers") or [] if isinstance(entry.get("broker"), dict)]
    return [(entry["broker"], entry.get("objects") or []) for entry in entries]


__all__ = ["RUN_DIR", "LocalReader", "ReadGateway", "ReadObjects"]
