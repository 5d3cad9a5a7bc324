"""SSH signatures (SSHSIG) by ordinary SSH keys and by security keys, and the public key line they come with.

Comes in: an SSHSIG blob (armoured or binary), a key, data. Goes out: nothing, or an error that names the step.
Implements OpenSSH PROTOCOL.sshsig version 1, PROTOCOL.u2f, RFC 8709, RFC 5656. A security key must have seen its
user (flag "user present"); whether it asked for a PIN is returned, as policy may want it.
Not checked: certificates (SSH CA), which this project does not use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PublicKey

NAMESPACE: Final = "qnsp-policy"
"""Signatures made for anything else (git commits, other tools) are refused."""

_MAGIC: Final = b"SSHSIG"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_USER_PRESENT, _USER_VERIFIED = 0x01, 0x04
_SK: Final = frozenset({"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"})
_EC: Final[dict[str, tuple[bytes, int, hashes.HashAlgorithm]]] = {
    "ecdsa-sha2-nistp256": (b"nistp256", 32, hashes.SHA256()),
    "ecdsa-sha2-nistp384": (b"nistp384", 48, hashes.SHA384()),
    "sk-ecdsa-sha2-nistp256@openssh.com": (b"nistp256", 32, hashes.SHA256()),
}


@dataclass(frozen=True, slots=True)
class SshVerified:
    """A verified SSH signature.

    Attributes:
        key: by which it was made.
        user_verified: a security key asked for PIN or fingerprint (False for ordinary keys).
        counter: signature counter of the security key, else 0.
    """

    key: PublicKey
    user_verified: bool = False
    counter: int = 0


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-SIG-008", f"malformed SSH signature or key: {message}")


class _Reader:
    """Reads the length-prefixed strings of RFC 4251 section 5."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        if size < 0 or self._at + size > len(self._data):
            raise _malformed("it ends early")
        part = self._data[self._at : self._at + size]
        self._at += size
        return part

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.u32())

    def end(self) -> None:
        if self._at != len(self._data):
            raise _malformed("bytes are left over")


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def public_blob(key: PublicKey) -> bytes:
    """The SSH wire encoding of a public key."""
    name = key.algorithm.encode()
    ecdsa = key.algorithm in _EC
    body = _string(_EC[key.algorithm][0]) + _string(b"\x04" + key.raw) if ecdsa else _string(key.raw)
    if key.algorithm in _SK:
        body += _string(key.application.encode())
    return _string(name) + body


def _parse_public(blob: bytes) -> PublicKey:
    reader = _Reader(blob)
    try:
        name = reader.string().decode("ascii")
        if name in _EC:
            if reader.string() != _EC[name][0]:
                raise _malformed("the curve does not belong to the key type")
            point = reader.string()
            if point[:1] != b"\x04":
                raise _malformed("the point is not uncompressed")
            raw = point[1:]
        elif name in {"ssh-ed25519", "sk-ssh-ed25519@openssh.com"}:
            raw = reader.string()
        else:
            raise PeerError("QNSP-SIG-005", f"SSH key type {name[:60]!r} is not supported")
        application = reader.string().decode() if name in _SK else ""
    except UnicodeDecodeError:
        raise _malformed("a name is not text") from None
    reader.end()
    return PublicKey(name, raw, application)


def parse_public_line(line: str) -> PublicKey:
    """Reads a line of an OpenSSH `.pub` file: type, base64, optional comment.

    Raises:
        PeerError: QNSP-SIG-005 another key type, QNSP-SIG-008 malformed.
    """
    fields = line.split()
    if len(fields) < 2:
        raise _malformed("a public key line has a type and a base64 part")
    try:
        key = _parse_public(base64.b64decode(fields[1].encode(), validate=True))
    except (binascii.Error, ValueError) as error:
        if isinstance(error, PeerError):
            raise
        raise _malformed("the key is not base64") from None
    if key.algorithm != fields[0]:
        raise _malformed("the type before the key is not the type within")
    return key


def public_line(key: PublicKey, comment: str = "") -> str:
    """The OpenSSH `.pub` line of a key."""
    return " ".join(filter(None, (key.algorithm, base64.b64encode(public_blob(key)).decode(), comment)))


