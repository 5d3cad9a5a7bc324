"""Initdata of an enclave's members: the bytes that are handed to the guest and measured into `hostData`.

TOML of the Confidential Containers initdata specification (version 0.1.0, algorithm sha256), so guests of other makers read
it too. The bytes are a function of the documents alone: `init` computes reference values from them, plan writes
them into the unit, and the guest trusts the broker whose key ids stand here, because its measurement says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.pipeline.model.kinds import Enclave, KeyBroker
from qnsp_policy.pipeline.model.kinds.base import Attester
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.workspace import Workspace

OWN_FILE = "qnsp.toml"
"""The file that this program adds; an enclave's own initdata must not hold one of this name."""

_CLAIMS: Mapping[Attester, tuple[str, int]] = {"sev-snp": ("hostData", 32), "tdx": ("mrConfigId", 48)}
"""Claim and bytes of its register."""


def broker_url(broker: KeyBroker) -> str:
    """Where a broker is reached."""
    scheme = "http" if broker.spec.tls == "insecure-plaintext" else "https"
    return f"{scheme}://{broker.spec.listen}"


def brokers_of(workspace: Workspace, enclave: Enclave) -> tuple[KeyBroker, ...]:
    """The brokers that serve a tenant of this enclave, by name."""
    found = {broker.name: broker for tenant in enclave.spec.tenants for broker in workspace.brokers_of(tenant)}
    return tuple(found[name] for name in sorted(found))


def initdata(workspace: Workspace, enclave: Address) -> bytes:
    """The initdata of every member of `enclave`.

    Args:
        workspace: the documents; only the enclave and the brokers of its tenants are read.
        enclave: address.

    Returns:
        UTF-8 TOML; equal documents give equal bytes.

    Raises:
        DocumentError: there is no such enclave.
    """
    document = workspace.find(enclave, Enclave)
    own = [
        f"enclave = {_string(document.name)}",
        f"tenants = [{', '.join(_string(t.split('/')[-1]) for t in sorted(document.spec.tenants))}]",
    ]
    for broker in brokers_of(workspace, document):
        own += [
            "",
            "[[brokers]]",
            f"name = {_string(broker.name)}",
            f"url = {_string(broker_url(broker))}",
            f"tls = {_string(key_id_of(broker.spec.identity.tls))}",
            f"token = {_string(key_id_of(broker.spec.identity.token))}",
        ]
    files: Mapping[str, str] = {**document.spec.initdata, OWN_FILE: "\n".join(own) + "\n"}
    lines = ['version = "0.1.0"', 'algorithm = "sha256"', "", "[data]"]
    lines += [f"{_string(name)} = {_string(files[name])}" for name in sorted(files)]
    return ("\n".join(lines) + "\n").encode()


def host_data(data: bytes) -> str:
    """What a member measures of its initdata: SHA-256 as 64 lower-case hex digits (SEV-SNP HOST_DATA)."""
    return hashlib.sha256(data).hexdigest()


def initdata_claim(attester: Attester, data: bytes) -> tuple[str, str]:
    """The claim in which an attester carries the digest of initdata, and its value, padded with zeros to its register."""
    claim, size = _CLAIMS.get(attester, ("hostData", 32))
    return claim, host_data(data).ljust(2 * size, "0")


def key_id_of(jwk: Mapping[str, str]) -> str:
    """The id of a broker's public key; every enclave and unit of a broker asks for the same few."""
    return _key_id(tuple(jwk.items()))


@lru_cache(maxsize=256)
def _key_id(jwk: tuple[tuple[str, str], ...]) -> str:
    return PublicKey.from_jwk(dict(jwk)).key_id


_ESCAPED = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x7F)} | {
    ord(character): "\\" + short for character, short in {"\\": "\\", '"': '"', "\n": "n", "\r": "r", "\t": "t"}.items()
}


def _string(text: str) -> str:
    """A TOML basic string (toml.io v1.0.0): control characters escaped, everything else as it is."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{text.translate(_ESCAPED)}"'


__all__ = ["OWN_FILE", "broker_url", "brokers_of", "host_data", "initdata", "initdata_claim", "key_id_of"]
