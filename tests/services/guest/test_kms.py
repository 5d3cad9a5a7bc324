"""KMS as an attested recipient: the whole way over TLS and a bridge, and every way in which an answer is not one."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, EvidenceKind
from qnsp_policy.kernel.wire import kms as messages
from qnsp_policy.services.guest.attesters import nitro_tpm, nsm
from qnsp_policy.services.guest.bridges import Bridge, StreamAddress
from qnsp_policy.services.guest.configuration import KmsKey
from qnsp_policy.services.guest.key_source import KmsOrBroker
from qnsp_policy.services.guest.kms import AttestedKms, Credentials, credentials_from, credentials_of_instance
from qnsp_policy.services.guest.rcar import Denied, Released
from qnsp_policy.simulator import nitro
from qnsp_policy.simulator.nitro_devices import SimulatedNsm, SimulatedTpm
from qnsp_policy.testing.attested_kms import CREDENTIALS, HOST, KEY, AttestedKmsServer, envelope
from qnsp_policy.testing.listening import answering
from qnsp_policy.testing.ports import free_port

RESOURCE = "clinic/data/records"
REGISTERS = {index: bytes([index + 1]) * 48 for index in (0, 1, 2)}
DATA_KEY = bytes(range(32))


@pytest.fixture(scope="module")
def pki() -> nitro.NitroPki:
    return nitro.mint_pki(datetime.now(UTC))


@pytest.fixture
def server(tmp_path: Path, pki: nitro.NitroPki) -> Iterator[AttestedKmsServer]:
    anchor = Anchor("aws", pki.bundle[0], AssuranceClass.SIMULATED)
    running = AttestedKmsServer(tmp_path, anchor, REGISTERS, RESOURCE)
    running.start()
    yield running
    running.stop()


MakeKms = Callable[..., AttestedKms]


@pytest.fixture
def make(server: AttestedKmsServer, pki: nitro.NitroPki) -> MakeKms:
    """A guest's KMS, of hardware with the right registers unless a test says otherwise."""

    def made(
        registers: dict[int, bytes] = REGISTERS,
        *,
        authorities: Path | None = None,
        via: StreamAddress | None = None,
        key_size: int = 2048,
    ) -> AttestedKms:
        module = SimulatedNsm(pki, lambda: datetime.now(UTC), registers)
        return AttestedKms(
            HOST,
            via=via or StreamAddress("tcp", "127.0.0.1", server.port),
            get_document=lambda key: nsm.attestation_document(module.exchange, public_key=key),
            get_credentials=lambda: Credentials.from_json(json.dumps(CREDENTIALS).encode()),
            authorities=authorities or server.root,
            key_size=key_size,
            sleep=lambda _: None,
        )

    return made


@pytest.mark.parametrize("size", [2048, 3072])
def test_a_key_is_released_to_the_right_registers(make: MakeKms, server: AttestedKmsServer, size: int) -> None:
    """Decrypt with Recipient, signed, over TLS for KMS's own name."""
    assert make(key_size=size).decrypt(KEY, server.wrap(DATA_KEY), RESOURCE) == DATA_KEY
    operation, headers = server.asked[-1]
    assert (operation, headers["x-amz-security-token"]) == ("Decrypt", CREDENTIALS["Token"])


def test_a_new_key_comes_back_with_its_wrapped_form(make: MakeKms) -> None:
    """GenerateDataKey, then Decrypt of what it gave."""
    kms = make()
    data_key, wrapped = kms.generate_data_key(KEY, RESOURCE)
    assert len(data_key) == 32
    assert kms.decrypt(KEY, wrapped, RESOURCE) == data_key


def test_a_new_key_is_never_made_under_an_alias(make: MakeKms, server: AttestedKmsServer) -> None:
    """The parent's credentials choose the account in which an alias is looked up."""
    with pytest.raises(OperatorError, match="QNSP-GST-063"):
        make().generate_data_key("alias/qnsp/clinic/data/records", RESOURCE)
    assert server.asked == []


def test_nitro_tpm_asks_the_same_way(make: MakeKms, server: AttestedKmsServer, pki: nitro.NitroPki) -> None:
    """Its document carries the RSA key in public_key, too."""
    server.kind = EvidenceKind.NITRO_TPM
    tpm = SimulatedTpm(SimulatedNsm(pki, lambda: datetime.now(UTC), REGISTERS, tpm=True))
    kms = make()
    kms._get_document = lambda key: nitro_tpm.attestation_document(tpm.transmit, public_key=key)
    assert kms.decrypt(KEY, server.wrap(DATA_KEY), RESOURCE) == DATA_KEY


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_one_other_register_is_denied(make: MakeKms, server: AttestedKmsServer, wrong: int) -> None:
    """The whole tuple counts."""
    with pytest.raises(messages.Refused, match="QNSP-GST-050: KMS refused Decrypt: AccessDeniedException"):
        make(REGISTERS | {wrong: bytes(48)}).decrypt(KEY, server.wrap(DATA_KEY), RESOURCE)


