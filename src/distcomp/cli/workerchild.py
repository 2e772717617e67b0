"""The worker that `distcomp run` starts: the process that waits for its order, and others if that ends too soon."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from distcomp.cli import oncall
from distcomp.cli.oncall import OnCall, Order
from distcomp.clock import Clock
from distcomp.errors import DistcompError

# A worker that ends on its own at once will do so again; one that ran for a while may have met with an accident.
RESTART_DELAYS_S = (0.0, 0.5, 2.0)
LONG_LIFE_S = 60.0
LOG_LIMIT_BYTES = 8 * 2**20
LAST_LINES = 10


class WorkerChild:
    """Started at once, and again when it ends without being told to.

    Args:
        log_file: gets what it says.
        settings: by name; passed on.
        clock: for how long it lived.
    """

    def __init__(self, log_file: Path, settings: Mapping[str, object], clock: Clock) -> None:
        self._log_file, self._clock = log_file, clock
        self._settings = [f"{name}={value}" for name, value in settings.items()]
        self._restarts = self._signals = 0
        self._start_at_s = 0.0
        self._worker: OnCall | None = None
        self._start()

    def _start(self) -> None:
        self._started_s = self._clock.monotonic_s()
        # Not the folders above: where they are gone, the project was removed.
        self._log_file.parent.mkdir(mode=0o700, exist_ok=True)
        _rotate(self._log_file)
        with self._log_file.open("ab") as log:
            self._worker = oncall.take() or OnCall(log.fileno())
        self._worker.send(Order(os.getcwd(), str(self._log_file), self._settings))  # noqa: PTH109

    def look(self) -> None:
        """Start it again if it ended without being told to.

        Raises:
            DistcompError: it ends again and again, or was stopped by somebody else.
        """
        if self._signals or self.is_alive():
            return
        now_s = self._clock.monotonic_s()
        if self._worker is not None:
            code = self._worker.let_go()
            self._worker = None
            if now_s - self._started_s > LONG_LIFE_S:
                self._restarts = 0
            if code == 0 or self._restarts == len(RESTART_DELAYS_S):
                raise self._ended(code)
            self._start_at_s = now_s + RESTART_DELAYS_S[self._restarts]
            self._restarts += 1
        if now_s >= self._start_at_s:
            self._start()

    def _ended(self, code: int) -> DistcompError:
        if code == 0:
            return DistcompError(
                "The worker was stopped, by somebody else.",
                unchanged="What it did not do stays in the queue.",
                next_step="The same command goes on.",
            )
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return DistcompError(
            f"The worker ends again and again ({how}). The end of {self._log_file}:\n{_end_of(self._log_file)}",
            unchanged="What it did not do stays in the queue.",
        )

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._worker is not None and self._worker.process.poll() is None

    def has_left(self) -> bool:
        """It is nowhere that is lent for a time."""
        return False

    def stop(self) -> None:
        """Tell it to end: the first time when what runs has ended, after that at once."""
        self._signals += 1
        if self._worker is not None and self.is_alive():
            self._worker.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Let go of it: if it still lives, it gives back what it runs and ends. Waits for that."""
        if self._worker is not None:
            self._worker.let_go()


def _rotate(log_file: Path) -> None:
    """A worker that still writes goes on in the old one."""
    try:
        if log_file.stat().st_size > LOG_LIMIT_BYTES:
            log_file.replace(log_file.with_suffix(".log.old"))
    except FileNotFoundError:
        pass


def _end_of(log_file: Path, most_bytes: int = 4096) -> str:
    with log_file.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - most_bytes))
        lines: Sequence[str] = log.read().decode(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-LAST_LINES:])
