"""Silence of an engine is told, again and again, and never ends anything; a Ctrl-C is answered by ending, the next by killing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from qnsp_policy.pipeline.engine.command import Processes, together
from qnsp_policy.pipeline.engine.events import Event
from qnsp_policy.pipeline.engine.silence import listening


def test_silence_is_told_until_something_is_heard() -> None:
    """Each time that as many seconds have passed; what is heard begins it anew."""
    told: list[float] = []
    twice = threading.Event()

    def tell(seconds: float) -> None:
        told.append(seconds)
        if len(told) >= 2:
            twice.set()

    with listening(tell, seconds=0.05) as heard:
        assert twice.wait(60)
        heard()
    assert told[0] >= 0.05
    assert told[1] >= 0.1


def test_who_is_heard_is_not_told_of() -> None:
    """A run that ends before its time."""
    told: list[float] = []
    with listening(told.append) as heard:
        heard()
    assert told == []


@pytest.mark.parametrize("stopped", [False, True], ids=["works", "stands still"])
def test_ctrl_c_ends_engines_and_the_next_kills_them(stopped: bool) -> None:
    """One that stands still cannot end in order; told of it, whoever presses again is free at once."""
    processes = Processes()
    told: list[Event] = []
    script = "import sys, time; print('up', flush=True); time.sleep(600)"
    ended: list[int] = []

    def work(_: int) -> None:
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with processes.running(process.pid):
                if stopped:
                    process.send_signal(signal.SIGSTOP)
                signal.raise_signal(signal.SIGINT)
                if stopped:
                    while not told:
                        time.sleep(0.01)
                    signal.raise_signal(signal.SIGINT)
                ended.append(process.wait())

    with pytest.raises(KeyboardInterrupt):
        together([1], work, processes, 1, told.append)
    assert ended == [-signal.SIGKILL if stopped else -signal.SIGINT]
    assert "Ctrl-C once more" in told[0].text