def test_another_resource_is_denied(make: MakeKms, server: AttestedKmsServer) -> None:
    """The encryption context binds a ciphertext to its resource."""
    with pytest.raises(messages.Refused, match="AccessDeniedException"):
        make().decrypt(KEY, server.wrap(DATA_KEY), "clinic/data/other")


def test_throttling_is_waited_for(make: MakeKms, server: AttestedKmsServer) -> None:
    """Three times; then it is told."""
    throttled = (400, {"__type": "ThrottlingException"})
    server.answers += [throttled] * 3
    assert make().decrypt(KEY, server.wrap(DATA_KEY), RESOURCE) == DATA_KEY
    server.answers += [throttled] * 4
    with pytest.raises(messages.Refused, match="ThrottlingException"):
        make().decrypt(KEY, server.wrap(DATA_KEY), RESOURCE)


def other_envelope() -> str:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from qnsp_policy.kernel.crypto.canonical import b64

    return b64(envelope(rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key(), DATA_KEY))


ANSWERS = {
    "plaintext": ((200, {"KeyId": KEY, "Plaintext": "AAAA", "CiphertextForRecipient": "AAAA"}), "QNSP-GST-051"),
    "nothing": ((200, {}), "QNSP-GST-052"),
    "no-key-id": ((200, {"CiphertextForRecipient": "AAAA"}), "QNSP-GST-052"),
    "not-base64": ((200, {"KeyId": KEY, "CiphertextForRecipient": "*"}), "QNSP-GST-052"),
    "garbage": ((200, {"KeyId": KEY, "CiphertextForRecipient": "AAAA"}), "QNSP-SIG-110"),
    "another-recipient": ((200, {"KeyId": KEY, "CiphertextForRecipient": other_envelope()}), "QNSP-SIG-111"),
    "another-key": ((200, {"KeyId": KEY[:-1] + "9", "CiphertextForRecipient": other_envelope()}), "QNSP-GST-052"),
    "refused-without-a-word": ((503, {}), "QNSP-GST-050: KMS refused Decrypt: HTTP 503"),
    "refused-with-an-escape": ((400, {"__type": "x#\x1b[2J"}), "QNSP-GST-050: KMS refused Decrypt: HTTP 400"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_none(make: MakeKms, server: AttestedKmsServer, name: str) -> None:
    """A plaintext above all: whoever answers so did not take the attestation document."""
    answer, code = ANSWERS[name]
    server.answers.append(answer)
    with pytest.raises(PeerError, match=code):
        make().decrypt(KEY, server.wrap(DATA_KEY), RESOURCE)


def test_somebody_else_behind_the_proxy_learns_nothing(
    make: MakeKms, server: AttestedKmsServer, tmp_path: Path
) -> None:
    """TLS is to KMS's name under roots of the image: the parent cannot stand in between."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = AttestedKmsServer(folder, server.anchor, {}, RESOURCE)
    other.start()
    try:
        with pytest.raises(PeerError, match="QNSP-GST-056"):
            make(authorities=other.root).decrypt(KEY, server.wrap(DATA_KEY), RESOURCE)
    finally:
        other.stop()
    assert server.asked == []


def test_over_a_bridge(make: MakeKms, server: AttestedKmsServer) -> None:
    """The parent's proxy carries bytes."""
    near = StreamAddress("tcp", "127.0.0.1", free_port())
    bridge = Bridge(near, StreamAddress("tcp", "127.0.0.1", server.port))
    try:
        assert make(via=near).decrypt(KEY, server.wrap(DATA_KEY), RESOURCE) == DATA_KEY
    finally:
        bridge.close()


def test_nobody_there(make: MakeKms) -> None:
    """The address stands in the message."""
    with pytest.raises(OperatorError, match=r"QNSP-GST-054: .*tcp://127.0.0.1:1"):
        make(via=StreamAddress("tcp", "127.0.0.1", 1)).decrypt(KEY, b"w", RESOURCE)


def test_an_endpoint_that_is_no_kms(make: MakeKms) -> None:
    """The region is part of what is signed."""
    with pytest.raises(OperatorError, match="QNSP-GST-055"):
        AttestedKms(
            "kms.example",
            via=StreamAddress("tcp", "127.0.0.1", 1),
            get_document=lambda key: key,
            get_credentials=lambda: Credentials("", "", ""),
        )


@pytest.fixture
def parent() -> Iterator[Callable[[bytes], StreamAddress]]:
    """Somebody who writes some bytes to whoever connects, and closes."""
    with contextlib.ExitStack() as stack:

        def says(data: bytes) -> StreamAddress:
            listener = socket.create_server(("127.0.0.1", 0))
            address = StreamAddress("tcp", "127.0.0.1", listener.getsockname()[1])
            stack.enter_context(answering(listener, lambda stream: stream.sendall(data)))
            return address

        yield says


def test_credentials_come_from_the_parent(parent: Callable[[bytes], StreamAddress]) -> None:
    """As the instance metadata service writes them; their text holds no secret."""
    found = credentials_from(parent(json.dumps(CREDENTIALS).encode()))
    assert (found.access_key, found.token) == ("ASIAEXAMPLE", "token-of-a-test")
    assert "not-a-secret" not in repr(found)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"AccessKeyId":1}', b"x" * 20_000, b"[" * 20_000], ids=range(6))
def test_credentials_that_are_none(parent: Callable[[bytes], StreamAddress], data: bytes) -> None:
    """Nonsense is said to be nonsense, never signed with."""
    with pytest.raises(PeerError, match="QNSP-GST-053"):
        credentials_from(parent(data))


@pytest.fixture
def metadata() -> Iterator[tuple[tuple[str, int], dict[str, tuple[int, bytes]]]]:
    """A metadata service of version 2, whose answers a test may change."""
    answers = {
        "/latest/api/token": (200, b"token"),
        "/latest/meta-data/iam/security-credentials/": (200, b"qnsp-triage"),
        "/latest/meta-data/iam/security-credentials/qnsp-triage": (200, json.dumps(CREDENTIALS).encode()),
    }

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, *, allowed: bool) -> None:
            status, body = answers.get(self.path, (404, b"")) if allowed else (401, b"")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self._answer(allowed="X-aws-ec2-metadata-token-ttl-seconds" in self.headers)

        def do_GET(self) -> None:
            self._answer(allowed=self.headers.get("X-aws-ec2-metadata-token") == "token")

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield ("127.0.0.1", server.server_address[1]), answers
    server.shutdown()
    server.server_close()


