"""People and a ledger whose keys are in AWS KMS, by the command line: an AWS-shaped server answers Sign and GetPublicKey, hand-made."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from qnsp_policy.kernel.crypto.canonical import b64, unb64
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.testing.command_line import run_here as run

ARN = "arn:aws:kms:eu-west-1:012345678901:key/00000000-0000-0000-0000-000000000001"


class Kms(ThreadingHTTPServer):
    """One ML-DSA-87 key; counts what it signed. A test double."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.private: PrivateKey = generate("ML-DSA-87")
        self.signed, self.refuses = 0, False


class _Answer(BaseHTTPRequestHandler):
    server: Kms

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        action = self.headers["X-Amz-Target"].rpartition(".")[2]
        if self.server.refuses or asked["KeyId"] != ARN:
            self._say(400, {"__type": "AccessDeniedException", "message": "not authorized to perform kms:Sign"})
        elif action == "GetPublicKey":
            self._say(200, {"KeyId": ARN, "PublicKey": b64(self.server.private.public.to_spki())})
        else:
            assert (action, asked["MessageType"]) == ("Sign", "EXTERNAL_MU")
            self.server.signed += 1
            signature = self.server.private.handle.sign_mu(unb64(asked["Message"], "message"))
            self._say(200, {"KeyId": ARN, "Signature": b64(signature)})

    def _say(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kms]:
    with Kms() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield server
        server.shutdown()
        thread.join()


def change(path: Path, kind: str, edit: Any) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    for document in documents:
        if document["kind"] == kind:
            edit(document["spec"])
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))


def test_records_of_the_ledger_are_stated_by_kms(
    quickstart_documents: Path, kms: Kms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every record asks KMS; without it nothing is recorded and the plan says why; `ledger verify` needs the public half only."""
    root = quickstart_documents
    key = run(capsys, root, "key", "show", f"awskms:///{ARN}")["keys"][0]
    signer = {"type": "kms", "uri": f"awskms:///{ARN}", "key": key}
    change(root / "qnsp.yaml", "Project", lambda spec: spec["ledger"].update(signer=signer))
    assert run(capsys, root, "ledger", "verify", code=7)["errors"][0]["code"] == "QNSP-LDG-019"
    run(capsys, root, "plan", "--save", str(tmp_path / "a.plan"))
    assert kms.signed == 1
    kms.refuses = True
    (log,) = run(capsys, root, "ledger", "verify")
    assert (log["size"], log["stated"]) == (2, 2)
    before = (tmp_path / "a.plan").read_bytes()
    refused = run(capsys, root, "approve", str(tmp_path / "a.plan"), "--yes", code=1)["errors"][0]
    assert refused["code"] == "QNSP-KEY-021"
    assert "AccessDeniedException" in refused["message"]
    assert (tmp_path / "a.plan").read_bytes() == before
    assert run(capsys, root, "ledger", "verify") == [log]


def test_a_document_is_signed_by_whom_the_trust_root_finds_in_kms(
    quickstart_documents: Path, kms: Kms, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sign --as NAME` where no key file of NAME is here."""
    root = quickstart_documents
    key = run(capsys, root, "key", "show", f"awskms:///{ARN}")["keys"][0]
    signer = {"type": "kms", "uri": f"awskms:///{ARN}", "keys": [key], "expires": "2027-11-21"}
    identity = {"name": "release@research.example", "roles": ["publisher"], "signers": [signer]}
    change(root / "trust-root.yaml", "TrustRoot", lambda spec: spec["identities"].append(identity))
    (done,) = run(capsys, root, "sign", "Artefact/minilm", "--as", "release@research.example")
    assert kms.signed == 1
    assert done["keyIds"] == [kms.private.key_id]
