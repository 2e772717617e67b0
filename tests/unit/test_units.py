"""Sizes, durations and fractions: what people may write, and what they are shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.units import (
    MAX_SIZE_BYTES,
    format_bytes,
    format_bytes_apart,
    format_duration,
    format_rate,
    parse_duration,
    parse_fraction,
    parse_size,
)

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4G", 4 * GIB),
        ("4GB", 4 * GIB),
        ("4GiB", 4 * GIB),
        ("4 gib", 4 * GIB),
        ("512M", 512 * 2**20),
        ("1.5G", GIB * 3 // 2),
        (".5K", 512),
        ("1T", 2**40),
        ("100", 100),
        ("100B", 100),
        ("0", 0),
        ("8P", MAX_SIZE_BYTES),
    ],
)
def test_sizes_are_binary_with_or_without_the_unit_spelt_out(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


def test_a_bare_number_is_in_the_unit_that_the_place_says() -> None:
    assert parse_size("2", default_unit="G") == 2 * GIB
    assert parse_size("0.5", default_unit="G") == GIB // 2
    assert parse_size("2M", default_unit="G") == 2 * 2**20


def test_only_a_written_zero_is_zero() -> None:
    """0 means unknown to the rest of the system: a tiny size must not become it."""
    assert parse_size("0.0000001K") == 1
    assert parse_size("0.1G") == -(-GIB // 10)


@pytest.mark.parametrize(
    "text", ["", "G", "-1G", "4X", "4Gb/s", "1e3", "1_000", "4 G B", "٤G", "nan", "1..5G", "9" * 60]
)
def test_what_is_not_a_size_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size: write 512M, 1\.5G"):
        parse_size(text)


def test_a_size_beyond_what_the_store_counts_exactly_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 8P"):
        parse_size("8.01P")


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("90s", 90),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("15", 15),
        ("0.5", 0.5),
        ("250ms", 0.25),
        ("1m250ms", 60.25),
        ("2W", 1_209_600),
        ("0", 0),
    ],
)
def test_durations_have_units_and_may_have_several(text: str, duration_s: float) -> None:
    assert parse_duration(text) == duration_s


@pytest.mark.parametrize("text", ["", "h", "-5s", "30m1h", "1h1h", "5 minutes", "1e3", "inf", "1:30", "5mss"])
def test_what_is_not_a_duration_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write 90s, 15m"):
        parse_duration(text)


def test_a_duration_beyond_a_hundred_years_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 36500d"):
        parse_duration("36501d")


def test_a_fraction_is_a_percentage_or_a_number_up_to_one() -> None:
    assert parse_fraction("50%") == 0.5
    assert parse_fraction("0.5") == 0.5
    assert parse_fraction(" 100 % ") == 1


@pytest.mark.parametrize("text", ["", "%", "101%", "1.5", "-1%", "half"])
def test_what_is_not_a_fraction_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is not a fraction: write 0% to 100%"):
        parse_fraction(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (2**20 - 1, "1 MiB"),
        (512 * 2**20, "512 MiB"),
        (int(12.345 * GIB), "12.3 GiB"),
        (-GIB, "-1 GiB"),
    ],
)
def test_bytes_are_shown_in_three_digits(size_bytes: int, text: str) -> None:
    assert format_bytes(size_bytes) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0, "0s"),
        (0.0123, "12.3ms"),
        (0.9999, "1s"),
        (3.456, "3.46s"),
        (59.97, "1m"),
        (90, "1m30s"),
        (3599.9, "1h"),
        (7500, "2h5m"),
        (273_600, "3d4h"),
        (-90, "-1m30s"),
        (float("inf"), "unknown"),
        (float("nan"), "unknown"),
    ],
)
def test_durations_are_shown_in_their_two_largest_units(duration_s: float, text: str) -> None:
    assert format_duration(duration_s) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(0, "0/s"), (1234.5, "1,234/s"), (12.34, "12.3/s"), (1, "1/s"), (0.5, "30/min"), (1 / 600, "6/h")],
)
def test_rates_are_shown_in_a_unit_that_makes_them_at_least_one(per_s: float, text: str) -> None:
    assert format_rate(per_s) == text


@given(st.integers(min_value=0, max_value=MAX_SIZE_BYTES))
def test_a_shown_size_reads_back_within_its_three_digits(size_bytes: int) -> None:
    shown = format_bytes(size_bytes).replace(",", "")
    assert parse_size(shown) == pytest.approx(size_bytes, rel=0.006)


@given(st.floats(min_value=0.001, max_value=1e9))
def test_a_shown_duration_reads_back_within_its_two_units(duration_s: float) -> None:
    assert parse_duration(format_duration(duration_s)) == pytest.approx(duration_s, rel=0.05)


@pytest.mark.parametrize("parse", [parse_size, parse_duration, parse_fraction])
@given(text=st.text() | st.text("0123456789. kmgtpbisdhw%"))
def test_no_text_makes_a_parser_fail_otherwise_than_by_saying_what_is_allowed(
    parse: Callable[[str], float], text: str
) -> None:
    value, said = 0.0, "write"
    try:
        value = parse(text)
    except ValueError as fault:
        said = str(fault)
    assert value >= 0
    assert "write" in said or "more than" in said


def test_two_sizes_that_differ_look_different() -> None:
    assert format_bytes_apart(4 << 30, 2 << 30) == ("4 GiB", "2 GiB")
    assert format_bytes_apart(504 << 30, 5036 * (1 << 30) // 10) == ("504.0 GiB", "503.6 GiB")
    first, second = format_bytes_apart(504 << 30, (504 << 30) - 1)
    assert first != second
    assert format_bytes_apart(7, 7) == ("7 B", "7 B")
