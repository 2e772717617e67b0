"""A runner with the loop that a worker has around it, for tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from distcomp.clock import SystemClock
from distcomp.model import Claim, JobContext, Outcome, OutputPlace, TaskSpec
from distcomp.runner.attempt import Ended, RunningAttempt
from distcomp.runner.fence import Fence
from distcomp.runner.limits import RunnerLimits
from distcomp.runner.reading import Stream, read_output
from distcomp.runner.runner import Runner
from distcomp.runner.wakeup import Wakeup

PATIENCE_S = 60.0


class Driver:
    """Starts commands and waits for their ends. Attempts are numbered tasks of job 7."""

    def __init__(
        self,
        folder: Path,
        limits: RunnerLimits,
        base_env: Mapping[str, str] | None = None,
        fence: Fence | None = None,
    ) -> None:
        self.folder = folder / "node"
        self.cwd = folder / "work"
        self.cwd.mkdir(exist_ok=True)
        self.folder.mkdir(exist_ok=True)
        self.wakeup = Wakeup()
        self.worker = f"test-worker-{os.getpid()}-{folder.name}"
        self.runner = Runner(
            self.folder,
            worker=self.worker,
            node="test-node",
            limits=limits,
            clock=SystemClock(),
            wake=self.wakeup.wake,
            base_env=base_env,
            fence=fence,
        )
        self._is_open = True
        self.ended: dict[RunningAttempt, Outcome] = {}
        self._number = 0

    def claim(self, command: str, context: JobContext | None = None, **spec: Any) -> Claim:
        """A right to run the command once."""
        self._number += 1
        context = context or JobContext(cwd=str(self.cwd))
        return Claim(f"{self._number:016x}", 1, 7, 1, TaskSpec(command, **spec), context)

    def start(self, command: str, **spec: Any) -> RunningAttempt:
        """Start the command, and wait until it runs or is over."""
        attempt = self.runner.start(self.claim(command, **spec))
        self.until(lambda: attempt.pid or attempt in self.ended, "it has a process")
        return attempt

    def run(self, command: str, **spec: Any) -> Outcome:
        """Run the command to its end."""
        return self.outcome(self.start(command, **spec))

    def outcome(self, attempt: RunningAttempt) -> Outcome:
        """Wait for the attempt's end."""
        self.until(lambda: attempt in self.ended, "the attempt is over")
        return self.ended[attempt]

    def until(self, condition: Callable[[], object], reason: str, patience_s: float = PATIENCE_S) -> None:
        """Do what a worker does until the condition is true."""
        deadline_s = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline_s, f"waited {patience_s:g} s in vain: {reason}"
            self.turn()

    def turn(self, most_s: float = 0.05) -> list[Ended]:
        """Once round the loop."""
        deadline_s = self.runner.next_deadline_s()
        if deadline_s == 0:
            self.runner.look()
        self.runner.measure()
        ended = self.runner.collect()
        self.ended.update((one.attempt, one.outcome) for one in ended)
        if not ended:
            self.wakeup.wait(most_s if deadline_s is None else min(most_s, deadline_s))
        return ended

    def output(self, outcome: Outcome, stream: Stream = "stdout") -> bytes:
        """What the attempt printed, as kept."""
        return b"" if outcome.output is None else self.read(outcome.output, stream)

    def read(self, place: OutputPlace, stream: Stream = "stdout") -> bytes:
        """What is kept at a place."""
        return b"".join(read_output(self.folder / "output", place, stream))

    def close(self) -> None:
        """End everything."""
        if self._is_open:
            self._is_open = False
            self.runner.close()
            self.wakeup.close()


def is_running(pid: int) -> bool:
    """Whether the process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def number_in(path: Path) -> int | None:
    """The process id that a task wrote to a file; None as long as it has not."""
    text = path.read_text() if path.exists() else ""
    return int(text) if text.endswith("\n") else None
