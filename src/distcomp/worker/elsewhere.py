"""Tasks that are to run on another node, as this one is too small or may be to blame: they fail where there is none."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from distcomp import packing
from distcomp.store.reading import Reading
from distcomp.store.settlements import AnySettlement, Doubt, Fail, GiveBack, RetryLater
from distcomp.store.store import Store


def give_up_hopeless(
    store: Store, settlements: Sequence[AnySettlement], outgrown: Collection[int]
) -> list[AnySettlement]:
    """The settlements, with failures in place of those returns that no node there is could ever run.

    Args:
        outgrown: tokens of attempts that memory ended although they had this node to themselves.
    """
    if not any(settlement.token in outgrown for settlement in settlements):
        return list(settlements)
    largest_bytes = max((worker.facts.total_memory_bytes for worker in Reading(store).workers()), default=0)
    return [
        _failed(settlement, settlement.outcome.usage.peak_bytes, largest_bytes)
        if isinstance(settlement, GiveBack)
        and settlement.outcome is not None
        and settlement.token in outgrown
        and settlement.need_bytes > largest_bytes
        else settlement
        for settlement in settlements
    ]


def failures_for_want_of_nodes(settlements: Sequence[AnySettlement], words: Sequence[str]) -> list[Fail]:
    """For the tasks that the store found no other node for.

    Args:
        words: the store's answers to the settlements.
    """
    return [
        Fail(settlement.task_id, settlement.token, settlement.outcome)
        for settlement, word in zip(settlements, words, strict=True)
        if word == "nowhere" and isinstance(settlement, RetryLater | Doubt)
    ]


def _failed(returned: GiveBack, peak_bytes: int, largest_bytes: int) -> Fail:
    assert returned.outcome is not None
    reason = packing.outgrown_reason(peak_bytes, largest_bytes)
    return Fail(returned.task_id, returned.token, msgspec.structs.replace(returned.outcome, reason=reason))
