"""Admission, eviction and retry on one node: what may start, what goes back, what is tried again.

Pure: no clock, no store, no /proc. The worker acts on the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from distcomp.model import Cause, Claim, NodeMemory, NodeRoom, Outcome

BURST = 4
BACKOFF_CAP_S = 60.0
CANNOT_EXECUTE, NOT_FOUND = 126, 127


class Victim(StrEnum):
    """Which attempt goes back when memory is short."""

    NEWEST = "newest"
    CHEAPEST = "cheapest"


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What the settings grant on this node.

    `max_attempts` 0: as many as cores and memory hold, at most 4 per core.
    """

    cores: float
    max_attempts: int
    keep_free_bytes: int
    victim: Victim = Victim.NEWEST


@dataclass(frozen=True, slots=True)
class Load:
    """One attempt on the node, as packing sees it; in a sequence the oldest comes first.

    `known_bytes` is the most it has shown, or an earlier attempt of its task.
    """

    key: int
    used_bytes: int
    known_bytes: int
    declared_cores: float
    is_new: bool
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeUse:
    """The node at the last look. `growth_bytes`: by how much use grew since the look before, not below 0."""

    memory: NodeMemory
    growth_bytes: int
    busy_cores: float
    typical_cores: float


@dataclass(frozen=True, slots=True)
class Return:
    """Give the attempt's task back to the pool: its memory is needed, and it did nothing wrong."""

    key: int
    reason: str


def line_bytes(use: NodeUse, limits: NodeLimits) -> int:
    """Memory to keep free: the setting, or what will be taken before the next look acts."""
    return max(limits.keep_free_bytes, use.growth_bytes * 3 // 2)


def room(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> NodeRoom:
    """What the node can take now. An empty node takes one task whatever it may need."""
    total = use.memory.total_bytes
    declared_cores = sum(load.declared_cores for load in loads)
    if not loads:
        return NodeRoom(_attempts(use, loads, limits), total, limits.cores, total, limits.cores)
    line = line_bytes(use, limits)
    # Both views, as each alone is wrong: what is free now misses attempts yet to grow again, and
    # what attempts have shown misses everything else on the node.
    free = use.memory.available_bytes - line
    unproven = total - limits.keep_free_bytes - sum(max(load.used_bytes, load.known_bytes) for load in loads)
    attempts = _attempts(use, loads, limits) if free > 0 else 0
    return NodeRoom(attempts, max(0, min(free, unproven)), max(0.0, limits.cores - declared_cores), total, limits.cores)


def _attempts(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> int:
    """How many more attempts may start, as far as processors and caution go."""
    if limits.max_attempts:
        return max(0, limits.max_attempts - len(loads))
    by_cores = max(1, int(limits.cores / max(use.typical_cores, 0.25)))
    if use.busy_cores + use.typical_cores <= limits.cores:
        # The node is not busy: its attempts wait for something. More may run, a few with each look.
        looked_at = sum(1 for load in loads if not load.is_new)
        by_cores = max(by_cores, looked_at + BURST)
    return max(0, min(by_cores, int(4 * limits.cores)) - len(loads))


def relieve_pressure(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> list[Return]:
    """Who goes back so that the line is free again. Never the oldest, and nobody while there is room."""
    line, available = line_bytes(use, limits), use.memory.available_bytes
    candidates, returned = list(loads[1:]), []
    while available < line and candidates:
        victim = _victim(candidates, line - available, limits)
        candidates.remove(victim)
        available += victim.used_bytes
        returned.append(
            Return(
                victim.key,
                f"memory was short: {use.memory.available_bytes >> 20} MiB of {use.memory.total_bytes >> 20} MiB "
                f"available, {line >> 20} MiB to be kept free; it used {victim.used_bytes >> 20} MiB",
            )
        )
    return returned


def _victim(candidates: Sequence[Load], short_bytes: int, limits: NodeLimits) -> Load:
    if limits.victim is Victim.NEWEST:
        return candidates[-1]
    enough = [load for load in candidates if load.used_bytes >= short_bytes]
    return min(enough or candidates, key=lambda load: (load.cpu_s + 1) / max(1, load.used_bytes))


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The task failed and has tries left. `is_elsewhere`: not on this node, where it cannot even start."""

    delay_s: float
    is_elsewhere: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The task has failed for good."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """Not the task's fault: it goes back, at no charge. `need_bytes` is what it is known to need now."""

    need_bytes: int


@dataclass(frozen=True, slots=True)
class Done:
    """The attempt did the task."""


def after_end(claim: Claim, outcome: Outcome, retries: int, backoff_s: float) -> Done | TryAgain | GiveUp | PutBack:
    """What becomes of the task. Only exits and timeouts use up retries.

    Args:
        retries: from the settings, where neither task nor job says.
        backoff_s: before the first retry; doubles with each.
    """
    if outcome.cause is Cause.FINISHED:
        return Done()
    if outcome.cause not in (Cause.EXIT, Cause.TIMEOUT):
        is_for_memory = outcome.cause in (Cause.EVICTED, Cause.OOM)
        return PutBack(max(outcome.usage.peak_bytes, claim.need_bytes) if is_for_memory else 0)
    granted = next(number for number in (claim.spec.retries, claim.context.retries, retries) if number is not None)
    if claim.failures >= granted:
        return GiveUp()
    delay_s = min(BACKOFF_CAP_S, backoff_s * 2.0**claim.failures)
    return TryAgain(delay_s, outcome.exit_code in (CANNOT_EXECUTE, NOT_FOUND))
