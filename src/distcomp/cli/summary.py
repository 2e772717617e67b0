"""What came of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from distcomp.api import Filter
from distcomp.cli import render
from distcomp.cli.status import need_line
from distcomp.cli.terminal import cut, paint
from distcomp.cli.waste import use_line, waste_line
from distcomp.model import Cause, State, Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distcomp.api import Client, Need, Status, Submitted

FAILURES_READ = 20_000
GROUPS_SHOWN = 10
REASON_COLUMNS = 70


class FailureGroup(msgspec.Struct, frozen=True):
    """Tasks that failed for the same reason, and the id of one of them."""

    cause: Cause
    reason: str
    tasks: int
    example: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run.

    Args:
        outcome: "done" (all tasks have ended), "interrupted" or "stuck" (no node can run what is left).
        submitted: what was added, if anything was.
        counts: tasks of the jobs by state, now.
        failures: of these jobs, by reason; the most frequent first.
        too_large: what is left and no node can run, if that ended the run.
        took_s: seconds of the run.
        attempts: that ended while it went on, by cause; `evicted` were returned, `oom` killed by the kernel.
        spent_s: their task-seconds; all but those of `finished` were thrown away.
        use: of the nodes meanwhile.
    """

    outcome: str
    submitted: Submitted | None
    counts: Mapping[State, int]
    failures: tuple[FailureGroup, ...]
    too_large: tuple[Need, ...]
    took_s: float
    attempts: Mapping[Cause, int]
    spent_s: Mapping[Cause, float]
    use: Use

    @property
    def exit_code(self) -> int:
        """0 when all tasks have finished, 130 when interrupted, else 1."""
        if self.outcome == "interrupted":
            return 130
        return int(any(number for state, number in self.counts.items() if state is not State.FINISHED))


def failure_groups(client: Client, jobs: Sequence[int] | None) -> tuple[FailureGroup, ...]:
    """Failed tasks of some jobs, by cause and reason; of very many tasks, the first FAILURES_READ."""
    wanted = Filter(states=(State.FAILED,), jobs=tuple(jobs or ()))
    found: dict[tuple[Cause, str], list[str]] = {}
    for task in client.tasks(wanted, FAILURES_READ):
        outcome = task.outcome
        key = (outcome.cause, outcome.reason) if outcome else (Cause.LOST, "")
        found.setdefault(key, []).append(task.task_id)
    groups = (FailureGroup(cause, reason, len(ids), ids[0]) for (cause, reason), ids in found.items())
    return tuple(sorted(groups, key=lambda group: -group.tasks))


def changed_since(before: Status, now: Status) -> tuple[dict[Cause, int], dict[Cause, float], Use]:
    """Between two looks: attempts that ended and their task-seconds, by cause, and the use of the nodes."""
    attempts = {cause: number - before.attempts.get(cause, 0) for cause, number in now.attempts.items()}
    spent_s = {cause: seconds - before.spent_s.get(cause, 0.0) for cause, seconds in now.spent_s.items()}
    old, use = before.use, now.use
    return (
        {cause: number for cause, number in attempts.items() if number > 0},
        {cause: seconds for cause, seconds in spent_s.items() if seconds > 0},
        msgspec.structs.replace(
            use,
            span_s=use.span_s - old.span_s,
            memory_byte_s=use.memory_byte_s - old.memory_byte_s,
            total_byte_s=use.total_byte_s - old.total_byte_s,
            core_s=use.core_s - old.core_s,
            total_core_s=use.total_core_s - old.total_core_s,
        ),
    )


def lines(summary: Summary) -> Iterator[str]:
    """The summary for people."""
    counts = summary.counts
    left = counts[State.TODO] + counts[State.RUNNING]
    parts = [paint(f"{counts[State.FINISHED]:,} finished", "green")]
    if counts[State.FAILED]:
        parts.append(paint(f"{counts[State.FAILED]:,} failed", "red"))
    if counts[State.CANCELLED]:
        parts.append(paint(f"{counts[State.CANCELLED]:,} cancelled", "yellow"))
    if left:
        parts.append(f"{left:,} left")
    yield f"{', '.join(parts)}; {render.duration(summary.took_s)}"
    yield from _failure_lines(summary.failures)
    yield from (paint(f"  {need_line(need)}", "red") for need in summary.too_large)
    facts = (use_line(summary.use), waste_line(summary.attempts, summary.spent_s))
    yield from (f"  {line}" for line in facts if line)
    if summary.outcome == "interrupted":
        yield "interrupted: the same command goes on from here"
    elif counts[State.FINISHED]:
        yield "distcomp results shows what came of them"


def _failure_lines(groups: Sequence[FailureGroup]) -> Iterator[str]:
    for group in groups[:GROUPS_SHOWN]:
        reason = cut(group.reason or str(group.cause), REASON_COLUMNS)
        yield f"  {group.tasks:>6,} failed: {paint(reason, 'red')}   distcomp logs --err {group.example}"
    if len(groups) > GROUPS_SHOWN:
        yield f"  ... and {len(groups) - GROUPS_SHOWN:,} more reasons: distcomp tasks --state failed"
