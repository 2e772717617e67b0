"""What the API answers: frozen values, which the commands show as text or as JSON.

Sizes are in bytes, durations in seconds, times in milliseconds since 1970 (UTC). JSON has the fields' own names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from distcomp.intake.submitted import Submitted
from distcomp.model import Cause, Outcome, Scalar, State, TaskSpec, TaskType, Use

if TYPE_CHECKING:
    from distcomp.taskfile import Format

__all__ = [
    "Changes",
    "Explanation",
    "FailureGroup",
    "FilePlace",
    "Filter",
    "Hindrance",
    "Need",
    "Progress",
    "Status",
    "SubmitOptions",
    "Submitted",
    "TaskView",
    "WorkerTotals",
    "WorkerView",
]


class SubmitOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How tasks are submitted. What a task says itself comes before what its job says.

    Args:
        cwd: directory the tasks run in; None: the current one.
        env: variables that the tasks get beside the worker's own; they are part of a task's identity.
        interpreter: runs python tasks; None: the setting of that name, or the Python that runs this.
        timeout_s: of an attempt; 0: no limit; None: the setting.
        retries: how often a failed task is tried again; None: the setting.
        kind: name of what the tasks have in common.
        file_format: of a task file; None: JSONL by its name or first line, else type:priority:min_dram:min_cpu:command.
        base: what the tasks of plain lines have beside their commands; its tags and outputs are added to all
            tasks.
        skip_bad: leave out lines with faults, and add the others.
        allow_duplicates: keep equal tasks, each as one of its own.
        retry: known tasks that are in these states are put back into todo.
        source: where the tasks are from, for people; None: the file's name.
    """

    cwd: Path | None = None
    env: Mapping[str, str] = {}
    interpreter: str | None = None
    timeout_s: float | None = None
    retries: int | None = None
    kind: str | None = None
    file_format: Format | None = None
    base: TaskSpec = TaskSpec("")
    skip_bad: bool = False
    allow_duplicates: bool = False
    retry: frozenset[State] = frozenset()
    source: str | None = None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks. Those that meet all of it; what is empty asks for nothing.

    Args:
        states: any of these.
        include: texts that are all in the command.
        exclude: texts of which none is in the command.
        tags: tags that it all has.
        kinds: any of these, of the task or its job.
        jobs: any of these.
    """

    states: tuple[State, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    jobs: tuple[int, ...] = ()


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """One task: what it is, where it stands, and how its last attempt ended.

    `cwd`, `env`, `timeout_s`, `retries` and `kind` are those in force: the task's own, or else its job's (None: the
    setting). `worker`, `attempt` and `claimed_at_ms` belong to a running task; once it has ended, `attempt` is that
    of `outcome`. `is_delayed`: it waits before it is tried again.
    """

    task_id: str
    state: State
    command: str
    type: TaskType
    priority: int
    memory_bytes: int
    cores: float
    cwd: str
    env: Mapping[str, str]
    timeout_s: float | None
    retries: int | None
    kind: str | None
    tags: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Mapping[str, Scalar]
    copy: int
    job: int
    worker: str
    attempt: int
    claimed_at_ms: int
    is_delayed: bool
    outcome: Outcome | None


class Hindrance(msgspec.Struct, frozen=True):
    """The first thing that keeps a task from a worker."""

    worker: str
    node: str
    why: str


class FilePlace(msgspec.Struct, frozen=True):
    """Where a file of a task lies: how many chunks it has, and how many of them each node."""

    file: str
    chunks: int
    nodes: Mapping[str, int]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task is where it is.

    Args:
        task: the task.
        why: in a sentence.
        attempts: every attempt that has ended, oldest first; of very many the last 20.
        failures: of these, how many count against `retries`, which is the number granted.
        returns: how often it went back through no fault of its own.
        needs_bytes: memory it is known or declared to need; 0: unknown.
        stderr_file: where its command sends its stderr, as far as can be seen; "" when to distcomp.
        due_in_s: until it may be tried again; None when it need not wait.
        hindrances: for a waiting task, what keeps it from each worker.
        files: which nodes have the files that its command names; known on MooseFS only.
    """

    task: TaskView
    why: str
    attempts: tuple[Outcome, ...]
    failures: int
    retries: int
    returns: int
    needs_bytes: int
    stderr_file: str
    due_in_s: float | None
    hindrances: tuple[Hindrance, ...]
    files: tuple[FilePlace, ...] = ()


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, as it last said of itself.

    `state` is "working", "draining", "waiting" (and `note` says for what), "silent", or "quarantined": only its node
    fails, and it is given nothing until it is released. `max_attempts` is how many it
    would run at once now, and the room is for tasks of known need. `why_short` is what becomes of its memory;
    `why_full` why it starts nothing at all, "" when it does. `lease_left_s` is negative when it is overdue.
    """

    worker: str
    node: str
    state: str
    note: str
    pid: int
    version: str
    started_at_ms: int
    running: int
    max_attempts: int
    total_memory_bytes: int
    available_memory_bytes: int
    attempts_memory_bytes: int
    total_cores: float
    busy_cores: float
    room_memory_bytes: int
    room_cores: float
    why_short: str
    why_full: str
    lease_left_s: float


class WorkerTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The live workers together."""

    workers: int = 0
    running: int = 0
    total_memory_bytes: int = 0
    available_memory_bytes: int = 0
    attempts_memory_bytes: int = 0
    total_cores: float = 0
    busy_cores: float = 0


