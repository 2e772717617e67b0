"""Result files: which files an attempt made, noted on its node so that those of attempts that count can come home.

They are noted only where the user's files were sent to (`cwd_map`): elsewhere they are where they belong already.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from distcomp.globs import exact_name, expanded, is_exact
from distcomp.model import Claim, Made
from distcomp.runner.aside import Aside
from distcomp.runner.launch import directory
from distcomp.runner.limits import RunnerLimits

NOTES = "made.jsonl"
"""In the node's folder; a line per attempt: task, attempt, start (ms), files: [name, bytes, time of change (ns), mode].
Names are relative to the folder that the user's files were sent to."""
MOST_FILES = 10_000
"""Of one attempt."""
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC

File = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """What to look for when an attempt has ended.

    Args:
        root: where the user's files were sent to.
        folder: where the attempt ran; below it.
        patterns: of files, relative to `folder`.
        since_ns: when it began, as the file system tells the time.
    """

    root: Path
    folder: Path
    patterns: tuple[str, ...]
    since_ns: int


def look_for(claim: Claim, limits: RunnerLimits, descriptor: int) -> Look | None:
    """What the result files of an attempt are that begins now; None if there is nothing to look for.

    Args:
        claim: for the attempt.
        limits: that hold for it.
        descriptor: of an open file that nobody else writes to yet.
    """
    patterns = (*claim.spec.outputs, *limits.collect)
    if not patterns or not limits.cwd_map:
        return None
    root = Path(limits.cwd_map[1])
    folder = Path(directory(claim, limits))
    if not folder.is_relative_to(root):
        return None
    variables = {
        **claim.context.env,
        **(claim.spec.env or {}),
        "DISTCOMP_TASK_ID": claim.task_id,
        "DISTCOMP_ATTEMPT": str(claim.attempt),
        "DISTCOMP_JOB": str(claim.job),
    }
    wanted = dict.fromkeys(expanded(pattern, variables) for pattern in patterns)
    return Look(root, folder, tuple(wanted), now_ns(descriptor))


def now_ns(descriptor: int) -> int:
    """The time as the file system has it that an open file of ours is on: no clock of a program is like it."""
    os.utime(descriptor)
    return os.fstat(descriptor).st_ctime_ns


class ResultFiles:
    """Looks for result files, and notes them.

    Args:
        folder: the node's.
        aside: where that is done.
    """

    def __init__(self, folder: Path, aside: Aside) -> None:
        self._notes, self._aside = folder / NOTES, aside

    def look(self, claim: Claim, started_at_ms: int, look: Look, then: Callable[[Made | None], None]) -> None:
        """Look, after the attempt's end; `then` is called when that is done, with None if there is no file."""
        self._aside.put(lambda: self._note(claim, started_at_ms, look), then)

    def _note(self, claim: Claim, started_at_ms: int, look: Look) -> Made | None:
        try:
            with open(os.open(self._notes, _APPENDING, 0o600), "wb") as notes:
                # A clock that was set back meanwhile tells nothing.
                since_ns = look.since_ns if now_ns(notes.fileno()) >= look.since_ns else 0
                files = sorted(found(look, since_ns))
                if not files:
                    return None
                if len(files) > MOST_FILES:
                    return Made(lost=f"more than {MOST_FILES:,} files")
                # A new line before it: the last one may have been cut off with an earlier worker's life.
                notes.write(b"\n" + json.dumps([claim.task_id, claim.attempt, started_at_ms, files]).encode())
        except (OSError, ValueError) as error:
            return Made(lost=f"cannot be noted: {getattr(error, 'strerror', None) or error}")
        return Made(len(files), sum(size for _, size, _, _ in files))


def found(look: Look, since_ns: int) -> Iterator[File]:
    """The files, each once, at most one more than MOST_FILES.

    One that is named in full is as it is at the end, as a task may find that an earlier attempt has made it. Of those
    that only match, the ones that changed while the attempt ran are its own.
    """
    seen = set()
    for path, is_exactly_named in _candidates(look):
        try:
            status = path.lstat()
        except OSError:
            continue
        if path in seen or not stat.S_ISREG(status.st_mode):
            continue
        if not is_exactly_named and status.st_ctime_ns < since_ns:
            continue
        seen.add(path)
        yield str(path.relative_to(look.root)), status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode) & 0o777
        if len(seen) > MOST_FILES:
            return


def _candidates(look: Look) -> Iterable[tuple[Path, bool]]:
    for pattern in look.patterns:
        if is_exact(pattern):
            yield look.folder / exact_name(pattern), True
        else:
            for path in look.folder.glob(pattern):
                yield path, False
