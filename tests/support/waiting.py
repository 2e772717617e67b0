"""Waiting for conditions, with the reason said."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], reason: str, timeout_s: float = 30) -> None:
    """Poll until the condition is true.

    Raises:
        AssertionError: it did not become true in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {timeout_s:g} s in vain: {reason}"
        time.sleep(0.01)
