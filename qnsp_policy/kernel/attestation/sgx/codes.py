"""The refusals of SGX verification: QNSP-ATT-SGX-*, by step."""

from __future__ import annotations

from qnsp_policy.kernel.attestation.dcap.codes import Tee, all_codes

CODES = all_codes(Tee.SGX)
"""All of them, by code."""
