"""`distcomp server`: the project's own store, when it is wanted apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from distcomp.cli import render
from distcomp.cli.commands import LightCommand, LightGroup, new_app
from distcomp.cli.opening import opened_project, parse_settings
from distcomp.cli.options import AsJson, SetSetting
from distcomp.errors import DistcompError
from distcomp.settings import redact

if TYPE_CHECKING:
    from distcomp.store.server import EmbeddedServer, ServerStatus

server = new_app(cls=LightGroup, no_args_is_help=True)


@server.callback()
def _server() -> None:
    """The project's own store. Commands start it when they need it, and the last one stops it."""


@server.command(cls=LightCommand)
def start(set_: SetSetting = None) -> None:
    """Start the store, and keep it running until `distcomp server stop`."""
    with _own_server(create=True, settings=parse_settings(set_)) as own:
        own.pin()
        own.ensure_started()
        print(f"the store runs (pid {own.status().pid}) until `distcomp server stop`")


@server.command(cls=LightCommand)
def stop(now: Annotated[bool, typer.Option("--now", help="Even if it is in use.")] = False) -> None:
    """Stop the store: at once, or when the last one who uses it leaves. Nothing is lost."""
    with _own_server() as own:
        status = own.status()
        if status.clients and not now:
            own.unpin()
            users = render.number_of(status.clients, "other connection")
            print(f"the store is in use ({users}): it stops when the last one leaves; --now does not wait")
        else:
            print("the store was stopped" if own.stop() else "the store was not running")


@server.command(cls=LightCommand)
def status(as_json: AsJson = False) -> None:
    """Show whether the store runs, and how large it is."""
    with _own_server() as own:
        render.show(own.status(), as_json, _lines)


@contextmanager
def _own_server(*, create: bool = False, settings: dict[str, object] | None = None) -> Iterator[EmbeddedServer]:
    with opened_project(create=create, settings=settings) as project:
        if project.server is None:
            raise DistcompError(
                f"This project's store is {redact(project.settings.store)}: nothing is started or stopped here.",
                next_step="Without the setting `store`, a project has one of its own.",
            )
        project.make()
        yield project.server


def _lines(found: ServerStatus) -> Iterator[str]:
    if not found.is_running:
        yield "the store does not run; any command that needs it starts it"
        yield f"  {render.size(found.disk_bytes)} on disk"
        return
    keeps = "until `distcomp server stop`" if found.is_pinned else "until the last one who uses it leaves"
    yield f"the store {'reads its data' if found.is_loading else 'runs'}, {keeps}"
    yield from render.fields(
        [
            ("server", f"{found.product} {found.version}, pid {found.pid}"),
            ("up", render.duration(found.uptime_s)),
            ("connections", str(found.clients)),
            ("memory", render.size(found.memory_bytes)),
            ("disk", render.size(found.disk_bytes)),
        ]
    )
