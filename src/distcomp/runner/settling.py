"""What is kept of an attempt whose processes are all dead: the outcome, and what it printed."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import msgspec

from distcomp.model import Cause, Made, Outcome, Usage
from distcomp.runner import ends
from distcomp.runner.attempt import Ended, Live, RootEnd, RunningAttempt
from distcomp.runner.launch import CannotExecute
from distcomp.runner.limits import KeepOutput, RunnerLimits
from distcomp.runner.outputs import Outputs, Printed, Stored
from distcomp.runner.peaks import PeakMemory
from distcomp.runner.quick import size_bytes
from distcomp.runner.resultfiles import ResultFiles
from distcomp.runner.slotfiles import SlotFiles

_LASTING_S = 1.0
"""Of shorter attempts the course of memory is not kept: there may be a million of them, and little to see."""


class Settling:
    """Turns dead attempts into outcomes.

    Args:
        node: named in outcomes.
        then: gets each attempt that is over: at once, or later if its output is large or it has files.
    """

    def __init__(
        self,
        node: str,
        slots: SlotFiles,
        outputs: Outputs,
        results: ResultFiles,
        memory: PeakMemory,
        then: Callable[[Ended], None],
    ) -> None:
        self._node = node
        self._slots = slots
        self._outputs = outputs
        self._results = results
        self._memory = memory
        self._then = then

    def settle(self, live: Live, end: RootEnd, limits: RunnerLimits) -> None:
        """The attempt's processes are dead. Its slot is free afterwards."""
        slot = live.slot
        stdout_bytes = size_bytes(slot.stdout_fd)
        stderr_bytes = size_bytes(slot.stderr_fd)
        printed = Printed(slot.stdout_fd, slot.stderr_fd, stdout_bytes, stderr_bytes)
        outcome = self._outcome(live, end, printed, limits)
        attempt = live.attempt
        is_kept = not printed.is_empty and _is_kept(outcome.cause, limits.keep_output)
        if is_kept and printed.is_large(limits):
            self._slots.detach(slot)
            then = partial(self._hand_over, live, outcome)
            self._outputs.store_large(attempt.task_id, outcome.attempt, printed, limits, then)
            return
        stored = Stored()
        if is_kept:
            stored = self._outputs.store_small(attempt.task_id, outcome.attempt, printed, limits)
        if live.had_strays:
            self._slots.discard(slot)
        else:
            self._slots.give_back(slot, is_empty=printed.is_empty)
        self._hand_over(live, outcome, stored)

    def settle_unstarted(self, attempt: RunningAttempt, error: CannotExecute) -> None:
        """The attempt never came to a process."""
        outcome = Outcome(
            cause=Cause.EXIT,
            node=self._node,
            attempt=attempt.claim.attempt,
            started_at_ms=attempt.started_at_ms,
            ended_at_ms=attempt.started_at_ms,
            exit_code=error.exit_code,
            reason=error.reason,
        )
        self._then(Ended(attempt, outcome))

    def _hand_over(self, live: Live, outcome: Outcome, stored: Stored) -> None:
        if stored.place or stored.lost:
            outcome = msgspec.structs.replace(outcome, output=stored.place, output_lost=stored.lost)
        if live.look is None or outcome.cause is not Cause.FINISHED:
            self._then(Ended(live.attempt, outcome, live.others))
            return
        then = partial(self._hand_over_with_files, live, outcome)
        self._results.look(live.attempt.claim, outcome.started_at_ms, live.look, then)

    def _hand_over_with_files(self, live: Live, outcome: Outcome, made: Made | None) -> None:
        self._then(Ended(live.attempt, msgspec.structs.replace(outcome, made=made), live.others))

    def _outcome(self, live: Live, end: RootEnd, printed: Printed, limits: RunnerLimits) -> Outcome:
        cause = _cause(live, end)
        stdout_end = stderr_end = b""
        if printed.stdout_bytes:
            wanted_bytes = ends.COLUMNS_BYTES if cause is Cause.FINISHED else ends.TAIL_BYTES + 1
            stdout_end = _end_of(printed.stdout_fd, printed.stdout_bytes, wanted_bytes)
        if printed.stderr_bytes and cause is not Cause.FINISHED:
            stderr_end = _end_of(printed.stderr_fd, printed.stderr_bytes, ends.TAIL_BYTES + 1)
        has_failed = cause is not Cause.FINISHED
        measured, usage = live.attempt.measured, self._usage(live, end)
        has_lasted = end.wall_s >= _LASTING_S
        return Outcome(
            cause=cause,
            node=self._node,
            attempt=live.attempt.claim.attempt,
            started_at_ms=live.attempt.started_at_ms,
            ended_at_ms=end.at_ms,
            usage=usage,
            exit_code=end.exit_code,
            signal=end.signal,
            reason=_reason(live, end, stderr_end, limits) if has_failed else "",
            stdout_tail=ends.tail_text(stdout_end) if has_failed else "",
            stderr_tail=ends.tail_text(stderr_end) if has_failed else "",
            columns=ends.columns(stdout_end) if stdout_end and not has_failed else None,
            known_bytes=live.attempt.claim.need_bytes,
            course=measured.course.percent(usage.peak_bytes) if measured.course and has_lasted else (),
            at_start=measured.at_start if has_lasted else None,
            at_end=measured.at_end if has_lasted else None,
        )

    def _usage(self, live: Live, end: RootEnd) -> Usage:
        spent = end.spent
        return Usage(
            wall_s=end.wall_s,
            cpu_s=spent.cpu_s + live.strays_cpu_s,
            peak_bytes=self._memory.peak_bytes(live, spent.peak_bytes),
            disk_read_bytes=spent.disk_read_bytes,
            disk_written_bytes=spent.disk_written_bytes,
        )


def _cause(live: Live, end: RootEnd) -> Cause:
    if live.order is not None:
        return live.order.cause
    if live.is_oom:
        return Cause.OOM
    return Cause.EXIT if end.status else Cause.FINISHED


def _reason(live: Live, end: RootEnd, stderr_end: bytes, limits: RunnerLimits) -> str:
    if live.is_oom:
        return "the kernel's OOM killer ended it, as memory had run out"
    if live.order is None:
        return ends.reason(end.exit_code, end.signal, stderr_end)
    if live.order.cause is not Cause.TIMEOUT:
        return live.order.reason
    if not live.was_termed:
        return f"{live.order.reason} (KILL)"
    return f"{live.order.reason} (TERM{f', then KILL after {limits.kill_grace_s:g} s' if live.was_killed else ''})"


def _is_kept(cause: Cause, keep: KeepOutput) -> bool:
    return keep is KeepOutput.ALL or (keep is KeepOutput.FAILED and cause is not Cause.FINISHED)


def _end_of(fd: int, size_bytes: int, most_bytes: int) -> bytes:
    start = max(0, size_bytes - most_bytes)
    return os.pread(fd, size_bytes - start, start)
