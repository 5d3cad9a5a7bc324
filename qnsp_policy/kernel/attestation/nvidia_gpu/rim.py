"""NVIDIA reference integrity manifests: SWID tags (ISO/IEC 19770-2) with an enveloped XML signature, bytes to verified values.

1. well-formed, no DTD, entity, comment, processing instruction or xml:* attribute     2. exactly one Signature, child of the root
3. the only accepted algorithms: ECDSA P-384 with SHA-384, inclusive C14N (1.0 or 1.1, equal without xml:* attributes), one
   reference to the whole document, enveloped-signature           4. signer chain to a pinned RIM root, valid at `now`
5. the signature value over SignedInfo           6. the digest over the document without its Signature
Entries are read from the tree that was digested. A RIM body names product and version, but no project or SKU: only its file name
(`NV_GPU_VBIOS_<project>_<project SKU>_<chip SKU>_<version>`) ties it to a board, which the caller compares.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from lxml import etree

from qnsp_policy.kernel.attestation.chains import ChainError, check_links, check_window, p384_key
from qnsp_policy.kernel.attestation.nvidia_gpu import codes
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.x509 import Certificate, CertificateError, load_certificate

MAX_RIM: Final = 1024 * 1024
_SWID: Final = "{http://standards.iso.org/iso/19770/-2/2015/schema.xsd}"
_DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
_HASH: Final = "{http://www.w3.org/2001/04/xmlenc#sha384}Hash"
_XML: Final = "{http://www.w3.org/XML/1998/namespace}"
_C14N: Final = frozenset({"http://www.w3.org/2006/12/xml-c14n11", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"})
_ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_ECDSA_SHA384: Final = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
_SHA384: Final = frozenset({"http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha384"})
_MAX_CHAIN: Final = 6


@dataclass(frozen=True, slots=True)
class Rim:
    """A verified RIM.

    Attributes:
        version: `colloquialVersion`: driver version, or VBIOS version in upper case.
        product: e.g. "GH100", "LS10".
        edition: "GPU" or "SWITCH".
        active: alternatives (48-byte values) by measurement index, counted from 0; inactive entries are left out.
        chain: its signer's certificates, signer first.
        not_after: the earliest end of these.
    """

    version: str
    product: str
    edition: str
    active: Mapping[int, frozenset[bytes]]
    chain: tuple[Certificate, ...]
    not_after: datetime


@dataclass(frozen=True, slots=True)
class _Signed:
    """A RIM whose signature and content hold; who signed it, and when that may be believed, is judged at each call."""

    rim: tuple[str, str, str, tuple[tuple[int, frozenset[bytes]], ...]]
    chain: tuple[Certificate, ...]


def _tree(data: bytes) -> etree._Element:
    if len(data) > MAX_RIM:
        raise EvidenceError(codes.RIM_FORM, expected=f"at most {MAX_RIM} bytes", got=f"{len(data)} bytes")
    if b"<!" in data:
        raise EvidenceError(codes.RIM_FORM, "a DTD, entity, CDATA section or comment")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_blank_text=False
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise EvidenceError(codes.RIM_FORM, str(error).splitlines()[0][:120]) from error
    if root.getprevious() is not None or root.getnext() is not None:
        raise EvidenceError(codes.RIM_FORM, "something stands beside the root element")
    for element in root.iter():
        if not isinstance(element.tag, str):
            raise EvidenceError(codes.RIM_FORM, "a comment or processing instruction")
        if any(isinstance(name, str) and name.startswith(_XML) for name in element.attrib):
            raise EvidenceError(codes.RIM_FORM, "an xml: attribute")
    if root.tag != f"{_SWID}SoftwareIdentity":
        raise EvidenceError(codes.RIM_FORM, expected="SoftwareIdentity", got=str(root.tag)[:80])
    return root


def _only(parent: etree._Element, name: str) -> etree._Element:
    found = parent.findall(f"{_DS}{name}")
    if len(found) != 1:
        raise EvidenceError(codes.RIM_ALGORITHM, expected=f"one {name}", got=str(len(found)))
    return found[0]


def _method(parent: etree._Element, name: str, allowed: frozenset[str]) -> None:
    element = _only(parent, name)
    if element.get("Algorithm") not in allowed or len(element):
        raise EvidenceError(codes.RIM_ALGORITHM, subject=name, got=str(element.get("Algorithm"))[:80])


def _binary(element: etree._Element) -> bytes:
    text = "".join((element.text or "").split())
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError(codes.RIM_FORM, f"{element.tag} is not base64") from error
    if base64.b64encode(decoded).decode("ascii") != text:
        raise EvidenceError(codes.RIM_FORM, f"{element.tag} is not canonical base64")
    return decoded


def _reference(info: etree._Element) -> bytes:
    """Checks SignedInfo's form; the digest it names."""
    if [child.tag for child in info] != [
        f"{_DS}{name}" for name in ("CanonicalizationMethod", "SignatureMethod", "Reference")
    ]:
        raise EvidenceError(
            codes.RIM_ALGORITHM, "SignedInfo does not hold one canonicalization, one signature method and one reference"
        )
    _method(info, "CanonicalizationMethod", _C14N)
    _method(info, "SignatureMethod", frozenset({_ECDSA_SHA384}))
    reference = _only(info, "Reference")
    if reference.get("URI") != "":
        raise EvidenceError(
            codes.RIM_ALGORITHM, subject="Reference", expected='URI=""', got=str(reference.get("URI"))[:80]
        )
    transforms = list(_only(reference, "Transforms"))
    names = [transform.get("Algorithm") for transform in transforms]
    if (
        len(names) != 2
        or names[0] != _ENVELOPED
        or names[1] not in _C14N
        or any(len(transform) for transform in transforms)
    ):
        raise EvidenceError(codes.RIM_ALGORITHM, subject="Transforms", got=", ".join(str(name)[:60] for name in names))
    _method(reference, "DigestMethod", _SHA384)
    return _binary(_only(reference, "DigestValue"))


