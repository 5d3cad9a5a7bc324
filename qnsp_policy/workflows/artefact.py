"""`artefact seal`: seal a file as the Artefact document says."""

from __future__ import annotations

from pathlib import Path

from qnsp_policy.errors import DocumentError, OperatorError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.pipeline.model import Address
from qnsp_policy.pipeline.model.kinds import Artefact, KeyBroker
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.workflows.sealing import Sealed, seal_file


def seal_artefact(root: Path, file: Path, name: str, *, broker: str | None = None) -> Sealed:
    """Seal `file` to the place, key and broker that the Artefact document names.

    Raises:
        DocumentError: the document says no encryption.
        OperatorError: no broker, or more than one, serves the tenant.
    """
    workspace = load(root)
    address = Address(name if "/" in name else f"Artefact/{name}")
    spec = workspace.find(address, Artefact).spec
    if spec.encryption is None or spec.tenant is None:
        raise DocumentError(
            "QNSP-OPS-063",
            f"{address} says no tenant or no encryption, so nothing can be sealed for it",
            subject=address,
            place=workspace.place(address, "spec"),
            next_step="add tenant and encryption {key, version, wrappedKey}",
        )
    serving = [document for document in workspace.of_kind(KeyBroker) if spec.tenant in document.spec.tenants]
    if broker is not None:
        serving = [document for document in serving if broker in {document.name, document.address}]
    if len(serving) != 1:
        raise OperatorError(
            "QNSP-OPS-064",
            f"{len(serving)} brokers serve {spec.tenant}; exactly one must hold the key",
            subject=str(spec.tenant),
            next_step="name one with --broker",
        )
    return seal_file(
        file,
        root / str(spec.location),
        root / str(spec.encryption.wrapped_key),
        broker=PublicKey.from_jwk(serving[0].spec.identity.unwrap),
        resource=str(spec.encryption.key),
        version=spec.encryption.version,
        tier=str(workspace.tier_of(spec.tenant).address),
    )


__all__ = ["seal_artefact"]
