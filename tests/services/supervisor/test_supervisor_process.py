"""The supervisor as a process: keeps, restarts, adopts, ends, and never touches a process that is not its own."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pulumi_qnsp.supervisor_edge import SupervisorClient, SupervisorFolder
from qnsp_policy.kernel.wire.supervisor import ProcessSpec, Readiness, Restart, State, SupervisorError
from qnsp_policy.testing.ports import free_port

pytestmark = pytest.mark.functional

SLEEP = "import time\nwhile True: time.sleep(60)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder deeper than a socket's address may be."""
    deep = tmp_path / ("d" * 80) / ("e" * 60) / "run"
    deep.mkdir(parents=True)
    return deep


@pytest.fixture
def client(folder: Path) -> Iterator[SupervisorClient]:
    client = SupervisorClient(SupervisorFolder.at(folder))
    client.start()
    yield client
    with contextlib.suppress(OSError):
        client.shutdown()


def spec(folder: Path, name: str, script: str = SLEEP, *words: str, **more: object) -> ProcessSpec:
    return ProcessSpec(name, (sys.executable, "-c", script, *words), str(folder), **more)  # type: ignore[arg-type]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def alive(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def test_ensure_is_idempotent_and_a_changed_specification_restarts(client: SupervisorClient, folder: Path) -> None:
    """The same specification leaves the process alone; another one replaces it."""
    first, _ = client.ensure(spec(folder, "a"), wait_seconds=60)
    again, _ = client.ensure(spec(folder, "a"), wait_seconds=60)
    assert (first.state, first.pid) == (State.READY, again.pid)
    other, _ = client.ensure(spec(folder, "a", config_digest="sha256:other"), wait_seconds=60)
    assert other.pid != first.pid
    assert not alive(first.pid)


def test_a_process_keeps_its_owner_also_over_the_supervisors_death(client: SupervisorClient, folder: Path) -> None:
    """Who it runs for is remembered; another is refused, and who asks without a name changes nothing about it."""
    first, _ = client.ensure(spec(folder, "a"), wait_seconds=60, owner="urn:one")
    pid = client.ping()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: client.ping() is None)
    client.start()
    assert [(report.pid, report.owner) for report in client.reports(["a", "none"])] == [(first.pid, "urn:one")]
    with pytest.raises(SupervisorError, match="QNSP-OPS-109"):
        client.ensure(spec(folder, "a", config_digest="sha256:other"), wait_seconds=60, owner="urn:two")
    assert client.ensure(spec(folder, "a"), wait_seconds=60)[0].pid == first.pid
    assert client.reports()[0].owner == "urn:one"


def test_a_process_that_ends_is_started_again_with_backoff_until_the_limit(
    client: SupervisorClient, folder: Path
) -> None:
    """Restarts are counted, spaced and limited; the last lines of the log come with the report."""
    never = Readiness(file=str(folder / "never"))
    dying = spec(
        folder, "a", "print('boom'); raise SystemExit(3)", backoff_seconds=0.01, restart_limit=4, readiness=never
    )
    _, lines = client.ensure(dying, wait_seconds=60)
    until(lambda: client.reports()[0].state is State.FAILED)
    report = client.reports()[0]
    assert (report.restarts, report.exit_code) == (4, 3)
    assert "given up after 4 restarts" in report.reason
    assert lines[-1] == "boom"


def test_restart_policies(client: SupervisorClient, folder: Path) -> None:
    """never and a clean end under on-failure leave the process ended."""
    for restart in (Restart.NEVER, Restart.ON_FAILURE):
        client.ensure(spec(folder, restart.value, "pass", restart=restart), wait_seconds=60)
    until(lambda: all(report.state is State.EXITED for report in client.reports()))
    assert [report.restarts for report in client.reports()] == [0, 0]


