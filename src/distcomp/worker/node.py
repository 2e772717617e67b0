"""The node a worker is on: its name, the lock that keeps it to one worker, and how loaded it is."""

from __future__ import annotations

import fcntl
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distcomp.errors import WorkerExists

LOCK_POLL_S = 0.2


def node_name() -> str:
    """The machine's name, short, as users know it."""
    return socket.gethostname().split(".")[0] or "localhost"


def usable_cores() -> int:
    """Cores that this process may use: its affinity, as a batch system may have set it."""
    return len(os.sched_getaffinity(0))


@contextmanager
def node_lock(path: Path, *, wait: bool, leash: int | None = None) -> Iterator[bool]:
    """Hold the node for one worker of the project; False when `leash` was let go before the node became free.

    Raises:
        WorkerExists: another worker holds it, and `wait` is False.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try_lock(descriptor):
            if not wait:
                holder = os.pread(descriptor, 20, 0).decode().strip()
                raise WorkerExists(
                    f"A worker of this project already runs on {node_name()} (pid {holder}).",
                    unchanged="No second one was started.",
                    next_step="One worker fills a node; 'distcomp workers' shows it.",
                )
            if select.select([] if leash is None else [leash], [], [], LOCK_POLL_S)[0]:
                yield False
                return
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield True
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class BusyCores:
    """How many of the machine's cores are at work, whoever uses them."""

    def __init__(self, now_s: Callable[[], float], stat: Path = Path("/proc/stat")) -> None:
        self._now_s, self._stat = now_s, stat
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._before = self._read(), now_s()
        self._last = 0.0

    def read(self) -> float:
        """Mean since the last call; a call within 0.1 s of it gives the same again."""
        now_s = self._now_s()
        span_s = now_s - self._before[1]
        if span_s >= 0.1:
            busy_s = self._read()
            self._last = max(0.0, busy_s - self._before[0]) / span_s
            self._before = busy_s, now_s
        return self._last

    def _read(self) -> float:
        fields = self._stat.read_bytes().split(b"\n", 1)[0].split()[1:9]
        user, nice, system, _idle, _iowait, irq, softirq, _steal = map(int, fields)
        return (user + nice + system + irq + softirq) * self._tick_s


def free_disk_bytes(folder: Path) -> int:
    """What an ordinary user may still write there."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
