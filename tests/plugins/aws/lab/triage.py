"""What the lab's enclave serves: a sentence about what it was asked, and about the model that was opened for it."""

import hashlib
import json
import os
import socketserver
from http.server import BaseHTTPRequestHandler
from typing import Any

MODEL = os.read(int(os.environ["QNSP_MODEL_FD"]), 1 << 20)
WORD = "routine"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply({"status": "ok"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        text = f"{WORD}: {asked} (model {hashlib.sha256(MODEL).hexdigest()[:12]})"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        name = os.environ["QNSP_MODEL_NAME"]
        self.reply({"id": "lab", "object": "chat.completion", "model": name, "choices": [choice], "usage": usage})

    def reply(self, value: Any) -> None:
        raw = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def address_string(self) -> str:
        return "local"

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


if __name__ == "__main__":
    Server(os.environ["QNSP_UPSTREAM_SOCKET"], Handler).serve_forever()
