"""Release policies: what a broker holds for one resource, made from effective grants and back.

One policy a (broker, resource); format `qnsp.release-policy/v1` (docs/formats/release-policy.md). Its digest is what an
approved plan authorises, so equal grants must give equal bytes: members are sorted, places are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.pipeline.trust.codec import grant_from_json, grant_to_json, members
from qnsp_policy.pipeline.trust.values import EffectiveGrant, Json

FORMAT = "qnsp.release-policy/v1"


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """Every grant of one resource at one broker; a policy without grants releases nothing.

    Attributes:
        broker, tenant: addresses.
        resource: `<tenant>/<type>/<tag>`; its first segment is the tenant's name.
        grants: sorted by grant and enclave.
    """

    broker: str
    tenant: str
    resource: str
    grants: tuple[EffectiveGrant, ...]

    def __post_init__(self) -> None:
        if self.resource.split("/")[0] != self.tenant.split("/")[-1]:
            raise ValueError(f"{self.resource} is not a resource of {self.tenant}")
        for grant in self.grants:
            if (grant.broker, grant.tenant, grant.resource) != (self.broker, self.tenant, self.resource):
                raise ValueError(f"{grant.grant} does not belong to the policy of {self.resource}")
            if grant.of_broker:
                raise ValueError(f"{grant.enclave} is no enclave: who may become a broker is no release")

    def to_json(self) -> Json:
        return {
            "format": FORMAT,
            "broker": self.broker,
            "tenant": self.tenant,
            "resource": self.resource,
            "grants": [grant_to_json(grant) for grant in self.grants],
        }

    @classmethod
    def from_json(cls, value: object) -> ReleasePolicy:
        """Read what `to_json` wrote; raises `ValueError` on anything else, unknown members included."""
        found = members(
            value, {"format": str, "broker": str, "tenant": str, "resource": str, "grants": list}, "release policy"
        )
        if found["format"] != FORMAT:
            raise ValueError(f"release policy of format {found['format']!r}, this version reads {FORMAT!r}")
        where = {"broker": found["broker"], "tenant": found["tenant"], "resource": found["resource"]}
        return cls(grants=tuple(grant_from_json(grant, **where) for grant in found["grants"]), **where)

    @property
    def digest(self) -> str:
        return sha256_digest(jcs(self.to_json()))


def release_policies(grants: Iterable[EffectiveGrant]) -> Mapping[tuple[str, str], ReleasePolicy]:
    """The policies of all brokers, by (broker, resource), sorted."""
    by_key: defaultdict[tuple[str, str], list[EffectiveGrant]] = defaultdict(list)
    for grant in grants:
        by_key[grant.broker, grant.resource].append(grant)
    return {
        key: ReleasePolicy(
            broker=key[0],
            tenant=by_key[key][0].tenant,
            resource=key[1],
            grants=tuple(sorted(by_key[key], key=lambda g: (g.grant, g.enclave))),
        )
        for key in sorted(by_key)
    }


__all__ = ["FORMAT", "ReleasePolicy", "release_policies"]
