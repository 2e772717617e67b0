"""What becomes of a task when an attempt has ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.model import Cause, Claim, JobContext, Outcome, TaskSpec, Usage
from distcomp.packing import (
    Done,
    GiveUp,
    Place,
    PutBack,
    TryAgain,
    after_end,
    is_kernel_oom,
    is_starving,
    may_make_room,
    need_after,
)

GIB = 1 << 30


def a_claim(failures: int = 0, retries: int | None = None, job_retries: int | None = None) -> Claim:
    context = JobContext("/", retries=job_retries)
    return Claim("0" * 16, 1, 1, 1, TaskSpec("x", retries=retries), context, failures=failures, need_bytes=5 * GIB)


def ended(cause: Cause, exit_code: int | None = 1, peak_gib: float = 0) -> Outcome:
    return Outcome(cause, "n", 1, 0, 0, Usage(peak_bytes=int(peak_gib * GIB)), exit_code)


# Failures


def test_a_failure_is_tried_again_after_a_growing_delay_until_tries_are_used_up() -> None:
    answers = [after_end(a_claim(failures), ended(Cause.EXIT), 2, 1.0) for failures in range(4)]
    assert answers == [TryAgain(1.0, False), TryAgain(2.0, False), GiveUp(), GiveUp()]
    assert after_end(a_claim(20), ended(Cause.EXIT), 99, 1.0) == TryAgain(60.0, False)


@pytest.mark.parametrize(
    ("retries", "job_retries", "expected"), [(0, 5, GiveUp()), (None, 0, GiveUp()), (1, 0, TryAgain(1, False))]
)
def test_the_tasks_own_retries_come_before_its_jobs(
    retries: int | None, job_retries: int | None, expected: object
) -> None:
    assert after_end(a_claim(0, retries, job_retries), ended(Cause.TIMEOUT), 2, 1.0) == expected


@pytest.mark.parametrize("exit_code", [126, 127])
def test_what_cannot_be_executed_here_is_tried_elsewhere(exit_code: int) -> None:
    assert after_end(a_claim(), ended(Cause.EXIT, exit_code), 2, 1.0) == TryAgain(1.0, True)


@pytest.mark.parametrize("cause", [Cause.EVICTED, Cause.OOM, Cause.LOST, Cause.DRAINED])
def test_what_is_not_the_tasks_fault_uses_up_no_retries(cause: Cause) -> None:
    assert isinstance(after_end(a_claim(99), ended(cause), 0, 1.0), PutBack)


# Memory


def test_a_task_evicted_remembers_the_most_it_ever_needed() -> None:
    assert after_end(a_claim(), ended(Cause.EVICTED, peak_gib=7), 0, 1.0) == PutBack(7 * GIB)
    assert after_end(a_claim(), ended(Cause.EVICTED, peak_gib=3), 0, 1.0) == PutBack(5 * GIB)
    assert after_end(a_claim(), ended(Cause.OOM, peak_gib=7), 0, 1.0) == PutBack(7 * GIB)
    assert after_end(a_claim(), ended(Cause.FINISHED), 0, 1.0) == Done()
    assert after_end(a_claim(), ended(Cause.DRAINED, peak_gib=7), 0, 1.0) == PutBack(0)


def test_needs_are_rounded_up_so_that_similar_tasks_share_a_queue() -> None:
    """A queue for each need would make a claim cost as much as there are returned tasks."""
    assert need_after(int(9.01 * GIB), 0, Place()) == need_after(int(9.4 * GIB), 0, Place()) == int(9.5 * GIB)


@given(peak=st.integers(0, 1 << 50), before=st.integers(0, 1 << 50))
def test_a_need_never_shrinks_and_is_never_much_more_than_was_reached(peak: int, before: int) -> None:
    need = need_after(peak, before, Place())
    assert need >= max(peak, before)
    assert need == before or need <= peak * 17 / 16 + 1


@given(peak=st.integers(0, 64 * GIB))
def test_a_need_is_never_rounded_beyond_the_node_that_held_it(peak: int) -> None:
    """Else no node could hold it again."""
    assert need_after(peak, 0, Place(node_bytes=64 * GIB)) <= 64 * GIB


@pytest.mark.parametrize("cause", [Cause.OOM, Cause.EVICTED])
def test_an_attempt_that_outgrew_a_node_alone_needs_a_larger_one(cause: Cause) -> None:
    """However little of it was seen: it may have jumped between two looks."""
    place = Place(node_bytes=64 * GIB, largest_bytes=128 * GIB, was_alone=True)
    assert after_end(a_claim(), ended(cause, peak_gib=9), 0, 1.0, place) == PutBack(64 * GIB + 1)


def test_what_is_known_of_a_task_is_not_forgotten_on_a_smaller_node() -> None:
    assert need_after(31 * GIB, 40 * GIB, Place(32 * GIB, was_alone=True)) == 40 * GIB
    assert need_after(31 * GIB, 40 * GIB, Place(32 * GIB)) == 40 * GIB


@pytest.mark.parametrize("place", [Place(32 * GIB), Place(was_alone=True)])
def test_a_task_that_did_not_outgrow_a_node_that_is_known_needs_what_it_reached(place: Place) -> None:
    assert need_after(3 * GIB, 0, place) == 3 * GIB


def test_an_attempt_that_outgrew_the_largest_node_alone_fails_and_says_so() -> None:
    place = Place(node_bytes=64 * GIB, largest_bytes=64 * GIB, was_alone=True)
    assert after_end(a_claim(), ended(Cause.OOM, peak_gib=63.5), 9, 1.0, place) == GiveUp(
        "it outgrew a node that it had to itself, reaching 63.5 GiB, and no node has more than 64 GiB"
    )


def test_an_attempt_that_was_not_alone_may_try_the_same_node_again() -> None:
    place = Place(node_bytes=64 * GIB, largest_bytes=64 * GIB)
    assert after_end(a_claim(), ended(Cause.OOM, peak_gib=64.2), 0, 1.0, place) == PutBack(64 * GIB)


# The kernel's kills


def test_an_attempt_killed_while_the_kernels_counter_moved_was_out_of_memory() -> None:
    assert is_kernel_oom(9, None, oom_kills=1)
    assert is_kernel_oom(None, 137, oom_kills=1), "a shell says so of its child"
    assert not is_kernel_oom(9, None, oom_kills=0), "somebody else killed it"
    assert not is_kernel_oom(15, None, oom_kills=1)
    assert not is_kernel_oom(None, 1, oom_kills=1), "another attempt was the victim"
    assert not is_kernel_oom(9, None, oom_kills=1, was_killed_by_us=True)


def test_the_attempts_own_counter_tells_of_a_child_whatever_the_first_process_made_of_it() -> None:
    assert is_kernel_oom(None, 1, oom_kills=1, own_oom_kills=1)
    assert not is_kernel_oom(None, 0, oom_kills=1, own_oom_kills=1), "it did without that child"


# Starvation


def test_a_task_that_came_back_often_or_waited_for_long_is_starving() -> None:
    assert not is_starving(7, 1799)
    assert is_starving(8, 0)
    assert is_starving(0, 1800)


def test_nodes_with_memory_to_spare_make_room_first() -> None:
    """What a task had reached when it went back is likely not all that it needs."""
    assert may_make_room(50 * GIB, 64 * GIB, waited_s=0)
    assert not may_make_room(60 * GIB, 64 * GIB, waited_s=1800)
    assert may_make_room(60 * GIB, 64 * GIB, waited_s=3600), "there may be no larger node"
    assert not may_make_room(65 * GIB, 64 * GIB, waited_s=1e9)
