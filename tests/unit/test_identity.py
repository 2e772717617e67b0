"""A task's id is a hash of what it does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.identity import Identifier, task_id
from distcomp.model import JobContext, TaskSpec, TaskType

CONTEXT = JobContext(cwd="/home/ada/sweep")


def an_id(command: str = "./sim lru", context: JobContext = CONTEXT, **fields: object) -> str:
    return task_id(TaskSpec(command, **fields), context)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "context", "expected"),
    [
        (TaskSpec("./sim lru"), CONTEXT, "8d23c282c8595b80"),
        (TaskSpec("sim.py lru", TaskType.PYTHON), CONTEXT, "fb71ad939d98f5dd"),
        (TaskSpec("./sim lru", cwd="/tmp", env={"B": "2", "A": "1"}), CONTEXT, "d48e371a21ce7ee8"),
        (TaskSpec("./sim lru", copy=3), JobContext("/", env={"A": "1"}), "4319d337e93d2e6a"),
        (TaskSpec("./sim 'tr\udcffce é'"), CONTEXT, "abd45a7dbc6b1ea7"),
    ],
)
def test_ids_are_the_same_in_every_version_and_on_every_platform(
    spec: TaskSpec, context: JobContext, expected: str
) -> None:
    """If this fails, every task that users have submitted becomes a new one: do not adjust the values."""
    assert task_id(spec, context) == expected


def test_an_id_depends_on_what_the_task_does() -> None:
    ids = [
        an_id(),
        an_id("./sim fifo"),
        an_id(type=TaskType.PYTHON),
        an_id(cwd="/elsewhere"),
        an_id(env={"SEED": "1"}),
        an_id(env={"SEED": "2"}),
        an_id(copy=1),
    ]
    assert len(set(ids)) == len(ids)


def test_an_id_does_not_depend_on_how_the_task_is_to_be_run() -> None:
    assert an_id(priority=9, memory_bytes=2**30, cores=4, timeout_s=60, retries=0, kind="x", tags=("y",)) == an_id()


def test_what_the_task_leaves_open_is_the_jobs() -> None:
    context = JobContext("/data", env={"SEED": "1", "MODE": "fast"})

    assert an_id(cwd="/data", env={"SEED": "1", "MODE": "fast"}) == an_id(context=context)
    assert an_id(context=context, env={"SEED": "2"}) == an_id(cwd="/data", env={"MODE": "fast", "SEED": "2"})
    assert an_id(context=context, cwd="sub") == an_id(context=context, cwd="/data/sub")


def test_texts_that_meet_differently_are_different_tasks() -> None:
    """Without lengths between them, the name and value of a variable could trade characters."""
    assert an_id(env={"AB": "C"}) != an_id(env={"A": "BC"})
    assert an_id(env={"A": "1", "B": "2"}) != an_id(env={"A": "1B2"})
    assert an_id("b", cwd="/a") != an_id("", cwd="/ab")


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2), st.sampled_from([None, "a", "b"])), max_size=20))
def test_one_identifier_gives_every_task_the_id_it_has_alone(tasks: list[tuple[str, int, str | None]]) -> None:
    """What is remembered between tasks never shows."""
    identifier = Identifier(CONTEXT)
    specs = [TaskSpec(command, copy=copy, cwd=cwd) for command, copy, cwd in tasks]

    assert [identifier.digest(spec).hex() for spec in specs] == [task_id(spec, CONTEXT) for spec in specs]
    assert len({identifier.digest(spec) for spec in specs}) == len(set(tasks))


def test_tasks_that_each_have_their_own_directory_keep_their_ids_beyond_what_is_remembered() -> None:
    identifier = Identifier(CONTEXT)
    specs = [TaskSpec("x", cwd=f"/run/{number}") for number in range(3000)]

    first, again = ([identifier.digest(spec) for spec in specs] for _ in range(2))

    assert first == again
    assert len(set(first)) == len(specs)


def test_text_that_is_no_text_has_no_id() -> None:
    with pytest.raises(UnicodeEncodeError):
        an_id("half a pair: \ud800")
