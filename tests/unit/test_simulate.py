"""Whole runs on a virtual clock: every task ends, the policy keeps its promises, and rivals come out as they should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import geometric_mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distcomp.packing import NodeLimits, Tuning, Victim
from distcomp.simulate import (
    BENCHMARK_NODE,
    FAMILIES,
    POLICIES,
    STUDY_NODE,
    NodeSpec,
    Simulation,
    Task,
    family,
    ours,
    simulate,
)
from distcomp.simulate.node import Node, Over
from distcomp.simulate.policy import Packing
from distcomp.simulate.pool import Pool

GIB = 2**30
SMALL = NodeSpec(memory_bytes=16 * GIB, cores=4)


def a_task(number: int, *points: tuple[float, float], cores: float = 1.0) -> Task:
    """Points are in seconds and GiB."""
    return Task(number, tuple((at_s, gib * GIB) for at_s, gib in points), cores)


class Watched(Packing):
    """Our policy, with its promises checked at each look."""

    def look(self, node: Node, pool: Pool, now_s: float) -> float:
        oldest = node.running[0] if node.running else None
        is_stalled_alone = node.is_stalled and len(node.running) == 1
        was_empty, waited = not node.running and not node.dying, len(pool)
        interval_s = super().look(node, pool, now_s)
        assert interval_s > 0
        assert oldest is None or oldest in node.running or is_stalled_alone, "the oldest was evicted"
        if was_empty and self._fits_any(waited, pool):
            assert node.running, "an empty node started nothing"
        return interval_s

    def ended(self, over: Over, node: Node) -> int:
        need_bytes = super().ended(over, node)
        if over.is_oom:
            assert all(other.key < over.attempt.key for other in node.running), "the kernel took an older one"
        if over.is_killed:
            assert need_bytes >= over.attempt.need_bytes, "what was known was forgotten"
            assert need_bytes > node.spec.memory_bytes or need_bytes >= int(over.attempt.known_bytes)
        return need_bytes

    def _fits_any(self, waited: int, pool: Pool) -> bool:
        return waited > 0 and (len(pool) < waited or bool(pool.fresh))


def watched(victim: Victim, spec: NodeSpec) -> Watched:
    return Watched(NodeLimits(spec.cores, 0, int(0.03 * spec.memory_bytes), victim), pauses=False)


COURSES = st.lists(
    st.lists(st.tuples(st.floats(0.05, 20), st.floats(0, 15)), min_size=1, max_size=4), min_size=1, max_size=25
)


def tasks_along(courses: Sequence[Sequence[tuple[float, float]]]) -> list[Task]:
    tasks = []
    for number, course in enumerate(courses):
        at_s, points = 0.0, [(0.0, 0.1)]
        for length_s, gib in course:
            at_s += length_s
            points.append((at_s, gib))
        tasks.append(a_task(number, *points))
    return tasks


@given(courses=COURSES, victim=st.sampled_from(Victim), is_stalling=st.booleans(), nodes=st.integers(1, 3))
@settings(max_examples=60)
def test_every_task_that_fits_a_node_ends(
    courses: Sequence[Sequence[tuple[float, float]]], victim: Victim, is_stalling: bool, nodes: int
) -> None:
    """Whatever course their memory takes: the oldest gets on, and what came back is started only where it fits."""
    tasks, spec = tasks_along(courses), replace(SMALL, is_stalling=is_stalling)
    simulation = Simulation(tasks, [spec] * nodes, lambda one: watched(victim, one))
    # Alone on a node, one after the other, each up to so often as there are tasks: nothing takes longer.
    most_s = 60 + len(tasks) * 4 * sum(task.work_s for task in tasks)
    report = simulation.run(until_s=most_s)
    assert (report.finished, report.failed) == (len(tasks), 0)
    assert simulation.is_over


@given(peaks=st.lists(st.floats(0.5, 60), min_size=1, max_size=12), is_stalling=st.booleans())
@settings(max_examples=40)
def test_what_outgrows_a_node_alone_moves_to_a_larger_one_or_fails(peaks: list[float], is_stalling: bool) -> None:
    nodes = [replace(SMALL, memory_bytes=gib * GIB, is_stalling=is_stalling) for gib in (8, 16, 32)]
    tasks = [a_task(number, (0, 0), (10, peak), (12, peak)) for number, peak in enumerate(peaks)]
    report = Simulation(tasks, nodes, lambda one: watched(Victim.CHEAPEST, one)).run(until_s=1e6)
    assert report.finished == sum(1 for peak in peaks if peak < 32)
    assert report.failed == sum(1 for peak in peaks if peak >= 32)


def test_tasks_that_all_grow_late_end_and_not_much_later_than_two_at_a_time() -> None:
    """Each is small for 85 % of its life, then takes 40 % of the node."""
    late = family("adversarial", 100, seed=1)
    two_at_a_time = simulate(late, [STUDY_NODE], "reserve-true")
    for victim in Victim:
        report = simulate(late, [STUDY_NODE], ours(victim))
        assert report.is_complete
        assert report.makespan_s <= 1.2 * two_at_a_time.makespan_s


def test_in_an_endless_stream_a_large_task_comes_to_its_turn() -> None:
    """There is always a small one that fits, and never enough room for the large one until it is made."""
    small = [a_task(number, (0, 1), (14 + number % 7, 1)) for number in range(2, 3000)]
    simulation = Simulation(small, [SMALL], lambda one: watched(Victim.CHEAPEST, one))
    # It runs on and on, and as it was known to need memory, fresh tasks need not wait for others that do.
    simulation.pool.put_back(a_task(0, (0, 3), (1e5, 3)), 3 * GIB, now_s=0)
    running = simulation.nodes[0].running
    while simulation.now_s < 30:
        simulation.step()
    large = a_task(1, (0, 12), (60, 12))
    simulation.pool.put_back(large, 12 * GIB, simulation.now_s)
    while not any(attempt.task is large for attempt in running):
        simulation.step()
    assert 1830 <= simulation.now_s < 1900, "after half an hour nothing else is started, and what runs ends in 20 s"
    started_s = simulation.now_s
    while any(attempt.task is large for attempt in running):
        simulation.step()
    assert simulation.now_s >= started_s + 60, "once there, it stays"
    assert not {0, 1} & simulation.tally.returns.keys()
    assert len(simulation.tally.returns) < 120, "what is left is too little for the others: some try in vain"


def test_the_policies_rank_as_in_the_study() -> None:
    """To remember needs pays, to reserve even true peaks does not, and one number for all is worst."""
    names = ("ramp", "jump", "mix", "giants")
    ratio = {
        policy: geometric_mean(
            [simulate(name, [STUDY_NODE], policy, seed, 100).ratio for name in names for seed in (0, 1)]
        )
        for policy in ("cheapest", "newest", "lifo+need", "lifo", "reserve-true", "original", "reserve-largest")
    }
    assert ratio["newest"] == pytest.approx(ratio["cheapest"], rel=0.06)
    assert ratio["lifo+need"] == pytest.approx(ratio["cheapest"], rel=0.08)
    assert max(ratio["cheapest"], ratio["newest"]) < ratio["lifo"]
    assert ratio["reserve-true"] > 1.15 * ratio["cheapest"]
    assert ratio["original"] > 1.15 * ratio["cheapest"]
    assert ratio["reserve-largest"] > 3 * ratio["reserve-true"]


def test_without_memory_of_needs_tasks_come_back_several_times_as_often() -> None:
    forgetful, mindful = (
        sum(simulate("ramp", [STUDY_NODE], policy, seed, 100).returns for seed in range(2))
        for policy in ("lifo", "lifo+need")
    )
    assert forgetful > 3 * mindful


@pytest.mark.parametrize("victim", Victim)
def test_ours_is_faster_than_reserving_what_each_task_needs_most(victim: Victim) -> None:
    """Though it has to find out, and reserving knows: a peak is held for a part of a task's life only."""
    for name in ("ramp", "jump"):
        reserved = simulate(name, [STUDY_NODE], "reserve-true", 1)
        assert simulate(name, [STUDY_NODE], ours(victim), 1).makespan_s < 0.9 * reserved.makespan_s


