"""What may start on a node now."""

from __future__ import annotations

from collections.abc import Sequence

from distcomp.model import NodeRoom
from distcomp.packing.growth import foreign_bytes, start_line_bytes
from distcomp.packing.values import Load, NodeLimits, NodeUse
from distcomp.units import format_bytes, format_bytes_apart

_MOSTLY_OURS = 0.75
"""Where others hold more than the rest of a node, a task that needs all of it has to wait for them."""


def room(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> NodeRoom:
    """What the node can take now.

    An empty node takes one task, whatever it may need up to all of the node's memory and cores.
    """
    total, memory_bytes = use.memory.total_bytes, _memory_bytes(use, loads, limits)
    attempts, cores = _attempts(use, loads, limits), _cores(use, loads, limits)
    if not loads:
        attempts, cores = max(1, attempts), limits.cores
        # Without others, what counts is what the node has: an attempt that is alone may try.
        memory_bytes = total if use.memory.available_bytes >= _MOSTLY_OURS * total else max(0, memory_bytes)
    elif memory_bytes <= limits.tuning.gap_fraction * total:
        attempts, memory_bytes = 0, 0
    return NodeRoom(attempts, memory_bytes, cores, total, limits.cores, _unknown_waits(use, loads, limits))


def fits(use: NodeUse, loads: Sequence[Load], limits: NodeLimits, need_bytes: int, cores: float = 0) -> bool:
    """Whether a task may start now.

    For a claim that was given although there was no room, as it had waited for too long: until it fits, nothing else is
    started.
    """
    now = room(use, loads, limits)
    return now.attempts > 0 and need_bytes <= now.memory_bytes and cores <= now.cores


def obstacle(use: NodeUse, loads: Sequence[Load], limits: NodeLimits, need_bytes: int, cores: float = 0) -> str:
    """The first thing that keeps a task from starting here, for people; "" when it may start."""
    total = use.memory.total_bytes
    if need_bytes > total:
        needs, has = format_bytes_apart(need_bytes, total)
        return f"it needs {needs}, the node has {has}"
    if cores > limits.cores:
        return f"it needs {cores:g} cores, the node gives {limits.cores:g}"
    now = room(use, loads, limits)
    if need_bytes > now.memory_bytes or (loads and now.memory_bytes == 0):
        known = f"it is known to need {format_bytes(need_bytes)}; " if need_bytes else ""
        return f"{known}{memory_text(use, loads, limits)}"
    if cores > now.cores:
        return f"it needs {cores:g} cores, {now.cores:g} of {limits.cores:g} are not spoken for"
    return "" if now.attempts > 0 else _attempts_text(use, loads, limits)


def regrowth_bytes(loads: Sequence[Load]) -> int:
    """What attempts may take again of what they are known to need: it is free now, but not to be given to others."""
    return sum(load.proven_bytes - load.used_bytes for load in loads if not load.is_dying)


def memory_text(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> str:
    """What becomes of the node's memory, for people."""
    available, total = use.memory.available_bytes, use.memory.total_bytes
    regrowth, line = regrowth_bytes(loads), start_line_bytes(use, limits)
    foreign = foreign_bytes(use.memory, loads)
    parts = [f"{format_bytes(available)} of {format_bytes(total)} is free"]
    if regrowth:
        parts.append(f"{format_bytes(regrowth)} of that is kept for what runs and is known to need it")
    parts.append(f"{format_bytes(line)} stays free")
    if foreign > total // 8:
        parts.append(f"{format_bytes(foreign)} is used by others")
    return ", ".join(parts)


def _memory_bytes(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> int:
    """Memory for what is started now; 0 or less: nothing may start.

    The smaller of two views, as each alone is wrong: what is free now misses attempts yet to grow again, and what
    attempts have shown misses those that still grow beyond it.
    """
    free = use.memory.available_bytes - start_line_bytes(use, limits)
    unproven = use.memory.available_bytes - limits.keep_free_bytes - regrowth_bytes(loads)
    return min(free, unproven)


def _attempts(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> int:
    """How many more attempts may start, as far as processors and caution go."""
    new = sum(1 for load in loads if load.is_new)
    old = len(loads) - new
    # What came and went between two looks does not count against the burst, or short tasks would be held up by it.
    most = max(use.attempts + limits.tuning.burst, old + int(limits.cores), old + limits.tuning.burst)
    by_cores = limits.max_attempts - len(loads) if limits.max_attempts else _attempts_by_cores(use, loads, limits)
    return max(0, min(by_cores, most - len(loads)))


def _attempts_by_cores(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> int:
    """How many more attempts the cores would keep busy.

    The larger of two views: what is measured is in part of attempts that have ended since, and counting those that run
    misses that they may wait for something.
    """
    # No less than the part of a core that each has when there are as many as may be.
    typical = max(use.typical_cores, 1 / limits.tuning.attempts_per_core)
    cores = _granted_cores(use, limits)
    counted = sum(max(load.declared_cores, typical) for load in loads)
    starting = sum(max(load.declared_cores, typical) for load in loads if load.is_new)
    measured = max(use.busy_cores - use.foreign_cores + starting, sum(load.declared_cores for load in loads))
    # Half of an attempt may be missing: what is measured is never quite idle.
    more = max(int((cores - counted) / typical), int((cores - measured) / typical + 0.5))
    return min(more, int(limits.tuning.attempts_per_core * limits.cores) - len(loads))


def _granted_cores(use: NodeUse, limits: NodeLimits) -> float:
    """Cores for our attempts, without those that others keep busy."""
    return min(limits.cores, (limits.node_cores or limits.cores) - use.foreign_cores)


def _cores(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> float:
    """For tasks that declare theirs."""
    return max(0.0, _granted_cores(use, limits) - sum(load.declared_cores for load in loads))


def _unknown_waits(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> bool:
    """Whether fresh tasks wait for returned ones, which are large: else those pile up until only they are left."""
    returned = sum(load.proven_bytes for load in loads if load.need_bytes)
    return bool(loads) and returned < limits.tuning.waiting_fraction * use.memory.total_bytes


def _attempts_text(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> str:
    running = sum(1 for load in loads if not load.is_dying)
    if limits.max_attempts and len(loads) >= limits.max_attempts:
        return f"{running} attempts run, and max_tasks is {limits.max_attempts}"
    if len(loads) >= limits.tuning.attempts_per_core * limits.cores:
        return f"{running} attempts run on {limits.cores:g} cores, {limits.tuning.attempts_per_core:g} for each"
    if _attempts_by_cores(use, loads, limits) <= 0 and not limits.max_attempts:
        return f"{use.busy_cores:.1f} of {limits.node_cores or limits.cores:g} cores are busy"
    return "others were started a moment ago, and how much they take is to be seen first"
