"""What may start on a node, what goes back, what is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.model import Cause, Claim, JobContext, NodeMemory, Outcome, TaskSpec, Usage
from distcomp.packing import (
    Done,
    GiveUp,
    Load,
    NodeLimits,
    NodeUse,
    PutBack,
    TryAgain,
    Victim,
    after_end,
    relieve_pressure,
    room,
)

GIB = 1 << 30
LIMITS = NodeLimits(cores=4, max_attempts=0, keep_free_bytes=1 * GIB)


def use(
    available_gib: float, *, total_gib: float = 32, growth_gib: float = 0, busy: float = 0, typical: float = 1
) -> NodeUse:
    return NodeUse(NodeMemory(int(total_gib * GIB), int(available_gib * GIB)), int(growth_gib * GIB), busy, typical)


def load(
    key: int, used_gib: float = 0, known_gib: float = 0, cores: float = 0, cpu_s: float = 0, *, is_new: bool = False
) -> Load:
    return Load(key, int(used_gib * GIB), int(known_gib * GIB), cores, is_new, cpu_s)


# Admission


def test_an_empty_node_takes_a_task_whatever_it_may_need() -> None:
    """Even where other people's programs leave no memory: else nothing would ever run there."""
    grown = room(use(0.1), [], LIMITS)
    assert grown.attempts >= 1
    assert grown.memory_bytes == 32 * GIB


def test_nothing_starts_while_memory_is_short() -> None:
    assert room(use(1.0), [load(1, 31)], LIMITS).attempts == 0


def test_memory_that_grows_leaves_less_room() -> None:
    assert room(use(10), [load(1)], LIMITS).memory_bytes == 9 * GIB
    assert room(use(10, growth_gib=4), [load(1)], LIMITS).memory_bytes == 4 * GIB


def test_what_attempts_are_known_to_need_is_not_given_to_others() -> None:
    """It is free now, but one that comes back after an eviction will grow to it again."""
    assert room(use(30), [load(1, used_gib=1, known_gib=20)], LIMITS).memory_bytes == 11 * GIB


def test_a_node_takes_as_many_as_its_cores_keep_busy() -> None:
    assert room(use(30), [], LIMITS).attempts == 4
    assert room(use(30, busy=4), [load(n) for n in range(4)], LIMITS).attempts == 0


def test_a_node_whose_cores_are_idle_takes_a_few_more_with_each_look() -> None:
    waiting = [load(n) for n in range(8)]
    assert room(use(30, busy=0.2), waiting, LIMITS).attempts == 4
    not_looked_at = [*waiting, *(load(n, is_new=True) for n in range(8, 12))]
    assert room(use(30, busy=0.2), not_looked_at, LIMITS).attempts == 0
    assert room(use(30, busy=0.2), [load(n) for n in range(16)], LIMITS).attempts == 0, "four per core at most"


def test_declared_cores_are_kept_for_their_tasks() -> None:
    assert room(use(30), [load(1, cores=3)], LIMITS).cores == 1


def test_a_number_that_the_user_gave_is_the_number() -> None:
    limits = NodeLimits(cores=2, max_attempts=50, keep_free_bytes=0)
    assert room(use(30, busy=2), [load(n) for n in range(10)], limits).attempts == 40


# Eviction


def test_nobody_goes_back_while_there_is_room() -> None:
    assert relieve_pressure(use(1.0), [load(1, 20), load(2, 10)], LIMITS) == []


def test_the_newest_goes_back_and_no_more_than_it_takes() -> None:
    loads = [load(1, 10), load(2, 10), load(3, 3), load(4, 3)]
    assert [returned.key for returned in relieve_pressure(use(0.5), loads, LIMITS)] == [4]
    assert [returned.key for returned in relieve_pressure(use(0, growth_gib=3), loads, LIMITS)] == [4, 3]


def test_the_cheapest_loses_least_work_for_its_memory() -> None:
    limits = NodeLimits(4, 0, GIB, Victim.CHEAPEST)
    loads = [load(1, 20), load(2, 5, cpu_s=100), load(3, 5, cpu_s=3), load(4, 0.1, cpu_s=0)]
    assert [returned.key for returned in relieve_pressure(use(0.0), loads, limits)] == [3]


def test_the_reason_has_the_numbers() -> None:
    [returned] = relieve_pressure(use(0.5), [load(1, 20), load(2, 10)], LIMITS)
    assert returned.reason == (
        "memory was short: 512 MiB of 32768 MiB available, 1024 MiB to be kept free; it used 10240 MiB"
    )


@given(
    used=st.lists(st.integers(0, 40), min_size=1, max_size=20),
    available=st.integers(0, 32),
    victim=st.sampled_from(Victim),
)
def test_the_oldest_is_never_evicted(used: list[int], available: int, victim: Victim) -> None:
    loads = [load(key, gib) for key, gib in enumerate(used)]
    limits = NodeLimits(4, 0, 40 * GIB, victim)
    returned = [one.key for one in relieve_pressure(use(available), loads, limits)]
    assert 0 not in returned
    assert len(returned) == len(set(returned))


# After the end


def a_claim(failures: int = 0, retries: int | None = None, job_retries: int | None = None) -> Claim:
    context = JobContext("/", retries=job_retries)
    return Claim("0" * 16, 1, 1, 1, TaskSpec("x", retries=retries), context, failures=failures, need_bytes=5 * GIB)


def ended(cause: Cause, exit_code: int | None = 1, peak_gib: int = 0) -> Outcome:
    return Outcome(cause, "n", 1, 0, 0, Usage(peak_bytes=peak_gib * GIB), exit_code)


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


def test_a_task_evicted_remembers_the_most_it_ever_needed() -> None:
    assert after_end(a_claim(), ended(Cause.EVICTED, peak_gib=7), 0, 1.0) == PutBack(7 * GIB)
    assert after_end(a_claim(), ended(Cause.EVICTED, peak_gib=3), 0, 1.0) == PutBack(5 * GIB)
    assert after_end(a_claim(), ended(Cause.FINISHED), 0, 1.0) == Done()
