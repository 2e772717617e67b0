"""Cache algorithms in the fewest words, as slow as can be: what the fast ones of the example are compared with."""

from __future__ import annotations

from collections.abc import Sequence


def lru(trace: Sequence[int], cache_size: int) -> int:
    cache: list[int] = []
    misses = 0
    for key in trace:
        if key in cache:
            cache.remove(key)
        else:
            misses += 1
        cache = [*cache, key][-cache_size:]
    return misses


def fifo(trace: Sequence[int], cache_size: int) -> int:
    cache: list[int] = []
    misses = 0
    for key in trace:
        if key not in cache:
            misses += 1
            cache = [*cache, key][-cache_size:]
    return misses


def fifo_reinsertion(trace: Sequence[int], cache_size: int) -> int:
    queue: list[int] = []
    used: set[int] = set()
    misses = 0
    for key in trace:
        if key in queue:
            used.add(key)
            continue
        misses += 1
        while len(queue) >= cache_size:
            oldest = queue.pop(0)
            if oldest in used:
                used.remove(oldest)
                queue.append(oldest)
        queue.append(key)
    return misses


def sieve(trace: Sequence[int], cache_size: int) -> int:
    """As in Zhang et al. (NSDI 2024): a hand walks from the oldest object to the newest, and then starts again."""
    queue: list[int] = []  # oldest first
    used: set[int] = set()
    hand: int | None = None  # an object
    misses = 0
    for key in trace:
        if key in queue:
            used.add(key)
            continue
        misses += 1
        if len(queue) == cache_size:
            place = 0 if hand is None else queue.index(hand)
            while queue[place] in used:
                used.remove(queue[place])
                place = (place + 1) % len(queue)
            del queue[place]
            hand = queue[place] if place < len(queue) else None
        queue.append(key)
    return misses
