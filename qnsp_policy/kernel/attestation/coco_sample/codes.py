"""The refusals of CoCo sample evidence, by step."""

from __future__ import annotations

from qnsp_policy.kernel.attestation.refusal import Code, collect

KIND = Code("QNSP-ATT-SMP-001", 1, "format", "the evidence is not of kind coco-sample")
SIZE = Code("QNSP-ATT-SMP-002", 1, "format", "sample evidence is larger than it may be")
JSON = Code("QNSP-ATT-SMP-003", 1, "format", "sample evidence is not strict JSON")
MEMBERS = Code("QNSP-ATT-SMP-004", 1, "format", "sample evidence is not an object of svn and report_data")
SVN = Code("QNSP-ATT-SMP-005", 1, "format", "svn is not text of digits")
REPORT_DATA = Code("QNSP-ATT-SMP-006", 1, "format", "report_data is not standard base64 of at most 64 bytes")
CLASS = Code(
    "QNSP-ATT-SMP-007", 1, "format", "sample device evidence is given where CPU evidence is expected, or the reverse"
)
NOT_DECLARED = Code(
    "QNSP-ATT-SMP-010", 2, "endorsement", "sample evidence is not signed and no anchor declares it acceptable"
)

CODES = collect(globals())
"""All of them, by code."""
