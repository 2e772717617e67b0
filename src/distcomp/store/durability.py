"""Knowing that the server has written down what it was told.

With `fsync = "everysec"` a server answers before it writes, for as long as its last fsync takes (and 2 s at
most): a server killed just then forgets what it has confirmed. Whoever must not lose a write waits here.
"""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING

from distcomp.clock import Clock, SystemClock

if TYPE_CHECKING:
    import redis

WRITE_PATIENCE_S = 10.0


def wait_until_written(client: redis.Redis, clock: Clock | None = None) -> bool:
    """Wait until all that was confirmed so far has reached the kernel; whether it has, within 10 s.

    It then outlives the server, but not yet the machine: that takes up to a second more, or `fsync = "always"`.
    Mostly one round trip. True at once if the store keeps no log of changes: that is its owner's choice.

    Raises:
        redis.RedisError: no answer.
    """
    clock = clock or SystemClock()
    give_up_s = clock.monotonic_s() + WRITE_PATIENCE_S
    while client.info("persistence").get("aof_buffer_length", 0):
        if clock.monotonic_s() > give_up_s:
            return False
        sleep(0.005)
    return True
