"""The state folder `.distcomp`: where it is, how it is made, and what lies where in it.

A project has one, found upwards from the current directory as git finds `.git`. It appears with all its
content in one rename, so nobody ever sees half of it, however many commands make it at once.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from distcomp import __version__
from distcomp.errors import StateFolderError

NAME = ".distcomp"
SETTINGS_NAME = "distcomp.toml"

FORMAT = 1
"""Number of the folder's layout and of the store's data model; another one is refused."""


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """What one node's worker keeps: several nodes may share a state folder over a network file system."""

    path: Path

    @property
    def lock_file(self) -> Path:
        """Held by flock as long as a worker of this node lives."""
        return self.path / "worker.lock"

    @property
    def slots_file(self) -> Path:
        """Which attempts run, so that the next worker finds what a killed one left."""
        return self.path / "slots"

    @property
    def spool(self) -> Path:
        """Outcomes that the store does not have yet."""
        return self.path / "spool"

    @property
    def log_file(self) -> Path:
        """What the worker has to say."""
        return self.path / "worker.log"

    @property
    def output(self) -> Path:
        """What attempts printed."""
        return self.path / "output"

    def create(self) -> None:
        """Make the folder and those in it, unless they are there.

        Raises:
            StateFolderError: the disk is full, or the folder may not be written.
        """
        try:
            for folder in (self.path.parent, self.path, self.spool, self.output):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _cannot_write(self.path, error) from error


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths in a state folder, given by its own path (which ends in `.distcomp`)."""

    path: Path

    @property
    def project(self) -> Path:
        """The directory whose state this is."""
        return self.path.parent

    @property
    def settings_file(self) -> Path:
        """`distcomp.toml`, beside the folder because people edit it and may keep it in git. Optional."""
        return self.project / SETTINGS_NAME

    @property
    def version_file(self) -> Path:
        """First line: the format's number. Second line: who wrote it."""
        return self.path / "version"

    @property
    def name_file(self) -> Path:
        """What the project's directory was called when the folder was made."""
        return self.path / "name"

    @property
    def first_name(self) -> str:
        """What `name_file` holds; "" if it is not there. The directory may be called something else by now."""
        try:
            return self.name_file.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n")
        except OSError:
            return ""

    @property
    def secret_file(self) -> Path:
        """The embedded store's password, 0600."""
        return self.path / "secret"

    @property
    def store(self) -> Path:
        """Everything of the embedded store."""
        return self.path / "store"

    @property
    def nodes(self) -> Path:
        """A folder per node."""
        return self.path / "nodes"

    @property
    def cluster(self) -> Path:
        """What is known of nodes that are reached over ssh."""
        return self.path / "cluster"

    def node(self, name: str) -> NodeFolder:
        """The folder of one node. It need not exist yet.

        Raises:
            ValueError: the name cannot be that of one folder.
        """
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"{name!r} cannot name a node's folder")
        return NodeFolder(self.nodes / name)

    def secret(self) -> str:
        """The embedded store's password. Shuts the file to others first, should it have been opened to them.

        Raises:
            StateFolderError: it cannot be read.
        """
        try:
            if self.secret_file.stat().st_mode & 0o077:
                self.secret_file.chmod(0o600)
            secret = self.secret_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _cannot_read(self.secret_file, error) from error
        if not secret:
            raise StateFolderError(f"{self.secret_file} is empty.", next_step=_MOVE_AWAY)
        return secret


def removed(path: Path) -> StateFolderError:
    """The error for a state folder that was there a moment ago."""
    return StateFolderError(
        f"{path} was removed while it was in use.",
        unchanged="Its tasks and results are gone with it, and what ran was ended.",
        next_step="The same command begins anew.",
    )


_MOVE_AWAY = f"Move the {NAME} folder away to start afresh, or bring it back from a backup."


def find_state_folder(start: Path) -> StateFolder | None:
    """The nearest state folder at or above `start`, or None. It is not opened: see `open_existing`."""
    start = Path(os.path.abspath(start))  # noqa: PTH100 - resolve() would leave the directory the user thinks in
    for directory in (start, *start.parents):
        # os.path, not pathlib: it says no, instead of raising, for a directory that may not be looked into.
        if directory.name == NAME and os.path.isfile(directory / "version"):  # noqa: PTH113
            return StateFolder(directory)
        if os.path.isdir(directory / NAME):  # noqa: PTH112
            return StateFolder(directory / NAME)
    return None


