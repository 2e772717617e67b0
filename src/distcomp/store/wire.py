"""One connection to the store: calls scripts and commands, several in one round trip, and translates errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distcomp.errors import StoreRefused, StoreUnavailable
from distcomp.store.address import is_about_certificates
from distcomp.store.keys import prefix
from distcomp.store.scripts import script, script_names

if TYPE_CHECKING:
    import redis

Argument = bytes | str | int | float
Command = tuple[Argument, ...]
_MISSING = object()
# Not only at the start: Redis 6.2 puts what a script's command answered into a message of its own.
_TEMPORARY = re.compile(r"\b(MISCONF|LOADING|READONLY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|BUSY|OOM)\b")


class Wire:
    """Not thread-safe: each thread has its own.

    Args:
        client: where to get a connection from; its own retries should be off.
        project: whose keys these are.
    """

    def __init__(self, client: redis.Redis, project: str) -> None:
        self._pool: Any = client.connection_pool
        self._connection: Any = None
        self.prefix = prefix(project)

    def close(self) -> None:
        """Give the connection up. The next call makes a new one."""
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None

    def key(self, name: str, suffix: str | bytes = b"") -> bytes:
        """A full key name, the way the server knows it."""
        tail = suffix.encode() if isinstance(suffix, str) else suffix
        return self.prefix.encode() + name.encode() + (b":" + tail if tail else b"")

    def run_script(self, name: str, *args: Argument) -> Any:
        """Run one transition and return its reply."""
        return self.exchange([self.script_command(name, args)])[0]

    def command(self, *args: Argument) -> Any:
        """Run one plain command and return its reply."""
        return self.exchange([args])[0]

    def script_command(self, name: str, args: Sequence[Argument]) -> Command:
        """A transition as a command, for `exchange` and `send`."""
        return (b"EVALSHA", script(name).sha, 1, self.prefix, *args)

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send several commands at once, and return their replies, in one round trip.

        Raises:
            StoreUnavailable: no answer, or the server cannot serve now. Some may have been carried out.
        """
        self.send(commands)
        replies = [self._receive_or_missing() for _ in commands]
        for index, reply in enumerate(replies):
            # A server that was restarted does not know the scripts: it gets the source, and keeps it.
            if reply is _MISSING:
                name = next(name for name in script_names() if script(name).sha == commands[index][1])
                self.send([(b"EVAL", script(name).source, *commands[index][2:])])
                replies[index] = self.receive()
        return replies

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands without waiting. Each is to be followed by one `receive`, in the same order."""
        with self._translated():
            if self._connection is None:
                self._connection = self._pool.get_connection()
            packed: list[bytes] = []
            for command in commands:
                packed += self._connection.pack_command(*command)
            self._connection.send_packed_command(packed, check_health=False)

    def receive(self) -> Any:
        """The reply to the oldest command not yet answered. Its script must have been loaded."""
        reply = self._receive_or_missing()
        if reply is _MISSING:
            self.close()
            raise StoreUnavailable("The store lost the scripts.")
        return reply

    def _receive_or_missing(self) -> Any:
        from redis.exceptions import NoScriptError, ResponseError

        with self._translated():
            try:
                reply = self._connection.read_response()
            except NoScriptError:
                return _MISSING
            if isinstance(reply, ResponseError):
                raise reply
            return reply

    def load_scripts(self, *names: str) -> None:
        """Make sure that the server knows these scripts."""
        for name in names:
            self.command(b"SCRIPT", b"LOAD", script(name).source)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from redis import exceptions

        try:
            yield
        except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
            self.close()
            raise StoreRefused(f"The store refuses us: {_said(error)}.", next_step="Check the password.") from error
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            self.close()
            if is_about_certificates(error):
                raise StoreRefused(f"The store cannot prove that it is the store: {_said(error)}.") from error
            raise StoreUnavailable(f"The store does not answer: {_said(error)}.") from error
        except exceptions.ResponseError as error:
            self.close()
            if _TEMPORARY.search(str(error)):
                raise StoreUnavailable(f"The store cannot serve now: {_said(error)}.") from error
            raise StoreRefused(f"The store answered: {_said(error)}.") from error


def _said(error: Exception) -> str:
    # Its own text is a dump of connections.
    if type(error).__name__ == "MasterNotFoundError":
        return "no Sentinel that answers knows a primary that is up"
    return str(error).rstrip(".")
