"""Auto-scaling groups of the lab: every instance that moto "starts" is played, hooks are waited for, refreshes replace one after another.

moto keeps groups, templates, balancers; members, their lifecycle and refreshes are made by hand here, after the service's own guide:
a new member waits in its hook until somebody completes it, a refresh starts a member of the new version before one of the old goes,
and ends as failed (or goes back, where it was asked to) when a new member does not complete in time. Outside a refresh such a member is ended,
which an activity tells, and another one started.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from moto.autoscaling.models import InstanceState
from moto.backends import get_backend
from moto.core.types import Base64EncodedString

from qnsp_policy.services.guest.bridges import Bridge, StreamAddress
from tests.plugins.aws.double import ACCOUNT
from tests.plugins.aws.lab.ground import MEMBERS, Addresses, Targets
from tests.plugins.aws.lab.members import Member, World, member_of

T = TypeVar("T")
IN_SERVICE, WAITING = "InService", "Pending:Wait"


class Grounds(World, Protocol):
    """What fleets ask of the lab beside what members do."""

    addresses: Addresses
    folder: Path
    region: str
    patience: float

    def address_of(self, port: int) -> str | None:
        """Where the name leads that a balancer's port belongs to."""


class Played(InstanceState):
    """A member that is really there; moto would say that it runs the template's newest version."""

    def __init__(self, state: Any, group: Any, version: str) -> None:
        super().__init__(state.instance, WAITING, state.health_status, state.protected_from_scale_in, group)
        self.version = version

    @property
    def launch_template(self) -> dict[str, Any]:
        template = self.auto_scaling_group.ec2_launch_template
        return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": self.version}


