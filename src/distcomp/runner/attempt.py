"""What is known of an attempt: who it is (frozen), what was measured, and how it ended."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from distcomp.errors import DistcompError
from distcomp.model import Cause, Claim, Moment, Outcome
from distcomp.runner.course import Course

if TYPE_CHECKING:
    from distcomp.runner.quick import Spent
    from distcomp.runner.resultfiles import Look
    from distcomp.runner.slotfiles import Slot
OWN_MARK = "WORKER_OF_DISTCOMP"
"""In the environment of what a worker starts for itself, not for an attempt. Not DISTCOMP_..., which are settings and
would be taken out of the environment of some processes."""


class NodeRefused(DistcompError):
    """The node has no process, memory, descriptor or disk left for an attempt. Temporary; no fault of the task."""


@dataclass(slots=True)
class Measured:
    """What was seen of an attempt's process tree so far, and of the node around it. Changes while it runs.

    Args:
        held_byte_s: memory times the time that it was held.
        shared_once: what is left of the sum over all processes when pages that they share count once.
        shared_at_s: when that was found out; monotonic, as `at_s`, the last look.
    """

    used_bytes: int = 0
    peak_bytes: int = 0
    held_byte_s: float = 0.0
    shared_once: float = 1.0
    shared_at_s: float = 0.0
    at_s: float = 0.0
    course: Course | None = None
    at_start: Moment | None = None
    at_end: Moment | None = None


@dataclass(slots=True, eq=False)
class RunningAttempt:
    """Who an attempt is.

    Args:
        number: of all that the runner has started.
        pid: also its session and process group; 0 until it has a process, which it may never come to.
        started_s: on the monotonic clock.
        is_dying: it was told to end, with no time left to do so.
    """

    claim: Claim
    number: int
    slot: int
    started_at_ms: int
    started_s: float
    pid: int = 0
    is_dying: bool = False
    measured: Measured = field(default_factory=Measured)

    @property
    def task_id(self) -> str:
        """The task it is an attempt of."""
        return self.claim.task_id


class Refused(msgspec.Struct, frozen=True, eq=False):
    """An attempt that was not started, as the node had no room for its process. Temporary; no fault of the task."""

    attempt: RunningAttempt
    error: NodeRefused


class Ended(msgspec.Struct, frozen=True, eq=False):
    """An attempt that is over: no process of it lives, and its output is where `outcome` says.

    `others`: attempts that were there when it ended, those included that were being killed.
    """

    attempt: RunningAttempt
    outcome: Outcome
    others: int = 0


@dataclass(frozen=True, slots=True)
class KillOrder:
    """Why we are ending the attempt."""

    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class RootEnd:
    """The end of an attempt's first process."""

    status: int
    spent: Spent
    at_ms: int
    wall_s: float

    @property
    def exit_code(self) -> int | None:
        """None if a signal ended it."""
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None

    @property
    def signal(self) -> int | None:
        """None if it ended by itself."""
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else None


@dataclass(slots=True, eq=False)
class Live:
    """The runner's own notes on an attempt that is not over."""

    attempt: RunningAttempt
    slot: Slot
    timeout_s: float
    end: RootEnd | None = None
    order: KillOrder | None = None
    kill_at_s: float = math.inf
    has_grace: bool = True
    was_termed: bool = False
    was_killed: bool = False
    is_lasting: bool = False
    has_group: bool = True
    had_strays: bool = False
    strays_cpu_s: float = 0.0
    seen_bytes: int = 0
    others: int = 0
    oom_score: int = 0
    kills_before: int = 0
    is_oom: bool = False
    look: Look | None = None

    @property
    def times_out_at_s(self) -> float:
        """On the monotonic clock; infinite without a timeout, and once it is being killed."""
        return math.inf if self.order is not None else self.attempt.started_s + self.timeout_s
