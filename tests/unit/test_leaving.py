"""Times: when a worker has to be gone, and what it does before."""

from __future__ import annotations

import datetime

import pytest

from distcomp.cli.wishing import until_s
from distcomp.packing import leaving_times_s

NOW = datetime.datetime(2026, 11, 22, 17, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("18:00", 1), ("9:30", 16.5), ("2h", 2), ("2026-11-23T17:00", 24), ("2026-11-22T18:00+00:00", 1), ("1800", 0.5)],
)
def test_a_time_is_one_of_the_day_a_date_or_a_duration(text: str, hours: float) -> None:
    assert until_s(text, NOW) - NOW.timestamp() == hours * 3600


@pytest.mark.parametrize("text", ["2026-11-22T16:00", "25:00", "soon"])
def test_what_is_over_or_no_time_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        until_s(text, NOW)


@pytest.mark.parametrize(
    ("left_s", "drain_in_s", "stop_in_s"),
    [(36_000, 36_000 - 30 - 600, 35_970), (600, 510, 570), (20, 8, 10), (0, 0, 0)],
)
def test_the_last_tenth_is_for_what_runs_and_the_last_half_minute_for_giving_back(
    left_s: float, drain_in_s: float, stop_in_s: float
) -> None:
    assert leaving_times_s(left_s) == (drain_in_s, stop_in_s)
