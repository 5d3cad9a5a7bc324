"""Canonical JSON: the numbers of RFC 8785 appendix B, ordering, strict reading, and that any bytes raise only our errors."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.kernel.crypto import canonical
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, jcs, parse_json

APPENDIX_B = """0000000000000000 0
8000000000000000 0
0000000000000001 5e-324
8000000000000001 -5e-324
7fefffffffffffff 1.7976931348623157e+308
ffefffffffffffff -1.7976931348623157e+308
4340000000000000 9007199254740992
c340000000000000 -9007199254740992
4430000000000000 295147905179352830000
44b52d02c7e14af5 9.999999999999997e+22
44b52d02c7e14af6 1e+23
44b52d02c7e14af7 1.0000000000000001e+23
444b1ae4d6e2ef4e 999999999999999700000
444b1ae4d6e2ef4f 999999999999999900000
444b1ae4d6e2ef50 1e+21
3eb0c6f7a0b5ed8c 9.999999999999997e-7
3eb0c6f7a0b5ed8d 0.000001
41b3de4355555553 333333333.3333332
41b3de4355555554 333333333.33333325
41b3de4355555555 333333333.3333333
41b3de4355555556 333333333.3333334
41b3de4355555557 333333333.33333343
becbf647612f3696 -0.0000033333333333333333
43143ff3c1cb0959 1424953923781206.2"""

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("line", APPENDIX_B.splitlines())
def test_numbers_are_written_as_ecmascript_writes_them(line: str) -> None:
    """Every double of RFC 8785 appendix B has exactly the text of the standard."""
    bits, text = line.split()
    assert jcs(struct.unpack(">d", bytes.fromhex(bits))[0]).decode() == text


def test_names_are_ordered_by_utf16_code_units() -> None:
    """RFC 8785 3.2.3: an emoji sorts before U+FB33, though its code point is larger."""
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\u00f6": 7}
    order = list(json.loads(jcs(value)).values())
    assert order == [2, 4, 6, 7, 1, 5, 3]


def test_the_standards_example() -> None:
    """RFC 8785 3.2.2: literals, escapes, numbers."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert jcs(value).decode() == expected


@given(plain)
def test_writing_is_a_fixed_point(value: object) -> None:
    """What is read back is written the same; two writers cannot disagree with themselves."""
    first = jcs(value)
    try:
        again = parse_json(first)
    except CanonicalJsonError as error:
        assert "2**53" in error.message  # a double of 2**53 or more is written without exponent, and read as an integer  # noqa: PT017  either outcome is right
        return
    assert jcs(again) == first


@given(plain)
def test_the_fast_writer_and_the_slow_one_agree(value: object) -> None:
    """The C encoder is used only where it gives the same bytes."""
    assert jcs(value) == canonical._write(value).encode()


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_our_error(data: bytes) -> None:
    """The strict reader never lets a stranger's exception out."""
    try:
        parse_json(data)
    except CanonicalJsonError as error:
        assert error.code == "QNSP-SIG-011"  # noqa: PT017  either outcome is right


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"a":1,"a":2}', "twice"),
        ("NaN", "NaN"),
        ("-Infinity", "Infinity"),
        ("9007199254740992", "2**53"),
        ("-123456789012345678901234567890", "2**53"),
        ("1e400", "double"),
        ('"\\ud800"', "surrogate"),
        ('{"\\udfff":1}', "surrogate"),
        ("[" * 65 + "]" * 65, "deeper"),
        ("[" * 100_000, "deeper"),
        ("\ufeff{}", "not JSON"),
        ("", "not JSON"),
        ("{} x", "not JSON"),
        ("'a'", "not JSON"),
    ],
)
def test_strict_reading_refuses(text: str, word: str) -> None:
    """Each of these is read differently by different parsers, so none is read."""
    with pytest.raises(CanonicalJsonError, match="QNSP-SIG-011") as caught:
        parse_json(text.encode("utf-8", "surrogatepass"))
    assert word in caught.value.message


def test_brackets_within_text_are_no_depth() -> None:
    """A long text of brackets is text."""
    assert parse_json(json.dumps(["[" * 500, '"[{\\'])) == ["[" * 500, '"[{\\']


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 2**53, -(2**53), "\ud800", {"\udc00": 1}, {1: 2}, b"x", {"a": {1}}, object()],
)
def test_values_without_canonical_form_are_refused(value: object) -> None:
    """Nothing is signed that another implementation would write otherwise."""
    with pytest.raises(CanonicalJsonError):
        jcs(value)


def test_too_deep_and_too_large_are_refused() -> None:
    """Depth and size are capped in both directions."""
    value: object = 1
    for _ in range(canonical.MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(CanonicalJsonError, match="deeper"):
        jcs(value)
    with pytest.raises(CanonicalJsonError, match="at most"):
        parse_json(b"[1,2,3]", max_bytes=3)


@pytest.mark.parametrize("text", ["YQ", "YQ==\n", " YQ==", "YR==", "YQ=", "Y Q=", "\u00e9", None, 1])
def test_base64_is_read_strictly(text: object) -> None:
    """Padding, whitespace and stray bits are refused: one value, one text."""
    with pytest.raises(CanonicalJsonError):
        canonical.unb64(text)


@pytest.mark.parametrize("text", ["YQ==", "YR", "a", "+/", "YQ\n", None])
def test_base64url_is_read_strictly(text: object) -> None:
    """The same for base64url."""
    with pytest.raises(CanonicalJsonError):
        canonical.unb64url(text)


@given(st.binary(max_size=64))
def test_base64_round_trip(data: bytes) -> None:
    """What is written is read."""
    assert canonical.unb64(canonical.b64(data)) == data
    assert canonical.unb64url(canonical.b64url(data)) == data


def test_times_have_one_form() -> None:
    """RFC 3339, UTC, seconds, Z."""
    moment = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
    assert canonical.timestamp(moment) == "2026-11-21T10:00:00Z"
    assert canonical.parse_timestamp("2026-11-21T10:00:00Z") == moment
    for text in (
        "2026-11-21T10:00:00+00:00",
        "2026-11-21 10:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-21T10:00:00Z\n",
        1,
    ):
        with pytest.raises(CanonicalJsonError):
            canonical.parse_timestamp(text)
    with pytest.raises(ValueError, match="zone"):
        canonical.timestamp(datetime(2026, 1, 1))  # noqa: DTZ001
