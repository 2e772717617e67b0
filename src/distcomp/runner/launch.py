"""From a claim to a process: environment, working directory, argument list, posix_spawn.

What a shell would have said of a program that cannot be started, the kernel's answer to posix_spawn says here.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from distcomp.model import Claim, TaskType
from distcomp.pythoncall import BadPythonCommand, argv, parse_python_command
from distcomp.runner.attempt import OWN_MARK, NodeRefused
from distcomp.runner.direct import RESET_VARIABLES, DirectExec
from distcomp.runner.limits import RunnerLimits
from distcomp.runner.spawn import Descriptors, Environment, Manner, Variables, spawn

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""The exit codes that shells give a command they could not start."""

_OF_THE_NODE = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT})
_MOST_JOBS_REMEMBERED = 64

# Python ignores SIGPIPE and SIGXFSZ, nohup SIGHUP, and so on: what is ignored would stay so in the task, and
# `yes | head` never ends without SIGPIPE. What has a handler, the kernel resets by itself.
_TO_DEFAULT = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1),
    *(signal.SIGUSR2, signal.SIGCHLD, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGXCPU, signal.SIGXFSZ),
)

_PER_TASK = frozenset({"PWD", "DISTCOMP_WORKER", "DISTCOMP_JOB", "DISTCOMP_TASK_ID", "DISTCOMP_ATTEMPT"})


class CannotExecute(Exception):
    """The task's command could not be started; another attempt here would end the same way."""

    def __init__(self, exit_code: int, reason: str) -> None:
        # It may name what is no UTF-8, and no message can hold that.
        self.exit_code, self.reason = exit_code, os.fsencode(reason).decode("utf-8", "backslashreplace")
        super().__init__(reason)


class _Surroundings(NamedTuple):
    """What the attempts of a job share."""

    shell: str
    context_env: Mapping[str, str]
    env: Environment
    direct: DirectExec

    def fit(self, context_env: Mapping[str, str], shell: str) -> bool:
        is_same_env = self.context_env is context_env or self.context_env == context_env
        return is_same_env and self.shell == shell


class Launcher:
    """Starts attempts, each in a session of its own.

    Changes the working directory of the calling thread with each start, as posix_spawn inherits it. Threads that have
    one of their own may launch at the same time.

    Args:
        worker: what tasks see as DISTCOMP_WORKER; also marks their processes.
        base_env: what tasks inherit from the worker; their job's and their own come on top.
    """

    def __init__(self, worker: str, base_env: Mapping[str, str]) -> None:
        self._worker = worker.encode()
        unwanted = {*RESET_VARIABLES, OWN_MARK}
        self._base_env = {name: value for name, value in base_env.items() if name not in unwanted}
        self._jobs: dict[int, _Surroundings] = {}
        self._manner = Manner(_TO_DEFAULT)

    def launch(self, claim: Claim, files: Descriptors, limits: RunnerLimits, now_s: float) -> int:
        """Start the claim's command; the id of its process, session and process group.

        Raises:
            CannotExecute: the command, its directory or its environment cannot be used.
            NodeRefused: the node has no room for one more process.
        """
        try:
            surroundings = self._surroundings(claim, limits.shell)
            cwd = _enter(*_directory(claim.context.cwd, claim.spec.cwd or "", limits.cwd_map))
            own, shared = self._own_variables(claim, cwd), surroundings.env
            if claim.spec.type is TaskType.PYTHON:
                return self._spawn(_python_argv(claim, limits), shared.with_own(own), files)
            program = surroundings.direct.program(claim.spec.command, now_s) if limits.is_direct else None
            if program is not None:
                path, words = os.fsencode(program[0]), program[1]
                # What bash passes on when it was told neither.
                of_bash = [b"_=%b" % path, b"SHLVL=0"] if surroundings.direct.sets_underscore else []
                pid = self._spawn_direct(path, words, shared.with_own(own + of_bash), files)
                if pid is not None:
                    return pid
            return self._spawn([limits.shell, "-c", claim.spec.command], shared.with_own(own), files)
        except ValueError as error:  # A zero byte in the command, an = in a variable's name, half a character.
            raise CannotExecute(NOT_EXECUTABLE, f"cannot execute: {error}") from error

    def _surroundings(self, claim: Claim, shell: str) -> _Surroundings:
        own_env = claim.spec.env
        if own_env:
            return self._new_surroundings({**claim.context.env, **own_env}, shell)
        known = self._jobs.get(claim.job)
        if known is None or not known.fit(claim.context.env, shell):
            if len(self._jobs) >= _MOST_JOBS_REMEMBERED:
                self._jobs.clear()
            known = self._jobs[claim.job] = self._new_surroundings(claim.context.env, shell)
        return known

    def _new_surroundings(self, job_env: Mapping[str, str], shell: str) -> _Surroundings:
        env = {**self._base_env, **job_env}
        # Once per job: there may be a hundred of them.
        shared = Environment({name: value for name, value in env.items() if name not in _PER_TASK})
        return _Surroundings(shell, job_env, shared, DirectExec(env, shell))

    def _own_variables(self, claim: Claim, cwd: bytes) -> list[bytes]:
        return [
            b"PWD=%b" % cwd,
            b"DISTCOMP_WORKER=%b" % self._worker,
            b"DISTCOMP_JOB=%d" % claim.job,
            b"DISTCOMP_TASK_ID=%b" % claim.task_id.encode(),
            b"DISTCOMP_ATTEMPT=%d" % claim.attempt,
        ]

    def _spawn_direct(self, path: bytes, words: list[str], env: Variables, files: Descriptors) -> int | None:
        """None if the kernel would not: then the shell shall say why, or read a script that names no interpreter."""
        try:
            return spawn(path, [os.fsencode(word) for word in words], env, files, self._manner)
        except OSError as error:
            if error.errno in _OF_THE_NODE:
                raise _refusal(error) from error
            return None

    def _spawn(self, words: list[str], env: Variables, files: Descriptors) -> int:
        try:
            return spawn(os.fsencode(words[0]), [os.fsencode(word) for word in words], env, files, self._manner)
        except OSError as error:
            if error.errno in _OF_THE_NODE:
                raise _refusal(error) from error
            if error.errno == errno.ENOENT:
                raise CannotExecute(NOT_FOUND, f"not found: {words[0]}") from error
            raise CannotExecute(NOT_EXECUTABLE, f"cannot execute {words[0]}: {error.strerror}") from error


