"""What every part of lowering shares: the inputs, connections, objects, process names and paths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.pipeline.model.kinds import Artefact, Endpoint, KeyBroker, KeyHierarchy, Platform
from qnsp_policy.pipeline.model.kinds.keys import TenantKey
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.trust.initdata import broker_url, key_id_of
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.pipeline.trust.values import EffectiveGrant
from qnsp_policy.pipeline.world.recorded import RecordedState

Json = dict[str, Any]

RUN = ".qnsp/run"


@dataclass(frozen=True)
class Lowering:
    """The inputs of lowering.

    Attributes:
        workspace: the documents.
        policies: release policies by (broker, resource).
        recorded: what was applied; brokers keep the pin they were made with.
        judge: the TrustRoot in force.
        proposed: the TrustRoot of the documents.
        workspace_id: of the genesis record.
        attachments: bytes of the files that documents name, by path; None where documents are judged without them.
    """

    workspace: Workspace
    policies: Mapping[tuple[str, str], ReleasePolicy]
    recorded: RecordedState
    judge: TrustRootValue
    proposed: TrustRootValue
    workspace_id: str
    attachments: Mapping[str, bytes] | None

    @cached_property
    def policies_of_tenant(self) -> Mapping[tuple[str, str], Sequence[ReleasePolicy]]:
        """Release policies by (broker, tenant), each list sorted by resource."""
        found: defaultdict[tuple[str, str], list[ReleasePolicy]] = defaultdict(list)
        for policy in self.policies.values():
            found[policy.broker, policy.tenant].append(policy)
        return found

    @cached_property
    def sealed_of_tenant(self) -> Mapping[str, Sequence[Artefact]]:
        """Sealed artefacts by the name of the tenant whose key opens them."""
        found: defaultdict[str, list[Artefact]] = defaultdict(list)
        for artefact in self.workspace.of_kind(Artefact):
            if artefact.spec.encryption is not None:
                found[artefact.spec.encryption.key.tenant].append(artefact)
        return found

    @cached_property
    def sealed_by_key(self) -> Mapping[str, Sequence[Artefact]]:
        """Sealed artefacts by the resource that opens them."""
        found: defaultdict[str, list[Artefact]] = defaultdict(list)
        for artefact in self.workspace.of_kind(Artefact):
            if artefact.spec.encryption is not None:
                found[str(artefact.spec.encryption.key)].append(artefact)
        return found

    @cached_property
    def key_by_resource(self) -> Mapping[str, tuple[KeyHierarchy, TenantKey]]:
        """Keys with their hierarchies, by resource."""
        return {
            f"{hierarchy.spec.tenant.split('/')[-1]}/{key.name}": (hierarchy, key)
            for hierarchy in self.workspace.of_kind(KeyHierarchy)
            for key in hierarchy.spec.keys
        }

    @cached_property
    def grants_of_enclave(self) -> Mapping[str, Sequence[EffectiveGrant]]:
        """Every effective grant once, explicit ones, by the address of the enclave."""
        return self._grants_by(lambda grant: grant.enclave)

    @cached_property
    def grants_of_resource(self) -> Mapping[str, Sequence[EffectiveGrant]]:
        """The same by resource."""
        return self._grants_by(lambda grant: grant.resource)

    @cached_property
    def grants_of_tenant(self) -> Mapping[str, Sequence[EffectiveGrant]]:
        """The same by the address of the tenant."""
        return self._grants_by(lambda grant: grant.tenant)

    def _grants_by(self, key: Callable[[EffectiveGrant], str]) -> Mapping[str, Sequence[EffectiveGrant]]:
        found: defaultdict[str, list[EffectiveGrant]] = defaultdict(list)
        for policy in self.policies.values():
            for grant in policy.grants:
                if not grant.implicit:
                    found[key(grant)].append(grant)
        return found

    @cached_property
    def endpoints_of_enclave(self) -> Mapping[str, Sequence[Endpoint]]:
        """Endpoints by the address of their enclave."""
        found: defaultdict[str, list[Endpoint]] = defaultdict(list)
        for endpoint in self.workspace.of_kind(Endpoint):
            found[endpoint.spec.enclave].append(endpoint)
        return found

    def place(self, address: Address, *path: str | int) -> Callable[[], Place]:
        """Where something is declared, found when somebody asks."""
        return partial(self.workspace.place, address, *path)

    def attachment(self, path: str, needed_by: Address, *where: str) -> bytes:
        """The bytes of a file that a document names.

        Raises:
            OperatorError: QNSP-PLN-027, it was not found, or files are not read at all.
        """
        if self.attachments is None:
            raise OperatorError("QNSP-PLN-027", f"{path} is not read here", subject=path)
        if path not in self.attachments:
            raise OperatorError(
                "QNSP-PLN-027",
                f"{path} is missing, and {needed_by} names it",
                subject=path,
                place=self.workspace.place(needed_by, *where),
                next_step="restore the file, or seal the artefact again: qnsp-policy artefact seal",
            )
        return self.attachments[path]


def platform_shape(platform: Platform) -> Json:
    """How units name a platform: its spec as written, with its name."""
    spec = platform.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"name": platform.name, **spec}


def connection(broker: KeyBroker) -> Json:
    """How a broker is reached: public facts only."""
    identity = broker.spec.identity
    plain = broker.spec.tls == "insecure-plaintext"
    return {
        "address": str(broker.address),
        "name": broker.name,
        "url": broker_url(broker),
        "tls": {
            "mode": "insecure-plaintext" if plain else "pinned",
            "key": None if plain else dict(identity.tls),
        },
        "token": dict(identity.token),
        "adminKeyIds": sorted(key_id_of(key) for key in identity.admin),
    }


def broker_object(kind: str, name: str, value: Json, **more: Any) -> Json:
    """One entry for a broker's list of objects; `more` are members for the program, not for the broker."""
    return {"kind": kind, "name": name, "digest": sha256_digest(jcs(value)), "object": value, **more}


def tls_mode(mode: str) -> str:
    """The services' word for how a listener ends TLS."""
    return "in-process" if mode == "embedded" else mode


def process(name: str, module: str, files: list[Json], *, readiness: Json | None) -> Json:
    """A process of ours that is started with one configuration file, the first of `files`."""
    return {
        "name": name,
        "argv": ["{python}", "-m", module, "--config", files[0]["path"]],
        "env": {},
        "cwd": ".",
        "restart": "always",
        "readiness": readiness,
        "files": files,
    }


def ready(*, http: str | None = None, file: str | None = None, seconds: int = 30) -> Json:
    """A readiness of a process: an address that answers, or a file that exists."""
    return {"http": http, "file": file, "timeoutSeconds": seconds}


def configuration(name: str, value: Json) -> Json:
    """The configuration file of process `name`."""
    return {"path": f"{RUN}/cfg/{name}.json", "mode": "0600", "json": value}


__all__ = [
    "RUN",
    "Json",
    "Lowering",
    "broker_object",
    "configuration",
    "connection",
    "platform_shape",
    "process",
    "ready",
    "tls_mode",
]
