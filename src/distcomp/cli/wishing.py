"""What the flags about nodes mean."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from distcomp.clock import SystemClock
from distcomp.errors import BadInput, Fault
from distcomp.nodes.plan import Wishes
from distcomp.nodes.record import WishRecord
from distcomp.nodes.sending import load
from distcomp.units import parse_duration

if TYPE_CHECKING:
    from distcomp.cli.options import WishFlags


def wishes(flags: WishFlags, cwd: Path | None) -> Wishes:
    """See WishFlags.wishes."""
    return wishes_of(recorded(flags, cwd))


def recorded(flags: WishFlags, cwd: Path | None) -> WishRecord:
    """The flags as they are kept for the process that attends to nodes: with whole paths and times.

    Raises:
        BadInput: a time cannot be used.
    """
    root = Path(os.path.abspath(cwd or "."))  # noqa: PTH100  as the user names it, without resolving links
    return WishRecord(
        cwd=str(root),
        send=tuple(os.path.abspath(path) for path in flags.send or ()),  # noqa: PTH100
        setup=os.path.abspath(flags.setup) if flags.setup else "",  # noqa: PTH100
        need_files=tuple(str(root / path) for path in flags.need_file or ()),
        need_commands=tuple(flags.need_command or ()),
        until_s=SystemClock().now_ms() / 1000 + seconds_until(flags.until) if flags.until else 0,
    )


def wishes_of(record: WishRecord) -> Wishes:
    """Recorded wishes, with what is in the files. BadInput: one of the files cannot be used."""
    return Wishes(
        cwd=record.cwd,
        cargo=load(Path(record.cwd), map(Path, record.send)) if record.send else None,
        setup=_script(Path(record.setup)) if record.setup else b"",
        need_files=record.need_files,
        need_commands=record.need_commands,
        until_s=record.until_s,
    )


def _script(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput([Fault(f"--setup {path}", 0, 0, error.strerror or str(error))], unchanged="") from error


def seconds_until(text: str) -> float:
    """What --until says, from now. BadInput: it is no time to come."""
    now_s = SystemClock().now_ms() / 1000
    try:
        return until_s(text, datetime.datetime.fromtimestamp(now_s).astimezone()) - now_s
    except ValueError as error:
        raise BadInput([Fault(f"--until {text}", 0, 0, str(error))], unchanged="") from error


def until_s(text: str, now: datetime.datetime) -> float:
    """A time such as 18:00 (the next one), 2026-11-24T08:00 or 2h (from now), in seconds since the epoch.

    Raises:
        ValueError: it is no time, or is over.
    """
    if re.fullmatch(r"\d{1,2}:\d\d", text):
        hour, minute = map(int, text.split(":"))
        at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return (at if at > now else at + datetime.timedelta(days=1)).timestamp()
    try:
        at = datetime.datetime.fromisoformat(text).astimezone(now.tzinfo)
    except ValueError:
        return now.timestamp() + parse_duration(text)
    if at <= now:
        raise ValueError("that is over")
    return at.timestamp()
