"""`distcomp worker`."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from distcomp.cli import oncall
from distcomp.cli.opening import opened_project, parse_settings
from distcomp.cli.options import MaxTasks, SetSetting


def worker(
    max_tasks: MaxTasks = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Of the store.  [default: the setting]", show_default=False)
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the project on that store.  [default: the setting]")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait while another worker has the node.")] = False,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Be gone by then: 18:00, 2026-11-24T08:00, or 2h from now.")
    ] = None,
    set_: SetSetting = None,
    node: Annotated[str, typer.Option(hidden=True, help="Another name than the machine's.")] = "",
    leash: Annotated[int | None, typer.Option(hidden=True, help="Stop when this pipe is closed.")] = None,
    on_call: Annotated[bool, typer.Option("--on-call", hidden=True, help="Wait for the leash to say more.")] = False,
) -> None:
    """Run tasks on this machine until you stop it.

    Ctrl-C once: it starts nothing more, and ends when what runs has ended. Twice: what runs goes back at once.

    Anywhere: --store redis://HOST/?password_file=FILE --project NAME. The password may also be in the URL (then any
    user of the machine can see it) or in DISTCOMP_STORE_PASSWORD.
    """
    from distcomp.worker.main import preload, run_worker

    if on_call and leash is not None:
        preload()
        order = oncall.await_order(leash)
        if order is None:
            return
        oncall.take_up(order)
        set_ = [*order.settings]
    leave_in_s = None if until is None else _seconds_until(until)
    settings = parse_settings(set_, max_tasks=max_tasks, store=store, project=project)
    with opened_project(create=True, settings=settings) as opened:
        opened.make()
        _log_to_stderr(opened.settings.log_level)
        run_worker(opened, wait=wait, leash=leash, node=node, leave_in_s=leave_in_s)


def _seconds_until(text: str) -> float:
    from distcomp.cli.wishing import seconds_until  # with all that is known of other machines

    return seconds_until(text)


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(message)s", force=True
    )
