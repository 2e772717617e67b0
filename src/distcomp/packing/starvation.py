"""When a task has waited for so long that a node makes room for it.

In a closed batch every task comes to its turn: the fresh ones come to an end. In an endless stream they do not, and the
room for a large one would always be taken by small ones.
"""

from __future__ import annotations

RETURNS = 8
WAITED_S = 1800.0
SPARE = 1.25
"""What a task is known to need is what it had reached when it went back; it is likely to need more."""


def is_starving(returns: int, waited_s: float) -> bool:
    """Whether a node should claim the task although there is no room, and start nothing else until there is."""
    return returns >= RETURNS or waited_s >= WAITED_S


def may_make_room(need_bytes: int, node_bytes: int, waited_s: float) -> bool:
    """Whether this node may claim a starving task. For a while, only those that have memory to spare for it."""
    if waited_s < 2 * WAITED_S:
        return need_bytes * SPARE <= node_bytes
    return need_bytes <= node_bytes
