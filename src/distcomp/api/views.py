"""From what the store holds to what people are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from distcomp.api.records import Changes, Filter, Need, TaskView, WorkerTotals, WorkerView
from distcomp.model import JobContext
from distcomp.store.reading import TaskRecord, WaitingClass, WorkerRecord


def task(record: TaskRecord, context: JobContext) -> TaskView:
    """A task with what it has from its job."""
    spec = record.spec
    return TaskView(
        task_id=record.task_id,
        state=record.state,
        command=spec.command,
        type=spec.type,
        priority=spec.priority,
        memory_bytes=spec.memory_bytes,
        cores=spec.cores,
        cwd=f"{context.cwd.rstrip('/')}/{spec.cwd}" if spec.cwd and spec.cwd[0] != "/" else spec.cwd or context.cwd,
        env={**context.env, **spec.env} if spec.env else context.env,
        timeout_s=context.timeout_s if spec.timeout_s is None else spec.timeout_s,
        retries=context.retries if spec.retries is None else spec.retries,
        kind=context.kind if spec.kind is None else spec.kind,
        tags=spec.tags,
        outputs=spec.outputs,
        params=spec.params or {},
        copy=spec.copy,
        job=record.job,
        worker=record.worker,
        attempt=record.outcome.attempt if record.outcome else record.attempt,
        claimed_at_ms=record.claimed_at_ms,
        is_delayed=record.is_delayed,
        outcome=record.outcome,
    )


def is_wanted(view: TaskView, wanted: Filter) -> bool:
    """Whether a task meets a filter; its state is taken for granted."""
    return (
        all(text in view.command for text in wanted.include)
        and not any(text in view.command for text in wanted.exclude)
        and all(tag in view.tags for tag in wanted.tags)
        and (not wanted.kinds or view.kind in wanted.kinds)
        and (not wanted.jobs or view.job in wanted.jobs)
    )


def worker(record: WorkerRecord) -> WorkerView:
    """A worker as it last said of itself, unless it is overdue."""
    facts = record.facts
    return WorkerView(
        worker=record.worker,
        node=facts.node,
        state="silent" if record.lease_left_s < 0 else "quarantined" if record.quarantine else facts.state,
        note=record.quarantine or facts.note,
        pid=facts.pid,
        version=facts.version,
        started_at_ms=facts.started_at_ms,
        running=facts.running,
        max_attempts=facts.max_attempts,
        total_memory_bytes=facts.total_memory_bytes,
        available_memory_bytes=facts.available_memory_bytes,
        attempts_memory_bytes=facts.attempts_memory_bytes,
        total_cores=facts.total_cores,
        busy_cores=facts.busy_cores,
        room_memory_bytes=facts.room_memory_bytes,
        room_cores=facts.room_cores,
        why_short=facts.why_short,
        why_full=facts.why_full,
        lease_left_s=record.lease_left_s,
    )


def totals(workers: Iterable[WorkerView]) -> WorkerTotals:
    """Several workers together, without the silent ones."""
    together = WorkerTotals()
    for one in (worker for worker in workers if worker.state != "silent"):
        together = WorkerTotals(
            workers=together.workers + 1,
            running=together.running + one.running,
            total_memory_bytes=together.total_memory_bytes + one.total_memory_bytes,
            available_memory_bytes=together.available_memory_bytes + one.available_memory_bytes,
            attempts_memory_bytes=together.attempts_memory_bytes + one.attempts_memory_bytes,
            total_cores=together.total_cores + one.total_cores,
            busy_cores=together.busy_cores + one.busy_cores,
        )
    return together


def too_large(waiting: Iterable[WaitingClass], live: Sequence[WorkerView]) -> tuple[Need, ...]:
    """What waits and needs more than any of these workers' nodes has; nothing without workers."""
    if not live:
        return ()
    memory_bytes, cores = max(one.total_memory_bytes for one in live), max(one.total_cores for one in live)
    return tuple(
        Need(need.memory_bytes, need.cores, need.tasks, memory_bytes, cores)
        for need in waiting
        if not any(need.memory_bytes <= one.total_memory_bytes and need.cores <= one.total_cores for one in live)
    )


def changes(words: Iterable[tuple[str, str]]) -> Changes:
    """How many tasks were changed, from the store's word for each."""
    counted = Counter(word for _, word in words)
    changed = counted.pop("ok", 0)
    return Changes(changed, dict(counted))


def parameter_text(values: str | Sequence[object]) -> str:
    """A sweep's parameter as its parser reads it: a text as it is, a list quoted item by item."""
    if isinstance(values, str):
        return values
    return ",".join(_quoted(str(value)) for value in values)


def _quoted(text: str) -> str:
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    # Quotes stand for themselves but at the start, where a backslash cannot take their meaning.
    return text.replace("\\", "\\\\").replace(",", "\\,")
