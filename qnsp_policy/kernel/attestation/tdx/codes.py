"""The refusals of TDX verification: QNSP-ATT-TDX-*, by step."""

from __future__ import annotations

from qnsp_policy.kernel.attestation.dcap.codes import Tee, all_codes

CODES = all_codes(Tee.TDX)
"""All of them, by code."""
