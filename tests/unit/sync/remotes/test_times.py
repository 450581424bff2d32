from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.remotes.anchor.times import NS_MAX, NS_MIN, ns_of_text, text_of_ns


@given(st.integers(NS_MIN, NS_MAX))
def test_text_and_back_is_exact(time_ns: int) -> None:
    text = text_of_ns(time_ns)
    assert len(text) == len("2024-01-01T00:00:00.000000000Z")
    assert ns_of_text(text) == time_ns


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2000-02-29T12:00:00.000000001Z", 951_825_600_000_000_001),
        ("0001-01-01T00:00:00Z", NS_MIN),
        ("9999-12-31T23:59:59.999999999Z", NS_MAX),
    ],
)
def test_known_times(text: str, time_ns: int) -> None:
    assert ns_of_text(text) == time_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00+00:00",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00.1234567890Z",
        "2024-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "\uff12\uff10\uff12\uff14-01-01T00:00:00Z",
        "2024-01-01T00:00:00Z\n",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month|day|year"):
        ns_of_text(text)


def test_times_beyond_64_bits_are_clamped_when_sent() -> None:
    assert text_of_ns(NS_MAX + 1) == text_of_ns(NS_MAX)
    assert text_of_ns(NS_MIN - 1) == text_of_ns(NS_MIN)
