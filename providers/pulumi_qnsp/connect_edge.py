"""The provider's ways to a broker and to a gateway: the clients of `qnsp_policy.client`, bound to one run's setting."""

from __future__ import annotations

from pulumi_qnsp.broker import BrokerAdmin
from pulumi_qnsp.kinds import Json, Setting


def connect_broker(connection: Json, setting: Setting) -> BrokerAdmin:
    """A client of the broker's administration that signs with the run's operator key."""
    from qnsp_policy.client import broker_edge

    raise NotImplementedError(broker_edge, connection, setting)


def read_evidence(url: str, tls: Json) -> Json:
    """What a gateway says of its response key and the evidence that binds it; not verified here."""
    raise NotImplementedError(url, tls)


__all__ = ["connect_broker", "read_evidence"]
