"""Who goes back when memory is short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from distcomp.packing.growth import line_bytes
from distcomp.packing.values import Load, NodeLimits, NodeUse, Victim
from distcomp.units import format_bytes

_START_FRACTION_S = 0.02
"""What a start costs, in the same measure as the memory that an attempt has held: the whole node for 20 ms. Without it,
attempts would go back that have taken nothing yet."""


@dataclass(frozen=True, slots=True)
class Return:
    """Give the attempt's task back to the pool: its memory is needed, and it did nothing wrong.

    `has_outgrown_node`: it ran alone, and the node was not enough for it.
    """

    key: int
    reason: str
    has_outgrown_node: bool = False


def relieve_pressure(use: NodeUse, loads: Sequence[Load], limits: NodeLimits) -> list[Return]:
    """Who goes back so that the line is free again. Never the oldest, and nobody while there is room.

    An attempt that is alone is let grow: it may be all that the node can hold. Only when it waits for memory that
    nobody else has, it goes back too.
    """
    alive = [load for load in loads if not load.is_dying]
    # What is being killed will be free: if it did not count, each look until then would kill another.
    growing = _without(use, *(load for load in loads if load.is_dying))
    available = use.memory.available_bytes
    if use.is_stalled:
        # Whatever the counts say: somebody waits for memory.
        available = min(available, line_bytes(growing, limits) - 1)
    available += sum(load.used_bytes for load in loads if load.is_dying)
    if use.is_stalled and len(loads) == len(alive) == 1:
        return [Return(alive[0].key, _alone_reason(use, alive[0]), has_outgrown_node=True)]
    candidates, victims = alive[1:], list[Load]()
    while available < (line := line_bytes(growing, limits)) and candidates:
        victim = _victim(candidates, line - available, use, limits)
        candidates.remove(victim)
        victims.append(victim)
        available, growing = available + victim.used_bytes, _without(growing, victim)
    for victim in victims[:-1]:
        # The last may be so large that of those before it, not all have to go.
        growing_with = replace(growing, growth_bytes=growing.growth_bytes + victim.grown_bytes)
        if available - victim.used_bytes >= line_bytes(growing_with, limits):
            available, growing = available - victim.used_bytes, growing_with
            victims.remove(victim)
    return [Return(victim.key, _short_reason(use, victim, line)) for victim in victims]


def _without(use: NodeUse, *gone: Load) -> NodeUse:
    """The node's growth but for theirs: what they took since the last look must not send back others, too."""
    return replace(use, growth_bytes=use.growth_bytes - sum(load.grown_bytes for load in gone))


def _victim(candidates: Sequence[Load], short_bytes: int, use: NodeUse, limits: NodeLimits) -> Load:
    if limits.victim is Victim.NEWEST:
        return candidates[-1]
    younger = candidates[int(len(candidates) * limits.tuning.older_fraction) :]
    enough = [load for load in younger if load.used_bytes >= short_bytes]
    start_byte_s = _START_FRACTION_S * use.memory.total_bytes
    return min(enough or younger, key=lambda load: (load.memory_byte_s + start_byte_s) / max(1, load.used_bytes))


def _short_reason(use: NodeUse, victim: Load, line: int) -> str:
    return (
        f"memory was short: {format_bytes(use.memory.available_bytes)} of {format_bytes(use.memory.total_bytes)} "
        f"available, {format_bytes(line)} to be kept free; it used {format_bytes(victim.used_bytes)}"
    )


def _alone_reason(use: NodeUse, alone: Load) -> str:
    return (
        f"it ran alone and outgrew the node: it used {format_bytes(alone.used_bytes)} "
        f"of {format_bytes(use.memory.total_bytes)}"
    )
