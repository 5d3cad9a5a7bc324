"""CMS EnvelopedData (RFC 5652 section 6), as KMS returns it to an attested recipient: parsed strictly, opened with the recipient's key.

Comes in: `CiphertextForRecipient` and the RSA private key whose public half the attestation document carried. Goes out: the plaintext.
One recipient, by key identifier; RSAES-OAEP with SHA-256 and MGF1-SHA-256 (RFC 8017, RFC 4055); AES-256-CBC (RFC 3565). KMS writes BER
with indefinite lengths, and the content in pieces where it is long: both are read, everything else must be what DER would be.

RSA-OAEP is classical: who records the envelope today and has a quantum computer later opens it. AES-CBC authenticates nothing: an
envelope that was changed opens to other bytes or not at all, so what it carries must be checked by its user (length, AEAD of the data).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from qnsp_policy.errors import PeerError

MAX_ENVELOPE: Final = 16 * 1024
RSA_SIZES: Final = (2048, 3072, 4096)
_MAX_DEPTH: Final = 12
_SEQUENCE, _SET, _INTEGER, _OCTETS, _OID, _NULL = 0x30, 0x31, 0x02, 0x04, 0x06, 0x05
_ENVELOPED_DATA: Final = bytes.fromhex("2a864886f70d010703")
_DATA: Final = bytes.fromhex("2a864886f70d010701")
_OAEP: Final = bytes.fromhex("2a864886f70d010107")
_MGF1: Final = bytes.fromhex("2a864886f70d010108")
_SHA256: Final = bytes.fromhex("608648016503040201")
_AES_256_CBC: Final = bytes.fromhex("60864801650304012a")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed, unopened envelope.

    Attributes:
        key_id: subject key identifier of the recipient, as the sender wrote it; not compared with anything.
        encrypted_key: of the modulus' size; iv: 16 bytes; content: whole blocks of 16 bytes.
    """

    key_id: bytes
    encrypted_key: bytes
    iv: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class _Node:
    tag: int
    content: bytes
    children: tuple[_Node, ...]


class _Malformed(ValueError):  # noqa: N818 - never leaves this module
    pass


def _read(data: bytes, at: int, end: int, depth: int) -> tuple[_Node, int]:
    """One value and where it ends. Lengths are minimal, or indefinite where the value is constructed."""
    if at + 2 > end or depth > _MAX_DEPTH:
        raise _Malformed("cut short" if depth <= _MAX_DEPTH else "nested too deeply")
    tag, length = data[at], data[at + 1]
    at += 2
    constructed = bool(tag & 0x20)
    if tag & 0x1F == 0x1F or tag == 0:
        raise _Malformed(f"tag 0x{tag:02x}")
    if length == 0x80:
        if not constructed:
            raise _Malformed("a primitive value of indefinite length")
        children: list[_Node] = []
        while data[at : min(at + 2, end)] != b"\0\0":
            child, at = _read(data, at, end, depth + 1)
            children.append(child)
        return _Node(tag, b"", tuple(children)), at + 2
    if length > 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[at : at + count], "big")
        if count > 3 or at + count > end or length < 0x80 or data[at] == 0:
            raise _Malformed("a length that is not minimal")
        at += count
    if length > end - at:
        raise _Malformed("a length past the end")
    stop = at + length
    if not constructed:
        return _Node(tag, data[at:stop], ()), stop
    found: list[_Node] = []
    while at < stop:
        child, at = _read(data, at, stop, depth + 1)
        found.append(child)
    return _Node(tag, b"", tuple(found)), stop


def _children(node: _Node, tag: int, *tags: int) -> tuple[_Node, ...]:
    if node.tag != tag or tuple(child.tag for child in node.children) != tags:
        raise _Malformed(f"expected 0x{tag:02x} of {', '.join(f'0x{one:02x}' for one in tags)}")
    return node.children


def _is(node: _Node, value: bytes, what: str) -> None:
    if node.content != value:
        raise _Malformed(f"{what} is {node.content.hex()[:40]}")


def _version_two(node: _Node) -> None:
    _is(node, b"\2", "version")


