"""SSH signatures: ordinary keys through ssh-keygen and an agent, security keys as OpenSSH encodes them, and attacks."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import OperatorError, PeerError, QnspError
from qnsp_policy.kernel.crypto import dsse, signatures, sshsig
from qnsp_policy.kernel.crypto.keys import PublicKey, generate
from qnsp_policy.kernel.crypto.signer import KeySignature
from qnsp_policy.kernel.crypto.ssh_edge import SshSigner, read_public_key

needs_openssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")
SK_ED = ed25519.Ed25519PrivateKey.generate()
SK_ED_KEY = PublicKey("sk-ssh-ed25519@openssh.com", SK_ED.public_key().public_bytes_raw(), "ssh:")
SK_EC = ec.generate_private_key(ec.SECP256R1())
SK_EC_KEY = PublicKey("sk-ecdsa-sha2-nistp256@openssh.com", PublicKey.from_handle(SK_EC.public_key()).raw, "ssh:")
DATA = b"a plan"


def s(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def mpint(value: int) -> bytes:
    return s(value.to_bytes(value.bit_length() // 8 + 1, "big"))


def security_key(
    key: PublicKey, data: bytes, *, flags: int = 1, namespace: str = sshsig.NAMESPACE, version: int = 1
) -> bytes:
    """What ssh-keygen -Y sign returns for a FIDO token (PROTOCOL.sshsig, PROTOCOL.u2f)."""
    message = b"SSHSIG" + s(namespace.encode()) + s(b"") + s(b"sha512") + s(hashlib.sha512(data).digest())
    counter = (7).to_bytes(4, "big")
    signed = (
        hashlib.sha256(key.application.encode()).digest() + bytes([flags]) + counter + hashlib.sha256(message).digest()
    )
    if key is SK_ED_KEY:
        raw = SK_ED.sign(signed)
    else:
        r, t = decode_dss_signature(SK_EC.sign(signed, ec.ECDSA(hashes.SHA256())))
        raw = mpint(r) + mpint(t)
    inner = s(key.algorithm.encode()) + s(raw) + bytes([flags]) + counter
    head = b"SSHSIG" + version.to_bytes(4, "big")
    return head + s(sshsig.public_blob(key)) + s(namespace.encode()) + s(b"") + s(b"sha512") + s(inner)


@pytest.mark.parametrize("key", [SK_ED_KEY, SK_EC_KEY], ids=["sk-ed25519", "sk-ecdsa"])
def test_security_keys(key: PublicKey) -> None:
    """A touched token's signature verifies; whether it asked for a PIN is told."""
    found = sshsig.verify(key, security_key(key, DATA), DATA, namespace=sshsig.NAMESPACE)
    assert (found.user_verified, found.counter) == (False, 7)
    assert sshsig.verify(key, security_key(key, DATA, flags=5), DATA, namespace=sshsig.NAMESPACE).user_verified
    signatures.verify(key, security_key(key, DATA), DATA)


@pytest.mark.parametrize("key", [SK_ED_KEY, SK_EC_KEY], ids=["sk-ed25519", "sk-ecdsa"])
def test_attacks_on_security_keys(key: PublicKey) -> None:
    """Untouched, for another purpose, other data, another application, changed bytes: each its own code."""
    good = security_key(key, DATA)
    other = PublicKey(key.algorithm, key.raw, "ssh:other")
    cases = [
        (key, security_key(key, DATA, flags=0), DATA, "QNSP-SIG-010"),
        (key, security_key(key, DATA, namespace="git"), DATA, "QNSP-SIG-009"),
        (key, good, b"another plan", "QNSP-SIG-001"),
        (other, good, DATA, "QNSP-SIG-001"),
        (key, security_key(key, DATA, version=2), DATA, "QNSP-SIG-008"),
        (key, good[:-5] + b"\x04" + good[-4:], DATA, "QNSP-SIG-010"),
        (key, good[:-1] + b"\xff", DATA, "QNSP-SIG-001"),
        (key, good + b"x", DATA, "QNSP-SIG-008"),
        (key, good[:-1], DATA, "QNSP-SIG-008"),
    ]
    for public, value, data, code in cases:
        with pytest.raises(PeerError, match=code):
            sshsig.verify(public, value, data, namespace=sshsig.NAMESPACE)


@pytest.mark.parametrize("key", [SK_ED_KEY, SK_EC_KEY], ids=["sk-ed25519", "sk-ecdsa"])
def test_public_lines_and_jwks(key: PublicKey) -> None:
    """An OpenSSH line and a JWK hold the same key, application included."""
    assert sshsig.parse_public_line(sshsig.public_line(key, "alice@laptop")) == key
    assert PublicKey.from_jwk(key.to_jwk()) == key


