"""Runs commands of the user's on a node, for the check and for `nodes exec`; and a script of preparation, once.

Whoever asks holds our stdin open until we have answered. When it ends before, nobody waits for the answer any more
(Ctrl-C, a connection that is gone), and what runs is ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import last_lines, project_folder

MOST_OUTPUT = 1 << 20
TIMED_OUT = 124
"""Stands for the exit code of what took too long, as with `timeout`. A command may also have it as its own."""
LOOK_S = 0.05
KILL_PATIENCE_S = 5.0
_PR_SET_CHILD_SUBREAPER = 36


class Ended(NamedTuple):
    """How a command ended, the end of what it printed, and whether it was ended because its time was over."""

    exit_code: int
    output: bytes
    is_late: bool


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:
    """Run them one after the other, in the directory of the tasks.

    `ask`: {"cwd": of the tasks, "commands": [text], "timeout_s", "setup": {"name", "bytes"} or null: a script that
    follows, which is run if none of that name has run to its end here}.
    """
    keep_orphans()
    folder = work_folder(ask)
    if ask.get("setup"):
        return set_up(ask, payload, folder)
    answers: list[list[Any]] = []
    for command in ask["commands"]:
        ended = run_to_end(["/bin/sh", "-c", command], folder, None, ask["timeout_s"])
        said = ended.output.decode(errors="replace")
        if ended.is_late:
            said = f"{said.rstrip()}\nended, as it took longer than {ask['timeout_s']:g} s".lstrip()
        answers.append([ended.exit_code, said, ended.is_late])
    return {"answers": answers, "cwd": str(folder)}


def run_to_end(command: list[str], folder: Path, log: BinaryIO | None, timeout_s: float) -> Ended:
    """Run it until it has ended and nobody holds its output, which is returned unless there is a log for it.

    When its time is over, or nobody waits for us any more, all that it started is killed, in sessions of its own too.
    """
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log or subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    pipe = process.stdout.fileno() if process.stdout else None
    said, is_open, give_up_s = b"", pipe is not None, time.monotonic() + timeout_s
    while is_open or process.poll() is None:
        ready = wait_for(pipe if is_open else None)
        if sys.stdin.fileno() in ready or time.monotonic() > give_up_s:
            kill_all(process)
            return Ended(TIMED_OUT, said + (rest_of(pipe) if pipe and is_open else b""), is_late=True)
        if pipe in ready:
            piece = os.read(pipe, 1 << 16)
            said, is_open = (said + piece)[-MOST_OUTPUT:], bool(piece)
    if process.stdout:
        process.stdout.close()
    return Ended(process.returncode, said, is_late=False)


def wait_for(pipe: int | None) -> list[int]:
    """Which of stdin (its end, as nothing more comes there) and the pipe can be read; after a moment, maybe none."""
    poll = select.poll()  # unlike `select`, it takes descriptors of any number
    for descriptor in (sys.stdin.fileno(), pipe):
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(1000 * LOOK_S)]


def rest_of(pipe: int) -> bytes:
    """What is in the pipe now. Somebody who could not be killed may hold it open."""
    os.set_blocking(pipe, False)
    said = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(pipe, 1 << 16):
            said = (said + piece)[-MOST_OUTPUT:]
    return said


def keep_orphans() -> None:
    """Become the parent of those whose own has ended, so that they can be found. Without it, some cannot be."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill the command's process group, then whatever else descends from us, until there is nothing of it."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    give_up_s = time.monotonic() + KILL_PATIENCE_S
    while (alive := descendants()) and time.monotonic() < give_up_s:
        for pid in alive:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_S / 10)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    process.poll()


def descendants() -> list[int]:
    """Of ours, those that run."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            parents[int(folder.name)] = int(parent) if state not in "ZX" else 0
    found, last = set[int](), {os.getpid()}
    while last:
        last = {pid for pid, parent in parents.items() if parent in last}
        found |= last
    return sorted(found)


def work_folder(ask: dict[str, Any]) -> Path:
    """Where tasks run: among the files that were sent, else where it is here, else at home."""
    for folder in (project_folder(ask) / "work", Path(ask["cwd"])):
        if folder.is_dir():
            return folder
    return Path.home()


def set_up(ask: dict[str, Any], payload: BinaryIO, folder: Path) -> dict[str, Any]:
    """Run the script, unless it has been."""
    script = project_folder(ask) / f"setup-{ask['setup']['name']}"
    done_mark = script.with_suffix(".done")
    content = payload.read(ask["setup"]["bytes"])
    if done_mark.exists():
        return {"ran": False}
    script.write_bytes(content)
    script.chmod(0o700)
    log = script.with_suffix(".log")
    with log.open("wb") as file:
        command = [str(script)] if content.startswith(b"#!") else ["/bin/sh", str(script)]
        ended = run_to_end(command, folder, file, ask["timeout_s"])
    if ended.exit_code:
        said = "".join(f"\n  {line}" for line in last_lines(log, 5))
        how = f"took longer than {ask['timeout_s']:g} s" if ended.is_late else f"exit code {ended.exit_code}"
        return {"error": f"the set-up script failed ({how}){said and ':'}{said}"}
    done_mark.touch()
    return {"ran": True}
