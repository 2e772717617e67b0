"""`distcomp config`: the settings, and where they come from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from distcomp.cli import render
from distcomp.cli.commands import LightCommand, LightGroup, new_app
from distcomp.cli.options import AsJson

if TYPE_CHECKING:
    from distcomp.config import Loaded, Shown
    from distcomp.statefolder import StateFolder

config = new_app(cls=LightGroup, invoke_without_command=True)


@config.callback()
def _config(ctx: typer.Context) -> None:
    """The settings: defaults, then distcomp.toml, then DISTCOMP_... variables, then flags."""
    if ctx.invoked_subcommand is None:
        show()


@config.command(cls=LightCommand)
def show(as_json: AsJson = False) -> None:
    """Show all settings: value, where it comes from, meaning."""
    from distcomp.config import show as shown

    render.show_all(shown(_loaded()), as_json, _lines)


@config.command(cls=LightCommand)
def check() -> None:
    """Check distcomp.toml and the DISTCOMP_... variables; every fault is listed."""
    loaded = _loaded()
    changed = sum(1 for source in loaded.sources.values() if source != "default")
    file = _folder().settings_file
    where = str(file) if file.exists() else f"no {file}"
    differ = "1 differs from its default" if changed == 1 else f"{changed} differ from their defaults"
    print(f"the settings are fine: {differ} ({where})")


def _folder() -> StateFolder:
    """The project's, or what would be one here: the settings can be looked at before there is a project."""
    from distcomp.statefolder import NAME, StateFolder, find_state_folder

    return find_state_folder(Path.cwd()) or StateFolder(Path.cwd() / NAME)


def _loaded() -> Loaded:
    from distcomp.config import load

    folder = _folder()
    return load(folder.project, os.environ, {}, folder.first_name)


def _lines(settings: Iterable[Shown]) -> Iterable[str]:
    rows = [
        (
            setting.name,
            (setting.value or '""', "" if setting.source == "default" else "bold"),
            (setting.source, "dim" if setting.source == "default" else "green"),
            setting.meaning,
        )
        for setting in settings
    ]
    return render.table(("setting", "value", "from", "meaning"), rows)
