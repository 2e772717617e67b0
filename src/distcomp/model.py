"""Values that every layer shares. Immutable, without behaviour that needs a clock, a store or a file.

The structs are msgspec ones: as frozen and slotted as a dataclass, ten times quicker to make, and
they encode themselves, which matters where a million tasks pass through.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

type_ = type  # `type` is a field name below, as it is in task files

Scalar = str | int | float | bool | None


class TaskType(StrEnum):
    """What a task's command is."""

    SHELL = "shell"
    PYTHON = "python"


class State(StrEnum):
    """Where a task is. Each task is in exactly one state (docs/state-machine.md)."""

    TODO = "todo"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """Why an attempt ended. Only EXIT and TIMEOUT use up a task's retries."""

    FINISHED = "finished"
    EXIT = "exit"
    TIMEOUT = "timeout"
    EVICTED = "evicted"
    OOM = "oom"
    LOST = "lost"
    DRAINED = "drained"
    CANCELLED = "cancelled"


class TaskSpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One task as its user wrote it. What is None or empty here comes from the task's job.

    `memory_bytes` and `cores` are what the user declared; 0 means unknown, which is the usual case.
    `outputs` are patterns of its result files, relative to its directory (globs.py).
    `copy` tells apart equal tasks that the user wants to run several times.
    """

    command: str
    type: TaskType = TaskType.SHELL
    priority: int = 0
    memory_bytes: int = 0
    cores: float = 0
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    timeout_s: float | None = None
    retries: int | None = None
    kind: str | None = None
    tags: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    params: Mapping[str, Scalar] | None = None
    copy: int = 0


class JobContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the tasks of one job share: submitted together, from one directory, with one environment."""

    cwd: str
    env: Mapping[str, str] = {}
    interpreter: str = ""
    timeout_s: float | None = None
    retries: int | None = None
    kind: str | None = None
    source: str = ""
    submitted_at_ms: int = 0


class Claim(msgspec.Struct, frozen=True):
    """A worker's right to run a task once. Every later write about the attempt shows the token."""

    task_id: str
    token: int
    job: int
    attempt: int
    spec: TaskSpec
    context: JobContext
    failures: int = 0
    need_bytes: int = 0


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an attempt took, over its whole process tree."""

    wall_s: float = 0
    cpu_s: float = 0
    peak_bytes: int = 0
    disk_read_bytes: int = 0
    disk_written_bytes: int = 0


class OutputPlace(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an attempt's full output lies, below the node's log folder.

    Small outputs share a file (`offset_bytes` > 0 or not), a large one has its own, compressed.
    `cut_bytes` is what the limit removed from the middle.
    """

    file: str
    offset_bytes: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    is_compressed: bool = False
    stdout_cut_bytes: int = 0
    stderr_cut_bytes: int = 0


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """The node when an attempt began or ended. `others`: attempts beside it. Memory is as the worker saw it last."""

    others: int
    available_bytes: int
    total_bytes: int


class Made(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Result files of an attempt, as noted on its node. `lost`: why they could not be."""

    files: int = 0
    size_bytes: int = 0
    lost: str = ""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one attempt ended: kept with the task when it settles, or in its history when it runs again.

    `exit_code` is None where a signal ended it. `reason` is one line for people.
    `columns` is the task's result: the last line of stdout that is a JSON object.
    `known_bytes` is what the task was known to need when the attempt began. Only for attempts that lasted there are
    `course`, their memory in equal steps from start to end in percent of the peak, and the node at both ends.
    """

    cause: Cause
    node: str
    attempt: int
    started_at_ms: int
    ended_at_ms: int
    usage: Usage = Usage()
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    stdout_tail: str = ""
    stderr_tail: str = ""
    output: OutputPlace | None = None
    output_lost: str = ""
    made: Made | None = None
    columns: Mapping[str, object] | None = None
    known_bytes: int = 0
    course: tuple[int, ...] = ()
    at_start: Moment | None = None
    at_end: Moment | None = None


class NodeRoom(msgspec.Struct, frozen=True):
    """What a worker can take now, and what its node has in all.

    `unknown_waits`: no task of unknown need is to pass one of known need that only the room is too small for.
    """

    attempts: int
    memory_bytes: int
    cores: float
    total_memory_bytes: int
    total_cores: float
    unknown_waits: bool = False


class NodeMemory(msgspec.Struct, frozen=True):
    """A node's memory as the kernel and its cgroup tell it: the smaller of both."""

    total_bytes: int
    available_bytes: int


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What attempts used of the nodes while any ran there, and what there was.

    Args:
        span_s: how long, all nodes together.
        memory_byte_s, total_byte_s: memory of attempts, and of the nodes, times how long.
        core_s, total_core_s: cores at work for whomever, and those that there were, times how long.
        peak_memory_fraction, peak_cores_fraction: the largest part of a node that was in use.
    """

    span_s: float = 0
    memory_byte_s: float = 0
    total_byte_s: float = 0
    core_s: float = 0
    total_core_s: float = 0
    peak_memory_fraction: float = 0
    peak_cores_fraction: float = 0

    @property
    def memory_fraction(self) -> float:
        """In use on average."""
        return self.memory_byte_s / self.total_byte_s if self.total_byte_s else 0.0

    @property
    def cores_fraction(self) -> float:
        """At work on average."""
        return self.core_s / self.total_core_s if self.total_core_s else 0.0
