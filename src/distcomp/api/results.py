"""The result table: a row per task that has ended, with its parameters and its result as columns. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from distcomp.api.records import TaskView
from distcomp.model import State

RESULT_STATES = (State.FINISHED, State.FAILED)
"""Failed tasks are in the table, with their reason: a row that is missing is not missed."""

BEFORE = ("task_id", "state", "command")
AFTER = (
    "cause",
    "exit_code",
    "signal",
    "reason",
    "node",
    "attempt",
    "wall_s",
    "cpu_s",
    "peak_bytes",
    "disk_read_bytes",
    "disk_written_bytes",
    "started_at_ms",
    "ended_at_ms",
    "output_lost",
    "job",
    "kind",
    "tags",
)
_FIXED = frozenset(BEFORE + AFTER)

Row = dict[str, object]


def row(task: TaskView) -> Row:
    """One row: BEFORE, the task's parameters, its result's columns, AFTER. What is unknown is None.

    A parameter or a result with the name of another column gets a longer one: `param.node`, `result.size`.
    """
    values = _after(task)
    params = {_free(name, "param", _FIXED): value for name, value in task.params.items()}
    taken = _FIXED | params.keys()
    columns = task.outcome.columns if task.outcome else None
    results = {_free(name, "result", taken): value for name, value in (columns or {}).items()}
    return {"task_id": task.task_id, "state": task.state, "command": task.command, **params, **results, **values}


def _free(name: str, prefix: str, taken: frozenset[str]) -> str:
    return f"{prefix}.{name}" if name in taken else name


def _after(task: TaskView) -> Row:
    known: Row = {"job": task.job, "kind": task.kind, "tags": list(task.tags)}
    if task.outcome is not None:
        outcome, usage = task.outcome, task.outcome.usage
        known |= {
            "cause": outcome.cause,
            "exit_code": outcome.exit_code,
            "signal": outcome.signal,
            "reason": outcome.reason or None,
            "node": outcome.node,
            "attempt": outcome.attempt,
            "wall_s": usage.wall_s,
            "cpu_s": usage.cpu_s,
            "peak_bytes": usage.peak_bytes or None,
            "disk_read_bytes": usage.disk_read_bytes,
            "disk_written_bytes": usage.disk_written_bytes,
            "started_at_ms": outcome.started_at_ms,
            "ended_at_ms": outcome.ended_at_ms,
            "output_lost": outcome.output_lost or None,
        }
    return {name: known.get(name) for name in AFTER}


def in_order(names: Iterator[str]) -> list[str]:
    """Column names as they came, each once, those of AFTER last."""
    seen = dict.fromkeys((*BEFORE, *names))
    return [*(name for name in seen if name not in AFTER), *AFTER]
