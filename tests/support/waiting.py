"""Waiting for conditions, with the reason said."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

_LONGEST_LOOK_S = 5.0
"""Longer between two looks means that we were held up, with all else that runs here, and not what we wait for."""


class Patience:
    """Time that runs out, but not while this process was stopped, or its machine was."""

    def __init__(self, length_s: float) -> None:
        self._left_s, self._looked_s = length_s, time.monotonic()

    def is_over(self) -> bool:
        """Whether it has run out; to be asked often."""
        now_s = time.monotonic()
        self._left_s -= min(now_s - self._looked_s, _LONGEST_LOOK_S)
        self._looked_s = now_s
        return self._left_s <= 0


def wait_until(condition: Callable[[], object], reason: str, timeout_s: float = 30) -> None:
    """Poll until the condition is true.

    Raises:
        AssertionError: it did not become true in time.
    """
    patience = Patience(timeout_s)
    while not condition():
        assert not patience.is_over(), f"waited {timeout_s:g} s in vain: {reason}"
        time.sleep(0.01)


def run_to_end(
    command: Sequence[str], timeout_s: float, stdin: str = "", **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command; what it prints is text.

    Raises:
        TimeoutExpired: it has not ended in time; it is killed.
    """
    patience, given = Patience(timeout_s), [stdin]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
    try:
        while True:
            try:
                out, err = process.communicate(given.pop() if given else None, timeout=1)
                return subprocess.CompletedProcess(command, process.returncode, out, err or "")
            except subprocess.TimeoutExpired as error:
                if patience.is_over():
                    raise subprocess.TimeoutExpired(command, timeout_s, error.output) from None
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
