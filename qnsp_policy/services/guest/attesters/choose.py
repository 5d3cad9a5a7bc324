"""From a guest's configuration to its attester."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qnsp_policy.kernel.attestation.values import EvidenceKind
from qnsp_policy.services.guest.attesters import nitro_tpm, nsm, tsm
from qnsp_policy.services.guest.attesters.report import GetReport
from qnsp_policy.services.guest.configuration import GuestConfiguration


@dataclass(frozen=True, slots=True)
class Attester:
    """What this guest proves itself with.

    Attributes:
        kind: of its evidence; asked for when it is needed, since a TSM folder says it only when it answers.
        get_report: evidence over report data.
        get_document: a document that carries a public key, for KMS; None where the hardware has no such thing.
    """

    kind: Callable[[], EvidenceKind]
    get_report: GetReport
    get_document: Callable[[bytes], bytes] | None = None


def attester_of(configuration: GuestConfiguration) -> Attester:
    """The attester that the configuration names.

    Raises:
        OperatorError: `QNSP-GST-043`, `QNSP-GST-046`: its device is not there.
    """
    device = configuration.device
    match configuration.attester:
        case "nsm":
            exchange = nsm.exchange_with(Path(device) if device else nsm.DEVICE)
            return Attester(
                lambda: EvidenceKind.NITRO_ENCLAVE,
                partial(nsm.get_report, exchange),
                lambda key: nsm.attestation_document(exchange, public_key=key),
            )
        case "nitro-tpm":
            transmit = nitro_tpm.transmit_with(Path(device) if device else nitro_tpm.DEVICE)
            return Attester(
                lambda: EvidenceKind.NITRO_TPM,
                partial(nitro_tpm.get_report, transmit),
                lambda key: nitro_tpm.attestation_document(transmit, public_key=key),
            )
        case "tsm":
            folder = Path(configuration.tsm)
            return Attester(partial(tsm.kind_of, folder), partial(tsm.get_report, folder))


__all__ = ["Attester", "attester_of"]
