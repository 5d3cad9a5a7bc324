"""Programs that are bound to the life of whoever started them."""

from __future__ import annotations

import signal
import subprocess
import sys

from qnsp_policy.kernel.processes_edge import exec_argv

ASKED = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
STARTER = (
    "import signal,subprocess,sys\nfrom qnsp_policy.kernel.processes_edge import exec_argv\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    f"subprocess.run(exec_argv([sys.executable, '-c', {ASKED!r}]), check=True)\n"
)


def test_it_hears_sigint_also_when_we_were_started_deaf_to_it() -> None:
    """A shell starts what runs in the background with SIGINT ignored; that is how a bound program is told to save and end."""
    done = subprocess.run([sys.executable, "-c", STARTER], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_whoever_ended_before_it_began_leaves_no_program_behind() -> None:
    """Bound to another process than the one that started it, it does not run at all."""
    bound = exec_argv([sys.executable, "-c", "print('ran')"])
    bound[5] = "-1"
    done = subprocess.run(bound, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGINT, "")
