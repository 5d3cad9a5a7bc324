"""Members in Nitro enclaves and on NitroTPM: from the device's message to the released key, and every way to be denied it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.values import Alternative, EvidenceKind
from qnsp_policy.services.guest.attesters import nitro_tpm, nsm
from qnsp_policy.services.guest.attesters.report import AttesterReport
from qnsp_policy.services.guest.rcar import BrokerSession, Denied
from qnsp_policy.services.guest.tee_key import new_tee_key
from qnsp_policy.simulator import nitro
from qnsp_policy.simulator.nitro_devices import SimulatedNsm, SimulatedTpm
from qnsp_policy.simulator.snp import SnpPki
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.services import START, Admin, BrokerWorld, release_policy, tenant_object

RESOURCE = "clinic/model/triage"
DATA_KEY = bytes(range(32))
REGISTERS = {0: b"\xa0" * 48, 1: b"\xa1" * 48, 2: b"\xa2" * 48}
BOOT = {4: b"\xb4" * 48, 7: b"\xb7" * 48, 12: bytes(48)}


def pem(der: bytes) -> str:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def aws() -> nitro.NitroPki:
    return nitro.mint_pki(START)


def values(kind: EvidenceKind, registers: dict[int, bytes]) -> Alternative:
    equals: dict[str, Any] = {f"pcr{index}": value.hex() for index, value in registers.items()}
    return Alternative(name="ReferenceValues/triage#0", kind=kind, equals=equals, floors={})


@pytest.fixture
def broker(tmp_path: Path, pki: SnpPki, aws: nitro.NitroPki) -> BrokerWorld:
    world = BrokerWorld(tmp_path, pki)
    world.settings["anchors"] = [{"vendor": "aws", "certificate": pem(aws.bundle[0])}]
    return world


@pytest.fixture
def client(broker: BrokerWorld) -> httpx.Client:
    return sync_client(broker.start().asgi())


Grant = Callable[..., None]


@pytest.fixture
def grant(broker: BrokerWorld, client: httpx.Client) -> Grant:
    """Lets the broker release the key on these registers."""

    def granted(kind: EvidenceKind = EvidenceKind.NITRO_ENCLAVE, registers: dict[int, bytes] = REGISTERS) -> None:
        Admin(broker, client).apply(
            {
                "tenant/clinic": tenant_object("clinic"),
                f"resource/{RESOURCE}": broker.sealed_key(RESOURCE, DATA_KEY),
                f"release-policy/{RESOURCE}": release_policy(RESOURCE, values(kind, registers)),
            }
        )

    return granted


def enclave(aws: nitro.NitroPki, registers: dict[int, bytes] = REGISTERS) -> Callable[[bytes], AttesterReport]:
    module = SimulatedNsm(aws, lambda: START, registers)
    return lambda data: nsm.get_report(module.exchange, data)


def instance(aws: nitro.NitroPki, registers: dict[int, bytes] = BOOT) -> Callable[[bytes], AttesterReport]:
    tpm = SimulatedTpm(SimulatedNsm(aws, lambda: START, registers, tpm=True))
    return lambda data: nitro_tpm.get_report(tpm.transmit, data)


def member(
    client: httpx.Client,
    report: Callable[[bytes], AttesterReport],
    *,
    kind: EvidenceKind = EvidenceKind.NITRO_ENCLAVE,
    key: str = "ML-KEM-768",
    initdata: bytes | None = None,
) -> BrokerSession:
    return BrokerSession(
        client, get_report=report, new_key=lambda: new_tee_key(key), initdata=initdata, kind=lambda: kind
    )


@pytest.mark.parametrize("key", ["ML-KEM-768", "X-Wing"])
def test_an_enclave_with_the_right_registers_gets_its_key(
    client: httpx.Client, grant: Grant, aws: nitro.NitroPki, key: str
) -> None:
    """Post-quantum from the broker to the enclave, with whatever in between."""
    grant()
    assert member(client, enclave(aws), key=key).fetch(RESOURCE).data == DATA_KEY


def test_an_instance_with_the_right_boot_gets_its_key(client: httpx.Client, grant: Grant, aws: nitro.NitroPki) -> None:
    """NitroTPM: PCR4, PCR7 and PCR12."""
    grant(EvidenceKind.NITRO_TPM, BOOT)
    assert member(client, instance(aws), kind=EvidenceKind.NITRO_TPM).fetch(RESOURCE).data == DATA_KEY


@pytest.mark.parametrize("register", [0, 1, 2])
def test_one_other_register_is_denied(client: httpx.Client, grant: Grant, aws: nitro.NitroPki, register: int) -> None:
    """And the ledger, not the wire, says which."""
    grant()
    with pytest.raises(Denied, match="QNSP-REL-") as denied:
        member(client, enclave(aws, REGISTERS | {register: b"\xff" * 48})).fetch(RESOURCE)
    assert denied.value.status == 403
    assert "pcr" not in denied.value.message


@pytest.mark.parametrize("expected", [REGISTERS, dict.fromkeys((0, 1, 2), bytes(48))], ids=["good", "zeros"])
def test_debug_mode_is_denied_even_where_zeros_are_expected(
    client: httpx.Client, grant: Grant, aws: nitro.NitroPki, expected: dict[int, bytes]
) -> None:
    """A debug enclave shows zeros; reference values of zeros (a placeholder) must not let it in."""
    grant(registers=expected)
    with pytest.raises(Denied, match="QNSP-REL-"):
        member(client, enclave(aws, dict.fromkeys((0, 1, 2), bytes(48)))).fetch(RESOURCE)


def test_a_boot_with_a_command_line_from_outside_is_denied(
    client: httpx.Client, grant: Grant, aws: nitro.NitroPki
) -> None:
    """PCR12 is not zero then."""
    grant(EvidenceKind.NITRO_TPM, BOOT)
    with pytest.raises(Denied, match="QNSP-REL-"):
        member(client, instance(aws, BOOT | {12: b"\x01" * 48}), kind=EvidenceKind.NITRO_TPM).fetch(RESOURCE)


def test_an_instance_is_no_enclave(client: httpx.Client, grant: Grant, aws: nitro.NitroPki) -> None:
    """Measured boot never passes for an enclave, whatever it calls itself and whatever its registers show."""
    grant()
    posing = instance(aws, REGISTERS)
    with pytest.raises(PeerError, match="QNSP-GST-006"):
        member(client, lambda data: AttesterReport(EvidenceKind.NITRO_ENCLAVE, posing(data).data)).fetch(RESOURCE)
    with pytest.raises(Denied, match="QNSP-REL-"):
        member(client, posing, kind=EvidenceKind.NITRO_TPM).fetch(RESOURCE)


def test_a_document_of_an_earlier_handshake_is_refused(client: httpx.Client, grant: Grant, aws: nitro.NitroPki) -> None:
    """Its user_data binds the nonce of that handshake."""
    grant()
    good, recorded = enclave(aws), list[AttesterReport]()

    def first_one_again(data: bytes) -> AttesterReport:
        recorded.append(good(data))
        return recorded[0]

    session = member(client, first_one_again)
    assert session.fetch(RESOURCE).data == DATA_KEY
    with pytest.raises(PeerError, match=r"QNSP-GST-006: .*attest"):
        session.attest()
    assert recorded[0].data != recorded[1].data


def test_a_document_for_another_key_is_refused(client: httpx.Client, grant: Grant, aws: nitro.NitroPki) -> None:
    """The parent relays a good enclave's document with a key of its own."""
    grant()
    good = enclave(aws)
    with pytest.raises(PeerError, match="QNSP-GST-006"):
        member(client, lambda data: good(bytes(len(data)))).fetch(RESOURCE)


