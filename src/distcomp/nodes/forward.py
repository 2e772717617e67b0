"""A node's way to the store: a socket there that leads, through an ssh connection of its own, to one here.

No port is open anywhere. The connection stands as long as this process does: the node's end sees ours end.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from distcomp.clock import Clock, SystemClock
from distcomp.nodes.aboard.serving import MARK
from distcomp.nodes.call import NO_PYTHON, no_python, program, read_answer, remote_command
from distcomp.nodes.hosts import Host
from distcomp.nodes.ssh import SSH_FAILED, HostTrouble, Ssh, trouble_of

READY_S = 30.0
FAREWELL_S = 5.0

# The connection is not shared: calls come and go, this one stays. ExitOnForwardFailure would also end it because
# of forwards that the user's configuration asks for; the node's end looks whether the socket is there.
_OPTIONS: Mapping[str, str] = {"ControlMaster": "no", "ControlPath": "none", "ExitOnForwardFailure": "no"}


class Forward:
    """One connection. Stands when made; make another when it has ended.

    Args:
        ssh: the way to the host.
        host: which.
        ask: what the node's end has to know: see aboard/forward.py.
        target: here: path of a socket, or HOST:PORT; empty: the worker is only watched.
        python: the node's Python.

    Raises:
        HostTrouble: it cannot be made.
    """

    def __init__(
        self,
        ssh: Ssh,
        host: Host,
        ask: Mapping[str, object],
        *,
        target: str,
        python: str,
        clock: Clock | None = None,
    ) -> None:
        self._host, self._clock = host, clock or SystemClock()
        self._said = b""
        name = f"s{secrets.token_hex(3)}" if target else ""
        command = ssh.command(host, remote_command(python, sys.version_info[:2]), _OPTIONS)
        if target:
            at = command.index("--")
            command[at:at] = ["-R", f"{ask['sockets']}/{name}:{target}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            question = json.dumps({**ask, "name": name}).encode()
            self._begin(program("places", "forward") + question + b"\n", python)
        except BaseException:
            self.close()
            raise

    def _begin(self, question: bytes, python: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.write(question)
            self._process.stdin.flush()
        said = b""
        give_up_s = self._clock.monotonic_s() + READY_S
        while not (MARK in said and said.endswith(b"\n")):
            left_s = give_up_s - self._clock.monotonic_s()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                raise HostTrouble(f"no answer within {READY_S:.0f} s")
            piece = os.read(self._process.stdout.fileno(), 4096)
            if not piece:
                raise self._ended(said, python)
            said += piece
        read_answer(said, "", 0)

    def _ended(self, said: bytes, python: str) -> HostTrouble:
        assert self._process.stderr
        stderr = self._process.stderr.read().decode(errors="replace").strip()
        code = self._process.wait()
        if code == SSH_FAILED:
            return trouble_of(self._host, stderr)
        if code == NO_PYTHON:
            return no_python(python)
        try:
            read_answer(said, stderr, code)
        except HostTrouble as trouble:
            return trouble
        return HostTrouble("the connection ended as soon as it stood")

    def watch(self, pid: int) -> None:
        """Have the worker of this pid watched there."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"%d\n" % pid)
            self._process.stdin.flush()

    def wait(self, timeout_s: float) -> list[str] | None:
        """Wait for news from there, for so long at most: the last words of a worker that has ended, or nothing.

        Raises:
            HostTrouble: the connection has ended. A dead network is noticed after some seconds.
        """
        assert self._process.stdout
        assert self._process.stderr
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            return None
        piece = os.read(self._process.stdout.fileno(), 1 << 16)
        if not piece:
            raise trouble_of(self._host, self._process.stderr.read().decode(errors="replace").strip())
        self._said += piece
        *whole, self._said = self._said.split(b"\n")
        said = [json.loads(line.removeprefix(MARK[1:])) for line in whole if line.startswith(MARK[1:])]
        return next((list(one["worker_ended"]) for one in said if "worker_ended" in one), None)

    def close(self) -> None:
        """End it; the socket there goes with it."""
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
