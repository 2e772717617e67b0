"""The end of a worker's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import last_lines, project_folder, worker_pid


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:  # noqa: ARG001  the same in each script
    """Read it. `ask`: {"lines": at most so many}."""
    path = project_folder(ask) / "worker.log"
    return {"lines": last_lines(path, ask["lines"], 1 << 22), "path": str(path), "pid": worker_pid(ask)}
