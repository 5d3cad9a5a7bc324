"""The other engine: an OPA server, somebody's (`--opa-url`) or one that is started for this run (`--engine opa`).

Comes in: a URL and rule sets. Goes out: the decision. The server must hold exactly our modules: what is missing is
put there, and a module of others in our packages is refused, so that nobody's extra rule can answer for ours. A server
that is gone, hangs, answers nonsense or nothing is QNSP-RUL-05x, never "no findings".
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.kernel.ports_edge import free_ports
from qnsp_policy.kernel.processes_edge import exec_argv
from qnsp_policy.pipeline.rules.engine import RuleSet, require_distinct

if TYPE_CHECKING:
    import opa_client

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_PREFIX = "qnsp-policy/"
_T = TypeVar("_T")
_OTHERWISE = "Nothing was judged. `qnsp-policy doctor` says which opa is used; `--engine wasm` needs none."

_AUTHORISATION = """package system.authz

default allow := false

allow if input.identity == "@token"
"""


class OpaEngine:
    """Evaluates rule sets on an OPA server.

    Args:
        url: `http(s)://host:port`; a password in it is sent as bearer token. Plain http is for this machine only.
        rule_sets: the shipped set first, then the user's.
        timeout: seconds that one request may take in all.

    Raises:
        OperatorError: QNSP-RUL-050, the URL is not one that an answer can be trusted from.
    """

    def __init__(self, url: str, rule_sets: Sequence[RuleSet], *, timeout: float = 60.0) -> None:
        require_distinct(rule_sets)
        self._rule_sets = tuple(rule_sets)
        self._timeout = timeout
        self._host, self._port, self._tls, self._token = _parse(url)
        self._ready = False
        self._version = "unknown"

    @property
    def name(self) -> str:
        """`opa`."""
        return "opa"

    @property
    def version(self) -> str:
        """The version that the server reports, once it has decided."""
        return self._version

    @property
    def rule_sets(self) -> tuple[RuleSet, ...]:
        """What is loaded."""
        return self._rule_sets

    def decide(self, document: bytes) -> Mapping[str, object]:
        """Ask the server.

        Raises:
            EngineError: QNSP-RUL-051 (gone, slow, or an error of its own), -052 (no or no sensible decision),
                -053 (other modules in our packages).
        """
        client = self._client()
        try:
            if not self._ready:
                self._within(lambda: self._install(client))
                self._ready = True
            answer = self._within(
                lambda: client.query_rule(json.loads(document), "qnsp.main", "results", {"strict-builtin-errors": True})
            )
        finally:
            client.close_connection()
        if not isinstance(answer, dict) or not isinstance(answer.get("result"), dict):
            raise EngineError(
                "QNSP-RUL-052",
                "the OPA server gave no decision: data.qnsp.main.results is undefined there",
                subject=self._host,
                next_step="This is a failure of the engine, not a pass.",
            )
        decision: dict[str, object] = answer["result"]
        return decision

    def _client(self) -> opa_client.opa.OpaClient:
        from opa_client.opa import OpaClient

        client = OpaClient(
            host=self._host, port=self._port, ssl=self._tls, token=self._token, retries=0, timeout=self._timeout
        )
        if self._host in _LOOPBACK:
            client._session.trust_env = False  # noqa: SLF001  (a proxy of the environment is not for this machine)
        return client

    def _install(self, client: opa_client.opa.OpaClient) -> None:
        """Put what is missing or old, remove what we once put, then see that nobody else adds to our packages."""
        modules = modules_of(self._rule_sets)
        present = set(client.get_policies_list())
        for name in sorted(present - set(modules)):
            if name.startswith(_PREFIX):
                client.delete_policy(name)
        for name, text in modules.items():
            if name not in present or client.get_policy(name).get("result", {}).get("raw") != text:
                client.update_policy_from_string(text, name, rego_compat=False)
        for name, info in client.get_policies_info().items():
            if name not in modules and re.search(r"/data/qnsp(/|$)", str(info.get("path"))):
                raise EngineError(
                    "QNSP-RUL-053",
                    f"the OPA server holds {name}, which adds to packages of this program",
                    subject=name,
                    next_step="Remove it there, or use a server of its own.",
                )
        self._version = _version_of(client)

    def _within(self, ask: Callable[[], _T]) -> _T:
        """Run a request with a deadline in all: the library's own counts only the silence between two bytes."""
        outcome: list[_T] = []
        problems: list[Exception] = []

        def run() -> None:
            try:
                outcome.append(ask())
            except Exception as problem:  # noqa: BLE001  (its errors share no base; all of them mean: no answer)
                problems.append(problem)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(self._timeout)
        if outcome:
            return outcome[0]
        if problems and isinstance(problems[0], EngineError):
            raise problems[0]
        why = (
            f"{type(problems[0]).__name__}: {_short(problems[0])}" if problems else f"no answer in {self._timeout:g} s"
        )
        raise EngineError(
            "QNSP-RUL-051",
            f"the OPA server at {self._host}:{self._port} did not answer: {why}",
            subject=self._host,
            next_step="Nothing was judged. Look at the server, or run with `--engine wasm`.",
        ) from (problems[0] if problems else None)


