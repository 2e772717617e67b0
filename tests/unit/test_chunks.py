"""How needs are rounded and specs are packed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.model import TaskSpec
from distcomp.store.chunks import cores_step, decode_body, encode_alike, encode_body, memory_step

GIB = 1 << 30


@pytest.mark.parametrize("gib", [1, 2, 3, 5, 7, 12, 31, 63, 64, 80, 96, 128, 256, 373, 500, 755, 1.5, 0.5, 2.5])
def test_memory_that_people_write_is_kept_exactly(gib: float) -> None:
    assert memory_step(int(gib * GIB)) == gib * GIB


@pytest.mark.parametrize("cores", [0, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 2.25, 3, 8, 16, 24, 32, 48, 64, 96, 128])
def test_cores_that_people_write_are_kept_exactly(cores: float) -> None:
    """A task that asks for all cores of a node must fit the node."""
    assert cores_step(cores) == cores * 1000


@given(st.integers(0, 1 << 50))
def test_memory_is_rounded_down_by_little_and_into_few_classes(need: int) -> None:
    """Never up: who declares as much as a node has must be able to run there."""
    assert need - need // 32 <= memory_step(need) <= need
    assert bool(memory_step(need)) == bool(need), "0 means that nothing is known"
    assert memory_step(memory_step(need)) == memory_step(need)


@given(st.floats(0, 10_000))
def test_cores_are_rounded_down_by_little(cores: float) -> None:
    millicores = round(cores * 1000)
    assert min(millicores - 250, millicores / 1.05) <= cores_step(cores) <= max(millicores, 50)
    assert bool(cores_step(cores)) == bool(millicores), "0 means that nothing is known"


text = st.text(st.characters(codec="utf-8") | st.sampled_from(["\udc80", "\udcff", "\0"]), max_size=20)


@given(st.lists(st.builds(TaskSpec, command=text, cwd=text, env=st.dictionaries(text, text)), min_size=1, max_size=5))
def test_specs_come_back_as_they_were(specs: list[TaskSpec]) -> None:
    assert decode_body(encode_body(specs)) == specs


COMMANDS = st.lists(st.text(st.characters(codec="utf-8")).map(str.encode), min_size=1, max_size=5)


@given(
    st.builds(TaskSpec, command=st.just(""), priority=st.integers(-9, 9), kind=st.just("command"), cwd=text), COMMANDS
)
def test_tasks_that_are_alike_are_packed_as_any_others(pattern: TaskSpec, commands: list[bytes]) -> None:
    specs = [msgspec.structs.replace(pattern, command=command.decode()) for command in commands]
    assert decode_body(encode_alike(pattern, commands)) == specs


def test_commands_of_every_length_are_packed_alike() -> None:
    for length in (0, 31, 32, 255, 256, 2047, 2048, 70_000):
        commands = [b"x" * length, b"short"]
        assert decode_body(encode_alike(TaskSpec(""), commands)) == [TaskSpec(command.decode()) for command in commands]


def test_a_tag_that_is_not_utf_8_is_kept_too() -> None:
    [spec] = decode_body(encode_alike(TaskSpec("", tags=("\udcff",)), [b"a"]))
    assert spec == TaskSpec("a", tags=("\udcff",))


def test_threads_that_pack_and_unpack_at_once_do_not_mix_their_specs() -> None:
    """As clients of several threads do: what was packed wrong would be lost."""

    def pack_and_unpack(thread: int) -> int:
        mine = [
            [TaskSpec(f"{thread} {round_} {number} " + "x" * 2000) for number in range(100)] for round_ in range(10)
        ]
        return sum(decode_body(encode_body(specs)) == specs for specs in mine for _ in range(10))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(pack_and_unpack, range(4))) == [100] * 4