class Need(msgspec.Struct, frozen=True):
    """How many waiting tasks need this much (0: unknown), as the queue keeps needs: at most 3 % less than declared.

    `most_memory_bytes` and `most_cores` are what the largest node has, in each respect.
    """

    memory_bytes: int
    cores: float
    tasks: int
    most_memory_bytes: int
    most_cores: float


class FailureGroup(msgspec.Struct, frozen=True):
    """Tasks that failed alike: by cause, reason and last line of stderr (`last_words`); and the id of one of them."""

    cause: Cause
    reason: str
    last_words: str
    tasks: int
    example: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A project at a glance. Reading it takes the same time with a thousand tasks and with ten million.

    Args:
        project: its name.
        counts: tasks by state.
        rate_per_s: ends of tasks, over the last minute, when there were `ended_lately`.
        eta_s: until all have ended that some node can run: at that rate, or, where few ended in that minute, as
            attempts took so far; None if that is not known, or no worker lives.
        workers: the live ones together.
        too_large: waiting tasks that need more than any live worker's node has; none without live workers.
        failures: failed tasks in groups, the most frequent first; of more than 200, those are of some 200.
        attempts: attempts that have ended, by cause.
        spent_s: task-seconds by cause of the attempts' end; all but those of `finished` were thrown away.
        use: of the nodes, so far. `at_ms` is now, by the store's clock.
    """

    project: str
    counts: Mapping[State, int]
    ended_lately: int
    rate_per_s: float
    eta_s: float | None
    workers: WorkerTotals
    too_large: tuple[Need, ...]
    failures: tuple[FailureGroup, ...]
    attempts: Mapping[Cause, int]
    spent_s: Mapping[Cause, float]
    use: Use
    at_ms: int

    @property
    def total(self) -> int:
        """All tasks."""
        return sum(self.counts.values())


class Progress(msgspec.Struct, frozen=True):
    """How far some jobs are. `trouble` says why the numbers are old, "" when they are not."""

    counts: Mapping[State, int]
    trouble: str = ""

    @property
    def total(self) -> int:
        """All tasks."""
        return sum(self.counts.values())

    @property
    def left(self) -> int:
        """Tasks that have not ended."""
        return self.counts[State.TODO] + self.counts[State.RUNNING]

    @property
    def done(self) -> int:
        """Tasks that have ended, one way or another."""
        return self.total - self.left


class Changes(msgspec.Struct, frozen=True):
    """What came of a change of tasks: how many were changed; the others by the word for why not.

    A word is the state that a task is in already or cannot be changed in, or "unknown".
    """

    changed: int
    refused: Mapping[str, int]
