"""What the worker costs while it packs, and tasks that take memory faster than anybody can look.

A storm is a program whose processes together want three times the node at once, as fast as the machine gives it. It
must never be the worker, the store or the oldest task that pays for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.batches import Task
from benchmarks.crew import crew
from benchmarks.support import Line, wait_until
from benchmarks.watch import Attempt, Watch

STORMS = 100
STORM_NODE_BYTES = 2**30
MOST_S = 600.0
GROWING = 50
GROWING_NODE_BYTES = 4 * 2**30
GROW_S = 24.0
WATCH_S = 16.0


def run() -> list[Line]:
    """The benchmark's lines of the table."""
    return [cost(), storms()]


def cost() -> Line:
    """CPU of the worker's own process while GROWING tasks grow until the node is full and beyond."""
    peak_bytes = int(1.15 * GROWING_NODE_BYTES / GROWING)
    with crew(GROWING_NODE_BYTES, f"max_tasks = {GROWING}\n") as own, Watch(own.node, own.log) as watch:
        own.submit(*(Task("ramp", peak_bytes, GROW_S, number) for number in range(GROWING)))
        wait_until(lambda: watch.samples[-1].running >= GROWING, f"{GROWING} tasks run")
        cpu_before_s, before_s = _own_cpu_s(own.worker.pid), time.monotonic()
        time.sleep(WATCH_S)
        cpu_s, taken_s = _own_cpu_s(own.worker.pid) - cpu_before_s, time.monotonic() - before_s
        detail = f"{len(watch.killed)} returned meanwhile, {watch.samples[-1].used_bytes / GROWING_NODE_BYTES:.0%} used"
    return Line(f"worker packing {GROWING} growing tasks, % of a core", 100 * cpu_s / taken_s, "<=", 4, detail)


def _own_cpu_s(pid: int) -> float:
    """Without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def storms(wanted: int = STORMS) -> Line:
    """Storms, one after the other and two at a time, beside a task that goes on."""
    oldest = Task("ramp", STORM_NODE_BYTES // 10, 2 * MOST_S, 0)
    with crew(STORM_NODE_BYTES, "max_tasks = 3\n") as own, Watch(own.node, own.log) as watch:
        own.submit(oldest)
        wait_until(lambda: len(watch.attempts) > 0, "the oldest task runs")
        first, store_pid = watch.attempts[0], own.store_pid()
        own.submit(*(Task("storm", 3 * STORM_NODE_BYTES, 1.0, number) for number in range(1, wanted + 1)))

        def is_well() -> bool:
            return own.worker.poll() is None and first.ended_s == 0.0 and Path(f"/proc/{store_pid}").exists()

        survived = _survived(watch, first, wanted, is_well)
        detail = f"{watch.kernel_kills} processes killed by the kernel"
    return Line("OOM storms that worker, store and oldest task survived", survived, ">=", wanted, detail)


def _survived(watch: Watch, oldest: Attempt, wanted: int, is_well: Callable[[], bool]) -> int:
    """How many storms had passed when there were enough of them, or something was lost, or the time was over."""
    passed, deadline_s = 0, time.monotonic() + MOST_S
    while passed < wanted and time.monotonic() < deadline_s:
        now_passed = sum(1 for attempt in watch.killed if attempt is not oldest and attempt.ended_s)
        if not is_well():
            return passed
        passed = now_passed
        time.sleep(0.05)
    return passed
