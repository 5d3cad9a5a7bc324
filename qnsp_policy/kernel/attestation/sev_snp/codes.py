"""The refusals of SEV-SNP verification, by step."""

from __future__ import annotations

from qnsp_policy.kernel.attestation.refusal import Code, collect

LENGTH = Code("QNSP-ATT-SNP-001", 1, "format", "the report is not 1184 bytes long")
VERSION = Code("QNSP-ATT-SNP-002", 1, "format", "VERSION of the report is not one of 2 to 5")
SIGNATURE_ALGO = Code("QNSP-ATT-SNP-003", 1, "format", "SIGNATURE_ALGO is not 1 (ECDSA P-384 with SHA-384)")
KIND = Code("QNSP-ATT-SNP-004", 1, "format", "the evidence is not of kind sev-snp")
TABLE = Code("QNSP-ATT-SNP-005", 1, "format", "the certificate table is not well formed")
ENDORSEMENT = Code("QNSP-ATT-SNP-006", 1, "format", "a certificate given with the evidence cannot be read")

SIGNING_KEY = Code("QNSP-ATT-SNP-010", 2, "endorsement", "SIGNING_KEY of the report is neither VCEK nor VLEK")
NO_LEAF = Code("QNSP-ATT-SNP-011", 2, "endorsement", "no certificate of the report's signing key is given")
VLEK_WITH_VCEK = Code(
    "QNSP-ATT-SNP-012", 2, "endorsement", "the report is signed by a VLEK but a VCEK certificate is given"
)
VCEK_WITH_VLEK = Code(
    "QNSP-ATT-SNP-013", 2, "endorsement", "the report is signed by a VCEK but a VLEK certificate is given"
)
LEAF_KEY = Code("QNSP-ATT-SNP-014", 2, "endorsement", "the key of the VCEK or VLEK certificate is not on P-384")
MASKED_CHIP_KEY = Code(
    "QNSP-ATT-SNP-015", 2, "endorsement", "the report is not signed: SIGNING_KEY is none (masked chip key)"
)

LINE_UNKNOWN = Code("QNSP-ATT-SNP-020", 3, "line", "the processor of the report is not of a known SEV-SNP line")
LINE_DIFFERS = Code("QNSP-ATT-SNP-021", 3, "line", "report and VCEK or VLEK certificate are of different lines")
NO_ANCHOR = Code("QNSP-ATT-SNP-022", 3, "line", "no trust anchor is given for the report's line")

NO_INTERMEDIATE = Code("QNSP-ATT-SNP-030", 4, "chain", "the ASK or ASVK certificate is missing")
OTHER_LINE = Code("QNSP-ATT-SNP-031", 4, "chain", "the ASK or ASVK given is that of another line")
FOREIGN_ROOT = Code("QNSP-ATT-SNP-032", 4, "chain", "the ARK given with the evidence is not the trust anchor")
INTERMEDIATE_SIGNATURE = Code("QNSP-ATT-SNP-033", 4, "chain", "the ASK or ASVK is not signed by the trust anchor")
INTERMEDIATE_NOT_CA = Code(
    "QNSP-ATT-SNP-034", 4, "chain", "the ASK or ASVK is not a certificate authority for leaf certificates"
)
LEAF_SIGNATURE = Code("QNSP-ATT-SNP-035", 4, "chain", "the VCEK or VLEK is not signed by the ASK or ASVK")
LEAF_CRITICAL = Code(
    "QNSP-ATT-SNP-036", 4, "chain", "a certificate of the chain has a critical extension that is not known"
)
ANCHOR = Code("QNSP-ATT-SNP-037", 4, "chain", "the trust anchor cannot be read or is not signed by itself")
LEAF_IS_CA = Code("QNSP-ATT-SNP-038", 4, "chain", "the VCEK or VLEK is a certificate authority, or may not sign data")
ISSUER_ROLE = Code("QNSP-ATT-SNP-039", 4, "chain", "the VCEK is issued by an ASVK, or the VLEK by an ASK")

LEAF_EARLY = Code("QNSP-ATT-SNP-040", 5, "validity", "the VCEK or VLEK is not valid yet")
LEAF_EXPIRED = Code("QNSP-ATT-SNP-041", 5, "validity", "the VCEK or VLEK has expired")
INTERMEDIATE_TIME = Code("QNSP-ATT-SNP-042", 5, "validity", "the ASK or ASVK is outside its validity")
ANCHOR_TIME = Code("QNSP-ATT-SNP-043", 5, "validity", "the ARK is outside its validity")

