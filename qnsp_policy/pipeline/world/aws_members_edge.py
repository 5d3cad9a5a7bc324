"""Whether every member of a fleet on AWS attested: asked of its auto-scaling group until it is so, or never will be. Read-only.

A member is in service once its lifecycle hook was completed, which its own gateway's evidence brings about. A refresh that AWS ended
in another way than successfully means that a new member did not: AWS ended that member, and the old ones run on. Of a new fleet AWS
starts member after member instead: the first one whose hook was abandoned tells it (Auto Scaling User Guide, "Verify" of its lifecycle hook
tutorials: an activity `Cancelled` whose message holds "Lifecycle Action ... was abandoned").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.world.aws_calls_edge import Clients
from qnsp_policy.pipeline.world.aws_edge import clients

Json = Mapping[str, Any]
PAUSE_SECONDS = 10.0
_RUNNING = frozenset({"Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress"})
_REFUSALS = 3
"""So many starts in a row must fail, with nothing running, before the wait ends: capacity comes and goes."""
_LATEST = 20
_ABANDONED = "was abandoned"
_BY_ITSELF = "ABANDON Result"
"""In the message of a member that reported its own failure; of one whose time was over it is `Heartbeat Timeout`."""
_RETOLD = 6
_STRIKES = 6
"""So many answers in a row may fail before the wait ends: AWS throttles, networks blink."""


def await_members(
    inputs: Json,
    interrupted: Event,
    tell: Callable[[str], None] = lambda _: None,
    back: bool = False,
    *,
    connect: Callable[[Json], Clients] = clients,
    pause: float = PAUSE_SECONDS,
) -> None:
    """Wait until as many members as wanted run what the group starts now, all in service.

    Args:
        inputs: of the fleet's unit, as applied.
        interrupted: ends the wait, which asks once in any case.
        tell: told how it stands, when that changes and about once a minute.
        back: the fleet goes back to what it was: a refresh that AWS itself ended by going back is no failure.
        connect: makes the clients of one platform; replaceable by fakes.
        pause: seconds between two questions; the wait takes as many of them as the members' time to attest allows.

    Raises:
        EngineError: QNSP-APL-016 a member did not attest, -017 the wait was over or interrupted, or AWS did not say, -018 AWS starts none.
    """
    fleet = inputs["fleet"]
    name, wanted = str(fleet["group"]), int(fleet["members"])
    tries = max(int((wanted + 1) * fleet["attestSeconds"] / PAUSE_SECONDS), 1)
    strikes, said, told = 0, "nothing was said", ""
    known: frozenset[str] | None = None
    for number in range(tries):
        try:
            scaling = connect(inputs["platform"])("autoscaling")
            if known is None:
                known = frozenset(one["ActivityId"] for one in _abandoned(scaling, name))
            # A member that ran before its endpoint was begun had not its whole time: only what it said itself counts of it.
            whole = number * PAUSE_SECONDS >= fleet["attestSeconds"] / 2
            done, said = _look(scaling, name, wanted, known, whole=whole, back=back)
            strikes = 0
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            done, said, strikes = False, f"AWS did not say: {error}", strikes + 1
        if done:
            return
        if said != told or number % _RETOLD == 0:
            so_far, most = number * pause, tries * pause
            tell(f"waiting for its members, {so_far:.0f} s of at most {most / 60:.0f} min: {said}")
            told = said
        if strikes >= _STRIKES or interrupted.wait(pause):
            break
    raise EngineError(
        "QNSP-APL-017",
        f"it is not known that the members of {name} attested: {said}",
        subject=name,
        next_step="apply the same plan again: it goes on from here",
    )


def _look(scaling: Any, name: str, wanted: int, known: frozenset[str], *, whole: bool, back: bool) -> tuple[bool, str]:
    refreshes: Sequence[Json] = scaling.describe_instance_refreshes(AutoScalingGroupName=name).get(
        "InstanceRefreshes", []
    )
    last = refreshes[0] if refreshes else {"Status": "Successful"}
    status = str(last["Status"])
    if status in _RUNNING:
        return False, f"its refresh is {status} ({last.get('PercentageComplete', 0)} %)"
    if status != "Successful" and not (back and status == "RollbackSuccessful"):
        raise EngineError(
            "QNSP-APL-016",
            f"a new member of {name} did not attest: AWS ended the refresh as {status}"
            + (f" ({last['StatusReason']})" if last.get("StatusReason") else ""),
            subject=name,
            next_step="the member's log group and `ledger list --type denial` say what it was denied and why",
        )
    groups: Sequence[Json] = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        return False, f"there is no group {name}"
    version = str(groups[0].get("LaunchTemplate", {}).get("Version", ""))
    members: Sequence[Json] = groups[0].get("Instances", [])
    ready = [
        one for one in members
        if one["LifecycleState"] == "InService" and one["HealthStatus"].lower() == "healthy"
        and (version.startswith("$") or str(one.get("LaunchTemplate", {}).get("Version", version)) == version)
    ]  # fmt: skip
    if len(ready) >= wanted:
        return True, ""
    abandoned = [one for one in _abandoned(scaling, name) if one["ActivityId"] not in known]
    if not ready and any(whole or _BY_ITSELF in one["StatusMessage"] for one in abandoned):
        raise EngineError(
            "QNSP-APL-016",
            f"a member of {name} did not attest, and AWS ended it: {abandoned[0]['StatusMessage']}",
            subject=name,
            next_step="the member's log group and `ledger list --type denial` say what it was denied and why; AWS starts others meanwhile",
        )
    states = ", ".join(sorted(str(one["LifecycleState"]) for one in members)) or "none"
    return False, f"{len(ready)} of {wanted} members attested (states: {states}){_refused(scaling, name, members)}"


def _abandoned(scaling: Any, name: str) -> list[Json]:
    """Starts whose hook was not completed, newest first."""
    latest: Sequence[Json] = scaling.describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=_LATEST).get(
        "Activities", []
    )
    return [
        one
        for one in latest
        if one["StatusCode"] in {"Cancelled", "Failed"} and _ABANDONED in str(one.get("StatusMessage", ""))
    ]


def _refused(scaling: Any, name: str, members: Sequence[Json]) -> str:
    """What AWS says of starts that failed: no such type in the zone, no capacity, a quota.

    Raises:
        EngineError: QNSP-APL-018, it refuses every start and nothing runs.
    """
    latest: Sequence[Json] = scaling.describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=_REFUSALS).get(
        "Activities", []
    )
    failed = [str(one.get("StatusMessage", "")) for one in latest if one["StatusCode"] == "Failed"]
    if not members and len(failed) == _REFUSALS:
        raise EngineError(
            "QNSP-APL-018",
            f"AWS starts no member of {name}: {failed[0]}",
            subject=name,
            next_step="change size or zones, or ask AWS for more; `plan --preflight` asks beforehand. Then apply again",
        )
    return f"; AWS says: {failed[0]}" if failed else ""


__all__ = ["PAUSE_SECONDS", "await_members"]