Metadata = tuple[tuple[str, int], dict[str, tuple[int, bytes]]]
ROLES = "/latest/meta-data/iam/security-credentials/"


def test_an_instance_asks_its_own_metadata_service(metadata: Metadata) -> None:
    """By a session, as IMDSv2 wants it."""
    assert credentials_of_instance(metadata[0]).token == CREDENTIALS["Token"]


@pytest.mark.parametrize(
    ("path", "answer", "code"),
    [
        (ROLES, (404, b""), "QNSP-GST-054"),
        (ROLES, (200, b"../../user-data"), "QNSP-GST-053"),
        (ROLES, (200, b"\xff"), "QNSP-GST-054"),
        (ROLES + "qnsp-triage", (200, b"{}"), "QNSP-GST-053"),
        ("/latest/api/token", (403, b""), "QNSP-GST-054"),
    ],
    ids=["no-role", "a-path", "no-text", "no-credentials", "switched-off"],
)
def test_a_metadata_service_that_gives_none(
    metadata: Metadata, path: str, answer: tuple[int, bytes], code: str
) -> None:
    """Said, and nothing is signed."""
    metadata[1][path] = answer
    with pytest.raises((OperatorError, PeerError), match=code):
        credentials_of_instance(metadata[0])


class Broker:
    """A broker that gives one key for everything."""

    def fetch(self, resource: str) -> Released:
        return Released(resource.encode(), 60)


def test_keys_of_kms_are_held_for_their_time_and_denied_like_others(
    make: MakeKms, server: AttestedKmsServer, tmp_path: Path
) -> None:
    """KMS has no lease: what it gave is asked for again after the configured time, and a refusal ends what was served."""
    (tmp_path / "wrapped").write_bytes(server.wrap(DATA_KEY))
    now = [0.0]
    key = KmsKey(resource=RESOURCE, key_id=KEY, wrapped_key=str(tmp_path / "wrapped"), lease_seconds=100)
    source = KmsOrBroker(Broker(), make(), {RESOURCE: key}, clock=lambda: now[0])
    assert source.fetch("clinic/model/triage").data == b"clinic/model/triage"
    assert [source.fetch(RESOURCE) for _ in range(3)] == [Released(DATA_KEY, 100)] * 3
    assert len(server.asked) == 1
    now[0] = 100.0
    server.answers.append((400, {"__type": "AccessDeniedException"}))
    with pytest.raises(Denied, match="QNSP-GST-050"):
        source.fetch(RESOURCE)
    server.answers += [(400, {"__type": "ThrottlingException"})] * 4
    with pytest.raises(messages.Refused):
        source.fetch(RESOURCE)
    assert source.fetch(RESOURCE).data == DATA_KEY
