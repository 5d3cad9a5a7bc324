"""An AWS-shaped server on loopback, for tests, benchmarks and whoever tries the examples without AWS: moto, with what it lacks.

Beside moto it can: refuse calls as AWS does (throttling, quotas, expired credentials, no permission), lose the answer of a call that was
carried out, wait before it answers, count calls and their time, keep members of a group from attesting, and refresh the instances of a
group. What is made by hand here, and not by moto, is marked so. It is not AWS: it enforces no policy and no lock of state.

    python -m tests.plugins.aws.double --port 5599 --plugins /tmp/plugins
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from tests.plugins.aws.machines import as_started
from tests.plugins.aws.trail import Trail

Environ = dict[str, Any]
Start = Callable[..., Any]
ACCOUNT = "012345678901"
_QUERY = frozenset({"ec2", "iam", "sts", "autoscaling", "elasticloadbalancing"})
HTML = "html"
_S3 = ("policy", "versioning", "encryption", "object-lock", "publicAccessBlock", "tagging", "acl", "versions")


@dataclass
class Fault:
    """What befalls calls.

    Attributes:
        call: `service:Operation`, `service:*` or `*`.
        code: AWS's error code; "" loses the answer after the call was carried out; `HTML` answers a page, as a proxy does.
        times: how many calls it befalls.
        after: how many it lets pass first.
        status: of HTTP.
        holds: text that the request must hold.
    """

    call: str
    code: str = ""
    times: int = 1_000_000
    after: int = 0
    status: int = 400
    holds: str = ""
    befell: int = field(default=0, init=False)

    def befalls(self, service: str, operation: str, body: bytes) -> bool:
        """Whether this call is one of them; counts it."""
        if self.call not in {"*", f"{service}:*", f"{service}:{operation}"} or self.holds.encode() not in body:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.befell += 1
        return self.befell <= self.times


class Players(Protocol):
    """Who plays the members of auto-scaling groups, where somebody does (tests/plugins/aws/lab)."""

    refreshes: dict[str, list[dict[str, Any]]]
    abandoned: dict[str, list[str]]
    """How hooks of members ended that were not completed, by group."""

    def around(self, operation: str, call: Callable[[], list[bytes]]) -> list[bytes]:
        """One call of the auto-scaling service, by its operation."""

    def start_refresh(self, name: str, *, rollback: bool) -> dict[str, Any]:
        """Begin to replace a group's members."""

    def listened(self) -> None:
        """Listeners of balancers may have come or gone."""


