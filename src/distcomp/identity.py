"""A task's identity: a hash of what it does, so that submitting it again finds it again.

What counts: type, command, working directory, declared environment, and which copy it is. What does not: priority,
memory, retries and all else that may change between two submissions of the same work.
The bytes hashed are a format: changing them makes every known task a new one.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Mapping

from distcomp.model import JobContext, TaskSpec, TaskType

DIGEST_BYTES = 8

_FORMAT = "distcomp task 1"
# Sweeps have few directories and environments; a file that gives each task its own must not fill the memory.
_MAX_REMEMBERED = 1024


def task_id(spec: TaskSpec, context: JobContext) -> str:
    """The task's id: 16 lower-case hex digits."""
    return Identifier(context).digest(spec).hex()


class Identifier:
    """Digests of the tasks of one job. What tasks share is hashed once: a plain task costs half a microsecond."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._shell = self._start(TaskType.SHELL, context.cwd, context.env, 0)
        self._python = self._start(TaskType.PYTHON, context.cwd, context.env, 0)
        self._others: dict[object, hashlib.blake2b] = {}

    def digest(self, spec: TaskSpec) -> bytes:
        """The task's 8 bytes, same on every platform and in every version.

        Raises:
            UnicodeEncodeError: a text holds surrogates that stand for no byte.
        """
        if spec.cwd is None and spec.env is None and not spec.copy:
            shared = self._shell if spec.type is TaskType.SHELL else self._python
        else:
            shared = self._other(spec)
        hasher = shared.copy()
        hasher.update(spec.command.encode("utf-8", "surrogateescape"))
        return hasher.digest()

    def digests(self, task_type: TaskType, commands: Iterable[bytes]) -> list[bytes]:
        """As `digest`, for many tasks that have a command and nothing else that counts: a third cheaper."""
        copy = (self._shell if task_type is TaskType.SHELL else self._python).copy
        digests = []
        for command in commands:
            hasher = copy()
            hasher.update(command)
            digests.append(hasher.digest())
        return digests

    def _other(self, spec: TaskSpec) -> hashlib.blake2b:
        env = None if spec.env is None else tuple(sorted(spec.env.items()))
        key = (spec.type, spec.cwd, env, spec.copy)
        shared = self._others.get(key)
        if shared is None:
            # A relative directory is one below the job's. Not normalised: "a/../b" may differ from "b" by a link.
            cwd = posixpath.join(self._context.cwd, spec.cwd or "") if spec.cwd else self._context.cwd
            shared = self._start(spec.type, cwd, {**self._context.env, **(spec.env or {})}, spec.copy)
            if len(self._others) >= _MAX_REMEMBERED:
                self._others.clear()
            self._others[key] = shared
        return shared

    @staticmethod
    def _start(task_type: TaskType, cwd: str, env: Mapping[str, str], copy: int) -> hashlib.blake2b:
        """A hasher that has taken in all but the command, as the key of a keyed hash."""
        variables = [text for name in sorted(env) for text in (name, env[name])]
        shared = _length_prefixed([_FORMAT, task_type.value, cwd, str(copy), *variables])
        key = hashlib.blake2b(shared, digest_size=32).digest()
        return hashlib.blake2b(digest_size=DIGEST_BYTES, key=key)


def _length_prefixed(texts: Iterable[str]) -> bytes:
    """The texts as bytes, each after its length, so that no two lists give the same bytes."""
    parts = [text.encode("utf-8", "surrogateescape") for text in texts]
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)
