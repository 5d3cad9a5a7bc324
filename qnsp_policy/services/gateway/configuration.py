"""What the guest hands a gateway: the endpoint, its upstream, its evidence, and private keys that exist nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.errors import EngineError
from qnsp_policy.kernel.crypto.canonical import parse_object
from qnsp_policy.kernel.crypto.keys import PrivateKey
from qnsp_policy.kernel.wire.endpoint import EndpointConfiguration, evidence_digest


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Parsed settings; private keys never show in a repr."""

    endpoint: EndpointConfiguration
    bind: str
    upstream_socket: str
    upstream_port: int
    evidence: Mapping[str, Any]
    evidence_digest: str
    response_key: PrivateKey = field(repr=False)
    tls_key: PrivateKey | None = field(repr=False)
    ledger_dir: str
    ledger_origin: str
    ledger_keys: tuple[PrivateKey, ...] = field(repr=False)


def read_settings(data: bytes) -> GatewaySettings:
    """Parse what the guest wrote.

    Raises:
        EngineError: `QNSP-GWY-000`: a part of ours wrote something else.
    """
    try:
        value = parse_object(data)
        tls, ledger = value["tlsKey"], value["ledger"]
        endpoint = EndpointConfiguration.from_json(value["endpoint"])
        return GatewaySettings(
            endpoint=endpoint,
            bind=value.get("bind") or endpoint.host,
            upstream_socket=value["upstream"]["socket"],
            upstream_port=value["upstream"]["port"],
            evidence=value["evidence"],
            evidence_digest=evidence_digest(value["evidence"]),
            response_key=PrivateKey.from_jwk(value["responseKey"]),
            tls_key=None if tls is None else PrivateKey.from_jwk(tls),
            ledger_dir=ledger["dir"],
            ledger_origin=ledger["origin"],
            ledger_keys=tuple(PrivateKey.from_jwk(key) for key in ledger["keys"]),
        )
    except (KeyError, TypeError) as error:
        raise EngineError("QNSP-GWY-000", f"gateway settings lack {error}") from None


__all__ = ["GatewaySettings", "read_settings"]
