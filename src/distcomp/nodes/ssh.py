"""Runs commands on many hosts with the user's own `ssh`, a set number at once, each with a time limit.

The program is OpenSSH's, so ~/.ssh/config, agent, jump hosts and known_hosts count as they do for the user
(docs/decisions/ssh.md). Nothing is ever asked: what would need an answer is an outcome that says what to do. A
host's commands share one connection, held by a master process that ends with us.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from distcomp.errors import BadSetting, DistcompError
from distcomp.nodes.hosts import Host

CONNECT_TIMEOUT_S = 10
# A host that is silent for so long is gone: its calls and its way to the store end.
ALIVE_EVERY_S = 3
ALIVE_MISSES = 3
# Masters of a process that was killed end by themselves after this.
PERSIST_S = 30
CONNECTIONS = 32
SSH_FAILED = 255
ABORT_LOOK_S = 0.5
_OUTPUT_SHOWN = 300

_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_TIMEOUT_S),
    "ServerAliveInterval": str(ALIVE_EVERY_S),
    "ServerAliveCountMax": str(ALIVE_MISSES),
    "LogLevel": "ERROR",
    # What a user's configuration may ask for in an interactive session.
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "PermitLocalCommand": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "EscapeChar": "none",
}

_Result = TypeVar("_Result")


class HostTrouble(DistcompError):
    """A host did not do what it was asked to. The message does not name the host: whoever tells it does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command on a host came to. `exit_code` is negative where a signal ended it."""

    exit_code: int
    stdout: bytes
    stderr: str


class Ssh:
    """The way to hosts. Thread-safe. Close it, or use it in a `with`: its connections end then.

    Args:
        program: the ssh program and options of the user's, as in the setting `ssh`.
        connections: most hosts at once, for `on_all`.

    Raises:
        BadSetting: there is no such program.
    """

    def __init__(self, program: str = "ssh", connections: int = CONNECTIONS) -> None:
        self._program = _program(program)
        self._connections = connections
        self.folder = Path(tempfile.mkdtemp(prefix="dc-", dir=_runtime_folder()))
        """Private, and with a short name: sockets' names have to be short."""
        self._masters: dict[str, Host] = {}
        self._calls: dict[subprocess.Popen[bytes], Host] = {}
        self._conversations: set[subprocess.Popen[bytes]] = set()
        self._is_interrupted = False

    def command(self, host: Host, remote: str, options: Mapping[str, str] | None = None) -> list[str]:
        """The words that run a command on a host; `remote` is a line for the user's login shell there."""
        words = [*self._program, "-T"]
        for name, value in {**_OPTIONS, **(options or self._sharing(host))}.items():
            words += ["-o", f"{name}={value}"]
        if host.port:
            words += ["-p", str(host.port)]
        if host.user:
            words += ["-l", host.user]
        return [*words, "--", host.address, *([remote] if remote else [])]

    def run(
        self,
        host: Host,
        remote: str,
        stdin: bytes | Iterable[bytes] = b"",
        timeout_s: float | None = 60,
        *,
        holds: bool = False,
    ) -> Answer:
        """Run a command on a host and wait for its end.

        Args:
            host: which.
            remote: a line for the user's login shell there.
            stdin: what it reads. Pieces are made in a thread, as it takes them.
            timeout_s: for all of it; None: as long as the connection stands.
            holds: keep its stdin open until it has ended, so that it sees when nobody waits for it any more.

        Raises:
            HostTrouble: it cannot be reached or does not let us in, or the time is over.
        """
        command = self.command(host, remote)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as process:
            self._calls[process] = host
            feeder = _Feeder(process, stdin, holds=holds)
            if self._is_interrupted:
                self.interrupt()
            try:
                answer = _communicate(process, feeder, timeout_s, lambda: process not in self._calls)
            finally:
                self._calls.pop(process, None)
                process.kill()
                feeder.let_go()
        if answer.exit_code == SSH_FAILED:
            raise trouble_of(host, answer.stderr)
        if feeder.trouble is not None:
            raise feeder.trouble
        return answer

    def abort(self, host: Host) -> None:
        """End what is being asked of a host now: it comes to a HostTrouble."""
        for process, asked in list(self._calls.items()):
            if asked == host:
                # Not killed here: what it prints to is held by the connection's master too, and would not end.
                self._calls.pop(process, None)

    @contextmanager
    def conversing(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """This process, which was started by others, is killed by `interrupt`."""
        self._conversations.add(process)
        if self._is_interrupted:
            process.kill()
        try:
            yield
        finally:
            self._conversations.discard(process)

    def interrupt(self) -> None:
        """End all that is and will be asked of hosts: it comes to a HostTrouble."""
        self._is_interrupted = True
        self._calls.clear()
        for process in list(self._conversations):
            process.kill()

    def on_all(self, hosts: Iterable[Host], work: Callable[[Host], _Result]) -> dict[Host, _Result]:
        """Do something with each host, at most `connections` at once. `work` is called in threads.

        What ends the waiting, as Ctrl-C does, ends all that is asked: nobody waits for hosts that are slow or many.
        """
        every = list(hosts)
        with ThreadPoolExecutor(max(1, min(self._connections, len(every))), "ssh") as pool:
            futures = {host: pool.submit(work, host) for host in every}
            try:
                return {host: future.result() for host, future in futures.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.interrupt()
                raise

    def close(self) -> None:
        """End the connections."""
        with suppress(RuntimeError):
            self.on_all(list(self._masters.values()), self._end_master)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Ssh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sharing(self, host: Host) -> dict[str, str]:
        name = hashlib.blake2b(str(host).encode(), digest_size=5).hexdigest()
        self._masters[name] = host
        # Forwards of the user's configuration are for sessions of his own, and would be in each other's way.
        return {
            "ControlMaster": "auto",
            "ControlPath": str(self.folder / name),
            "ControlPersist": str(PERSIST_S),
            "ClearAllForwardings": "yes",
        }

    def _end_master(self, host: Host) -> None:
        command = self.command(host, "")
        command[command.index("--") : command.index("--")] = ["-O", "exit"]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=5, check=False)


class _Feeder(threading.Thread):
    """Writes pieces to a process's stdin. `trouble` is what making them failed with.

    Args:
        process: whose. From now on its stdin is ours.
        stdin: what it reads.
        holds: leave it open at the end, until `let_go`.
    """

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes | Iterable[bytes], *, holds: bool) -> None:
        super().__init__(name="feed ssh", daemon=True)
        assert process.stdin
        self._pipe, process.stdin = process.stdin, None
        self._pieces, self._holds = [stdin] if isinstance(stdin, bytes) else stdin, holds
        self._is_let_go = threading.Event()
        self.trouble: HostTrouble | None = None

    def run(self) -> None:
        try:
            for piece in self._pieces:
                self._pipe.write(piece)
            self._pipe.flush()
        except HostTrouble as trouble:
            self.trouble = trouble
        except OSError as error:
            # A pipe that nobody reads any more: the process says why by its end.
            if not isinstance(error, BrokenPipeError):
                self.trouble = HostTrouble(f"{error.filename}: {error.strerror}")
        finally:
            if self._holds and self.trouble is None:
                self._is_let_go.wait()
            with suppress(OSError):
                self._pipe.close()

    def let_go(self) -> None:
        """Have the process read the end of its stdin, after what it is still to be given."""
        self._is_let_go.set()


