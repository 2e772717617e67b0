"""Run by test_cgroup2.py in a kernel with cgroups of version 2, as root: the fence by itself."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcomp.runner.fence import build_fence
from distcomp.runner.fencev2 import FenceV2
from tests.support.waiting import wait_until

MIB = 1 << 20
TOP = Path("/sys/fs/cgroup")
NAME = "test"
HOG = """
import sys, time
sys.stdin.readline()
hog = bytearray({mib} << 20)
for start in range(0, len(hog), 1 << 20):
    hog[start:start + (1 << 20):4096] = b'x' * 256
print('ok', flush=True)
time.sleep(1000)
"""
ELSEWHERE = """
import os, sys, time
from pathlib import Path
from distcomp.runner.fence import build_fence
if sys.argv[1:]:
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
fence = build_fence("other", 1 << 29, time.time())
print(fence and fence._cgroup.folder, Path("/proc/self/cgroup").read_text().strip().partition("::")[2], flush=True)
sys.stdin.readline()
if fence:
    fence.close()
print(Path("/proc/self/cgroup").read_text().strip().partition("::")[2], flush=True)
"""


@pytest.fixture
def fence() -> Iterator[FenceV2]:
    fence = build_fence(NAME, 600 * MIB, time.time())
    assert isinstance(fence, FenceV2)
    yield fence
    fence.close()
    assert not (TOP / f"distcomp-{NAME}").exists()


@pytest.fixture
def hogs(fence: FenceV2) -> Iterator[list[subprocess.Popen[str]]]:
    hogs: list[subprocess.Popen[str]] = []
    yield hogs
    for hog in hogs:
        hog.kill()
        hog.communicate()


@pytest.fixture
def limited() -> Iterator[Path]:
    """A cgroup whose memory is limited, as a container's or a batch job's."""
    folder = TOP / "limited"
    (TOP / "cgroup.subtree_control").write_text("+memory")
    folder.mkdir()
    (folder / "memory.max").write_text(str(500 * MIB))
    yield folder
    wait_until(lambda: not (folder / "cgroup.procs").read_text(), "it is empty")
    assert not [child for child in folder.iterdir() if child.is_dir()], "nothing is left below it"
    folder.rmdir()


def start_hog(hogs: list[subprocess.Popen[str]], fence: FenceV2, mib: int) -> subprocess.Popen[str]:
    code = [sys.executable, "-S", "-E", "-c", HOG.format(mib=mib)]
    hog = subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    hogs.append(hog)
    fence.take_in(hog.pid)
    assert hog.stdin is not None
    hog.stdin.write("go\n")
    hog.stdin.flush()
    return hog


def has_its_memory(hog: subprocess.Popen[str]) -> bool:
    assert hog.stdout is not None
    return bool(select.select([hog.stdout], [], [], 0)[0])


def start_below(folder: Path, user: str = "") -> subprocess.Popen[str]:
    """Somebody who builds a fence, in this cgroup; as root, or another user (a number)."""
    script = f"echo $$ > {folder}/cgroup.procs && exec {sys.executable} -c '{ELSEWHERE}' {user}"
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_at_the_fence_attempts_wait_for_the_worker_which_is_woken(
    fence: FenceV2, hogs: list[subprocess.Popen[str]]
) -> None:
    fence.set_limit(200 * MIB)
    small = start_hog(hogs, fence, 60)
    wait_until(lambda: has_its_memory(small), "the first has its memory")
    assert 60 * MIB <= fence.used_bytes() < 90 * MIB
    assert not fence.is_stalled()
    large = start_hog(hogs, fence, 300)
    assert select.select([fence.event], [], [], 60)[0], "we are woken"
    fence.note_event()
    wait_until(fence.is_stalled, "it waits", timeout_s=60)
    assert large.poll() is None, "it was not killed"
    assert not has_its_memory(large)
    large.kill()
    large.wait(timeout=30)
    wait_until(lambda: fence.used_bytes() < 90 * MIB, "its memory is back")
    assert small.poll() is None


def test_who_only_reads_files_does_not_wait(fence: FenceV2) -> None:
    """Page cache at the limit is given back: nothing that the worker should kill for."""
    fence.set_limit(40 * MIB)
    program = next(Path(sys.prefix).rglob("libpython*.so*"), None) or Path(sys.executable).resolve()
    script = f"read x; for i in 1 2 3; do cat {program} /usr/bin/linux.uml; done | wc -c"
    reader = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    fence.take_in(reader.pid)
    printed, _ = reader.communicate("go\n")
    assert int(printed) > 0
    assert not fence.is_stalled()


def test_a_fence_that_a_killed_worker_left_is_removed_and_one_in_use_is_not(fence: FenceV2) -> None:
    left = TOP / "distcomp-left"
    left.mkdir()
    later_s = time.time() + 3600
    other = build_fence("second", 600 * MIB, later_s)
    assert other is not None
    assert not left.exists()
    assert (TOP / f"distcomp-{NAME}").exists()
    other.close()


def test_where_no_limit_binds_it_the_fence_is_at_the_top(fence: FenceV2) -> None:
    folder = TOP / "session"
    folder.mkdir()
    process = start_below(folder)
    assert line_of(process) == f"{TOP}/distcomp-other /session"
    process.communicate("end\n")
    folder.rmdir()


def test_who_is_not_root_has_a_fence_in_what_was_delegated() -> None:
    folder, nobody = TOP / "delegated", 65534
    (TOP / "cgroup.subtree_control").write_text("+memory")
    folder.mkdir()
    for path in (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control"):
        os.chown(path, nobody, nobody)
    process = start_below(folder, str(nobody))
    assert line_of(process) == f"{folder}/distcomp-other /delegated/distcomp-other.worker"
    process.communicate("end\n")
    assert not [child for child in folder.iterdir() if child.is_dir()], "nothing is left below it"
    folder.rmdir()


def test_who_is_not_root_and_has_nothing_delegated_has_none() -> None:
    folder = TOP / "foreign"
    folder.mkdir()
    process = start_below(folder, "65534")
    assert line_of(process) == "None /foreign"
    process.communicate("end\n")
    folder.rmdir()


def test_below_a_limit_the_fence_is_inside_and_the_worker_steps_aside(limited: Path) -> None:
    process = start_below(limited)
    assert line_of(process) == f"{limited}/distcomp-other /limited/distcomp-other.worker"
    assert process.stdin is not None
    process.stdin.write("end\n")
    process.stdin.flush()
    assert line_of(process) == "/limited", "it steps back in the end"
    process.wait(timeout=30)


def test_others_in_a_limited_cgroup_are_left_where_they_are(limited: Path) -> None:
    other = subprocess.Popen(["sh", "-c", f"echo $$ > {limited}/cgroup.procs && echo in && exec sleep 1000"],
                             stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert line_of(other) == "in"
    process = start_below(limited)
    assert line_of(process) == "None /limited"
    process.communicate("end\n")
    assert str(other.pid) in (limited / "cgroup.procs").read_text().split()
    other.kill()
    other.communicate()


def test_there_is_only_one_fence_of_a_name(fence: FenceV2) -> None:
    assert build_fence(NAME, 600 * MIB, time.time()) is None
    assert (TOP / f"distcomp-{NAME}").exists()
