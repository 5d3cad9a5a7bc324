"""Codes of refusal for NVIDIA GPU and NVSwitch evidence, in the order of the steps."""

from __future__ import annotations

from typing import Final

from qnsp_policy.kernel.attestation.refusal import Code, collect

SIZE: Final = Code("QNSP-ATT-NV-001", 1, "framing", "the report is cut short or larger than 64 KiB")
VERSION: Final = Code("QNSP-ATT-NV-002", 1, "framing", "the SPDM version is not 1.1 (0x11)")
REQUEST: Final = Code(
    "QNSP-ATT-NV-003",
    1,
    "framing",
    "the report does not begin with a GET_MEASUREMENTS request for all blocks with signature",
)
RESPONSE: Final = Code("QNSP-ATT-NV-004", 1, "framing", "the response code is not MEASUREMENTS (0x60)")
BLOCKS: Final = Code(
    "QNSP-ATT-NV-005", 1, "framing", "the measurement record does not hold the stated number of blocks"
)
BLOCK: Final = Code("QNSP-ATT-NV-006", 1, "framing", "a measurement block is not a DMTF block of 48 bytes")
BLOCK_INDEX: Final = Code("QNSP-ATT-NV-007", 1, "framing", "a measurement index is zero or given twice")
SIGNATURE_LENGTH: Final = Code("QNSP-ATT-NV-008", 1, "framing", "96 bytes of signature must end the report")
OPAQUE: Final = Code("QNSP-ATT-NV-009", 2, "opaque", "a field of the opaque data runs past its end")
OPAQUE_TWICE: Final = Code("QNSP-ATT-NV-010", 2, "opaque", "a field of the opaque data is given twice")
OPAQUE_FIELD: Final = Code("QNSP-ATT-NV-011", 2, "opaque", "a field of the opaque data is not of its form")
DEVICE: Final = Code("QNSP-ATT-NV-012", 2, "opaque", "the report is of the other device kind (GPU, NVSwitch)")
CHAIN_LENGTH: Final = Code("QNSP-ATT-NV-013", 3, "chain", "the device chain does not have five certificates")
CERTIFICATE: Final = Code("QNSP-ATT-NV-014", 3, "chain", "a certificate of the device chain cannot be read")
ROOT: Final = Code("QNSP-ATT-NV-015", 3, "chain", "the device chain does not end in a pinned NVIDIA device root")
LINK: Final = Code("QNSP-ATT-NV-016", 3, "chain", "a certificate of the device chain is not signed by the next one")
CA: Final = Code(
    "QNSP-ATT-NV-017", 3, "chain", "an issuer in the device chain is not a certification authority, or the leaf is one"
)
VALIDITY: Final = Code("QNSP-ATT-NV-018", 3, "chain", "a certificate of the device chain is not valid now")
SIGNATURE: Final = Code("QNSP-ATT-NV-019", 4, "signature", "the report is not signed by the leaf of the device chain")
FWID: Final = Code(
    "QNSP-ATT-NV-020",
    5,
    "firmware-id",
    "the report's firmware id is not the one that the leaf certificate was issued for",
)
FWID_ZERO: Final = Code("QNSP-ATT-NV-021", 5, "firmware-id", "the firmware id is zero")
FWID_LEAF: Final = Code("QNSP-ATT-NV-022", 5, "firmware-id", "the leaf certificate carries no readable firmware id")
NO_CHAIN: Final = Code("QNSP-ATT-NV-023", 3, "chain", "no device chain came with the report or its collateral")
REVOKED: Final = Code("QNSP-ATT-NV-030", 7, "revocation", "a certificate is revoked (OCSP)")
HOLD: Final = Code("QNSP-ATT-NV-031", 7, "revocation", "a certificate is on hold (OCSP)")
OCSP_UNKNOWN: Final = Code("QNSP-ATT-NV-032", 7, "revocation", "the OCSP responder does not know a certificate")
OCSP_STALE: Final = Code(
    "QNSP-ATT-NV-033", 7, "revocation", "an OCSP answer is not of the present: outside thisUpdate and nextUpdate"
)
OCSP_ID: Final = Code("QNSP-ATT-NV-034", 7, "revocation", "the OCSP answers are about other certificates")
OCSP_RESPONDER: Final = Code(
    "QNSP-ATT-NV-035", 7, "revocation", "an OCSP answer is not signed by the issuer or a responder that it authorised"
)
OCSP_FORM: Final = Code("QNSP-ATT-NV-036", 7, "revocation", "an OCSP answer cannot be read or is not successful")
OCSP_NONCE: Final = Code(
    "QNSP-ATT-NV-037", 7, "revocation", "an OCSP answer does not carry the nonce that was asked for"
)
RIM_FORM: Final = Code(
    "QNSP-ATT-NV-040",
    8,
    "rim",
    "a RIM is not an XML SoftwareIdentity, or carries a DTD, entity, comment or processing instruction",
)
RIM_SIGNATURES: Final = Code("QNSP-ATT-NV-041", 8, "rim", "a RIM must carry exactly one Signature, a child of its root")
RIM_ALGORITHM: Final = Code(
    "QNSP-ATT-NV-042",
    8,
    "rim",
    "a RIM is signed with other algorithms, transforms or references than ECDSA P-384 over the whole document",
)
RIM_CHAIN: Final = Code("QNSP-ATT-NV-043", 8, "rim", "the signer of a RIM does not chain to a pinned NVIDIA RIM root")
RIM_VALIDITY: Final = Code("QNSP-ATT-NV-044", 8, "rim", "a certificate of a RIM's signer is not valid now")
RIM_SIGNATURE: Final = Code("QNSP-ATT-NV-045", 8, "rim", "the signature value of a RIM does not verify")
RIM_DIGEST: Final = Code("QNSP-ATT-NV-046", 8, "rim", "the content of a RIM is not what was signed")
RIM_VERSION: Final = Code("QNSP-ATT-NV-047", 8, "rim", "no RIM is for the version that the report states")
RIM_SKU: Final = Code(
    "QNSP-ATT-NV-048", 8, "rim", "the VBIOS RIM is for another project, SKU or chip than the report states"
)
RIM_ENTRY: Final = Code("QNSP-ATT-NV-049", 8, "rim", "an entry of a RIM is not of its form")
RIM_CONFLICT: Final = Code("QNSP-ATT-NV-050", 9, "measurements", "an index is active in both RIMs")
MEASUREMENT: Final = Code("QNSP-ATT-NV-051", 9, "measurements", "a measurement is none of the alternatives of its RIM")
MEASUREMENT_MISSING: Final = Code(
    "QNSP-ATT-NV-052", 9, "measurements", "the report lacks a measurement that a RIM demands"
)
SET_COUNT: Final = Code("QNSP-ATT-NV-060", 10, "set", "the number of devices is not the one declared")
SET_ARCHITECTURE: Final = Code("QNSP-ATT-NV-061", 10, "set", "the devices are of different architectures")
SET_REPEATED: Final = Code("QNSP-ATT-NV-062", 10, "set", "a device is given more than once")
SET_MODE: Final = Code(
    "QNSP-ATT-NV-063", 10, "set", "the devices are in different confidential modes, or in another than declared"
)
SET_DEVTOOLS: Final = Code("QNSP-ATT-NV-064", 10, "set", "a device is in DEVTOOLS mode")
SET_TOPOLOGY: Final = Code(
    "QNSP-ATT-NV-065", 10, "set", "the NVLink topology that GPUs and switches report does not agree"
)
SET_NONCE: Final = Code("QNSP-ATT-NV-066", 10, "set", "the reports of one machine answer different nonces")

CODES: Final = collect(globals())
