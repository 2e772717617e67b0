"""A project whose store and worker live in a node of their own size, with the programs that run there."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.batches import Task
from benchmarks.node import Node
from benchmarks.support import DISTCOMP
from distcomp.api import Client, TaskView

PATIENCE_S = 10.0


class Crew:
    """A project with its store and its worker in a node."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node, self.folder, self.log = node, folder, folder / "log"
        self._distcomp("server", "start")
        self.worker = subprocess.Popen(node.command([*DISTCOMP, "worker"]), cwd=folder, stderr=subprocess.DEVNULL)

    def submit(self, *tasks: Task) -> None:
        """Add tasks that are not tried again when they fail."""
        lines = "".join(f"shell:0:0:0:{shlex.join(task.words(sys.executable, self.log))}\n" for task in tasks)
        self._distcomp("submit", "--retries", "0", "-", stdin=lines)

    def ended(self, timeout_s: float) -> list[TaskView]:
        """All tasks, in order of submission, when they have ended or the time is over."""
        with Client.open(self.folder) as client:
            client.wait(timeout_s=timeout_s)
            return list(client.tasks())

    def store_pid(self) -> int:
        """The store's process."""
        with Client.open(self.folder) as client, client.project.client() as store:
            return int(store.info("server")["process_id"])

    def close(self) -> None:
        """Stop the worker at once, and the store."""
        self.worker.send_signal(signal.SIGHUP)
        try:
            self.worker.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.worker.kill()
            self.worker.wait()
        self._distcomp("server", "stop")

    def _distcomp(self, *words: str, stdin: str = "") -> None:
        command = self.node.command([*DISTCOMP, *words])
        subprocess.run(command, cwd=self.folder, input=stdin, text=True, capture_output=True, check=True)


@contextlib.contextmanager
def crew(node_bytes: int, settings: str) -> Iterator[Crew]:
    """A crew at work; all of it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as name, Node(node_bytes) as node:
        Path(name, "distcomp.toml").write_text(settings)
        own = Crew(node, Path(name))
        try:
            yield own
        finally:
            own.close()