def open_existing(start: Path) -> StateFolder:
    """The state folder at or above `start`, checked.

    Raises:
        StateFolderError: there is none, it is another user's, of another format, or may not be written.
    """
    folder = find_state_folder(start)
    if folder is None:
        raise StateFolderError(
            f"There is no {NAME} folder in {start} or above it.",
            next_step="Go to the directory where you ran `distcomp run` or `distcomp submit`, or run it here.",
        )
    _check(folder)
    return folder


def create(project: Path) -> StateFolder:
    """Make the state folder of the directory `project`; one that another command made meanwhile is as good.

    Raises:
        StateFolderError: the directory lies in another project, or cannot be written.
    """
    project = Path(os.path.abspath(project))  # noqa: PTH100 - as in find_state_folder
    folder = StateFolder(project / NAME)
    above = find_state_folder(project)
    if above is not None and above != folder:
        raise StateFolderError(
            f"{project} belongs to the project of {above.path}.",
            unchanged="Nothing was made.",
            next_step="Work in that project, or move its folder away.",
        )
    try:
        _create_in_one_step(folder)
    except OSError as error:
        raise _cannot_write(project, error) from error
    _check(folder)
    return folder


def open_or_create(start: Path) -> StateFolder:
    """The state folder at or above `start`, or a new one in `start`.

    Raises:
        StateFolderError: as `open_existing` and `create`.
    """
    folder = find_state_folder(start)
    if folder is None:
        return create(start)
    if not folder.version_file.exists() and not any(folder.path.iterdir()):
        return create(folder.project)  # an empty directory of that name is no state folder yet
    return open_existing(start)


def _create_in_one_step(folder: StateFolder) -> None:
    """Fill a folder under another name, then rename it. Whoever is first wins; the others' work is removed."""
    if folder.version_file.exists():
        return
    draft = StateFolder(Path(tempfile.mkdtemp(prefix=f"{NAME}.new-", dir=folder.project)))
    try:
        _fill(draft, folder.project.name)
        try:
            draft.path.rename(folder.path)
        except OSError:
            # A directory cannot replace one that has content. If it is a state folder, all is well.
            if not folder.version_file.exists():
                raise
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)


def _fill(folder: StateFolder, name: str) -> None:
    folder.store.mkdir(mode=0o700)
    folder.nodes.mkdir(mode=0o700)
    _write_new(folder.secret_file, secrets.token_hex(32) + "\n", 0o600)
    _write_new(folder.version_file, f"{FORMAT}\nwritten by distcomp {__version__}\n", 0o644)
    _write_new(folder.name_file, f"{name}\n", 0o644)
    # Holds a password and gigabytes of data: it must not end up in a repository by accident.
    _write_new(folder.path / ".gitignore", "*\n", 0o644)


def _write_new(path: Path, text: str, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(os.fsencode(text))
        file.flush()
        os.fsync(file.fileno())


def _check(folder: StateFolder) -> None:
    _check_owner(folder.path)
    _check_format(folder)
    if not os.access(folder.path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise StateFolderError(
            f"{folder.path} cannot be written.",
            next_step="Check its permissions, and that the file system is not mounted read-only.",
        )


def _check_owner(path: Path) -> None:
    """Whoever owns the folder chooses what runs in its projects: never use a stranger's. Root may use any."""
    try:
        owner = path.stat().st_uid
    except OSError as error:
        raise _cannot_read(path, error) from error
    if owner != os.geteuid() != 0:
        raise StateFolderError(
            f"{path} belongs to another user (uid {owner}).",
            unchanged="Nothing in it was used.",
            next_step="Work in a directory of your own.",
        )


def _check_format(folder: StateFolder) -> None:
    try:
        lines = folder.version_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError as error:
        raise StateFolderError(
            f"{folder.path} is not a state folder of distcomp: it has no version file.", next_step=_MOVE_AWAY
        ) from error
    except OSError as error:
        raise _cannot_read(folder.version_file, error) from error
    number, writer = ([*lines, "", ""])[:2]
    if number.strip() == str(FORMAT):
        return
    raise StateFolderError(
        f"{folder.path} has format {number.strip()!r}{f', {writer}' if writer else ''};"
        f" distcomp {__version__} reads format {FORMAT}.",
        unchanged="Nothing in it was changed.",
        next_step="Use the version that wrote it, or move the folder away to start afresh.",
    )


def _cannot_write(path: Path, error: OSError) -> StateFolderError:
    return StateFolderError(
        f"{path} cannot be written: {error.strerror or error}.",
        next_step="Check its permissions and the free space, or work in another directory.",
    )


def _cannot_read(path: Path, error: Exception) -> StateFolderError:
    return StateFolderError(f"{path} cannot be read: {error}.", next_step="Check its permissions.")
