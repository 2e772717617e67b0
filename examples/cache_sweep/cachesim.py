#!/usr/bin/env python3
"""Simulate one cache over one trace, and print its miss ratio as a line of JSON.

    cachesim.py TRACE ALGO SIZE
    cachesim.py traces/prog_sort.u32.xz FIFO-Reinsertion 0.01

TRACE  NAME.u32.xz: one little-endian 32-bit object id per request, compressed with xz. Ids count up from 1
       in order of first appearance.
ALGO   LRU, FIFO, FIFO-Reinsertion (also called Clock), SIEVE, S3-FIFO or ARC; case and dashes do not matter.
SIZE   objects that fit the cache: a whole number, or a fraction of the trace's distinct objects such as 0.01.

Every object takes one place in the cache, every miss brings the object in. Needs nothing but Python.
"""

from __future__ import annotations

import json
import lzma
import sys
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from pathlib import Path

Trace = Sequence[int]
Queue = OrderedDict[int, None]  # oldest first


def lru(trace: Trace, n_objects: int, cache_size: int) -> int:
    """Misses of a cache that evicts the object not used for the longest time.

    The trace itself is the list of uses: a use is the object's last one if `last_use` says so. The oldest
    last use is found by walking on from where the previous eviction ended.
    """
    absent = -1
    last_use = [absent] * (n_objects + 1)
    misses = 0
    oldest = 0
    for now, key in enumerate(trace):
        if last_use[key] == absent:
            misses += 1
            if misses > cache_size:
                while last_use[trace[oldest]] != oldest:
                    oldest += 1
                last_use[trace[oldest]] = absent
        last_use[key] = now
    return misses


def fifo(trace: Trace, n_objects: int, cache_size: int) -> int:
    """Misses of a cache that evicts the object that came in first."""
    cached = bytearray(n_objects + 1)
    queue: deque[int] = deque()
    misses = 0
    for key in trace:
        if not cached[key]:
            misses += 1
            if misses > cache_size:
                cached[queue.popleft()] = False
            cached[key] = True
            queue.append(key)
    return misses


def fifo_reinsertion(trace: Trace, n_objects: int, cache_size: int) -> int:
    """Misses of FIFO that gives an object used since it came in (or came in again) another round."""
    absent, unused, used = 0, 1, 2
    state = bytearray(n_objects + 1)
    queue: deque[int] = deque()
    misses = 0
    for key in trace:
        if state[key]:
            state[key] = used
            continue
        misses += 1
        if misses > cache_size:
            while state[oldest := queue.popleft()] == used:
                state[oldest] = unused
                queue.append(oldest)
            state[oldest] = absent
        state[key] = unused
        queue.append(key)
    return misses


def sieve(trace: Trace, n_objects: int, cache_size: int) -> int:
    """Misses of FIFO whose eviction hand passes over used objects and leaves them where they are.

    Zhang et al., NSDI 2024. The queue is a linked list from the oldest object to the newest: `newer[key]`.
    Key 0 stands before the oldest and after the newest. The hand is on the object newer than `passed`.
    """
    absent, unused, used = 0, 1, 2
    state = bytearray(n_objects + 1)
    newer = [0] * (n_objects + 1)
    newest = passed = 0
    misses = 0
    for key in trace:
        if state[key]:
            state[key] = used
            continue
        misses += 1
        if misses > cache_size:
            while state[hand := newer[passed]] == used:
                state[hand] = unused
                passed = hand if newer[hand] else 0
            state[hand] = absent
            newer[passed] = newer[hand]
            if hand == newest:
                # The hand starts again at the oldest, also if other objects come in before it moves.
                newest, passed = passed, 0
        state[key] = unused
        newer[newest] = key
        newer[key] = 0
        newest = key
    return misses


def s3fifo(trace: Trace, n_objects: int, cache_size: int) -> int:
    """Misses of three FIFO queues: new objects, proven ones, and ghosts (ids only) of new ones that did not prove.

    Yang et al., SOSP 2023.
    """
    cache = S3Fifo(n_objects, cache_size)
    uses = cache.uses
    misses = 0
    for key in trace:
        if not uses[key]:
            misses += 1
            cache.bring_in(key)
        elif uses[key] < S3Fifo.MOST_USES:
            uses[key] += 1
    return misses