def _communicate(
    process: subprocess.Popen[bytes], feeder: _Feeder, timeout_s: float | None, is_aborted: Callable[[], bool]
) -> Answer:
    feeder.start()
    waited_s = 0.0
    while True:
        look_s = ABORT_LOOK_S if timeout_s is None else min(ABORT_LOOK_S, timeout_s)
        try:
            stdout, stderr = process.communicate(timeout=look_s)
        except subprocess.TimeoutExpired:
            waited_s += look_s
            if is_aborted():
                raise HostTrouble("interrupted") from None
            if timeout_s is not None and waited_s >= timeout_s:
                raise HostTrouble(f"no answer within {timeout_s:.0f} s") from None
        else:
            feeder.let_go()
            feeder.join()
            return Answer(process.returncode, stdout, stderr.decode(errors="replace").strip())


def _program(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadSetting(f"The setting ssh cannot be read: {error}.") from None
    if not words or shutil.which(words[0]) is None:
        raise BadSetting(
            f"There is no program {words[0] if words else ''!r} to reach hosts with.",
            next_step="Install OpenSSH's client (openssh-client), or name it in the setting `ssh`.",
        )
    return words


def _runtime_folder() -> str | None:
    """Where a user's sockets belong: short, private, gone after a restart. None: among temporary files."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return folder if folder and len(folder) < 40 and os.access(folder, os.W_OK) else _short_temporary()


def _short_temporary() -> str | None:
    return "/tmp" if os.access("/tmp", os.W_OK) else None  # noqa: S108  mkdtemp makes a private folder in it


# What OpenSSH prints, in the order in which it matters, and what it means.
_TROUBLES = (
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key is not the one that is known", "changed"),
    (r"Host key verification failed|No \S+ host key is known", "its host key is unknown", "unknown"),
    (r"Permission denied \(([^)]*)\)", "it does not let us in ({0})", "login"),
    (r"Could not resolve hostname", "its name is unknown", "name"),
    (r"Connection refused", "it refuses connections: no sshd", ""),
    (r"Too many authentication failures", "it does not let us in: too many keys were tried", "login"),
    (r"timed out|Timeout, server", "no answer", ""),
    (r"No route to host|Network is unreachable", "there is no way to it", ""),
    (r"closed by|reset by peer|Broken pipe|disconnect", "the connection broke", ""),
)
_STEPS = {
    "changed": "If that is right, remove the old key: ssh-keygen -R {host}",
    "unknown": "Accept it once: ssh {host}, or for many hosts ssh-keyscan -f HOSTS >> ~/.ssh/known_hosts, and compare.",
    "login": "`ssh {host}` has to work without a question: a key (ssh-copy-id {host}), and if it has a password an"
    " agent (ssh-add).",
    "name": "Mend the host file, or name it in ~/.ssh/config.",
    "": "",
}


def trouble_of(host: Host, stderr: str) -> HostTrouble:
    """What ssh's last words mean for the user."""
    for pattern, what, step in _TROUBLES:
        if match := re.search(pattern, stderr):
            where = f"{host.user}@{host.address}" if host.user else host.address
            if host.port:
                where = f"-p {host.port} {where}"
            return HostTrouble(what.format(*match.groups()), next_step=_STEPS[step].format(host=where))
    last = stderr.splitlines()[-1] if stderr else "the connection broke"
    return HostTrouble(last[:_OUTPUT_SHOWN])
