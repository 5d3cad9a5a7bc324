"""The guest agent's configuration file (docs/formats/units.md, "enclave"), read strictly."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from qnsp_policy.errors import OperatorError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class BrokerTls(_Part):
    """How the broker is known: by exactly this public key, or, on loopback in development, not at all."""

    mode: Literal["pinned", "insecure-plaintext"] = "pinned"
    key: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _a_pin_needs_a_key(self) -> BrokerTls:
        if (self.mode == "pinned") != (self.key is not None):
            raise ValueError("mode pinned needs a key, mode insecure-plaintext has none")
        return self


class BrokerConnection(_Part):
    """Where the broker is."""

    url: str
    tls: BrokerTls
    token: dict[str, Any] | None = None
    address: str | None = None
    name: str | None = None
    admin_key_ids: tuple[str, ...] = ()


class EndpointReference(_Part):
    """An endpoint that this guest serves, and the resource its configuration is released as."""

    name: str
    resource: str


class BridgeSettings(_Part):
    """Streams that arrive at one address are carried to another ([bridges])."""

    arrives: str
    leaves: str


class KmsKey(_Part):
    """A data key that KMS keeps: its resource, the key of KMS that wraps it, the file with the wrapped bytes."""

    resource: str
    key_id: str
    wrapped_key: str
    lease_seconds: int = Field(default=3600, ge=10)


class KmsSettings(_Part):
    """KMS as an attested recipient. Its key transport is RSA-OAEP, so a guest must say that it may."""

    endpoint: str
    via: str
    credentials: str
    allow_classical: Literal[True]
    authorities: str | None = None
    key_size: Literal[2048, 3072, 4096] = 3072
    keys: tuple[KmsKey, ...] = ()


class DeviceSettings(_Part):
    """Who takes evidence of this guest's GPUs, and where its program is: the SDK's interpreter, or `nvattest`."""

    collector: Literal["nvidia-sdk", "nvattest", "simulator"]
    program: str | None = None

    @model_validator(mode="after")
    def _programs_are_named(self) -> DeviceSettings:
        if (self.collector == "simulator") != (self.program is None):
            raise ValueError("collectors nvidia-sdk and nvattest need a program, the simulator has none")
        return self


class SealedFile(_Part):
    """A sealed file that a program is given open: the resource of its key, its plaintext's digest, the descriptor it stands at."""

    resource: str
    file: str
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    descriptor: int = Field(ge=100, le=199)


class Program(_Part):
    """What `run` starts."""

    command: tuple[str, ...] = Field(min_length=1)
    environment: dict[str, str] = Field(default_factory=dict)
    sealed: tuple[SealedFile, ...] = ()


class GuestConfiguration(_Part):
    """Everything a guest agent is told."""

    name: str
    broker: BrokerConnection | None = None
    program: Program | None = None
    attester: Literal["tsm", "nsm", "nitro-tpm"] = "tsm"
    tsm: str = "/sys/kernel/config/tsm"
    device: str | None = None
    devices: DeviceSettings | None = None
    bridges: tuple[BridgeSettings, ...] = ()
    kms: KmsSettings | None = None
    initdata: str | None = None
    image: str | None = None
    image_digest: str | None = Field(default=None, pattern=r"^sha(256|384|512):[0-9a-f]{64,128}$")
    endpoints: tuple[EndpointReference, ...] = ()
    workdir: str
    bind: str | None = None
    """Address on which gateways listen instead of their document's: the enclave's loopback, behind a bridge."""
    artefacts: str = "."
    tee_key: Literal["ML-KEM-768", "X-Wing", "ML-KEM-1024", "MLKEM1024-P384", "ECDH-P256"] = "ML-KEM-768"
    poll_seconds: float = Field(default=15.0, ge=0.1)
    upstream_seconds: float = Field(default=120.0, ge=1.0)

    @model_validator(mode="after")
    def _parts_go_together(self) -> GuestConfiguration:
        if self.device is not None and self.attester == "tsm":
            raise ValueError("device is for the attesters nsm and nitro-tpm; tsm names a folder in `tsm`")
        if self.kms is not None and self.attester == "tsm":
            raise ValueError("kms needs an attester whose document carries a public key: nsm or nitro-tpm")
        if self.initdata is not None and self.attester != "tsm":
            raise ValueError(f"{self.attester} carries no initdata: build it into the image")
        if self.broker is None and (self.endpoints or self.kms is None):
            raise ValueError("a guest without broker has no endpoints, and kms keeps its keys")
        if self.program is not None and len({one.descriptor for one in self.program.sealed}) < len(self.program.sealed):
            raise ValueError("two sealed files have the same descriptor")
        return self


def read_configuration(data: bytes) -> GuestConfiguration:
    """Parse a configuration file.

    Raises:
        OperatorError: `QNSP-GST-000`: not JSON, or an unknown or missing member.
    """
    try:
        return GuestConfiguration.model_validate(json.loads(data))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise OperatorError("QNSP-GST-000", f"guest configuration: {problems}") from None
    except ValueError as error:
        raise OperatorError("QNSP-GST-000", f"guest configuration is not JSON: {error}") from None


__all__ = [
    "BridgeSettings",
    "BrokerConnection",
    "BrokerTls",
    "DeviceSettings",
    "EndpointReference",
    "GuestConfiguration",
    "KmsKey",
    "KmsSettings",
    "Program",
    "SealedFile",
    "read_configuration",
]
