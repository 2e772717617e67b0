"""A question to a node whose answer is followed by more: contents of files, or what is printed there as it comes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from distcomp.nodes.aboard.serving import MARK
from distcomp.nodes.call import NO_PYTHON, checked, no_python, program, remote_command
from distcomp.nodes.hosts import Host
from distcomp.nodes.ssh import HostTrouble, Ssh, trouble_of


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a node said first, and what follows it."""

    answer: dict[str, Any]
    stream: IO[bytes]

    def read(self, length: int) -> bytes:
        """So many bytes of what follows. HostTrouble: there are fewer."""
        piece = self.stream.read(length)
        if len(piece) < length:
            raise HostTrouble("the connection broke")
        return piece


@contextmanager
def conversation(
    ssh: Ssh, host: Host, scripts: tuple[str, ...], ask: Mapping[str, Any], *, python: str = ""
) -> Iterator[Conversation]:
    """Ask a node. What follows the answer is read within the `with`; what is left of it is thrown away.

    There is no limit of time: it lasts as long as the connection stands. The arguments are those of `call`.

    Raises:
        HostTrouble: as `call`; at the end of the `with`, too, if the script fails there after its answer.
    """
    command = ssh.command(host, remote_command(python, sys.version_info[:2]))
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as process,
        ssh.conversing(process),
    ):
        assert process.stdin
        assert process.stdout
        try:
            with suppress(BrokenPipeError):  # it says why by its end
                process.stdin.write(program(*scripts) + json.dumps(ask).encode() + b"\n")
                process.stdin.close()
            answer = _first_answer(process.stdout)
            if answer is None:
                raise _trouble(process, host, python)
            yield Conversation(checked(answer), process.stdout)
            while process.stdout.read(1 << 16):
                pass
            if process.wait():
                raise _trouble(process, host, python)
        finally:
            process.kill()


def _first_answer(stream: IO[bytes]) -> dict[str, Any] | None:
    """None if there is none. What a login shell says comes before it."""
    while line := stream.readline():
        if line.startswith(MARK[1:]):
            answer: dict[str, Any] = json.loads(line.removeprefix(MARK[1:]))
            return answer
    return None


def _trouble(process: subprocess.Popen[bytes], host: Host, python: str) -> HostTrouble:
    assert process.stderr
    said = process.stderr.read().decode(errors="replace").strip()
    return no_python(python) if process.wait() == NO_PYTHON else trouble_of(host, said)