def _is_sha256(node: _Node) -> None:
    """AlgorithmIdentifier of SHA-256, its parameters NULL or absent (RFC 4055 section 2.1)."""
    oid, *parameters = _children(node, _SEQUENCE, *((_OID, _NULL) if len(node.children) == 2 else (_OID,)))
    _is(oid, _SHA256, "hash")
    if parameters:
        _is(parameters[0], b"", "NULL")


def _is_oaep(node: _Node) -> None:
    oid, parameters = _children(node, _SEQUENCE, _OID, _SEQUENCE)
    _is(oid, _OAEP, "key transport")
    hash_part, mask_part = _children(parameters, _SEQUENCE, 0xA0, 0xA1)
    _is_sha256(_children(hash_part, 0xA0, _SEQUENCE)[0])
    mask, inner = _children(_children(mask_part, 0xA1, _SEQUENCE)[0], _SEQUENCE, _OID, _SEQUENCE)
    _is(mask, _MGF1, "mask generation")
    _is_sha256(inner)


def _content(node: _Node) -> bytes:
    """[0] IMPLICIT OCTET STRING: primitive, or in pieces."""
    if node.tag == 0x80:
        return node.content
    if node.tag != 0xA0 or any(piece.tag != _OCTETS for piece in node.children):
        raise _Malformed("the encrypted content is no octet string")
    return b"".join(piece.content for piece in node.children)


def parse(data: bytes) -> Envelope:
    """Read an envelope.

    Raises:
        PeerError: `QNSP-SIG-110`: not the one form that is taken.
    """
    try:
        if not 0 < len(data) <= MAX_ENVELOPE:
            raise _Malformed(f"{len(data)} bytes; 1 to {MAX_ENVELOPE} are taken")
        outer, end = _read(data, 0, len(data), 0)
        if end != len(data):
            raise _Malformed("bytes follow it")
        kind, wrapped = _children(outer, _SEQUENCE, _OID, 0xA0)
        _is(kind, _ENVELOPED_DATA, "content type")
        version, recipients, encrypted = _children(
            _children(wrapped, 0xA0, _SEQUENCE)[0], _SEQUENCE, _INTEGER, _SET, _SEQUENCE
        )
        _version_two(version)
        (recipient,) = _children(recipients, _SET, _SEQUENCE)
        number, key_id, transport, key = _children(recipient, _SEQUENCE, _INTEGER, 0x80, _SEQUENCE, _OCTETS)
        _version_two(number)
        _is_oaep(transport)
        if len(encrypted.children) != 3:
            raise _Malformed("the encrypted content has other parts")
        inner, cipher, content = _children(encrypted, _SEQUENCE, _OID, _SEQUENCE, encrypted.children[2].tag)
        _is(inner, _DATA, "inner content type")
        algorithm, iv = _children(cipher, _SEQUENCE, _OID, _OCTETS)
        _is(algorithm, _AES_256_CBC, "cipher")
        octets = _content(content)
        if len(iv.content) != 16 or not octets or len(octets) % 16:
            raise _Malformed("IV and content are whole blocks of 16 bytes")
        if len(key.content) * 8 not in RSA_SIZES:
            raise _Malformed(f"an encrypted key of {len(key.content)} bytes")
        return Envelope(key_id.content, key.content, iv.content, octets)
    except _Malformed as error:
        raise PeerError("QNSP-SIG-110", f"CMS envelope: {error}", subject="CiphertextForRecipient") from error


def open_envelope(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
    """The plaintext of an envelope made for `key`.

    Raises:
        PeerError: `QNSP-SIG-110` malformed; `QNSP-SIG-111` it does not open with this key.
    """
    envelope = parse(data)
    oaep = rsa_padding.OAEP(mgf=rsa_padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    try:
        content_key = key.decrypt(envelope.encrypted_key, oaep)
        if len(content_key) != 32:
            raise ValueError
        decryptor = Cipher(algorithms.AES256(content_key), modes.CBC(envelope.iv)).decryptor()
        padded = decryptor.update(envelope.content) + decryptor.finalize()
        unpadder = padding.PKCS7(128).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        # One text for every cause: which of them it was is nobody's business who sent it.
        raise PeerError(
            "QNSP-SIG-111", "CMS envelope: it does not open with this key", subject="CiphertextForRecipient"
        ) from None


__all__ = ["MAX_ENVELOPE", "RSA_SIZES", "Envelope", "open_envelope", "parse"]
