"""A worker's process before it works: it reads its modules, and waits for its order.

`distcomp run` starts one before anything else, so that it is ready when the tasks are. Until it has its order it
touches nothing: no folder, no store, no lock. Where there is nothing to run, it is dismissed.

This is imported before all others, so it imports next to nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from typing import ClassVar, NamedTuple

# Flags with which `run` starts no worker here.
_NOT_HERE = ("-h", "--help", "--hosts", "--slurm")
_END = b"\0"


class Order(NamedTuple):
    """What a worker on call is told: where to work, where to say what it has to say, and its settings (NAME=VALUE)."""

    directory: str
    log_file: str
    settings: Sequence[str]


class OnCall:
    """A process that waits for its order, in a process group of its own, so that Ctrl-C reaches only us.

    It reads its order from a pipe, which is then its leash: however we end, it sees that, and ends too.

    Args:
        log: a descriptor that gets what it says before it has its order; None: nobody hears that.
    """

    waiting: ClassVar[OnCall | None] = None
    """The one that was started before anything else, until somebody takes it."""

    def __init__(self, log: int | None = None) -> None:
        leash, self._leash_end = os.pipe()
        output = subprocess.DEVNULL if log is None else log
        try:
            # -P: a file of the user's, in this directory, must not stand in for a module.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "distcomp", "worker", "--wait", "--on-call", "--leash", str(leash)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(leash,),
                process_group=0,
            )
        except BaseException:
            os.close(self._leash_end)
            raise
        finally:
            os.close(leash)

    def send(self, order: Order) -> None:
        """Let it work. If it has ended meanwhile, that is for its caller to see."""
        words = (os.fsencode(word) + _END for word in (order.directory, order.log_file, *order.settings))
        text = b"".join(words) + _END
        with suppress(BrokenPipeError):
            while text:
                text = text[os.write(self._leash_end, text) :]

    def let_go(self) -> int:
        """If it still lives, it gives back what it runs and ends. Waits for that; its exit code."""
        os.close(self._leash_end)
        return self.process.wait()

    def dismiss(self) -> None:
        """End it, before it has an order."""
        self.process.kill()
        self.let_go()


def call_early(arguments: Sequence[str]) -> None:
    """Start a worker's process if these arguments of the program may come to need one."""
    words = arguments[2:] if arguments[:1] == ["-C"] else arguments
    flags = takewhile(lambda word: word != "--", words)  # what follows it is a task's own
    if words[:1] != ["run"] or any(flag.startswith(_NOT_HERE) for flag in flags):
        return
    with suppress(OSError):  # whoever needs it tries again, and says so
        OnCall.waiting = OnCall()


def take() -> OnCall | None:
    """The process that was started before anything else, if there is one; it is the caller's now."""
    waiting, OnCall.waiting = OnCall.waiting, None
    return waiting


def dismiss() -> None:
    """End the process that was started before anything else, if nobody took it."""
    waiting = take()
    if waiting is not None:
        waiting.dismiss()


def await_order(leash: int) -> Order | None:
    """What the process waits for. None: it is not needed."""
    text = b""
    while not text.endswith(2 * _END):
        piece = os.read(leash, 1 << 16)
        if not piece:
            return None
        text += piece
    directory, log_file, *settings = map(os.fsdecode, text[:-2].split(_END))
    return Order(directory, log_file, settings)


def take_up(order: Order) -> None:
    """Go where the order says, and say what there is to say where it says."""
    os.chdir(order.directory)
    log = os.open(order.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    for standard in (1, 2):
        os.dup2(log, standard)
    os.close(log)
