"""Reads what a key broker holds: one signed request for all objects. Unable to write: only GET exists here.

Used by plan and drift (bulk) and by the provider's `read`; the provider adds the writing half on its own side.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.tls.certificate import spki_pin
from qnsp_policy.kernel.tls.client_edge import PinnedTransport
from qnsp_policy.kernel.tls.identity import PeerIdentity
from qnsp_policy.kernel.wire import broker_admin
from qnsp_policy.kernel.wire.api_auth import sign_request

TIMEOUT_SECONDS = 20.0
_NOT_FOUND = 404
_ENDED = "QNSP-SIG-063"


class BrokerReader:
    """One broker, as an administrator who only looks.

    Args:
        connection: a unit's Connection (docs/formats/units.md); the TLS peer must hold exactly its key.
        operator_key: file of the private key that signs; it must be one of the connection's `adminKeyIds`.
    """

    def __init__(self, connection: Mapping[str, Any], operator_key: Path | None) -> None:
        self._url = str(connection["url"]).rstrip("/")
        self._name = str(connection["name"])
        self._key = _admin_key(connection, operator_key)
        tls = connection["tls"]
        transport: httpx.BaseTransport | None = None
        if tls["mode"] == "pinned":
            transport = PinnedTransport(PeerIdentity(pins=(spki_pin(PublicKey.from_jwk(tls["key"])),)))
        elif tls["mode"] != "insecure-plaintext":
            raise OperatorError("QNSP-ENG-050", f"broker {self._name} has TLS mode {tls['mode']!r}, which is not known")
        self._client = httpx.Client(transport=transport, timeout=TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def objects(self) -> tuple[broker_admin.ObjectEntry, ...]:
        """Every object the broker holds, without its value.

        Raises:
            PeerError: the broker is another, or refuses.
            OSError: it cannot be reached.
        """
        return broker_admin.read_objects(self._get(broker_admin.list_objects()))

    def digest_of(self, kind: str, name: str) -> str | None:
        """The digest of one object as the broker holds it, recomputed from its value; None if there is none."""
        try:
            return broker_admin.read_object(self._get(broker_admin.get_object(kind, name))).entry.digest
        except PeerError as error:
            if error.got == str(_NOT_FOUND):
                return None
            raise

    def _get(self, request: broker_admin.AdminRequest) -> bytes:
        if request.method != "GET":
            raise ValueError("a reader only reads")
        return self._send(request)

    def _send(self, request: broker_admin.AdminRequest) -> bytes:
        url = self._url + request.path
        headers = sign_request(request.method, url, request.body, self._key, datetime.now(UTC))
        headers["Content-Type"] = broker_admin.JSON_TYPE
        try:
            answer = self._client.request(request.method, url, content=request.body, headers=headers)
        except httpx.TransportError as error:
            raise ConnectionError(0, f"broker {self._name} at {self._url} cannot be reached: {error}") from error
        except PeerError as error:
            if error.code != _ENDED:
                raise
            # A balancer that has nobody behind it yet takes the connection and hangs up.
            raise ConnectionError(0, f"broker {self._name} at {self._url} hung up: {error.message}") from error
        if not answer.is_success:
            raise broker_admin.read_problem(answer.status_code, answer.content)
        return answer.content


def _admin_key(connection: Mapping[str, Any], path: Path | None) -> PrivateKey:
    wanted = set(connection["adminKeyIds"])
    if path is None:
        raise OperatorError(
            "QNSP-ENG-051",
            f"broker {connection['name']} is asked by administrators only, and this run has no operator key",
            next_step="name one with --operator, or run as an identity whose key file lies in .qnsp/keys",
        )
    for key in read_key_file(path).keys:
        if key.public.key_id in wanted:
            return key
    raise OperatorError(
        "QNSP-ENG-052",
        f"no key in {path} is an administrator's key of broker {connection['name']}",
        subject=str(path),
        expected=", ".join(sorted(wanted)),
        next_step="use the key file of an identity that the KeyBroker names under identity.admin",
    )


__all__ = ["TIMEOUT_SECONDS", "BrokerReader"]
