"""The engine behind plan's port `Previews`: how units that changed or drifted would be changed, read-only, without the lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qnsp_policy.pipeline.engine import programs, records
from qnsp_policy.pipeline.engine.command import Processes, together
from qnsp_policy.pipeline.engine.events import Listener, ignore
from qnsp_policy.pipeline.engine.host import EngineHost
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.pipeline.engine.waves import resolve
from qnsp_policy.pipeline.plan.values import PlannedStep, PreviewRequest, Step, Unit


class PulumiPreviews:
    """Previews by real Pulumi; engine processes start only when `preview` is called with requests.

    Args:
        settings: makes the engine's settings; called at the first preview, so that a plan without changed units needs no
            toolchain.
        listener: told of the engine's warnings.
    """

    def __init__(self, settings: Callable[[], EngineSettings], *, listener: Listener = ignore) -> None:
        self._settings = settings
        self._listener = listener

    def preview(self, requests: Sequence[PreviewRequest]) -> Mapping[str, tuple[PlannedStep, ...]]:
        """The steps for each unit id of `requests`; unchanged resources are left out."""
        if not requests:
            return {}
        settings = self._settings()
        with EngineHost() as host:
            return self._preview(requests, settings, host)

    def _preview(
        self, requests: Sequence[PreviewRequest], settings: EngineSettings, host: EngineHost
    ) -> Mapping[str, tuple[PlannedStep, ...]]:
        processes = Processes(on_cancel=host.cancel)
        # Outputs that units refer to; one that an earlier wave makes anew is previewed with what it is now.
        recorded = records.read_state(settings.backend).units

        def one(request: PreviewRequest) -> tuple[PlannedStep, ...]:
            driver = StackDriver(settings, resolve(request.unit, recorded), processes, self._listener, host)
            return told(driver.preview(refresh=True), request.unit)

        found = together(requests, one, processes, settings.parallel, self._listener)
        return {request.unit.id: steps for request, steps in zip(requests, found, strict=True)}


def told(steps: Sequence[PlannedStep], unit: Unit) -> tuple[PlannedStep, ...]:
    """Steps with the security properties that the unit's outline names, instead of every input."""
    outline = {(step.type, step.name): step for step in programs.outlines()[unit.program](unit)}
    shown = []
    for item in steps:
        named = outline.get((item.step.type, item.step.name))
        security = {name: item.step.security.get(name) for name in named.security} if named else {}
        shown.append(
            PlannedStep(item.op, Step(item.step.type, item.step.name, item.step.parent, security), item.properties)
        )
    return tuple(shown)


__all__ = ["PulumiPreviews", "told"]
