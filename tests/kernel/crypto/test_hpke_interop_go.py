"""HPKE against Go's standard library: keys, suites and `info` of our envelopes mean the same to another implementation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qnsp_policy.kernel.crypto import hpke
from qnsp_policy.kernel.crypto.algorithms import KEMS
from qnsp_policy.kernel.crypto.canonical import jcs, unb64url
from qnsp_policy.kernel.crypto.keys import generate

PROGRAM = Path(__file__).parent / "interop" / "hpke_open.go"


def go_with_hpke() -> bool:
    """Go 1.26 brought crypto/hpke."""
    program = shutil.which("go")
    if program is None:
        return False
    found = re.search(
        r"go1\.(\d+)", subprocess.run([program, "version"], capture_output=True, text=True, check=False).stdout
    )
    return found is not None and int(found[1]) >= 26


@pytest.mark.functional
@pytest.mark.skipif(not go_with_hpke(), reason="Go 1.26 or later is not installed")
def test_go_opens_what_we_seal(tmp_path: Path) -> None:
    """Every KEM: Go derives the same public key from our seed and opens the message; `info` is built as documented."""
    messages = []
    for name in KEMS:
        key = generate(name)
        jwk = key.to_jwk_insecure()
        message = hpke.seal(key.public, b"data-key", b"purpose")
        value = message.to_json()
        header = {member: value[member] for member in ("aead", "format", "kdf", "kem", "keyId")}
        messages.append(
            {
                "alg": name,
                "seed": unb64url(jwk["priv"]).hex(),
                "public": unb64url(jwk["pub"]).hex(),
                "enc": message.enc.hex(),
                "ciphertext": message.ciphertext.hex(),
                "info": (b"qnsp.hpke/v1\n" + jcs(header) + b"\npurpose").hex(),
            }
        )
    done = subprocess.run(
        ["go", "run", str(PROGRAM)],
        input=json.dumps(messages),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} data-key true" for name in KEMS]