def test_a_program_that_cannot_be_started_says_so(client: SupervisorClient, folder: Path) -> None:
    """No restart can help a program that does not exist."""
    report, _ = client.ensure(ProcessSpec("a", ("/does/not/exist",), str(folder)), wait_seconds=60)
    assert report.state is State.FAILED
    assert "/does/not/exist cannot be started" in report.reason


def test_readiness_by_http(client: SupervisorClient, folder: Path) -> None:
    """A process is ready when its URL answers 2xx."""
    port = free_port()
    script = (
        "import os,sys,time,http.server as h\n"
        "while not os.path.exists('go'): time.sleep(0.02)\n"
        "h.test(h.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')"
    )
    wanted = spec(
        folder, "web", script, str(port), readiness=Readiness(http=f"http://127.0.0.1:{port}/", timeout_seconds=60)
    )
    report, _ = client.ensure(wanted, wait_seconds=0.5)
    assert report.state is State.STARTING
    (folder / "go").touch()
    report, _ = client.ensure(wanted, wait_seconds=60)
    assert report.state is State.READY


def test_a_readiness_file_of_an_earlier_life_does_not_count(client: SupervisorClient, folder: Path) -> None:
    """The file must be younger than the process."""
    (folder / "ready").touch()
    time.sleep(0.1)
    waiting = spec(folder, "a", readiness=Readiness(file=str(folder / "ready"), timeout_seconds=60))
    report, _ = client.ensure(waiting, wait_seconds=0.5)
    assert report.state is State.STARTING
    assert "older than the process" in report.reason


def test_its_own_death_is_survived_and_everything_is_taken_over(client: SupervisorClient, folder: Path) -> None:
    """After SIGKILL of the supervisor its processes live on; the next one adopts the living and restarts the dead."""
    living, _ = client.ensure(spec(folder, "living"), wait_seconds=60)
    dying, _ = client.ensure(spec(folder, "dying"), wait_seconds=60)
    pid = client.ping()
    assert pid is not None
    assert dying.pid is not None
    os.kill(pid, signal.SIGKILL)
    os.kill(dying.pid, signal.SIGKILL)
    until(lambda: client.ping() is None)
    assert alive(living.pid)
    assert client.start() != pid
    until(lambda: all(report.state is State.READY for report in client.reports()))
    after = {report.name: report.pid for report in client.reports()}
    assert after["living"] == living.pid
    assert after["dying"] != dying.pid
    client.shutdown()
    until(lambda: not alive(living.pid) and not alive(after["dying"]))


def test_a_start_that_was_never_recorded_is_found_by_its_mark(client: SupervisorClient, folder: Path) -> None:
    """Killed between start and record: the process is adopted, not started twice."""
    report, _ = client.ensure(spec(folder, "a"), wait_seconds=60)
    pid = client.ping()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: client.ping() is None)
    state = json.loads((folder / "supervisor.json").read_bytes())
    state["processes"][0]["identity"] = None
    (folder / "supervisor.json").write_text(json.dumps(state))
    client.start()
    until(lambda: client.reports()[0].state is State.READY)
    assert client.reports()[0].pid == report.pid


@pytest.mark.parametrize("damage", ["", "{", '{"format": "other"}'])
def test_a_torn_state_file_leaves_no_orphans(client: SupervisorClient, folder: Path, damage: str) -> None:
    """Without its state the supervisor ends what carries its mark, and serves."""
    report, _ = client.ensure(spec(folder, "a"), wait_seconds=60)
    pid = client.ping()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: client.ping() is None)
    (folder / "supervisor.json").write_text(damage)
    client.start()
    assert client.reports() == []
    until(lambda: not alive(report.pid))


