"""Import: a resource that exists is put into a unit's stack by its id; nothing in the world is changed.

Afterwards its unit has no digest, so that the next plan, or the same plan applied again, compares it and makes it right.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.engine import records
from qnsp_policy.pipeline.engine.apply import utc_now
from qnsp_policy.pipeline.engine.command import Processes
from qnsp_policy.pipeline.engine.events import Listener, ignore
from qnsp_policy.pipeline.engine.host import EngineHost
from qnsp_policy.pipeline.engine.lease import Clock, Lease
from qnsp_policy.pipeline.engine.programs import outlines
from qnsp_policy.pipeline.engine.settings import EngineSettings
from qnsp_policy.pipeline.engine.stack import StackDriver
from qnsp_policy.pipeline.plan.values import Unit

KEPT_OUT = ("qnsp:", "aws:kms/key:")
"""Our own resources take on what exists by themselves; whoever made a key of KMS may hold its material."""


def import_resource(
    settings: EngineSettings,
    unit_id: str,
    name: str,
    id_: str,
    *,
    events: Listener = ignore,
    clock: Clock = utc_now,
    lock_timeout: float = 0.0,
) -> str:
    """Put one resource into the stack of a unit.

    Returns:
        Its type.

    Raises:
        LockHeld: somebody else holds the lease.
        OperatorError: QNSP-ENG-047, there is no such unit or resource, or it is not to be imported; -048, it is held already;
            -049, the provider knows no such id.
        EngineError: QNSP-ENG-046, the unit was never applied.
    """
    with (
        Lease.acquire(settings.backend, purpose=f"import of {name}", wait_seconds=lock_timeout, clock=clock) as lease,
        EngineHost() as host,
    ):
        recorded = records.read_state(settings.backend)
        recorded.judge()
        held = recorded.units.get(unit_id)
        if held is None:
            raise _unknown(unit_id, recorded.units, "no unit that an apply has begun")
        unit = Unit(held.id, held.program, dict(held.inputs), held.depends_on)
        steps = {step.name: step for step in outlines()[unit.program](unit)}
        step = steps.get(name)
        if step is None:
            raise _unknown(name, steps, f"no resource of {unit_id}")
        if step.type.startswith(KEPT_OUT):
            raise OperatorError(
                "QNSP-ENG-047",
                f"a {step.type} is not imported: an apply takes on its own, and a key that somebody else made may be known to him",
                subject=name,
                next_step="apply the plan: it makes one",
            )
        driver = StackDriver(settings, unit, Processes(lease.owns, lease.disown, host.cancel), events, host)
        present = driver.export().ids.get((step.type, name))
        if present is not None:
            raise OperatorError(
                "QNSP-ENG-048",
                f"{unit_id} holds {name} already: {present}",
                subject=name,
                next_step="nothing is to be imported; `qnsp-policy drift` says how it differs",
            )
        driver.take_on({(step.type, name): id_})
        driver.refresh(clear_pending_creates=False)
        found = driver.export()
        lease.check()
        records.write_unit(settings.backend, replace(held, digest="", deployment_digest=found.digest))
        if (step.type, name) not in found.ids:
            raise OperatorError(
                "QNSP-ENG-049",
                f"there is no {step.type} {id_}, so nothing was imported",
                subject=id_,
                next_step="say the id as the provider writes it: names of buckets, roles and log groups, ids of networks, ARNs of load balancers",
            )
    return step.type


def _unknown(name: str, among: object, what: str) -> OperatorError:
    names = [str(one) for one in among] if isinstance(among, dict) else []
    close = get_close_matches(name, names, n=1)
    return OperatorError(
        "QNSP-ENG-047",
        f"{name} is {what}",
        subject=name,
        next_step=f"did you mean `{close[0]}`?" if close else "see `qnsp-policy state list` and `plan --full`",
    )


__all__ = ["import_resource"]