@dataclass
class Fleets:
    """All groups of one region."""

    grounds: Grounds
    members: dict[str, Member] = field(default_factory=dict)
    refreshes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    abandoned: dict[str, list[str]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _changed: threading.Condition = field(init=False)
    _passages: dict[int, Bridge] = field(default_factory=dict)
    _closed: bool = False

    def __post_init__(self) -> None:
        self._changed = threading.Condition(self._lock)

    def close(self) -> None:
        """End every member."""
        with self._lock:
            self._closed = True
            members, self.members = list(self.members.values()), {}
            passages, self._passages = list(self._passages.values()), {}
            self._changed.notify_all()
        for passage in passages:
            passage.close()
        for member in members:
            member.stop()

    # what the server calls

    def around(self, operation: str, call: Callable[[], T]) -> T:
        """One call of the auto-scaling service."""
        with self._lock:
            waiting = [one for one in self._states() if one.lifecycle_state == WAITING]
            try:
                if operation == "CreateAutoScalingGroup":
                    for template in self._backend().ec2_backend.launch_templates.values():
                        for version in template.versions:
                            _startable(version)
                if not operation.startswith("Describe"):
                    # moto counts members in service only, and would start others for those that wait.
                    for state in waiting:
                        state.lifecycle_state = IN_SERVICE
                return call()
            finally:
                for state in waiting:
                    state.lifecycle_state = WAITING
                self._settle()

    def listened(self) -> None:
        """Listen where balancers do, at the addresses that their names lead to."""
        with self._lock:
            wanted = {} if self._closed else {port: self.grounds.address_of(port) for port in self._listeners()}
            for port, address in wanted.items():
                if address is not None and port not in self._passages:
                    targets = cast("StreamAddress", Targets(partial(self._behind, port)))
                    self._passages[port] = Bridge(StreamAddress("tcp", address, port), targets)
            for port in [port for port in self._passages if port not in wanted]:
                self._passages.pop(port).close()

    def start_refresh(self, name: str, *, rollback: bool) -> dict[str, Any]:
        """Replace members that run another version than the group starts; the real provider cancels a refresh that still runs."""
        with self._lock:
            told = self.refreshes.setdefault(name, [])
            for before in told:
                if before["status"] == "InProgress":
                    before |= {"status": "Cancelled", "reason": "another refresh was asked for"}
            self._changed.notify_all()
            entry = {"id": f"refresh-{len(told) + 1}", "status": "InProgress", "reason": "", "version": ""}
            told.append(entry)
        threading.Thread(target=self._refresh, args=(name, entry, rollback), daemon=True).start()
        return entry

    def complete(self, member: str, group: str, hook: str) -> bool:
        """A lifecycle action that is done; False where there is no such member or hook."""
        with self._lock:
            hooks = self._backend().lifecycle_hooks
            state = next((one for one in self._states() if one.instance_id == member), None)
            if state is None or state.auto_scaling_group_name != group or not _names(hooks, group, hook):
                return False
            state.lifecycle_state = IN_SERVICE
            self._changed.notify_all()
            return True

    # what happens

    def _refresh(self, name: str, entry: dict[str, Any], rollback: bool) -> None:
        try:
            self._replace(name, entry, rollback)
        except Exception as error:
            entry |= {"status": "Failed", "reason": f"the lab failed: {type(error).__name__}: {error}"}
            raise

    def _replace(self, name: str, entry: dict[str, Any], rollback: bool) -> None:
        with self._lock:
            group = self._groups()[name]
            wanted = self._version(group)
            before = [one for one in group.instance_states if one.version != wanted]
            back = before[0].version if before else wanted
            entry["version"] = wanted
        for old in before:
            with self._lock:
                if self._closed or name not in self._groups() or entry["status"] != "InProgress":
                    return
                if old not in group.instance_states:
                    continue
                known = {one.instance_id for one in group.instance_states}
                group.replace_autoscaling_group_instances(1, group.get_propagated_tags())
                self._backend().update_attached_target_groups(name)
                self._settle()
                new = next(one for one in group.instance_states if one.instance_id not in known)
                deadline = time.monotonic() + self.grounds.patience
                while new.lifecycle_state != IN_SERVICE and not self._closed and entry["status"] == "InProgress":
                    played = self.members.get(new.instance_id)
                    if time.monotonic() > deadline or played is None or played.hopeless:
                        break
                    self._changed.wait(0.2)
                gone = new if new.lifecycle_state != IN_SERVICE else old
                group.instance_states = [one for one in group.instance_states if one is not gone]
                if gone is new and rollback and entry["status"] == "InProgress":
                    group.launch_template_version = group.provided_launch_template_version = back
                self._backend().ec2_backend.terminate_instances([gone.instance_id])
                self._settle()
                if gone is new and entry["status"] == "InProgress":
                    entry["reason"] = "a new member did not complete its lifecycle action"
                    entry["status"] = "RollbackSuccessful" if rollback else "Failed"
                if entry["status"] != "InProgress":
                    return
        entry["status"] = "Successful"

    def _settle(self) -> None:
        """Play what is there and is not played; end what is played and is not there."""
        present = set()
        for group in self._groups().values():
            for index, state in enumerate(group.instance_states):
                if not isinstance(state, Played):
                    group.instance_states[index] = Played(state, group, self._version(group))
                present.add(state.instance_id)
                if state.instance_id not in self.members and not self._closed:
                    self._begin(group.instance_states[index])
        for name in [name for name in self.members if name not in present]:
            threading.Thread(target=self.members.pop(name).stop).start()
        self._changed.notify_all()

    def _begin(self, state: Played) -> None:
        data = state.auto_scaling_group.ec2_launch_template.get_version(state.version).data
        text = data["UserData"].decode()
        name = state.instance_id
        address = self.grounds.addresses.next(MEMBERS)
        folder = self.grounds.folder / "members" / f"{state.auto_scaling_group_name}-{name}"
        member = self.members[name] = member_of(data)(name, address, folder, data, text, self.grounds)
        member.start()
        threading.Thread(target=self._completed, args=(state, member), daemon=True).start()

    def _completed(self, state: Played, member: Member) -> None:
        """Wait for a member's hook; a refresh waits for the members that it starts itself."""
        group: Any = state.auto_scaling_group
        name, deadline = str(group.name), time.monotonic() + self.grounds.patience
        with self._changed:
            while not self._closed and state in group.instance_states and state.lifecycle_state == WAITING:
                refreshed = any(one["status"] == "InProgress" for one in self.refreshes.get(name, ()))
                late = time.monotonic() > deadline
                if not refreshed and (late or member.hopeless):
                    break
                self._changed.wait(0.2)
            else:
                return
            group.instance_states = [one for one in group.instance_states if one is not state]
            self._backend().ec2_backend.terminate_instances([state.instance_id])
            result = "Heartbeat Timeout" if late else "Lifecycle Action Completed with ABANDON Result"
            self.abandoned.setdefault(name, []).append(result)
            self._settle()
            self._changed.wait_for(lambda: self._closed, 5)
            still = self._groups().get(name)
            if not self._closed and still is not None and still is group:
                still.replace_autoscaling_group_instances(1, still.get_propagated_tags())
                self._backend().update_attached_target_groups(name)
                self._settle()

    def _behind(self, port: int) -> tuple[list[tuple[str, int]], bool]:
        """Members in service of the groups whose balancer listens on a port; whether a client stays with one of them."""
        with self._lock:
            arns = {
                arn
                for balancer in self._balancers().load_balancers.values()
                for listener in balancer.listeners.values()
                if int(listener.port) == port
                for action in listener.default_actions
                for arn in _targets_of(action.data)
            }
            groups = self._balancers().target_groups
            sticky = any(groups[arn].attributes.get("stickiness.enabled") == "true" for arn in arns if arn in groups)
            found = [
                (self.members[state.instance_id].address, port)
                for state in self._states()
                if state.lifecycle_state == IN_SERVICE
                and state.instance_id in self.members
                and arns & set(state.auto_scaling_group.target_group_arns)
            ]
            return found, sticky

    def _listeners(self) -> set[int]:
        """Ports on which some balancer listens."""
        return {
            int(listener.port)
            for balancer in self._balancers().load_balancers.values()
            for listener in balancer.listeners.values()
        }

    def _version(self, group: Any) -> str:
        return str(_startable(group.ec2_launch_template.get_version(group.launch_template_version)).number)

    def _states(self) -> Iterator[Any]:
        return (state for group in self._groups().values() for state in group.instance_states)

    def _groups(self) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", self._backend().autoscaling_groups)

    def _backend(self) -> Any:
        return get_backend("autoscaling")[ACCOUNT][self.grounds.region]

    def _balancers(self) -> Any:
        return get_backend("elbv2")[ACCOUNT][self.grounds.region]


def _startable(version: Any) -> Any:
    """moto reads the first version's user data as what it is, and starts nothing from a later one."""
    if isinstance(version.data.get("UserData"), str):
        version.data["UserData"] = Base64EncodedString(version.data["UserData"])
    return version


def _targets_of(action: Mapping[str, Any]) -> list[str]:
    if "TargetGroupArn" in action:
        return [str(action["TargetGroupArn"])]
    return [str(one["TargetGroupArn"]) for one in action.get("ForwardConfig", {}).get("TargetGroups", ())]


def _names(hooks: Any, group: str, hook: str) -> bool:
    """Whether a group has a hook of this name; moto keeps hooks by a text of both."""
    return any(one.auto_scaling_group_name == group and one.name == hook for one in hooks.values())


__all__ = ["IN_SERVICE", "WAITING", "Fleets", "Grounds", "Played"]
