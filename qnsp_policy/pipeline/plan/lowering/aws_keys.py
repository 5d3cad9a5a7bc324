"""Units `aws-keys`: the KMS keys of each key hierarchy on AWS, with policies computed from effective grants.

A key of a hierarchy lives in KMS where its custody (its own, else its root's) is `kms`. Each version is a key of its own behind
one alias, so that a rotation is a new key and old ciphertexts stay readable until their key is destroyed by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from qnsp_policy.errors import OperatorError, Place
from qnsp_policy.kernel.attestation.values import Alternative
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.model.kinds import (
    Artefact,
    Enclave,
    KeyBroker,
    KeyHierarchy,
    Platform,
    ReferenceValues,
    Tenant,
)
from qnsp_policy.pipeline.model.kinds.keys import TenantKey
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.plan.lowering.context import Json, Lowering, platform_shape
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.trust import reference
from qnsp_policy.pipeline.trust.aws_attested import attested
from qnsp_policy.pipeline.trust.aws_key_policy import (
    DELETION_DAYS,
    MAX_POLICY_BYTES,
    Release,
    key_policy,
    signing_policy,
)
from qnsp_policy.pipeline.trust.aws_names import Names
from qnsp_policy.pipeline.trust.aws_releases import STORE_ACTIONS, releases
from qnsp_policy.pipeline.trust.places import SELF, LazyPlaces
from qnsp_policy.pipeline.trust.values import EffectiveGrant

_SPECS = {"ML-DSA-44": "ML_DSA_44", "ML-DSA-65": "ML_DSA_65", "ML-DSA-87": "ML_DSA_87"}


def _aws_platforms(workspace: Workspace) -> list[Platform]:
    """The AWS platforms of a workspace."""
    return [platform for platform in workspace.of_kind(Platform) if isinstance(platform.spec, AwsPlatform)]


def key_units(context: Lowering, hierarchy: KeyHierarchy) -> Sequence[Unit]:
    """The unit of a key hierarchy that has keys in KMS; none for another."""
    platforms = _aws_platforms(context.workspace)
    if not platforms:
        return ()
    home = _home(context, hierarchy, platforms)
    keys = [*_tenant_keys(context, hierarchy, home), *_signing_root(context, hierarchy, home)]
    if not keys:
        return ()
    inputs: Json = {
        "platform": platform_shape(home),
        "keyAdmin": key_admin(context, home),
        "keys": keys,
    }
    places = LazyPlaces(
        {SELF: context.place(hierarchy.address), "keys": context.place(hierarchy.address, "spec", "keys")}
    )
    # What a tenant's keys open for is what its brokers hold: never the one without the other.
    depends = (f"platform/{home.name}", f"tenant/{hierarchy.spec.tenant.split('/')[-1]}")
    return (Unit(f"aws-keys/{hierarchy.name}", "aws-keys", inputs, depends, places=places),)


def _home(context: Lowering, hierarchy: KeyHierarchy, platforms: Sequence[Platform]) -> Platform:
    """The platform of the fleets that open this tenant's keys, else the first where its data may be; a KMS key lives in one region."""
    workspace = context.workspace
    homes = {
        workspace.find(Address(grant.enclave), Enclave).spec.platform
        for grant in context.grants_of_tenant.get(hierarchy.spec.tenant, ())
    }
    ours = [workspace.find(home, Platform) for home in sorted(homes)]
    on_aws = [home for home in ours if isinstance(home.spec, AwsPlatform)]
    if len(on_aws) > 1 and _in_kms(hierarchy):
        raise OperatorError(
            "QNSP-PLN-222",
            f"keys of {hierarchy.address} are granted on {len(on_aws)} AWS platforms; a KMS key lives in one region",
            subject=str(hierarchy.address),
            place=workspace.place(hierarchy.address, "spec", "keys"),
            next_step="give each region a tenant and a hierarchy of its own, or use custody software behind a broker",
        )
    if on_aws:
        return on_aws[0]
    allowed = workspace.find(hierarchy.spec.tenant, Tenant).spec.regions
    there = [
        one
        for one in platforms
        if isinstance(one.spec, AwsPlatform) and str(one.spec.region) in {str(region) for region in allowed}
    ]
    if not there and (_in_kms(hierarchy) or hierarchy.spec.signing_root.custody == "kms"):
        raise OperatorError(
            "QNSP-PLN-245",
            f"{hierarchy.address} has keys in KMS, and no AWS platform lies in a region of {hierarchy.spec.tenant}: {', '.join(allowed)}",
            subject=str(hierarchy.address),
            place=workspace.place(hierarchy.spec.tenant, "spec", "regions"),
            next_step="declare a Platform in such a region, or give the keys custody software or enclave",
        )
    return (there or platforms)[0]


