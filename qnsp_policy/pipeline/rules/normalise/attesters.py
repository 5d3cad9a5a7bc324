"""What must prove itself and where it runs: reference values, enclaves, platforms, hosts.

Comes in: `Context`. Goes out: the members of these populations. Which registers, floors and flags an attester must
have stands in the tables below, by the attester's own names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from qnsp_policy.pipeline.model import Address
from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, Grant, Host, Platform, ReferenceValues
from qnsp_policy.pipeline.model.kinds.attestation import Alternative
from qnsp_policy.pipeline.model.kinds.base import Attester
from qnsp_policy.pipeline.model.kinds.platform import (
    AwsPlatform,
    AzurePlatform,
    BareMetalPlatform,
    GcpPlatform,
    PlatformSpec,
    is_simulated,
)
from qnsp_policy.pipeline.model.scalars import Duration
from qnsp_policy.pipeline.rules.inputs import (
    AlternativeMember,
    EnclaveMember,
    GraceMember,
    HostMember,
    PlatformMember,
    ReferenceValuesMember,
)
from qnsp_policy.pipeline.rules.normalise.context import APPROVING, Context, Located, seconds


@dataclass(frozen=True, slots=True)
class _AttesterNeeds:
    """What reference values of one attester must say.

    Attributes:
        identifying: measurements without which any code is good enough.
        floors: TCB components that need a floor in the document; attesters whose TCB is judged by the vendor's
            signed collateral need none here.
        covers: parts that a register must carry.
        debug, migrate: whether evidence has such a flag, which must then be pinned to false.
        assurance: what stands behind it, where no platform says otherwise.
    """

    identifying: tuple[str, ...]
    floors: tuple[str, ...]
    covers: tuple[str, ...]
    debug: bool
    migrate: bool
    assurance: str


_GUEST: Final = ("firmware", "kernel", "cmdline", "initrd", "rootfs", "workload", "initdata")

_NEEDS: Final[Mapping[Attester, _AttesterNeeds]] = {
    "sev-snp": _AttesterNeeds(
        ("measurement",),
        ("bootloader", "tee", "snp", "microcode"),
        _GUEST,
        debug=True,
        migrate=True,
        assurance="hardware-tee",
    ),
    "tdx": _AttesterNeeds(("mrTd",), (), _GUEST, debug=True, migrate=False, assurance="hardware-tee"),
    "sgx": _AttesterNeeds(("mrEnclave",), (), ("workload",), debug=True, migrate=False, assurance="hardware-tee"),
    "nitro-enclave": _AttesterNeeds(
        ("pcr0",),
        (),
        ("kernel", "cmdline", "initrd", "workload"),
        debug=False,
        migrate=False,
        assurance="provider-isolation",
    ),
    "nitro-tpm": _AttesterNeeds(
        ("pcr4", "pcr12"),
        (),
        ("firmware", "kernel", "cmdline", "initrd", "rootfs", "workload"),
        debug=False,
        migrate=False,
        assurance="measured-boot",
    ),
}
"""pcr12 holds the kernel command line under standard boot: a key policy without it is bypassed (AWS advisory)."""

_GPU_ATTESTERS: Final = ("sev-snp", "tdx")
_NOT_SAID: Final = "(not said)"
_MAY_BE_ZERO: Final = frozenset({"pcr12", "hostData", "mrConfigId", "mrOwner", "mrOwnerConfig", "rtmr3"})
"""Registers that are zero where nothing was put into them: PCR12 where no command line came from outside the image."""


def reference_values(context: Context) -> list[Located[ReferenceValuesMember]]:
    """ReferenceValues with who signed them and who uses them."""
    users: dict[Address, list[str]] = {}
    for enclave in context.workspace.of_kind(Enclave):
        users.setdefault(enclave.spec.reference_values, []).append(enclave.address)
    members: list[Located[ReferenceValuesMember]] = []
    for values in context.reference_values.values():
        spec = values.spec
        publishers = [name for name in context.signed_by(values.address) if "publisher" in context.roles_of(name)]
        members.append(
            Located(
                values.address,
                [],
                {
                    "state": spec.state,
                    "expires": seconds(spec.expires),
                    "users": users.get(values.address, []),
                    "production": context.production,
                    "learnt": spec.origin == "trust-on-first-use",
                    "covered": sorted(part for part in _GUEST if getattr(spec.covers, part) is not None),
                    "required": list(_NEEDS[spec.attester].covers),
                    "builders": sorted({str(builder) for builder in spec.builders}),
                    "publisherSigners": publishers,
                    "approverSigners": [name for name in publishers if APPROVING & set(context.roles_of(name))],
                },
            )
        )
    return members


def alternatives(context: Context) -> list[Located[AlternativeMember]]:
    """Each alternative of each ReferenceValues document."""
    return [
        _alternative(values, index, alternative)
        for values in context.reference_values.values()
        for index, alternative in enumerate(values.spec.alternatives)
    ]


def _alternative(values: ReferenceValues, index: int, alternative: Alternative) -> Located[AlternativeMember]:
    needs = _NEEDS[values.spec.attester]
    return Located(
        values.address,
        ["spec", "alternatives", index],
        {
            "attester": values.spec.attester,
            "blank": _blank(values, alternative),
            "measurements": sorted(alternative.measurements),
            "identifying": list(needs.identifying),
            "floors": sorted(alternative.floors),
            "requiredFloors": list(needs.floors),
            # A flag that is not pinned to false is not compared, so evidence with it set would be let through.
            "debug": alternative.policy.get("debug", needs.debug) is not False,
            "migrate": alternative.policy.get("migrate", needs.migrate) is not False,
        },
    )


def _blank(values: ReferenceValues, alternative: Alternative) -> list[str]:
    """Registers without a value of an image: all of a placeholder, else zeros where none can be."""
    if values.spec.origin == "placeholder":
        return sorted(alternative.measurements)
    measured = ((name, str(value)) for name, value in alternative.measurements.items() if name not in _MAY_BE_ZERO)
    return sorted(name for name, value in measured if not value.strip("0"))


def graces(context: Context) -> list[Located[GraceMember]]:
    """Dated exceptions after a TCB recovery, of reference values and of grants."""
    found: list[Located[GraceMember]] = [
        Located(values.address, ["spec", "grace"], {"until": seconds(values.spec.grace.until)})
        for values in context.reference_values.values()
        if values.spec.grace is not None
    ]
    for grant in context.workspace.of_kind(Grant):
        grace = grant.spec.appraisal.grace
        if grace is not None:
            found.append(Located(grant.address, ["spec", "appraisal", "grace"], {"until": seconds(grace.until)}))
    return found


def enclaves(context: Context) -> list[Located[EnclaveMember]]:
    """Enclaves with what their tenants' tiers demand and what their platform can do."""
    return [_enclave(enclave, context) for enclave in context.workspace.of_kind(Enclave)]


