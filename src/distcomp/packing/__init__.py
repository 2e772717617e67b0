"""Admission, eviction and retry on one node: what may start, what goes back, what is tried again.

Pure: no clock, no store, no /proc. The worker acts on the answers, and the simulator replays workloads through the same
functions. docs/packing.md tells how it decides, docs/decisions/packing-defaults.md what was measured.
"""

from __future__ import annotations

from distcomp.packing.admission import fits, memory_text, obstacle, regrowth_bytes, room
from distcomp.packing.eviction import Return, relieve_pressure
from distcomp.packing.growth import (
    Seen,
    foreign_bytes,
    growth_bytes,
    is_close,
    line_bytes,
    look_interval_s,
    seen,
    start_line_bytes,
    trend_bytes_per_s,
    trend_horizon_s,
)
from distcomp.packing.leaving import leaving_times_s
from distcomp.packing.retry import (
    Done,
    GiveUp,
    Place,
    PutBack,
    TryAgain,
    after_end,
    is_kernel_oom,
    need_after,
    outgrown_reason,
)
from distcomp.packing.starvation import is_starving, may_make_room
from distcomp.packing.values import Load, NodeLimits, NodeUse, Tuning, Victim

__all__ = [
    "Done",
    "GiveUp",
    "Load",
    "NodeLimits",
    "NodeUse",
    "Place",
    "PutBack",
    "Return",
    "Seen",
    "TryAgain",
    "Tuning",
    "Victim",
    "after_end",
    "fits",
    "foreign_bytes",
    "growth_bytes",
    "is_close",
    "is_kernel_oom",
    "is_starving",
    "leaving_times_s",
    "line_bytes",
    "look_interval_s",
    "may_make_room",
    "memory_text",
    "need_after",
    "obstacle",
    "outgrown_reason",
    "regrowth_bytes",
    "relieve_pressure",
    "room",
    "seen",
    "start_line_bytes",
    "trend_bytes_per_s",
    "trend_horizon_s",
]
