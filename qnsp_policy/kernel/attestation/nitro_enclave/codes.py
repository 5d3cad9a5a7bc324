"""Codes of refusal for Nitro attestation documents, in the order of the steps; NitroTPM shares steps 1 to 9."""

from __future__ import annotations

from typing import Final

from qnsp_policy.kernel.attestation.refusal import Code, collect

TOO_LARGE: Final = Code("QNSP-ATT-NIT-001", 1, "format", "the document is empty or larger than 32 KiB")
NOT_CBOR: Final = Code("QNSP-ATT-NIT-002", 1, "format", "the document is not one CBOR item (RFC 8949)")
TRAILING: Final = Code("QNSP-ATT-NIT-003", 1, "format", "bytes follow the document")
TAG: Final = Code("QNSP-ATT-NIT-004", 1, "format", "the CBOR tag is not 18 (COSE_Sign1)")
SHAPE: Final = Code(
    "QNSP-ATT-NIT-005",
    1,
    "format",
    "a COSE_Sign1 is an array of protected header, unprotected header, payload, signature",
)
NOT_CANONICAL: Final = Code("QNSP-ATT-NIT-006", 1, "format", "the CBOR is not deterministically encoded")
SIGNATURE_LENGTH: Final = Code("QNSP-ATT-NIT-007", 1, "format", "an ES384 signature has 96 bytes")
ALGORITHM: Final = Code("QNSP-ATT-NIT-008", 2, "algorithm", "the protected header is not exactly {alg: ES384 (-35)}")
UNPROTECTED: Final = Code("QNSP-ATT-NIT-009", 2, "algorithm", "the unprotected header is not empty")
SCHEMA: Final = Code(
    "QNSP-ATT-NIT-010", 3, "schema", "the payload does not have the members of an attestation document"
)
PAYLOAD_ENCODING: Final = Code("QNSP-ATT-NIT-011", 3, "schema", "the payload is not deterministically encoded CBOR")
DIGEST: Final = Code("QNSP-ATT-NIT-012", 3, "schema", "the digest is not SHA384")
PCR: Final = Code("QNSP-ATT-NIT-013", 3, "schema", "a PCR is not an integer index with 48 bytes")
PCR_MISSING: Final = Code("QNSP-ATT-NIT-014", 3, "schema", "PCRs are missing from the document")
FIELD_SIZE: Final = Code("QNSP-ATT-NIT-015", 3, "schema", "public_key, user_data or nonce is over its limit")
OTHER_KIND: Final = Code(
    "QNSP-ATT-NIT-016", 3, "schema", "the document is of the other kind (pcrs: Nitro enclave; nitrotpm_pcrs: NitroTPM)"
)
BOTH_KINDS: Final = Code("QNSP-ATT-NIT-017", 3, "schema", "the document carries both PCR maps")
BUNDLE: Final = Code("QNSP-ATT-NIT-018", 4, "anchor", "the cabundle is empty or too long")
ROOT: Final = Code(
    "QNSP-ATT-NIT-019", 4, "anchor", "the first certificate of the cabundle is not a pinned AWS Nitro root"
)
CERTIFICATE: Final = Code("QNSP-ATT-NIT-020", 5, "chain", "a certificate cannot be read")
LINK: Final = Code(
    "QNSP-ATT-NIT-021", 5, "chain", "a certificate is not signed by the one before it, or is given twice"
)
CA: Final = Code(
    "QNSP-ATT-NIT-022", 5, "chain", "an issuer is not a certification authority that may sign certificates"
)
PATH_LENGTH: Final = Code("QNSP-ATT-NIT-023", 5, "chain", "the chain is longer than a path length allows")
LEAF_CA: Final = Code("QNSP-ATT-NIT-024", 5, "chain", "the leaf is a certification authority, or may not sign data")
LEAF_KEY: Final = Code("QNSP-ATT-NIT-025", 5, "chain", "the leaf key is not P-384")
CRITICAL: Final = Code("QNSP-ATT-NIT-026", 5, "chain", "a certificate carries an unknown critical extension")
SIGNATURE: Final = Code("QNSP-ATT-NIT-027", 6, "signature", "the ES384 signature does not verify")
WINDOW_DOCUMENT: Final = Code(
    "QNSP-ATT-NIT-028", 7, "validity", "a certificate was not valid at the time the document states"
)
WINDOW_NOW: Final = Code("QNSP-ATT-NIT-029", 7, "validity", "a certificate is not valid now")

CODES: Final = collect(globals())