@pytest.mark.parametrize(
    "line", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==", "x ??"]
)
def test_malformed_public_lines(line: str) -> None:
    """Other types and broken lines are refused with our errors."""
    with pytest.raises(PeerError, match=r"QNSP-SIG-00[58]"):
        sshsig.parse_public_line(line)


def test_the_type_before_the_key_counts() -> None:
    """A line that calls an ecdsa key ed25519 is refused."""
    line = sshsig.public_line(SK_EC_KEY).replace("sk-ecdsa-sha2-nistp256@openssh.com", "ssh-ed25519", 1)
    with pytest.raises(PeerError, match="QNSP-SIG-008"):
        sshsig.parse_public_line(line)


@given(st.binary(max_size=300))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    """Neither a blob nor a container of garbage gets another exception out."""
    for value in (data, b"SSHSIG" + data, b"SSHSIG\0\0\0\1" + s(sshsig.public_blob(SK_ED_KEY)) + data):
        with pytest.raises(QnspError, match="QNSP-SIG"):
            sshsig.verify(SK_ED_KEY, value, b"", namespace=sshsig.NAMESPACE)


@pytest.fixture
def key_files(tmp_path: Path) -> dict[str, Path]:
    files = {}
    for name, kind, bits in (("ed25519", "ed25519", "256"), ("p256", "ecdsa", "256"), ("p384", "ecdsa", "384")):
        files[name] = tmp_path / name
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-C", "bob", "-f", str(files[name])], check=True
        )
    return files


@needs_openssh
@pytest.mark.parametrize("name", ["ed25519", "p256", "p384"])
def test_key_files_sign_through_ssh_keygen(key_files: dict[str, Path], name: str) -> None:
    """An approver's ordinary SSH key signs an envelope that our verifier and ssh-keygen's accept."""
    public = read_public_key(key_files[name].with_suffix(".pub"))
    signer = SshSigner("bob", public, key_files[name])
    envelope = dsse.sign(dsse.PLAN_TYPE, DATA, signer)
    assert dsse.verify(dsse.parse(envelope.to_json()), [public], payload_type=dsse.PLAN_TYPE).payload == DATA
    signature = key_files[name].with_suffix(".sig")
    signature.write_text(sshsig.armour(envelope.signatures[0].signature))
    done = subprocess.run(
        ["ssh-keygen", "-Y", "check-novalidate", "-n", sshsig.NAMESPACE, "-s", str(signature)],
        input=dsse.pae(dsse.PLAN_TYPE, DATA),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def agent(key_files: dict[str, Path]) -> Iterator[dict[str, str]]:
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"(SSH_AUTH_SOCK|SSH_AGENT_PID)=([^;]+);", started))
    environment = {**os.environ, **found}
    subprocess.run(["ssh-add", "-q", str(key_files["ed25519"])], env=environment, check=True)
    yield found
    os.kill(int(found["SSH_AGENT_PID"]), 15)


@needs_openssh
def test_an_agent_signs(key_files: dict[str, Path], agent: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No private key file is needed where an agent holds the key."""
    monkeypatch.setenv("SSH_AUTH_SOCK", agent["SSH_AUTH_SOCK"])
    public = read_public_key(key_files["ed25519"].with_suffix(".pub"))
    key_files["ed25519"].unlink()
    (signature,) = SshSigner("bob", public).sign(DATA)
    signatures.verify(public, signature.signature, DATA)


def test_one_point_known_as_plain_and_as_ssh_key() -> None:
    """The ids are equal, the signatures are not interchangeable: each verifies as what it is."""
    plain = PublicKey("Ed25519", SK_ED_KEY.raw)
    assert plain.key_id == SK_ED_KEY.key_id
    message = dsse.pae("t", DATA)
    for value, expected in ((security_key(SK_ED_KEY, message), SK_ED_KEY), (SK_ED.sign(message), plain)):
        envelope = dsse.Envelope("t", DATA, (KeySignature(plain.key_id, value),))
        found = dsse.verified_keys(envelope, [plain, SK_ED_KEY], payload_type="t")
        assert found.keys == (expected,)
        other = plain if expected is SK_ED_KEY else SK_ED_KEY
        with pytest.raises(PeerError, match="QNSP-SIG-00"):
            dsse.verify(envelope, [other], payload_type="t")


@needs_openssh
def test_failures_name_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent, no tool, a missing file: an operator's error, never a traceback."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "none"))
    plain = PublicKey("ssh-ed25519", generate("Ed25519").public.raw)
    with pytest.raises(OperatorError, match="QNSP-KEY-007"):
        SshSigner("bob", plain).sign(DATA)
    with pytest.raises(OperatorError, match="QNSP-KEY-007"):
        SshSigner("bob", plain, tool="no-such-ssh-keygen").sign(DATA)
    with pytest.raises(OperatorError, match="QNSP-KEY-002"):
        read_public_key(tmp_path / "none.pub")
    with pytest.raises(ValueError, match="no SSH key"):
        SshSigner("bob", generate("Ed25519").public)
