"""System calls that never wait, on real children and files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distcomp.runner.quick import Children, Reader, size_bytes, write_once
from tests.support.waiting import wait_until

BUSY = """
import os, time
held = bytearray(50 << 20)
while time.process_time() < 0.2:
    pass
with open("written", "wb") as file:
    file.write(bytes(1 << 20))
    os.fsync(file.fileno())
"""


def dead_child(children: Children, *command: str, cwd: Path | None = None) -> int:
    """The number of a child that has ended and is not reaped."""
    pid = os.posix_spawnp("sh", ["sh", "-c", 'cd "$0" && exec "$@"', str(cwd or Path.cwd()), *command], os.environ)
    wait_until(lambda: children.next_dead() == pid, "the child is dead")
    return pid


def test_a_dead_child_is_shown_until_it_is_reaped() -> None:
    children = Children()
    assert children.next_dead() == 0
    pid = dead_child(children, "sh", "-c", "exit 3")
    assert children.next_dead() == pid

    reaped = children.reap(pid)
    assert reaped is not None
    assert os.WEXITSTATUS(reaped[0]) == 3
    assert children.next_dead() == 0
    assert children.reap(pid) is None, "it is no child any more"


def test_a_child_that_lives_is_not_reaped() -> None:
    children = Children()
    child = subprocess.Popen(["sleep", "1000"])
    assert children.next_dead() == 0
    assert children.reap(child.pid) is None
    child.kill()
    wait_until(lambda: children.next_dead() == child.pid, "it is dead")
    reaped = children.reap(child.pid)
    assert reaped is not None
    assert os.WTERMSIG(reaped[0]) == signal.SIGKILL
    child.wait()


def test_what_a_child_has_used_is_what_the_kernel_tells(tmp_path: Path) -> None:
    """Compared with Python's own, which cannot be asked of the same child."""
    children = Children()
    reaped = children.reap(dead_child(children, sys.executable, "-c", BUSY, cwd=tmp_path))
    assert reaped is not None
    pid = dead_child(children, sys.executable, "-c", BUSY, cwd=tmp_path)
    _, _, usage = os.wait4(pid, 0)

    _, spent = reaped
    assert spent.cpu_s == pytest.approx(usage.ru_utime + usage.ru_stime, rel=0.5)
    assert spent.cpu_s > 0.2
    assert spent.peak_bytes == pytest.approx(usage.ru_maxrss * 1024, rel=0.1)
    assert spent.disk_written_bytes == pytest.approx(usage.ru_oublock * 512, rel=0.5)


def test_what_is_read_is_what_is_there_now(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a\0b")
    fd = os.open(file, os.O_RDONLY)
    reader = Reader(fd, 4)
    assert [reader.read_anew(), reader.read_anew()] == [b"a\0b"] * 2
    file.write_bytes(b"longer")
    assert reader.read_anew() == b"long"
    assert [reader.read(), reader.read(), reader.read()] == [b"long", b"er", b""]
    os.close(fd)
    assert reader.read_anew() == b""


def test_a_pipe_with_nothing_in_it_is_not_waited_for() -> None:
    pipe, writer = os.pipe2(os.O_NONBLOCK)
    assert Reader(pipe, 4).read() == b""
    os.write(writer, b"x")
    assert Reader(pipe, 4).read() == b"x"
    os.close(pipe)
    os.close(writer)


def test_the_size_of_a_file_beyond_4_gib(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 5 << 30)
    assert size_bytes(fd) == 5 << 30
    os.close(fd)


def test_what_cannot_be_written_is_said() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    score = Path(f"/proc/{child.pid}/oom_score_adj")
    assert write_once(os.fsencode(score), b"700")
    assert score.read_text() == "700\n"
    assert not write_once(os.fsencode(score), b"many")
    child.kill()
    child.wait()
    assert not write_once(os.fsencode(score), b"700")
