"""Why a task is where it is, and why a waiting one is not running yet. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from distcomp.api.records import Explanation, Hindrance, TaskView, WorkerView
from distcomp.api.redirects import stderr_file
from distcomp.model import Cause, Outcome, State, TaskType
from distcomp.store.chunks import cores_step, memory_step
from distcomp.store.reading import NodeSize
from distcomp.store.store import Tries
from distcomp.units import format_bytes_apart, format_duration


def explain(
    task: TaskView,
    attempts: Sequence[Outcome],
    tries: Tries,
    workers: Sequence[WorkerView],
    *,
    default_retries: int,
    due_in_s: float | None,
    sizes: Sequence[NodeSize] = (),
) -> Explanation:
    """Put together what is known of a task.

    Args:
        task: the task.
        attempts: all that have ended, oldest first.
        tries: what they left.
        workers: that hold a lease.
        default_retries: the setting.
        due_in_s: until it may be tried again.
        sizes: of all nodes that ever had a worker.
    """
    retries = default_retries if task.retries is None else task.retries
    needs_bytes = max(task.memory_bytes, tries.need_bytes)
    is_waiting = task.state is State.TODO
    hindrances = [Hindrance(w.worker, w.node, hindrance(task, tries, w, due_in_s)) for w in workers if is_waiting]
    return Explanation(
        task=task,
        why=_why(task, tries, retries, hindrances, sizes),
        attempts=tuple(attempts),
        failures=tries.failures + (task.state is State.FAILED and _counts(task.outcome)),
        retries=retries,
        returns=tries.returns,
        needs_bytes=needs_bytes,
        stderr_file=stderr_file(task.command, task.cwd) if task.type is TaskType.SHELL else "",
        due_in_s=due_in_s if is_waiting else None,
        hindrances=tuple(hindrances),
    )


def hindrance(task: TaskView, tries: Tries, worker: WorkerView, due_in_s: float | None) -> str:
    """The first thing that keeps a waiting task from a worker."""
    checks = (_of_worker(worker), _of_node(task, tries, worker), _of_time(due_in_s), _of_room(task, tries, worker))
    return next((why for why in checks if why), "its turn has not come: other tasks start before it")


def _of_worker(worker: WorkerView) -> str:
    if worker.state == "silent":
        return f"the worker has been silent, for {format_duration(-worker.lease_left_s)} longer than its lease"
    if worker.state == "draining":
        return "the worker ends, and starts nothing more"
    return f"the worker waits: {worker.note}" if worker.state == "waiting" else ""


def _of_node(task: TaskView, tries: Tries, worker: WorkerView) -> str:
    if worker.node in tries.away:
        return "it could not be executed there before"
    if _asked_bytes(task, tries) > worker.total_memory_bytes:
        needs, has = _need_and_offer(task, tries, worker.total_memory_bytes)
        return f"it needs {needs}, the node has {has}"
    if cores_step(task.cores) > 1000 * worker.total_cores:
        return f"it needs {task.cores:g} cores, the node has {worker.total_cores:g}"
    return ""


def _asked_bytes(task: TaskView, tries: Tries) -> int:
    """The need as the queue keeps and compares it."""
    return max(memory_step(task.memory_bytes), tries.need_bytes)


def _need_and_offer(task: TaskView, tries: Tries, offered_bytes: int) -> tuple[str, str]:
    """What a task needs, which is more than what is offered there: both so that this can be seen."""
    return format_bytes_apart(max(task.memory_bytes, tries.need_bytes), offered_bytes)


def _of_time(due_in_s: float | None) -> str:
    if due_in_s is None or due_in_s <= 0:
        return ""
    return f"it failed and waits before it is tried again, for {format_duration(due_in_s)} more"


def _of_room(task: TaskView, tries: Tries, worker: WorkerView) -> str:
    """As packing.obstacle would say it, from what the worker told of its room at its last look."""
    # An empty node takes one task, whatever it may need.
    if not worker.running:
        return ""
    if _asked_bytes(task, tries) > worker.room_memory_bytes:
        needs, room = _need_and_offer(task, tries, worker.room_memory_bytes)
        has_room = f"there is room for {room}" if worker.room_memory_bytes else "no room"
        return f"it needs {needs}, {has_room}: {worker.why_short}"
    if cores_step(task.cores) > 1000 * worker.room_cores:
        return f"it needs {task.cores:g} cores, {worker.room_cores:g} of {worker.total_cores:g} are not spoken for"
    return worker.why_full and f"nothing starts there now: {worker.why_full}"


def _why(task: TaskView, tries: Tries, retries: int, hindrances: Sequence[Hindrance], sizes: Sequence[NodeSize]) -> str:
    outcome = task.outcome
    match task.state:
        case State.RUNNING:
            return f"It runs, as attempt {task.attempt}, on worker {task.worker}."
        case State.FINISHED:
            return f"It finished, in attempt {task.attempt}{f', on {outcome.node}' if outcome else ''}."
        case State.CANCELLED:
            return "It was cancelled, and runs only if it is retried."
        case State.FAILED:
            reason = outcome.reason if outcome and outcome.reason else "no reason is known"
            return f"It failed: {reason}. {_budget(tries.failures + _counts(outcome), retries)}"
        case State.TODO:
            return _why_waiting(task, tries, hindrances) if hindrances else _why_without_worker(task, tries, sizes)


def _counts(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.cause in (Cause.EXIT, Cause.TIMEOUT)


def _budget(failures: int, retries: int) -> str:
    times = "once" if failures == 1 else f"{failures} times"
    granted = "no retry is" if not retries else f"{retries} {'retry is' if retries == 1 else 'retries are'}"
    return f"It failed {times}; {granted} granted."


def _why_without_worker(task: TaskView, tries: Tries, sizes: Sequence[NodeSize]) -> str:
    asked_bytes, asked_cores = _asked_bytes(task, tries), cores_step(task.cores) / 1000
    if not sizes or any(asked_bytes <= size.memory_bytes and asked_cores <= size.cores for size in sizes):
        return "It waits: no worker runs. Start one with `distcomp run` or `distcomp worker`."
    largest_bytes, most_cores = max(size.memory_bytes for size in sizes), max(size.cores for size in sizes)
    lacks = []
    if asked_bytes > largest_bytes:
        needs, has = _need_and_offer(task, tries, largest_bytes)
        lacks.append(f"it needs {needs}, and the largest node that had a worker so far has {has}")
    if asked_cores > most_cores:
        lacks.append(
            f"it needs {task.cores:g} cores, and no node that had a worker so far has more than {most_cores:g}"
        )
    what = "; ".join(lacks) or "no node that had a worker so far has both the memory and the cores that it needs"
    return f"It waits for a larger node: {what}. Start a worker on one, or submit it with a smaller need."


def _why_waiting(task: TaskView, tries: Tries, hindrances: Sequence[Hindrance]) -> str:
    waits = "It waits to be tried again" if task.is_delayed or tries.attempts else "It waits"
    if len({hindrance.why for hindrance in hindrances}) == 1:
        return f"{waits}: {hindrances[0].why}."
    return f"{waits}, for a different reason with each worker."
