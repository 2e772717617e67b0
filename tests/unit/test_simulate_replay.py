"""How long it would take on other nodes."""

from __future__ import annotations

import pytest

from distcomp.simulate import Measured, NodeSpec, alike, forecast, format_nodes, parse_nodes, tasks_of

GIB = 2**30
HISTORY = [Measured(peak_bytes=(1 + number % 7) * GIB, wall_s=60 + number % 11, cpu_s=30) for number in range(300)]


def test_tasks_take_what_was_measured() -> None:
    [task] = tasks_of([Measured(4 * GIB, wall_s=100, cpu_s=50)])
    assert (task.work_s, task.peak_bytes, task.cores) == (100, 4 * GIB, 0.5)


def test_tasks_that_took_no_time_to_speak_of_are_tasks_too() -> None:
    [task] = tasks_of([Measured(0, 0, 0)])
    assert task.work_s > 0


def test_memory_goes_as_it_was_measured_to_go() -> None:
    """The peak stays the peak, though no look may have seen it."""
    [task] = tasks_of([Measured(4 * GIB, wall_s=8, cpu_s=1, course=(10, 10, 80, 20))])
    assert task.points == ((0, 0), (1, 0.4 * GIB), (3, 0.4 * GIB), (5, 4 * GIB), (7, 0.8 * GIB), (8, 0.8 * GIB))


def test_tasks_that_are_left_are_like_those_of_their_kind_that_have_finished() -> None:
    small, large = Measured(GIB, 1, 1, "small"), Measured(9 * GIB, 1, 1, "large")
    left = alike({"small": 20, "large": 10}, [small, large])
    assert (left.count(small), left.count(large)) == (20, 10)
    assert {one.kind for one in alike({"new": 50}, [small, large])} == {"small", "large"}
    assert left == alike({"small": 20, "large": 10}, [small, large]), "a forecast can be made again"
    with pytest.raises(ValueError, match="nothing has finished yet"):
        alike({"small": 1}, [])


def test_more_nodes_are_compared_with_those_there_are() -> None:
    now, then = forecast(HISTORY, [NodeSpec(16 * GIB, 8)], more=[NodeSpec(64 * GIB, 32)])
    assert (len(now.nodes), len(then.nodes)) == (1, 2)
    assert now.report.is_complete
    assert now.makespan_s >= now.report.bound_s
    assert 2.5 < now.makespan_s / then.makespan_s < 8, "five times the memory and cores, and a tail"


def test_of_very_many_tasks_some_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    [whole] = forecast(HISTORY, [NodeSpec(16 * GIB, 8)])
    monkeypatch.setattr("distcomp.simulate.replay.MOST_TASKS", 100)
    [part] = forecast(HISTORY, [NodeSpec(16 * GIB, 8)])
    assert (part.report.tasks, part.stride) == (100, 3)
    assert part.makespan_s == pytest.approx(whole.makespan_s, rel=0.25)


def test_nothing_to_forecast_is_an_error() -> None:
    with pytest.raises(ValueError, match="a forecast needs tasks that have finished, and nodes"):
        forecast([], [NodeSpec(GIB, 1)])


def test_nodes_are_written_as_number_memory_and_cores() -> None:
    nodes = parse_nodes("2x64G/32, 512M/1.5, 256/8")
    assert nodes == [*[NodeSpec(64 * GIB, 32)] * 2, NodeSpec(GIB // 2, 1.5), NodeSpec(256 * GIB, 8)]
    assert format_nodes(nodes) == "2x64 GiB/32, 1x512 MiB/1.5, 1x256 GiB/8"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10x64G", "'10x64G' is not a kind of node: write 10x64G/32 for ten of 64 GiB and 32 cores"),
        ("", "'' is not a kind of node"),
        ("1xlots/4", "'lots' is not a size"),
        ("1x0/4", "'1x0/4' has no memory or no cores"),
        ("0x4G/4", "'0x4G/4' has no nodes"),
    ],
)
def test_what_is_no_node_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_nodes(text)
