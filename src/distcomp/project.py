"""A project, opened: its state folder, its settings, and the way to its store.

The one place that puts these together: commands, workers and the Python API all begin here.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from distcomp.config import Loaded, SettingsWatcher, load
from distcomp.errors import BadSetting, StoreUnavailable
from distcomp.settings import BY_NAME, Settings
from distcomp.statefolder import NAME as FOLDER_NAME
from distcomp.statefolder import StateFolder, find_state_folder, open_existing, open_or_create, removed

if TYPE_CHECKING:
    import redis

    from distcomp.store.server import EmbeddedServer, OnLoading
    from distcomp.store.store import Store


class Project:
    """Made by `open`. Safe for several threads; each needs a client or a store of its own.

    Args:
        folder: the state folder.
        flags: settings by name, above those of the file and of the environment.
        environment: variables; DISTCOMP_... are settings.
        on_loading: is told how far a starting store has read its data.

    Raises:
        BadInput: the settings cannot be used.
        BadSetting: a flag names no setting.
    """

    def __init__(
        self,
        folder: StateFolder,
        flags: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        on_loading: OnLoading | None = None,
    ) -> None:
        self.folder = folder
        self._flags = dict(flags or {})
        check_names(self._flags)
        self._environment = dict(os.environ if environment is None else environment)
        self._on_loading = on_loading
        self.settings: Settings = self.read_settings().settings
        self._clients: weakref.WeakSet[redis.Redis] = weakref.WeakSet()
        self._stores: weakref.WeakSet[Store] = weakref.WeakSet()
        self._is_made = True
        self._identity = self._look_for_folder()
        self._has_connected = self._is_checked = self._is_closed = False

    @classmethod
    def open(
        cls,
        path: Path | None = None,
        *,
        create: bool = False,
        flags: Mapping[str, object] | None = None,
        on_loading: OnLoading | None = None,
    ) -> Project:
        """The project at or above `path` (the current directory).

        Args:
            create: if there is none, make one in `path`, when it is first connected to or with `make`.
            flags: as above.
            on_loading: as above.

        Raises:
            StateFolderError: there is none, or it cannot be used.
            BadInput, BadSetting: the settings cannot be used.
        """
        start = path or Path.cwd()
        if create and find_state_folder(start) is None:
            project = cls(StateFolder(start.absolute() / FOLDER_NAME), flags, on_loading=on_loading)
            project._is_made = False
            return project
        return cls(open_or_create(start) if create else open_existing(start), flags, on_loading=on_loading)

    def make(self) -> None:
        """See that the state folder is there. StateFolderError: it cannot be made."""
        if not self._is_made:
            open_or_create(self.folder.project)
            self._is_made, self._identity = True, self._look_for_folder()

    def check_there(self) -> None:
        """See that the state folder is still the one that was opened, for who uses it for long.

        Raises:
            StateFolderError: it was removed.
        """
        if self._is_made and self._identity != self._look_for_folder():
            raise removed(self.folder.path)

    def _look_for_folder(self) -> tuple[int, int] | None:
        """Which folder it is; None: there is none."""
        try:
            found = self.folder.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    @property
    def name(self) -> str:
        """What keeps this project apart from others on the same store."""
        return self.settings.project

    def read_settings(self) -> Loaded:
        """The settings as they are now, in the file, the environment and the flags. BadInput: they cannot be used."""
        return load(self.folder.project, self._environment, self._flags, self.folder.first_name)

    def watcher(self) -> SettingsWatcher:
        """Notices changes of the settings file."""
        return SettingsWatcher(self.folder.project, self.read_settings)

    @cached_property
    def server(self) -> EmbeddedServer | None:
        """The project's own server; None if its store is elsewhere."""
        from distcomp.store.server import EmbeddedServer

        return None if self.settings.store else EmbeddedServer(self.folder, self.settings)

    def client(self) -> redis.Redis:
        """A new connection to the store, whose own server is started if need be.

        Raises:
            StoreUnavailable: no answer.
            StoreRefused: it will not serve us, or no server can be started.
            StateFolderError: the folder was removed, or cannot be used.
        """
        if self._is_closed:
            raise StoreUnavailable("The project was closed.")
        self.make()
        self.check_there()
        client = self.server.connect(self._on_loading) if self.server else self._connect()
        self._has_connected = True
        self._clients.add(client)
        return client

    def _connect(self) -> redis.Redis:
        from distcomp.store.address import connect, parse

        return connect(parse(self.settings.store, self._environment))

    def store(self) -> Store:
        """The project's data, over a new connection.

        Raises:
            StoreUnavailable, StoreRefused: as `client`; the data may also be of another version.
        """
        from distcomp.store.store import Store, StoreLimits

        limits = StoreLimits(lease_s=self.settings.lease_s, poison_nodes=self.settings.poison_after)
        client = self.client()
        store = Store(client, self.name, limits)
        # A client closes its connections when it is collected, so it must live as long as the store.
        weakref.finalize(store, client.close)
        self._stores.add(store)
        if not self._is_checked:
            store.check_schema()
            self._is_checked = True
        return store

    def close(self) -> None:
        """Close all connections, and turn the project's own server off if nobody else uses it."""
        self._is_closed = True
        for store in list(self._stores):
            store.close()
        for client in list(self._clients):
            client.close()
        # Who never used the server has no say in it.
        if self._has_connected and self.server:
            self.server.leave()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_names(flags: Mapping[str, object]) -> None:
    """See that flags name settings.

    Raises:
        BadSetting: one does not.
    """
    for name in flags:
        if name not in BY_NAME:
            from difflib import get_close_matches

            near = get_close_matches(name, BY_NAME, n=1)
            raise BadSetting(
                f"There is no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else "."),
                next_step="`distcomp config show` lists all settings.",
            )
