"""KMS from inside an attester: a fresh RSA key in a fresh attestation document, and the key that KMS releases to it.

TLS runs from here to KMS itself; what is in between (the parent's vsock proxy) carries bytes. Requests are signed (SigV4) with
credentials that the parent hands over: they are the fleet's role, give access to nothing without the attestation document, and are
therefore no secret worth keeping from the parent, which has them anyway.

The envelope's key transport is RSA-OAEP: classical. A guest whose tier forbids classical key agreement is not given this path
(the rule crypto/kms-envelope-is-classical, and `allowClassical` in its configuration must say so).
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.cms import open_envelope
from qnsp_policy.kernel.wire import kms
from qnsp_policy.services.guest.bridges import StreamAddress

log = logging.getLogger("qnsp.guest")

GetDocument = Callable[[bytes], bytes]
"""An attestation document that carries this public key (SubjectPublicKeyInfo, DER)."""

_TIMEOUT = 20.0
_TRIES = 4
_MAX_CREDENTIALS = 16 * 1024
_KEY_BYTES = 32
_REGION = re.compile(r"kms(?:-fips)?\.([a-z0-9-]{4,40})\.[a-z0-9.-]{4,60}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials of the fleet's role."""

    access_key: str
    secret_key: str
    token: str

    def __repr__(self) -> str:
        return f"Credentials({self.access_key})"

    @classmethod
    def from_json(cls, data: bytes) -> Credentials:
        """Read them as the instance metadata service writes them.

        Raises:
            PeerError: `QNSP-GST-053`.
        """
        try:
            value = json.loads(data)
            parts = [value[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")]
        except (ValueError, KeyError, TypeError, RecursionError):
            parts = []
        if len(parts) != 3 or not all(isinstance(part, str) and part and part.isprintable() for part in parts):
            raise PeerError(
                "QNSP-GST-053", "the parent's credentials are not AccessKeyId, SecretAccessKey and Token in JSON"
            )
        return cls(*parts)


def credentials_from(address: StreamAddress) -> Credentials:
    """What the parent hands over at `address`: it writes JSON and closes.

    Raises:
        OperatorError: `QNSP-GST-054`: nobody answers there.
        PeerError: `QNSP-GST-053`.
    """
    data = b""
    try:
        with address.connect() as stream:
            stream.settimeout(_TIMEOUT)
            while len(data) <= _MAX_CREDENTIALS and (piece := stream.recv(4096)):
                data += piece
    except OSError as error:
        raise OperatorError(
            "QNSP-GST-054",
            f"the parent hands over no credentials at {address}: {error.strerror or error}",
            subject=str(address),
            next_step="see docs/howto/build-an-enclave-image.md, what the parent must offer",
        ) from error
    return Credentials.from_json(data)


METADATA_SERVICE = "metadata-service"
"""What `credentials` says on an instance, which asks its own metadata service."""
_METADATA = ("169.254.169.254", 80)


def credentials_of_instance(service: tuple[str, int] = _METADATA) -> Credentials:
    """The credentials of this instance's role, by a session of the metadata service (IMDSv2).

    Raises:
        OperatorError: `QNSP-GST-054`: the service does not answer, or the instance has no role.
        PeerError: `QNSP-GST-053`.
    """
    roles = "/latest/meta-data/iam/security-credentials/"

    def ask(method: str, path: str, headers: dict[str, str]) -> bytes:
        connection = http.client.HTTPConnection(*service, timeout=_TIMEOUT)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            data = answer.read(_MAX_CREDENTIALS + 1)
        finally:
            connection.close()
        if answer.status != 200:
            raise OperatorError("QNSP-GST-054", f"the metadata service answers {answer.status} to {path}", subject=path)
        return data

    try:
        token = ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}).decode("ascii")
        session = {"X-aws-ec2-metadata-token": token}
        role = ask("GET", roles, session).decode("ascii").strip()
        if not re.fullmatch(r"[\w+=,.@-]{1,64}", role):
            raise PeerError("QNSP-GST-053", "the metadata service names no role")
        return Credentials.from_json(ask("GET", roles + role, session))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise OperatorError("QNSP-GST-054", f"the metadata service does not answer: {error}") from error


class _Connection(http.client.HTTPSConnection):
    """HTTPS to a named host over a stream that leads there some other way."""

    def __init__(self, host: str, via: StreamAddress, context: ssl.SSLContext) -> None:
        super().__init__(host, 443, timeout=_TIMEOUT, context=context)
        self._via, self._tls = via, context

    def connect(self) -> None:
        raw = self._via.connect()
        raw.settimeout(_TIMEOUT)
        try:
            self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)
        except BaseException:
            raw.close()
            raise


