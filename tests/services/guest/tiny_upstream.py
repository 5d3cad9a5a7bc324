"""A tiny OpenAI-shaped upstream for tests: embeddings are the SHA-256 of model bytes and text."""

import hashlib
import json
import os
import socketserver
from http.server import BaseHTTPRequestHandler
from typing import Any

MODEL = os.read(int(os.environ["QNSP_MODEL_FD"]), 1 << 20)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply({"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": [byte / 255 for byte in hashlib.sha256(MODEL + str(text).encode()).digest()[:4]],
            }
            for index, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        self.reply({"object": "list", "model": os.environ["QNSP_MODEL_NAME"], "data": data, "usage": usage})

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


Server(os.environ["QNSP_UPSTREAM_SOCKET"], Handler).serve_forever()
