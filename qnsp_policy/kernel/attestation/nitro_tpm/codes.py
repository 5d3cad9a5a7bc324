"""Codes of refusal that only NitroTPM has: the TPM 2.0 quote that completes its document (step 10)."""

from __future__ import annotations

from typing import Final

from qnsp_policy.kernel.attestation.refusal import Code, collect

KEY: Final = Code(
    "QNSP-ATT-NTPM-001",
    10,
    "quote",
    "the document's public_key is not an uncompressed P-256 point (the TPM's attestation key)",
)
ATTEST: Final = Code("QNSP-ATT-NTPM-002", 10, "quote", "the TPMS_ATTEST structure is not a TPM 2.0 quote")
SIGNATURE: Final = Code("QNSP-ATT-NTPM-003", 10, "quote", "the quote is not signed by the document's attestation key")
NONCE: Final = Code("QNSP-ATT-NTPM-004", 10, "quote", "the quote's extraData is not the document's nonce")
SELECTION: Final = Code(
    "QNSP-ATT-NTPM-005", 10, "quote", "the quote does not select exactly the SHA-384 bank with all 24 PCRs"
)
PCR_DIGEST: Final = Code("QNSP-ATT-NTPM-006", 10, "quote", "the quote's PCR digest is not that of the document's PCRs")
INCOMPLETE: Final = Code(
    "QNSP-ATT-NTPM-007", 10, "quote", "a quote came without its signature, or a signature without its quote"
)

CODES: Final = collect(globals())
