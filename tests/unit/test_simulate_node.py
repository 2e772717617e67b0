"""The physics of a simulated node: what attempts use, how fast they get on, and what happens when memory is out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.simulate.node import Kernel, Node
from distcomp.simulate.workload import NodeSpec, Task, lower_bound_s

GIB = 2**30
SPEC = NodeSpec(memory_bytes=10 * GIB, cores=4, kill_s=0.5, kill_s_per_gib=0.25)


def a_task(number: int, *points: tuple[float, float], cores: float = 1.0) -> Task:
    """Points are in seconds and GiB."""
    return Task(number, tuple((at_s, gib * GIB) for at_s, gib in points), cores)


def flat(number: int, gib: float, work_s: float = 10, cores: float = 1.0) -> Task:
    return a_task(number, (0, gib), (work_s, gib), cores=cores)


def a_node(*tasks: Task, spec: NodeSpec = SPEC, kernel: Kernel = Kernel.NEWEST, need_gib: float = 0) -> Node:
    node = Node(0, spec, kernel)
    for task in tasks:
        node.start(task, need_gib * GIB)
    return node


def pass_time(node: Node, until_s: float) -> None:
    while (next_s := node.next_event_s()) < until_s:
        node.advance(next_s)
    node.advance(until_s)


def ends_s(node: Node) -> dict[int, float]:
    """When each task's attempt was over."""
    ends: dict[int, float] = {}
    while node.running or node.dying:
        node.advance(node.next_event_s())
        ends.update(
            {over.attempt.task.number: node.now_s for over in node.over if over.attempt.task.number not in ends}
        )
    return ends


def test_memory_follows_the_course_of_each_task() -> None:
    node = a_node(flat(1, 2), a_task(2, (0, 0), (4, 4), (10, 1)))
    pass_time(node, 2)
    assert node.used_bytes == pytest.approx(4 * GIB)
    pass_time(node, 7)
    assert node.used_bytes == pytest.approx(4.5 * GIB)
    assert node.available_bytes == pytest.approx(5.5 * GIB)


def test_attempts_that_share_too_few_cores_get_on_more_slowly() -> None:
    assert ends_s(a_node(*(flat(n, 1) for n in range(4)))) == dict.fromkeys(range(4), pytest.approx(10))
    assert ends_s(a_node(*(flat(n, 1) for n in range(8)))) == dict.fromkeys(range(8), pytest.approx(20))


def test_attempts_that_mostly_wait_are_not_slowed_down_by_busy_ones() -> None:
    sleepers = [flat(n, 0.1, cores=0.01) for n in range(4)]
    ends = ends_s(a_node(*sleepers, *(flat(n, 1) for n in range(4, 12))))
    assert ends[0] == pytest.approx(10)
    assert ends[4] == pytest.approx(20, rel=0.02)


def test_to_take_memory_costs_cores_too() -> None:
    spec = replace(SPEC, cores=1, fill_bytes_per_s=1 * GIB)
    growers = [a_task(n, (0, 0), (1, 1), (10, 1), cores=0.01) for n in range(3)]
    assert ends_s(a_node(*growers, spec=spec))[0] == pytest.approx(3 + 9)


def test_memory_of_a_killed_attempt_is_free_when_it_is_gone() -> None:
    node = a_node(flat(1, 2), flat(2, 4))
    pass_time(node, 1)
    node.kill(node.running[1])
    assert node.available_bytes == pytest.approx(4 * GIB)
    pass_time(node, 2.49)
    assert not node.over
    assert node.dying_bytes == pytest.approx(4 * GIB)
    pass_time(node, 2.51)
    assert [(over.attempt.task.number, over.is_killed, over.is_oom) for over in node.over] == [(2, True, False)]
    assert node.available_bytes == pytest.approx(8 * GIB)


def test_what_is_known_is_a_record_and_rises_only_beyond_what_was_known_before() -> None:
    node = a_node(a_task(1, (0, 0), (4, 4), (6, 1), (10, 5)), need_gib=2)
    pass_time(node, 2)
    assert (node.known_bytes, node.risen_bytes) == (2 * GIB, 0)
    pass_time(node, 6)
    assert node.known_bytes == pytest.approx(4 * GIB)
    assert node.risen_bytes == pytest.approx(2 * GIB)
    pass_time(node, 9)
    assert node.risen_bytes == pytest.approx(2 * GIB), "to four again, which was known"
    pass_time(node, 9.9)
    assert node.risen_bytes == pytest.approx(2.9 * GIB)


