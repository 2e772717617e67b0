"""The node's end of the way to the store: keeps the socket's name while the ssh connection stands, and watches.

sshd makes a socket of a new name for each connection, as it cannot take over one that a broken connection left. The
name that the worker knows is a link, turned to the newest.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import last_lines, project_folder, worker_pid
    from distcomp.nodes.aboard.serving import say

LINK = "store"
NOWHERE = "by-network"
PID_NAME = "forward.pid"
# sshd makes the socket before it starts us; a moment for slow ones.
PATIENCE_S = 5
LOOK_S = 1


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:
    """Hold the way until stdin ends, and say so when the worker ends.

    `ask`: {"sockets": folder, "name": of the new socket; empty if none is wanted}.
    """
    folder, name = Path(ask["sockets"]), ask["name"]
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, leave)
    try:
        if name and not appears(folder / name):
            return {"error": "its sshd forwards no sockets", "next_step": _STEP}
        end_older(folder)
        turn_link(folder, name)
        say({"ready": True})
        hold(ask, payload)
    finally:
        remove(folder, name)
        end_connection()
    return {"ended": True}


_STEP = "Allow it there (AllowStreamLocalForwarding in sshd_config), or take --listen or a store of your own."


def leave(number: int, frame: object) -> None:  # noqa: ARG001  the handler's protocol
    """End in good order."""
    sys.exit(0)


def appears(path: Path) -> bool:
    """Whether sshd made the socket."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not path.exists():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(0.01)
    return True


def end_older(folder: Path) -> None:
    """End the keeper of a connection that is dead and does not know it; its sshd ends with it."""
    pid_file = folder / PID_NAME
    with contextlib.suppress(OSError, ValueError):
        pid, started = pid_file.read_text().split()
        if start_ticks(int(pid)) == started:
            os.kill(int(pid), signal.SIGTERM)
    pid_file.write_text(f"{os.getpid()} {start_ticks(os.getpid())}")


def start_ticks(pid: int) -> str:
    """Tells a process from a later one with its pid."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def turn_link(folder: Path, name: str) -> None:
    """Lead the worker to the new socket, in one step. Without one, the link leads nowhere and says who holds it."""
    draft = folder / f".{LINK}.{os.getpid()}"
    draft.unlink(missing_ok=True)
    draft.symlink_to(name or NOWHERE)
    draft.replace(folder / LINK)


def hold(ask: dict[str, Any], payload: BinaryIO) -> None:
    """Until the other side ends, or a newer connection has taken over. A line on stdin is a worker's pid to watch."""
    watched = 0
    while is_current(Path(ask["sockets"]), ask["name"]):
        if select.select([payload.fileno()], [], [], LOOK_S)[0]:
            said = os.read(payload.fileno(), 4096)
            if not said:
                return
            watched = int(said.split()[-1])
        if watched and not worker_pid(ask):
            watched = 0
            say({"worker_ended": last_lines(project_folder(ask) / "worker.log", 10)})


def end_connection() -> None:
    """End the sshd of our own connection. By itself it would go on for as long as the worker holds what it forwards."""
    pid = os.getppid()
    while pid > 1:
        name, parent, uid = process(pid)
        if name.startswith("sshd"):
            if uid == os.getuid():
                os.kill(pid, signal.SIGTERM)
            return
        pid = parent


def process(pid: int) -> tuple[str, int, int]:
    """Its name, parent and user."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return "", 0, -1
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return fields["Name"].strip(), int(fields["PPid"]), int(fields["Uid"].split()[0])


def is_current(folder: Path, name: str) -> bool:
    """Whether the link leads to our socket."""
    try:
        return (folder / LINK).readlink() == Path(name or NOWHERE)
    except OSError:
        return False


def remove(folder: Path, name: str) -> None:
    """Our socket, and the link if it is ours. What else is there is a newer connection's."""
    if is_current(folder, name):
        (folder / LINK).unlink(missing_ok=True)
        (folder / PID_NAME).unlink(missing_ok=True)
    if name:
        (folder / name).unlink(missing_ok=True)
    if folder.parent == Path("/tmp"):  # noqa: S108  made for this alone, by prepare.py
        with contextlib.suppress(OSError):
            folder.rmdir()
