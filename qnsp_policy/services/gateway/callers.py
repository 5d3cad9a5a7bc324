"""Who calls: a request signed by a tenant's API key, or a token that such a key signed for this endpoint.

Only the public keys of tenants that the endpoint's configuration names are ever tried; a signed request is bound to method, path, body,
time and nonce, and its nonce counts once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.wire import rfc9421
from qnsp_policy.kernel.wire.api_auth import NonceStore, verify_request
from qnsp_policy.kernel.wire.api_token import verify_api_token
from qnsp_policy.kernel.wire.endpoint import EndpointConfiguration


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller; `nonce` is the signed request's, "" otherwise."""

    tenant: str
    key_name: str
    key_id: str
    nonce: str = ""


class Callers:
    """The keys of one endpoint's tenants."""

    def __init__(self, endpoint: EndpointConfiguration, nonces: NonceStore) -> None:
        self._endpoint = endpoint
        self._nonces = nonces
        self._lock = threading.Lock()
        self._owners = {key.key_id: (tenant.name, key) for tenant in endpoint.tenants for key in tenant.api_keys}
        self._keys = {key_id: PublicKey.from_jwk(key.key) for key_id, (_, key) in self._owners.items()}
        if any(key.key_id != key_id for key_id, key in self._keys.items()):
            raise PeerError("QNSP-GST-010", "an API key's id is not its thumbprint", subject="apiKeys")

    def authenticate(self, method: str, target: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Caller:
        """The caller of one request.

        Raises:
            PeerError: `QNSP-GWY-010` no credential, or the code of what is wrong with it.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if "signature-input" in headers:
            request = rfc9421.Request(method, f"http://{headers.get('host', '')}{target}", tuple(headers.items()))
            with self._lock:
                verified = verify_request(request, body, self._in_force(now), self._nonces, now)
            key_id, nonce = verified.key.key_id, verified.nonce
        elif scheme.lower() == "bearer" and token.strip():
            key_id = verify_api_token(token.strip(), self._in_force(now), self._endpoint.name, now=now).key_id
            nonce = ""
        elif self._endpoint.authentication == "off-insecure":
            return Caller(self._endpoint.tenants[0].name, "anonymous", "")
        else:
            raise PeerError("QNSP-GWY-010", "sign the request, or send a token that an API key of the tenant signed")
        tenant, key = self._owners[key_id]
        return Caller(tenant, key.name, key_id, nonce)

    def _in_force(self, now: datetime) -> Mapping[str, PublicKey]:
        return {key_id: self._keys[key_id] for key_id, (_, key) in self._owners.items() if now < key.expires}


__all__ = ["Caller", "Callers"]
