"""The project that a command is about."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from distcomp.errors import BadInput, BadSetting, Fault

if TYPE_CHECKING:
    from distcomp.api import Client
    from distcomp.project import Project
    from distcomp.store.server import LoadProgress


@contextmanager
def opened_project(*, create: bool = False, settings: Mapping[str, object] | None = None) -> Iterator[Project]:
    """The project at or above the current directory."""
    from distcomp.project import Project

    with Project.open(create=create, flags=settings, on_loading=_say_loading) as project:
        yield project


@contextmanager
def opened(*, create: bool = False, settings: Mapping[str, object] | None = None) -> Iterator[Client]:
    """A client of the project at or above the current directory."""
    from distcomp.api import Client

    with opened_project(create=create, settings=settings) as project:
        yield Client(project)


def parse_settings(texts: Iterable[str] | None, **named: object) -> dict[str, object]:
    """Settings from --set NAME=VALUE and from flags of their own; None was not given.

    Raises:
        BadInput: a text is not NAME=VALUE.
        BadSetting: there is no such setting.
    """
    from distcomp.project import check_names

    given = {name: value for name, value in named.items() if value is not None}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInput([Fault("--set", 0, 0, f"{text!r} is not NAME=VALUE, such as max_tasks=4")], unchanged="")
        given[name.strip().replace("-", "_")] = value
    check_names(given)
    return given


def environment_variables(texts: Iterable[str] | None) -> dict[str, str]:
    """Variables from --env NAME or --env NAME=VALUE.

    Raises:
        BadSetting: a NAME without a value is not set here.
    """
    variables = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not name:
            raise BadSetting(f"--env {text!r} has no name.")
        if not equals and name not in os.environ:
            raise BadSetting(f"--env {name}: it is not set here.", next_step=f"Give it a value: --env {name}=VALUE.")
        variables[name] = value if equals else os.environ[name]
    return variables


def _say_loading(progress: LoadProgress) -> None:
    if sys.stderr.isatty() and progress.total_bytes:
        percent = 100 * progress.loaded_bytes // progress.total_bytes
        print(f"\rthe store reads its data: {percent} % ", end="\r", file=sys.stderr, flush=True)
