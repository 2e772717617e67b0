"""The loop sleeps until something happens, and what happened while it was awake is not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from distcomp.runner.wakeup import Wakeup

FOR_EVER_S = 60.0


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    with Wakeup() as wakeup:
        yield wakeup


def test_the_end_of_a_child_wakes(wakeup: Wakeup) -> None:
    process = subprocess.Popen(["true"])

    assert _waits_less_than(wakeup, FOR_EVER_S)
    process.wait()


def test_an_end_before_the_wait_wakes(wakeup: Wakeup) -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert _waits_less_than(wakeup, FOR_EVER_S)
    process.wait()


def test_another_thread_wakes(wakeup: Wakeup) -> None:
    thread = threading.Timer(0.05, wakeup.wake)
    thread.start()

    assert _waits_less_than(wakeup, FOR_EVER_S)
    thread.join()


def test_many_wakes_are_one_or_two_waits_and_block_nobody(wakeup: Wakeup) -> None:
    for _ in range(100_000):
        wakeup.wake()
    waits = 0
    while _waits_less_than(wakeup, 0.2):
        waits += 1

    assert 1 <= waits < 100


def test_a_signal_wakes_after_its_handler(wakeup: Wakeup) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert _waits_less_than(wakeup, FOR_EVER_S)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]


def test_the_time_is_up(wakeup: Wakeup) -> None:
    before_s = time.monotonic()

    assert wakeup.wait(0.05) == []
    assert 0.05 <= time.monotonic() - before_s < FOR_EVER_S


def test_a_watched_descriptor_wakes_until_it_is_no_longer_watched(wakeup: Wakeup) -> None:
    reader, writer = os.pipe()
    wakeup.watch(reader)
    os.write(writer, b"x")
    assert list(wakeup.wait(FOR_EVER_S)) == [reader]

    wakeup.unwatch(reader)
    assert list(wakeup.wait(0)) == []
    os.close(reader)
    os.close(writer)


def test_signals_are_as_before_when_it_is_closed() -> None:
    handler = signal.getsignal(signal.SIGCHLD)
    with Wakeup():
        assert signal.getsignal(signal.SIGCHLD) is not handler

    assert signal.getsignal(signal.SIGCHLD) is handler
    assert signal.set_wakeup_fd(-1) == -1


def _waits_less_than(wakeup: Wakeup, timeout_s: float) -> bool:
    before_s = time.monotonic()
    wakeup.wait(timeout_s)
    return time.monotonic() - before_s < timeout_s
