"""A fence around the attempts' memory: they have a limit of their own, and near it the worker is woken.

No look is quick enough for a task that takes a gigabyte in 20 ms. Where the worker may make a memory cgroup (as root,
or in a subtree of version 2 that is delegated to it), all its attempts are in one whose limit leaves the node's
reserve alone. Short of the limit the kernel wakes the worker, which chooses who goes back. Who is quicker than that
meets the limit: with version 2 it waits there for the worker, with version 1 the kernel's killer finds attempts only,
the newest first; never the worker, the store or anybody else on the node.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from distcomp.runner.fencev1 import FenceV1
from distcomp.runner.fencev2 import FenceV2


class Fence(Protocol):
    """The cgroup of a worker's attempts."""

    event: int
    """A descriptor that can be read when much more is used than a moment ago, or less."""

    def add_thread(self, thread_id: int) -> None:
        """From now on, what this thread starts is born inside, if that can be. Raises OSError: it cannot be moved."""
        ...

    def take_in(self, pid: int) -> None:
        """Take in what was just started, if it was not born inside."""
        ...

    def used_bytes(self) -> int:
        """What the attempts use together, but for the page cache that is given back on demand."""
        ...

    def set_limit(self, limit_bytes: int) -> None:
        """Move the fence. Not below what is used: the kernel would look for it, page by page, while we wait."""
        ...

    def is_stalled(self) -> bool:
        """Has anybody had to wait for memory since the last call, where there is none left?"""
        ...

    def note_event(self) -> None:
        """Make `event` ready for the next one."""
        ...

    def close(self) -> None:
        """Remove the cgroup. No process may be in it any more; else it stays, for the next worker of this name."""
        ...


def build_fence(
    name: str,
    total_bytes: int,
    now_s: float,
    proc: Path = Path("/proc"),
    cgroups: Path = Path("/sys/fs/cgroup"),
) -> Fence | None:
    """A fence that keeps within the memory limits that this process has; None where none can be made.

    Args:
        name: unlike that of all other workers on the machine; what a killed worker left is used again.
        total_bytes: of the node's memory.
        now_s: since 1970.
        proc: where /proc is.
        cgroups: where cgroups are mounted.
    """
    unified = None
    for line in (proc / "self" / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        with contextlib.suppress(OSError):
            if "memory" in controllers.split(","):
                return FenceV1.build(cgroups / "memory" / path.strip("/"), name, total_bytes, now_s)
            if not controllers:
                unified = path
    with contextlib.suppress(OSError):
        return FenceV2.build(cgroups, unified, name, now_s) if unified is not None else None
    return None