def _enclave(enclave: Enclave, context: Context) -> Located[EnclaveMember]:
    workspace, spec = context.workspace, enclave.spec
    platform = workspace.find(spec.platform, Platform).spec
    values = workspace.find(spec.reference_values, ReferenceValues)
    image = workspace.find(spec.image, Artefact)
    computed = values.spec.computed_from
    tiers = context.tiers(spec.tenants)
    regions = list(regions_of(platform)) or [_NOT_SAID]
    simulated = is_simulated(platform)
    assurance, offered, gpu_attesters = _offer(platform.type, spec.attester, context)
    return Located(
        enclave.address,
        [],
        {
            "production": context.production,
            "platform": spec.platform,
            "platformType": platform.type,
            "simulated": simulated,
            "attester": spec.attester,
            "offered": offered,
            "assurance": "simulated" if simulated and context.production else assurance,
            "requiredAssurance": _required(tuple(tier.assurance["cpu"] for tier in tiers)),
            "debug": spec.debug,
            "openings": sorted(_openings(enclave)),
            "tenants": sorted(spec.tenants),
            "sharing": spec.sharing,
            "consents": _consents(enclave, context),
            "referenceAttester": values.spec.attester,
            "imageType": image.spec.type,
            "imageDigestMatches": computed is not None
            and computed.image in (None, spec.image)
            and computed.image_digest in (None, image.spec.digest),
            "imageKnown": computed is not None and (computed.image is not None or computed.image_digest is not None),
            "gpus": spec.gpus.count if spec.gpus is not None else 0,
            "gpuModel": str(spec.gpus.model) if spec.gpus is not None else "",
            "gpuMode": spec.gpus.confidential_mode if spec.gpus is not None else "off",
            "gpuAttesters": gpu_attesters,
            "gpuRequired": any(tier.protections["gpuCc"] for tier in tiers),
            "devices": min((len(alternative.devices) for alternative in values.spec.alternatives), default=0),
            "regions": regions,
            "tenantRegions": _tenant_regions(regions, enclave, context),
            "attestersAllowed": _allowed_attesters(enclave, context),
        },
    )