@dataclass
class Double:
    """The server; `with Double() as double:` gives it a free port."""

    port: int = 0
    latency: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    never_attests: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    refreshes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    players: Players | None = None
    trail: Trail = field(default_factory=Trail)
    _busy: list[tuple[float, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: BaseWSGIServer | None = None
    _app: Any = None
    _alone: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", self.port, self, threaded=True, request_handler=MotoRequestHandler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """As new."""
        self.faults.clear()
        self.never_attests.clear()
        self.refreshes.clear()
        self.trail.events.clear()
        self.clear_figures()
        self.latency = 0.0
        BackendDict.reset()
        reset_model_data()

    def clear_figures(self) -> None:
        with self._lock:
            self.calls.clear()
            self.seconds = 0.0
            self._busy.clear()

    @property
    def busy(self) -> float:
        """Seconds in which at least one call was in work."""
        with self._lock:
            spans = sorted(self._busy)
        total, end = 0.0, 0.0
        for begun, ended in spans:
            total += max(0.0, ended - max(begun, end))
            end = max(end, ended)
        return total

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"].startswith("/_double/"):
            return self._control(environ, body, start)
        service, operation = _named(environ, body)
        begun = time.monotonic()
        said: list[str] = []

        def noted(status: str, *more: Any) -> Any:
            said.append(status)
            return start(status, *more)

        try:
            return self._answer(service, operation, environ, body, noted)
        finally:
            ended = time.monotonic()
            if said and said[-1].startswith("2"):
                self.trail.record(service, operation, _region(environ), _access_key(environ), body)
            with self._lock:
                self.calls[f"{service}:{operation}"] += 1
                # Calls that wait for another are no time of the API, one call after another.
                self.seconds += ended - begun - environ.get(_WAITED, 0.0)
                self._busy.append((begun, ended))

    def _answer(self, service: str, operation: str, environ: Environ, body: bytes, start: Start) -> Iterable[bytes]:
        if self.latency:
            time.sleep(self.latency)
        with self._lock:
            fault = next((one for one in self.faults if one.befalls(service, operation, body)), None)
        if fault is not None and fault.code == HTML:
            start("200 OK", [("Content-Type", "text/html")])
            return [b"<!doctype html><p>who are you?"]
        if fault is not None and fault.code:
            return _error(service, environ, start, fault.status, fault.code, f"hand-made: {fault.code}")
        if operation == "LookupEvents":
            start("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
            return [self.trail.lookup(_region(environ), body)]
        if operation in {"DescribeInstances", "ModifyInstanceMetadataOptions"}:
            as_started(_region(environ))
        if operation == "DescribeScalingActivities" and self.players is not None:
            return self._activities(body, start)
        if operation in _REFRESH:
            return self._refresh(operation, body, environ, start)
        if operation == "CreateKey" and b"ML_DSA" in body:
            return self._signing_key(body, environ, start)

        def carried() -> list[bytes]:
            return [self._moto(environ, start)] if fault is None else self._lost(environ)

        try:
            played = self.players is not None and service == "autoscaling"
            answer = self.players.around(operation, carried) if self.players and played else carried()
        except NotImplementedError:
            return _error(service, environ, start, 400, "InvalidAction", f"moto has no {operation}")
        if self.players is not None and service == "elasticloadbalancing":
            self.players.listened()
        if operation == "CreateAutoScalingGroup":
            self._hold_members(environ)
        return answer

    def _moto(self, environ: Environ, start: Start) -> bytes:
        """One call at a time: moto walks its plain dictionaries while another call adds to them, and answers 500 then."""
        asked = time.monotonic()
        with self._alone:
            environ[_WAITED] = time.monotonic() - asked
            return b"".join(self._app(environ, start))

    def _lost(self, environ: Environ) -> list[bytes]:
        """Carried out; the connection ends before the answer."""
        self._moto(environ, lambda *_, **__: None)
        raise ConnectionAbortedError("hand-made: the answer is lost")

    def _signing_key(self, body: bytes, environ: Environ, start: Start) -> Iterable[bytes]:
        """Hand-made: moto has no ML-DSA keys; one of another kind is given the name, and signs nothing that verifies."""
        asked = json.loads(body)
        told = json.dumps(asked | {"KeySpec": "ECC_NIST_P384"}).encode()
        asked_as = {"wsgi.input": io.BytesIO(told), "CONTENT_LENGTH": str(len(told))}
        answer = self._moto(environ | asked_as, lambda *_, **__: None)
        made = json.loads(answer)["KeyMetadata"]
        get_backend("kms")[made["AWSAccountId"]][_region(environ)].keys[made["KeyId"]].key_spec = asked["KeySpec"]
        made |= {"KeySpec": asked["KeySpec"], "CustomerMasterKeySpec": asked["KeySpec"]}
        start("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"KeyMetadata": made}).encode()]

    def _groups(self, environ: Environ) -> Any:
        return get_backend("autoscaling")[ACCOUNT][_region(environ)].autoscaling_groups

    def _hold_members(self, environ: Environ) -> None:
        """Hand-made: members of new groups of these names wait in their hook for ever."""
        for name, group in self._groups(environ).items():
            if name in self.never_attests:
                for member in group.instance_states:
                    member.lifecycle_state = "Pending:Wait"

    def _refresh(self, operation: str, body: bytes, environ: Environ, start: Start) -> Iterable[bytes]:
        """Hand-made: a refresh is done at once; where members never attest it goes back to the version before."""
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        name = asked["AutoScalingGroupName"]
        group, done = self._groups(environ)[name], self.refreshes.setdefault(name, [])
        if self.players is not None:
            done = self.players.refreshes.setdefault(name, [])
        if operation == "StartInstanceRefresh" and self.players is not None:
            begun = self.players.start_refresh(name, rollback=asked.get("Preferences.AutoRollback") == "true")
            return _xml(start, operation, f"<InstanceRefreshId>{begun['id']}</InstanceRefreshId>")
        if operation == "StartInstanceRefresh":
            failed = name in self.never_attests
            if failed:
                good = next((one["version"] for one in reversed(done) if one["status"] == "Successful"), "1")
                group.launch_template_version = group.provided_launch_template_version = good
                for member in group.instance_states:
                    # The old members were kept.
                    member.lifecycle_state = "InService"
            entry = {
                "id": f"refresh-{len(done) + 1}",
                "status": "RollbackSuccessful" if failed else "Successful",
                "version": group.provided_launch_template_version,
                "reason": "hand-made: a new member did not complete its lifecycle action" if failed else "",
            }
            done.append(entry)
            return _xml(start, operation, f"<InstanceRefreshId>{entry['id']}</InstanceRefreshId>")
        entries = "".join(
            f"<member><InstanceRefreshId>{one['id']}</InstanceRefreshId><AutoScalingGroupName>{escape(name)}"
            f"</AutoScalingGroupName><Status>{one['status']}</Status><StatusReason>{escape(one['reason'])}</StatusReason>"
            "</member>"
            for one in reversed(done)
        )
        return _xml(start, operation, f"<InstanceRefreshes>{entries}</InstanceRefreshes>")

    def _activities(self, body: bytes, start: Start) -> Iterable[bytes]:
        """Hand-made, after the Auto Scaling User Guide: moto tells none. Only those of members whose hook was not completed."""
        assert self.players is not None
        ended = self.players.abandoned.get(parse_qs(body.decode())["AutoScalingGroupName"][0], ())
        message = (
            "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token hand-made was abandoned: "
        )
        told = "".join(
            f"<member><ActivityId>hand-made-{number}</ActivityId><StatusCode>Cancelled</StatusCode>"
            f"<StatusMessage>{escape(message + result)}</StatusMessage></member>"
            for number, result in reversed(list(enumerate(ended)))
        )
        return _xml(start, "DescribeScalingActivities", f"<Activities>{told}</Activities>")

    def _control(self, environ: Environ, body: bytes, start: Start) -> Iterable[bytes]:
        """For who runs it as a process of its own: figures, reset, faults, latency."""
        match environ["PATH_INFO"]:
            case "/_double/reset":
                self.reset()
            case "/_double/fault":
                self.faults.append(Fault(**json.loads(body)))
            case "/_double/latency":
                self.latency = float(body)
            case "/_double/clear":
                self.clear_figures()
            case _:
                pass
        start("200 OK", [("Content-Type", "application/json")])
        told = {"calls": dict(self.calls), "seconds": self.seconds, "busy": self.busy}
        return [json.dumps(told).encode()]


_WAITED = "qnsp.waited"
_REFRESH = frozenset({"StartInstanceRefresh", "DescribeInstanceRefreshes"})


def _named(environ: Environ, body: bytes) -> tuple[str, str]:
    """Service and operation of a request."""
    parts = environ.get("HTTP_AUTHORIZATION", "").split("/")
    service = parts[3] if len(parts) > 3 else ""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return service, target.rpartition(".")[2]
    if service in _QUERY:
        return service, parse_qs(body.decode("utf-8", "replace")).get("Action", ["?"])[0]
    query = environ.get("QUERY_STRING", "")
    what = next((name for name in _S3 if query.startswith(name)), "")
    depth = "Object" if environ["PATH_INFO"].strip("/").count("/") else "Bucket"
    return service, f"{environ['REQUEST_METHOD'].title()}{depth}{what[:1].upper()}{what[1:]}"


def _region(environ: Environ) -> str:
    parts = environ.get("HTTP_AUTHORIZATION", "").split("/")
    return str(parts[2]) if len(parts) > 2 else ""


def _access_key(environ: Environ) -> str:
    return str(environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")[0])


def _error(service: str, environ: Environ, start: Start, status: int, code: str, text: str) -> Iterable[bytes]:
    """An error in the service's own protocol."""
    line = f"{status} Refused"
    if environ.get("HTTP_X_AMZ_TARGET"):
        start(line, [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-errortype", code)])
        return [json.dumps({"__type": code, "message": text}).encode()]
    start(line, [("Content-Type", "text/xml")])
    told = f"<Code>{code}</Code><Message>{escape(text)}</Message>"
    if service == "s3":
        return [f"<Error>{told}</Error>".encode()]
    if service == "ec2":
        return [f"<Response><Errors><Error>{told}</Error></Errors><RequestID>1</RequestID></Response>".encode()]
    return [f"<ErrorResponse><Error>{told}</Error><RequestId>1</RequestId></ErrorResponse>".encode()]


def _xml(start: Start, operation: str, inner: str) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/xml")])
    result = f"<{operation}Result>{inner}</{operation}Result>"
    return [f"<{operation}Response>{result}</{operation}Response>".encode()]


def main() -> None:
    """Serve until interrupted, and say how to be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=5599)
    parser.add_argument("--plugins", type=Path, help="folder for the stand-in of pulumi-resource-aws")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    chosen = parser.parse_args()
    with Double(chosen.port, chosen.latency) as double:
        lines = [
            f"export AWS_ENDPOINT_URL={double.url}",
            "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=eu-west-1",
        ]
        if chosen.plugins is not None:
            from tests.plugins.aws.stand_in import install

            lines.append(f'export PATH="{install(chosen.plugins.resolve())}:$PATH"')
        sys.stdout.write("# a test double, not AWS; in the shell that plans and applies:\n" + "\n".join(lines) + "\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


__all__ = ["ACCOUNT", "HTML", "Double", "Fault"]

if __name__ == "__main__":
    main()
