"""The embedded store: a server in the state folder that runs while somebody needs it.

Any command that needs the store starts it; whoever leaves last turns it off, unless it is pinned. There is no
supervisor: a client that finds the server gone connects again, and so starts it. All changes of the server's
life happen under one lock (flock on `store/lock`), so a folder never has two servers.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from distcomp.clock import Clock, SystemClock
from distcomp.errors import StateFolderError, StoreRefused, StoreUnavailable
from distcomp.settings import Settings
from distcomp.statefolder import StateFolder
from distcomp.store import listening, server_process
from distcomp.store.address import SOCKET_TIMEOUT_S, Address, errors_of, is_listening, new_client
from distcomp.store.certificate import certificate_of
from distcomp.store.server_binary import find_binary, inspect_binary
from distcomp.store.server_process import ServerRecord

if TYPE_CHECKING:
    import redis

LOCK_NAME = "lock"
PIN_NAME = "pinned"

REPLY_PATIENCE_S = SOCKET_TIMEOUT_S
# A start takes some 20 ms; on a machine that swaps, or with its folder far away, a thousand times that.
START_PATIENCE_S = 30.0
END_PATIENCE_S = 1.0
# Until the last bytes are on disk.
STOP_PATIENCE_S = 60.0
# Whoever holds the lock starts or stops the server, so this must be longer than either.
LOCK_PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How much of its data a starting server has read."""

    loaded_bytes: int
    total_bytes: int
    left_s: float


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is known of the embedded server; zeros while it does not run."""

    is_running: bool
    is_pinned: bool
    is_loading: bool = False
    pid: int = 0
    product: str = ""
    version: str = ""
    uptime_s: int = 0
    clients: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0


OnLoading = Callable[[LoadProgress], None]


class EmbeddedServer:
    """The server of one state folder, as seen by one of the processes that use it."""

    def __init__(
        self, folder: StateFolder, settings: Settings, *, binary: Path | None = None, clock: Clock | None = None
    ) -> None:
        """Nothing is started yet.

        Args:
            folder: where its data is.
            settings: of these, `fsync`, `project`, `listen` and `listen_tls`.
            binary: the program to start, instead of the one that is found.
            clock: for how long to wait.
        """
        self._folder, self._store, self._fsync = folder, folder.store, settings.fsync
        self._project = settings.project
        self._listen, self._is_tls = settings.listen, settings.listen_tls == "yes"
        self._binary, self._clock = binary, clock or SystemClock()

    @property
    def address(self) -> Address:
        """Where the server is, when it runs.

        Raises:
            StateFolderError: the secret cannot be read.
        """
        return Address(socket_path=str(self._store / server_process.SOCKET_NAME), password=self._folder.secret())

    def connect(self, on_loading: OnLoading | None = None) -> redis.Redis:
        """A client whose connection stands, to the server, which is started if need be.

        The connection is made under the lock: nobody turns the server off between its start and our coming.

        Args:
            on_loading: is called every now and then while the server reads its data.

        Raises:
            StoreUnavailable: the server does not answer, or runs on another machine.
            StoreRefused: there is no server to start, it ends at once, or it has another password.
            StateFolderError: the folder cannot be used.
        """
        address = self.address
        with self._lock():
            client = self._reach(address)
            if client is None:
                client = self._start(address)
            server_process.rotate_log(self._store)
        try:
            self._wait_until_loaded(client, address, on_loading)
        except BaseException:
            client.close()
            raise
        return client

    def ensure_started(self, on_loading: OnLoading | None = None) -> Address:
        """Start the server if it does not run, and wait until it serves. For what does not stay: see `connect`.

        Raises:
            StoreUnavailable, StoreRefused, StateFolderError: as `connect`.
        """
        self.connect(on_loading).close()
        return self.address

    def open_to_network(self) -> str:
        """See that workers of other machines can come, as the setting `listen` says; their URL, without password.

        Raises:
            StoreRefused: the server cannot listen there.
            StoreUnavailable, StateFolderError: as `connect`.
        """
        address, opening = self.address, self._opening()
        assert opening
        with self.connect() as client, errors_of(address):
            listening.open_running(client, opening, self._folder.secret())
        return opening.url

    def _opening(self) -> listening.Opening | None:
        if not self._listen:
            return None
        host, port = self._listen
        return listening.Opening(self._project, host, port, certificate_of(self._store, host) if self._is_tls else None)

    def leave(self) -> bool:
        """Turn the server off if nobody else uses it and it is not pinned; whether it was turned off.

        Close your own clients first. Never fails: there is nothing more to do for one who goes.
        """
        if not self._store.is_dir():
            return server_process.end_orphans(self._store, self._wait_until)
        with suppress(StateFolderError, StoreUnavailable, StoreRefused), self._lock():
            if self._is_pinned():
                return False
            address = self.address
            client = self._reach(address)
            if client is None:
                return False
            with client:
                return self._is_alone(client, address) and self._shut_down(client)
        return False

    def stop(self) -> bool:
        """Turn the server off, whoever uses it, and unpin it; whether it was running.

        Raises:
            StoreUnavailable: it cannot be stopped from here, or not at all.
        """
        with self._lock():
            (self._store / PIN_NAME).unlink(missing_ok=True)
            try:
                client = self._reach(self.address)
            except (StoreRefused, StoreUnavailable):
                return self._kill()
            if client is None:
                return self._kill()
            with client:
                return self._shut_down(client)

    def pin(self) -> None:
        """Keep the server running when nobody uses it. Does not start it."""
        with self._lock():
            (self._store / PIN_NAME).touch(mode=0o600)

    def unpin(self) -> None:
        """Let the last one who leaves turn the server off."""
        with self._lock():
            (self._store / PIN_NAME).unlink(missing_ok=True)

    def status(self) -> ServerStatus:
        """How the server is. Starts nothing.

        Raises:
            StoreUnavailable: it runs, but does not answer.
            StoreRefused: it has another password.
        """
        address = self.address
        disk_bytes = sum(path.stat().st_size for path in self._store.rglob("*") if path.is_file())
        client = self._reach(address)
        if client is None:
            return ServerStatus(is_running=False, is_pinned=self._is_pinned(), disk_bytes=disk_bytes)
        with client, errors_of(address):
            facts = client.info()
        return ServerStatus(
            is_running=True,
            is_pinned=self._is_pinned(),
            is_loading=bool(facts["loading"]),
            pid=facts["process_id"],
            product="Valkey" if "valkey_version" in facts else "Redis",
            version=str(facts.get("valkey_version", facts["redis_version"])),
            uptime_s=facts["uptime_in_seconds"],
            clients=facts["connected_clients"] - 1,
            memory_bytes=facts["used_memory"],
            disk_bytes=disk_bytes,
        )

    def _reach(self, address: Address) -> redis.Redis | None:
        """A connected client, perhaps of a server that still loads; None if nobody listens."""
        if not is_listening(address):
            return None
        client = new_client(address, socket_timeout_s=REPLY_PATIENCE_S)
        try:
            with errors_of(address):
                client.info("persistence")  # unlike PING, answered while loading
        except StoreRefused as error:
            client.close()
            raise StoreRefused(
                f"The store's server does not take the password in {self._folder.secret_file}.",
                next_step="Stop the server, which was started with another one: `distcomp server stop`.",
            ) from error
        except StoreUnavailable:
            client.close()
            # One that is ending listens for a moment longer than it lives.
            if self._wait_until(lambda: not is_listening(address), END_PATIENCE_S):
                return None
            raise
        return client

    def _start(self, address: Address) -> redis.Redis:
        record = server_process.read_record(self._store)
        if record is None or not self._lives(record):
            record = self._spawn(record)
        # If it lives, whoever started it was killed before it listened; or it hangs.
        started = record
        if not self._wait_until(lambda: is_listening(address) or not self._lives(started), START_PATIENCE_S):
            raise StoreUnavailable(
                f"The store's server (pid {record.pid}) does not listen after {START_PATIENCE_S:.0f} s.",
                next_step=f"Try again, or stop it: `distcomp server stop`. Its log: {self._log}",
            )
        client = self._reach(address)
        if client is None:
            raise self._ended()
        return client

    def _spawn(self, record: ServerRecord | None) -> ServerRecord:
        if record is not None:
            self._check_place(record)
        server_process.end_orphans(self._store, self._wait_until)
        opening = self._opening()
        is_tls = opening is not None and opening.certificate is not None
        binary = inspect_binary(self._binary) if self._binary else find_binary(with_tls=is_tls)
        try:
            server_process.rotate_log(self._store)
            server_process.write_config(self._store, binary, self._folder.secret(), self._fsync, opening)
            return server_process.start(self._store, binary)
        except OSError as error:
            raise StateFolderError(
                f"The store in {self._store} cannot be started: {error.strerror or error}.",
                unchanged="What it holds is as it was.",
                next_step="Check the folder's permissions and the free space of its disk.",
            ) from error

    def _check_place(self, record: ServerRecord) -> None:
        if server_process.runs_elsewhere(record, self._store):
            raise StoreUnavailable(
                f"The store in {self._store} is in use by its server on {record.host} (pid {record.pid}).",
                unchanged="Nothing was started or stopped here: two servers would destroy the data.",
                next_step=f"Work on {record.host}. If it is down, remove {self._store / server_process.PID_NAME}.",
            )

    def _wait_until_loaded(self, client: redis.Redis, address: Address, on_loading: OnLoading | None) -> None:
        """For as long as it takes: a server that loads says so, and one that ends is noticed."""
        while True:
            try:
                with errors_of(address):
                    facts = client.info("persistence")
            except StoreUnavailable as error:
                if is_listening(address):
                    raise
                raise self._ended() from error
            if not facts["loading"]:
                return
            if on_loading:
                on_loading(_progress(facts))
            sleep(0.05)

    def _is_alone(self, client: redis.Redis, address: Address) -> bool:
        with errors_of(address):
            return all(int(other["id"]) == client.client_id() for other in client.client_list())

    def _shut_down(self, client: redis.Redis) -> bool:
        from redis.exceptions import RedisError

        address, record = self.address, server_process.read_record(self._store)
        with suppress(RedisError):  # a server that cannot obey is told by signal
            client.shutdown()
        if record is None or record.realm != server_process.this_realm():
            if not self._wait_until(lambda: not is_listening(address), STOP_PATIENCE_S):
                raise StoreUnavailable(f"The store at {address} does not stop.", next_step=f"Its log: {self._log}")
        elif not self._wait_until(lambda: not self._lives(record), STOP_PATIENCE_S):
            self._kill()
        (self._store / server_process.PID_NAME).unlink(missing_ok=True)
        return True

    def _kill(self) -> bool:
        record = server_process.read_record(self._store)
        if record is None:
            return False
        self._check_place(record)
        if not self._lives(record):
            return False
        server_process.kill(record, self._store, self._wait_until)
        if self._lives(record):
            raise StoreUnavailable(f"The store's server (pid {record.pid}) cannot be killed.")
        (self._store / server_process.PID_NAME).unlink(missing_ok=True)
        return True

    def _lives(self, record: ServerRecord) -> bool:
        return record.realm == server_process.this_realm() and server_process.is_alive(record, self._store)

    def _is_pinned(self) -> bool:
        return (self._store / PIN_NAME).exists()

    @property
    def _log(self) -> Path:
        return self._store / server_process.LOG_NAME

    def _ended(self) -> StoreRefused:
        return StoreRefused(
            "The store's server ended while it started.",
            unchanged="The data was left as it is.",
            next_step=f"Its log, {self._log}, ends with:\n{server_process.last_words(self._store)}",
        )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            lock = os.open(self._store / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateFolderError(f"{self._store} cannot be written: {error.strerror}.") from error
        try:
            if not self._wait_until(lambda: _try_lock(lock), LOCK_PATIENCE_S):
                raise StoreUnavailable(f"Another command has held {self._store / LOCK_NAME} for a long time.")
            yield
        finally:
            os.close(lock)

    def _wait_until(self, condition: Callable[[], bool], patience_s: float) -> bool:
        """Whether it came true. Looks often at first: what is waited for is mostly a matter of milliseconds."""
        give_up_s, pause_s = self._clock.monotonic_s() + patience_s, 0.001
        while not condition():
            if self._clock.monotonic_s() > give_up_s:
                return False
            sleep(pause_s)
            pause_s = min(2 * pause_s, 0.05)
        return True


def _progress(persistence: dict[str, Any]) -> LoadProgress:
    return LoadProgress(
        loaded_bytes=persistence.get("loading_loaded_bytes", 0),
        total_bytes=persistence.get("loading_total_bytes", 0),
        left_s=persistence.get("loading_eta_seconds", 0),
    )


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StateFolderError(f"The state folder's file system cannot lock files: {error.strerror}.") from error
    return True