def dearmour(signature: bytes) -> bytes:
    """The binary blob of an armoured signature; binary input is returned as it is.

    Raises:
        PeerError: QNSP-SIG-008.
    """
    if signature.startswith(_MAGIC):
        return signature
    try:
        lines = signature.decode("ascii").split()
        text = " ".join(lines)
        if not (text.startswith(_BEGIN) and text.endswith(_END)):
            raise _malformed("no armour and no magic")
        return base64.b64decode(text[len(_BEGIN) : -len(_END)].replace(" ", ""), validate=True)
    except (UnicodeDecodeError, binascii.Error):
        raise _malformed("the armour is not base64") from None


def armour(blob: bytes) -> str:
    """The armoured text that `ssh-keygen -Y verify` reads."""
    text = base64.b64encode(blob).decode()
    return "\n".join([_BEGIN, *(text[at : at + 70] for at in range(0, len(text), 70)), _END, ""])


def verify(public: PublicKey, signature: bytes, data: bytes, *, namespace: str) -> SshVerified:
    """Verifies an SSHSIG over `data` by exactly this key in exactly this namespace.

    Raises:
        PeerError: QNSP-SIG-001 it does not verify or is by another key, -008 malformed, -009 another namespace,
            -010 the user was not present at the security key.
    """
    # 1 The container: magic, version, key, namespace, hash.
    reader = _Reader(dearmour(signature))
    if reader.take(len(_MAGIC)) != _MAGIC or reader.u32() != 1:
        raise _malformed("not an SSHSIG of version 1")
    blob, space, reserved = reader.string(), reader.string(), reader.string()
    hash_name, inner = reader.string(), reader.string()
    reader.end()
    if space != namespace.encode():
        raise PeerError(
            "QNSP-SIG-009",
            "the SSH signature was made for another purpose",
            expected=namespace,
            got=space.decode("ascii", "replace")[:80],
        )
    if blob != public_blob(public):
        raise PeerError("QNSP-SIG-001", f"the SSH signature is not by key {public.key_id}", subject=public.key_id)
    if hash_name not in {b"sha256", b"sha512"}:
        raise _malformed("the hash is neither sha256 nor sha512")
    # 2 What was signed: magic, namespace, reserved, hash name, H(data).
    digest = hashlib.new(hash_name.decode(), data).digest()
    message = _MAGIC + _string(space) + _string(reserved) + _string(hash_name) + _string(digest)
    # 3 The signature of the key type.
    parts = _Reader(inner)
    if parts.string() != public.algorithm.encode():
        raise _malformed("the signature is of another type than its key")
    raw = parts.string()
    verified = SshVerified(public)
    if public.algorithm in _SK:
        flags, counter = parts.take(1)[0], parts.u32()
        if not flags & _USER_PRESENT:
            raise PeerError("QNSP-SIG-010", "nobody touched the security key", subject=public.key_id)
        application = hashlib.sha256(public.application.encode()).digest()
        message = application + bytes([flags]) + counter.to_bytes(4, "big") + hashlib.sha256(message).digest()
        verified = SshVerified(public, bool(flags & _USER_VERIFIED), counter)
    parts.end()
    try:
        if public.algorithm in _EC:
            public.handle.verify(_der(raw), message, ec.ECDSA(_EC[public.algorithm][2]))
        else:
            public.handle.verify(raw, message)
    except InvalidSignature:
        raise PeerError(
            "QNSP-SIG-001", f"the SSH signature by key {public.key_id} does not verify", subject=public.key_id
        ) from None
    return verified


def _der(raw: bytes) -> bytes:
    pair = _Reader(raw)
    numbers = []
    for _ in range(2):
        number = pair.string()
        if not number or number[0] & 0x80 or len(number) > 67:
            raise _malformed("r or s is no positive mpint")
        numbers.append(int.from_bytes(number, "big"))
    pair.end()
    return encode_dss_signature(numbers[0], numbers[1])


__all__ = [
    "NAMESPACE",
    "SshVerified",
    "armour",
    "dearmour",
    "parse_public_line",
    "public_blob",
    "public_line",
    "verify",
]
