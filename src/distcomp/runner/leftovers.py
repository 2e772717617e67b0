"""What a killed worker left running: found and killed before the next one claims anything.

Otherwise two attempts of one task would run on one node, and write to the same files.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path

from distcomp.errors import DistcompError
from distcomp.runner.slottable import read_slots
from distcomp.runner.trees import ProcessRow, members, read_environ, read_processes, send

_ROUNDS = 50
_ROUND_MS = 200


class LeftoversRemain(DistcompError):
    """Processes of an earlier worker could not be killed."""


def kill_leftovers(slots_file: Path, worker: str) -> int:
    """Kill every process that an earlier worker of this name left on the node, and wait for their ends; how many.

    Found by the environment that attempts get, and by the sessions that the worker noted: who has neither is
    found as their descendant, or by being in one of their sessions.

    Args:
        slots_file: the earlier worker's table; may be missing.
        worker: DISTCOMP_WORKER of its attempts. Must be unlike that of all other workers on the machine.

    Raises:
        LeftoversRemain: some are not gone within ten seconds.
    """
    killed: set[tuple[int, int]] = set()
    for _ in range(_ROUNDS):
        rows = read_processes()
        left = _leftovers(rows, slots_file, worker)
        if not left:
            return len(killed)
        killed |= {(pid, rows[pid].start_ticks) for pid in left}
        _kill_and_wait({pid: rows[pid] for pid in left})
    names = ", ".join(map(str, sorted(left)))
    raise LeftoversRemain(
        f"Processes of an earlier worker do not end, though they were killed: {names}.",
        unchanged="No task was claimed.",
        next_step="See what they wait for (ps -o pid,stat,wchan,args), or restart the machine.",
    )


def _leftovers(rows: Mapping[int, ProcessRow], slots_file: Path, worker: str) -> set[int]:
    ours = _self_and_ancestors(rows)
    mark = worker.encode()
    sessions = _noted_sessions(rows, slots_file)
    marked = {pid for pid in rows if pid not in ours and read_environ(pid).get(b"DISTCOMP_WORKER") == mark}
    return {pid for pid in members(rows, sessions | marked) if rows[pid].state != b"Z"} - ours


def _noted_sessions(rows: Mapping[int, ProcessRow], slots_file: Path) -> set[int]:
    content = b""
    with contextlib.suppress(FileNotFoundError):
        content = slots_file.read_bytes()
    noted = {record.pid: record.start_ticks for record in read_slots(content)}
    return {pid for pid, start_ticks in noted.items() if pid in rows and rows[pid].start_ticks == start_ticks}


def _self_and_ancestors(rows: Mapping[int, ProcessRow]) -> set[int]:
    found = set()
    pid = os.getpid()
    while pid in rows:
        found.add(pid)
        pid = rows[pid].parent
    return found


def _kill_and_wait(left: Mapping[int, ProcessRow]) -> None:
    waiting = select.poll()
    pidfds = set()
    for pid, row in left.items():
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            pidfds.add(pidfd)
            waiting.register(pidfd, select.POLLIN)
            send(pid, row.start_ticks, signal.SIGKILL)
    alive = len(pidfds)
    while alive and (ended := waiting.poll(_ROUND_MS)):
        for pidfd, _ in ended:
            waiting.unregister(pidfd)
        alive -= len(ended)
    for pidfd in pidfds:
        os.close(pidfd)