def _canonical(element: etree._Element) -> bytes:
    """Inclusive C14N without comments; a document that has none (a relative namespace) is refused."""
    try:
        return etree.tostring(element, method="c14n", exclusive=False, with_comments=False)
    except etree.LxmlError as error:
        raise EvidenceError(codes.RIM_FORM, str(error)) from error


def _without_signature(root: etree._Element) -> etree._Element:
    """A copy without the Signature element; the text after it stays, as the enveloped-signature transform has it."""
    bare = copy.deepcopy(root)
    signature = _signature_of(bare)
    tail, before = signature.tail or "", signature.getprevious()
    if before is None:
        bare.text = (bare.text or "") + tail
    else:
        before.tail = (before.tail or "") + tail
    signature.tail = None
    bare.remove(signature)
    return bare


def _signature_of(root: etree._Element) -> etree._Element:
    found = list(root.iter(f"{_DS}Signature"))
    if len(found) != 1 or found[0].getparent() is not root:
        raise EvidenceError(codes.RIM_SIGNATURES, got=f"{len(found)} found")
    return found[0]


def _chain(signature: etree._Element) -> tuple[Certificate, ...]:
    certificates = list(_only(signature, "KeyInfo").iter(f"{_DS}X509Certificate"))
    if not 2 <= len(certificates) <= _MAX_CHAIN:
        raise EvidenceError(codes.RIM_CHAIN, f"{len(certificates)} certificates")
    try:
        return tuple(load_certificate(_binary(element)) for element in certificates)
    except CertificateError as error:
        raise EvidenceError(codes.RIM_CHAIN, str(error)) from error