def test_a_reused_process_id_is_never_signalled(client: SupervisorClient, folder: Path) -> None:
    """State that names a process id of somebody else adopts nothing and signals nobody."""
    client.ensure(spec(folder, "a"), wait_seconds=60)
    pid = client.ping()
    assert pid is not None
    own = client.reports()[0].pid
    assert own is not None
    os.kill(pid, signal.SIGKILL)
    os.kill(own, signal.SIGKILL)
    until(lambda: client.ping() is None)
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as stranger:
        state = json.loads((folder / "supervisor.json").read_bytes())
        state["processes"][0]["identity"]["pid"] = stranger.pid
        (folder / "supervisor.json").write_text(json.dumps(state))
        client.start()
        until(lambda: client.reports()[0].state is State.READY)
        assert client.reports()[0].pid != stranger.pid
        client.shutdown()
        assert stranger.poll() is None
        stranger.kill()


def test_stop_and_shutdown_leave_no_child_behind(client: SupervisorClient, folder: Path) -> None:
    """Grandchildren too, even one in a session of its own; and none of them is a zombie."""
    script = (
        "import subprocess,sys,time\n"
        "p=subprocess.Popen([sys.executable,'-c','import time; time.sleep(600)'], start_new_session=True)\n"
        "open('grandchild','w').write(str(p.pid))\n"
        "time.sleep(600)"
    )
    report, _ = client.ensure(spec(folder, "a", script), wait_seconds=60)
    until(lambda: (folder / "grandchild").exists() and (folder / "grandchild").read_text() != "")
    grandchild = int((folder / "grandchild").read_text())
    assert client.stop("a")
    assert not client.stop("a")
    until(lambda: not alive(report.pid) and not alive(grandchild))
    supervisor = client.ping()
    assert supervisor is not None
    until(lambda: psutil.Process(supervisor).children() == [])


def test_a_stubborn_process_is_killed_after_its_grace(client: SupervisorClient, folder: Path) -> None:
    """SIGTERM first, SIGKILL when the grace is over."""
    script = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('deaf','w').close()\n"
        "while True: time.sleep(60)"
    )
    stubborn = spec(folder, "a", script, stop_seconds=0.3, readiness=Readiness(file=str(folder / "deaf")))
    report, _ = client.ensure(stubborn, wait_seconds=60)
    begun = time.monotonic()
    client.stop("a")
    assert time.monotonic() - begun > 0.25
    assert not alive(report.pid)


