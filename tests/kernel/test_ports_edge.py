"""Ports for listeners that start later: below the outgoing ones, free, and never given twice."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qnsp_policy.kernel.ports_edge import RANGE, free_ports


def test_they_are_below_the_outgoing_ones_and_different() -> None:
    """No connection of anybody takes one before its service starts."""
    found = free_ports(5)
    assert len(set(found)) == 5
    assert set(found) <= set(RANGE)
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range")
    assert not outgoing.exists() or int(outgoing.read_text().split()[0]) >= RANGE.stop or max(found) < RANGE.stop


def test_side_by_side_none_is_given_twice(tmp_path: Path) -> None:
    """Through one file, by many at once, although nobody listens yet."""
    note = tmp_path / "cache" / "last-port"
    with ThreadPoolExecutor(8) as pool:
        given = [port for ports in pool.map(lambda _: free_ports(2, note=note), range(50)) for port in ports]
    assert len(set(given)) == 100
    assert note.stat().st_mode & 0o777 == 0o600


def test_one_that_is_listened_on_is_passed_over_and_the_range_begins_anew(tmp_path: Path) -> None:
    """Behind the last port comes the first; what is in use is not given."""
    note = tmp_path / "last-port"
    note.write_text(f"{RANGE[-2]}\n")
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody else's: just as well
            taken.bind(("127.0.0.1", RANGE[-1]))
        (found,) = free_ports(1, note=note)
    assert found in RANGE[:100]
    assert note.read_text() == f"{found}\n"


@pytest.mark.parametrize("text", ["", "none\n", "80\n", "99999\n", "\x00\x00"])
def test_a_file_that_says_nothing_sensible_is_written_anew(tmp_path: Path, text: str) -> None:
    """Then one is drawn."""
    note = tmp_path / "last-port"
    note.write_text(text)
    (found,) = free_ports(1, note=note)
    assert found in RANGE
    assert note.read_text().split()[0] == str(found)


def test_without_a_place_for_the_file_they_are_drawn() -> None:
    """No home, no cache: not a reason to fail."""
    assert free_ports(1, note=Path("/proc/nowhere/last-port"))[0] in RANGE
