"""What an endpoint's gateway must show, and the judgement whether it does: pure, from the unit and one evidence document.

A port that answers is not yet the endpoint: another workspace's gateway, or yesterday's, may hold it. So the evidence must
verify under the anchors that the workspace accepts, bind the keys it names, meet one of the alternatives that the
endpoint's own configuration is released to, and name this endpoint and the very configuration that was applied.

Not checked here: freshness (the evidence is as old as the gateway's start) and vendor revocation data; relying parties
check both as they see fit (`qnsp-policy verify-response`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qnsp_policy.errors import EngineError, PeerError
from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.registry import pinned_anchors, verify_any
from qnsp_policy.kernel.attestation.values import Alternative, Anchor, AppraisalPolicy, AssuranceClass
from qnsp_policy.kernel.crypto.canonical import same
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.tls.certificate import certificate_key
from qnsp_policy.kernel.wire.endpoint import EndpointEvidence
from qnsp_policy.pipeline.trust.anchors import declared_anchors
from qnsp_policy.pipeline.trust.codec import alternative_from_json


@dataclass(frozen=True, slots=True)
class GatewayStatement:
    """A gateway that is the endpoint it should be.

    Attributes:
        key_id: of its response key.
        attester: kind of its evidence.
        assurance: what that evidence is worth: `hardware-tee`, `simulated` ...
    """

    key_id: str
    attester: str
    assurance: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the gateway of an endpoint must show.

    Attributes:
        endpoint, tenant: as its evidence names them.
        configuration_digest: of the `qnsp.endpoint/v1` object that was handed to the broker.
        anchors: declared ones, beside the pinned vendor roots.
        alternatives: reference values of its enclave; one must hold whole.
    """

    endpoint: str
    tenant: str
    configuration_digest: str
    anchors: tuple[Anchor, ...]
    alternatives: tuple[Alternative, ...]

    @classmethod
    def of_unit(cls, endpoint: Mapping[str, Any]) -> Expected:
        """Read the member `endpoint` of a unit's inputs (docs/formats/units.md).

        Raises:
            EngineError: QNSP-ENG-043, the unit was recorded without what its gateway must show.
        """
        found = endpoint.get("expected")
        if not isinstance(found, Mapping):
            raise EngineError(
                "QNSP-ENG-043",
                f"endpoint {endpoint['name']} was recorded without what its gateway must show",
                next_step="plan and apply again",
            )
        return cls(
            str(endpoint["name"]),
            str(found["tenant"]),
            str(found["configurationDigest"]),
            declared_anchors(found["anchors"]),
            tuple(alternative_from_json(item) for item in found["alternatives"]),
        )


def verify_gateway(
    document: EndpointEvidence, certificate: bytes | None, expected: Expected, now: datetime
) -> GatewayStatement:
    """Hold a gateway's evidence against what it must show.

    1. It names the endpoint and the configuration that was applied.
    2. Over TLS, the connection's key is the one the evidence binds.
    3. Signature and chain hold under the anchors.
    4. The evidence binds the keys it names.
    5. It meets one alternative.

    Args:
        document: the evidence document, unverified.
        certificate: of the TLS peer (DER); None over plaintext, where step 2 is left out.
        expected: of the unit.
        now: aware.

    Raises:
        PeerError: QNSP-GWY-030 another TLS key, -051 no reference values hold, -052 another endpoint or configuration,
            -053 the keys are not bound; codes of the evidence's verifier.
    """
    runtime = document.runtime
    wanted = {
        "endpoint": expected.endpoint,
        "tenant": expected.tenant,
        "configurationDigest": expected.configuration_digest,
    }
    for name, value in wanted.items():
        if runtime.get(name) != value:
            raise PeerError(
                "QNSP-GWY-052",
                f"the gateway that answers is another's: its evidence names another {name}",
                subject=name,
                expected=value,
                got=str(runtime.get(name))[:80],
                next_step="see who listens on this port",
            )
    if certificate is not None:
        bound = runtime.get("tlsKey")
        if not isinstance(bound, Mapping) or certificate_key(certificate).key_id != PublicKey.from_jwk(bound).key_id:
            raise PeerError("QNSP-GWY-030", "the gateway answers with another TLS key than its evidence binds")
    claims = verify_any(
        document.evidence, collateral=Collateral(), anchors=(*pinned_anchors(), *expected.anchors), now=now
    )
    if not same(document.expected_report_data, claims.report_data):
        raise PeerError("QNSP-GWY-053", "the evidence does not bind the endpoint's keys", subject="runtimeData")
    policy = AppraisalPolicy(
        alternatives=expected.alternatives,
        assurance=frozenset(AssuranceClass),
        expected_report_data=document.expected_report_data,
    )
    result = appraise(claims, policy, now)
    if not result.accepted:
        worst = result.mismatches[0] if result.mismatches else None
        raise PeerError(
            "QNSP-GWY-051",
            "the gateway's evidence meets none of its enclave's reference values",
            subject=worst.claim if worst else None,
            expected=worst.required if worst else None,
            got=worst.seen if worst else None,
        )
    keys = runtime.get("responseKeys")
    key_id = PublicKey.from_jwk(keys[0]).key_id if isinstance(keys, list) and keys else ""
    return GatewayStatement(key_id, document.evidence.kind.value, claims.assurance.value)


__all__ = ["Expected", "GatewayStatement", "verify_gateway"]
