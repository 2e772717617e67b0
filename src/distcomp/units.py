"""Sizes, durations and fractions as people write them, to numbers and back: the only parser of these.

Sizes are binary: K, KB and KiB all mean 1,024 bytes. A ValueError says what is allowed, and is meant for the user.
"""

from __future__ import annotations

import math
import re

# Lua's numbers, which the store counts with, are exact up to here.
MAX_SIZE_BYTES = 2**53
MAX_DURATION_S = 36_500 * 86_400.0

_SIZE_UNITS = "BKMGTP"
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_SIZE = re.compile(rf"\s*{_NUMBER}\s*(?:([KMGTP])(?:I?B)?|(B))?\s*", re.IGNORECASE | re.ASCII)
_FRACTION = re.compile(rf"\s*{_NUMBER}\s*(%?)\s*", re.ASCII)
_BARE_NUMBER = re.compile(rf"\s*{_NUMBER}\s*", re.ASCII)
# Each unit at most once, the larger first: "30m1h" is more often a slip than meant.
_DURATION_UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(
    r"\s*" + "".join(rf"(?:{_NUMBER}\s*{unit}(?![a-z])\s*)?" for unit in _DURATION_UNITS), re.IGNORECASE | re.ASCII
)
# Longer than any number that makes sense; keeps int() away from what a user pastes by mistake.
_MAX_LENGTH = 40


def parse_size(text: str, default_unit: str = "B") -> int:
    """Bytes in "4G", "512M", "1.5GiB", "100B"; a bare number counts `default_unit`s (one of B K M G T P).

    Rounded up to a whole byte, so that only a written zero gives zero.

    Raises:
        ValueError: not a size, or above MAX_SIZE_BYTES.
    """
    match = _SIZE.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        bare = "" if default_unit == "B" else f"; a bare number is in {default_unit}iB"
        raise ValueError(f"{_shown(text)} is not a size: write 512M, 1.5G or the like (units K M G T P, or B){bare}")
    unit = (match[2] or match[3] or default_unit).upper()
    whole, _, part = match[1].partition(".")
    scaled = int(whole + part) * (1 << 10 * _SIZE_UNITS.index(unit))
    size_bytes: int = -(-scaled // 10 ** len(part))
    if size_bytes > MAX_SIZE_BYTES:
        raise ValueError(f"{_shown(text)} is more than 8P, the largest size")
    return size_bytes


def parse_duration(text: str) -> float:
    """Seconds in "90s", "2h", "1d", "1h30m", "250ms"; a bare number is in seconds.

    Raises:
        ValueError: not a duration, or above a hundred years.
    """
    duration_s = _duration_s(text) if len(text) <= _MAX_LENGTH else None
    if duration_s is None:
        raise ValueError(f"{_shown(text)} is not a duration: write 90s, 15m, 2h, 1d, 1h30m or a number of seconds")
    if duration_s > MAX_DURATION_S:
        raise ValueError(f"{_shown(text)} is more than 36500d, the longest duration")
    return duration_s


def parse_fraction(text: str) -> float:
    """A number in 0..1 from "50%" or "0.5".

    Raises:
        ValueError: not a fraction, or outside 0..1.
    """
    match = _FRACTION.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    fraction = math.inf if match is None else float(match[1]) / (100 if match[2] else 1)
    if fraction > 1:
        raise ValueError(f"{_shown(text)} is not a fraction: write 0% to 100%, or a number from 0 to 1")
    return fraction


def format_bytes(size_bytes: int) -> str:
    """Three digits and a unit: "0 B", "512 MiB", "1.5 GiB". parse_size reads it."""
    value, power = float(abs(size_bytes)), 0
    while value >= 1023.5 and power < len(_SIZE_UNITS) - 1:
        value, power = value / 1024, power + 1
    unit = _SIZE_UNITS[power] + ("iB" if power else "")
    sign = "-" if size_bytes < 0 else ""
    return f"{sign}{_three_digits(value)} {unit}"


def format_bytes_apart(first_bytes: int, second_bytes: int) -> tuple[str, str]:
    """Both as `format_bytes`, with more digits if two different sizes would look alike: "503.6 GiB", "504.0 GiB"."""
    texts = format_bytes(first_bytes), format_bytes(second_bytes)
    decimals = 1
    while texts[0] == texts[1] and first_bytes != second_bytes:
        power = (max(first_bytes, second_bytes).bit_length() - 1) // 10
        first, second = (f"{size / 1024**power:,.{decimals}f}" for size in (first_bytes, second_bytes))
        texts = f"{first} {_SIZE_UNITS[power]}iB", f"{second} {_SIZE_UNITS[power]}iB"
        decimals += 1
    return texts


def format_duration(duration_s: float) -> str:
    """The two largest units: "250ms", "3.5s", "1m30s", "2h5m", "3d4h". parse_duration reads it.

    What is not finite is "unknown".
    """
    if not math.isfinite(duration_s):
        return "unknown"
    if duration_s < 0:
        return f"-{format_duration(-duration_s)}"
    if duration_s < 0.9995:
        return f"{_three_digits(duration_s * 1000)}ms" if duration_s else "0s"
    if duration_s < 59.95:
        return f"{_three_digits(duration_s)}s"
    return _whole_units(round(duration_s))


def format_rate(per_s: float) -> str:
    """How often, in a unit that makes it at least one where one does: "1,230/s", "12.5/s", "40/min", "3/h"."""
    if per_s >= 0.9995 or per_s <= 0:
        return f"{_three_digits(per_s)}/s"
    if per_s * 60 >= 0.9995:
        return f"{_three_digits(per_s * 60)}/min"
    return f"{_three_digits(per_s * 3600)}/h"


def _duration_s(text: str) -> float | None:
    if bare := _BARE_NUMBER.fullmatch(text):
        return float(bare[1])
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    return math.fsum(float(n) * s for n, s in zip(match.groups(), _DURATION_UNITS.values(), strict=True) if n)


def _whole_units(seconds: int) -> str:
    for large_s, large, small_s, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= large_s:
            rest = seconds % large_s // small_s
            return f"{seconds // large_s}{large}" + (f"{rest}{small}" if rest else "")
    return f"{seconds}s"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…")
