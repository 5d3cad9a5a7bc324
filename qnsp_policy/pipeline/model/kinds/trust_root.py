"""TrustRoot: people, teams and CI identities, what they may do, and the keys that speak for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from qnsp_policy.kernel.crypto.algorithms import SSH
from qnsp_policy.pipeline.model.kinds.base import Document, Role
from qnsp_policy.pipeline.model.kinds.checks import distinct
from qnsp_policy.pipeline.model.scalars import (
    Bool,
    Count,
    Digest,
    Expiry,
    IdentityName,
    Int,
    Jwk,
    Name,
    Part,
    Pem,
    Sentence,
    Word,
)


class _Signer(Part):
    keys: tuple[Jwk, ...] = ()
    """Public keys; every one of them must sign."""
    expires: Expiry


class SoftwareSigner(_Signer):
    """Keys in files: ML-DSA and Ed25519 together."""

    type: Literal["software"]
    keys: Annotated[tuple[Jwk, ...], Field(min_length=1)]


class SshSigner(_Signer):
    """OpenSSH keys, hardware-backed (sk) ones included, as JWKs whose `alg` is the SSH name."""

    type: Literal["ssh"]
    keys: Annotated[tuple[Jwk, ...], Field(min_length=1)]

    @field_validator("keys")
    @classmethod
    def _named_as_ssh_does(cls, keys: tuple[Mapping[str, str], ...]) -> tuple[Mapping[str, str], ...]:
        for key in keys:
            if key.get("alg") not in SSH:  # it would be verified as a plain signature, which SSH never makes
                raise PydanticCustomError(
                    "QNSP-DOC-021",
                    "the `alg` of an SSH key is its SSH name, such as ssh-ed25519; `qnsp-policy key show FILE.pub` prints it",
                )
        return keys


class Pkcs11Signer(_Signer):
    """Keys in a PKCS#11 token."""

    type: Literal["pkcs11"]
    uri: Word
    """RFC 7512 URI without a PIN."""
    keys: Annotated[tuple[Jwk, ...], Field(min_length=1)]


class KmsSigner(_Signer):
    """Keys in a cloud KMS."""

    type: Literal["kms"]
    uri: Word
    """e.g. `awskms:///arn:aws:kms:...`, `gcpkms://...`, `azurekms://...`."""
    keys: Annotated[tuple[Jwk, ...], Field(min_length=1)]


Signer = Annotated[SoftwareSigner | SshSigner | Pkcs11Signer | KmsSigner, Field(discriminator="type")]


class Identity(Part):
    """A person, a team or a CI job, with roles and keys."""

    name: IdentityName
    type: Literal["person", "team", "ci"] = "person"
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    signers: tuple[Signer, ...] = ()


class Thresholds(Part):
    """How many must agree."""

    trust_root: Count = 1
    """Approvals needed to change this document."""
    roles: Mapping[Role, Int] = Field(default_factory=dict)
    """Approvals of a role needed for any change."""


class VendorAnchor(Part):
    """A root certificate that a workspace adds to the pinned vendor roots."""

    vendor: Name
    line: Word = Word("")
    simulated: Bool = False
    """A root of the simulator: what it proves is nothing, and it is refused in production."""
    certificate: Pem


class TrustRootSpec(Part):
    """Who may do what, proven by which keys."""

    version: Count
    """Rises with every change."""
    identities: Annotated[tuple[Identity, ...], Field(min_length=1)]
    thresholds: Thresholds = Thresholds()
    anchors: tuple[VendorAnchor, ...] = ()
    previous: Digest | None = None
    """Digest of the version before."""
    note: Sentence | None = None

    @model_validator(mode="after")
    def _one_owner_each(self) -> TrustRootSpec:
        distinct((identity.name for identity in self.identities), "identity")
        distinct(
            (
                key.get("pub") or key.get("x") or key.get("n")
                for identity in self.identities
                for signer in identity.signers
                for key in signer.keys
            ),
            "key",
        )
        return self


class TrustRoot(Document):
    """People, teams and CI identities with their keys."""

    kind: Literal["TrustRoot"]
    spec: TrustRootSpec


__all__ = [
    "Identity",
    "KmsSigner",
    "Pkcs11Signer",
    "Signer",
    "SoftwareSigner",
    "SshSigner",
    "Thresholds",
    "TrustRoot",
    "TrustRootSpec",
    "VendorAnchor",
]
