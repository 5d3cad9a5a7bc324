"""How fast the kernel signs, seals, logs and canonicalises, each beside the plain primitive of the same run.

`python tests/benchmarks/crypto_bench.py`: operations a second, or megabytes a second where the name says so, and ratios.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qnsp_policy.kernel.crypto import hpke, signatures
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.kernel.ledger.record import LedgerRecord
from qnsp_policy.kernel.ledger.store_edge import FileLedger
from qnsp_policy.kernel.sealed import stream
from qnsp_policy.kernel.wire import api_auth, jwe, rfc9421


def rate(work: Callable[[], object], seconds: float = 0.5) -> float:
    """How often a second."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        work()
        count += 1
    return count / (time.perf_counter() - started)


def measure() -> dict[str, float]:
    """Every figure by name."""
    figures: dict[str, float] = {}
    data, now = os.urandom(1024), datetime.now(UTC).replace(microsecond=0)
    for name in ("Ed25519", "ML-DSA-65", "ML-DSA-87"):
        key = generate(name)
        value = signatures.sign(key, data)
        figures[f"{name} sign"] = rate(lambda key=key: signatures.sign(key, data))  # type: ignore[misc]
        figures[f"{name} verify"] = rate(lambda key=key, value=value: signatures.verify(key.public, value, data))  # type: ignore[misc]
    for name in ("X-Wing", "MLKEM1024-P384"):
        key = generate(name)
        message = hpke.seal(key.public, data[:32], b"info")
        figures[f"HPKE {name} seal"] = rate(lambda key=key: hpke.seal(key.public, data[:32], b"info"))  # type: ignore[misc]
        figures[f"HPKE {name} open"] = rate(lambda key=key, message=message: hpke.open_message(key, message, b"info"))  # type: ignore[misc]
    tee = jwe.TeePrivateKey.generate()
    figures["JWE ML-KEM-768+A192KW release"] = rate(lambda: jwe.encrypt(tee.public, data))

    signer = generate("ML-DSA-65")
    url = "https://broker.example/qnsp/v1/admin/objects"
    headers = tuple(api_auth.sign_request("GET", url, b"", signer, now).items())
    request, keys = rfc9421.Request("GET", url, headers), {signer.key_id: signer.public}
    figures["signed API request, verify"] = rate(
        lambda: api_auth.verify_request(request, b"", keys, api_auth.MemoryNonces(), now)
    )

    plan = {
        f"unit/{number}": {"digest": "sha256:" + "0" * 64, "size": number, "names": ["a", "b"]}
        for number in range(5000)
    }
    figures["JCS, MB/s"] = rate(lambda: jcs(plan)) * len(jcs(plan)) / 1e6
    figures["json.dumps sorted (peer), MB/s"] = (
        rate(lambda: json.dumps(plan, sort_keys=True).encode()) * len(jcs(plan)) / 1e6
    )

    model = os.urandom(32 * 1024 * 1024)
    data_key = stream.new_data_key()
    header = stream.new_header(
        resource="clinic/model/minilm",
        version=1,
        plaintext_digest="sha256:" + hashlib.sha256(model).hexdigest(),
        plaintext_size=len(model),
    )
    sealed = b"".join(stream.seal(io.BytesIO(model), data_key, header))
    size = len(model) / 1e6
    figures["sealed artefact, open, MB/s"] = (
        rate(lambda: list(stream.open_sealed(io.BytesIO(sealed), data_key, None))) * size
    )
    figures["AES-256-GCM and SHA-256 (peer), MB/s"] = (
        rate(lambda: (AESGCM(data_key).encrypt(bytes(12), model, None), hashlib.sha256(model).digest())) * size
    )

    with tempfile.TemporaryDirectory() as folder:
        keys_ = SoftwareSigner.of("log", [generate("Ed25519"), generate("ML-DSA-44")])
        log = FileLedger(Path(folder), "bench.example/log", keys_)
        record = LedgerRecord("release", now, "broker/main", "clinic/model/minilm", {"digest": "sha256:" + "0" * 64})
        figures["ledger append, durable"] = rate(lambda: log.append(record, now), 2)
        figures["ledger append, 100 at once, records/s"] = rate(lambda: log.append_many([record] * 100, now), 2) * 100
        figures["ledger proof"] = rate(lambda: log.prove(17))
    return figures


if __name__ == "__main__":
    for name, figure in measure().items():
        sys.stdout.write(f"{name:45} {figure:12.0f}\n")
