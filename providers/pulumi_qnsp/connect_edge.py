"""The provider's ways to a broker and to a gateway, bound to one run's setting."""

from __future__ import annotations

from typing import Any

from pulumi_qnsp.broker import BrokerAdmin
from pulumi_qnsp.kinds import Json, Setting
from pulumi_qnsp.supervisor_edge import SupervisorClient, SupervisorFolder
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.wire import broker_admin
from qnsp_policy.kernel.wire.guest_status import GuestStatus
from qnsp_policy.pipeline.world import guest_edge
from qnsp_policy.pipeline.world.broker_edge import BrokerReader
from qnsp_policy.pipeline.world.gateway_edge import read_gateway


class BrokerWriter(BrokerReader):
    """The writing half; a broker takes from it only what a plan that it verified itself authorises."""

    def put(self, kind: str, name: str, value: Any, plan_digest: str) -> None:
        """Hand over an object that the named plan authorises."""
        self._send(broker_admin.put_object(kind, name, value, plan_digest))

    def delete(self, kind: str, name: str) -> None:
        """Remove an object, which only tightens; nothing happens if there is none."""
        try:
            self._send(broker_admin.delete_object(kind, name))
        except PeerError as error:
            if error.got != "404":
                raise

    def present_plan(self, envelope: bytes) -> None:
        """Hand over a signed and approved plan."""
        self._send(broker_admin.submit_plan(envelope))


def connect_broker(connection: Json, setting: Setting) -> BrokerAdmin:
    """A client of the broker's administration that signs with the run's operator key."""
    return BrokerWriter(connection, setting.operator_key)


def wake_supervisor(setting: Setting) -> bool:
    """Whether the workspace's supervisor runs; one that died with its processes is started, and starts them again."""
    return SupervisorClient(SupervisorFolder.at(setting.path(".qnsp/run"))).wake()


def read_evidence(endpoint: Json) -> Json:
    """The response key of a gateway whose evidence holds, and what that evidence is worth."""
    said = read_gateway(endpoint)
    return {"keyId": said.key_id, "assurance": f"{said.assurance} ({said.attester})"}


def read_guests(setting: Setting, endpoint: str) -> list[GuestStatus]:
    """What the guests of this workspace say of an endpoint, newest try first."""
    return guest_edge.read_guests(setting.workspace, endpoint)


__all__ = ["BrokerWriter", "connect_broker", "read_evidence", "read_guests", "wake_supervisor"]