def _entries(root: etree._Element) -> dict[int, frozenset[bytes]]:
    active: dict[int, frozenset[bytes]] = {}
    seen: set[int] = set()
    payloads = root.findall(f"{_SWID}Payload")
    if len(payloads) != 1:
        raise EvidenceError(codes.RIM_ENTRY, expected="one Payload", got=str(len(payloads)))
    for entry in payloads[0].findall(f"{_SWID}Resource"):
        if entry.get("type") != "Measurement":
            continue
        try:
            index, count, size = (int(entry.get(name, "")) for name in ("index", "alternatives", "size"))
            values = [bytes.fromhex(entry.get(f"{_HASH}{number}", "")) for number in range(max(0, min(count, 64)))]
        except ValueError as error:
            raise EvidenceError(codes.RIM_ENTRY, subject=str(entry.get("name"))[:60]) from error
        hash_count = sum(1 for name in entry.attrib if isinstance(name, str) and name.startswith(_HASH))
        if (
            index < 0
            or index in seen
            or not values
            or hash_count != len(values)
            or any(len(value) != size for value in values)
        ):
            raise EvidenceError(codes.RIM_ENTRY, subject=str(entry.get("name"))[:60])
        seen.add(index)
        state = entry.get("active")
        if state not in ("True", "False"):
            raise EvidenceError(
                codes.RIM_ENTRY,
                subject=str(entry.get("name"))[:60],
                expected="active True or False",
                got=str(state)[:20],
            )
        if state == "True":
            active[index] = frozenset(values)
    return active


@lru_cache(maxsize=2048)
def _signed(data: bytes) -> _Signed:
    """Steps 1 to 3, 5 and 6 and the signer's links, which do not depend on time or anchors."""
    root = _tree(data)
    signature = _signature_of(root)
    info = _only(signature, "SignedInfo")
    digest = _reference(info)
    chain = _chain(signature)
    try:
        check_links(chain)
    except ChainError as error:
        raise EvidenceError(codes.RIM_CHAIN, error.detail, subject=error.subject) from error
    try:
        key = p384_key(chain[0])
    except ChainError as error:
        raise EvidenceError(codes.RIM_ALGORITHM, error.detail, subject=error.subject) from error
    value = _binary(_only(signature, "SignatureValue"))
    if len(value) != 96:
        raise EvidenceError(
            codes.RIM_ALGORITHM, subject="SignatureValue", expected="96 bytes", got=f"{len(value)} bytes"
        )
    try:
        key.verify(
            encode_dss_signature(int.from_bytes(value[:48], "big"), int.from_bytes(value[48:], "big")),
            _canonical(info),
            ec.ECDSA(hashes.SHA384()),
        )
    except InvalidSignature as error:
        raise EvidenceError(codes.RIM_SIGNATURE) from error
    bare = _without_signature(root)
    if hashlib.sha384(_canonical(bare)).digest() != digest:
        raise EvidenceError(codes.RIM_DIGEST)
    metas = bare.findall(f"{_SWID}Meta")
    if len(metas) != 1:
        raise EvidenceError(codes.RIM_ENTRY, expected="one Meta", got=str(len(metas)))
    version, product, edition = (metas[0].get(name, "") for name in ("colloquialVersion", "product", "edition"))
    return _Signed((version.upper(), product, edition, tuple(sorted(_entries(bare).items()))), chain)


def identify_rim(data: bytes) -> tuple[str, str, str]:
    """Version (upper case), edition and product of a RIM whose signature holds; by whom and until when is `verify_rim`'s to judge.

    Raises:
        EvidenceError: QNSP-ATT-NV-040 to -046 and -049.
    """
    version, product, edition, _ = _signed(data).rim
    return version, edition, product


def verify_rim(data: bytes, *, roots: Sequence[bytes], now: datetime) -> Rim:
    """Verifies a RIM.

    Args:
        data: the XML, at most 1 MiB.
        roots: DER of the trusted RIM roots.
        now: the moment of judgement, aware, UTC; the signer's chain must be valid then.

    Raises:
        EvidenceError: QNSP-ATT-NV-040 to -049.
    """
    signed = _signed(data)
    if signed.chain[-1].der not in roots:
        raise EvidenceError(codes.RIM_CHAIN, subject=signed.chain[-1].subject_cn)
    try:
        check_window(signed.chain, now)
    except ChainError as error:
        raise EvidenceError(
            codes.RIM_VALIDITY, subject=error.subject, expected=error.expected, got=error.got
        ) from error
    version, product, edition, active = signed.rim
    return Rim(
        version,
        product,
        edition,
        dict(active),
        signed.chain,
        min(certificate.not_after for certificate in signed.chain),
    )


__all__ = ["MAX_RIM", "Rim", "identify_rim", "verify_rim"]
