"""A broker's configuration file, as `pipeline/plan` writes it (docs/formats/units.md, "broker"), read strictly."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from qnsp_policy.errors import OperatorError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class TlsSettings(_Part):
    """How a listener ends TLS; plain HTTP has to be named and stays on loopback."""

    mode: Literal["in-process", "insecure-plaintext"] = "in-process"
    groups: tuple[str, ...] = ()
    """Admitted key exchange groups; nothing means the hybrid ones, so that a classical group is an exception by name."""


class AnchorSettings(_Part):
    """A root that the workspace declares beside the pinned vendor roots."""

    vendor: str
    line: str = ""
    certificate: str
    assurance: Literal["simulated"] = "simulated"


class LedgerSettings(_Part):
    """Where the broker's own log lies; its key file is made at the first start."""

    dir: str
    origin: str
    keys: str


class BrokerIdentity(_Part):
    """The broker's public keys (JWK), as its document declares them; the key file must hold their private halves."""

    tls: dict[str, Any] | None = None
    token: dict[str, Any]
    unwrap: dict[str, Any]


class BrokerConfiguration(_Part):
    """Everything a broker process is told; nothing else is read from the environment."""

    name: str
    listen: str
    database: str
    keys: str
    tls: TlsSettings = TlsSettings()
    identity: BrokerIdentity
    trust_root: str
    trust_root_digest: str
    workspace_id: str
    environment: Literal["production", "development"]
    anchors: tuple[AnchorSettings, ...] = ()
    collateral: str | None = None
    """Folder of what vendors sign beside evidence (CRLs, TCB info, RIMs, OCSP answers); read anew when it changes."""
    ledger: LedgerSettings
    admin_keys: tuple[dict[str, Any], ...] = Field(min_length=1)
    mode: Literal["strict", "compat"] = "strict"
    session_seconds: int = Field(default=300, ge=10, le=3600)
    token_seconds: int = Field(default=300, ge=10, le=3600)

    @model_validator(mode="after")
    def _plain_http_stays_at_home(self) -> BrokerConfiguration:
        if self.tls.mode == "insecure-plaintext":
            if self.environment != "development":
                raise ValueError("tls.mode insecure-plaintext is for environment development only")
            if not is_loopback(self.host):
                raise ValueError("tls.mode insecure-plaintext needs a loopback address in listen")
        if self.environment == "production" and self.anchors:
            raise ValueError("declared (simulated) anchors are refused in environment production")
        return self

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def address(self) -> str:
        """The broker's document address, as plans and release policies name it."""
        return f"KeyBroker/{self.name}"


def is_loopback(host: str) -> bool:
    """True for a literal loopback address; names, `localhost` included, can be pointed elsewhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_configuration(data: bytes) -> BrokerConfiguration:
    """Parse a configuration file.

    Raises:
        OperatorError: `QNSP-KBS-001`: not JSON, an unknown or missing member, or a combination that is refused.
    """
    try:
        value: Mapping[str, Any] = json.loads(data)
        return BrokerConfiguration.model_validate(value)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise OperatorError("QNSP-KBS-001", f"broker configuration: {problems}") from None
    except ValueError as error:
        raise OperatorError("QNSP-KBS-001", f"broker configuration is not JSON: {error}") from None


__all__ = [
    "AnchorSettings",
    "BrokerConfiguration",
    "BrokerIdentity",
    "LedgerSettings",
    "TlsSettings",
    "is_loopback",
    "read_configuration",
]