def directory(claim: Claim, limits: RunnerLimits) -> str:
    """Where an attempt runs on this node."""
    return _directory(claim.context.cwd, claim.spec.cwd or "", limits.cwd_map)[0]


def _enter(cwd: str, name: bytes) -> bytes:
    """Change to the directory; its name for PWD, which is `name` unless that is empty."""
    # Each time, though it is often where we are: a directory made anew under the same name is another one.
    try:
        os.chdir(cwd)
        return name or os.getcwdb()  # noqa: PTH109
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CannotExecute(NOT_EXECUTABLE, f"the working directory is not there: {cwd}") from error
    except OSError as error:
        raise CannotExecute(NOT_EXECUTABLE, f"cannot enter the working directory {cwd}: {error.strerror}") from error


@lru_cache(maxsize=64)
def _directory(job_cwd: str, own_cwd: str, cwd_map: tuple[str, str] | tuple[()]) -> tuple[str, bytes]:
    """Its path, and what shells call it: the name the user knows it by, links and all; b"" if that has detours."""
    cwd = os.path.join(job_cwd, own_cwd) if own_cwd else job_cwd  # noqa: PTH118  the same, to the last slash
    if cwd_map:
        cwd = _mapped(cwd, *cwd_map)
    return cwd, os.fsencode(cwd) if os.path.normpath(cwd) == cwd else b""


def _mapped(cwd: str, start: str, place: str) -> str:
    """Where a directory of the submitting machine is on this node."""
    cwd = os.path.normpath(cwd)
    return place + cwd[len(start) :] if cwd == start or cwd.startswith(f"{start}/") else cwd


def _python_argv(claim: Claim, limits: RunnerLimits) -> list[str]:
    interpreter = claim.context.interpreter or sys.executable
    # Where the directory is another one, the submitting machine's Python is most likely elsewhere too, or nowhere.
    if limits.cwd_map and "/" in interpreter and not os.path.exists(interpreter):  # noqa: PTH110  a Path is slow
        interpreter = "python3"
    try:
        return argv(parse_python_command(claim.spec.command), interpreter)
    except BadPythonCommand as error:
        raise CannotExecute(NOT_EXECUTABLE, f"not a python command: {error}") from error


def _refusal(error: OSError) -> NodeRefused:
    return NodeRefused(f"The node cannot start one more process: {error.strerror}.", unchanged="The task waits.")