def modules_of(rule_sets: Sequence[RuleSet]) -> dict[str, str]:
    """Modules by the id they have on a server; lib and main, which every set carries, once and first, because a server
    compiles what it has at every module that it is given.
    """
    modules: dict[str, str] = {}
    for number, rule_set in enumerate(rule_sets):
        for path, text in rule_set.modules.items():
            shared = path == "main.rego" or path.startswith("lib/")
            modules[f"{_PREFIX}{'shared' if shared else number}/{path}"] = text
    return dict(sorted(modules.items(), key=lambda item: (not item[0].startswith(f"{_PREFIX}shared/"), item[0])))


@contextmanager
def local_opa(opa: Path, rule_sets: Sequence[RuleSet] = (), *, patience: float = 20.0) -> Iterator[str]:
    """A server of the pinned `opa` on a free port of this machine, with a token of its own; ended afterwards.

    Args:
        opa: the program.
        rule_sets: loaded at the start, which is faster than putting them there one by one.
        patience: seconds to wait until it answers.

    Yields:
        Its URL, with the token as password.

    Raises:
        EngineError: QNSP-RUL-054, it does not start.
    """
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="qnsp-opa-") as folder:
        root = Path(folder)
        for name, text in {**modules_of(rule_sets), "authz.rego": _AUTHORISATION.replace("@token", token)}.items():
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        port = free_ports(1)[0]
        line = [str(opa), "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error"]
        line += ["--authentication", "token", "--authorization", "basic", "--disable-telemetry", "."]
        with (root / "stderr").open("wb") as log:
            try:
                # An empty environment: nothing of ours is there to be read by a rule.
                # Killed without a word, we take it with us.
                bound = exec_argv(line)
                process = subprocess.Popen(bound, cwd=root, env={}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603
            except OSError as problem:
                raise EngineError(
                    "QNSP-RUL-054", f"opa cannot be started: {problem.strerror}", subject=str(opa)
                ) from problem
            try:
                _await(process, port, patience, root / "stderr")
                yield f"http://opa:{token}@127.0.0.1:{port}"
            finally:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _await(process: subprocess.Popen[bytes], port: int, patience: float, log: Path) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            words = log.read_text(errors="replace").strip()[:500]
            raise EngineError(
                "QNSP-RUL-054",
                f"the OPA server ended at its start with code {process.returncode}: {words}",
                next_step=_OTHERWISE,
            )
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=0.2):
                return
        except OSError:
            time.sleep(0.02)
    raise EngineError("QNSP-RUL-054", f"the OPA server did not answer within {patience:g} s", next_step=_OTHERWISE)


def _parse(url: str) -> tuple[str, int, bool, str | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise OperatorError(
            "QNSP-RUL-050",
            "the OPA URL is none",
            expected="http://127.0.0.1:8181 or https://host:port",
            next_step="Correct --opa-url.",
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise OperatorError(
            "QNSP-RUL-050",
            f"plain http to {parts.hostname}: anybody on the way could answer that all is well",
            subject=parts.hostname,
            next_step="Use https, or a server on this machine.",
        )
    return parts.hostname, port or (443 if parts.scheme == "https" else 8181), parts.scheme == "https", parts.password


def _version_of(client: opa_client.opa.OpaClient) -> str:
    answer: Any = client.ad_hoc_query("version := opa.runtime().version")
    rows = answer.get("result") if isinstance(answer, dict) else None
    return str(rows[0].get("version", "unknown")) if rows else "unknown"


def _short(problem: Exception) -> str:
    return str(problem).strip().split("\n", 1)[0][:300]


__all__ = ["OpaEngine", "local_opa", "modules_of"]
