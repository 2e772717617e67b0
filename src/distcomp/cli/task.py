"""`distcomp show` and `distcomp explain`: all about one task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from distcomp.cli import render
from distcomp.cli.attempts import attempt_lines
from distcomp.cli.opening import opened
from distcomp.cli.options import AsJson, TaskId
from distcomp.cli.terminal import STATE_COLOURS, paint, printable

if TYPE_CHECKING:
    from distcomp.api import Explanation, FilePlace, TaskView
    from distcomp.model import Made, Outcome


def show(task: TaskId, as_json: AsJson = False) -> None:
    """Show a task: what it is, and how its last attempt ended."""
    with opened() as client:
        render.show(client.task(task), as_json, _task_lines)


def explain(task: TaskId, as_json: AsJson = False) -> None:
    """Explain why a task is where it is: every attempt, and for a waiting one what keeps it from each worker."""
    with opened() as client:
        render.show(client.explain(task), as_json, _explanation_lines)


def _task_lines(task: TaskView) -> Iterator[str]:
    pairs = _task_fields(task) + (_outcome_fields(task.outcome) if task.outcome else [])
    state = paint(task.state, STATE_COLOURS[task.state]) + (f" on {task.worker}" if task.worker else "")
    # What a task is called or printed must do nothing to the terminal.
    shown = ((name, state if name == "state" else printable(value)) for name, value in pairs)
    yield from render.fields(shown)
    if task.outcome:
        for name, tail in (("stdout", task.outcome.stdout_tail), ("stderr", task.outcome.stderr_tail)):
            if tail.strip():
                yield paint(f"end of {name}:", "dim")
                yield from (f"  {printable(line)}" for line in tail.rstrip("\n").split("\n"))


def _task_fields(task: TaskView) -> list[tuple[str, str]]:
    declared = [render.size(task.memory_bytes), f"{task.cores:g} cores" if task.cores else ""]
    return [
        ("task", task.task_id),
        ("state", str(task.state)),
        ("command", task.command),
        ("type", task.type),
        ("directory", task.cwd),
        ("environment", " ".join(f"{name}={value}" for name, value in task.env.items())),
        ("priority", str(task.priority or "")),
        ("declared", ", ".join(part for part in declared if part)),
        ("timeout", render.duration(task.timeout_s) if task.timeout_s else ""),
        ("retries", "" if task.retries is None else str(task.retries)),
        ("kind", task.kind or ""),
        ("tags", ", ".join(task.tags)),
        ("result files", ", ".join(task.outputs)),
        ("parameters", ", ".join(f"{name}={value}" for name, value in task.params.items())),
        ("job", str(task.job)),
        ("attempt", str(task.attempt or "")),
        ("claimed", render.time(task.claimed_at_ms)),
    ]


def _outcome_fields(outcome: Outcome) -> list[tuple[str, str]]:
    usage = outcome.usage
    read, written = (render.size(size) or "0 B" for size in (usage.disk_read_bytes, usage.disk_written_bytes))
    return [
        ("ended", f"{outcome.cause}{f': {outcome.reason}' if outcome.reason else ''}"),
        ("exit code", "" if outcome.exit_code is None else str(outcome.exit_code)),
        ("node", outcome.node),
        ("began", render.time(outcome.started_at_ms)),
        ("took", f"{render.duration(usage.wall_s)}, {render.duration(usage.cpu_s)} of CPU"),
        ("peak memory", render.size(usage.peak_bytes)),
        ("disk", f"{read} read, {written} written"),
        ("result", ", ".join(f"{name}={value}" for name, value in (outcome.columns or {}).items())),
        ("made", _made(outcome.made)),
        ("output", outcome.output_lost and f"lost: {outcome.output_lost}"),
    ]


def _made(made: Made | None) -> str:
    if made is None:
        return ""
    if made.lost:
        return f"lost: {made.lost}"
    return f"{render.number_of(made.files, 'file')}, {render.size(made.size_bytes) or '0 B'}"


def _place_cells(place: FilePlace) -> tuple[str, str, str]:
    whole = [node for node, chunks in place.nodes.items() if chunks == place.chunks]
    parts = [f"{node} ({chunks} of {place.chunks} chunks)" for node, chunks in place.nodes.items() if node not in whole]
    where = ", ".join(whole + parts) or "no server that is up"
    return printable(place.file), where, render.number_of(place.chunks, "chunk")


def _explanation_lines(explanation: Explanation) -> Iterator[str]:
    task = explanation.task
    yield f"{paint(task.task_id, 'bold')}  {printable(task.command)}"
    yield explanation.why
    if explanation.needs_bytes:
        yield f"It is known or declared to need {render.size(explanation.needs_bytes)}."
    yield from attempt_lines(explanation)
    if explanation.files:
        yield ""
        yield from render.table(("file", "on", ""), [_place_cells(place) for place in explanation.files])
    if explanation.hindrances:
        yield ""
        rows = [(hindrance.worker, hindrance.why) for hindrance in explanation.hindrances]
        yield from render.table(("worker", "what keeps the task from it"), rows)
