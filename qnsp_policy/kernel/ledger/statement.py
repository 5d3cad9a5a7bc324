"""The stronger statement over a checkpoint: a DSSE envelope by the log's ML-DSA-65 and ML-DSA-87 keys, which may be in a KMS.

Comes in: a checkpoint and a signer, or a statement's bytes and the keys that must have signed. Goes out: an envelope, or the checkpoint
that was stated. It is signed before anything is written and stored after its checkpoint: a crash leaves the statement of
an earlier checkpoint, never of a later one; only the first statement of a log comes before its checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.algorithms import STATEMENTS
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.crypto.signer import KeySignature, Signer
from qnsp_policy.kernel.ledger.checkpoint import Checkpoint, verify_checkpoint
from qnsp_policy.kernel.ledger.note import NoteKey

STATEMENT_TYPE: Final = "application/vnd.qnsp.checkpoint"


def strong_keys(keys: Sequence[PublicKey]) -> tuple[PublicKey, ...]:
    """Those that sign statements."""
    return tuple(key for key in keys if key.algorithm in STATEMENTS)


def state_checkpoint(head: Checkpoint, signer: Signer) -> bytes | None:
    """The statement over a signed checkpoint; None where the signer has no such key."""
    keys = strong_keys(signer.public_keys)
    message = dsse.pae(STATEMENT_TYPE, head.note)
    found = tuple(KeySignature(key.key_id, signer.sign_with(key, message)) for key in keys)
    return dsse.Envelope(STATEMENT_TYPE, head.note, found).to_json() if keys else None


def stated_checkpoint(data: bytes, origin: str, note_keys: Sequence[NoteKey], keys: Sequence[PublicKey]) -> Checkpoint:
    """The checkpoint that a statement is over, both verified.

    Args:
        data: the statement.
        origin: of the log.
        note_keys: keys of the log, all of which must have signed the checkpoint.
        keys: ML-DSA-65 and -87 keys, all of which must have signed the statement.

    Raises:
        PeerError: QNSP-LDG-019 it does not verify by every key; the codes of `verify_checkpoint`.
    """
    try:
        payload = dsse.verify(dsse.parse(data), keys, payload_type=STATEMENT_TYPE).payload
    except PeerError as error:
        raise PeerError(
            "QNSP-LDG-019",
            f"the statement over the checkpoint of {origin} does not verify: {error.message if data else 'it is missing'}",
            subject=origin,
            next_step="only where its key was declared just now: the next record states the log anew. Else somebody wrote to it without that key",
        ) from error
    return verify_checkpoint(payload, origin, note_keys).checkpoint


__all__ = ["STATEMENT_TYPE", "state_checkpoint", "stated_checkpoint", "strong_keys"]
