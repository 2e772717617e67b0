"""Relays Ethernet frames between two TAP devices with delay and jitter, for kernels without netem.

As a program: relay.py TAP_A TAP_B DELAY_MS [JITTER_MS]
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from contextlib import suppress

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def relay(first: int, second: int, delay_s: float, jitter_s: float) -> None:
    """For ever. Frames of one direction keep their order."""
    peers, last_s = {first: second, second: first}, {first: 0.0, second: 0.0}
    waiting: list[tuple[float, int, int, bytes]] = []
    arrived = 0
    poll = select.poll()
    for device in peers:
        poll.register(device, select.POLLIN)
    while True:
        while waiting and waiting[0][0] <= time.monotonic():
            with suppress(OSError):  # its queue is full, or the link is down: the frame is lost
                os.write(*heapq.heappop(waiting)[2:])
        timeout_ms = max(0.0, (waiting[0][0] - time.monotonic()) * 1000) if waiting else None
        for device, _ in poll.poll(timeout_ms):
            for frame in _frames(device):
                due_s = time.monotonic() + delay_s + random.uniform(-jitter_s, jitter_s)
                due_s = last_s[device] = max(due_s, last_s[device])
                arrived += 1
                heapq.heappush(waiting, (due_s, arrived, peers[device], frame))


def _frames(device: int) -> list[bytes]:
    frames: list[bytes] = []
    with suppress(BlockingIOError):
        while len(frames) < 64:
            frames.append(os.read(device, 65536))
    return frames


def _tap(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


if __name__ == "__main__":
    taps = _tap(sys.argv[1]), _tap(sys.argv[2])
    print("ready", flush=True)
    relay(*taps, float(sys.argv[3]) / 1000, float(sys.argv[4]) / 1000 if len(sys.argv) > 4 else 0.0)
