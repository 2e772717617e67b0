"""What packing decides upon: the node, what runs there, and what the settings grant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from distcomp.model import NodeMemory


class Victim(StrEnum):
    """Which attempt goes back when memory is short. The oldest never does while others run."""

    NEWEST = "newest"
    CHEAPEST = "cheapest"


@dataclass(frozen=True, slots=True)
class Tuning:
    """The policy's parameters. docs/decisions/packing-defaults.md has what each was measured to be worth.

    Args:
        attempts_per_core: no more than so many share a core, so that the oldest always gets on.
        burst: so many more attempts than at the last look may run, and at least a new one for each core.
        lookahead: intervals of present growth to keep free, so that the next look is not too late.
        react_s: from a look until the memory of who was killed at the next one is free.
        trend_s: fresh work starts only if growth may go on for so long; the least of it.
        trend_fraction: the same, as part of what an attempt typically lasts, which counts where it is longer.
        near_s, far_s: the shortest and the longest time between looks.
        glance_s: between glances, at what is free alone, where a look would be too late.
        fill_bytes_per_s: how fast a core may fill memory without warning.
        waiting_fraction: fresh tasks wait for returned ones while those that run are known to need less than this
            part of the node.
        gap_fraction: nothing starts in less room than this part of the node: it would soon go back.
        older_fraction: of the attempts that may go back, so many of the oldest are spared if others will do.
    """

    attempts_per_core: float = 4.0
    burst: int = 3
    lookahead: float = 1.5
    react_s: float = 0.03
    trend_s: float = 0.4
    trend_fraction: float = 0.12
    near_s: float = 0.05
    far_s: float = 1.0
    glance_s: float = 0.005
    fill_bytes_per_s: float = 2.0**31
    waiting_fraction: float = 0.1
    gap_fraction: float = 0.02
    older_fraction: float = 0.5


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What the settings grant on this node.

    Args:
        cores: that may be used.
        max_attempts: 0: as many as cores and memory hold. Any other number counts in place of the cores.
        node_cores: that there are; 0: as many as may be used.
    """

    cores: float
    max_attempts: int
    keep_free_bytes: int
    victim: Victim = Victim.CHEAPEST
    node_cores: float = 0.0
    tuning: Tuning = Tuning()


@dataclass(frozen=True, slots=True)
class Load:
    """One attempt on the node, as packing sees it; in a sequence the oldest comes first.

    Args:
        key: the worker's own, unique among what runs.
        known_bytes: the most it has shown, or an earlier attempt of its task.
        is_new: started after the last look, so that nothing is known of its use.
        need_bytes: what was known of the task when it started; 0: nothing.
        memory_byte_s: memory it has held, times how long: what would be lost with it.
        is_dying: it has been told to end; what it uses will be free soon.
        grown_bytes: its own part of NodeUse.growth_bytes.
    """

    key: int
    used_bytes: int
    known_bytes: int
    declared_cores: float
    is_new: bool
    need_bytes: int = 0
    memory_byte_s: float = 0.0
    is_dying: bool = False
    grown_bytes: int = 0

    @property
    def proven_bytes(self) -> int:
        """The most that it is known to use at a time."""
        return max(self.used_bytes, self.known_bytes)


@dataclass(frozen=True, slots=True)
class NodeUse:
    """The node at the last look.

    Args:
        growth_bytes: how much use outgrew what had been seen before (growth.py), over the `since_s` before the look.
        busy_cores: at work for whomever.
        typical_cores: what an attempt keeps busy.
        trend_bytes_per_s: growth over a longer time (growth.py).
        typical_wall_s: what an attempt lasts; until some have ended, the mean age of those that run.
        attempts: how many ran then.
        foreign_cores: of the busy ones, those that are not at work for attempts.
        is_stalled: the node is at a limit where attempts wait for memory instead of being killed.
    """

    memory: NodeMemory
    growth_bytes: int
    busy_cores: float
    typical_cores: float
    since_s: float = 0.1
    trend_bytes_per_s: float = 0.0
    typical_wall_s: float = 0.0
    attempts: int = 0
    foreign_cores: float = 0.0
    is_stalled: bool = False
