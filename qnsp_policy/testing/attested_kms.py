"""A KMS for tests: TLS under an authority of its own, keys that it releases to attestation documents with the right registers only.

What moto does not have: `Recipient`. Envelopes are written here byte by byte as KMS writes them (BER, indefinite lengths), apart from the
reader in `kernel.crypto.cms`.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key
from cryptography.x509.oid import NameOID

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.attestation.nitro_enclave.abi import Document
from qnsp_policy.kernel.attestation.nitro_enclave.verify import verify_document
from qnsp_policy.kernel.attestation.values import Anchor, EvidenceKind
from qnsp_policy.kernel.crypto.canonical import b64, unb64

HOST = "kms.eu-west-1.amazonaws.com"
KEY = "arn:aws:kms:eu-west-1:012345678901:key/00000000-0000-0000-0000-000000000001"
CREDENTIALS = {
    "Code": "Success",
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "not-a-secret",
    "Token": "token-of-a-test",
    "Expiration": "2099-01-01T00:00:00Z",
}


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def envelope(key: rsa.RSAPublicKey, plaintext: bytes) -> bytes:
    """`CiphertextForRecipient` of a plaintext."""
    content_key, iv = os.urandom(32), os.urandom(16)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(content_key), modes.CBC(iv)).encryptor()
    content = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    oaep = rsa_padding.OAEP(mgf=rsa_padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    sha256 = bytes.fromhex("300d06096086480165030402010500")
    transport = _tlv(
        0x30,
        bytes.fromhex("06092a864886f70d010107")
        + _tlv(0x30, _tlv(0xA0, sha256) + _tlv(0xA1, _tlv(0x30, bytes.fromhex("06092a864886f70d010108") + sha256))),
    )
    recipient = _tlv(
        0x30, b"\x02\x01\x02" + _tlv(0x80, bytes(32)) + transport + _tlv(0x04, key.encrypt(content_key, oaep))
    )
    cipher = _tlv(0x30, bytes.fromhex("060960864801650304012a") + _tlv(0x04, iv))
    return b"".join(
        (
            bytes.fromhex("308006092a864886f70d010703a0803080020102"),
            _tlv(0x31, recipient),
            bytes.fromhex("308006092a864886f70d010701"),
            cipher,
            b"\xa0\x80",
            _tlv(0x04, content),
            bytes(10),
        )
    )


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for KMS's host name, and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "KMS of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    root, both = folder / "kms-root.pem", folder / "kms.pem"
    root.write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    both.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return root, both


@dataclass(slots=True)
class AttestedKmsServer:
    """A running KMS; `port` is where it listens on loopback, `root` whom its certificate is signed by.

    Attributes:
        anchor: root of the attestation documents that it believes.
        registers: what a document must show, by index.
        resource: the encryption context of its ciphertexts.
        answers: what it says instead, one an answer: (status, body).
        asked: operations so far, with their headers.
    """

    folder: Path
    anchor: Anchor
    registers: Mapping[int, bytes]
    resource: str
    kind: EvidenceKind = EvidenceKind.NITRO_ENCLAVE
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    root: Path = Path()
    _server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen on loopback."""
        self.root, both = _certificate(self.folder)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.answer))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def wrap(self, data_key: bytes) -> bytes:
        """A ciphertext of this KMS."""
        return wrapped(self.resource, data_key)

    def answer(self, operation: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        """What KMS says to one request."""
        self.asked.append((operation, headers))
        if self.answers:
            return self.answers.pop(0)
        if "/eu-west-1/kms/aws4_request" not in headers.get("authorization", ""):
            return 400, {"__type": "com.amazonaws.kms#MissingAuthenticationTokenException"}
        value = json.loads(body)
        try:
            document, claims = verify_document(
                unb64(value["Recipient"]["AttestationDocument"]),
                self.kind,
                anchors=[self.anchor],
                now=datetime.now(UTC),
            )
        except (PeerError, KeyError):
            return 400, {"__type": "ValidationException", "message": "attestation document"}
        shown = all(document.pcrs.get(index) == wanted for index, wanted in self.registers.items())
        if not shown or value.get("EncryptionContext") != {"qnsp:resource": self.resource}:
            return 400, {"__type": "AccessDeniedException", "message": "no statement allows it"}
        data_key = os.urandom(32)
        kept = self.wrap(data_key)
        if operation == "Decrypt":
            opened = unwrapped(self.resource, unb64(value["CiphertextBlob"]))
            if opened is None:
                return 400, {"__type": "InvalidCiphertextException"}
            data_key = opened
        found: dict[str, Any] = {"KeyId": KEY, **for_recipient(document, data_key)}
        if operation == "GenerateDataKey":
            found |= {"CiphertextBlob": b64(kept), "Plaintext": ""}
        del claims
        return 200, found


def wrapped(resource: str, data_key: bytes) -> bytes:
    """A ciphertext of a KMS for tests: no cipher, the name of what it is for."""
    return b"wrapped:" + hashlib.sha256(resource.encode()).digest()[:8] + data_key


def unwrapped(resource: str, ciphertext: bytes) -> bytes | None:
    """The data key of a ciphertext; None where it is not for this resource."""
    head = wrapped(resource, b"")
    return ciphertext[len(head) :] if ciphertext.startswith(head) else None


def for_recipient(document: Document, data_key: bytes) -> dict[str, Any]:
    """The member of an answer that only whoever made the document can open."""
    recipient = load_der_public_key(document.public_key or b"")
    assert isinstance(recipient, rsa.RSAPublicKey)
    return {"CiphertextForRecipient": b64(envelope(recipient, data_key))}


Answer = Callable[[str, dict[str, str], bytes], tuple[int, dict[str, Any]]]


def _handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            status, value = answer(operation, headers, body)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    return Handler


__all__ = [
    "CREDENTIALS",
    "HOST",
    "KEY",
    "AttestedKmsServer",
    "envelope",
    "for_recipient",
    "unwrapped",
    "wrapped",
]
