"""The SGX extension of a PCK certificate (1.2.840.113741.1.13.1).

Comes in: a certificate. Goes out: `PckIdentity`. Source: Intel SGX PCK Certificate and CRL Profile Specification, revision 1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.x509 import load_certificate

SGX_EXTENSION: Final = "1.2.840.113741.1.13.1"


@dataclass(frozen=True, slots=True)
class PckIdentity:
    """What a PCK certificate says of its platform.

    Attributes:
        components: 16 TCB component SVNs, 0 to 255.
        pce_svn: SVN of the provisioning certification enclave.
        sgx_type: 0 standard, 1 scalable, 2 scalable with integrity.
    """

    ppid: bytes
    components: tuple[int, ...]
    pce_svn: int
    cpu_svn: bytes
    pce_id: bytes
    fmspc: bytes
    sgx_type: int


def _fields(value: der.Value) -> Mapping[str, der.Value]:
    found: dict[str, der.Value] = {}
    for member in der.expect(value, der.SEQUENCE).children():
        name, content = der.expect(member, der.SEQUENCE).children()
        short = der.oid(name).removeprefix(SGX_EXTENSION + ".")
        if short in found:
            raise der.DerError(f"{short} is given twice")
        found[short] = content
    return found


def _required(fields: Mapping[str, der.Value], name: str) -> der.Value:
    if name not in fields:
        raise der.DerError(f"{SGX_EXTENSION}.{name} is missing")
    return fields[name]


def _octets(fields: Mapping[str, der.Value], name: str, size: int) -> bytes:
    content = der.expect(_required(fields, name), der.OCTET_STRING).content
    if len(content) != size:
        raise der.DerError(f"{SGX_EXTENSION}.{name} has {len(content)} bytes, expected {size}")
    return content


def _svn(fields: Mapping[str, der.Value], name: str, limit: int) -> int:
    value = der.integer(_required(fields, name))
    if not 0 <= value <= limit:
        raise der.DerError(f"{SGX_EXTENSION}.{name} is {value}")
    return value


@lru_cache(maxsize=4096)
def read(encoded: bytes) -> PckIdentity:
    """The identity in a PCK certificate (DER).

    Raises:
        DerError: the extension is missing or not of its form, naming the member.
    """
    data = load_certificate(encoded).extensions.get(SGX_EXTENSION)
    if data is None:
        raise der.DerError(f"{SGX_EXTENSION} is missing")
    try:
        fields = _fields(der.whole(data, der.SEQUENCE))
        tcb = _fields(_required(fields, "2"))
        return PckIdentity(
            ppid=_octets(fields, "1", 16),
            components=tuple(_svn(tcb, f"2.{index}", 255) for index in range(1, 17)),
            pce_svn=_svn(tcb, "2.17", 65535),
            cpu_svn=_octets(tcb, "2.18", 16),
            pce_id=_octets(fields, "3", 2),
            fmspc=_octets(fields, "4", 6),
            sgx_type=int.from_bytes(der.expect(_required(fields, "5"), der.ENUMERATED).content, "big"),
        )
    except der.DerError:
        raise
    except ValueError as error:  # a member that has not two parts
        raise der.DerError(str(error)) from error


__all__ = ["SGX_EXTENSION", "PckIdentity", "read"]
