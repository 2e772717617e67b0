"""Finds the processes that tests started and did not end, daemons with other parents included."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from distcomp.runner.fencev1 import remove_unused

# RLIMIT_LOCKS of Linux. No kernel heeds it, and every process inherits it, however far it detaches: through fork,
# through exec, and when it empties its environment or writes its title over it, as the store's servers do.
_MARKED_LIMIT = 10
_LOOK_AGAIN_S = 0.05


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
    _, hard = resource.getrlimit(_MARKED_LIMIT)
    resource.setrlimit(_MARKED_LIMIT, (1 + secrets.randbelow(2**62), hard))


def still_running(patience_s: float) -> list[Leftover]:
    """What runs, after waiting up to `patience_s` for it to end.

    Only two looks apart that find nothing say that there is nothing: between fork and the end of its parent, a process
    with a lower number may escape one look.
    """
    deadline_s = time.monotonic() + patience_s
    looks_in_vain = 0
    while looks_in_vain < 2:
        left = _ours()
        looks_in_vain = 0 if left else looks_in_vain + 1
        if left and time.monotonic() >= deadline_s:
            return left
        time.sleep(_LOOK_AGAIN_S)
    return []


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
    mark, _ = resource.getrlimit(_MARKED_LIMIT)
    others = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    looks = [_look_at(pid, mark) for pid in others if pid != os.getpid()]
    return [leftover for leftover in looks if leftover]


def _look_at(pid: int, mark: int) -> Leftover | None:
    try:
        if _marked_limit(pid) != str(mark):
            return None
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None  # ended meanwhile
    return None if state in "ZX" else Leftover(pid, command, _test_in_environment(pid))


def _marked_limit(pid: int) -> str:
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    return next(line.split()[3] for line in limits if line.startswith("Max file locks"))


def _test_in_environment(pid: int) -> str:
    """Which test ran when it was started: pytest says so in its own environment, and a process inherits that too."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""  # another user's, or ended meanwhile
    current = next((v for v in variables if v.startswith(b"PYTEST_CURRENT_TEST=")), b"")
    return current.partition(b"=")[2].decode(errors="replace")
