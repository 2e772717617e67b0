"""A fence wakes us before memory is out, and keeps what is quicker than that from everybody else."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from distcomp.runner.fence import Fence, build_fence
from distcomp.runner.fencev1 import remove_unused
from distcomp.runner.oomorder import set_oom_score
from tests.support.needs import needs_root
from tests.support.waiting import wait_until

pytestmark = needs_root
MIB = 1 << 20
NODE_BYTES = 1000 * MIB
_Made = TypeVar("_Made")
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
    fence = build_fence(f"test-{os.getpid()}", NODE_BYTES, time.time())
    assert fence is not None
    wait_until(lambda: "fence" not in {thread.name for thread in threading.enumerate()}, "the levels are set")
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


def born_inside(fence: Fence, make: Callable[[], _Made]) -> _Made:
    """What `make` gives, called by a thread that is inside, as attempts are started."""

    def start() -> _Made:
        fence.add_thread(threading.get_native_id())
        return make()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(start).result()


def start_hog(hogs: list[subprocess.Popen[str]], fence: Fence, mib: int) -> subprocess.Popen[str]:
    code = [sys.executable, "-c", HOG.format(mib=mib)]
    hog = born_inside(fence, lambda: subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    hogs.append(hog)
    assert hog.stdin is not None
    hog.stdin.write("go\n")
    hog.stdin.flush()
    return hog


def fence_folder() -> Path:
    return Path("/sys/fs/cgroup/memory", memory_cgroup(), f"distcomp-test-{os.getpid()}")


def oom_kills() -> int:
    """By the kernel, inside the fence: others on the machine may run out of memory, too."""
    rows = dict(line.split() for line in (fence_folder() / "memory.oom_control").read_text().splitlines())
    return int(rows["oom_kill"])


def memory_cgroup() -> str:
    """Of this process, below the folder where version 1 is mounted."""
    rows = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    return next(path for _, controllers, path in rows if "memory" in controllers.split(",")).strip("/")


def has_its_memory(hog: subprocess.Popen[str]) -> bool:
    assert hog.stdout is not None
    return bool(select.select([hog.stdout], [], [], 0)[0])


def test_we_are_woken_before_the_fence_is_reached(fence: Fence, hogs: list[subprocess.Popen[str]]) -> None:
    fence.set_limit(200 * MIB)
    hog = start_hog(hogs, fence, 80)
    wait_until(lambda: has_its_memory(hog), "it has its memory")
    assert select.select([fence.event], [], [], 20)[0], "we are woken at once"
    fence.note_event()
    assert not select.select([fence.event], [], [], 0)[0], "once"


def test_to_move_the_fence_costs_less_than_to_set_a_level(fence: Fence) -> None:
    """The kernel waits for all processors when a level is set. The fence moves with each look, which may not wait."""
    folder = fence_folder()
    event, usage = os.eventfd(0), os.open(folder / "memory.usage_in_bytes", os.O_RDONLY)
    before_s = time.perf_counter()
    (folder / "cgroup.event_control").write_text(f"{event} {usage} {MIB}")
    level_s = time.perf_counter() - before_s
    before_s = time.perf_counter()
    for step in range(10):
        fence.set_limit((200 + step) * MIB)
    moves_s = time.perf_counter() - before_s
    os.close(usage)
    os.close(event)
    assert moves_s < level_s


def test_beyond_the_fence_the_kernel_kills_the_newest_and_nobody_outside(
    fence: Fence, hogs: list[subprocess.Popen[str]]
) -> None:
    fence.set_limit(100 * MIB)
    old = start_hog(hogs, fence, 60)
    set_oom_score(old.pid, 100)
    wait_until(lambda: has_its_memory(old), "the old one has its memory")
    new = start_hog(hogs, fence, 70)
    set_oom_score(new.pid, 1000)
    assert new.wait(timeout=10) == -signal.SIGKILL
    assert old.poll() is None
    assert oom_kills() == 1


def test_what_a_thread_starts_is_born_inside(fence: Fence) -> None:
    """However quick it is, there is no time in which it is outside."""
    group = born_inside(fence, lambda: subprocess.check_output(["cat", "/proc/self/cgroup"], text=True))
    assert f"distcomp-test-{os.getpid()}" in group
    assert "distcomp-test" not in Path("/proc/self/cgroup").read_text()


def test_a_fence_that_a_killed_worker_left_is_used_again(fence: Fence) -> None:
    again = build_fence(f"test-{os.getpid()}", NODE_BYTES, time.time())
    assert again is not None
    fence.close()
    again.close()
    assert build_fence("x/no/such", NODE_BYTES, time.time()) is None


def test_a_fence_that_a_killed_worker_left_is_removed_by_the_next() -> None:
    """In a cgroup of its own, as other tests have fences beside ours."""
    own = Path("/sys/fs/cgroup/memory") / memory_cgroup() / f"parent-{os.getpid()}"
    left, in_use = own / "distcomp-left", own / "distcomp-used"
    left.mkdir(parents=True)
    in_use.mkdir()
    sleeper = subprocess.Popen(["sleep", "1000"])
    (in_use / "cgroup.procs").write_text(str(sleeper.pid))
    try:
        remove_unused(own, made_before_s=left.stat().st_mtime - 60)
        assert left.exists(), "its worker may be about to use it"
        remove_unused(own, made_before_s=left.stat().st_mtime + 60)
        assert not left.exists()
        assert in_use.exists()
    finally:
        sleeper.kill()
        sleeper.wait()
        for folder in (left, in_use, own):
            if folder.exists():
                folder.rmdir()
