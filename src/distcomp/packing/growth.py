"""How fast memory is being taken, what to keep free for it, and when to look again.

Only growth beyond what was seen before counts: an attempt that grows back to what its task had reached, or a sawtooth
to its last height, takes what has been kept for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distcomp.model import NodeMemory
from distcomp.packing.values import Load, NodeLimits, NodeUse

_MOST_SHARE = 4
"""No more than a quarter of a node is kept free for growth until the next look."""
_TREND_WINDOWS = 4
"""The trend is a mean over a quarter of the time that it is to tell of."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look saw, for the next to compare with.

    Args:
        proven_bytes: of each attempt, by its key.
        foreign_bytes: in use and not by attempts.
    """

    proven_bytes: Mapping[int, int]
    foreign_bytes: int


def seen(memory: NodeMemory, loads: Sequence[Load]) -> Seen:
    """What this look saw."""
    return Seen({load.key: load.proven_bytes for load in loads}, foreign_bytes(memory, loads))


def foreign_bytes(memory: NodeMemory, loads: Sequence[Load]) -> int:
    """In use, and not by attempts."""
    return max(0, memory.total_bytes - memory.available_bytes - sum(load.used_bytes for load in loads))


def growth_bytes(before: Seen, now: Seen, loads: Sequence[Load]) -> int:
    """By how much use outgrew what had been seen: NodeUse.growth_bytes.

    Negative where others gave memory back: only so do their ups and downs cancel out over several looks.
    """
    at_start = {load.key: load.need_bytes for load in loads}
    risen = sum(
        proven_bytes - before.proven_bytes.get(key, at_start[key]) for key, proven_bytes in now.proven_bytes.items()
    )
    return risen + now.foreign_bytes - before.foreign_bytes


def trend_horizon_s(typical_wall_s: float, limits: NodeLimits) -> float:
    """For how long growth has to be affordable before anything is started.

    Most attempts grow for a part of their lives. Without this, a node is filled with some that have not grown yet, and
    many of them go back.
    """
    return max(limits.tuning.trend_s, limits.tuning.trend_fraction * typical_wall_s)


def trend_bytes_per_s(before: float, growth_bytes: int, since_s: float, horizon_s: float) -> float:
    """The trend after a look, given the one before it: NodeUse.trend_bytes_per_s.

    A mean that forgets, over a part of the time for which it is to hold.
    """
    since_s = max(since_s, 1e-3)
    weight = 1 - math.exp(-since_s * _TREND_WINDOWS / horizon_s)
    return before + weight * (growth_bytes / since_s - before)


def line_bytes(use: NodeUse, limits: NodeLimits) -> int:
    """Memory to keep free: the setting, or what will be taken before anybody can act on the next look."""
    taken_bytes = limits.tuning.lookahead * _rate_bytes_per_s(use, limits) * limits.tuning.react_s
    # One jump does not go on for ever: without a limit, it would send back all others on a small node.
    most_bytes = use.memory.total_bytes // _MOST_SHARE
    return max(limits.keep_free_bytes, min(int(taken_bytes), most_bytes))


def start_line_bytes(use: NodeUse, limits: NodeLimits) -> int:
    """Memory that has to be free before anything is started: the line, or room for the trend to go on."""
    taken_bytes = use.trend_bytes_per_s * trend_horizon_s(use.typical_wall_s, limits)
    return max(line_bytes(use, limits), int(taken_bytes))


def is_close(use: NodeUse, limits: NodeLimits) -> bool:
    """Whether what is free above the line could be gone before the next look, so that glances are worth their while."""
    free_bytes = use.memory.available_bytes - line_bytes(use, limits)
    return free_bytes < limits.cores * limits.tuning.fill_bytes_per_s * limits.tuning.near_s


def look_interval_s(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> float:
    """When to look again: before half of what is free could be taken, at the present rate or without warning.

    Soon, where something is new: so much is allowed to start between looks, and no more.
    """
    tuning = limits.tuning
    if use.is_stalled or any(load.is_new or load.is_dying for load in loads):
        return tuning.near_s
    free_bytes = use.memory.available_bytes - line_bytes(use, limits)
    rate = max(_rate_bytes_per_s(use, limits), limits.cores * tuning.fill_bytes_per_s)
    return min(tuning.far_s, max(tuning.near_s, free_bytes / rate / 2))


def _rate_bytes_per_s(use: NodeUse, limits: NodeLimits) -> float:
    """How fast use grows now; negative where it shrinks.

    A look right after another tells of no shorter time than looks are apart: what it finds may have been taken over all
    of that, and some megabytes in a millisecond would be tens of gigabytes in a second.
    """
    return use.growth_bytes / max(use.since_s, limits.tuning.near_s)
