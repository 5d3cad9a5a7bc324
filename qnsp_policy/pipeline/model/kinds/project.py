"""Project: the one document of `qnsp.yaml` that says how this workspace is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from qnsp_policy.kernel.crypto.algorithms import STATEMENTS
from qnsp_policy.pipeline.model.kinds.base import Document, Role, Severity
from qnsp_policy.pipeline.model.references import RefTo, TrustRootRef
from qnsp_policy.pipeline.model.scalars import Address, Count, Duration, Int, Jwk, Part, RelativePath, TextValue, Word


class BackendUrl(TextValue):
    """Where state lies."""

    __slots__ = ()
    SHAPE = "a backend URL: file://<path>, s3://..., gs://..., azblob://..."
    PATTERN = r"(?:file|s3|gs|azblob)://[^\s@#]+"
    MAX = 1024


class LedgerOrigin(TextValue):
    """The origin line of a C2SP log: a schema-less URL without spaces or plus signs."""

    __slots__ = ()
    SHAPE = "a log origin such as qnsp.example/quickstart"
    PATTERN = r"[A-Za-z0-9.-]+(?:/[A-Za-z0-9._-]+)*"
    MAX = 200


class Backend(Part):
    """Where state is kept, and how it is encrypted."""

    url: BackendUrl
    encryption: Literal["passphrase", "awskms", "azurekeyvault", "gcpkms", "hashivault"] = "passphrase"
    key: Word | None = None
    """The key of a KMS secrets provider, as that provider names it; nothing for a passphrase."""


class LedgerSigner(Part):
    """An ML-DSA key in AWS KMS that signs every checkpoint, beside the keys of the log's writer."""

    type: Literal["kms"]
    uri: Word
    """`awskms:///arn:aws:kms:...`, of a key or an alias."""
    key: Jwk
    """Its public key, ML-DSA-65 or ML-DSA-87; `qnsp-policy key show URI` prints it."""

    @field_validator("key")
    @classmethod
    def _signs_statements(cls, key: Mapping[str, str]) -> Mapping[str, str]:
        if key.get("alg") not in STATEMENTS:
            raise PydanticCustomError(
                "QNSP-DOC-021", "a checkpoint's statement is signed by an ML-DSA-65 or ML-DSA-87 key"
            )
        return key


class Ledger(Part):
    """Where the workspace's own log is written, and who signs it."""

    path: RelativePath
    origin: LedgerOrigin
    signer: LedgerSigner | None = None
    """Signs on top: without it a history is as good as a file of keys."""


class Approval(Part):
    """How many approvals, and a role that must be among them."""

    count: Int = 1
    role: Role | None = None


class Approvals(Part):
    """How many people beside the author must approve."""

    default: Int = 1
    weaken: Approval = Approval(count=1, role="security")
    """On top, when trust is weakened."""
    destroy: Approval = Approval(count=1, role=None)
    """On top, when keys or stores are destroyed."""
    tiers: Mapping[Annotated[Address, RefTo(("CryptoTier",))], Approval] = Field(default_factory=dict)
    """On top, when a tenant of that tier is touched."""


class Waivers(Part):
    """Bounds on waivers."""

    horizon: Duration = Duration("90d")
    """How far ahead a waiver may expire at most."""


class ProjectSpec(Part):
    """How this workspace is run."""

    environment: Literal["production", "development"]
    backend: Backend
    ledger: Ledger
    trust_root: TrustRootRef
    plan_lifetime: Duration = Duration("24h")
    fail_on: Severity = "high"
    """Findings from this severity on make `check` and `plan` fail."""
    approvals: Approvals = Approvals()
    waivers: Waivers = Waivers()
    rules: tuple[RelativePath, ...] = ()
    """Folders of Rego rules of your own."""
    exclude: tuple[Word, ...] = ()
    """Patterns of YAML files that are no documents, such as `deploy/*`."""
    assess_every: Duration = Duration("1h")
    """Cadence of continuous assessment."""
    parallel: Annotated[Count, Field(le=8)] = 8
    """Units applied at the same time."""


class Project(Document):
    """The workspace itself."""

    kind: Literal["Project"]
    spec: ProjectSpec


__all__ = ["Approval", "Approvals", "Backend", "Ledger", "LedgerSigner", "Project", "ProjectSpec", "Waivers"]
