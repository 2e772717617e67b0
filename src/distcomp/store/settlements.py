"""What a worker reports about its attempts, one kind of report per transition out of `running`.

They are values that can be kept on disk: a worker whose store is away spools them.
"""

from __future__ import annotations

import msgspec

from distcomp.model import Cause, Outcome


class Settlement(msgspec.Struct, frozen=True, tag=True):
    """Base: which attempt, proved by its token."""

    task_id: str
    token: int


class Finish(Settlement, frozen=True):
    """The attempt did its task: running -> finished."""

    outcome: Outcome


class Fail(Settlement, frozen=True):
    """The task has failed for good: running -> failed."""

    outcome: Outcome


class RetryLater(Settlement, frozen=True):
    """The attempt failed, the task has tries left: running -> todo after a delay.

    `away` is a node that the task must not come back to, "" for none.
    """

    outcome: Outcome
    delay_s: float
    away: str = ""


class Doubt(Settlement, frozen=True):
    """The task has failed for good, but maybe by the node's fault: running -> todo, to try another node.

    Where no other may do better, or the task was doubted before, nothing is done: then it is a `Fail`.
    """

    outcome: Outcome


class GiveBack(Settlement, frozen=True):
    """The task is returned through no fault of its own: running -> todo.

    `outcome` is None when the attempt was never started. `need_bytes` is what the task is known to need.
    """

    cause: Cause
    outcome: Outcome | None = None
    need_bytes: int = 0


class Suspect(Settlement, frozen=True):
    """No attempt, but what many say of their node: failed -> todo, uncharged, if only this node fails.

    Args:
        worker, node: whose attempts fail one after another.
        reason: for people.
        span_s: how long nothing has succeeded there.
        failed: id of the task of each attempt that failed there since.
    """

    worker: str
    node: str
    reason: str
    span_s: float
    failed: tuple[str, ...]


AnySettlement = Finish | Fail | Doubt | RetryLater | GiveBack | Suspect
