"""Approvals by SSH keys, ordinary and security keys, through the same envelope as those of any other signer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from qnsp_policy.errors import PlanRefused
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.crypto.signer import KeySignature
from qnsp_policy.kernel.crypto.sshsig import NAMESPACE, public_blob
from qnsp_policy.pipeline.plan.envelope import add_approval, approval_payload, verify_plan
from qnsp_policy.pipeline.trust.authorisation import APPROVAL_TYPE, PlanFile, read_plan_file
from qnsp_policy.pipeline.world.recorded import RecordedState
from qnsp_policy.testing.clinic import NOW, PEOPLE, Clinic, approved, signed

ALICE, BOB, CAROL, _ = PEOPLE
DAVE = "dave@clinic.example"
PRIVATE = ed25519.Ed25519PrivateKey.generate()
RAW = PRIVATE.public_key().public_bytes_raw()
KEYS: Mapping[str, PublicKey] = {
    "ssh-ed25519": PublicKey("ssh-ed25519", RAW),
    "sk-ssh-ed25519@openssh.com": PublicKey("sk-ssh-ed25519@openssh.com", RAW, "ssh:"),
}


def text(data: bytes) -> bytes:
    """A length-prefixed string (RFC 4251)."""
    return len(data).to_bytes(4, "big") + data


def ssh_sign(key: PublicKey, data: bytes, *, namespace: str = NAMESPACE, flags: int = 1) -> bytes:
    """What `ssh-keygen -Y sign` makes of `data` (OpenSSH PROTOCOL.sshsig, PROTOCOL.u2f)."""
    inner = text(namespace.encode()) + text(b"") + text(b"sha512") + text(hashlib.sha512(data).digest())
    message, tail = b"SSHSIG" + inner, b""
    if key.application:
        tail = bytes([flags]) + (7).to_bytes(4, "big")
        message = hashlib.sha256(key.application.encode()).digest() + tail + hashlib.sha256(message).digest()
    signature = text(key.algorithm.encode()) + text(PRIVATE.sign(message)) + tail
    head = b"SSHSIG" + (1).to_bytes(4, "big") + text(public_blob(key))
    return head + text(namespace.encode()) + text(b"") + text(b"sha512") + text(signature)


class WithDave(Clinic):
    """The clinic with dave, an operator who signs by SSH."""

    algorithm: str = "ssh-ed25519"

    def text(self) -> str:
        jwk = json.dumps(KEYS[self.algorithm].to_jwk())
        signers = f"[{{type: ssh, keys: [{jwk}], expires: 2027-11-21}}]"
        dave = f"    - {{name: {DAVE}, roles: [operator], signers: {signers}}}\n"
        return super().text().replace("  thresholds: {trustRoot", dave + "  thresholds: {trustRoot")


def clinic(algorithm: str) -> Clinic:
    """The clinic with dave's key of this kind."""
    found = type("WithDave", (WithDave,), {"algorithm": algorithm})()
    assert isinstance(found, Clinic)
    return found


def approval(file: PlanFile, algorithm: str, **how: str | int) -> bytes:
    """The plan file with dave's approval, made as `ssh-keygen -Y sign` would."""
    payload = approval_payload(file, DAVE, NOW)
    key = KEYS[algorithm]
    signature = ssh_sign(key, dsse.pae(APPROVAL_TYPE, payload), **how)  # type: ignore[arg-type]
    return add_approval(file, dsse.Envelope(APPROVAL_TYPE, payload, (KeySignature(key.key_id, signature),)))


def planned(algorithm: str) -> tuple[RecordedState, PlanFile]:
    """A plan that needs carol as an owner and one more; carol's approval alone would do, so it is made to need two."""
    story = clinic(algorithm).but(change={"default: 1": "default: 2"})
    recorded = story.genesis()
    return recorded, read_plan_file(approved(signed(story.plan(recorded)), recorded, CAROL))


@pytest.mark.parametrize("algorithm", KEYS)
def test_an_ssh_key_approves(algorithm: str) -> None:
    """An SSH signature over the pre-authentication encoding counts like any other approval."""
    recorded, file = planned(algorithm)
    with pytest.raises(PlanRefused, match=f"QNSP-PLN-015: .*{BOB}"):
        verify_plan(file.to_bytes(), recorded, now=NOW)
    plan = verify_plan(approval(file, algorithm), recorded, now=NOW)
    assert plan.authorisation.approvers == (CAROL, DAVE)


@pytest.mark.parametrize("algorithm", KEYS)
def test_an_ssh_signature_for_another_purpose(algorithm: str) -> None:
    """A signature that was made for git, say, approves nothing."""
    recorded, file = planned(algorithm)
    with pytest.raises(PlanRefused, match=r"QNSP-PLN-024: .*QNSP-SIG-009"):
        verify_plan(approval(file, algorithm, namespace="git"), recorded, now=NOW)


def test_a_security_key_that_nobody_touched() -> None:
    """Without the user's presence a security key's signature counts for nothing."""
    algorithm = "sk-ssh-ed25519@openssh.com"
    recorded, file = planned(algorithm)
    with pytest.raises(PlanRefused, match=r"QNSP-PLN-024: .*QNSP-SIG-010"):
        verify_plan(approval(file, algorithm, flags=0), recorded, now=NOW)


def test_a_tier_that_asks_for_a_kind_of_signer() -> None:
    """Where a tier wants approvals by SSH, a software signature of the right person is not enough."""
    story = clinic("ssh-ed25519").but(
        change={"  maxLease: 24h\n": "  maxLease: 24h\n  approvers: {roles: [operator], signers: [ssh]}\n"}
    )
    recorded = story.genesis()
    data = approved(signed(story.plan(recorded)), recorded, BOB, CAROL)
    with pytest.raises(PlanRefused, match=r"QNSP-PLN-015: .*CryptoTier/plain asks for operator by ssh"):
        verify_plan(data, recorded, now=NOW)
    verify_plan(approval(read_plan_file(data), "ssh-ed25519"), recorded, now=NOW)