def _offer(platform_type: str, attester: Attester, context: Context) -> tuple[str, list[str], list[str]]:
    """Assurance of an attester on a platform, the attesters it offers, and those that may have GPUs beside them."""
    capability = context.capability(platform_type)
    if capability is None:  # the shipped catalog covers every type; without it nothing is said to be offered
        return _NEEDS[attester].assurance, [], []
    assurance = {item.attester: item.assurance for item in capability.attesters}
    # Simulated hardware stands for the class that it imitates; another rule says at every check that it proves nothing.
    stated = assurance.get(attester, _NEEDS[attester].assurance)
    return (
        _NEEDS[attester].assurance if stated == "simulated" else stated,
        [item.attester for item in capability.attesters],
        [item.attester for item in capability.attesters if item.gpus and item.attester in _GPU_ATTESTERS],
    )


def _required(asked: tuple[tuple[str, ...], ...]) -> list[str]:
    """The classes that are good enough for every tenant; none in common is said by a class that does not exist."""
    narrow = [set(classes) for classes in asked if classes]
    if not narrow:
        return []
    return sorted(set.intersection(*narrow)) or ["no class that suits every tenant"]


def _openings(enclave: Enclave) -> Iterator[str]:
    launch = enclave.spec.launch
    for name, opened in (("ssh", launch.ssh), ("exec", launch.exec), ("plaintextLogs", launch.plaintext_logs)):
        if opened:
            yield name


def _consents(enclave: Enclave, context: Context) -> list[str]:
    signed = set(context.signed_by(enclave.address))
    return sorted(t for t in enclave.spec.tenants if signed & {str(o) for o in context.tenants[t].spec.owners})


def _tenant_regions(regions: list[str], enclave: Enclave, context: Context) -> list[str]:
    """Of the enclave's regions those that every tenant allows (a tenant's `eu` allows `eu-west-1`), and what they say."""
    allowed = [[str(region) for region in context.tenants[t].spec.regions] for t in enclave.spec.tenants]
    good = [r for r in regions if all(any(r == own or r.startswith(f"{own}-") for own in said) for said in allowed)]
    common = set.intersection(*(set(said) for said in allowed))
    return sorted({*good, *common})


def _allowed_attesters(enclave: Enclave, context: Context) -> list[str]:
    said: list[set[str]] = [
        set(context.tenants[t].spec.attesters) for t in enclave.spec.tenants if context.tenants[t].spec.attesters
    ]
    if not said:
        return []
    return sorted(set.intersection(*said)) or ["no attester that every tenant allows"]


def regions_of(platform: PlatformSpec) -> tuple[str, ...]:
    """The regions of a platform; empty where its document does not say."""
    if isinstance(platform, AwsPlatform | GcpPlatform | AzurePlatform):
        return (str(platform.region),)
    return tuple(str(region) for region in platform.regions)


def platforms(context: Context) -> list[Located[PlatformMember]]:
    """Platforms; `local` is simulated, and what says so."""
    return [
        Located(
            platform.address,
            [],
            {
                "type": platform.spec.type,
                "simulated": is_simulated(platform.spec),
                "production": context.production,
            },
        )
        for platform in context.workspace.of_kind(Platform)
    ]


def hosts(context: Context) -> list[Located[HostMember]]:
    """Hosts; the shortest report age that a platform using them allows counts."""
    ages: dict[Address, int] = {}
    for platform in context.workspace.of_kind(Platform):
        if isinstance(platform.spec, BareMetalPlatform):
            age = Duration(platform.spec.validation_max_age).seconds
            for host in platform.spec.hosts:
                ages[host] = min(age, ages.get(host, age))
    return [
        Located(
            host.address,
            [],
            {
                "used": host.address in ages,
                "verdict": host.spec.validation.verdict if host.spec.validation is not None else "missing",
                "at": seconds(host.spec.validation.at) if host.spec.validation is not None else 0,
                "maximumAge": ages.get(host.address, 0),
                "active": host.spec.state == "active",
                "confidential": host.spec.tee_mode != "none",
            },
        )
        for host in context.workspace.of_kind(Host)
    ]


__all__ = ["alternatives", "enclaves", "graces", "hosts", "platforms", "reference_values", "regions_of"]
