"""What may start on a node, and what goes back when memory is short."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.model import NodeMemory
from distcomp.packing import Load, NodeLimits, NodeUse, Return, Tuning, Victim, fits, obstacle, relieve_pressure, room

GIB = 1 << 30
TUNING = Tuning(burst=4, react_s=0.1, trend_s=0.3)
LIMITS = NodeLimits(cores=4, max_attempts=0, keep_free_bytes=1 * GIB, tuning=TUNING)
NEWEST = replace(LIMITS, victim=Victim.NEWEST)


def use(
    available_gib: float, *, total_gib: float = 32, busy: float = 0, typical: float = 1, attempts: int = 0
) -> NodeUse:
    memory = NodeMemory(int(total_gib * GIB), int(available_gib * GIB))
    return NodeUse(memory, growth_bytes=0, busy_cores=busy, typical_cores=typical, attempts=attempts)


def load(
    key: int,
    used_gib: float = 0,
    known_gib: float = 0,
    cores: float = 0,
    *,
    is_new: bool = False,
    need_gib: float = 0,
    held_gib_s: float = 0,
    is_dying: bool = False,
) -> Load:
    used, known, need, held = (int(gib * GIB) for gib in (used_gib, known_gib, need_gib, held_gib_s))
    return Load(key, used, known, cores, is_new, need, held, is_dying)


def keys(returns: list[Return]) -> list[int]:
    return [returned.key for returned in returns]


# Admission: memory


def test_an_empty_node_takes_a_task_whatever_it_may_need() -> None:
    """Some of the memory is always in use, by the system; else a task that needs nearly all would never run."""
    assert room(use(30), [], LIMITS).memory_bytes == 32 * GIB
    assert fits(use(30), [], LIMITS, need_bytes=32 * GIB)


def test_an_empty_node_where_others_hold_much_memory_starts_a_task_of_unknown_need() -> None:
    """Else nothing would ever run there. What is known not to fit waits: it would be killed, again and again."""
    among_others = room(use(0.1), [], LIMITS)
    assert (among_others.attempts, among_others.memory_bytes) == (4, 0)
    assert not fits(use(8), [], LIMITS, need_bytes=10 * GIB)
    assert fits(use(8), [], LIMITS, need_bytes=7 * GIB)


def test_nothing_starts_while_memory_is_short() -> None:
    assert room(use(1.0), [load(1, 31)], LIMITS).attempts == 0


def test_memory_that_grows_leaves_less_room() -> None:
    calm = use(10)
    assert room(calm, [load(1)], LIMITS).memory_bytes == 9 * GIB
    # 1.5 times what will have been taken 0.1 s from now.
    growing = replace(calm, growth_bytes=4 * GIB, since_s=0.1)
    assert room(growing, [load(1)], LIMITS).memory_bytes == 4 * GIB


def test_nothing_starts_unless_growth_may_go_on_for_a_while() -> None:
    """A node would be filled with attempts that have not grown yet, and most of them would go back."""
    growing = replace(use(10), trend_bytes_per_s=0.05 * GIB, typical_wall_s=1000)
    assert room(growing, [load(1)], LIMITS).memory_bytes == 4 * GIB, "0.05 GiB/s for 120 s, an eighth of a life"
    assert room(replace(growing, typical_wall_s=0), [load(1)], LIMITS).memory_bytes == 9 * GIB


def test_what_attempts_are_known_to_need_is_not_given_to_others() -> None:
    """It is free now, but one that comes back after an eviction will grow to it again."""
    assert room(use(31), [load(1, used_gib=1, known_gib=20)], LIMITS).memory_bytes == 11 * GIB


def test_what_is_known_to_be_needed_leaves_nothing_even_for_tasks_of_unknown_need() -> None:
    assert room(use(20), [load(1, used_gib=12, known_gib=31)], LIMITS).attempts == 0


def test_what_others_on_the_node_use_is_not_given_away() -> None:
    """Nor is it counted twice: it is missing from what is available."""
    assert room(use(12), [load(1, used_gib=4, known_gib=4)], LIMITS).memory_bytes == 11 * GIB


def test_what_is_being_killed_keeps_its_memory_until_it_is_gone_and_needs_none_again() -> None:
    dying = [load(1, 4), load(2, used_gib=4, known_gib=20, is_dying=True)]
    assert room(use(24), dying, LIMITS).memory_bytes == 23 * GIB


def test_fresh_tasks_wait_for_returned_ones_while_few_of_those_run() -> None:
    """Else the returned ones, which are large, pile up until only they are left."""
    assert room(use(30), [load(1, 2, 2)], LIMITS).unknown_waits
    assert not room(use(25), [load(1, 4, 4, need_gib=4)], LIMITS).unknown_waits
    assert not room(use(32), [], LIMITS).unknown_waits, "an empty node always starts something"


# Admission: cores and caution


def test_a_node_takes_as_many_as_its_cores_keep_busy() -> None:
    assert room(use(30), [], LIMITS).attempts == 4
    assert room(use(30, busy=4), [load(n) for n in range(4)], LIMITS).attempts == 0
    assert room(use(30, busy=4, typical=2), [load(1)], LIMITS).attempts == 1


def test_attempts_that_have_ended_do_not_hold_up_short_ones() -> None:
    """What was measured is their work: with a look each second, a node of short tasks would seem full for a second."""
    assert room(use(30, busy=4, attempts=4), [load(1)], LIMITS).attempts == 3


def test_a_node_whose_cores_are_idle_takes_a_few_more_with_each_look() -> None:
    waiting = [load(n) for n in range(8)]
    assert room(use(30, busy=0.2), waiting, LIMITS).attempts == 4
    not_looked_at = [*waiting, *(load(n, is_new=True) for n in range(8, 12))]
    assert room(use(30, busy=0.2), not_looked_at, LIMITS).attempts == 0
    assert room(use(30, busy=0.2), [load(n) for n in range(16)], LIMITS).attempts == 0, "four per core at most"


def test_the_cores_of_attempts_just_started_are_spoken_for() -> None:
    """Their work does not show yet."""
    loads = [load(1), load(2), load(3, is_new=True), load(4, is_new=True)]
    assert room(use(30, busy=2), loads, LIMITS).attempts == 0


def test_a_burst_is_counted_from_the_last_look_so_that_short_tasks_are_not_held_up() -> None:
    """Ten ran then and have ended since: fourteen may run now, though nobody has looked at any of them."""
    plenty = replace(LIMITS, max_attempts=100)
    assert room(use(30, attempts=10), [load(n, is_new=True) for n in range(6)], plenty).attempts == 8
    assert room(use(30), [load(n, is_new=True) for n in range(4)], plenty).attempts == 0


def test_a_core_may_start_one_between_two_looks() -> None:
    many_cores = NodeLimits(cores=32, max_attempts=0, keep_free_bytes=GIB)
    assert room(use(30, busy=2), [load(1), load(2)], many_cores).attempts == 30
    assert room(use(30), [load(n, is_new=True) for n in range(32)], replace(many_cores, max_attempts=99)).attempts == 0


def test_a_number_that_the_user_gave_replaces_the_cores() -> None:
    limits = NodeLimits(cores=2, max_attempts=50, keep_free_bytes=0)
    assert room(use(30, busy=2, attempts=60), [load(n) for n in range(10)], limits).attempts == 40
    assert room(use(30), [load(n) for n in range(50)], limits).attempts == 0


def test_declared_cores_are_kept_for_their_tasks() -> None:
    assert room(use(30), [load(1, cores=3)], LIMITS).cores == 1
    assert room(use(30, busy=0.1), [load(1, cores=3), load(2, cores=1)], LIMITS).attempts == 0


def test_cores_that_others_keep_busy_are_left_to_them() -> None:
    """Where the worker may use half of the node, others on the other half are no concern of it."""
    among_others = replace(use(30, busy=4), foreign_cores=3)
    assert room(among_others, [load(1)], LIMITS).attempts == 0
    assert room(among_others, [load(1)], LIMITS).cores == 1
    assert room(among_others, [load(1)], replace(LIMITS, node_cores=8)).attempts == 3


def test_an_attempt_that_declares_cores_counts_for_them_while_it_does_not_use_them() -> None:
    assert room(use(30), [load(1, cores=4)], LIMITS).attempts == 0


def test_attempts_that_use_no_core_leave_no_room_without_end() -> None:
    assert room(use(30, typical=0), [load(1)], LIMITS).attempts == TUNING.burst


def test_a_node_with_more_than_it_should_have_takes_nothing() -> None:
    """As after settings that grant less than before."""
    many = [load(key, cores=3) for key in range(3)]
    now = room(use(30), many, replace(LIMITS, max_attempts=1))
    assert (now.attempts, now.cores) == (0, 0)


def test_an_empty_node_starts_a_task_however_busy_its_cores_are() -> None:
    among_others = room(replace(use(30, busy=4), foreign_cores=4), [], LIMITS)
    assert (among_others.attempts, among_others.cores) == (1, 4)


# Why a task does not start


@pytest.mark.parametrize(
    ("node", "loads", "need_gib", "cores", "text"),
    [
        (use(30), [], 40, 0, "it needs 40 GiB, the node has 32 GiB"),
        (use(30), [], 0, 5, "it needs 5 cores, the node gives 4"),
        (
            use(20),
            [load(1, 10, 14)],
            16,
            0,
            "it is known to need 16 GiB; 20 GiB of 32 GiB is free, 4 GiB of that is kept for what runs and is known to "
            "need it, 1 GiB stays free",
        ),
        (use(0.5), [load(1, 15)], 0, 0, "512 MiB of 32 GiB is free, 1 GiB stays free, 16.5 GiB is used by others"),
        (use(20), [load(1, 10, cores=2)], 0, 3, "it needs 3 cores, 2 of 4 are not spoken for"),
        (use(20, busy=4), [load(n) for n in range(4)], 0, 0, "4.0 of 4 cores are busy"),
        (use(20), [load(n) for n in range(16)], 0, 0, "16 attempts run on 4 cores, 4 for each"),
        (
            use(20, typical=0.25),
            [load(n, is_new=True) for n in range(4)],
            0,
            0,
            "others were started a moment ago, and how much they take is to be seen first",
        ),
    ],
)
def test_the_first_obstacle_is_named_with_numbers(
    node: NodeUse, loads: list[Load], need_gib: float, cores: float, text: str
) -> None:
    assert obstacle(node, loads, LIMITS, int(need_gib * GIB), cores) == text
    assert not fits(node, loads, LIMITS, int(need_gib * GIB), cores)


def test_what_may_start_has_no_obstacle() -> None:
    assert obstacle(use(30), [load(1)], LIMITS, need_bytes=GIB, cores=1) == ""
    assert obstacle(use(0.1), [], LIMITS, need_bytes=0) == "", "an empty node tries"


def test_the_cores_named_are_those_that_there_are() -> None:
    busy = replace(use(30, busy=8), foreign_cores=5)
    assert obstacle(busy, [load(1, cores=3)], replace(LIMITS, node_cores=8), 0) == "8.0 of 8 cores are busy"


def test_max_tasks_is_named_as_an_obstacle() -> None:
    limits = replace(LIMITS, max_attempts=2)
    assert obstacle(use(20), [load(1), load(2)], limits, 0) == "2 attempts run, and max_tasks is 2"


# Eviction


def test_nobody_goes_back_while_there_is_room() -> None:
    assert relieve_pressure(use(1.0), [load(1, 20), load(2, 10)], LIMITS) == []


def test_the_newest_goes_back_and_no_more_than_it_takes() -> None:
    loads = [load(1, 10), load(2, 10), load(3, 3), load(4, 3)]
    assert keys(relieve_pressure(use(0.5), loads, NEWEST)) == [4]
    growing = replace(use(0), growth_bytes=3 * GIB, since_s=0.1)
    assert keys(relieve_pressure(growing, loads, NEWEST)) == [4, 3]


def test_the_cheapest_has_held_least_memory_for_what_it_frees() -> None:
    loads = [load(1, 20), load(2, 5, held_gib_s=1), load(3, 5, held_gib_s=100), load(4, 5, held_gib_s=3), load(5, 0.1)]
    assert keys(relieve_pressure(use(0.0), loads, LIMITS)) == [4]


def test_the_older_half_is_spared_while_others_will_do() -> None:
    loads = [load(1, 20), load(2, 5), load(3, 5, held_gib_s=9)]
    assert keys(relieve_pressure(use(0.0), loads, LIMITS)) == [3]
    everybody = replace(LIMITS, tuning=Tuning(older_fraction=0.0))
    assert keys(relieve_pressure(use(0.0), loads, everybody)) == [2]


def test_one_that_is_enough_goes_rather_than_several() -> None:
    loads = [load(1, 20), load(2, 9), load(3, 9), load(4, 0.2), load(5, 4, held_gib_s=50), load(6, 0.2)]
    assert keys(relieve_pressure(use(0.0), loads, LIMITS)) == [5]


def test_one_that_has_taken_next_to_nothing_stays() -> None:
    """To kill it would cost a start and bring no memory."""
    loads = [load(1, 20), load(2, 0), load(3, 0.5, held_gib_s=0.4), load(4, 0.001)]
    assert keys(relieve_pressure(use(0.8), loads, LIMITS)) == [3]


def test_what_an_attempt_has_held_counts_by_what_it_frees() -> None:
    loads = [load(1, 8), load(2, 1), load(3, 8, held_gib_s=10), load(4, 2, held_gib_s=6)]
    assert keys(relieve_pressure(use(0.5), loads, LIMITS)) == [3]


def test_one_that_has_taken_nothing_goes_back_where_there_is_no_other() -> None:
    assert keys(relieve_pressure(use(0.5), [load(1, 30), load(2, 0)], LIMITS)) == [2]


def test_who_was_chosen_first_stays_where_the_last_is_enough() -> None:
    assert keys(relieve_pressure(use(0.5), [load(1, 8), load(2, 4), load(3, 0.3)], NEWEST)) == [2]


def test_while_somebody_waits_for_memory_somebody_goes_back_whatever_the_counts_say() -> None:
    loads = [load(1, 8), load(2, 0.5), load(3, 0.5)]
    assert keys(relieve_pressure(replace(use(20), is_stalled=True), loads, NEWEST)) == [3]
    assert keys(relieve_pressure(replace(use(0.2), is_stalled=True), loads, NEWEST)) == [3, 2], "nor fewer than that"


def test_the_growth_of_who_goes_back_sends_back_nobody_else() -> None:
    """A large one that stands still must not pay for two that jumped."""
    jumped = replace(use(0), growth_bytes=2 * GIB, since_s=0.05)
    loads = [load(1, 10), load(2, 20), *(replace(load(key, 1), grown_bytes=GIB) for key in (3, 4))]
    assert keys(relieve_pressure(jumped, loads, LIMITS)) == [3, 4]
    dying = [replace(one, is_dying=one.key > 2) for one in loads]
    assert relieve_pressure(jumped, dying, LIMITS) == []


def test_what_is_being_killed_counts_as_freed_once() -> None:
    """Else each look until it is gone would kill another."""
    loads = [load(1, 10), load(2, 10), load(3, 3, is_dying=True)]
    assert relieve_pressure(use(0), loads, LIMITS) == []
    assert [one.key for one in relieve_pressure(use(0), [load(1, 10), load(2, 10), load(3, 3)], LIMITS)] == [3]
    assert [one.key for one in relieve_pressure(use(0), [*loads[:2], load(3, 0.5, is_dying=True)], LIMITS)] == [2]


def test_the_oldest_of_those_that_live_is_the_oldest() -> None:
    assert relieve_pressure(use(0), [load(1, 0.1, is_dying=True), load(2, 30)], LIMITS) == []


def test_an_attempt_that_is_alone_is_let_grow_until_it_waits_for_memory() -> None:
    """Where the kernel kills, it finds out by itself; where attempts wait at a limit, nobody else ends the wait."""
    alone = [load(1, 31.9)]
    assert relieve_pressure(use(0.1), alone, LIMITS) == []
    [returned] = relieve_pressure(replace(use(0.0), is_stalled=True), alone, LIMITS)
    assert returned.has_outgrown_node
    assert returned.reason == "it ran alone and outgrew the node: it used 31.9 GiB of 32 GiB"


def test_an_attempt_is_not_alone_before_what_is_being_killed_is_gone() -> None:
    loads = [load(1, 20), load(2, 12, is_dying=True)]
    assert relieve_pressure(replace(use(0.0), is_stalled=True), loads, LIMITS) == []


def test_the_reason_has_the_numbers() -> None:
    [returned] = relieve_pressure(use(0.5), [load(1, 20), load(2, 10)], LIMITS)
    assert returned.reason == ("memory was short: 512 MiB of 32 GiB available, 1 GiB to be kept free; it used 10 GiB")


# Properties

LOADS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()), min_size=1, max_size=20).map(
    lambda drawn: [load(key, used, known, is_dying=dying) for key, (used, known, dying) in enumerate(drawn)]
)


@given(loads=LOADS, available=st.integers(0, 32), victim=st.sampled_from(Victim), keep_gib=st.integers(0, 40))
def test_the_oldest_is_never_evicted(loads: list[Load], available: int, victim: Victim, keep_gib: int) -> None:
    limits = replace(LIMITS, victim=victim, keep_free_bytes=keep_gib * GIB)
    returned = [one.key for one in relieve_pressure(use(available), loads, limits)]
    assert next((one.key for one in loads if not one.is_dying), -1) not in returned
    assert not {one.key for one in loads if one.is_dying} & set(returned)
    assert len(returned) == len(set(returned))


@given(loads=LOADS, available=st.integers(0, 32), victim=st.sampled_from(Victim), keep_gib=st.integers(0, 40))
def test_no_more_go_back_than_have_to(loads: list[Load], available: int, victim: Victim, keep_gib: int) -> None:
    limits = replace(LIMITS, victim=victim, keep_free_bytes=keep_gib * GIB)
    returned = [one.key for one in relieve_pressure(use(available), loads, limits)]
    freed = [one.used_bytes for one in loads if one.key in returned or one.is_dying]
    if returned:
        last = loads[returned[-1]].used_bytes
        assert available * GIB + sum(freed) - last < keep_gib * GIB


@given(
    parts=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
    now=st.floats(0, 1),
    need=st.floats(0, 1),
)
def test_nobody_goes_back_before_an_attempt_outgrows_all_that_was_known(
    parts: list[tuple[float, float]], now: float, need: float
) -> None:
    """Whatever is admitted, all that it is known to need fits, so memory is short only after a new record."""
    free_bytes = 32 * GIB - LIMITS.keep_free_bytes
    scale = free_bytes / max(1.0, sum(known for known, _ in parts))
    known_bytes = [int(known * scale) for known, _ in parts]
    used_bytes = [int(known * used) for known, (_, used) in zip(known_bytes, parts, strict=True)]
    loads = [
        Load(n, used, known, 0, False) for n, (used, known) in enumerate(zip(used_bytes, known_bytes, strict=True))
    ]
    before = replace(use(0), memory=NodeMemory(32 * GIB, 32 * GIB - sum(used_bytes)))

    admitted_bytes = int(need * room(before, loads, LIMITS).memory_bytes)
    grown = [Load(n, int(known * now), known, 0, False) for n, known in enumerate([*known_bytes, admitted_bytes])]
    after = replace(before, memory=NodeMemory(32 * GIB, 32 * GIB - sum(load.used_bytes for load in grown)))

    assert relieve_pressure(after, grown, LIMITS) == []


@given(
    available=st.floats(0, 32),
    busy=st.floats(0, 100),
    foreign=st.floats(0, 100),
    trend=st.floats(0, 1e12),
    growth=st.integers(-GIB, 100 * GIB),
)
def test_an_empty_node_always_starts_something(
    available: float, busy: float, foreign: float, trend: float, growth: int
) -> None:
    node = replace(
        use(available, busy=busy), foreign_cores=foreign, trend_bytes_per_s=trend, growth_bytes=growth, attempts=0
    )
    grown = room(node, [], LIMITS)
    assert grown.attempts >= 1
    assert not grown.unknown_waits
    assert fits(node, [], LIMITS, need_bytes=0)
