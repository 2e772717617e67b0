"""Starts a node's worker: in a session of its own, so that it outlives the one it is started from."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import (
        forget_drains,
        last_lines,
        node_folder,
        project_folder,
        worker_pid,
        write_private,
    )

LOG_LIMIT_BYTES = 8 << 20
LOOK_S = 0.02


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:  # noqa: ARG001  the same in each script
    """Start it, and wait until it holds the node. `ask`: {"program": its path, "options", "patience_s"}."""
    if pid := worker_pid(ask):
        return {"started": False, "pid": pid}
    folder = project_folder(ask)
    log = folder / "worker.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(folder / "worker.log.old")
    forget_drains(folder)
    write_private(folder / "program", ask["program"])
    # Those used last are kept (tidy.py).
    os.utime(ask["program"])
    command = [sys.executable, "-I", ask["program"], "worker", "--node", ask["node"], *ask["options"]]
    with log.open("ab") as file:
        worker = subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    give_up_s = time.monotonic() + ask["patience_s"]
    while worker_pid(ask) != worker.pid:
        if worker.poll() is not None:
            last = "\n".join(last_lines(log, 10))
            return {"error": f"its worker ended at once (exit code {worker.returncode}):\n{last}"}
        if time.monotonic() > give_up_s:
            worker.kill()
            return {"error": f"its worker did not start in {ask['patience_s']} s; it was killed"}
        time.sleep(LOOK_S)
    return {"started": True, "pid": worker.pid, "folder": str(node_folder(ask))}


def environment() -> dict[str, str]:
    """Ours without the session's: it will be over. bash would also take each task for a login because of it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SSH_")}
