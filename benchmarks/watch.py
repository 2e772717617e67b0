"""Watches a node while a batch of memoryload.py runs in it, whoever runs it: memory over time, attempts and their ends.

Attempts are known by the log that the programs write. One that has started and is gone without having said so was
killed; so all contestants are measured alike, and none is asked what it threw away.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from benchmarks.node import Node

SAMPLE_S = 0.05


class Sample(NamedTuple):
    """The node at one time, on the monotonic clock; and CPU time of the whole machine."""

    at_s: float
    used_bytes: int
    running: int
    core_s: float


@dataclass(slots=True)
class Attempt:
    """One run of one program. `ended_s` of one that was killed is right to SAMPLE_S."""

    pid: int
    task: str
    started_s: float
    ended_s: float = 0.0
    is_complete: bool = False

    @property
    def lasted_s(self) -> float:
        """Seconds from start to end."""
        return self.ended_s - self.started_s


@dataclass(slots=True)
class Watch:
    """A thread that looks at the node 20 times a second, from enter to exit.

    Args:
        log: what memoryload.py was told to write to.
    """

    node: Node
    log: Path
    samples: list[Sample] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    kernel_kills: int = 0
    _live: dict[int, Attempt] = field(default_factory=dict)
    _read_bytes: int = 0
    _is_over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._sample()
        self._thread = threading.Thread(target=self._run, name="watch")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()
        self._sample()

    # What was seen

    @property
    def mean_used_bytes(self) -> float:
        """Mean over the time of the watch."""
        area = sum(
            later.used_bytes * (later.at_s - earlier.at_s)
            for earlier, later in zip(self.samples, self.samples[1:], strict=False)
        )
        return area / (self.samples[-1].at_s - self.samples[0].at_s)

    @property
    def busy_fraction(self) -> float:
        """Of the machine's cores, the part that was at work, for whomever."""
        first, last = self.samples[0], self.samples[-1]
        return (last.core_s - first.core_s) / (last.at_s - first.at_s) / (os.cpu_count() or 1)

    @property
    def peak_used_bytes(self) -> int:
        """The most that a look found."""
        return max(sample.used_bytes for sample in self.samples)

    @property
    def wasted_fraction(self) -> float:
        """Seconds of attempts that came to nothing, of the seconds of all."""
        total_s = sum(attempt.lasted_s for attempt in self.attempts)
        return sum(attempt.lasted_s for attempt in self.killed) / total_s if total_s else 0.0

    @property
    def killed(self) -> Sequence[Attempt]:
        """Attempts that did not come to their end."""
        return [attempt for attempt in self.attempts if not attempt.is_complete]

    # The thread

    def _run(self) -> None:
        next_s = time.monotonic()
        while not self._is_over.wait(max(0.0, next_s - time.monotonic())):
            next_s = max(next_s + SAMPLE_S, time.monotonic())
            self._sample()

    def _sample(self) -> None:
        now_s = time.monotonic()
        self._read_log()
        for pid, attempt in list(self._live.items()):
            if not _lives(pid):
                attempt.ended_s = now_s
                del self._live[pid]
        self.samples.append(Sample(now_s, self.node.use().used_bytes, len(self._live), machine_core_s()))
        self.kernel_kills = self.node.kernel_kills()
        self.node.write_meminfo()

    def _read_log(self) -> None:
        if not self.log.exists():
            return
        with self.log.open("rb") as file:
            file.seek(self._read_bytes)
            news = file.read()
        news = news[: news.rfind(b"\n") + 1]
        self._read_bytes += len(news)
        for line in news.decode().splitlines():
            what, pid, at_s, task = line.split(" ", 3)
            if what == "start":
                attempt = self._live[int(pid)] = Attempt(int(pid), task, float(at_s))
                self.attempts.append(attempt)
            elif what == "end" and int(pid) in self._live:
                attempt = self._live.pop(int(pid))
                attempt.ended_s, attempt.is_complete = float(at_s), True


def machine_core_s() -> float:
    """CPU time that the machine has used since it started, of all cores: not idle, and not waiting for disks."""
    user, nice, system, _idle, _iowait, irq, softirq = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    return sum(map(int, (user, nice, system, irq, softirq))) / os.sysconf("SC_CLK_TCK")


def _lives(pid: int) -> bool:
    """A zombie does not."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.read(fd, 512).rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False
    finally:
        os.close(fd)
