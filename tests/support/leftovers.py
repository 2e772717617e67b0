"""Finds the processes that tests started and did not end, daemons with other parents included."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from distcomp.runner.fence import remove_unused

# Inherited by every process that a test starts, however far it detaches. Not DISTCOMP_..., which are settings
# and would be removed from the environment of some.
_MARK = "SESSION_OF_DISTCOMP_TESTS"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A process that outlived the tests; `test` is the one that ran when it was started, if it is known."""

    pid: int
    command: str
    test: str

    def __str__(self) -> str:
        return f"  {self.pid} {self.command:.120} (started in {self.test or 'an unknown test'})"


def mark_what_we_start() -> None:
    """From now on, processes that this one starts can be told from others."""
    os.environ[_MARK] = uuid.uuid4().hex


def still_running(patience_s: float) -> list[Leftover]:
    """What runs, after waiting up to `patience_s` for it to end."""
    deadline_s = time.monotonic() + patience_s
    while (left := _ours()) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return left


def remove_fences() -> None:
    """The cgroups of workers that tests killed: the next worker would remove them, but there is none."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            remove_unused(Path("/sys/fs/cgroup/memory", path.strip("/")), made_before_s=time.time())


def kill(leftovers: Iterable[Leftover]) -> None:
    """End them, so that one bad test does not spoil the machine for the next session."""
    for leftover in leftovers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(leftover.pid, signal.SIGKILL)


def _ours() -> list[Leftover]:
    mark = f"{_MARK}={os.environ[_MARK]}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            leftover = _look_at(int(entry.name), mark)
            if leftover:
                found.append(leftover)
    return found


def _look_at(pid: int, mark: bytes) -> Leftover | None:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None  # ended meanwhile, or another user's
    is_child = int(status[1]) == os.getpid()
    if status[0] in "ZX" or not (mark in variables or is_child):
        return None
    # pytest says in its own environment which test it runs, so a process has inherited that too.
    current = next((v for v in variables if v.startswith(b"PYTEST_CURRENT_TEST=")), b"")
    return Leftover(pid, command, current.partition(b"=")[2].decode(errors="replace"))