def _in_kms(hierarchy: KeyHierarchy) -> bool:
    return any(_custody(hierarchy, key) == "kms" for key in hierarchy.spec.keys)


def _custody(hierarchy: KeyHierarchy, key: TenantKey) -> str:
    root = hierarchy.spec.wrapping_root if key.wrapped_by is not None else hierarchy.spec.signing_root
    return key.custody or root.custody


def key_admin(context: Lowering, platform: Platform) -> str:
    """ARN of the key administrator's role.

    Raises:
        OperatorError: QNSP-PLN-223 it is not named, -224 it is the engine's own role.
    """
    spec = platform.spec
    assert isinstance(spec, AwsPlatform)
    place = context.workspace.place(platform.address, "spec", "keyAdmin")
    if spec.key_admin is None:
        raise OperatorError(
            "QNSP-PLN-223",
            f"{platform.address} has keys in KMS and names no keyAdmin: nobody would be kept from their policies",
            subject=str(platform.address),
            place=place,
            next_step="make a role of its own for the administration of keys and name it: keyAdmin: arn:aws:iam::...",
        )
    if spec.key_admin == spec.role:
        raise OperatorError(
            "QNSP-PLN-224",
            f"keyAdmin of {platform.address} is the engine's own role: one role would both run fleets and open their keys",
            subject=str(platform.address),
            place=place,
            next_step="name another role",
        )
    return str(spec.key_admin)


def _tenant_keys(context: Lowering, hierarchy: KeyHierarchy, home: Platform) -> Iterator[Json]:
    names = Names.of(context.workspace, home)
    tenant = hierarchy.spec.tenant.split("/")[-1]
    for index, key in enumerate(hierarchy.spec.keys):
        place = context.workspace.place(hierarchy.address, "spec", "keys", index)
        if _custody(hierarchy, key) != "kms":
            continue
        if key.wrapped_by is None:
            raise OperatorError(
                "QNSP-PLN-225",
                f"{key.name} signs and its custody is kms: KMS Sign takes no Recipient, so anybody with the role could sign "
                "answers outside the enclave",
                subject=str(hierarchy.address),
                place=place,
                next_step="give it custody enclave (its guest makes it), or software",
            )
        if key.algorithm != "AES-256-GCM":
            raise OperatorError(
                "QNSP-PLN-226",
                f"a symmetric key of KMS is AES-256-GCM, not {key.algorithm}",
                subject=str(hierarchy.address),
                place=place,
                next_step="say algorithm: AES-256-GCM, or another custody",
            )
        resource = f"{tenant}/{key.name}"
        granted = context.grants_of_resource.get(resource, ())
        opened = list(releases(granted, names, partial(_told, context)))
        versions = sorted(
            {a.spec.encryption.version for a in context.sealed_by_key.get(resource, ())
             if a.spec.encryption is not None} or {1}
        )  # fmt: skip
        unlocks = sorted(artefact.name for artefact in context.sealed_by_key.get(resource, ()))
        for version in versions:
            yield symmetric_key(context, home, resource, version, opened, place,
                                current=version == versions[-1], unlocks=unlocks)  # fmt: skip


def symmetric_key(
    context: Lowering,
    home: Platform,
    resource: str,
    version: int,
    opened: Sequence[Release],
    place: Place,
    *,
    current: bool = True,
    unlocks: Sequence[str] = (),
) -> Json:
    """One key as a unit holds it.

    Raises:
        OperatorError: QNSP-PLN-227, its policy is larger than KMS takes.
    """
    names, spec = Names.of(context.workspace, home), home.spec
    assert isinstance(spec, AwsPlatform)
    policy = key_policy(
        resource=resource,
        root=names.root,
        admin=key_admin(context, home),
        releases=opened,
        sealer=str(spec.role) if spec.role else None,
    )
    size = len(jcs(policy))
    if size > MAX_POLICY_BYTES:
        raise OperatorError(
            "QNSP-PLN-227",
            f"the policy of {resource} has {size} bytes; KMS takes {MAX_POLICY_BYTES}",
            subject=resource,
            place=place,
            next_step="retire reference values that no fleet runs any more, or split the key",
        )
    return {
        "name": f"{resource}@{version}",
        "resource": resource,
        "aliases": [f"{names.alias(resource)}/v{version}", *([names.alias(resource)] if current else [])],
        "spec": "SYMMETRIC_DEFAULT",
        "usage": "ENCRYPT_DECRYPT",
        "description": f"qnsp {resource} version {version}",
        "policy": policy,
        "workspace": names.workspace,
        "deletionDays": DELETION_DAYS,
        "unlocks": list(unlocks),
    }


