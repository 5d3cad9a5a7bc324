"""Components on AWS: typed arguments in, the declared children made with the SDK of AWS. Imports Pulumi and its AWS SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pulumi
import pulumi_aws

from pulumi_qnsp.components.aws_balancer import BalancerArgs, balancer
from pulumi_qnsp.components.aws_fleet import FleetArgs, fleet
from pulumi_qnsp.components.aws_foundation import FoundationArgs, foundation
from pulumi_qnsp.components.aws_keys import KeysArgs, keys
from pulumi_qnsp.components.aws_provider import ENGINE, KEEPER, provider
from pulumi_qnsp.components.children import Child, Ref


class _Component(pulumi.ComponentResource):
    TYPE: ClassVar[str]

    def __init__(
        self, name: str, children: Sequence[Child], providers: Providers, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self.children: dict[str, pulumi.CustomResource] = {}
        for child in children:
            self.children[child.name] = self._make(child, providers)
        self.register_outputs({})

    def _make(self, child: Child, providers: Providers) -> pulumi.CustomResource:
        options = pulumi.ResourceOptions(
            parent=self,
            provider=providers.keeper if child.keeper else providers.default,
            depends_on=[self.children[name] for name in child.after],
            protect=child.protect,
            # Names are ours and given once: made before the old one is gone, the new one would be refused.
            delete_before_replace=True,
            ignore_changes=list(child.ignore) or None,
        )
        inputs = {name: self._resolved(value) for name, value in child.inputs.items() if value is not None}
        made: pulumi.CustomResource = class_of(child.type)(child.name, **inputs, opts=options)
        return made

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return getattr(self.children[value.child], value.output)
        if isinstance(value, Mapping):
            return {name: self._resolved(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            return [self._resolved(item) for item in value]
        return value


def class_of(token: str) -> Any:
    """The SDK's class of a type token."""
    _, module, name = token.split(":")
    return getattr(getattr(pulumi_aws, module.split("/")[0]), name)


class Providers:
    """The providers of one unit: the engine's role, and the key administrator's where keys are made."""

    def __init__(self, platform: Mapping[str, Any], key_admin: str | None = None) -> None:
        self.default = self._made(ENGINE, platform, platform.get("role"))
        self.keeper = self._made(KEEPER, platform, key_admin) if key_admin else None

    @staticmethod
    def _made(name: str, platform: Mapping[str, Any], role: str | None) -> pulumi_aws.Provider:
        told = provider(platform, role)
        # The SDK writes members of a dictionary as they are into the provider's JSON, under names that the plugin ignores.
        roles = [pulumi_aws.ProviderAssumeRoleArgs(**one) for one in told.pop("assume_roles") or ()]
        return pulumi_aws.Provider(name, assume_roles=roles or None, **told)


class Foundation(_Component):
    """Network, records and roles."""

    TYPE = "qnsp:aws:Foundation"

    def __init__(self, name: str, args: FoundationArgs, providers: Providers) -> None:
        super().__init__(name, foundation(args), providers)


class Keys(_Component):
    """KMS keys with computed policies."""

    TYPE = "qnsp:aws:Keys"

    def __init__(self, name: str, args: KeysArgs, providers: Providers) -> None:
        super().__init__(name, keys(args), providers)


class Balancer(_Component):
    """TCP through to a fleet."""

    TYPE = "qnsp:aws:Balancer"

    def __init__(self, name: str, args: BalancerArgs, providers: Providers) -> None:
        super().__init__(name, balancer(args), providers)


class _Fleet(_Component):
    def __init__(self, name: str, args: FleetArgs, providers: Providers, *, target_groups: Sequence[Any] = ()) -> None:
        super().__init__(name, fleet(args, target_groups=target_groups), providers)


class NitroEnclaveFleet(_Fleet):
    """Parents of Nitro enclaves."""

    TYPE = "qnsp:aws:NitroEnclaveFleet"


class NitroTpmFleet(_Fleet):
    """Instances of an attestable image, with or without GPUs."""

    TYPE = "qnsp:aws:NitroTpmFleet"


class SevSnpFleet(_Fleet):
    """Instances whose memory SEV-SNP keeps from the host."""

    TYPE = "qnsp:aws:SevSnpFleet"


FLEETS: Mapping[str, type[_Fleet]] = {
    "nitro-enclave": NitroEnclaveFleet,
    "nitro-tpm": NitroTpmFleet,
    "sev-snp": SevSnpFleet,
}

__all__ = [
    "FLEETS",
    "Balancer",
    "Foundation",
    "Keys",
    "NitroEnclaveFleet",
    "NitroTpmFleet",
    "Providers",
    "SevSnpFleet",
    "class_of",
]
