"""Platform: where units land, told apart by `type`; Host: one machine of a bare-metal platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from qnsp_policy.pipeline.model.kinds.base import Document
from qnsp_policy.pipeline.model.references import HostRef
from qnsp_policy.pipeline.model.scalars import (
    Bool,
    Count,
    Digest,
    Duration,
    IdentityName,
    Int,
    Key,
    Moment,
    Name,
    Part,
    RelativePath,
    Size,
    TextValue,
    Word,
)


class AwsAccount(TextValue):
    """Twelve digits; quoted, or a leading zero is lost."""

    __slots__ = ()
    SHAPE = 'an AWS account of twelve digits, in quotes, such as "012345678901"'
    PATTERN = r"[0-9]{12}"
    MAX = 12


class AwsRegion(TextValue):
    """A region of AWS."""

    __slots__ = ()
    SHAPE = "an AWS region such as eu-west-1"
    PATTERN = r"[a-z]{2}(?:-[a-z]+)+-[0-9]"
    MAX = 32


class RoleArn(TextValue):
    """The role that the engine takes on."""

    __slots__ = ()
    SHAPE = "a role such as arn:aws:iam::012345678901:role/qnsp-apply"
    PATTERN = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+"
    MAX = 256


class PolicyArn(TextValue):
    """A managed policy of IAM."""

    __slots__ = ()
    SHAPE = "a policy such as arn:aws:iam::012345678901:policy/boundary"
    PATTERN = r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+"
    MAX = 256


class HostedZone(TextValue):
    """A hosted zone of Route 53."""

    __slots__ = ()
    SHAPE = "a hosted zone's id such as Z0123456789ABCDEFGHIJ"
    PATTERN = r"Z[0-9A-Z]{1,31}"
    MAX = 32


class Ami(TextValue):
    """A machine image of EC2."""

    __slots__ = ()
    SHAPE = "a machine image such as ami-0123456789abcdef0"
    PATTERN = r"ami-[0-9a-f]{8,17}"
    MAX = 21


class Subscription(TextValue):
    """A subscription of Azure."""

    __slots__ = ()
    SHAPE = "a subscription id (UUID, lower-case)"
    PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    MAX = 36


def _said(value: Any) -> Any:
    if value is not True:
        raise PydanticCustomError("QNSP-DOC-019", "it can only be true, and must be said")
    return value


Said = Annotated[Literal[True], BeforeValidator(_said)]


class LocalPlatform(Part):
    """Processes on this machine, with simulated hardware."""

    type: Literal["local"]
    simulated: Said
    """Must be said: simulated hardware proves nothing."""
    regions: tuple[Word, ...] = (Word("local"),)


class AwsPlatform(Part):
    """An account and a region of AWS; credentials come from the environment, never from here."""

    type: Literal["aws"]
    account: AwsAccount
    region: AwsRegion
    partition: Literal["aws", "aws-us-gov", "aws-cn"] = "aws"
    role: RoleArn | None = None
    key_admin: RoleArn | None = None
    """The role that alone administers KMS keys; needed where keys are in KMS, and never the engine's own role."""
    boundary: PolicyArn | None = None
    """Permissions boundary of every role that is made, where an organisation demands one."""
    dns_zone: HostedZone | None = None
    """Hosted zone in which the names of brokers and endpoints are kept; without one they are yours to point."""
    parent_image: Ami | None = None
    """Machine image of parents of Nitro enclaves; nothing means the newest Amazon Linux 2023, which AWS cannot go back from."""
    zones: tuple[Word, ...] = ()
    """Availability zones; nothing means the region's a and b."""
    cidr: Word = Word("10.60.0.0/16")
    """Addresses of the network that is made where no `vpc` is named."""
    vpc: Word | None = None
    subnets: tuple[Word, ...] = ()
    simulated: Said | None = None
    """A rehearsal: an AWS-shaped server and simulated attesters stand where AWS would. What they show proves nothing; refused in production."""
    dedicated_hosts: Bool = False
    """SEV-SNP reports are signed by VCEK there, by VLEK on shared tenancy."""
    tags: Mapping[Key, Word] = Field(default_factory=dict)


class GpuOperator(Part):
    """NVIDIA GPU Operator settings that decide about confidentiality."""

    version: Word | None = None
    cc_mode: Literal["off", "on", "devtools", "ppcie"] = "on"
    """The node label `nvidia.com/cc.mode` that is wanted."""
    sandbox_workloads: Literal["kata", "container", "vm-passthrough"] = "kata"
    kata_manager: Bool = False


