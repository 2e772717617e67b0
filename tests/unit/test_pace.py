"""How fast tasks end, and how long the rest takes."""

from __future__ import annotations

import pytest

from distcomp.api.pace import eta_s, rate_per_s


def test_the_rate_is_right_from_the_first_second_on() -> None:
    """Tasks of 0.1 s, 4 at once, begun 2 s ago."""
    assert rate_per_s(80, since_s=1.9, mean_wall_s=0.1) == pytest.approx(40)


def test_one_end_a_moment_ago_is_not_a_rate_of_one_in_a_moment() -> None:
    """Its attempt took half a minute."""
    assert rate_per_s(1, since_s=0.5, mean_wall_s=30) == pytest.approx(1 / 30.5)


def test_a_minute_is_the_longest_that_counts() -> None:
    assert rate_per_s(600, since_s=60.5, mean_wall_s=5) == 10
    assert rate_per_s(0, since_s=0, mean_wall_s=5) == 0


def test_what_is_left_at_the_rate_of_the_last_minute() -> None:
    assert eta_s(100, per_s=10, ends=600, running=4, mean_wall_s=99) == 10


def test_where_few_have_ended_it_goes_by_what_attempts_took() -> None:
    """Tasks of ten minutes, 4 at once: one has ended just now, or none in the last minute."""
    assert eta_s(40, per_s=1 / 60, ends=1, running=4, mean_wall_s=600) == 6000
    assert eta_s(40, per_s=0, ends=0, running=4, mean_wall_s=600) == 6000


def test_what_cannot_be_known_is_not_told() -> None:
    assert eta_s(40, per_s=0, ends=0, running=4, mean_wall_s=0) is None
    assert eta_s(40, per_s=0, ends=0, running=0, mean_wall_s=600) is None
    assert eta_s(0, per_s=0, ends=0, running=0, mean_wall_s=0) == 0
