"""The refusals of appraisal and of composite evidence: verified claims that are not acceptable."""

from __future__ import annotations

from qnsp_policy.kernel.attestation.refusal import Code, collect

NO_ALTERNATIVE = Code(
    "QNSP-ATT-APR-001", 1, "policy", "the appraisal policy holds no alternative for this kind of evidence"
)
EXPIRED_REFERENCE = Code("QNSP-ATT-APR-002", 1, "policy", "the reference values have expired")
ASSURANCE = Code("QNSP-ATT-APR-003", 2, "assurance", "the assurance class of the evidence is not acceptable")
VERDICT_OVER = Code("QNSP-ATT-APR-004", 2, "validity", "what the verification relied on has ended")
NOT_CHECKED = Code("QNSP-ATT-APR-005", 2, "statements", "a statement that the policy requires was not checked")
REFUSED_STATEMENT = Code("QNSP-ATT-APR-006", 2, "statements", "the verifier refused a statement")
REPORT_DATA_LENGTH = Code("QNSP-ATT-APR-010", 3, "freshness", "report data and expected report data differ in length")
REPORT_DATA = Code("QNSP-ATT-APR-011", 3, "freshness", "report data is not the expected one")
NONCE_ABSENT = Code("QNSP-ATT-APR-012", 3, "freshness", "the evidence holds no nonce although one is expected")
DEBUG = Code("QNSP-ATT-APR-020", 4, "debug", "the attester can be debugged")
CLAIM_ABSENT = Code("QNSP-ATT-APR-030", 5, "claims", "a claim that the reference values name is not in the evidence")
MEASUREMENT = Code("QNSP-ATT-APR-031", 5, "claims", "a measurement is not the reference value")
INIT_DATA = Code(
    "QNSP-ATT-APR-032", 5, "claims", "the init data digest (HOST_DATA, MRCONFIGID) is not the reference value"
)
PRIVILEGE = Code("QNSP-ATT-APR-033", 5, "claims", "the privilege level (VMPL) is not the reference value")
GUEST_POLICY = Code("QNSP-ATT-APR-034", 5, "claims", "a guest policy or attribute flag is not the reference value")
IDENTITY = Code("QNSP-ATT-APR-035", 5, "claims", "an identity (chip, signer, key digest) is not the reference value")
CLAIM = Code("QNSP-ATT-APR-036", 5, "claims", "a claim is not the reference value")
CLAIM_TYPE = Code("QNSP-ATT-APR-037", 5, "claims", "a claim and its reference value are of different types")
TCB_STATUS = Code("QNSP-ATT-APR-038", 6, "tcb", "the TCB status is not acceptable")
FLOOR = Code("QNSP-ATT-APR-040", 6, "tcb", "a version or SVN is below its floor")
DEVICES = Code("QNSP-ATT-APR-050", 7, "devices", "the bound devices are not those that the reference values demand")

UNKNOWN_KIND = Code("QNSP-ATT-CMP-001", 1, "format", "no verifier is known for this kind of evidence")
DEVICE_KIND = Code(
    "QNSP-ATT-CMP-002", 1, "format", "CPU evidence stands where device evidence is expected, or the reverse"
)
DEVICE_BINDING = Code(
    "QNSP-ATT-CMP-003", 3, "binding", "the CPU evidence does not bind the device evidence that came with it"
)
DEVICE_NONCE = Code("QNSP-ATT-CMP-004", 3, "binding", "device evidence answers another nonce than the session's")
TOO_MANY_DEVICES = Code("QNSP-ATT-CMP-005", 1, "format", "more devices than one machine can have")
MIXED_ASSURANCE = Code("QNSP-ATT-CMP-006", 3, "binding", "simulated and hardware evidence are mixed in one machine")
BINDING_VALUE = Code("QNSP-ATT-CMP-007", 3, "binding", "what report data binds has no canonical form")
COLLATERAL_FILE = Code(
    "QNSP-ATT-CMP-008", 1, "format", "a file of collateral looks like PEM certificates but cannot be read"
)
ADDITIONAL = Code("QNSP-ATT-CMP-009", 1, "format", "the additional evidence is not of its form")
NEEDS = Code("QNSP-ATT-CMP-010", 1, "format", "the evidence does not say which collateral it needs")

CODES = collect(globals())
"""All of them, by code."""
