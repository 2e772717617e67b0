"""What becomes of a task when an attempt has ended: done, tried again, given up, or put back at no charge."""

from __future__ import annotations

from dataclasses import dataclass

from distcomp.model import Cause, Claim, Outcome
from distcomp.units import format_bytes_apart

BACKOFF_CAP_S = 60.0
CANNOT_EXECUTE, NOT_FOUND = 126, 127
_SIGKILL, _SHELL_SAYS_SIGKILL = 9, 137
_STEPS = 16


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The task failed and has tries left. `is_elsewhere`: not on this node, where it cannot even start."""

    delay_s: float
    is_elsewhere: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The task has failed for good. `reason` is "" where the outcome says enough."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class PutBack:
    """Not the task's fault: it goes back, at no charge. `need_bytes` is what it is known to need now; 0: no news."""

    need_bytes: int


@dataclass(frozen=True, slots=True)
class Done:
    """The attempt did the task."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt ended.

    Args:
        node_bytes: memory of the node; 0: not known.
        largest_bytes: memory of the largest node there is; 0: not known.
        was_alone: nothing else ran on the node, not even an attempt that was being killed, and no other's program held
            much of it.
    """

    node_bytes: int = 0
    largest_bytes: int = 0
    was_alone: bool = False


def after_end(
    claim: Claim, outcome: Outcome, retries: int, backoff_s: float, place: Place | None = None
) -> Done | TryAgain | GiveUp | PutBack:
    """What becomes of the task. Only exits and timeouts use up retries.

    Args:
        retries: from the settings, where neither task nor job says.
        backoff_s: before the first retry; doubles with each.
    """
    if outcome.cause is Cause.FINISHED:
        return Done()
    if outcome.cause in (Cause.EVICTED, Cause.OOM):
        return _after_memory(claim, outcome, place or Place())
    if outcome.cause not in (Cause.EXIT, Cause.TIMEOUT):
        return PutBack(0)
    granted = next(number for number in (claim.spec.retries, claim.context.retries, retries) if number is not None)
    if claim.failures >= granted:
        return GiveUp()
    delay_s = min(BACKOFF_CAP_S, backoff_s * 2.0**claim.failures)
    return TryAgain(delay_s, outcome.exit_code in (CANNOT_EXECUTE, NOT_FOUND))


def _after_memory(claim: Claim, outcome: Outcome, place: Place) -> PutBack | GiveUp:
    need_bytes = need_after(outcome.usage.peak_bytes, claim.need_bytes, place)
    if place.largest_bytes and need_bytes > place.largest_bytes:
        return GiveUp(outgrown_reason(outcome.usage.peak_bytes, place.largest_bytes))
    return PutBack(need_bytes)


def outgrown_reason(peak_bytes: int, largest_bytes: int) -> str:
    """Why a task that had a node to itself is given up, for people."""
    peak, largest = format_bytes_apart(peak_bytes, largest_bytes)
    return f"it outgrew a node that it had to itself, reaching {peak}, and no node has more than {largest}"


def need_after(peak_bytes: int, need_bytes: int, place: Place) -> int:
    """What a task is known to need after an attempt that memory ended; `need_bytes` is what was known before.

    What an attempt has reached, rounded up so that tasks of similar need share a queue. Rounding never takes it beyond
    the node that held it. An attempt that outgrew a node by itself needs a larger one.
    """
    if place.was_alone and place.node_bytes:
        return max(need_bytes, place.node_bytes + 1)
    reached = _rounded_up(peak_bytes)
    return max(need_bytes, min(reached, place.node_bytes) if place.node_bytes else reached)


def _rounded_up(size_bytes: int) -> int:
    """To three digits or so: 16 steps from each power of two to the next."""
    step = (1 << size_bytes.bit_length() >> 1) // _STEPS or 1
    return -(-size_bytes // step) * step


def is_kernel_oom(
    signal: int | None,
    exit_code: int | None,
    *,
    oom_kills: int,
    own_oom_kills: int = 0,
    was_killed_by_us: bool = False,
) -> bool:
    """Whether an attempt that failed was ended by the kernel's OOM killer: then its cause is OOM and not EXIT.

    Args:
        signal: that ended its first process, if one did.
        exit_code: of its first process, if it had one.
        oom_kills: by how much the counter of the node, or of the cgroup that all attempts share, has moved since the
            attempt started.
        own_oom_kills: of these, the ones that were, or must have been, of the attempt's own processes.
    """
    if was_killed_by_us or exit_code == 0:
        return False
    # A shell tells of its child's death by an exit code, as any program may that runs others.
    return own_oom_kills > 0 or (oom_kills > 0 and (signal == _SIGKILL or exit_code == _SHELL_SAYS_SIGKILL))