SIGNATURE_RANGE = Code(
    "QNSP-ATT-SNP-050", 6, "signature", "R or S of the signature is zero or not below the order of P-384"
)
SIGNATURE_FORM = Code(
    "QNSP-ATT-SNP-051", 6, "signature", "R or S has non-zero bytes above its 48 (not little-endian P-384)"
)
SIGNATURE = Code("QNSP-ATT-SNP-052", 6, "signature", "the signature of the report is not by the VCEK or VLEK key")
SIGNATURE_OTHER_CHIP = Code(
    "QNSP-ATT-SNP-053", 6, "signature", "the signature does not verify and the VCEK is that of another chip"
)
SIGNATURE_OTHER_TCB = Code(
    "QNSP-ATT-SNP-054", 6, "signature", "the signature does not verify and the VCEK is that of another TCB"
)
SIGNATURE_SWAPPED = Code("QNSP-ATT-SNP-056", 6, "signature", "R and S of the signature stand in each other's place")
SIGNATURE_BIG_ENDIAN = Code("QNSP-ATT-SNP-057", 6, "signature", "R and S of the signature are big-endian")
UNSIGNED_BYTES = Code(
    "QNSP-ATT-SNP-055", 6, "signature", "the unsigned bytes 0x330 to 0x49F of the report are not zero"
)

LEAF_EXTENSION = Code(
    "QNSP-ATT-SNP-060", 7, "identity", "an AMD extension of the VCEK or VLEK is missing or not of its form"
)
TCB = Code("QNSP-ATT-SNP-061", 7, "identity", "the TCB of the VCEK or VLEK is not REPORTED_TCB")
HWID_LENGTH = Code("QNSP-ATT-SNP-062", 7, "identity", "HWID of the VCEK has not the length of its line")
HWID = Code("QNSP-ATT-SNP-063", 7, "identity", "HWID of the VCEK is not CHIP_ID")
CHIP_ID_MASKED = Code("QNSP-ATT-SNP-064", 7, "identity", "CHIP_ID is zero, so the VCEK cannot be bound to the chip")

CRL_FORM = Code("QNSP-ATT-SNP-070", 8, "revocation", "a CRL cannot be read")
CRL_OTHER = Code("QNSP-ATT-SNP-071", 8, "revocation", "the CRL is that of another ARK")
CRL_SIGNATURE = Code("QNSP-ATT-SNP-072", 8, "revocation", "the CRL names the ARK but is not signed by it")
CRL_EARLY = Code("QNSP-ATT-SNP-073", 8, "revocation", "the CRL is not valid yet")
CRL_EXPIRED = Code("QNSP-ATT-SNP-074", 8, "revocation", "the CRL has expired")
REVOKED = Code("QNSP-ATT-SNP-075", 8, "revocation", "the ASK or ASVK is revoked")

DEBUG = Code("QNSP-ATT-SNP-080", 9, "policy", "the guest policy allows debugging")

HCL_FORM = Code("QNSP-ATT-SNP-090", 1, "format", "the HCL wrapper is not well formed")
HCL_TYPE = Code("QNSP-ATT-SNP-091", 1, "format", "the HCL wrapper does not hold an SNP report")
HCL_BINDING = Code("QNSP-ATT-SNP-092", 7, "identity", "REPORT_DATA is not the SHA-256 of the HCL runtime data")
HCL_KEY = Code("QNSP-ATT-SNP-093", 7, "identity", "the HCL runtime data hold no usable HCLAkPub key")
TPM_FORM = Code("QNSP-ATT-SNP-094", 7, "identity", "the TPM quote is not well formed")
TPM_SIGNATURE = Code("QNSP-ATT-SNP-095", 7, "identity", "the TPM quote is not signed by HCLAkPub")
TPM_PCRS = Code("QNSP-ATT-SNP-096", 7, "identity", "the PCR values are not those of the TPM quote")

WIRE = Code("QNSP-ATT-SNP-101", 1, "format", "the JSON form of SNP evidence is not well formed (kernel/wire/coco_snp)")

CODES = collect(globals())
"""All of them, by code."""