@pytest.mark.parametrize(("kernel", "victim"), [(Kernel.NEWEST, 2), (Kernel.LARGEST, 1)])
def test_the_kernel_kills_when_memory_is_out(kernel: Kernel, victim: int) -> None:
    growing = a_task(1, (0, 0), (8, 8), (10, 8))
    node = a_node(growing, flat(2, 4), kernel=kernel)
    while not node.over:
        node.advance(node.next_event_s())
    [over] = node.over
    assert (over.attempt.task.number, over.is_oom, over.was_alone) == (victim, True, False)
    assert node.now_s == pytest.approx(6)
    assert node.oom_kills == 1


def test_an_attempt_that_the_kernel_kills_alone_was_alone() -> None:
    node = a_node(a_task(1, (0, 0), (20, 20)))
    pass_time(node, 11)
    assert [over.was_alone for over in node.over] == [True]
    assert node.over[0].attempt.known_bytes == pytest.approx(10 * GIB)


def test_on_a_node_that_stalls_growing_attempts_wait_and_others_go_on() -> None:
    node = a_node(a_task(1, (0, 0), (8, 8), (10, 8)), flat(2, 4), spec=replace(SPEC, is_stalling=True))
    pass_time(node, 8)
    assert (node.stalls, node.oom_kills, node.is_stalled) == (1, 0, True)
    assert node.running[0].done_s == pytest.approx(6)
    assert node.running[1].done_s == pytest.approx(8)
    node.kill(node.running[1])
    pass_time(node, 9.5 + 4)
    assert not node.is_stalled
    assert [over.attempt.task.number for over in node.over] == [2, 1]


def test_what_was_used_is_accounted_for() -> None:
    node = a_node(flat(1, 2), flat(2, 4, work_s=5))
    pass_time(node, 20)
    assert node.memory_byte_s == pytest.approx((2 * 10 + 4 * 5) * GIB)
    assert node.core_s == pytest.approx(15)


COURSE = st.lists(st.tuples(st.floats(0.1, 5), st.floats(0, 4)), min_size=1, max_size=5)


@given(courses=st.lists(COURSE, min_size=1, max_size=6), need_gib=st.floats(0, 5))
def test_sums_are_the_sums_of_the_attempts(courses: list[list[tuple[float, float]]], need_gib: float) -> None:
    """The node keeps sums, as lines, so that a look costs little: they must not drift from what they stand for."""
    tasks = []
    for number, course in enumerate(courses):
        at_s, points = 0.0, [(0.0, 0.5)]
        for length_s, level in course:
            at_s += length_s
            points.append((at_s, level))
        tasks.append(a_task(number, *points))
    node = a_node(*tasks, spec=replace(SPEC, memory_bytes=100 * GIB, cores=2), need_gib=need_gib)
    while math.isfinite(next_s := node.next_event_s()):
        node.advance((node.now_s + next_s) / 2)
        assert node.used_bytes == pytest.approx(sum(one.used_bytes for one in node.running), abs=100)
        known = sum(max(one.known_bytes, one.used_bytes) for one in node.running)
        assert node.known_bytes == pytest.approx(known, abs=100)
        node.advance(node.next_event_s())
    for over in node.over:
        assert over.attempt.held_byte_s == pytest.approx(over.attempt.task.memory_byte_s, rel=1e-6)
    assert len(node.over) == len(tasks)


def test_the_lower_bound_is_memory_or_cores_or_the_longest_task() -> None:
    assert lower_bound_s([flat(n, 5) for n in range(6)], [SPEC]) == pytest.approx(30)
    assert lower_bound_s([flat(n, 1) for n in range(6)], [SPEC]) == pytest.approx(15)
    assert lower_bound_s([flat(0, 1)], [SPEC]) == pytest.approx(10)
    assert lower_bound_s([flat(n, 5) for n in range(6)], [SPEC] * 3) == pytest.approx(10)
