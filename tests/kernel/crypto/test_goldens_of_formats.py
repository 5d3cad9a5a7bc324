"""What the first version wrote stays readable: a sealed file and its key, an envelope, a proof, a receipt, a signed request.

The goldens lie in tests/goldens/kernel-v1 and are never rewritten; `python tests/kernel/crypto/test_goldens_of_formats.py
FOLDER` shows how they were made. Keys come from public texts, so no private key lies in the repository.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.keys import PrivateKey
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.kernel.ledger.checkpoint import log_keys
from qnsp_policy.kernel.ledger.proof import parse_proof, verify_proof
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import FileLedger
from qnsp_policy.kernel.sealed import stream
from qnsp_policy.kernel.sealed.header import SealedKey, open_key, seal_key
from qnsp_policy.kernel.wire import api_auth, receipts, rfc9421
from qnsp_policy.kernel.wire.receipts import Receipt

GOLDENS = Path(__file__).parents[2] / "goldens" / "kernel-v1"
NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
URL = "https://broker.example:8555/qnsp/v1/admin/state"
ORIGIN = "qnsp.example/golden"
RESOURCE = "clinic/model/golden"
PLAIN = b"golden plaintext, more than one chunk of sixteen bytes"


def key(algorithm: str) -> PrivateKey:
    return PrivateKey(algorithm, hashlib.sha256(f"golden {algorithm}".encode()).digest())


SIGNER = SoftwareSigner.of("golden", [key("ML-DSA-65"), key("Ed25519")])
LOG = SoftwareSigner.of("log", [key("Ed25519"), key("ML-DSA-44")])


def make(folder: Path) -> None:
    """Writes one of each."""
    data_key, digest = stream.new_data_key(), "sha256:" + hashlib.sha256(PLAIN).hexdigest()
    header = stream.new_header(
        resource=RESOURCE, version=1, plaintext_digest=digest, plaintext_size=len(PLAIN), chunk_size=16
    )
    sealed = b"".join(stream.seal(io.BytesIO(PLAIN), data_key, header))
    (folder / "artefact.sealed").write_bytes(sealed)
    for name in ("X-Wing", "MLKEM1024-P384"):
        wrapped = seal_key(
            data_key,
            key(name).public,
            resource=RESOURCE,
            version=1,
            tier="CryptoTier/hip5-tier-3",
            artefact_digest="sha256:" + hashlib.sha256(sealed).hexdigest(),
        )
        (folder / f"key.{name}.json").write_bytes(wrapped.to_bytes())
    (folder / "document.dsse.json").write_bytes(dsse.sign(dsse.DOCUMENT_TYPE, b'{"kind":"Grant"}', SIGNER).to_json())
    with tempfile.TemporaryDirectory() as place:
        log = FileLedger(Path(place), ORIGIN, LOG)
        log.append_many([LedgerRecord("plan", NOW, "alice", "golden", {"n": n}) for n in range(5)], NOW)
        (folder / "entry.json").write_bytes(log.entry(3))
        (folder / "entry.tlog-proof").write_bytes(log.prove(3).to_bytes())
    receipt = Receipt("golden", NOW, bytes(range(16)), "m", "1", b"\1" * 32, b"\2" * 32, b"\3" * 32, b"\4" * 32)
    (folder / "receipt.cose").write_bytes(receipts.issue(receipt, key("ML-DSA-65")))
    signed = api_auth.sign_request("GET", URL, b"", key("ML-DSA-65"), NOW)
    (folder / "request.json").write_text(json.dumps(signed, indent=1) + "\n")


def test_sealed_artefact_and_key() -> None:
    """The data key opens from both envelopes, and the file with it."""
    sealed = (GOLDENS / "artefact.sealed").read_bytes()
    for name in ("X-Wing", "MLKEM1024-P384"):
        wrapped = SealedKey.from_json(json.loads((GOLDENS / f"key.{name}.json").read_bytes()))
        assert wrapped.artefact_digest == "sha256:" + hashlib.sha256(sealed).hexdigest()
        data_key = open_key(wrapped, key(name))
        assert b"".join(stream.open_sealed(io.BytesIO(sealed), data_key, None, resource=RESOURCE, version=1)) == PLAIN


def test_envelope() -> None:
    """Both signatures of the document verify."""
    envelope = dsse.parse((GOLDENS / "document.dsse.json").read_bytes())
    found = dsse.verify(envelope, SIGNER.public_keys, payload_type=dsse.DOCUMENT_TYPE)
    assert found.payload == b'{"kind":"Grant"}'


def test_proof() -> None:
    """The entry is proven against the checkpoint of its day."""
    proof = parse_proof((GOLDENS / "entry.tlog-proof").read_bytes())
    found = verify_proof(proof, (GOLDENS / "entry.json").read_bytes(), ORIGIN, log_keys(ORIGIN, LOG.public_keys))
    assert (found.index, found.checkpoint.time) == (3, NOW)
    assert LedgerRecord.from_bytes(found.entry).data == {"n": 3}


def test_receipt_and_request() -> None:
    """Receipt and request verify with the keys of their day."""
    found = receipts.verify_receipt((GOLDENS / "receipt.cose").read_bytes(), key("ML-DSA-65").public)
    assert found.receipt.issuer == "golden"
    headers = tuple(json.loads((GOLDENS / "request.json").read_text()).items())
    public = key("ML-DSA-65").public
    request = rfc9421.Request("GET", URL, headers)
    assert api_auth.verify_request(request, b"", {public.key_id: public}, api_auth.MemoryNonces(), NOW).created == NOW


if __name__ == "__main__":
    make(Path(sys.argv[1]))