def _signing_root(context: Lowering, hierarchy: KeyHierarchy, home: Platform) -> Iterator[Json]:
    root = hierarchy.spec.signing_root
    if root.custody != "kms":
        return
    place = context.workspace.place(hierarchy.address, "spec", "signingRoot")
    spec, names = home.spec, Names.of(context.workspace, home)
    assert isinstance(spec, AwsPlatform)
    if root.algorithm not in _SPECS:
        raise OperatorError(
            "QNSP-PLN-226",
            f"KMS has no {root.algorithm} keys that sign; it has {', '.join(sorted(_SPECS))}",
            subject=str(hierarchy.address),
            place=place,
            next_step="say one of them, or another custody",
        )
    if spec.role is None:
        raise OperatorError(
            "QNSP-PLN-228",
            f"{home.address} names no role, so nobody could be given the signing root of {hierarchy.address}",
            subject=str(home.address),
            place=context.workspace.place(home.address, "spec", "role"),
            next_step="name the role that signs plans: role: arn:aws:iam::...",
        )
    tenant = hierarchy.spec.tenant.split("/")[-1]
    yield {
        "name": f"{tenant}/signing-root@1",
        "resource": f"{tenant}/signing-root",
        "aliases": [names.alias(f"{tenant}/signing-root")],
        "spec": _SPECS[root.algorithm],
        "usage": "SIGN_VERIFY",
        "description": f"qnsp {tenant} signs plans and checkpoints, never answers",
        "policy": signing_policy(root=names.root, admin=key_admin(context, home), signer=str(spec.role)),
        "workspace": names.workspace,
        "deletionDays": DELETION_DAYS,
        "unlocks": [],
    }


def _told(context: Lowering, grant: EffectiveGrant, alternative: Alternative) -> tuple[str | None, Place]:
    """How an alternative of a grant boots, and where it is written."""
    enclave = context.workspace.find(Address(grant.enclave), Enclave)
    place = grant.places.get(alternative.name)
    return enclave.spec.launch.boot, place or context.workspace.place(
        enclave.spec.reference_values, "spec", "alternatives"
    )


def unsealing_key(context: Lowering, broker: KeyBroker, enclave: Enclave, platform: Platform) -> Json:
    """The key by which a broker in a Nitro enclave opens its own store after a start."""
    workspace = context.workspace
    names = Names.of(workspace, platform)
    values = workspace.find(enclave.spec.reference_values, ReferenceValues)
    place = partial(workspace.place, values.address, "spec", "alternatives")
    opened = [
        Release(names.role(broker.name), attested(alternative, boot=None, place=place()), actions=STORE_ACTIONS)
        for alternative in reference.alternatives(values, enclave, floors={}, graces=())
    ]
    return symmetric_key(context, platform, f"broker/{broker.name}/store", 1, opened, place())


def kms_resources(context: Lowering, enclave: Enclave) -> list[str]:
    """Resources in KMS that an enclave is granted, sorted."""
    granted = {grant.resource for grant in context.grants_of_enclave.get(enclave.address, ())}
    known = context.key_by_resource
    return sorted(resource for resource in granted if resource in known and _custody(*known[resource]) == "kms")


def sealed_objects(context: Lowering, enclave: Enclave) -> list[str]:
    """Locations in S3 of the artefacts that an enclave's grants open, and of its image, sorted."""
    found = {str(context.workspace.find(enclave.spec.image, Artefact).spec.location)}
    for grant in context.grants_of_enclave.get(enclave.address, ()):
        for artefact in context.sealed_by_key.get(grant.resource, ()):
            assert artefact.spec.encryption is not None
            found |= {str(artefact.spec.location), str(artefact.spec.encryption.wrapped_key)}
    return sorted(location for location in found if location.startswith("s3://"))


__all__ = [
    "key_admin",
    "key_units",
    "kms_resources",
    "sealed_objects",
    "unsealing_key",
]
