"""The Go programs we run (pulumi, opa, caddy; tofu as a benchmark's peer): where they are, which version, how they get built.

A program is taken from PATH if it is new enough, else from the user cache, else it is built there from the module that
`tools/<name>/go.mod` pins (checksums in its go.sum; `-mod=readonly`, so nothing unpinned is ever built). The cache's layout is
`<cache>/tools/<name>-<version>/bin/<name>`. One build at a time a program: a lock file beside it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qnsp_policy.errors import EngineError, OperatorError
from qnsp_policy.kernel.outside_edge import run_outside
from qnsp_policy.resources_edge import data_path

Progress = Callable[[str, float, str], None]
"""Called with the tool's name, a fraction done (0 to 1) and what is being done."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One pinned program.

    Attributes:
        exact: whether only this version will do (the Pulumi SDK and CLI are a pair).
        packages: about how many Go packages a cold build compiles, for the progress shown.
        seconds: about how long a cold build takes on two cores.
    """

    name: str
    version: str
    package: str
    ldflags: str
    exact: bool
    packages: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Found:
    """A usable program."""

    tool: Tool
    path: Path
    version: str
    origin: str


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "pulumi",
            "3.250.0",
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.250.0",
            exact=True,
            packages=2400,
            seconds=190,
        ),
        Tool(
            "opa",
            "1.22.0",
            "github.com/open-policy-agent/opa",
            "-s -w",
            exact=False,
            packages=900,
            seconds=50,
        ),
        Tool(
            "caddy",
            "2.10.2",
            "github.com/caddyserver/caddy/v2/cmd/caddy",
            "-s -w",
            exact=False,
            packages=1200,
            seconds=60,
        ),
        Tool(
            "tofu",
            "1.11.0",
            "github.com/opentofu/opentofu/cmd/tofu",
            "-s -w",
            exact=False,
            packages=1800,
            seconds=90,
        ),
    )
}

_VERSION_ARGS: Mapping[str, list[str]] = {name: ["version"] for name in TOOLS}
_VERSION = re.compile(r"(?:^|[^0-9.])v?(\d+)\.(\d+)\.(\d+)")
_CAPTURE_SECONDS = 20
_CAPTURE_BYTES = 65536


def cache_root(environment: Mapping[str, str]) -> Path:
    """The cache's root: `$XDG_CACHE_HOME` or `~/.cache`, then `qnsp-policy`."""
    base = environment.get("XDG_CACHE_HOME") or ""
    # The standard says to ignore a relative one.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "qnsp-policy"


def tool_root(tool: Tool, cache: Path) -> Path:
    """The folder above `bin/`."""
    return cache / "tools" / f"{tool.name}-{tool.version}"


def version_of(path: Path, tool: Tool) -> str:
    """Ask a program for its version.

    Raises:
        OperatorError: QNSP-ENG-021, it cannot be run or says none; QNSP-ENG-022, it hangs.
    """
    answer = run_outside(
        [str(path), *_VERSION_ARGS[tool.name]],
        folder=path.parent,
        environment={"PATH": os.defpath, "HOME": str(path.parent), "PULUMI_SKIP_UPDATE_CHECK": "true"},
        seconds=_CAPTURE_SECONDS,
        limit=_CAPTURE_BYTES,
    )
    if answer.failure:
        hangs = answer.failure.startswith("did not end")
        few = answer.failure.endswith(os.strerror(errno.EMFILE))
        raise OperatorError(
            "QNSP-ENG-022" if hangs else "QNSP-ENG-021",
            f"{path} version {answer.failure}",
            subject=tool.name,
            next_step="raise `ulimit -n`" if few else f"remove it and run `qnsp-policy tools install {tool.name}`",
        )
    match = _VERSION.search(answer.output.decode("utf-8", "replace"))
    if answer.code != 0 or not match:
        raise OperatorError(
            "QNSP-ENG-021",
            f"{path} does not say its version (exit code {answer.code}); it is not {tool.name}, or not for this machine",
            subject=tool.name,
            next_step=f"remove it and run `qnsp-policy tools install {tool.name}`",
        )
    return ".".join(match.groups())


def accepts(tool: Tool, version: str) -> bool:
    """Whether this version will do: the same, or for programs that are no pair with an SDK a newer one of the same major."""
    if tool.exact:
        return version == tool.version
    have, need = _numbers(version), _numbers(tool.version)
    return have[0] == need[0] and have >= need