@pytest.mark.parametrize("length", [0, 47, 49, 64])
def test_user_data_of_another_length_binds_nothing(
    client: httpx.Client, grant: Grant, aws: nitro.NitroPki, length: int
) -> None:
    """The field has the digest's 48 bytes, neither cut nor padded."""
    grant()
    good = enclave(aws)
    with pytest.raises(PeerError, match="QNSP-GST-006"):
        member(client, lambda data: good(data.ljust(64, b"\0")[:length])).fetch(RESOURCE)


def test_another_aws_is_refused(client: httpx.Client, grant: Grant) -> None:
    """A document under a root that the broker does not hold."""
    grant()
    with pytest.raises(PeerError, match="QNSP-GST-006"):
        member(client, enclave(nitro.mint_pki(START))).fetch(RESOURCE)


def test_initdata_is_not_taken_from_an_attester_that_cannot_carry_it(
    client: httpx.Client, grant: Grant, aws: nitro.NitroPki
) -> None:
    """What is not measured must not look as if it were."""
    grant()
    with pytest.raises(PeerError, match="QNSP-GST-006"):
        member(client, enclave(aws), initdata=b'algorithm = "sha256"\n').fetch(RESOURCE)


@pytest.mark.parametrize(
    "evidence", [None, "", [], {}, {"document": 1}, {"document": "*"}, {"document": ""}, {"quote": "AA=="}]
)
def test_evidence_of_another_shape_is_refused(client: httpx.Client, evidence: Any) -> None:
    """One member, base64, a document."""
    answer = client.post("/kbs/v0/auth", json={"version": "0.4.0", "tee": "nitro-enclave", "extra-params": {}})
    body = {
        "init-data": None,
        "runtime-data": {"nonce": answer.json()["nonce"], "tee-pubkey": dict(new_tee_key("ML-KEM-768").jwk)},
        "tee-evidence": {"primary_evidence": evidence, "additional_evidence": ""},
    }
    refused = client.post("/kbs/v0/attest", content=json.dumps(body).encode())
    assert refused.status_code in {400, 401}
