"""Combinations that the catalog excludes, held against each enclave.

Comes in: `Context`. Goes out: one member for each enclave and each excluded combination of its platform, with the
conditions that the enclave does not meet; when it meets all of them, it is what the platform cannot do. Conditions
that rules of their own judge (attester offered, GPU beside it, simulated, missing register) are left to those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from qnsp_policy.errors import DocumentError
from qnsp_policy.pipeline.model.kinds import Enclave, Platform
from qnsp_policy.pipeline.model.kinds.platform import KubernetesPlatform
from qnsp_policy.pipeline.model.kinds.shipped import PlatformCapabilitySpec, RefusedCombination
from qnsp_policy.pipeline.rules.inputs import CombinationMember
from qnsp_policy.pipeline.rules.normalise.context import Context, Located, sentence

Facts = Mapping[str, str | int | tuple[str, ...]]

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "attester": ("attester",),
    "boot": ("launch", "boot"),
    "confidential": ("attester",),
    "confidentialMode": ("gpus", "confidentialMode"),
    "containerRuntime": ("platform",),
    "environment": ("platform",),
    "gpuArchitecture": ("gpus", "model"),
    "gpuOperator.ccMode": ("platform",),
    "gpuOperator.kataManager": ("platform",),
    "gpuOperator.sandboxWorkloads": ("platform",),
    "gpus": ("gpus", "count"),
    "hostGpusMixed": ("gpus", "confidentialMode"),
    "launch.diskInterface": ("launch", "diskInterface"),
    "launch.minCpuPlatform": ("launch", "minCpuPlatform"),
    "launch.onHostMaintenance": ("launch", "onHostMaintenance"),
    "machine": ("size", "instanceType"),
    "missingFeatureGate": ("platform",),
    "missingMeasurement": ("referenceValues",),
    "nestedVirtualisation": ("platform",),
    "runtimeClass": ("launch", "runtimeClass"),
}
"""Every field that a condition may name, and where in an Enclave a reader finds its cause."""

_JUDGED_ELSEWHERE: Final = frozenset({"attester", "gpus", "confidentialMode", "environment"})
_GATES: Final = {"RuntimeClassInImageCriApi": (99, 0), "KubeletPodResourcesGet": (1, 34)}
"""Feature gates that confidential pods need, and the version of Kubernetes that has them without being asked."""

_ARCHITECTURES: Final = {
    "H100": "hopper",
    "H200": "hopper",
    "H800": "hopper",
    "H20": "hopper",
    "B": "blackwell",
    "GB": "blackwell",
}


def combinations(context: Context) -> list[Located[CombinationMember]]:
    """Every (enclave, excluded combination) pair.

    Raises:
        DocumentError: QNSP-RUL-017, a PlatformCapability names a field that is none.
    """
    fleet = context.workspace.of_kind(Enclave)
    modes: dict[str, set[str]] = {}
    for enclave in fleet:
        if enclave.spec.gpus is not None:
            modes.setdefault(enclave.spec.platform, set()).add(enclave.spec.gpus.confidential_mode)
    members: list[Located[CombinationMember]] = []
    for enclave in fleet:
        platform = context.workspace.find(enclave.spec.platform, Platform)
        capability = context.capability(platform.spec.type)
        entries = _entries(capability) if capability is not None else ()
        if not entries:
            continue
        facts = _facts(enclave, platform, mixed=len(modes.get(platform.address, ())) > 1, context=context)
        members += [_member(enclave, refused, facts) for refused in entries]
    return members


def _entries(capability: PlatformCapabilitySpec) -> tuple[RefusedCombination, ...]:
    return tuple(refused for refused in capability.refused if not _judged_elsewhere(refused.when))


def _judged_elsewhere(when: Mapping[str, Any]) -> bool:
    if "missingMeasurement" in when:
        return True
    return set(when) <= _JUDGED_ELSEWHERE and str(when.get("gpus", ">0")) == ">0"


def _member(enclave: Enclave, refused: RefusedCombination, facts: Facts) -> Located[CombinationMember]:
    for name in refused.when:
        if name not in _FIELDS:
            raise DocumentError(
                "QNSP-RUL-017",
                f"combination {refused.id} of a PlatformCapability names {name!r}, which is no field of an enclave",
                subject=str(refused.id),
                expected=", ".join(_FIELDS),
            )
    # The field that tells most: the one that is neither the attester nor a bare number of GPUs.
    telling = min(refused.when, key=lambda name: (name in ("attester", "gpus", "environment", "confidential"), name))
    return Located(
        enclave.address,
        ["spec", *_FIELDS[telling]],
        {
            "combination": str(refused.id),
            "unmet": sorted(
                name for name, pattern in refused.when.items() if not matches(facts.get(name), str(pattern))
            ),
            "reason": _whole(str(refused.reason)),
            "nearest": _whole(str(refused.nearest)),
        },
    )


def _whole(text: str) -> str:
    return sentence(text[:1].upper() + text[1:])


def _facts(enclave: Enclave, platform: Platform, *, mixed: bool, context: Context) -> Facts:
    spec, gpus, launch = enclave.spec, enclave.spec.gpus, enclave.spec.launch
    facts: dict[str, str | int | tuple[str, ...] | None] = {
        "attester": spec.attester,
        "confidential": "true",
        "environment": context.workspace.project.spec.environment,
        "gpus": gpus.count if gpus is not None else 0,
        "hostGpusMixed": "true" if mixed else "false",
        "machine": spec.size.instance_type,
        "boot": launch.boot,
        "runtimeClass": launch.runtime_class,
        "launch.diskInterface": launch.disk_interface,
        "launch.minCpuPlatform": launch.min_cpu_platform,
        "launch.onHostMaintenance": launch.on_host_maintenance,
    }
    if gpus is not None:
        facts["confidentialMode"] = gpus.confidential_mode
        facts["gpuArchitecture"] = next(
            (architecture for prefix, architecture in _ARCHITECTURES.items() if gpus.model.startswith(prefix)), None
        )
    if isinstance(platform.spec, KubernetesPlatform):
        facts |= _cluster(platform.spec)
    return {name: value for name, value in facts.items() if value is not None}


def _cluster(spec: KubernetesPlatform) -> dict[str, str | tuple[str, ...] | None]:
    operator = spec.gpu_operator
    return {
        "containerRuntime": spec.container_runtime,
        "nestedVirtualisation": "true" if spec.nested_virtualisation else "false",
        "missingFeatureGate": tuple(_missing_gates(spec)),
        "gpuOperator.ccMode": operator.cc_mode if operator is not None else None,
        "gpuOperator.kataManager": ("true" if operator.kata_manager else "false") if operator is not None else None,
        "gpuOperator.sandboxWorkloads": operator.sandbox_workloads if operator is not None else None,
    }


def _missing_gates(spec: KubernetesPlatform) -> Iterable[str]:
    numbers = [int(part) for part in (spec.kubernetes_version or "0").lstrip("v").split(".")[:2] if part.isdigit()]
    version = (numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else 0)
    given = {str(gate).partition("=")[0] for gate in spec.feature_gates}
    return (gate for gate, since in _GATES.items() if version < since and gate not in given)


def matches(value: str | int | tuple[str, ...] | None, pattern: str) -> bool:
    """Whether a field's value meets a condition.

    `*` is any value, `!x` anything that is said and is not x, `>n` a greater number, `a|b` one of; a machine's name
    also meets its family (`m6a.xlarge` meets `m6a`). A field that the document leaves to the engine meets nothing,
    because the engine then chooses what works.
    """
    if value is None or value == ():
        return False
    if isinstance(value, tuple):
        return any(matches(item, pattern) for item in value)
    if pattern.startswith("!"):
        return not matches(value, pattern[1:])
    if pattern.startswith(">"):
        return isinstance(value, int) and value > int(pattern[1:])
    text = str(value)
    return any(
        one in ("*", text) or text.startswith((f"{one}.", f"{one}_")) or _sized(text, one) for one in pattern.split("|")
    )


def _sized(text: str, family: str) -> bool:
    """Azure: `Standard_DC4as_v5` is of the family `Standard_DC`."""
    return family.startswith("Standard_") and text.startswith(family) and text[len(family) : len(family) + 1].isdigit()


__all__ = ["combinations", "matches"]
