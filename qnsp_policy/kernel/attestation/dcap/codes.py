"""The refusals of DCAP verification, by step; the same numbers under QNSP-ATT-TDX and QNSP-ATT-SGX."""

from __future__ import annotations

from enum import Enum

from qnsp_policy.kernel.attestation.refusal import Code, EvidenceError
from qnsp_policy.kernel.attestation.values import EvidenceKind


class Tee(Enum):
    """Which of both a quote is: TEE type of the header, evidence kind, prefix of codes, ids of its collateral."""

    SGX = (0x00, EvidenceKind.SGX, "SGX", "QE")
    TDX = (0x81, EvidenceKind.TDX, "TDX", "TD_QE")

    @property
    def number(self) -> int:
        return self.value[0]

    @property
    def kind(self) -> EvidenceKind:
        return self.value[1]

    @property
    def prefix(self) -> str:
        """Prefix of codes, and `id` of its TCB info."""
        return self.value[2]

    @property
    def qe_id(self) -> str:
        return self.value[3]


class Refusal(Enum):
    """Number, step, name of the step, meaning."""

    KIND = (1, 1, "format", "the evidence is not of this kind")
    LENGTH = (2, 1, "format", "the quote is cut short or too long")
    VERSION = (3, 1, "format", "the quote version is not one that this kind has")
    TEE_TYPE = (4, 1, "format", "TEE type of the header is not that of this kind")
    KEY_TYPE = (5, 1, "format", "attestation key type is not 2 (ECDSA P-256)")
    VENDOR = (6, 1, "format", "QE vendor id is not Intel's")
    BODY = (7, 1, "format", "body type and body size of a version 5 quote do not agree")
    SIGNATURE_LENGTH = (8, 1, "format", "signature data length is not that of the signature data")
    AUTH_LENGTH = (9, 1, "format", "QE authentication data end behind the signature data")
    CERTIFICATION_LENGTH = (10, 1, "format", "certification data length is not that of the certification data")
    CERTIFICATION_TYPE = (11, 1, "format", "certification data are of an unknown type")
    TAIL = (12, 2, "tail", "non-zero bytes stand behind the quote")
    NO_PCK = (
        13,
        3,
        "certification",
        "the quote carries no PCK certificate chain (certification data type 1 to 4) and none is given",
    )
    PEM = (14, 3, "certification", "the PCK certificate chain is not PEM, or holds something else too")
    CHAIN_LENGTH = (15, 3, "certification", "the PCK certificate chain has not three certificates")
    CHAIN_ORDER = (16, 3, "certification", "the PCK certificate chain is not in the order leaf, CA, root")
    NO_ANCHOR = (17, 4, "chain", "no trust anchor for Intel's SGX root is given")
    FOREIGN_ROOT = (18, 4, "chain", "the root of the PCK chain is not the trust anchor")
    CA_SIGNATURE = (19, 4, "chain", "the PCK CA is not signed by the root")
    CA_ROLE = (20, 4, "chain", "the issuer of the PCK is not a PCK Platform or Processor CA")
    PCK_SIGNATURE = (21, 4, "chain", "the PCK certificate is not signed by the PCK CA")
    PCK_PROFILE = (
        22,
        4,
        "chain",
        "the PCK certificate is a CA, may not sign data, has another key or an unknown critical extension",
    )
    PCK_EXTENSION = (23, 4, "chain", "the SGX extension of the PCK certificate is missing or not of its form")
    PCK_EARLY = (24, 4, "chain", "the PCK certificate is not valid yet")
    PCK_EXPIRED = (25, 4, "chain", "the PCK certificate has expired")
    CA_TIME = (26, 4, "chain", "PCK CA or root is outside its validity")
    QE_SIGNATURE = (30, 5, "qe-report", "the QE report is not signed by the PCK")
    QE_BINDING = (31, 6, "qe-binding", "the QE report does not bind attestation key and authentication data")
    QE_REPORT_DATA_TAIL = (32, 6, "qe-binding", "bytes 32 to 63 of the QE report data are not zero")
    AK = (33, 7, "signature", "the attestation key is not a point of P-256")
    SIGNATURE = (34, 7, "signature", "the quote is not signed by the attestation key")
    COLLATERAL_FORM = (40, 8, "collateral", "TCB info or QE identity is not strict JSON of its form")
    TCB_SIGNER_MISSING = (41, 8, "collateral", "no TCB signing certificate is given")
    TCB_SIGNER_ROLE = (42, 8, "collateral", "the certificate given for TCB signing has another role")
    TCB_SIGNER_CHAIN = (43, 8, "collateral", "the TCB signing certificate is not signed by the root")
    TCB_SIGNER_TIME = (44, 8, "collateral", "the TCB signing certificate is outside its validity")
    TCB_INFO_SIGNATURE = (45, 8, "collateral", "the signature of the TCB info is wrong")
    TCB_INFO_EARLY = (46, 8, "collateral", "the TCB info is not valid yet")
    TCB_INFO_EXPIRED = (47, 8, "collateral", "the TCB info has expired")
    QE_IDENTITY_SIGNATURE = (48, 8, "collateral", "the signature of the QE identity is wrong")
    QE_IDENTITY_EARLY = (49, 8, "collateral", "the QE identity is not valid yet")
    QE_IDENTITY_EXPIRED = (50, 8, "collateral", "the QE identity has expired")
    CRL_FORM = (55, 9, "revocation", "a CRL cannot be read")
    CRL_OTHER = (56, 9, "revocation", "the PCK CRL is that of another CA")
    CRL_SIGNATURE = (57, 9, "revocation", "a CRL is not signed by the CA it names")
    PCK_CRL_EARLY = (58, 9, "revocation", "the PCK CRL is not valid yet")
    PCK_CRL_EXPIRED = (59, 9, "revocation", "the PCK CRL has expired")
    ROOT_CRL_EARLY = (60, 9, "revocation", "the root CA CRL is not valid yet")
    ROOT_CRL_EXPIRED = (61, 9, "revocation", "the root CA CRL has expired")
    PCK_REVOKED = (62, 9, "revocation", "the PCK certificate is revoked")
    CA_REVOKED = (63, 9, "revocation", "the PCK CA is revoked")
    TCB_SIGNER_REVOKED = (64, 9, "revocation", "the TCB signing certificate is revoked")
    QE_ID = (70, 10, "qe-identity", "the QE identity is that of another enclave")
    QE_MRSIGNER = (71, 10, "qe-identity", "MRSIGNER of the QE is not that of the QE identity")
    QE_PRODUCT = (72, 10, "qe-identity", "ISVPRODID of the QE is not that of the QE identity")
    QE_MISCSELECT = (73, 10, "qe-identity", "MISCSELECT of the QE is not that of the QE identity under its mask")
    QE_ATTRIBUTES = (74, 10, "qe-identity", "ATTRIBUTES of the QE are not those of the QE identity under their mask")
    QE_LEVEL = (75, 10, "qe-identity", "ISVSVN of the QE is below every level of the QE identity")
    QE_REVOKED = (76, 10, "qe-identity", "the TCB level of the QE is Revoked")
    TCB_INFO_ID = (80, 11, "tcb-info", "the TCB info is that of another TEE")
    FMSPC = (81, 11, "tcb-info", "FMSPC of the PCK is not that of the TCB info")
    PCE_ID = (82, 11, "tcb-info", "PCE-ID of the PCK is not that of the TCB info")
    NO_LEVEL = (83, 12, "tcb", "no TCB level of the TCB info is reached")
    UNKNOWN_STATUS = (84, 12, "tcb", "a TCB status is not a known word")
    TCB_REVOKED = (85, 12, "tcb", "the TCB level of the platform is Revoked")
    MODULE_UNKNOWN = (90, 13, "module", "the TCB info holds no identity of this TDX module version")
    MODULE_SIGNER = (91, 13, "module", "MRSIGNERSEAM is not that of the TDX module identity")
    MODULE_ATTRIBUTES = (92, 13, "module", "SEAMATTRIBUTES are not those of the TDX module identity under their mask")
    MODULE_LEVEL = (93, 13, "module", "the TDX module is below every level of its identity")
    MODULE_REVOKED = (94, 13, "module", "the TCB level of the TDX module is Revoked")
    EVENT_LOG_FORM = (97, 15, "event-log", "the event log (CCEL) is not well formed")
    EVENT_LOG = (98, 15, "event-log", "the event log does not add up to the RTMRs")
    DEBUG = (96, 15, "policy", "the TD or enclave can be debugged")

    @property
    def number(self) -> int:
        return self.value[0]


def code(tee: Tee, refusal: Refusal) -> Code:
    """The code of a refusal for one kind."""
    number, step, step_name, meaning = refusal.value
    return Code(f"QNSP-ATT-{tee.prefix}-{number:03d}", step, step_name, meaning)


def refuse(
    tee: Tee,
    refusal: Refusal,
    detail: str = "",
    *,
    subject: str | None = None,
    expected: str | None = None,
    got: str | None = None,
) -> EvidenceError:
    """The error of a refusal for one kind."""
    return EvidenceError(code(tee, refusal), detail, subject=subject, expected=expected, got=got)


def all_codes(tee: Tee) -> tuple[Code, ...]:
    return tuple(code(tee, refusal) for refusal in Refusal)


__all__ = ["Refusal", "Tee", "all_codes", "code", "refuse"]
