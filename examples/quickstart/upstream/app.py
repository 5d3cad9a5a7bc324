"""The workload of the quickstart: MiniLM sentence embeddings behind an OpenAI-compatible `/v1/embeddings`.

Runs inside the enclave, behind the gateway, and never sees the network: it listens on a unix socket. The model arrives
as an open file descriptor (memory, never disk): a tar of `model.safetensors`, `tokenizer.json` and `config.json`.

    QNSP_UPSTREAM_SOCKET   path of the unix socket to listen on
    QNSP_MODEL_FD          number of the open descriptor of the model
    QNSP_MODEL_NAME        the name that answers carry, default minilm

Nothing is logged of what it is asked.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tarfile
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer
from typing import Any

import numpy as np
from safetensors.numpy import load
from tokenizers import Tokenizer

MAX_TOKENS = 256  # of this model, see its sentence_bert_config.json
MAX_BODY = 4 << 20  # bytes
MAX_TEXTS = 256


class Refused(Exception):  # noqa: N818 -- an answer, not a fault
    """A request that this model cannot answer."""


class MiniLM:
    """BERT of 6 layers, mean pooling, unit length; float32 throughout."""

    def __init__(self, weights: dict[str, np.ndarray], tokenizer: Tokenizer, config: dict[str, Any]) -> None:
        self.weights = weights
        self.heads = int(config["num_attention_heads"])
        self.layers = int(config["num_hidden_layers"])
        self.epsilon = float(config["layer_norm_eps"])
        self.width = int(config["hidden_size"])
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer = tokenizer

    @classmethod
    def from_tar(cls, descriptor: int) -> MiniLM:
        """Read the model from an open file."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        with os.fdopen(descriptor, "rb", closefd=False) as file, tarfile.open(fileobj=file) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar.getmembers() if member.isfile()}
        return cls(
            load(files["model.safetensors"]),
            Tokenizer.from_str(files["tokenizer.json"].decode()),
            json.loads(files["config.json"]),
        )

    def embed(self, text: str | list[int]) -> tuple[np.ndarray, int]:
        """One text (or its token ids) as a vector of length 1, and how many tokens it had."""
        ids = self.tokenizer.encode(text).ids if isinstance(text, str) else text[:MAX_TOKENS]
        if not ids or min(ids) < 0 or max(ids) >= len(self.weights["embeddings.word_embeddings.weight"]):
            raise Refused("input holds a token that this model does not know")
        hidden = self.forward(np.asarray(ids))
        pooled = hidden.mean(axis=0)
        return pooled / np.linalg.norm(pooled), len(ids)

    def forward(self, ids: np.ndarray) -> np.ndarray:
        w = self.weights
        hidden = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
        hidden = hidden + w["embeddings.position_embeddings.weight"][: len(ids)]
        hidden = self.normal(hidden, "embeddings.LayerNorm")
        for number in range(self.layers):
            layer = f"encoder.layer.{number}"
            hidden = self.normal(hidden + self.attention(hidden, layer), f"{layer}.attention.output.LayerNorm")
            inner = gelu(self.dense(hidden, f"{layer}.intermediate.dense"))
            hidden = self.normal(hidden + self.dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        return hidden

    def attention(self, hidden: np.ndarray, layer: str) -> np.ndarray:
        def split(name: str) -> np.ndarray:
            return (
                self.dense(hidden, f"{layer}.attention.self.{name}").reshape(len(hidden), self.heads, -1).swapaxes(0, 1)
            )

        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.swapaxes(1, 2) / np.float32(np.sqrt(query.shape[-1]))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        return self.dense(mixed.swapaxes(0, 1).reshape(len(hidden), self.width), f"{layer}.attention.output.dense")

    def dense(self, hidden: np.ndarray, name: str) -> np.ndarray:
        return hidden @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def normal(self, hidden: np.ndarray, name: str) -> np.ndarray:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + self.epsilon)
        return centred / deviation * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    """x/2 (1 + erf(x/sqrt 2)); erf by Abramowitz and Stegun 7.1.26, whose error (1.5e-7) is that of float32."""
    z = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return (0.5 * x * (1 + np.sign(x) * (1 - series * np.exp(-z * z)))).astype(np.float32)


def answer(model: MiniLM, name: str, request: Any) -> dict[str, Any]:
    """The body of an OpenAI `embeddings` answer.

    Raises:
        Refused: the request asks for what this model cannot do.
    """
    if not isinstance(request, dict):
        raise Refused("the body must be a JSON object")
    given = request.get("input")
    if isinstance(given, str) or (isinstance(given, list) and given and all(type(token) is int for token in given)):
        given = [given]
    if not isinstance(given, list) or not given or not all(is_text(text) for text in given):
        raise Refused("input must be a text, a list of texts, or token ids")
    if len(given) > MAX_TEXTS:
        raise Refused(f"input holds {len(given)} texts; at most {MAX_TEXTS} fit one request")
    if request.get("dimensions") not in (None, model.width):
        raise Refused(f"dimensions must be {model.width}: this model has no other")
    if request.get("encoding_format", "float") not in ("float", "base64"):
        raise Refused("encoding_format must be float or base64")
    in_base64 = request.get("encoding_format") == "base64"
    data, tokens = [], 0
    for index, text in enumerate(given):
        vector, count = model.embed(text)
        tokens += count
        embedding = base64.b64encode(vector.astype("<f4").tobytes()).decode() if in_base64 else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": name, "usage": usage}


def is_text(value: Any) -> bool:
    return (isinstance(value, str) and bool(value)) or (
        isinstance(value, list) and bool(value) and all(type(token) is int for token in value)
    )


def handler(model: MiniLM, name: str) -> type[BaseHTTPRequestHandler]:
    one_at_a_time = threading.Lock()  # the arithmetic uses every core already

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/healthz":
                self.reply(HTTPStatus.OK, {"status": "ok"})
            elif self.path == "/v1/models":
                self.reply(
                    HTTPStatus.OK, {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "qnsp"}]}
                )
            else:
                self.reply(HTTPStatus.NOT_FOUND, problem("no such path"))

        def do_POST(self) -> None:
            try:
                length = int(self.headers.get("Content-Length", ""))
            except ValueError:
                length = -1
            if not 0 <= length <= MAX_BODY:
                self.close_connection = True
                self.reply(
                    HTTPStatus.BAD_REQUEST, problem(f"a body of at most {MAX_BODY} bytes with its length is needed")
                )
                return
            body = self.rfile.read(length)
            if self.path != "/v1/embeddings":
                self.reply(HTTPStatus.NOT_FOUND, problem("no such path"))
                return
            try:
                request = json.loads(body)
                with one_at_a_time:
                    result = answer(model, name, request)
            except (Refused, ValueError, RecursionError) as error:
                self.reply(
                    HTTPStatus.BAD_REQUEST,
                    problem(str(error) if isinstance(error, Refused) else "the body is not JSON"),
                )
            else:
                self.reply(HTTPStatus.OK, result)

        def reply(self, status: HTTPStatus, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    return Handler


def problem(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


def main() -> int:
    descriptor = int(os.environ["QNSP_MODEL_FD"])
    model = MiniLM.from_tar(descriptor)
    os.close(descriptor)
    path = os.environ["QNSP_UPSTREAM_SOCKET"]
    ThreadingUnixStreamServer.request_queue_size = 128
    server = ThreadingUnixStreamServer(path, handler(model, os.environ.get("QNSP_MODEL_NAME", "minilm")))
    server.daemon_threads = True
    print("serving", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