def test_ten_starts_at_once_make_one_supervisor(folder: Path) -> None:
    """Start-if-absent is free of races."""
    clients = [SupervisorClient(SupervisorFolder.at(folder)) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        pids = set(pool.map(SupervisorClient.start, clients))
    try:
        assert len(pids) == 1
    finally:
        clients[0].shutdown()


def test_ten_ensures_at_once_make_one_process(client: SupervisorClient, folder: Path) -> None:
    """Ensure is free of races."""
    with ThreadPoolExecutor(10) as pool:
        reports = list(pool.map(lambda _: client.ensure(spec(folder, "a"), wait_seconds=60)[0], range(10)))
    assert len({report.pid for report in reports}) == 1


def test_a_folder_that_is_taken_away_ends_everything(client: SupervisorClient, folder: Path) -> None:
    """No deleted workspace leaves processes behind."""
    report, _ = client.ensure(spec(folder, "a"), wait_seconds=60)
    supervisor = client.ping()
    (folder / "supervisor.lock").unlink()
    until(lambda: not alive(report.pid) and not alive(supervisor))


def test_the_socket_is_ours_alone_and_bad_lines_are_refused(client: SupervisorClient, folder: Path) -> None:
    """Mode 0600; whatever comes in, the answer is an error and the supervisor serves on."""
    assert (folder / "supervisor.sock").stat().st_mode & 0o777 == 0o600
    from qnsp_policy.kernel.wire.supervisor import parse_answer
    from qnsp_policy.kernel.wire.unix_edge import ask

    for line in (
        b"\n",
        b"{}\n",
        b"[]\n",
        b'{"op":"ensure"}\n',
        b'{"op":"stop","name":3}\n',
        b"\xff\n",
        b'{"op":"list","x":1}\n',
    ):
        with pytest.raises(SupervisorError, match="QNSP-OPS-101"):
            parse_answer(ask(folder / "supervisor.sock", line, timeout=60, limit=65536))
    with pytest.raises(SupervisorError, match="QNSP-OPS-103"):
        parse_answer(ask(folder / "supervisor.sock", b'{"op":"logs","name":"nobody"}\n', timeout=60, limit=65536))
    assert client.ping() is not None


def test_a_log_is_cut_when_it_outgrows_its_limit(client: SupervisorClient, folder: Path) -> None:
    """The old part moves aside; the process writes on."""
    script = "import time\nwhile True: print('x'*1000, flush=True); time.sleep(0.005)"
    client.ensure(spec(folder, "a", script, log_bytes=20_000), wait_seconds=60)
    until((folder / "logs/a.log.1").exists)
    assert (folder / "logs/a.log.1").stat().st_size > 20_000
    log = folder / "logs/a.log"
    size = log.stat().st_size
    until(lambda: log.stat().st_size != size)


def test_no_environment_of_ours_reaches_a_process(folder: Path) -> None:
    """An operator's credentials stay with the operator."""
    code = (
        "import os,sys;from pathlib import Path;os.environ['AWS_SECRET_ACCESS_KEY']='s3cret';"
        "from pulumi_qnsp.supervisor_edge import *;SupervisorClient(SupervisorFolder.at(Path(sys.argv[1]))).start()"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    client = SupervisorClient(SupervisorFolder.at(folder))
    try:
        client.ensure(
            spec(folder, "a", "import os; open('env','w').write(str(dict(os.environ)))", env={"MINE": "1"}),
            wait_seconds=60,
        )
        until(lambda: (folder / "env").exists() and (folder / "env").read_text() != "")
        assert "s3cret" not in (folder / "env").read_text()
        assert "'MINE': '1'" in (folder / "env").read_text()
    finally:
        client.shutdown()


def test_a_full_disk_ends_no_care_and_is_told_to_whoever_waits(client: SupervisorClient, folder: Path) -> None:
    """Its state cannot be written: what dies is started again, a stop says why it is not noted, and all is noted later."""
    first, _ = client.ensure(spec(folder, "a"), wait_seconds=5)
    client.ensure(spec(folder, "b"), wait_seconds=5)
    state = folder / "supervisor.json"
    state.unlink()
    state.symlink_to("/dev/full")
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    until(
        lambda: client.reports(["a"])[0].pid not in {None, first.pid} and client.reports(["a"])[0].state is State.READY
    )
    with pytest.raises(SupervisorError, match="QNSP-OPS-116") as caught:
        client.stop("b")
    assert "No space left on device" in caught.value.message
    with pytest.raises(SupervisorError, match="QNSP-OPS-116"):
        client.stop("b")
    state.unlink()
    until(state.exists, 30)
    assert [item["spec"]["name"] for item in json.loads(state.read_bytes())["processes"]] == ["a"]
    assert client.stop("b") is False


def test_what_cannot_be_started_without_descriptors_is_started_when_there_are_some(
    client: SupervisorClient, folder: Path
) -> None:
    """A supervisor that may open no more files lives on and tries again by itself."""
    pid = client.ping()
    assert pid is not None
    dying = spec(folder, "a", backoff_seconds=0.01, backoff_max_seconds=0.1, restart_limit=100_000)
    first, _ = client.ensure(dying, wait_seconds=10)
    assert first.pid is not None
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not alive(first.pid))
    time.sleep(0.3)  # it tries in vain meanwhile; if it does not yet, the test shows less and still holds
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)

    def started_again() -> bool:
        report = client.reports(["a"])[0]
        return report.state is State.READY and report.pid not in {None, first.pid}

    until(started_again, 60)
    assert client.ping() == pid
    client.shutdown()
    until(lambda: not alive(pid))
