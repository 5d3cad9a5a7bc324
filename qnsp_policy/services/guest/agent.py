"""The guest agent's life: obtain, open, serve, look again; end loudly when the broker says no.

While an endpoint serves, its configuration and its model key are asked for again: a change of the configuration restarts it, a
denial stops it, and at the end of its lease it does not go on without a new release.

How far each endpoint is stands in `<workdir>/status/<endpoint>.json` (`kernel/wire/guest_status.py`), for whoever waits for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from qnsp_policy.errors import QnspError
from qnsp_policy.kernel.files_edge import own_folder
from qnsp_policy.kernel.wire.endpoint import EndpointConfiguration
from qnsp_policy.kernel.wire.guest_status import GuestState, GuestStatus
from qnsp_policy.services.guest.configuration import EndpointReference, GuestConfiguration
from qnsp_policy.services.guest.endpoint_run import GetReport, RunningEndpoint
from qnsp_policy.services.guest.image import unpack
from qnsp_policy.services.guest.key_source import KeySource
from qnsp_policy.services.guest.rcar import Denied

log = logging.getLogger("qnsp.guest")

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0


@dataclass(slots=True)
class _Served:
    running: RunningEndpoint
    lease_ends: float


class Agent:
    """Serves every endpoint of its configuration until it is stopped."""

    def __init__(
        self,
        configuration: GuestConfiguration,
        *,
        broker: KeySource,
        get_report: GetReport,
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configuration = configuration
        self._broker = broker
        self._get_report = get_report
        self._stopping = stopping
        self._clock = clock
        self._served: dict[str, _Served] = {}
        self._folders = contextlib.ExitStack()
        self._payload: Path | None = None
        self._said: dict[str, GuestStatus] = {}

    def run(self) -> None:
        """Serve until stopped; errors of one endpoint are logged and tried again, never passed over in silence."""
        waits = {reference.name: _FIRST_WAIT for reference in self._configuration.endpoints}
        due = dict.fromkeys(waits, 0.0)
        try:
            while not self._stopping.is_set():
                for reference in self._configuration.endpoints:
                    if self._clock() < due[reference.name]:
                        continue
                    if self._look_after(reference):
                        waits[reference.name] = _FIRST_WAIT
                        due[reference.name] = self._clock() + self._configuration.poll_seconds
                    else:
                        due[reference.name] = self._clock() + waits[reference.name]
                        waits[reference.name] = min(_LONGEST_WAIT, waits[reference.name] * 1.5)
                self._stopping.wait(0.1)
        finally:
            for name in list(self._served):
                self._stop(name, "the guest stops")
            self._folders.close()

    def _look_after(self, reference: EndpointReference) -> bool:
        """Bring one endpoint to what the broker says now; False if it does not serve afterwards."""
        asked = datetime.now(UTC)
        try:
            released = self._broker.fetch(reference.resource)
            endpoint = EndpointConfiguration.from_json(json.loads(released.data))
            key = self._broker.fetch(endpoint.model.resource)
        except Denied as denial:
            if denial.status == 404 and reference.name not in self._served:
                log.info("%s waits: the broker does not hold its configuration yet", reference.name)
            else:
                log.error("%s (decision %s)", denial, denial.decision_id or "none")  # noqa: TRY400 - a refusal is no fault
            self._stop(reference.name, "the broker denied it")
            self._say(reference.name, GuestState.DENIED, asked, denial)
            return False
        except (QnspError, ValueError) as error:
            log.error("%s: %s", reference.name, error)  # noqa: TRY400 - tried again, its text says why
            self._say(reference.name, GuestState.WAITING, asked, error)
            served = self._served.get(reference.name)
            if served is not None and self._clock() > served.lease_ends:
                self._stop(reference.name, "its lease ended without a new release")
            return reference.name in self._served
        served = self._served.get(reference.name)
        if served is not None:
            ended = served.running.ended()
            if ended:
                self._stop(reference.name, f"{ended} ended")
            elif served.running.configuration.digest != endpoint.digest:
                self._stop(reference.name, "its configuration changed")
            else:
                served.lease_ends = self._clock() + (key.lease_seconds or 300)
                return True
        try:
            self._start(reference, endpoint, key.data, key.lease_seconds)
        except QnspError as error:
            log.error("%s does not serve: %s", reference.name, error)  # noqa: TRY400 - tried again
            self._say(reference.name, GuestState.FAILED, asked, error)
            return False
        self._say(reference.name, GuestState.SERVING, asked)
        return True

    def _start(
        self, reference: EndpointReference, endpoint: EndpointConfiguration, data_key: bytes, lease: int
    ) -> None:
        running = RunningEndpoint(
            endpoint,
            data_key=data_key,
            get_report=self._get_report,
            artefacts=Path(self._configuration.artefacts),
            payload=self._unpacked(self._configuration.image) if self._configuration.image else self._system(),
            workdir=Path(self._configuration.workdir),
            upstream_seconds=self._configuration.upstream_seconds,
            bind=self._configuration.bind,
        )
        self._served[reference.name] = _Served(running, self._clock() + (lease or 300))
        log.info("%s serves on %s; lease %d s", reference.name, endpoint.listen, lease)

    def _say(self, name: str, state: GuestState, asked: datetime, error: Exception | None = None) -> None:
        """Write down how far an endpoint is; a status that cannot be written stops nothing."""
        before = self._said.get(name)
        times = before.times + 1 if before is not None and before.state is state else 1
        status = GuestStatus(
            endpoint=name,
            state=state,
            asked=asked,
            times=times,
            code=error.code if isinstance(error, QnspError) else "",
            text=error.message if isinstance(error, QnspError) else str(error or ""),
            decision=error.decision_id if isinstance(error, Denied) else "",
        )
        self._said[name] = status
        path = Path(self._configuration.workdir) / "status" / f"{name}.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = path.with_suffix(".new")
            scratch.write_bytes(status.to_bytes())
            scratch.replace(path)
        except OSError as failed:
            log.warning("the status of %s cannot be written: %s", name, failed)

    def _stop(self, name: str, why: str) -> None:
        served = self._served.pop(name, None)
        if served is not None:
            log.error("%s is stopped: %s", name, why)
            served.running.stop()

    def _unpacked(self, image: str) -> Path:
        """The image's payload, unpacked anew by every agent: a folder that lay there before could be anybody's."""
        if self._payload is None:
            folder = self._folders.enter_context(own_folder("qnsp-payload-"))
            unpack(Path(image).read_bytes(), folder, digest=self._configuration.image_digest)
            self._payload = folder
        return self._payload

    def _system(self) -> Path:
        """Where nothing is to be unpacked the guest's own system is the measured image (enclaves, AMIs): its artefacts' folder."""
        return Path(self._configuration.artefacts).absolute()


__all__ = ["Agent"]
