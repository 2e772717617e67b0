"""How far a run is, shown while it goes on: a line that is drawn anew on a terminal, else a line now and then."""

from __future__ import annotations

import sys
from collections import deque
from typing import TextIO

from distcomp.api import Progress, WorkerTotals
from distcomp.cli.render import duration, size
from distcomp.cli.status import beyond_text
from distcomp.cli.terminal import cut, is_terminal, paint, width
from distcomp.clock import Clock
from distcomp.model import State
from distcomp.units import format_rate

REDRAW_S = 0.2
PLAIN_LINE_S = 10.0
RATE_WINDOW_S = 30.0
FEW = 10
BAR_COLUMNS = 20


class Pace:
    """The rate of the last seconds, or of the last ends if those were few."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._now_s, self._done = 0.0, 0

    def note(self, now_s: float, done: int) -> None:
        """So many have ended by now."""
        seen = self._seen
        if not seen or done != self._done:
            seen.append((now_s, done))
        self._now_s, self._done = now_s, done
        # Long tasks end now and then, some at once: a rate of the last seconds would be nothing, or far too much.
        while len(seen) > 2 and now_s - seen[0][0] > RATE_WINDOW_S and done - seen[1][1] >= FEW:
            seen.popleft()

    def per_s(self) -> float:
        """Ends per second; 0 while that is unknown."""
        first_s, first = self._seen[0]
        # Retried tasks make the number go back.
        return max(0, self._done - first) / (self._now_s - first_s) if self._now_s > first_s else 0.0


class ProgressLine:
    """Shows progress on stderr.

    Args:
        clock: for the rate.
        stream: stderr.
    """

    def __init__(self, clock: Clock, stream: TextIO | None = None) -> None:
        self._clock, self._stream = clock, stream or sys.stderr
        self._is_live = is_terminal(self._stream)
        self._pace = Pace()
        self._next_s = 0.0 if self._is_live else clock.monotonic_s() + PLAIN_LINE_S
        self._is_drawn = False

    def is_due(self) -> bool:
        """Whether it is time to show something."""
        return self._clock.monotonic_s() >= self._next_s

    def note(self, progress: Progress) -> None:
        """Take the numbers in, for the rate."""
        self._pace.note(self._clock.monotonic_s(), progress.done)

    def draw(self, progress: Progress, workers: WorkerTotals, beyond: int = 0) -> None:
        """Show how far it is; no node can run `beyond` of the tasks."""
        self._next_s = self._clock.monotonic_s() + (REDRAW_S if self._is_live else PLAIN_LINE_S)
        text = progress_text(progress, workers, self._pace.per_s(), beyond)
        if not self._is_live:
            print(text, file=self._stream, flush=True)
            return
        bar = _bar(progress, self._stream)
        print(f"\r{bar} {cut(text, width() - BAR_COLUMNS - 2)}\x1b[K", end="", file=self._stream, flush=True)
        self._is_drawn = True

    def say(self, text: str) -> None:
        """A line of its own, above the progress."""
        self.clear()
        print(text, file=self._stream, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._is_drawn:
            print("\r\x1b[K", end="", file=self._stream, flush=True)
            self._is_drawn = False


def progress_text(progress: Progress, workers: WorkerTotals, per_s: float, beyond: int = 0) -> str:
    """All of it in a line, the most important first; the time is that of what some node can run."""
    counts, beyond = progress.counts, min(beyond, progress.counts[State.TODO])
    parts = [f"{progress.done:,}/{progress.total:,}", f"{counts[State.RUNNING]:,} running"]
    if counts[State.FAILED]:
        parts.append(f"{counts[State.FAILED]:,} failed")
    if progress.trouble:
        parts.append(progress.trouble)
    elif per_s:
        parts.append(f"{format_rate(per_s)}, {duration((progress.left - beyond) / per_s)} left")
    if beyond:
        parts.append(beyond_text(beyond))
    if workers.workers:
        used_bytes = workers.total_memory_bytes - workers.available_memory_bytes
        parts.append(f"memory {size(used_bytes) or '0 B'} of {size(workers.total_memory_bytes)}")
        parts.append(f"cores {workers.busy_cores:.1f} of {workers.total_cores:g}")
    return "  ".join(parts)


def _bar(progress: Progress, stream: TextIO) -> str:
    filled = BAR_COLUMNS * progress.done // max(1, progress.total)
    return paint("━" * filled, "green", stream) + paint("━" * (BAR_COLUMNS - filled), "dim", stream)
