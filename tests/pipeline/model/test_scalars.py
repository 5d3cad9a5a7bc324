"""Scalars mean what their unit says and refuse what only looks alike."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from qnsp_policy.pipeline.model import scalars


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30s", 30), ("15m", 900), ("12h", 43200), ("30d", 2592000), ("4w", 2419200)],
)
def test_durations_count_seconds(value: str, seconds: int) -> None:
    """Every unit of time."""
    assert scalars.Duration.parse(value)
    assert scalars.Duration(value).seconds == seconds
    assert scalars.Rotation(value).seconds == seconds


def test_rotation_by_event_has_no_length() -> None:
    """A key that follows an event has no maximum age."""
    assert scalars.Rotation("per-version").seconds is None


@pytest.mark.parametrize(
    ("value", "size"), [("1Ki", 1024), ("64Gi", 64 * 2**30), ("2T", 2 * 10**12), ("512Mi", 512 * 2**20), ("9k", 9000)]
)
def test_sizes_count_bytes(value: str, size: int) -> None:
    """Binary and decimal units are told apart."""
    assert scalars.Size(value).bytes == size


@pytest.mark.parametrize(
    ("value", "number"), [("600", 600), ("2M", 2_000_000), ("1.5k", 1500), ("0", 0), ("2G", 2 * 10**9)]
)
def test_quantities_count(value: str, number: int) -> None:
    """Decimal units, exact."""
    assert scalars.Quantity.parse(value)
    assert scalars.Quantity(value).number == number


def test_dates_are_inclusive_as_expiry_and_begin_as_moment() -> None:
    """An expiry date lasts to the day's last second; a moment is its first."""
    assert scalars.Expiry("2027-11-21").at == datetime(2027, 11, 21, 23, 59, 59, tzinfo=UTC)
    assert scalars.Moment("2027-11-21").at == datetime(2027, 11, 21, tzinfo=UTC)
    assert scalars.Expiry("2027-11-21T08:00:00Z").at == datetime(2027, 11, 21, 8, tzinfo=UTC)


WRONG: dict[type[scalars.TextValue], list[str]] = {
    scalars.Duration: ["", "0h", "12", "12 h", "-1h", "1.5h", "12H", "h", "1h ", "\uff19h"],
    scalars.Rotation: ["per-year", "never", ""],
    scalars.Size: ["0Gi", "1GiB", "1 Gi", "Gi"],
    scalars.Quantity: ["1.5", "2MB", "-1", "01", "1e3", "1.2345k"],
    scalars.Moment: ["2027-13-01", "2027-02-30", "2027-11-21T08:00:00", "2027-11-21T08:00:00+01:00", "2027-11-21T25:00:00Z", "21.11.2027"],
    scalars.Digest: ["sha256:" + "A" * 64, "sha256:" + "0" * 63, "md5:" + "0" * 32, "0" * 64],
    scalars.Hex: ["0", "0g", "AA", ""],
    scalars.Name: ["", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "a\n"],
    scalars.ResourcePath: ["a/b", "a/b/c/d", "a//c", "a/b/..", "*/b/c", "a/*/c", "a/b/c*", "A/b/c"],
    scalars.RelativePath: ["/a", "../a", "a/../b", "a//b", "C:/a", "a\\b", "", "a\0b"],
    scalars.Location: ["http://x/y", "https://u:p@h/x", "https://h/x?y=1", "/etc/passwd", "a/../b", "file:///x"],
    scalars.HostPort: ["127.0.0.1", "127.0.0.1:99999", ":80", "a b:80", "h:-1"],
    scalars.IdentityName: ["", "a b", "a@b@c", "@b", "a@", "\x1b"],
    scalars.Word: ["", "a\nb", "a\x1bb", "a\u202eb"],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in WRONG.items() for text in texts])
def test_look_alikes_are_refused(kind: type[scalars.TextValue], text: str) -> None:
    """What does not fit the shape is refused with the shape's own words."""
    with pytest.raises(PydanticCustomError, match="expected"):
        kind.parse(text)


@given(st.text(max_size=80))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """No scalar fails on any text in another way than by refusing it, and what it takes it can explain."""
    for kind in WRONG:
        try:
            value = kind.parse(text)
        except PydanticCustomError:
            continue
        for name in ("seconds", "bytes", "number", "at", "tenant", "key", "wildcard"):
            getattr(value, name, None)


def test_resource_paths_know_their_parts() -> None:
    """Tenant, key and wildcard of a resource."""
    path = scalars.ResourcePath("clinic/model/minilm")
    assert (path.tenant, path.key, path.wildcard) == ("clinic", "model/minilm", False)
    assert scalars.ResourcePath("research/data/*").wildcard
