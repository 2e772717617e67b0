"""A fence makes those who want too much memory wait, so that we choose who goes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcomp.runner.fence import Fence
from tests.support.needs import needs_root
from tests.support.waiting import wait_until

pytestmark = needs_root
MIB = 1 << 20
HOG = """
import sys, time
sys.stdin.readline()
hog = bytearray({mib} << 20)
hog[::4096] = b'x' * len(hog[::4096])
print('ok', flush=True)
time.sleep(100)
"""


@pytest.fixture
def fence() -> Iterator[Fence]:
    fence = Fence.build(f"test-{os.getpid()}")
    assert fence is not None
    yield fence
    fence.close()


@pytest.fixture
def hogs(fence: Fence) -> Iterator[list[subprocess.Popen[str]]]:
    hogs: list[subprocess.Popen[str]] = []
    yield hogs
    for hog in hogs:
        hog.kill()
        hog.communicate()
    wait_until(lambda: fence.used_bytes() < 10 * MIB, "memory comes back")


def start_hog(hogs: list[subprocess.Popen[str]], fence: Fence, mib: int) -> subprocess.Popen[str]:
    code = [sys.executable, "-c", HOG.format(mib=mib)]
    hog = subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    hogs.append(hog)
    assert fence.add(hog.pid)
    assert hog.stdin is not None
    hog.stdin.write("go\n")
    hog.stdin.flush()
    return hog


def oom_kills() -> int:
    """By the kernel, on the whole machine, since it started."""
    rows = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(rows["oom_kill"])


def has_its_memory(hog: subprocess.Popen[str]) -> bool:
    assert hog.stdout is not None
    return bool(select.select([hog.stdout], [], [], 0)[0])


def test_who_runs_into_the_fence_waits_and_nobody_is_killed(fence: Fence, hogs: list[subprocess.Popen[str]]) -> None:
    before = oom_kills()
    fence.set_limit(100 * MIB)
    small = start_hog(hogs, fence, 40)
    wait_until(lambda: has_its_memory(small), "the first has its memory")
    assert not fence.is_reached()
    large = start_hog(hogs, fence, 200)
    assert select.select([fence.event], [], [], 20)[0], "we are woken at once"
    assert fence.is_reached()
    assert not has_its_memory(large)
    assert [small.poll(), large.poll()] == [None, None]
    assert oom_kills() == before
    large.send_signal(signal.SIGKILL)
    assert large.wait(timeout=10) == -signal.SIGKILL
    wait_until(lambda: not fence.is_reached(), "the fence is free again")


def test_who_waits_goes_on_when_the_fence_moves(fence: Fence, hogs: list[subprocess.Popen[str]]) -> None:
    fence.set_limit(50 * MIB)
    hog = start_hog(hogs, fence, 80)
    wait_until(fence.is_reached, "it waits")
    fence.set_limit(200 * MIB)
    wait_until(lambda: has_its_memory(hog), "it goes on")


def test_a_fence_that_a_killed_worker_left_is_used_again(fence: Fence) -> None:
    again = Fence.build(f"test-{os.getpid()}")
    assert again is not None
    fence.close()
    again.close()
    assert Fence.build("x/no/such") is None


def test_a_process_that_has_ended_is_no_error(fence: Fence) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert not fence.add(gone.pid)
