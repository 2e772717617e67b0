"""Failures in a row are counted until a success, or a pause, ends the row."""

from __future__ import annotations

import pytest

from distcomp.model import Cause
from distcomp.worker.streak import DOUBTFUL, QUIET_S, Streak
from tests.support.values import outcome


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_failures_are_counted_until_a_success(clock: Clock) -> None:
    streak = Streak(clock)
    for task_id in ("a", "b", "a"):
        streak.note(task_id, outcome(Cause.EXIT))
        clock.now_s += 1
    assert (streak.failed, streak.lasts_s) == (["a", "b", "a"], 3)
    assert not streak.has_succeeded
    streak.note("c", outcome(Cause.FINISHED))
    assert streak.failed == []
    streak.note("d", outcome(Cause.EXIT))
    assert streak.has_succeeded, "and stays so"


@pytest.mark.parametrize("cause", [Cause.EVICTED, Cause.OOM, Cause.TIMEOUT, Cause.DRAINED])
def test_what_says_nothing_of_the_node_does_not_count(clock: Clock, cause: Cause) -> None:
    streak = Streak(clock)
    streak.note("a", outcome(cause))
    assert streak.failed == []


def test_a_pause_ends_the_row(clock: Clock) -> None:
    """The node may have been mended meanwhile."""
    streak = Streak(clock)
    streak.note("a", outcome(Cause.EXIT))
    clock.now_s += QUIET_S + 1
    streak.note("b", outcome(Cause.EXIT))
    assert (streak.failed, streak.lasts_s) == (["b"], 0)


def test_a_failure_may_be_the_nodes_where_nothing_has_succeeded_or_several_have_failed_in_a_row(clock: Clock) -> None:
    streak, failed = Streak(clock), outcome(Cause.EXIT)
    streak.note("a", failed)
    assert streak.may_be_the_nodes(failed, has_failed_before=True), "nothing has succeeded here"
    streak.note("b", outcome(Cause.FINISHED))
    for number in range(DOUBTFUL):
        assert not streak.may_be_the_nodes(failed, has_failed_before=False)
        streak.note(f"c{number}", failed)
    assert streak.may_be_the_nodes(failed, has_failed_before=False)
    assert not streak.may_be_the_nodes(failed, has_failed_before=True), "it has failed elsewhere, too"
    assert not streak.may_be_the_nodes(outcome(Cause.TIMEOUT), has_failed_before=False)