def find(name: str, *, environment: Mapping[str, str]) -> Found | None:
    """A usable program from PATH or the cache, or None if it has to be built.

    Raises:
        OperatorError: QNSP-ENG-020, the program in the cache is of another version: somebody replaced it.
    """
    tool = TOOLS[name]
    on_path = shutil.which(name, path=environment.get("PATH", os.defpath))
    if on_path is not None:
        with contextlib.suppress(OperatorError):
            version = version_of(Path(on_path), tool)
            if accepts(tool, version):
                return Found(tool, Path(on_path), version, "PATH")
    cached = tool_root(tool, cache_root(environment)) / "bin" / name
    return check(name, cached, origin="cache") if cached.exists() else None


def check(name: str, path: Path, *, origin: str) -> Found:
    """This very program, if it is of the version we need.

    Raises:
        OperatorError: QNSP-ENG-020, it is of another version; QNSP-ENG-021 or 022, it cannot be asked.
    """
    tool = TOOLS[name]
    version = version_of(path, tool)
    if not accepts(tool, version):
        raise OperatorError(
            "QNSP-ENG-020",
            f"{path} is {name} {version}, but this program works with {'exactly' if tool.exact else 'at least'} {tool.version}",
            subject=name,
            expected=tool.version,
            got=version,
            next_step=f"remove it and run `qnsp-policy tools install {name}`",
        )
    return Found(tool, path, version, origin)


def require(name: str, *, environment: Mapping[str, str], progress: Progress | None = None) -> Found:
    """A usable program; built if need be, which takes minutes the first time."""
    return find(name, environment=environment) or install(name, environment=environment, progress=progress)


def install(name: str, *, environment: Mapping[str, str], progress: Progress | None = None) -> Found:
    """Build a program into the cache from its pinned module; does nothing if it is there.

    Raises:
        OperatorError: QNSP-ENG-023 no Go compiler, QNSP-ENG-024 the build failed, QNSP-ENG-011 the disk is full.
    """
    tool = TOOLS[name]
    root = tool_root(tool, cache_root(environment))
    target = root / "bin" / name
    say = progress or (lambda _name, _fraction, _what: None)
    root.parent.mkdir(parents=True, exist_ok=True)
    with _one_build(root.parent / f".{root.name}.lock", say, name):
        if target.exists():
            return check(name, target, origin="cache")
        go = shutil.which("go", path=environment.get("PATH", os.defpath))
        if go is None:
            raise OperatorError(
                "QNSP-ENG-023",
                f"{name} {tool.version} has to be built and there is no Go compiler on PATH",
                subject=name,
                next_step="install Go 1.26 or newer (https://go.dev/dl), or put the program on PATH",
            )
        _build(tool, go, target, environment, say)
        return check(name, target, origin="built now")


def _build(tool: Tool, go: str, target: Path, environment: Mapping[str, str], say: Progress) -> None:
    module = data_path("tools", tool.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{tool.name}.{os.getpid()}")
    argv = [go, "build", "-C", str(module), "-mod=readonly", "-trimpath", "-v"]
    argv += ["-ldflags", tool.ldflags, "-o", str(scratch), tool.package]
    started = time.monotonic()
    say(
        tool.name,
        0.0,
        f"building {tool.name} {tool.version} from its pinned source, about {tool.seconds} s the first time",
    )
    lines: list[str] = []
    env = {**environment, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    try:
        with subprocess.Popen(  # noqa: S603 - the Go compiler on our own module
            argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", env=env
        ) as build:
            try:
                compiled = 0
                for line in build.stderr or ():
                    lines.append(line.rstrip())
                    del lines[:-40]
                    compiled += not line.startswith("go: ")
                    # A build with a warm compiler cache names fewer packages; the time spent says the rest.
                    by_time = (time.monotonic() - started) / tool.seconds
                    say(tool.name, min(0.97, max(compiled / tool.packages, min(by_time, 0.9))), line.strip()[:80])
            except BaseException:
                build.terminate()
                raise
        if build.returncode != 0:
            raise OperatorError(
                "QNSP-ENG-024",
                f"{tool.name} {tool.version} could not be built:\n  " + "\n  ".join(lines[-8:]),
                subject=tool.name,
                next_step="see that the Go module proxy can be reached and the disk has 3 GB free, then run it again",
            )
        scratch.chmod(0o755)
        scratch.replace(target)
    except OSError as error:
        raise EngineError("QNSP-ENG-024", f"{tool.name} could not be built: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
    say(tool.name, 1.0, f"built in {time.monotonic() - started:.0f} s")


@contextlib.contextmanager
def _one_build(lock: Path, say: Progress, name: str) -> Iterator[None]:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(name, 0.0, "another process builds it; waiting")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


__all__ = [
    "TOOLS",
    "Found",
    "Progress",
    "Tool",
    "accepts",
    "cache_root",
    "check",
    "find",
    "install",
    "require",
    "tool_root",
    "version_of",
]