class S3Fifo:
    """The queues of S3-FIFO. `uses` counts the request that brought an object in; 0 is: not in the cache."""

    USES_TO_PROVE = 3
    MOST_USES = 4

    def __init__(self, n_objects: int, cache_size: int) -> None:
        self.uses = bytearray(n_objects + 1)
        self.new: deque[int] = deque()
        self.proven: deque[int] = deque()
        self.ghosts: Queue = OrderedDict()
        self.new_size = max(1, int(cache_size * 0.1))
        self.proven_size = cache_size - self.new_size
        self.ghosts_size = int(cache_size * 0.9)
        self.is_filling = True

    def bring_in(self, key: int) -> None:
        """Put a missed object into its queue, after making room for it."""
        came_back = key in self.ghosts
        if came_back:
            del self.ghosts[key]
        if len(self.new) + len(self.proven) == self.new_size + self.proven_size:
            self.is_filling = False
            self.make_room()
        # While the cache fills for the first time there is room for more objects than `new` is meant to hold.
        has_overflow = self.is_filling and len(self.new) >= self.new_size
        (self.proven if came_back or has_overflow else self.new).append(key)
        self.uses[key] = 1

    def make_room(self) -> None:
        """Evict one object."""
        has_room = len(self.proven) <= self.proven_size and self.make_room_among_new()
        if not has_room:
            self.make_room_among_proven()

    def make_room_among_new(self) -> bool:
        """Evict the oldest new object that did not prove; the older ones move on. False if all moved on."""
        while self.new:
            oldest = self.new.popleft()
            if self.uses[oldest] < S3Fifo.USES_TO_PROVE:
                self.uses[oldest] = 0
                self.remember(oldest)
                return True
            self.uses[oldest] = 1
            self.proven.append(oldest)
        return False

    def make_room_among_proven(self) -> None:
        """Evict the oldest proven object without uses left; the older ones pay a use each for another round."""
        while self.uses[oldest := self.proven.popleft()] > 1:
            self.uses[oldest] -= 1
            self.proven.append(oldest)
        self.uses[oldest] = 0

    def remember(self, key: int) -> None:
        """Keep the id of an object that is gone, in the place of the oldest such id."""
        self.ghosts[key] = None
        if len(self.ghosts) > self.ghosts_size:
            self.ghosts.popitem(last=False)


def arc(trace: Trace, _n_objects: int, cache_size: int) -> int:
    """Misses of two LRU lists, for objects used once and often, that learn their sizes from ghosts of both.

    Megiddo and Modha, FAST 2003.
    """
    cache = Arc(cache_size)
    once, often = cache.once, cache.often
    misses = 0
    for key in trace:
        if key in often:
            often.move_to_end(key)
        elif key in once:
            del once[key]
            often[key] = None
        else:
            misses += 1
            cache.bring_in(key)
    return misses


class Arc:
    """The lists of ARC: T1, T2, B1, B2 and p in the paper."""

    def __init__(self, cache_size: int) -> None:
        self.cache_size = cache_size
        self.once: Queue = OrderedDict()
        self.often: Queue = OrderedDict()
        self.once_ghosts: Queue = OrderedDict()
        self.often_ghosts: Queue = OrderedDict()
        self.once_target: float = 0

    def bring_in(self, key: int) -> None:
        """Put a missed object into its list, after making room for it."""
        if key in self.once_ghosts:
            step = max(1, len(self.often_ghosts) / len(self.once_ghosts))
            self.once_target = min(self.once_target + step, self.cache_size)
            del self.once_ghosts[key]
            self.evict(is_once_long_enough=False)
            self.often[key] = None
        elif key in self.often_ghosts:
            step = max(1, len(self.once_ghosts) / len(self.often_ghosts))
            self.once_target = max(self.once_target - step, 0)
            del self.often_ghosts[key]
            self.evict(is_once_long_enough=True)
            self.often[key] = None
        else:
            if len(self.once) + len(self.often) == self.cache_size:
                self.make_room_for_unknown()
            self.once[key] = None

    def make_room_for_unknown(self) -> None:
        """Evict an object, and forget a ghost where objects and ghosts are more than ARC may know of."""
        once_known = len(self.once) + len(self.once_ghosts)
        often_known = len(self.often) + len(self.often_ghosts)
        if once_known == self.cache_size:
            if not self.once_ghosts:
                self.once.popitem(last=False)
                return
            self.once_ghosts.popitem(last=False)
        elif once_known + often_known == 2 * self.cache_size:
            self.often_ghosts.popitem(last=False)
        self.evict(is_once_long_enough=False)

    def evict(self, is_once_long_enough: bool) -> None:
        """Turn the least recently used object of one list into a ghost: of `once` if that is over its target."""
        excess = len(self.once) - self.once_target
        is_over_target = excess > 0 or (excess == 0 and is_once_long_enough)
        if (self.once and is_over_target) or not self.often:
            self.once_ghosts[self.once.popitem(last=False)[0]] = None
        else:
            self.often_ghosts[self.often.popitem(last=False)[0]] = None


