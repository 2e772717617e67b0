"""A node with a true memory limit on this machine: a memory cgroup, of version 1 or 2, that commands are started in.

What exceeds it is killed by the kernel, as on a machine of that size. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from benchmarks.support import LeftOut

CGROUPS = Path("/sys/fs/cgroup")
_PREFIX = "dc-node-"


class CannotMakeNode(LeftOut):
    """This machine, or this user, cannot limit memory; the text says why."""


class Use(NamedTuple):
    """Memory of a node at one time. `used_bytes` is what the kernel would not give back on demand."""

    charged_bytes: int
    cache_bytes: int
    used_bytes: int


class _Files(NamedTuple):
    """What a version of cgroups calls its files."""

    limit: str
    usage: str
    peak: str
    cache: str
    inactive: str
    events: str


_V1 = _Files(
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "memory.max_usage_in_bytes",
    "total_cache",
    "total_inactive_file",
    "memory.oom_control",
)
_V2 = _Files("memory.max", "memory.current", "memory.peak", "file", "inactive_file", "memory.events")


class Node:
    """Made with its size; as a context it ends what still runs in it, and removes itself, whatever happens.

    Raises:
        CannotMakeNode: no root, or no memory cgroups here.
    """

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self._meminfo: Path | None = None
        self._files, parent = _own_cgroup()
        _remove_left(parent)
        self.folder = parent / f"{_PREFIX}{os.getpid()}-{time.monotonic_ns()}"
        self._kills_of: dict[tuple[str, int], int] = {}
        try:
            self.folder.mkdir()
            (self.folder / self._files.limit).write_text(str(memory_bytes))
        except OSError as error:
            self.close()
            raise CannotMakeNode(f"no node: {self.folder}: {error.strerror}; it takes root") from error

    def command(self, words: Sequence[str], *, sees_meminfo: bool = False) -> list[str]:
        """The command that runs `words`, and all that they start, in the node.

        Args:
            sees_meminfo: /proc/meminfo is that of the node for them, as fresh as the last `write_meminfo`.
        """
        # The shell moves itself, so nothing of the command ever runs outside.
        enter = f"echo $$ > {shlex.quote(str(self.folder / 'cgroup.procs'))} && exec {shlex.join(words)}"
        if not sees_meminfo:
            return ["sh", "-c", enter]
        enter = f"mount --bind {shlex.quote(str(self.write_meminfo()))} /proc/meminfo && {enter}"
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", enter]

    def use(self) -> Use:
        """Memory now."""
        charged_bytes = int((self.folder / self._files.usage).read_bytes())
        stat = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return Use(charged_bytes, int(stat[self._files.cache]), charged_bytes - int(stat[self._files.inactive]))

    def peak_bytes(self) -> int:
        """The most that was charged at one time, page cache included."""
        return int((self.folder / self._files.peak).read_bytes())

    def kernel_kills(self) -> int:
        """Processes that the kernel killed for memory in the node, in all cgroups that were there when we looked."""
        if self._files is _V2:
            return _oom_kills(self.folder / self._files.events)
        # Version 1 counts each kill in the victim's own cgroup only.
        for folder in _with_those_below(self.folder):
            with contextlib.suppress(OSError):
                self._kills_of[str(folder), folder.stat().st_ino] = _oom_kills(folder / self._files.events)
        return sum(self._kills_of.values())

    def pids(self) -> list[int]:
        """All processes in the node."""
        found: list[int] = []
        for folder in _with_those_below(self.folder):
            with contextlib.suppress(OSError):
                found += map(int, (folder / "cgroup.procs").read_text().split())
        return found

    def write_meminfo(self) -> Path:
        """Bring the file up to date that stands for /proc/meminfo in the node."""
        if self._meminfo is None:
            # Of the machine's shared memory: read by the node's processes, it must not be their page cache.
            descriptor, name = tempfile.mkstemp(prefix=_PREFIX, dir="/dev/shm")
            os.close(descriptor)
            self._meminfo = Path(name)
        use = self.use()
        free_bytes = self.memory_bytes - use.charged_bytes
        rows = {
            "MemTotal": self.memory_bytes,
            "MemFree": free_bytes,
            "MemAvailable": self.memory_bytes - use.used_bytes,
            "Buffers": 0,
            "Cached": use.cache_bytes,
            "SwapCached": 0,
        }
        text = "".join(f"{name + ':':15}{max(0, size_bytes) >> 10:9} kB\n" for name, size_bytes in rows.items())
        descriptor = os.open(self._meminfo, os.O_WRONLY)
        os.pwrite(descriptor, text.encode(), 0)
        os.close(descriptor)
        return self._meminfo

    def close(self) -> None:
        """Kill what is left in the node, and remove it."""
        _remove(self.folder)
        if self._meminfo is not None:
            self._meminfo.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _own_cgroup() -> tuple[_Files, Path]:
    """Where cgroups that limit memory can be made: the version's names, and the folder to make them in."""
    if os.geteuid() != 0:
        raise CannotMakeNode("no node: only root can limit memory with a cgroup")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _V1, CGROUPS / "memory" / path.strip("/")
    # Version 2 has processes in its leaves only, so the nearest one above that hands memory on.
    own = CGROUPS / path.strip("/")
    for folder in (own, *own.parents):
        with contextlib.suppress(OSError):
            if "memory" in (folder / "cgroup.subtree_control").read_text().split():
                return _V2, folder
        if folder == CGROUPS:
            break
    raise CannotMakeNode(f"no node: no cgroup above {own} lets its children limit memory")


def _with_those_below(folder: Path) -> list[Path]:
    """Outermost first. Unlike `rglob`, does not mind if some vanish meanwhile."""
    return [Path(name) for name, _, _ in os.walk(folder)]


def _oom_kills(events: Path) -> int:
    match = re.search(r"^oom_kill (\d+)", events.read_text(), re.MULTILINE)
    return int(match[1]) if match else 0


def _remove_left(parent: Path) -> None:
    """Nodes whose maker was killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        maker = folder.name.removeprefix(_PREFIX).split("-")[0]
        if not Path("/proc", maker).exists():
            _remove(folder)


def _remove(folder: Path) -> None:
    """Kill all in the cgroup and below, and remove it, from the innermost out."""
    deadline_s = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline_s:
        for path in reversed(_with_those_below(folder)):
            with contextlib.suppress(OSError):
                for pid in (path / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                path.rmdir()
        if folder.exists():
            time.sleep(0.01)
