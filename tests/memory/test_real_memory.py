"""Tasks that touch real pages, on a node of half a gibibyte: a memory cgroup that the kernel enforces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from benchmarks import memoryload
from benchmarks.batches import Task
from benchmarks.crew import Crew, crew
from benchmarks.watch import Watch
from distcomp.api import Client, TaskView
from distcomp.model import Cause, Outcome, State
from tests.support.needs import needs_root

pytestmark = needs_root

MIB = 2**20
NODE_BYTES = 512 * MIB
SOON_S = 60.0
DYING_MS = 500


@pytest.fixture
def own() -> Iterator[Crew]:
    """A project whose store and worker are in a node of NODE_BYTES."""
    with crew(NODE_BYTES, "max_tasks = 12\n") as own:
        yield own


def is_exact(view: TaskView, task: Task) -> bool:
    """Did the task give the right answer?"""
    return view.outcome is not None and view.outcome.columns == json.loads(task.expected_line)


def attempts_of(own: Crew, views: Sequence[TaskView]) -> list[Outcome]:
    """Every attempt, as the worker saw it."""
    with Client.open(own.folder) as client:
        return [attempt for view in views for attempt in client.explain(view.task_id).attempts]


def was_beside_an_older_one(returned: Outcome, attempts: Sequence[Outcome]) -> bool:
    """Was an older attempt still there when this one was told to end, some time before it had?"""
    return any(
        other.started_at_ms <= returned.started_at_ms and other.ended_at_ms > returned.ended_at_ms - DYING_MS
        for other in attempts
        if other is not returned
    )


def test_tasks_that_together_exceed_the_node_all_finish(own: Crew) -> None:
    """Memory runs out again and again; who goes back is never the oldest, and the kernel need not choose."""
    tasks = [Task("ramp", 150 * MIB, 1.0 + number / 10, number) for number in range(12)]
    own.submit(*tasks)
    views = own.ended(SOON_S)
    assert [view.state for view in views] == [State.FINISHED] * len(tasks)
    assert all(map(is_exact, views, tasks))
    attempts = attempts_of(own, views)
    returned = [attempt for attempt in attempts if attempt.cause in (Cause.EVICTED, Cause.OOM)]
    assert returned, "memory ran out"
    assert all(was_beside_an_older_one(attempt, attempts) for attempt in returned), "the oldest attempt was returned"
    assert own.worker.poll() is None


@pytest.mark.parametrize("shape", ["flat", "late", "forked"])
def test_however_suddenly_memory_is_taken_no_task_fails_for_it(own: Crew, shape: str) -> None:
    """The worker chooses who goes, or what the kernel did is seen as what it is: the tasks have no retries to spend."""
    tasks = [Task(shape, 200 * MIB, 0.8, number) for number in range(8)]
    own.submit(*tasks)
    views = own.ended(SOON_S)
    assert [view.state for view in views] == [State.FINISHED] * len(tasks)
    assert all(map(is_exact, views, tasks))


@pytest.mark.parametrize("shape", ["ramp", "forked"])
def test_a_task_larger_than_the_node_fails_and_says_what_it_reached(own: Crew, shape: str) -> None:
    """It fails for good, whatever retries are left, and the reason names the node's size; others are not harmed.

    Of the forked one the kernel kills a child, and the parent ends with an exit code of its own.
    """
    small = Task("ramp", 20 * MIB, 1.0, 1)
    own.submit(Task(shape, 800 * MIB, 1.0, 2), small)
    [large_view, small_view] = own.ended(SOON_S)
    assert small_view.state is State.FINISHED
    assert large_view.state is State.FAILED
    assert large_view.outcome is not None
    assert large_view.outcome.cause is Cause.OOM
    assert "512" in large_view.outcome.reason, large_view.outcome.reason
    assert 300 * MIB < large_view.outcome.usage.peak_bytes < NODE_BYTES


def test_page_cache_is_not_counted_as_used(own: Crew) -> None:
    """Three tasks with 80 MiB and a file of 80 MiB each: more than the node, but the kernel gives the cache back."""
    tasks = [Task("cache", 80 * MIB, 1.5, number) for number in range(3)]
    with Watch(own.node, own.log) as watch:
        own.submit(*tasks)
        views = own.ended(SOON_S)
    assert all(map(is_exact, views, tasks))
    assert len(watch.attempts) == len(tasks), "none was returned"
    assert max(sample.running for sample in watch.samples) == len(tasks), "all ran at once"


@pytest.mark.parametrize("shape", memoryload.SHAPES)
def test_what_a_whole_tree_uses_is_measured_once(own: Crew, shape: str) -> None:
    """Children count, and pages that five processes share count once."""
    own.submit(Task(shape, 100 * MIB, 1.5, 1))
    [view] = own.ended(SOON_S)
    assert view.outcome is not None
    assert 85 * MIB < view.outcome.usage.peak_bytes < 160 * MIB, view.outcome.usage.peak_bytes >> 20
