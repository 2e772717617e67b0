"""Orphans: processes that an attempt left behind, and that the kernel then gave to the worker.

The worker is a subreaper, so a descendant of an attempt whose parent dies becomes a child of the worker. All that
outlives an attempt's first process therefore hangs below some child of ours that we never started. Those that we did
are children of the starter's thread: one read of the main thread's list shows whether there are any others.

Orphans of what the worker itself starts come to it as well (the store's server does, when the worker brings it
back): they have OWN_MARK in their environment, and attempts do not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from distcomp.runner.attempt import OWN_MARK, Live, RunningAttempt
from distcomp.runner.quick import Reader, Spent
from distcomp.runner.trees import read_environ, read_proc_file, read_process, read_processes

_MOST_BYTES = 2**16
"""Of a list of children: some ten thousand."""


@dataclass(frozen=True, slots=True)
class _Stray:
    """Whose it may be: one attempt mostly; several if it hides where it comes from; none if that one is over."""

    candidates: frozenset[Live]


class Strays:
    """Knows the orphans, and whose they are.

    Args:
        worker: DISTCOMP_WORKER of this worker's attempts.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker.encode()
        self._children = _open_children()
        self._known: dict[int, _Stray] = {}
        # Who is there before the first attempt is none of its descendants; whoever started it waits for it.
        self._told = self._read_children()
        self._own_orphans: set[int] = set()
        self.is_unsure = False
        """Whether the last look found one that is just becoming another program: then it has no environment."""

    def look(self, roots: Mapping[int, Live], others: Iterable[Live]) -> None:
        """Find new orphans.

        Args:
            roots: the first processes not yet reaped.
            others: attempts whose first process is reaped, or may have been started a moment ago.
        """
        self.is_unsure = False
        if self._children is not None:
            listed = self._children.read_anew()
            # All accounted for: nothing to sort out. This is the case for all but a few attempts.
            if listed.count(b" ") == len(self._known) + len(self._told) + len(self._own_orphans):
                return
        children = self._read_children()
        self._told &= children
        self._own_orphans &= children
        self._known = {pid: stray for pid, stray in self._known.items() if pid in children - roots.keys()}
        for pid in children - roots.keys() - self._known.keys() - self._told - self._own_orphans:
            self._note(pid, [*roots.values(), *others])

    def of(self, live: Live) -> set[int]:
        """The orphans that must die with this attempt, whose first process has ended.

        Those that may be another's too must wait until that one has ended as well.
        """
        return {pid for pid, stray in self._known.items() if live in stray.candidates and _have_ended(stray.candidates)}

    def surely_of(self, live: Live) -> set[int]:
        """The orphans that are this attempt's and no other's."""
        return {pid for pid, stray in self._known.items() if stray.candidates == {live}}

    def owners(self) -> dict[int, Live]:
        """The orphans whose owner is known."""
        return {
            pid: owner for pid, stray in self._known.items() if len(stray.candidates) == 1 for owner in stray.candidates
        }

    def of_nobody(self) -> set[int]:
        """The orphans of attempts that are over."""
        return {pid for pid, stray in self._known.items() if not stray.candidates}

    def is_ours_to_reap(self, pid: int) -> bool:
        """Whether a dead child, which is no attempt's first process, is an orphan: then nobody else waits for it.

        A child that another thread started, and waits for, is in that thread's list and not in the main one's.
        """
        return pid in self._known or pid in self._own_orphans or pid in self._read_children() - self._told

    def note_reaped(self, pid: int, spent: Spent) -> None:
        """An orphan is dead: what it used is its attempt's."""
        self._own_orphans.discard(pid)
        stray = self._known.pop(pid, None)
        if stray is not None and len(stray.candidates) == 1:
            for live in stray.candidates:
                live.strays_cpu_s += spent.cpu_s

    def spare(self, pid: int) -> None:
        """Not ours to kill, but nobody else waits for it."""
        self._known.pop(pid, None)
        self._own_orphans.add(pid)

    def leave_alone(self, pid: int) -> None:
        """Not an orphan: whoever started it waits for it."""
        self._known.pop(pid, None)
        self._told.add(pid)

    def __iter__(self) -> Iterator[int]:
        return iter([*self._known, *self._own_orphans])

    def close(self) -> None:
        """Let go of /proc."""
        if self._children is not None:
            os.close(self._children.fd)

    def __bool__(self) -> bool:
        return bool(self._known)

    def _read_children(self) -> set[int]:
        if self._children is not None:
            return set(map(int, self._children.read_anew().split()))
        own = os.getpid()
        return {pid for pid, row in read_processes().items() if row.parent == own}

    def _note(self, pid: int, running: Sequence[Live]) -> None:
        row = read_process(pid)
        if row is None or row.state == b"Z":
            self._own_orphans.add(pid)  # Dead before it was seen: all it needs is to be reaped.
            return
        env = _environment(pid)
        if env is None:
            self.is_unsure = True
            return
        if env.get(b"DISTCOMP_WORKER") == self._worker:
            candidates = [live for live in running if _is_marked(env, live.attempt)]
        elif running and OWN_MARK.encode() not in env:
            candidates = [live for live in running if live.attempt.pid == row.session] or list(running)
        else:
            self._own_orphans.add(pid)
            return
        self._known[pid] = _Stray(frozenset(candidates))
        for live in candidates:
            live.had_strays = True


def _environment(pid: int) -> Mapping[bytes, bytes] | None:
    """None while it is within exec: then it has neither environment nor arguments."""
    env = read_environ(pid)
    if env:
        return env
    is_in_exec = not read_proc_file(f"/proc/{pid}/cmdline")
    env = read_environ(pid)  # It may have come out of exec between the two.
    return None if is_in_exec and not env else env


def _is_marked(env: Mapping[bytes, bytes], attempt: RunningAttempt) -> bool:
    number = b"%d" % attempt.claim.attempt
    return env.get(b"DISTCOMP_TASK_ID") == attempt.task_id.encode() and env.get(b"DISTCOMP_ATTEMPT") == number


def _have_ended(candidates: Iterable[Live]) -> bool:
    return all(live.end is not None for live in candidates)


def _open_children() -> Reader | None:
    """None on a kernel without this file: then all of /proc is read."""
    # Orphans go to the main thread, whichever thread we are.
    try:
        fd = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    return Reader(fd, _MOST_BYTES)
