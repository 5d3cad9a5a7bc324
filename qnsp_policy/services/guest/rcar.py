"""The guest's side of the key broker protocol: request, challenge, attestation, response; then resources.

A session is made anew whenever the broker says 401 and at most `_HANDSHAKES` times for one resource; 403 and 404 are answers, not
failures of transport, and are handed to the caller with the broker's reason and decision id. A 5xx is no answer: what was released
stays released until its lease ends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.kernel.crypto.canonical import b64
from qnsp_policy.kernel.wire.coco_snp import evidence_to_json
from qnsp_policy.kernel.wire.kbs import (
    PREFIX,
    SESSION_COOKIE,
    AttestRequest,
    AuthRequest,
    Challenge,
    InitData,
    fit,
    runtime_digest,
)
from qnsp_policy.services.guest.attesters.report import AttesterReport, GetReport

_HANDSHAKES = 3
_TRANSPORT_TRIES = 5
_FAILED = 500
_DEVICE_NONCE = 32
"""Bytes of a GPU's nonce."""


class TeeKey(Protocol):
    """A key pair that lives in this guest's memory only."""

    @property
    def jwk(self) -> Mapping[str, str]: ...

    def unwrap(self, body: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Released:
    """A resource in clear, and how long it may be used (seconds; 0 where the broker did not say)."""

    data: bytes
    lease_seconds: int

    def __repr__(self) -> str:
        return f"Released({len(self.data)} bytes, {self.lease_seconds} s)"


class Denied(PeerError):  # noqa: N818 - an answer, not a fault
    """The broker refused a resource, or the evidence.

    Attributes:
        status: 403 or 404 of a resource, 401 of evidence in strict mode.
        decision_id: under which the broker's ledger explains it.
    """

    def __init__(self, status: int, code: str, message: str, decision_id: str) -> None:
        super().__init__(code, message)
        self.status = status
        self.decision_id = decision_id


TEES: Mapping[EvidenceKind, str] = {
    EvidenceKind.SEV_SNP: "snp",
    EvidenceKind.TDX: "tdx",
    EvidenceKind.NITRO_ENCLAVE: "nitro-enclave",
    EvidenceKind.NITRO_TPM: "nitro-tpm",
}
"""The protocol's word for each attester; it has none for Nitro, so those are the words of our documents."""


def primary_evidence(report: AttesterReport) -> tuple[str, Any]:
    """The protocol's `tee` and `primary_evidence` for a report (docs/formats/broker.md).

    Raises:
        OperatorError: `QNSP-GST-005`: a kind that the protocol has no word for here.
    """
    match report.kind:
        case EvidenceKind.SEV_SNP:
            value = evidence_to_json(report.data, {k: v for k, v in report.certificates.items() if k != "crl"})
        case EvidenceKind.TDX:
            value = {"quote": b64(report.data)}
        case EvidenceKind.NITRO_ENCLAVE | EvidenceKind.NITRO_TPM:
            value = {"document": b64(report.data)}
        case _:
            raise OperatorError("QNSP-GST-005", f"evidence of kind {report.kind} cannot be sent", subject=report.kind)
    return TEES[report.kind], value


class BrokerSession:
    """Talks to one broker; holds the session and the TEE key it was attested with."""

    def __init__(
        self,
        http: httpx.Client,
        *,
        get_report: GetReport,
        new_key: Callable[[], TeeKey],
        initdata: bytes | None,
        kind: Callable[[], EvidenceKind] = lambda: EvidenceKind.SEV_SNP,
        get_devices: Callable[[bytes], str] | None = None,
    ) -> None:
        self._http = http
        self._get_report = get_report
        self._new_key = new_key
        self._initdata = initdata
        self._kind = kind
        self._get_devices = get_devices
        self._key: TeeKey | None = None
        self._cookie = ""

    def attest(self) -> None:
        """A handshake with fresh nonce, fresh key, fresh evidence.

        Raises:
            Denied: `QNSP-GST-006`: the broker judged the evidence and refused it, under a decision id.
            PeerError: `QNSP-GST-006`: it refused, with its reason.
        """
        self._key, self._cookie = None, ""
        announced = TEES.get(self._kind(), "")
        answer = self._send("POST", "/auth", AuthRequest(announced).to_bytes())
        if answer.status_code != 200:
            raise self._refused("auth", answer)
        challenge = Challenge.from_bytes(answer.content)
        key = self._new_key()
        own = runtime_digest(challenge.nonce, key.jwk, None, challenge.hash_algorithm)
        devices = self._get_devices(fit(own, _DEVICE_NONCE)) if self._get_devices else ""
        digest = runtime_digest(challenge.nonce, key.jwk, devices, challenge.hash_algorithm)
        report = self._get_report(digest)
        tee, evidence = primary_evidence(report)
        if tee != announced:
            raise OperatorError("QNSP-GST-005", f"the platform gave {tee} evidence, {announced} was announced")
        request = AttestRequest(
            nonce=challenge.nonce,
            tee_pubkey=key.jwk,
            primary_evidence=evidence,
            additional_evidence=devices,
            init_data=None if self._initdata is None else InitData("toml", self._initdata.decode()),
        )
        answer = self._send("POST", "/attest", request.to_bytes())
        if answer.status_code != 200:
            raise self._refused("attest", answer)
        self._key = key

    def fetch(self, resource: str) -> Released:
        """One resource, in clear.

        Raises:
            Denied: the broker's answer is no: of the resource, or of the evidence (`QNSP-GST-006`).
            PeerError: `QNSP-GST-006` no handshake came about, `QNSP-GST-007` the broker cannot be reached, `QNSP-GST-009` it has
                trouble of its own, which says nothing about this guest.
        """
        for _ in range(_HANDSHAKES):
            if self._key is None:
                self.attest()
            assert self._key is not None
            answer = self._send("GET", f"/resource/{resource}")
            if answer.status_code == 200:
                return Released(self._key.unwrap(answer.content), _seconds(answer.headers.get("qnsp-lease")))
            if answer.status_code >= _FAILED:
                raise PeerError(
                    "QNSP-GST-009",
                    f"the broker does not serve {resource}: {_problem(answer).get('detail') or answer.status_code}",
                    subject=resource,
                )
            if answer.status_code != 401:
                raise self._denied(resource, answer)
            self._key = None
        raise self._denied(resource, answer)

    def _send(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        headers = {"content-type": "application/json"} if body is not None else {}
        if self._cookie:
            headers["cookie"] = self._cookie
        for attempt in range(_TRANSPORT_TRIES):
            try:
                self._http.cookies.clear()
                answer = self._http.request(method, PREFIX + path, content=body, headers=headers)
            except httpx.TransportError as error:
                last = error
                time.sleep(min(2.0, 0.1 * 2**attempt))
                continue
            # By hand: a guest's clock may be far off at boot, and a cookie jar would drop what looks expired.
            given = answer.headers.get("set-cookie", "").partition(";")[0]
            self._cookie = given if given.startswith(f"{SESSION_COOKIE}=") else self._cookie
            return answer
        raise PeerError(
            "QNSP-GST-007",
            f"the broker at {self._http.base_url} cannot be reached: {last}",
            subject=str(self._http.base_url),
            next_step="see whether the broker runs and whether its TLS key is the pinned one",
        ) from last

    def _refused(self, step: str, answer: httpx.Response) -> PeerError:
        body = _problem(answer)
        said = f"the broker refused {step}: {body.get('detail') or answer.status_code}"
        if decision_id := body.get("decision_id"):
            return Denied(answer.status_code, "QNSP-GST-006", said, str(decision_id))
        return PeerError("QNSP-GST-006", said, subject=step)

    def _denied(self, resource: str, answer: httpx.Response) -> Denied:
        body = _problem(answer)
        return Denied(
            answer.status_code,
            str(body.get("reason") or "QNSP-GST-008"),
            f"denied {resource}: {body.get('detail') or f'HTTP {answer.status_code}'}",
            str(body.get("decision_id") or ""),
        )


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        value = json.loads(answer.content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


__all__ = ["TEES", "BrokerSession", "Denied", "Released", "TeeKey", "primary_evidence"]
