"""Reads the settings: defaults < `distcomp.toml` < environment < flags. Every fault is found in one go.

`retries` in the file is `DISTCOMP_RETRIES` in the environment and `--retries` as a flag.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from distcomp.errors import BadInput, Fault
from distcomp.settings import BY_NAME, DEFAULTS, SETTINGS, Applies, Settings

FILE_NAME = "distcomp.toml"
ENVIRONMENT_PREFIX = "DISTCOMP_"

# Ours, but no settings: what an attempt is told of itself, and a password that no file should hold.
_OTHER_VARIABLES = {"TASK_ID", "ATTEMPT", "WORKER", "JOB", "STORE_PASSWORD"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and by setting's name where each value came from: "default", "distcomp.toml:3", "--retries"."""

    settings: Settings
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting for `distcomp config show`; the value as people write it, without passwords."""

    name: str
    value: str
    source: str
    meaning: str
    applies: Applies


def show(loaded: Loaded) -> list[Shown]:
    """All settings, in their usual order."""
    return [
        Shown(
            name=setting.name,
            value=setting.kind.format(getattr(loaded.settings, setting.field)),
            source=loaded.sources[setting.name],
            meaning=setting.meaning,
            applies=setting.applies,
        )
        for setting in SETTINGS
    ]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one place says about one setting, not yet checked. `place` lacks only what is wrong there."""

    name: str
    raw: object
    place: Fault
    source: str


def load(folder: Path, environment: Mapping[str, str], flags: Mapping[str, object], first_name: str = "") -> Loaded:
    """Settings of the project in `folder`, which holds `distcomp.toml`, if there is one.

    Args:
        folder: the project's directory.
        environment: variables; those that begin with DISTCOMP_ are looked at.
        flags: by name; a flag that is None was not given.
        first_name: what the directory was called when the project began; "": what it is called now.

    Raises:
        BadInput: with every fault in every place. Nothing is taken over from a place with faults.
    """
    faults: list[Fault] = []
    values: dict[str, Any] = msgspec.structs.asdict(DEFAULTS)
    sources = dict.fromkeys(BY_NAME, "default")
    for entry in (*_file_entries(folder / FILE_NAME, faults), *_variables(environment, faults), *_flags(flags)):
        setting = BY_NAME[entry.name]
        try:
            values[setting.field] = setting.kind.parse(_text_of(entry.raw))
        except ValueError as error:
            faults.append(_fault(entry.place, f"{entry.name}: {error}"))
        sources[entry.name] = entry.source
    if faults:
        raise BadInput(faults, unchanged="", next_step="`distcomp config show` lists all settings.")
    values["project"] = values["project"] or _project_name(folder, first_name)
    return Loaded(Settings(**values), sources)


def _file_entries(path: Path, faults: list[Fault]) -> Iterable[_Entry]:
    try:
        text = path.read_bytes().decode()
        table = tomllib.loads(text)
    except FileNotFoundError:
        return
    except OSError as error:
        faults.append(Fault(str(path), 0, 0, f"cannot be read: {error.strerror}"))
        return
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        faults.append(Fault(str(path), line, 0, "is not UTF-8 text"))
        return
    except tomllib.TOMLDecodeError as error:
        faults.append(_syntax_fault(path, text, str(error)))
        return
    for name, raw in table.items():
        line, key_column, value_column = _find_key(text, name)
        if name in BY_NAME:
            place = Fault(str(path), line, value_column, "")
            yield _Entry(name, raw, place, f"{path.name}:{line}" if line else path.name)
        else:
            faults.append(Fault(str(path), line, key_column, _unknown(name, _nearest(name, 0.6))))


def _variables(environment: Mapping[str, str], faults: list[Fault]) -> Iterable[_Entry]:
    """Variables that set something. An unknown one is a fault only where it looks like a slip of the pen.

    Anybody may have variables of their own that begin with DISTCOMP_.
    """
    for variable in sorted(environment):
        suffix = variable.removeprefix(ENVIRONMENT_PREFIX)
        if suffix == variable or suffix in _OTHER_VARIABLES:
            continue
        place = Fault(f"environment variable {variable}", 0, 0, "")
        if suffix.isupper() and suffix.lower() in BY_NAME:
            yield _Entry(suffix.lower(), environment[variable], place, variable)
        elif nearest := _nearest(suffix.lower(), 0.75):
            faults.append(_fault(place, _unknown(variable, ENVIRONMENT_PREFIX + nearest.upper())))