class AttestedKms:
    """KMS of one region, asked as an attested recipient."""

    def __init__(
        self,
        endpoint: str,
        *,
        via: StreamAddress,
        get_document: GetDocument,
        get_credentials: Callable[[], Credentials],
        authorities: Path | None = None,
        key_size: int = 3072,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Opens nothing yet.

        Args:
            endpoint: host name of KMS, `kms.<region>.amazonaws.com`; TLS must show a certificate for it.
            via: where the stream to it begins (the parent's proxy).
            get_document: makes attestation documents.
            get_credentials: gives the role's credentials, fresh.
            authorities: PEM file of roots instead of the system's.
            key_size: of the ephemeral RSA key, bits: 2048, 3072 or 4096.
            sleep: waits between tries.

        Raises:
            OperatorError: `QNSP-GST-055`: the endpoint names no region.
        """
        found = _REGION.fullmatch(endpoint)
        if found is None:
            raise OperatorError("QNSP-GST-055", f"{endpoint!r} is no host name of KMS", subject="kms.endpoint")
        self._endpoint, self._region, self._via = endpoint, found[1], via
        self._get_document, self._get_credentials, self._sleep = get_document, get_credentials, sleep
        self._key_size = key_size
        self._context = ssl.create_default_context(cafile=str(authorities) if authorities else None)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    def decrypt(self, key_id: str, ciphertext: bytes, resource: str) -> bytes:
        """The 32-byte data key that was wrapped by `key_id` for `resource`.

        Raises:
            PeerError: KMS refused, or its answer is not one; `QNSP-GST-05x`, `QNSP-SIG-11x`.
            OperatorError: it cannot be asked.
        """
        return self._ask(key_id, lambda document: kms.decrypt(key_id, ciphertext, resource, document))[0]

    def generate_data_key(self, key_id: str, resource: str) -> tuple[bytes, bytes]:
        """A new 32-byte data key and its wrapped form; raises as `decrypt`.

        Raises:
            OperatorError: `QNSP-GST-063`: the key is named by an alias. Credentials come from the parent: an alias is looked up in
                whatever account they are of, and a key that somebody else's KMS wraps is somebody else's.
        """
        if not (key_id.startswith("arn:") and ":key/" in key_id):
            raise OperatorError("QNSP-GST-063", f"a new key needs the ARN of KMS's key, not {key_id}", subject=key_id)
        plaintext, answer = self._ask(key_id, lambda document: kms.generate_data_key(key_id, resource, document))
        assert answer.ciphertext is not None
        return plaintext, answer.ciphertext

    def _ask(self, key_id: str, make: Callable[[bytes], kms.KmsRequest]) -> tuple[bytes, kms.KmsAnswer]:
        for attempt in range(_TRIES):
            # A key for one answer: what was recorded of an earlier one does not open with a later one's.
            key = rsa.generate_private_key(public_exponent=65537, key_size=self._key_size)
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            request = make(self._get_document(public))
            try:
                answer = kms.read_answer(request, *self._send(request))
            except kms.Refused as refusal:
                if refusal.reason not in kms.RETRIED or attempt == _TRIES - 1:
                    raise
                log.warning("%s; tried again", refusal.message)
                self._sleep(0.5 * 2**attempt)
                continue
            if key_id.startswith("arn:") and ":key/" in key_id and answer.key_id != key_id:
                raise PeerError("QNSP-GST-052", "KMS answered for another key", subject="KeyId")
            plaintext = open_envelope(key, answer.envelope)
            if len(plaintext) != _KEY_BYTES:
                raise PeerError("QNSP-GST-052", f"KMS released {len(plaintext)} bytes where a key has {_KEY_BYTES}")
            return plaintext, answer
        raise AssertionError

    def _send(self, request: kms.KmsRequest) -> tuple[int, bytes]:
        headers = self._signed(request)
        connection = _Connection(self._endpoint, self._via, self._context)
        try:
            connection.request("POST", "/", body=request.body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(kms.MAX_ANSWER + 1)
        except ssl.SSLCertVerificationError as error:
            raise PeerError(
                "QNSP-GST-056",
                f"whoever answers for {self._endpoint} shows no certificate of it: {error.verify_message}",
                subject=self._endpoint,
                next_step="see that the image holds current roots, and who answers behind the parent's proxy",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise OperatorError(
                "QNSP-GST-054", f"{self._endpoint} cannot be reached by {self._via}: {error}", subject=self._endpoint
            ) from error
        finally:
            connection.close()

    def _signed(self, request: kms.KmsRequest) -> dict[str, str]:
        # Loaded where it is needed: guests without KMS do not carry the library.
        try:
            from botocore import auth, awsrequest  # noqa: PLC0415
            from botocore import credentials as given  # noqa: PLC0415
        except ImportError as error:
            raise OperatorError(
                "QNSP-GST-057", "this image holds no botocore: build it with the extra `aws`", subject="botocore"
            ) from error
        held = self._get_credentials()
        unsigned: Any = awsrequest.AWSRequest(
            method="POST", url=f"https://{self._endpoint}/", data=request.body, headers=request.headers
        )
        auth.SigV4Auth(given.Credentials(held.access_key, held.secret_key, held.token), "kms", self._region).add_auth(
            unsigned
        )
        return {str(name): str(value) for name, value in unsigned.headers.items()}


__all__ = [
    "METADATA_SERVICE",
    "AttestedKms",
    "Credentials",
    "GetDocument",
    "credentials_from",
    "credentials_of_instance",
]
