"""The ledger: an append-only Merkle log in C2SP form (signed-note, tlog-checkpoint, tlog-tiles, tlog-proof).

Comes in: `LedgerRecord` values. Goes out: tiles, signed checkpoints, inclusion and consistency proofs.
"""