class KubernetesPlatform(Part):
    """A cluster with Confidential Containers."""

    type: Literal["kubernetes"]
    context: Word
    namespace: Name = Name("default")
    runtime_classes: Annotated[tuple[Word, ...], Field(min_length=1)]
    container_runtime: Literal["containerd", "cri-o"] = "containerd"
    kubernetes_version: Word | None = None
    feature_gates: tuple[Word, ...] = ()
    gpu_operator: GpuOperator | None = None
    node_selector: Mapping[Key, Word] = Field(default_factory=dict)
    nested_virtualisation: Bool = False
    regions: tuple[Word, ...] = ()


class BareMetalPlatform(Part):
    """Machines of one's own, or rented whole."""

    type: Literal["bare-metal"]
    hosts: Annotated[tuple[HostRef, ...], Field(min_length=1)]
    hypervisor: Literal["qemu", "libvirt"] = "qemu"
    regions: tuple[Word, ...] = ()
    validation_max_age: Duration = Duration("24h")
    """How old a host's validation report may be at deployment."""


class GcpPlatform(Part):
    """A project and zones of Google Cloud."""

    type: Literal["gcp"]
    project: Word
    region: Word
    zones: tuple[Word, ...] = ()
    network: Word | None = None
    labels: Mapping[Key, Word] = Field(default_factory=dict)


class AzurePlatform(Part):
    """A subscription and a region of Azure."""

    type: Literal["azure"]
    subscription: Subscription
    resource_group: Word
    region: Word
    attestation_provider: Word | None = None
    """URL of the MAA instance that Key Vault release trusts."""
    tags: Mapping[Key, Word] = Field(default_factory=dict)


PlatformSpec = Annotated[
    LocalPlatform | AwsPlatform | KubernetesPlatform | BareMetalPlatform | GcpPlatform | AzurePlatform,
    Field(discriminator="type"),
]


class Platform(Document):
    """Where units land."""

    kind: Literal["Platform"]
    spec: PlatformSpec


class Chassis(Part):
    """The machine as DMI tells it."""

    vendor: Word
    product: Word
    serial: Word | None = None


class Bios(Part):
    """Firmware and the settings that decide whether a TEE works."""

    version: Word
    date: Moment | None = None
    settings: Mapping[Key, Word] = Field(default_factory=dict)


class Cpu(Part):
    """The processors."""

    vendor: Literal["amd", "intel"]
    model: Word
    line: Word | None = None
    """Product line such as Genoa or SapphireRapids."""
    sockets: Count = 1
    microcode: Word | None = None


class HostGpu(Part):
    """GPUs of one model."""

    model: Name | Word
    count: Count
    form_factor: Literal["sxm", "pcie", "nvl"] = "pcie"
    vbios: Word | None = None
    firmware: Word | None = None


class NvSwitches(Part):
    """The fabric between GPUs."""

    count: Int
    firmware: Word | None = None


def is_simulated(spec: PlatformSpec) -> bool:
    """Whether what attests there is simulated: always on `local`, elsewhere where it is said."""
    return isinstance(spec, LocalPlatform) or (isinstance(spec, AwsPlatform) and spec.simulated is not None)


class Kernel(Part):
    """The host's kernel, untrusted but needed."""

    version: Word
    cmdline: Word | None = None
    distribution: Word | None = None


class Validation(Part):
    """The last validation report."""

    verdict: Literal["passed", "failed"]
    at: Moment
    report: RelativePath
    digest: Digest
    signer: IdentityName | None = None


class HostSpec(Part):
    """One machine."""

    address: Word
    chassis: Chassis
    bios: Bios
    cpu: Cpu
    memory: Size
    tee_mode: Literal["sev-snp", "tdx", "none"]
    gpus: tuple[HostGpu, ...] = ()
    nvswitches: NvSwitches | None = None
    kernel: Kernel
    validation_profile: Name
    validation: Validation | None = None
    state: Literal["active", "quarantined"] = "active"


class Host(Document):
    """One machine of a bare-metal platform."""

    kind: Literal["Host"]
    spec: HostSpec


__all__ = [
    "AwsPlatform",
    "AzurePlatform",
    "BareMetalPlatform",
    "GcpPlatform",
    "GpuOperator",
    "Host",
    "HostSpec",
    "KubernetesPlatform",
    "LocalPlatform",
    "Platform",
    "PlatformSpec",
    "Validation",
    "is_simulated",
]
