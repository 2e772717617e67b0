"""Groups of failures, as the end of `run` and `status` show them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from distcomp.cli import render
from distcomp.cli.terminal import cut, is_terminal, paint, width

if TYPE_CHECKING:
    from distcomp.api import FailureGroup

REASON_COLUMNS = 70
WORDS_COLUMNS = 110
WORDS_INDENT = 17


def failure_lines(groups: Sequence[FailureGroup], most: int) -> Iterator[str]:
    """Groups of failures: each with its last words, and how to see more of one."""
    columns = min(WORDS_COLUMNS, width()) if is_terminal(sys.stdout) else WORDS_COLUMNS
    for group in groups[:most]:
        reason = cut(group.reason or str(group.cause), REASON_COLUMNS)
        yield f"  {group.tasks:>6,} failed: {paint(reason, 'red')}   distcomp logs --err {group.example}"
        if group.last_words:
            yield f"{' ' * WORDS_INDENT}{cut(group.last_words, columns - WORDS_INDENT)}"
    if len(groups) > most:
        tasks = render.number_of(sum(group.tasks for group in groups[most:]), "task")
        yield f"  ... and {tasks}, for {len(groups) - most:,} more reasons: distcomp tasks --state failed"
