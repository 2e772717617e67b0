"""The fence of cgroups version 2: as root, or in a subtree that is delegated to the worker.

It has two limits. At the first one (memory.high) the kernel holds back who wants more, and the worker chooses who goes
back. The second (memory.max), a little further on, is for who slips through: there the kernel kills.

No limit that binds the worker may be evaded. Where one does, the fence has to be below the worker's own cgroup, which
then may hold no process itself: the worker steps aside into another one below it, if it is alone there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path

from distcomp.runner.cgroup import FRESH_S, PREFIX, Cgroup
from distcomp.runner.kernel import watch_changes

_ASIDE = ".worker"
_MOST_BYTES = 4096
_HIGH_PART = 64
"""The first limit is this part of the second one before it."""
_SLACK_PART = 4
"""Who is within this part of the way between the two, of the first, has nothing left to take."""
_HELD_BACK = re.compile(rb"^high (\d+)", re.MULTILINE)


class FenceV2:
    """The cgroup of a worker's attempts. Made by `build`.

    `event` can be read when somebody was held back, or killed.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError: it cannot be made, or another worker has it."""
        self._held_back = self._high_bytes = 0
        self._cgroup = Cgroup(folder, "memory.current", "inactive_file")
        open_file = self._cgroup.open
        try:
            # Whoever finds a fence without this lock may remove it.
            fcntl.flock(open_file("", os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._cgroup.open_memory()
            self._procs = open_file("cgroup.procs", os.O_WRONLY)
            self._high, self._max = open_file("memory.high", os.O_WRONLY), open_file("memory.max", os.O_WRONLY)
            self._events = open_file("memory.events", os.O_RDONLY)
            self.event = self._cgroup.keep(watch_changes(folder / "memory.events"))
        except OSError:
            # Not removed: it may be the other worker's.
            self._cgroup.close()
            raise
        self.is_stalled()

    @classmethod
    def build(cls, cgroups: Path, own: str, name: str, now_s: float) -> FenceV2:
        """A fence as high up as no limit is evaded.

        Args:
            cgroups: where they are mounted.
            own: the cgroup that this process is in, as /proc/self/cgroup says.

        Raises:
            OSError: it cannot be made.
        """
        *higher, last = _places(cgroups, cgroups / own.strip("/"))
        for parent in higher:
            with contextlib.suppress(OSError):  # Not ours to change.
                return cls._build_below(parent, name, now_s)
        return cls._build_below(last, name, now_s)

    @classmethod
    def _build_below(cls, parent: Path, name: str, now_s: float) -> FenceV2:
        _remove_unused(parent, made_before_s=now_s - FRESH_S)
        if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
            _hand_down_memory(parent, parent / f"{PREFIX}{name}{_ASIDE}")
        try:
            return cls(parent / f"{PREFIX}{name}")
        except OSError:
            _step_back(parent, parent / f"{PREFIX}{name}{_ASIDE}")
            raise

    def add_thread(self, thread_id: int) -> None:
        """In version 2, a thread's memory is its process's: what it starts has to be taken in."""

    def take_in(self, pid: int) -> None:
        """Within 10 us or so of its start: what it had until then is the worker's."""
        with contextlib.suppress(OSError):  # Gone already; or the cgroup is, and it runs on outside.
            os.write(self._procs, b"%d" % pid)

    def used_bytes(self) -> int:
        """What the attempts use together, but for the page cache that is given back on demand."""
        return self._cgroup.used_bytes()

    def set_limit(self, limit_bytes: int) -> None:
        """Move both limits. Not below what is used: the kernel would look for it, page by page, while we wait."""
        charged_bytes = self._cgroup.charged_bytes()
        self._high_bytes = max(limit_bytes - limit_bytes // _HIGH_PART, charged_bytes)
        with contextlib.suppress(OSError):
            os.pwrite(self._max, b"%d" % max(limit_bytes, charged_bytes + limit_bytes // _HIGH_PART), 0)
            os.pwrite(self._high, b"%d" % self._high_bytes, 0)

    def is_stalled(self) -> bool:
        """Has anybody been held back since the last call, and not for page cache that could be given back?"""
        match = _HELD_BACK.search(os.pread(self._events, _MOST_BYTES, 0))
        before, self._held_back = self._held_back, int(match[1]) if match else 0
        if self._held_back == before or not self._high_bytes:
            return False
        return self.used_bytes() >= self._high_bytes - self._high_bytes // (_HIGH_PART * _SLACK_PART)

    def note_event(self) -> None:
        """Make `event` ready for the next one."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.event, _MOST_BYTES)

    def close(self) -> None:
        """Remove the cgroup, and step back to where the worker was."""
        self._cgroup.close()
        self._cgroup.remove()
        folder = self._cgroup.folder
        _step_back(folder.parent, folder.with_name(folder.name + _ASIDE))


def _places(top: Path, own: Path) -> list[Path]:
    """Where a fence may be: below the topmost cgroup, unless a limit on the way to it binds us; or below our own."""
    folder = own
    while folder != top:
        for name in ("memory.max", "memory.high"):
            with contextlib.suppress(FileNotFoundError):  # Memory may not be handed down so far.
                if (folder / name).read_text().strip() != "max":
                    return [own]
        folder = folder.parent
    return [top, own]


def _hand_down_memory(parent: Path, aside: Path) -> None:
    """Let cgroups below this one limit memory."""
    control = parent / "cgroup.subtree_control"
    try:
        control.write_text("+memory")
    except OSError:
        # There are processes in it. Others than ourselves we leave where they are.
        if (parent / "cgroup.procs").read_text().split() != [str(os.getpid())]:
            raise
        aside.mkdir(exist_ok=True)
        (aside / "cgroup.procs").write_text(str(os.getpid()))
        try:
            control.write_text("+memory")
        except OSError:
            _step_back(parent, aside)
            raise


def _step_back(parent: Path, aside: Path) -> None:
    if aside.exists():
        with contextlib.suppress(OSError):
            (parent / "cgroup.subtree_control").write_text("-memory")
            (parent / "cgroup.procs").write_text(str(os.getpid()))
            aside.rmdir()


def _remove_unused(parent: Path, made_before_s: float) -> None:
    """Remove the fences that killed workers left.

    Args:
        made_before_s: since 1970; one that is newer may be about to be locked.
    """
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime >= made_before_s:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                folder.rmdir()
            finally:
                os.close(descriptor)
