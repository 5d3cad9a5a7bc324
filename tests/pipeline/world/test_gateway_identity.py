"""What answers at an endpoint's port is held against what the endpoint must show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qnsp_policy.errors import EngineError, PeerError
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.tls.certificate import self_signed
from qnsp_policy.kernel.wire.endpoint import EndpointEvidence
from qnsp_policy.pipeline.world.gateway import Expected, verify_gateway
from qnsp_policy.simulator.snp import make_chip, mint_pki
from qnsp_policy.testing.gateway import GatewayWorld
from qnsp_policy.testing.services import START, SimulatedMember

Mutation = Callable[[Expected], Expected]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> GatewayWorld:
    pki = mint_pki("Milan", START, key_size=4096)
    return GatewayWorld(tmp_path_factory.mktemp("gateway"), SimulatedMember(make_chip(pki, START)))


def expected(world: GatewayWorld) -> Expected:
    anchor = Anchor("amd", world.member.chip.pki.ark.certificate, AssuranceClass.SIMULATED, "Milan")
    digest = sha256_digest(jcs(world.endpoint()))
    return Expected("clinic-embeddings", "clinic", digest, (anchor,), (world.member.alternative(),))


def document(world: GatewayWorld) -> EndpointEvidence:
    return EndpointEvidence.from_json(world.settings().evidence)


def test_the_endpoints_own_gateway(world: GatewayWorld) -> None:
    """Its response key and what its evidence is worth."""
    certificate = self_signed(world.tls_key, ["gateway"], START)
    said = verify_gateway(document(world), certificate, expected(world), START)
    assert (said.key_id, said.attester, said.assurance) == (world.response_key.key_id, "sev-snp", "simulated")


@pytest.mark.parametrize(
    ("mutation", "code"),
    [
        pytest.param(lambda e: replace(e, endpoint="other"), "QNSP-GWY-052", id="another endpoint"),
        pytest.param(lambda e: replace(e, tenant="research"), "QNSP-GWY-052", id="another tenant"),
        pytest.param(
            lambda e: replace(e, configuration_digest="sha256:" + "0" * 64), "QNSP-GWY-052", id="another configuration"
        ),
        pytest.param(
            lambda e: replace(e, alternatives=(replace(e.alternatives[0], equals={"measurement": "00" * 48}),)),
            "QNSP-GWY-051",
            id="other code",
        ),
    ],
)
def test_a_foreign_gateway_is_refused(world: GatewayWorld, mutation: Mutation, code: str) -> None:
    """Whatever holds the port is not the endpoint because it answers."""
    with pytest.raises(PeerError) as refused:
        verify_gateway(document(world), None, mutation(expected(world)), START)
    assert refused.value.code == code


def test_another_vendor_is_refused(world: GatewayWorld) -> None:
    """A gateway of another workspace with the same documents has its own throw-away vendor."""
    with pytest.raises(PeerError, match=r"anchor|root|chain"):
        verify_gateway(document(world), None, replace(expected(world), anchors=()), START)


def test_another_tls_key_than_the_evidence_binds_is_refused(world: GatewayWorld) -> None:
    """Evidence that was copied from the real gateway does not make its holder the endpoint."""
    copied = self_signed(generate("ECDSA-P256"), ["gateway"], START)
    with pytest.raises(PeerError, match="another TLS key"):
        verify_gateway(document(world), copied, expected(world), START)


def test_keys_that_the_evidence_does_not_bind_are_refused(world: GatewayWorld) -> None:
    """The key that signs answers is one that the report covers."""
    shown: dict[str, Any] = dict(world.settings().evidence)
    runtime = dict(shown["runtimeData"]) | {"responseKeys": [generate("ML-DSA-65").public.to_jwk()]}
    with pytest.raises(PeerError) as refused:
        verify_gateway(EndpointEvidence.from_json(shown | {"runtimeData": runtime}), None, expected(world), START)
    assert refused.value.code == "QNSP-GWY-053"


def test_a_unit_without_it_is_never_taken_as_fine() -> None:
    """A record that does not say what to expect is no permission to expect nothing."""
    with pytest.raises(EngineError, match="QNSP-ENG-043"):
        Expected.of_unit({"name": "e", "url": "https://127.0.0.1:1"})