ALGORITHMS: dict[str, Callable[[Trace, int, int], int]] = {
    "LRU": lru,
    "FIFO": fifo,
    "FIFO-Reinsertion": fifo_reinsertion,
    "SIEVE": sieve,
    "S3-FIFO": s3fifo,
    "ARC": arc,
}
ALIASES = {"clock": "FIFO-Reinsertion"} | {name.lower().replace("-", ""): name for name in ALGORITHMS}


def full_name(algo: str) -> str:
    """The name of an algorithm as it is written here, whatever its case and dashes.

    Raises:
        ValueError: there is no such algorithm.
    """
    try:
        return ALIASES[algo.lower().replace("-", "")]
    except KeyError:
        raise ValueError(f"no algorithm {algo!r}: there are {', '.join(ALGORITHMS)}") from None


def read_trace(path: Path) -> Trace:
    """The object ids of a trace file, one per request.

    Raises:
        ValueError: the file is not a trace, or an empty one.
        OSError: the file cannot be read.
    """
    trace = array("I")
    try:
        trace.frombytes(lzma.decompress(path.read_bytes()))
    except lzma.LZMAError as error:
        raise ValueError(f"{path} is not an xz file: {error}") from None
    if not trace:
        raise ValueError(f"{path} holds no requests")
    if sys.byteorder == "big":
        trace.byteswap()
    return trace


def objects_that_fit(size: int | float, n_objects: int) -> int:
    """Cache size in objects, at least 1: `size` itself, or if it is a fraction, that part of `n_objects`.

    Raises:
        ValueError: `size` is not above 0, or a fraction above 1.
    """
    if not 0 < size <= (1 if isinstance(size, float) else size):
        raise ValueError(f"a size is a number of objects from 1, or a fraction above 0 and up to 1.0: not {size}")
    return max(1, int(size * n_objects)) if isinstance(size, float) else size


def simulate(trace_path: Path, algo: str, size: int | float) -> dict[str, str | int | float]:
    """One simulation, as the columns of its result.

    Raises:
        ValueError: an argument makes no sense.
        OSError: the trace cannot be read.
    """
    run = ALGORITHMS[full_name(algo)]
    trace = read_trace(trace_path)
    n_objects = max(trace)
    cache_size = objects_that_fit(size, n_objects)
    misses = run(trace, n_objects, cache_size)
    return {
        "trace": trace_path.name.partition(".")[0],
        "algo": algo,
        "size": size,
        "cache_size": cache_size,
        "n_req": len(trace),
        "n_obj": n_objects,
        "misses": misses,
        "miss_ratio": round(misses / len(trace), 6),
    }


def main() -> None:
    """Print one JSON line, or what is wrong and exit 2."""
    if len(sys.argv) != 4:
        sys.exit(str(__doc__))
    _, trace, algo, size = sys.argv
    try:
        print(json.dumps(simulate(Path(trace), algo, int(size) if size.isdecimal() else float(size))))
    except (ValueError, OSError) as error:
        print(f"cachesim: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
