"""What came of a submission."""

from __future__ import annotations

import msgspec

from distcomp.model import State


class Submitted(msgspec.Struct, frozen=True):
    """What came of a submission.

    Args:
        tasks: tasks read, of whatever fate.
        new: tasks that were added, in `job` (None if there are none).
        known: tasks that were there before, by the state they were found in.
        retried: of these, how many were put back into todo.
        equal: tasks left out because an equal one stands before them; `equal_lines` has the first few: the number
            of the line and that of its first equal (of tasks that came as a list: the place in it).
        faulty: lines left out because of a fault; `faults` has the first few, as file:line:column: what.
        jobs: all jobs that these tasks belong to.
        kept: known tasks that keep another priority, other needs, time limit, retries or kind than were given now.
    """

    tasks: int
    new: int
    known: dict[State, int]
    retried: int
    equal: int
    equal_lines: tuple[tuple[int, int], ...]
    faulty: int
    faults: tuple[str, ...]
    job: int | None
    jobs: tuple[int, ...]
    kept: int = 0
