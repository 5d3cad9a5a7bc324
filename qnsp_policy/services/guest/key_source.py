"""Where a guest's keys come from: the broker, and for resources whose key KMS keeps, KMS as an attested recipient."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.wire import kms as wire
from qnsp_policy.services.guest.configuration import KmsKey
from qnsp_policy.services.guest.kms import AttestedKms
from qnsp_policy.services.guest.rcar import Denied, Released


class KeySource(Protocol):
    """Gives a resource in clear, or says why not."""

    def fetch(self, resource: str) -> Released: ...


class NoBroker:
    """For a guest that has none: a broker's own enclave."""

    def fetch(self, resource: str) -> Released:
        """Raises `QNSP-GST-061`."""
        raise OperatorError(
            "QNSP-GST-061", f"{resource} is kept by no KMS of this guest, and it has no broker", subject=resource
        )


class KmsOrBroker:
    """Resources that KMS keeps from KMS, every other from the broker.

    KMS knows no lease: what it released is held for the configured time, then asked for again, so that a changed key policy takes
    a key away within that time.
    """

    def __init__(
        self,
        broker: KeySource,
        kms: AttestedKms,
        keys: Mapping[str, KmsKey],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker, self._kms, self._keys, self._clock = broker, kms, keys, clock
        self._held: dict[str, tuple[Released, float]] = {}

    def fetch(self, resource: str) -> Released:
        """The resource.

        Raises:
            Denied: broker or KMS refused it.
            PeerError: an answer is not one.
            OperatorError: somebody cannot be reached; `QNSP-GST-058`: the wrapped key's file is not there.
        """
        key = self._keys.get(resource)
        if key is None:
            return self._broker.fetch(resource)
        held = self._held.get(resource)
        if held is not None and self._clock() < held[1]:
            return held[0]
        self._held.pop(resource, None)
        try:
            wrapped = Path(key.wrapped_key).read_bytes()
        except OSError as error:
            raise OperatorError(
                "QNSP-GST-058", f"the wrapped key {key.wrapped_key} cannot be read: {error.strerror}", subject=resource
            ) from error
        try:
            data = self._kms.decrypt(key.key_id, wrapped, resource)
        except wire.Refused as refusal:
            if refusal.reason in wire.RETRIED:
                raise
            raise Denied(403, refusal.code, f"{resource}: {refusal.message}", "") from refusal
        released = Released(data, key.lease_seconds)
        self._held[resource] = (released, self._clock() + key.lease_seconds)
        return released


__all__ = ["KeySource", "KmsOrBroker", "NoBroker"]
