"""Work beside the main thread gives what it returns, or raises what it raised, where the result is asked for."""

from __future__ import annotations

import threading

import pytest

from qnsp_policy.kernel.aside_edge import aside


def test_the_result_is_that_of_the_work() -> None:
    """And it was done in another thread, which no end of the process waits for."""
    thread = aside(threading.current_thread).result(60)
    assert thread is not threading.current_thread()
    assert thread.daemon


@pytest.mark.parametrize("problem", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_what_it_raises_is_raised_where_it_is_asked_for(problem: BaseException) -> None:
    """Whatever it is; nothing is lost in the thread."""

    def work() -> None:
        raise problem

    with pytest.raises(type(problem)) as caught:
        aside(work).result(60)
    assert caught.value is problem
