"""What a broker answers when it refuses: status, the protocol's error variant, a stable reason, a decision id.

The body is `{"type", "detail"}` as Trustee writes it; strict mode adds `reason` and `decision_id` (docs/formats/broker.md).
The wire never says which claim failed: that stands in the ledger under the decision id.
"""

from __future__ import annotations

from enum import StrEnum

from qnsp_policy.errors import PeerError

_TYPE_PREFIX = "https://github.com/confidential-containers/kbs/errors/"


class Variant(StrEnum):
    """Trustee's error variants; the last segment of `type`."""

    ADMIN_AUTH = "AdminAuthAccess"
    ATTESTATION = "AttestationError"
    INVALID_PATH = "InvalidRequestPath"
    PAYLOAD_TOO_LARGE = "PayloadTooLarge"
    PLUGIN_INTERNAL = "PluginInternalError"
    PLUGIN_NOT_FOUND = "PluginNotFound"
    POLICY_DENY = "PolicyDeny"
    TOKEN_NOT_FOUND = "TokenNotFound"  # noqa: S105 - the name of an error
    TOKEN_VERIFIER = "TokenVerifierError"  # noqa: S105 - the name of an error
    JWE = "JweError"


_STRICT_STATUS = {
    Variant.POLICY_DENY: 403,
    Variant.INVALID_PATH: 400,
    Variant.PAYLOAD_TOO_LARGE: 413,
    Variant.PLUGIN_NOT_FOUND: 404,
}
_COMPAT_STATUS = {Variant.PLUGIN_NOT_FOUND: 404, Variant.PAYLOAD_TOO_LARGE: 413}


class KbsRefusal(PeerError):  # noqa: N818 - an answer, not a fault
    """A refusal on its way to the wire.

    Attributes:
        variant: what `type` ends in.
        decision_id: under which the ledger explains it, "" where nothing was recorded.
        strict_status: the status of strict mode where it differs from the variant's own (404 absent, 503 back end).
    """

    def __init__(
        self,
        variant: Variant,
        code: str,
        message: str,
        *,
        decision_id: str = "",
        strict_status: int | None = None,
    ) -> None:
        super().__init__(code, message)
        self.variant = variant
        self.decision_id = decision_id
        self.strict_status = strict_status

    def status(self, *, strict: bool) -> int:
        """The HTTP status: handshake failures stay 401 in both modes, as clients know no other."""
        if strict:
            return self.strict_status or _STRICT_STATUS.get(self.variant, 401)
        return _COMPAT_STATUS.get(self.variant, 401)

    def body(self, *, strict: bool) -> dict[str, str]:
        """The JSON body; compat mode gives no reason, as Trustee does."""
        if not strict:
            return {"type": _TYPE_PREFIX + self.variant.value, "detail": self.message}
        body = {
            "type": _TYPE_PREFIX + self.variant.value,
            "detail": f"{self.code}: {self.message}" + (f" (decision {self.decision_id})" if self.decision_id else ""),
            "reason": self.code,
        }
        if self.decision_id:
            body["decision_id"] = self.decision_id
        return body


class AdminRefusal(PeerError):  # noqa: N818 - an answer, not a fault
    """A refused admin request: unlike guests, an authenticated administrator is told what was wrong."""

    def __init__(self, status: int, code: str, message: str, *, subject: str | None = None) -> None:
        super().__init__(code, message, subject=subject)
        self.status = status


__all__ = ["AdminRefusal", "KbsRefusal", "Variant"]