def _flags(flags: Mapping[str, object]) -> Iterable[_Entry]:
    for name, raw in flags.items():
        if raw is not None:
            yield _Entry(name, raw, Fault("as given", 0, 0, ""), "as given")


def _text_of(raw: object) -> str:
    """TOML's strings and numbers as text; the kinds read text only, the same wherever it comes from."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(f"must be text or a number, not {type(raw).__name__} {raw!r:.40}")
    return str(raw).strip()


def _fault(place: Fault, what: str) -> Fault:
    return Fault(place.file, place.line, place.column, what)


def _unknown(name: str, nearest: str) -> str:
    return f"unknown setting {name!r}" + (f"; did you mean {nearest!r}?" if nearest else "")


def _nearest(name: str, likeness: float) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, BY_NAME, n=1, cutoff=likeness)), "")


def _find_key(text: str, name: str) -> tuple[int, int, int]:
    """Line, column of a top-level key and column of its value; zeros if it is written in an unusual way.

    tomllib does not say where a value stood.
    """
    quoted = rf"""(?P<key>{re.escape(name)}|"{re.escape(name)}"|'{re.escape(name)}')"""
    pattern = re.compile(rf"\s*(?:\[+\s*)?{quoted}\s*(?:=\s*|\.|\])")
    for number, line in enumerate(text.splitlines(), start=1):
        if match := pattern.match(line):
            return number, match.start("key") + 1, match.end() + 1
    return 0, 0, 0


def _syntax_fault(path: Path, text: str, message: str) -> Fault:
    what, _, position = message.rpartition(" (at ")
    match = re.match(r"line (\d+), column (\d+)\)", position)
    line, column = (int(match[1]), int(match[2])) if match else (len(text.splitlines()), 0)
    return Fault(str(path), line, column, f"not TOML: {what or message}")


def _project_name(folder: Path, first_name: str) -> str:
    # The first, as its tasks are in the store under that. A symlink's own name is the one people know.
    name = first_name or Path(os.path.abspath(folder)).name  # noqa: PTH100
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:64] or "project"


@dataclass(frozen=True, slots=True)
class Changed:
    """The file has changed. `settings` has the new values of `now`; those of `later` wait for a restart.

    What is used only when tasks are submitted is in neither: nothing that runs has to do with it.
    """

    settings: Settings
    now: tuple[str, ...]
    later: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The file has changed and cannot be used; the settings stay as they were."""

    error: BadInput


class SettingsWatcher:
    """Notices that the settings file changed, for the price of one stat."""

    def __init__(self, folder: Path, read: Callable[[], Loaded]) -> None:
        """Read the settings for the first time.

        Args:
            folder: as for `load`.
            read: calls `load` with the environment and flags that the program was started with.

        Raises:
            BadInput: they cannot be used.
        """
        self._file, self._read = folder / FILE_NAME, read
        self._seen = self._look()
        self._loaded = read()
        self.settings = self._loaded.settings
        """The settings in force."""

    def check(self) -> Changed | Rejected | None:
        """What happened since the last check; each event is told once. For about once a second."""
        seen = self._look()
        if seen == self._seen:
            return None
        # Looked before reading: if the file changes in between, the next check reads it again.
        self._seen = seen
        try:
            loaded = self._read()
        except BadInput as error:
            return Rejected(error)
        return self._take_over(loaded)

    def _take_over(self, loaded: Loaded) -> Changed | None:
        before, self._loaded = self._loaded.settings, loaded
        changed = [s for s in SETTINGS if getattr(loaded.settings, s.field) != getattr(before, s.field)]
        now = [setting for setting in changed if setting.applies is Applies.NOW]
        later = [setting for setting in changed if setting.applies in (Applies.WORKER, Applies.STORE)]
        if not now and not later:
            return None
        live = {setting.field: getattr(loaded.settings, setting.field) for setting in now}
        self.settings = msgspec.structs.replace(self.settings, **live)
        return Changed(self.settings, tuple(s.name for s in now), tuple(s.name for s in later))

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
