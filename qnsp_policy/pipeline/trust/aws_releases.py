"""Key policies of KMS from release policies: what a plan writes and what whoever verifies a plan computes again, by one function.

Comes in: release policies (as wanted, or overlapping while a fleet is replaced) and the inputs of a unit with keys. Goes out: its keys with the
policies that follow. An author who writes another policy into a unit is told by everybody who checks the plan (QNSP-PLN-018).
A broker's own store has no grant behind it: its policy may open for that broker's fleet alone, under complete tuples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from qnsp_policy.errors import Place
from qnsp_policy.kernel.attestation.values import Alternative
from qnsp_policy.pipeline.trust.aws_attested import admitted, attested
from qnsp_policy.pipeline.trust.aws_key_policy import Release, key_policy, signing_policy
from qnsp_policy.pipeline.trust.aws_names import Names
from qnsp_policy.pipeline.trust.places import NOWHERE
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.values import EffectiveGrant

Json = dict[str, Any]
Policies = Mapping[tuple[str, str], ReleasePolicy]
Where = Callable[[EffectiveGrant, Alternative], tuple[str | None, Place]]
"""How an alternative boots (`standard`, `secure-boot`), and its line."""

STORE_ACTIONS = ("kms:Decrypt",)
"""What a broker does with the key of its own store."""


def _as_told(grant: EffectiveGrant, alternative: Alternative) -> tuple[str | None, Place]:
    """Of a grant that was read back: Secure Boot where only its register is named."""
    del grant
    secure = "pcr7" in alternative.equals and "pcr4" not in alternative.equals
    return ("secure-boot" if secure else None), NOWHERE


def releases(grants: Iterable[EffectiveGrant], names: Names, where: Where = _as_told) -> Iterator[Release]:
    """One release a complete tuple that the guardrails of its grant leave.

    Raises:
        OperatorError: QNSP-PLN-210 to -214, KMS cannot hold a request to what a grant asks.
    """
    for grant in grants:
        if grant.implicit:
            continue
        tuples = []
        for alternative in grant.alternatives:
            boot, place = where(grant, alternative)
            tuples.append(attested(alternative, boot=boot, place=place))
        for one in admitted(grant, tuple(tuples)):
            yield Release(names.role(grant.enclave.split("/")[-1]), one, grant.not_before, grant.not_after)


def following_keys(inputs: Mapping[str, Any], workspace: str, policies: Policies) -> list[Json]:
    """The keys of a unit `aws-keys`, each with the policy that follows from release policies."""
    platform, admin = inputs["platform"], inputs["keyAdmin"]
    names = Names.at(workspace, platform)
    found = []
    for key in inputs["keys"]:
        if key["usage"] == "SIGN_VERIFY":
            policy = signing_policy(root=names.root, admin=admin, signer=platform["role"])
        else:
            grants = [
                grant
                for (_, resource), held in policies.items()
                if resource == key["resource"]
                for grant in held.grants
            ]
            policy = key_policy(
                resource=key["resource"],
                root=names.root,
                admin=admin,
                releases=list(releases(grants, names)),
                sealer=platform.get("role"),
            )
        found.append({**key, "policy": policy})
    return found


def following_store(inputs: Mapping[str, Any], workspace: str, alternatives: Iterable[Alternative]) -> list[Json]:
    """The keys of a unit `aws-broker`, each with the policy of a store that this broker's fleet alone opens.

    Args:
        inputs: of the unit.
        workspace: its name.
        alternatives: one of which a member must show whole.

    Raises:
        OperatorError: QNSP-PLN-210 to -213, KMS cannot hold a request to one of them.
    """
    tuples = [
        Release(inputs["fleet"]["roleArn"], attested(one, boot=None, place=NOWHERE), actions=STORE_ACTIONS)
        for one in alternatives
    ]
    platform = inputs["platform"]
    names = Names.at(workspace, platform)
    found = []
    for key in inputs["keys"]:
        policy = key_policy(
            resource=f"broker/{inputs['broker']['name']}/store",
            root=names.root,
            admin=inputs["keyAdmin"],
            releases=tuples,
            sealer=platform.get("role"),
        )
        found.append({**key, "policy": policy})
    return found


__all__ = ["STORE_ACTIONS", "Policies", "Where", "following_keys", "following_store", "releases"]
