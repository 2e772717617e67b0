"""Ends a node's worker: at once, or when what runs has ended. Waits for it, and removes what is secret."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import forget_drains, note_drain, project_folder, worker_pid

LOOK_S = 0.05
EXIT_S = 5


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:  # noqa: ARG001  the same in each script
    """End it.

    `ask`: {"ends": false: no worker is ended, and what one needs is removed if none runs, "drain": whether what runs is
    waited for, "patience_s": how long its end is waited for; null: as long as it takes, "kills": whether it is killed
    then}.
    """
    pid = worker_pid(ask)
    if pid and ask["ends"]:
        tell(project_folder(ask), pid, drain=ask["drain"])
        if not gone(ask, pid, ask["patience_s"]) and ask["kills"]:
            send(pid, signal.SIGKILL)
            gone(ask, pid, 5)
    is_gone = not worker_pid(ask)
    if is_gone:
        clean(project_folder(ask))
    return {"is_gone": is_gone, "pid": pid}


def tell(folder: Path, pid: int, *, drain: bool) -> None:
    """Tell the worker. It takes TERM for "drain" and HUP for "at once"; and a second TERM for "at once", too."""
    if not drain:
        send(pid, signal.SIGHUP)
    elif note_drain(folder, pid):
        send(pid, signal.SIGTERM)


def send(pid: int, number: int) -> None:
    """Send a signal, unless the process has gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def gone(ask: dict[str, Any], pid: int, patience_s: float | None) -> bool:
    """Whether the worker ended in time."""
    give_up_s = None if patience_s is None else time.monotonic() + patience_s
    while worker_pid(ask) == pid:
        if give_up_s is not None and time.monotonic() > give_up_s:
            return False
        time.sleep(LOOK_S)
    # It gives up its place just before its process ends.
    give_up_s = time.monotonic() + EXIT_S
    while is_alive(pid) and time.monotonic() < give_up_s:
        time.sleep(LOOK_S)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asks for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def clean(folder: Path) -> None:
    """Remove what nobody needs while no worker runs. What tasks printed stays, for `distcomp logs`."""
    for name in ("password", "distcomp.toml", "store.ca", "store.cert", "store.key"):
        (folder / name).unlink(missing_ok=True)
    forget_drains(folder)
    with contextlib.suppress(OSError):  # none is there, or somebody uses it
        (folder / "sockets").readlink().rmdir()
