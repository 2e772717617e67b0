"""Process trees, read from /proc: who belongs to an attempt, what memory it uses; and signals to all of one.

An attempt's tree is its first process, all in that one's session, and all their descendants, in whatever session.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import signal
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

_LONGEST_ENVIRON_BYTES = 2**21
"""What the kernel allows by default, arguments included."""

_ROLLUP = re.compile(rb"^(Rss|Pss): +(\d+) kB", re.MULTILINE)

Owner = TypeVar("Owner", bound=Hashable)


class ProcessRow(NamedTuple):
    """A line of the process table; a number and `start_ticks` together name one process for ever."""

    state: bytes
    parent: int
    group: int
    session: int
    start_ticks: int


def read_process(pid: int) -> ProcessRow | None:
    """The process's row; None if there is none."""
    stat = read_proc_file(f"/proc/{pid}/stat")
    # The program's name, in parentheses, may itself hold blanks and parentheses.
    fields = stat[stat.rfind(b")") + 2 :].split(b" ", 20)
    if len(fields) < 20:
        return None
    return ProcessRow(fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def read_processes() -> dict[int, ProcessRow]:
    """Every process of the machine (or container). Costs some 3 us for each."""
    return {pid: row for pid in process_ids() if (row := read_process(pid)) is not None}


def process_ids() -> list[int]:
    """The ids of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def read_proc_file(path: str, most_bytes: int = 4096) -> bytes:
    """The file's content; empty if the process is gone or not ours to read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, most_bytes)
    except OSError:
        return b""
    finally:
        os.close(fd)


def read_environ(pid: int) -> dict[bytes, bytes]:
    """The environment that the process was started with; empty if it is gone, a zombie or not ours to read."""
    variables = read_proc_file(f"/proc/{pid}/environ", _LONGEST_ENVIRON_BYTES).split(b"\0")
    return dict(variable.split(b"=", 1) for variable in variables if b"=" in variable)


def members(rows: Mapping[int, ProcessRow], seeds: Iterable[int]) -> set[int]:
    """The seeds that live, all in their sessions, and all descendants of those."""
    seeds = set(seeds)
    children: dict[int, list[int]] = {}
    found = []
    for pid, row in rows.items():
        children.setdefault(row.parent, []).append(pid)
        if pid in seeds or row.session in seeds:
            found.append(pid)
    tree: set[int] = set()
    while found:
        pid = found.pop()
        if pid not in tree:
            tree.add(pid)
            found.extend(children.get(pid, ()))
    return tree


def signal_tree(leader: int | None, others: Iterable[int], signal_number: int) -> set[int]:
    """Send the signal to the whole tree of a session's leader and of other processes; who would not take it from us.

    Args:
        leader: not reaped, or with its process group still there; None if neither.
        others: children of ours, not reaped.
    """
    seeds = set(others)
    if leader is not None:
        seeds.add(leader)
        # Most trees are one group: this reaches all of it at once, with no time to fork in between.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal_number)
    rows = read_processes()
    apart = {pid for pid in members(rows, seeds) if rows[pid].group != leader}
    return {pid for pid in apart if not send(pid, rows[pid].start_ticks, signal_number)}


def group_exists(leader: int) -> bool:
    """Whether any process of the group lives, or is dead and not reaped. False if none is ours to kill."""
    try:
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def send(pid: int, start_ticks: int, signal_number: int) -> bool:
    """Signal exactly the process that has this number and start; False if it is not ours to signal.

    Numbers come round: 32,768 of them last for half a minute at a thousand tasks a second.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        row = read_process(pid)
        if row is not None and row.start_ticks == start_ticks:
            signal.pidfd_send_signal(pidfd, signal_number)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    finally:
        os.close(pidfd)
    return True


class Resident(NamedTuple):
    """Memory of a tree. In `sum_bytes`, pages that several processes share count for each of them."""

    sum_bytes: int
    processes: int


class TreeMemory(Generic[Owner]):
    """Resident memory of many trees at once.

    Once seen, a process stays with its tree until it ends, whatever session it makes or loses its parent.
    The process table is read again only if the kernel has started any process since.
    """

    def __init__(self) -> None:
        self._loadavg_fd = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        self._newest = b""
        self._owner_of: dict[int, Owner] = {}
        self._foreign: set[int] = set()

    def sample(self, owners: Mapping[int, Owner]) -> dict[Owner, Resident]:
        """What each owner's tree has in memory now.

        Args:
            owners: the processes that trees are known by: sessions' leaders, and their orphans.
        """
        newest = os.pread(self._loadavg_fd, 128, 0).rsplit(None, 1)[-1]
        if newest != self._newest:
            self._newest = newest
            self._sort_new_processes(owners)
        self._owner_of.update(owners)
        used = dict.fromkeys(owners.values(), Resident(0, 0))
        current = set(used)
        for pid, owner in list(self._owner_of.items()):
            pages = _resident_pages(pid) if owner in current else 0
            if pages:
                sum_bytes, processes = used[owner]
                used[owner] = Resident(sum_bytes + pages * mmap.PAGESIZE, processes + 1)
            else:
                del self._owner_of[pid]
        return used

    def processes(self, owner: Owner) -> list[int]:
        """Of its tree, at the last sample."""
        return [pid for pid, whose in self._owner_of.items() if whose is owner]

    def close(self) -> None:
        """Let go of /proc."""
        os.close(self._loadavg_fd)

    def _sort_new_processes(self, owners: Mapping[int, Owner]) -> None:
        listed = set(process_ids())
        self._foreign &= listed
        new = {pid: row for pid in listed - self._foreign - self._owner_of.keys() if (row := read_process(pid))}
        for pid in new:
            owner = self._find_owner(pid, new, owners)
            if owner is None:
                self._foreign.add(pid)
            else:
                self._owner_of[pid] = owner

    def _find_owner(self, pid: int, new: Mapping[int, ProcessRow], owners: Mapping[int, Owner]) -> Owner | None:
        """Up the line of parents, to one that is known."""
        while True:
            known = owners.get(pid, self._owner_of.get(pid))
            if known is not None or pid not in new:
                return known
            row = new[pid]
            if row.session in owners:
                return owners[row.session]
            pid = row.parent


def shared_once(pids: Iterable[int]) -> float:
    """The part of these processes' memory that is left when pages that they share count once. A ms for each 100 MB."""
    sum_bytes = once_bytes = 0
    for pid in pids:
        rollup = dict(_ROLLUP.findall(read_proc_file(f"/proc/{pid}/smaps_rollup")))
        sum_bytes += int(rollup.get(b"Rss", 0))
        once_bytes += int(rollup.get(b"Pss", 0))
    return once_bytes / sum_bytes if sum_bytes else 1.0


def _resident_pages(pid: int) -> int:
    statm = read_proc_file(f"/proc/{pid}/statm").split(b" ", 2)
    return int(statm[1]) if len(statm) == 3 else 0
