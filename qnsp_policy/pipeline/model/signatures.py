"""Signatures over documents: DSSE envelopes beside the workspace, judged by the identities of a TrustRoot.

What is signed is the canonical form of the document as written. A document that was changed after it was signed has
no signer until it is signed again; an envelope that is broken or lies is a problem, never silently nobody.

1  the envelope parses, and its payload type is that of a document
2  its payload is the canonical form of the document as it stands now
3  every signature by a key of the TrustRoot verifies; signatures by other keys are ignored
4  a signer counts when all its keys have signed and it has not expired
Not checked here: whether the signer may sign this kind of document (rules).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from qnsp_policy.errors import DocumentError, PeerError, Place
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.pipeline.documents.problems import Problem
from qnsp_policy.pipeline.model.kinds import TrustRoot
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.signers import VerifiedSigner
from qnsp_policy.pipeline.model.workspace import Workspace


@dataclass(frozen=True, slots=True)
class DocumentSignatures:
    """What the signatures of a workspace say.

    Attributes:
        signers: by document, in the order of the TrustRoot; documents without a good signature are absent.
        problems: envelopes that are broken, outdated or wrong, each with the file it stands in.
    """

    signers: Mapping[Address, tuple[VerifiedSigner, ...]]
    problems: tuple[DocumentError, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    identity: str
    roles: tuple[str, ...]
    signer: str
    keys: tuple[PublicKey, ...]


def verify_documents(
    workspace: Workspace, trust_root: TrustRoot, now: datetime
) -> Mapping[Address, tuple[VerifiedSigner, ...]]:
    """Who has signed which document; problems of envelopes are left out here (see `document_signatures`)."""
    return document_signatures(workspace, trust_root, now).signers


def document_signatures(workspace: Workspace, trust_root: TrustRoot, now: datetime) -> DocumentSignatures:
    """Verify every envelope of a workspace.

    Args:
        workspace: the documents and their raw envelopes.
        trust_root: whose identities may sign; for a plan the one that was applied last.
        now: the moment against which signers expire, aware in UTC.

    Returns:
        Signers by document, and what is wrong with envelopes.
    """
    candidates, problems = _candidates(trust_root, now)
    signers: dict[Address, tuple[VerifiedSigner, ...]] = {}
    for address, envelopes in sorted(workspace.signatures.items()):
        canonical = workspace.canonical(address)
        found: dict[VerifiedSigner, None] = {}
        for data in envelopes:
            try:
                found.update(dict.fromkeys(_signed_by(data, canonical, candidates, address)))
            except PeerError as error:
                problems.append(_problem(error.code, address, error.message, error.next_step))
            except DocumentError as error:
                problems.append(error)
        if found:
            signers[address] = tuple(found)
    return DocumentSignatures(signers, tuple(problems))


def _candidates(trust_root: TrustRoot, now: datetime) -> tuple[list[_Candidate], list[DocumentError]]:
    candidates: list[_Candidate] = []
    problems: list[DocumentError] = []
    for identity in trust_root.spec.identities:
        for signer in identity.signers:
            if not signer.keys or signer.expires.at < now:
                continue
            try:
                keys = tuple(PublicKey.from_jwk(dict(jwk)) for jwk in signer.keys)
            except PeerError as error:
                problems.append(
                    Problem(
                        error.code,
                        f"a key of {identity.name} cannot be used: {error.message}",
                        subject=trust_root.address,
                        next_step=f"replace the key in {trust_root.address}",
                    )
                )
                continue
            candidates.append(_Candidate(str(identity.name), tuple(identity.roles), signer.type, keys))
    return candidates, problems


def _signed_by(
    data: bytes, canonical: bytes, candidates: list[_Candidate], address: Address
) -> Iterator[VerifiedSigner]:
    # 1, 3: parse and verify every signature by a known key
    envelope = dsse.parse(data)
    known = [key for candidate in candidates for key in candidate.keys]
    verified = dsse.verified_keys(envelope, known, payload_type=dsse.DOCUMENT_TYPE)
    # 2: it is this document as it stands
    if verified.payload != canonical:
        raise _problem(
            "QNSP-MOD-030",
            address,
            f"{address} was changed after it was signed",
            f"review the change, then sign it again: qnsp-policy sign {address}",
        )
    # 4: all keys of a signer
    good = set(verified.keys)
    for candidate in candidates:
        if good.issuperset(candidate.keys):
            yield VerifiedSigner(
                candidate.identity, candidate.roles, candidate.signer, tuple(key.key_id for key in candidate.keys)
            )


def _problem(code: str, address: Address, message: str, next_step: str | None) -> Problem:
    kind, _, name = address.partition("/")
    return Problem(
        code,
        message,
        place=Place(f"signatures/{kind}.{name}.dsse.json"),
        address=address,
        next_step=next_step,
    )


__all__ = ["DocumentSignatures", "document_signatures", "verify_documents"]