def test_reserving_the_largest_peak_for_all_is_several_times_slower() -> None:
    largest = simulate("mix", [STUDY_NODE], "reserve-largest", 1)
    assert largest.makespan_s > 3 * simulate("mix", [STUDY_NODE], "cheapest", 1).makespan_s


def kernel_kills(tuning: Tuning, *, pauses: bool) -> int:
    policy = ours(tuning=tuning, max_attempts=400, pauses=pauses)
    return sum(simulate("benchmark", [BENCHMARK_NODE], policy, seed).oom_kills for seed in (1, 2))


def test_where_nobody_pauses_the_growth_look_ahead_is_what_avoids_kernel_kills() -> None:
    blind = Tuning(lookahead=0, trend_s=1e-3, trend_fraction=0)
    with_it = kernel_kills(Tuning(react_s=0.1), pauses=False)
    without = kernel_kills(blind, pauses=False)
    assert without > 10
    assert with_it < without / 4


def test_who_pauses_attempts_has_no_kernel_kills() -> None:
    assert kernel_kills(Tuning(), pauses=True) == 0


def test_one_seed_gives_one_answer_and_another_seed_another() -> None:
    assert simulate("mix", [STUDY_NODE], seed=3, tasks_per_node=40) == simulate(
        "mix", [STUDY_NODE], seed=3, tasks_per_node=40
    )
    assert family("mix", 40, 3)[7].points != family("mix", 40, 4)[7].points


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_ends_under_our_policy(name: str) -> None:
    report = simulate(name, [STUDY_NODE] * 2, tasks_per_node=30)
    assert report.is_complete
    assert 1 <= report.ratio < 5


def test_a_family_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="'mixed' is no family of workloads: flat, ramp"):
        simulate("mixed", [STUDY_NODE])


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"ray-95", "memfree", "original"}))
def test_every_policy_that_terminates_ends_a_small_workload(policy: str) -> None:
    assert simulate("ramp", [STUDY_NODE], policy, tasks_per_node=30).is_complete
