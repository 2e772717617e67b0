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
        sockets: the folder there for sockets.
        target: here: path of a socket, or HOST:PORT.
        python: the node's Python.

    Raises:
        HostTrouble: it cannot be made.
    """

    def __init__(
        self, ssh: Ssh, host: Host, *, sockets: str, target: str, python: str, clock: Clock | None = None
    ) -> None:
        self._host, self._clock = host, clock or SystemClock()
        name = f"s{secrets.token_hex(3)}"
        command = ssh.command(host, remote_command(python, sys.version_info[:2]), _OPTIONS)
        at = command.index("--")
        command[at:at] = ["-R", f"{sockets}/{name}:{target}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            self._begin(program("forward") + json.dumps({"sockets": sockets, "name": name}).encode() + b"\n", python)
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

    @property
    def descriptor(self) -> int:
        """Readable when the connection has ended."""
        assert self._process.stdout
        return self._process.stdout.fileno()

    def is_up(self) -> bool:
        """Whether it stands, as far as ssh knows: a dead network is noticed after some seconds."""
        return self._process.poll() is None

    def why_down(self) -> HostTrouble:
        """What ssh said about its end."""
        assert self._process.stderr
        return trouble_of(self._host, self._process.stderr.read().decode(errors="replace").strip())

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
