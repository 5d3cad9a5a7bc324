"""`sign FILE`: DSSE envelopes over documents, one file a document under `signatures/`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.signer import Signer
from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.pipeline.model import Address, Workspace
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.workflows.people import pick

SIGNED_KINDS = ("TrustRoot", "ReferenceValues", "Artefact", "Grant", "Waiver", "Enclave", "Revocation", "BreakGlass")


def sign_documents(root: Path, what: str, name: str, *, kinds: tuple[str, ...] = ()) -> list[dict[str, object]]:
    """Sign the documents of one file, or one document by its address.

    Args:
        root: the workspace.
        what: a file relative to the workspace (or to here), or `Kind/name`.
        name: whose keys sign, in files here or in a KMS.
        kinds: only these kinds; default for a file: the kinds that are signed at all.

    Raises:
        OperatorError: nothing of that name is here.
    """
    workspace = load(root)
    addresses = _addresses(workspace, root, what, kinds)
    signer = pick(root, trust_root_value(workspace), name, workspace=workspace)
    return sign_addresses(root, workspace, addresses, signer)


def sign_addresses(
    root: Path, workspace: Workspace, addresses: Iterable[Address], signer: Signer
) -> list[dict[str, object]]:
    """Add a signature to each document's envelope, or make the envelope."""
    folder = root / "signatures"
    folder.mkdir(exist_ok=True)
    done: list[dict[str, object]] = []
    for address in addresses:
        kind, _, name = address.partition("/")
        path = folder / f"{kind}.{name}.dsse.json"
        payload = workspace.canonical(address)
        envelope = dsse.parse(path.read_bytes()) if path.exists() else None
        if envelope is not None and envelope.payload == payload:
            envelope = dsse.add_signature(envelope, signer)
        else:
            envelope = dsse.sign(dsse.DOCUMENT_TYPE, payload, signer)
        write_whole(path, envelope.to_json() + b"\n", mode=0o644)
        keys = [key.key_id for key in signer.public_keys]
        done.append(
            {"address": address, "file": path.relative_to(root).as_posix(), "signer": signer.name, "keyIds": keys}
        )
    return done


def _addresses(workspace: Workspace, root: Path, what: str, kinds: tuple[str, ...]) -> list[Address]:
    if Address(what) in workspace.documents:
        return [Address(what)]
    try:
        file = Path(what).resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        file = what
    files = {workspace.sources[address].file for address in workspace.documents}
    wanted = file if file in files else what
    if wanted not in files:
        raise OperatorError(
            "QNSP-OPS-030",
            f"{what} is neither a file of this workspace nor a document",
            subject=what,
            next_step="name one of: " + ", ".join(sorted(files)[:12]),
        )
    allowed = kinds or SIGNED_KINDS
    return [
        address
        for address, document in workspace.documents.items()
        if workspace.sources[address].file == wanted and document.kind in allowed
    ]


__all__ = ["SIGNED_KINDS", "sign_addresses", "sign_documents"]
