"""How fast memory is taken beyond what was known, what is kept free for it, and when to look again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from distcomp.model import NodeMemory
from distcomp.packing import (
    Load,
    NodeLimits,
    NodeUse,
    Tuning,
    growth_bytes,
    is_close,
    line_bytes,
    look_interval_s,
    seen,
    start_line_bytes,
    trend_bytes_per_s,
    trend_horizon_s,
)

GIB = 1 << 30
TUNING = Tuning(burst=4, react_s=0.1, trend_s=0.3)
LIMITS = NodeLimits(cores=4, max_attempts=0, keep_free_bytes=1 * GIB, tuning=TUNING)
NODE = NodeUse(NodeMemory(64 * GIB, 40 * GIB), growth_bytes=0, busy_cores=0, typical_cores=1)


def load(key: int, used_gib: float, known_gib: float = 0, need_gib: float = 0, *, is_new: bool = False) -> Load:
    return Load(key, int(used_gib * GIB), int(known_gib * GIB), 0, is_new, int(need_gib * GIB))


def grown(
    before: list[Load], now: list[Load], available_before_gib: float = 64, available_now_gib: float = 64
) -> float:
    first = seen(NodeMemory(64 * GIB, int(available_before_gib * GIB)), before)
    second = seen(NodeMemory(64 * GIB, int(available_now_gib * GIB)), now)
    return growth_bytes(first, second, now) / GIB


# Growth


def test_growth_is_what_attempts_take_beyond_all_they_had_shown() -> None:
    assert grown([load(1, 2), load(2, 5, known_gib=8)], [load(1, 3), load(2, 7, known_gib=8)]) == 1


def test_an_attempt_that_shrinks_does_not_hide_another_that_grows() -> None:
    """The saw of one and the ramp of another: the sum of both would look calm."""
    assert grown([load(1, 9), load(2, 1)], [load(1, 1, known_gib=9), load(2, 3)]) == 2


def test_an_attempt_that_has_ended_hides_nothing() -> None:
    assert grown([load(1, 9), load(2, 1)], [load(2, 3)]) == 2


def test_an_attempt_that_has_just_started_counts_from_what_its_task_is_known_to_need() -> None:
    assert grown([], [load(1, 2)]) == 2
    assert grown([], [load(1, 2, known_gib=6, need_gib=6)]) == 0
    assert grown([], [load(1, 7, known_gib=6, need_gib=6)]) == 1


def test_the_growth_of_others_counts_and_their_ups_and_downs_cancel_out() -> None:
    quiet = [load(1, 4)]
    assert grown(quiet, quiet, available_before_gib=50, available_now_gib=47) == 3
    assert grown(quiet, quiet, available_before_gib=47, available_now_gib=50) == -3


# The lines


def test_the_line_is_the_setting_or_what_will_be_taken_before_anybody_can_act() -> None:
    assert line_bytes(NODE, LIMITS) == GIB
    assert line_bytes(replace(NODE, growth_bytes=2 * GIB, since_s=0.1), LIMITS) == 3 * GIB


def test_the_line_does_not_depend_on_how_long_ago_the_last_look_was() -> None:
    assert line_bytes(replace(NODE, growth_bytes=20 * GIB, since_s=1.0), LIMITS) == 3 * GIB


def test_a_look_right_after_another_does_not_see_growth_without_end() -> None:
    """50 MiB in a millisecond are not 50 GiB in a second: they would send everybody back."""
    soon = replace(NODE, growth_bytes=50 * 2**20, since_s=0.001)
    assert line_bytes(soon, LIMITS) == GIB
    assert line_bytes(soon, replace(LIMITS, keep_free_bytes=0)) == 150 * 2**20


def test_memory_that_others_give_back_does_not_lower_the_line() -> None:
    assert line_bytes(replace(NODE, growth_bytes=-9 * GIB), LIMITS) == GIB


def test_starts_need_more_memory_while_what_runs_still_grows() -> None:
    growing = replace(NODE, trend_bytes_per_s=0.1 * GIB, typical_wall_s=600)
    assert start_line_bytes(growing, LIMITS) == pytest.approx(7.2 * GIB)
    assert line_bytes(growing, LIMITS) == GIB, "nobody goes back for growth that may end soon"


def test_the_trend_tells_of_an_eighth_of_an_attempt_or_of_an_instant() -> None:
    assert trend_horizon_s(600, LIMITS) == pytest.approx(72)
    assert trend_horizon_s(0, LIMITS) == trend_horizon_s(1, LIMITS) == 0.3


def test_the_trend_follows_growth_over_a_quarter_of_its_horizon() -> None:
    trend, seconds = 0.0, 0
    while trend < 0.9 * GIB:
        trend, seconds = trend_bytes_per_s(trend, GIB, 1.0, horizon_s=40.0), seconds + 1
    assert 20 <= seconds <= 25
    assert trend_bytes_per_s(trend, GIB // 2, 0.5, 40.0) == pytest.approx(trend, rel=0.02), "whatever the interval"


def test_a_look_at_the_same_moment_as_the_last_tells_of_a_trend_too() -> None:
    assert 0 < trend_bytes_per_s(0.0, GIB, 0.0, 40.0) < GIB


# When to look again


def test_a_node_with_plenty_of_memory_is_looked_at_once_a_second() -> None:
    assert look_interval_s(NODE, [load(1, 3)], LIMITS) == 1.0


def test_a_node_near_its_line_is_looked_at_often() -> None:
    near = replace(NODE, memory=NodeMemory(64 * GIB, int(1.1 * GIB)))
    assert look_interval_s(near, [load(1, 3)], LIMITS) == 0.05


def test_looks_come_before_half_of_what_is_free_could_be_taken_without_warning() -> None:
    """Four cores fill 8 GiB in a second."""
    middle = replace(NODE, memory=NodeMemory(64 * GIB, 3 * GIB))
    assert look_interval_s(middle, [load(1, 3)], LIMITS) == pytest.approx(0.125)


def test_looks_come_before_half_of_what_is_free_is_taken_at_the_present_rate() -> None:
    fast = replace(NODE, memory=NodeMemory(64 * GIB, 11 * GIB), growth_bytes=10 * GIB, since_s=0.5)
    assert look_interval_s(fast, [load(1, 3)], LIMITS) == pytest.approx((11 - 3) / 20 / 2)


def test_what_was_just_started_or_killed_is_looked_at_soon() -> None:
    """Until then nothing more may start, or nobody knows what was freed."""
    assert look_interval_s(NODE, [load(1, 3), load(2, 0, is_new=True)], LIMITS) == 0.05
    assert look_interval_s(NODE, [load(1, 3), replace(load(2, 1), is_dying=True)], LIMITS) == 0.05
    assert look_interval_s(replace(NODE, is_stalled=True), [load(1, 3)], LIMITS) == 0.05


def test_one_jump_on_a_small_node_does_not_send_back_everybody() -> None:
    small = replace(NODE, memory=NodeMemory(GIB, GIB // 2), growth_bytes=GIB // 4, since_s=0.05)
    assert line_bytes(small, replace(LIMITS, keep_free_bytes=0)) == GIB // 4


def test_glances_are_for_when_what_is_free_could_be_gone_before_the_next_look() -> None:
    """4 cores that fill 2 GiB/s each take 0.4 GiB in 50 ms; 1 GiB has to be free."""
    assert is_close(replace(NODE, memory=NodeMemory(64 * GIB, int(1.3 * GIB))), LIMITS)
    assert not is_close(replace(NODE, memory=NodeMemory(64 * GIB, int(1.5 * GIB))), LIMITS)
