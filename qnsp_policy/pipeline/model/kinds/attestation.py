"""ReferenceValues: what an attester must measure; Enclave: a fleet of attesters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, WrapValidator
from pydantic_core import PydanticCustomError

from qnsp_policy.pipeline.model.kinds.base import Attester, Document, Floors
from qnsp_policy.pipeline.model.references import (
    ArtefactRef,
    PlatformRef,
    ReferenceValuesRef,
    SupersededRef,
    TenantRef,
)
from qnsp_policy.pipeline.model.scalars import (
    Bool,
    Count,
    Digest,
    Expiry,
    Hex,
    IdentityName,
    Int,
    Key,
    Part,
    Sentence,
    Size,
    Word,
)


def _flag(value: Any, _next: Any) -> bool | int | str:
    if isinstance(value, str):
        return str(Word.parse(value))
    if isinstance(value, bool | int) and (isinstance(value, bool) or 0 <= value < 2**53):
        return value
    raise PydanticCustomError("QNSP-DOC-018", "expected true, false, a whole number or a text")


Flag = Annotated[bool | int | str, WrapValidator(_flag)]


class DeviceValues(Part):
    """What one GPU or switch must show."""

    model: Word
    architecture: Literal["hopper", "blackwell"] | None = None
    vbios: Word | None = None
    """Lowest VBIOS version."""
    driver: Word | None = None
    """Lowest driver version."""
    mode: Literal["on", "ppcie"] = "on"
    measurements: Mapping[Key, Hex] = Field(default_factory=dict)
    floors: Floors = Field(default_factory=dict)


class Alternative(Part):
    """One complete tuple: all of it must hold, and nothing of another tuple helps."""

    measurements: Annotated[Mapping[Key, Hex], Field(min_length=1)]
    """Claims that must be equal, e.g. measurement, hostData, mrTd, rtmr0, pcr4."""
    floors: Floors = Field(default_factory=dict)
    """Lowest accepted TCB by component."""
    policy: Mapping[Key, Flag] = Field(default_factory=dict)
    """Flags of the attester's own policy, e.g. debug, migrate, smt."""
    vmpl: Annotated[Int, Field(le=3)] | None = None
    product_line: Word | None = None
    chip_ids: tuple[Hex, ...] = ()
    """Chips that may report; empty means any."""
    advisories: tuple[Word, ...] = ()
    """Advisories that are accepted although open (TDX, SGX)."""
    devices: tuple[DeviceValues, ...] = ()
    """One for each device that must be proven, each met by another device."""
    note: Sentence | None = None


class Covers(Part):
    """Which register carries each part, from hardware to workload; a part left out is a gap."""

    firmware: Word | None = None
    kernel: Word | None = None
    cmdline: Word | None = None
    initrd: Word | None = None
    rootfs: Word | None = None
    workload: Word | None = None
    initdata: Word | None = None


class ComputedFrom(Part):
    """What the values were computed from, so that anybody can compute them again."""

    image: ArtefactRef | None = None
    image_digest: Digest | None = None
    firmware: Word | None = None
    firmware_digest: Digest | None = None
    kernel_digest: Digest | None = None
    initrd_digest: Digest | None = None
    rootfs_digest: Digest | None = None
    cmdline: Sentence | None = None
    vcpus: Count | None = None
    cpu_model: Word | None = None
    memory: Size | None = None
    tool: Word
    tool_digest: Digest | None = None


class Grace(Part):
    """A dated exception after a TCB recovery; shown as WEAKENED."""

    until: Expiry
    floors: Floors
    reason: Sentence


class ReferenceValuesSpec(Part):
    """What an attester must measure."""

    attester: Attester
    state: Literal["candidate", "active", "retired", "revoked"]
    expires: Expiry
    origin: Literal["computed", "vendor", "trust-on-first-use", "placeholder"] = "computed"
    """`trust-on-first-use` are values learnt from evidence: refused in production; `placeholder` are of no image yet."""
    covers: Covers
    computed_from: ComputedFrom | None = None
    builders: tuple[IdentityName, ...] = ()
    """Publishers who built it and agree on the values."""
    alternatives: Annotated[tuple[Alternative, ...], Field(min_length=1)]
    grace: Grace | None = None
    supersedes: SupersededRef | None = None


class ReferenceValues(Document):
    """What an attester must measure."""

    kind: Literal["ReferenceValues"]
    spec: ReferenceValuesSpec


class EnclaveSize(Part):
    """How many members, and how large each is."""

    members: Count = 1
    vcpus: Count
    memory: Size
    disk: Size | None = None
    instance_type: Word | None = None
    """The cloud's word for the machine."""


class EnclaveGpus(Part):
    """GPUs of each member."""

    model: Word
    count: Count
    confidential_mode: Literal["on", "ppcie", "devtools", "off"]


class LaunchPolicy(Part):
    """How members are started."""

    guest_policy: Mapping[Key, Flag] = Field(default_factory=dict)
    """Bits of the attester's launch policy by name."""
    cmdline: Sentence | None = None
    kernel_hashes: Bool = True
    runtime_class: Word | None = None
    ssh: Bool = False
    exec: Bool = False
    plaintext_logs: Bool = False
    on_host_maintenance: Literal["TERMINATE", "MIGRATE"] | None = None
    min_cpu_platform: Word | None = None
    disk_interface: Literal["nvme", "scsi"] | None = None
    nvswitches: Int | None = None
    boot: Literal["standard", "secure-boot"] | None = None


class EnclaveSpec(Part):
    """A fleet of attesters, all alike."""

    platform: PlatformRef
    attester: Attester
    size: EnclaveSize
    gpus: EnclaveGpus | None = None
    tenants: Annotated[tuple[TenantRef, ...], Field(min_length=1)]
    sharing: Literal["exclusive", "shared"] = "exclusive"
    image: ArtefactRef
    reference_values: ReferenceValuesRef
    initdata: Mapping[Key, Sentence] = Field(default_factory=dict)
    """Files handed to the guest and measured; what the engine adds is not written here."""
    debug: Bool = False
    launch: LaunchPolicy = LaunchPolicy()


class Enclave(Document):
    """A fleet of attesters."""

    kind: Literal["Enclave"]
    spec: EnclaveSpec


__all__ = [
    "Alternative",
    "ComputedFrom",
    "Covers",
    "DeviceValues",
    "Enclave",
    "EnclaveGpus",
    "EnclaveSize",
    "EnclaveSpec",
    "Grace",
    "LaunchPolicy",
    "ReferenceValues",
    "ReferenceValuesSpec",
]
