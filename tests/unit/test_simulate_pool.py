"""The simulator's pool claims as the store does."""

from __future__ import annotations

from collections.abc import Sequence

from distcomp.model import NodeRoom
from distcomp.simulate.pool import Pool, Waiting
from distcomp.simulate.workload import Task

GIB = 2**30


def a_task(number: int, declared_gib: float = 0) -> Task:
    return Task(number, ((0, 0), (1, 1)), declared_bytes=int(declared_gib * GIB))


def a_room(attempts: int, memory_gib: float, *, unknown_waits: bool = False) -> NodeRoom:
    return NodeRoom(attempts, int(memory_gib * GIB), 8, 64 * GIB, 8, unknown_waits)


def a_pool(fresh: Sequence[int] = (), returned: dict[int, float] | None = None) -> Pool:
    """Returned tasks with what they are known to need, in GiB."""
    pool = Pool(a_task(number) for number in fresh)
    for number, need_gib in (returned or {}).items():
        pool.put_back(a_task(number), int(need_gib * GIB), now_s=0)
    return pool


def numbers(claimed: Sequence[Waiting]) -> list[int]:
    return [waiting.task.number for waiting in claimed]


def test_the_oldest_that_fit_are_claimed_and_no_more_than_fit_together() -> None:
    pool = a_pool(fresh=[10, 11, 12], returned={1: 30, 2: 5, 3: 3, 4: 4})
    assert numbers(pool.claim(a_room(5, 10), 0)) == [2, 3, 10, 11, 12]
    assert numbers(pool.claim(a_room(5, 40), 0)) == [1, 4]
    assert len(pool) == 0


def test_what_users_declared_is_what_is_known_of_a_fresh_task() -> None:
    pool = Pool([a_task(1, declared_gib=8), a_task(2)])
    assert numbers(pool.claim(a_room(5, 7), 0)) == [2]
    [waiting] = pool.claim(a_room(5, 9), 0)
    assert (waiting.task.number, waiting.need_bytes) == (1, 8 * GIB)


def test_tasks_of_unknown_need_wait_for_older_ones_that_need_more_room() -> None:
    pool = a_pool(fresh=[10], returned={1: 30, 2: 5})
    assert numbers(pool.claim(a_room(5, 10, unknown_waits=True), 0)) == [2]
    assert numbers(pool.claim(a_room(5, 31, unknown_waits=True), 0)) == [1, 10]


def test_tasks_of_unknown_need_do_not_wait_for_what_no_room_here_will_ever_hold() -> None:
    assert numbers(a_pool(fresh=[10], returned={1: 65}).claim(a_room(5, 10, unknown_waits=True), 0)) == [10]


def test_tasks_of_unknown_need_do_not_wait_for_younger_ones() -> None:
    assert numbers(a_pool(fresh=[10], returned={11: 30}).claim(a_room(5, 10, unknown_waits=True), 0)) == [10]


def test_a_starving_task_is_claimed_alone_though_there_is_no_room() -> None:
    pool = a_pool(fresh=[10], returned={1: 30, 2: 5})
    assert numbers(pool.claim(a_room(5, 2), now_s=1799)) == [10]
    assert numbers(pool.claim(a_room(5, 2), now_s=1800)) == [1]


def test_a_task_that_came_back_often_is_starving() -> None:
    pool = a_pool()
    for _ in range(8):
        pool.put_back(a_task(1), 30 * GIB, now_s=0)
        claimed = pool.claim(a_room(5, 2), 0) or pool.claim(a_room(5, 31), 0)
    assert claimed[0].returns == 8


def test_who_makes_no_room_is_given_no_starving_task() -> None:
    assert not a_pool(returned={1: 30}).claim(a_room(5, 2), now_s=9999, makes_room=False)


def test_whether_a_claim_could_bring_anything_is_known_before_it() -> None:
    returned = a_pool(returned={1: 30})
    assert not returned.has_for(29 * GIB, 64 * GIB, 0)
    assert returned.has_for(30 * GIB, 64 * GIB, 0)
    assert returned.has_for(0, 64 * GIB, now_s=1800)
    assert not returned.has_for(0, 32 * GIB, now_s=1800)
    assert a_pool(fresh=[1]).has_for(0, 64 * GIB, 0)
