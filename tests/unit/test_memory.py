"""What memory a node has: the machine's, or less if a cgroup allows less."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from distcomp.memory import NodeMemoryReader
from distcomp.model import NodeMemory

GIB = 2**30
NO_LIMIT_V1 = 9223372036854771712


class Node:
    """A made-up machine of 16 GiB with 12 free."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroups = root / "proc", root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.cgroups.mkdir()
        self.meminfo(16, 12)
        self.is_in("0::/")

    def meminfo(self, total_gib: int, available_gib: int) -> None:
        fields = {"MemTotal": total_gib, "MemFree": 1, "MemAvailable": available_gib, "Cached": 3}
        lines = [f"{name}:{gib * 2**20:15} kB\n" for name, gib in fields.items()]
        (self.proc / "meminfo").write_text("".join(lines))

    def is_in(self, *lines: str) -> None:
        (self.proc / "self" / "cgroup").write_text("\n".join(lines) + "\n")

    def v2(self, path: str, limit: float | None, used: float = 0, cache: float = 0, high: float | None = None) -> None:
        folder = self.cgroups / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(_limit(limit))
        (folder / "memory.high").write_text(_limit(high))
        (folder / "memory.current").write_text(f"{int(used * GIB)}\n")
        (folder / "memory.stat").write_text(f"anon 1\nactive_file 7\ninactive_file {int(cache * GIB)}\nfile 9\n")

    def v1(self, path: str, limit: float | None, used: float = 0, cache: float = 0) -> None:
        folder = self.cgroups / "memory" / path
        folder.mkdir(parents=True, exist_ok=True)
        limit_bytes = NO_LIMIT_V1 if limit is None else int(limit * GIB)
        (folder / "memory.limit_in_bytes").write_text(f"{limit_bytes}\n")
        (folder / "memory.usage_in_bytes").write_text(f"{int(used * GIB)}\n")
        (folder / "memory.stat").write_text(f"inactive_file 0\ntotal_inactive_file {int(cache * GIB)}\n")

    def reader(self) -> NodeMemoryReader:
        return NodeMemoryReader(self.proc, self.cgroups)

    def read(self) -> tuple[float, float]:
        reader = self.reader()
        memory = reader.read()
        reader.close()
        return _gib(memory)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_without_cgroups_it_is_the_machines(node: Node) -> None:
    assert node.read() == (16, 12)


def test_a_limit_of_version_2_counts_without_the_page_cache(node: Node) -> None:
    node.is_in("0::/job")
    node.v2("job", limit=8, used=6, cache=2)

    assert node.read() == (8, 4)


def test_the_machine_may_be_the_tighter_one(node: Node) -> None:
    node.is_in("0::/job")
    node.v2("job", limit=15, used=1)

    assert node.read() == (15, 12)


def test_the_tightest_of_nested_limits_counts(node: Node) -> None:
    node.is_in("0::/a/b/c")
    node.v2("a", limit=4, used=3.5)
    node.v2("a/b", limit=None, used=2)
    node.v2("a/b/c", limit=3, used=1)

    assert node.read() == (3, 0.5)


def test_where_the_kernel_slows_down_is_a_limit_too(node: Node) -> None:
    node.is_in("0::/job")
    node.v2("job", limit=8, high=6, used=1)

    assert node.read() == (6, 5)


def test_a_container_sees_its_own_cgroup_as_the_topmost(node: Node) -> None:
    node.is_in("0::/")
    node.v2("", limit=2, used=0.5)

    assert node.read() == (2, 1.5)


def test_a_limit_of_version_1_counts(node: Node) -> None:
    node.is_in("5:cpu,cpuacct:/x", "4:memory:/job/1", "0::/unified")
    node.v1("", limit=None)
    node.v1("job", limit=6, used=5, cache=1)
    node.v1("job/1", limit=None, used=5)

    assert node.read() == (6, 2)


def test_a_path_on_the_host_that_a_container_does_not_have(node: Node) -> None:
    node.is_in("4:memory:/docker/0123")
    node.v1("", limit=1, used=0.25)

    assert node.read() == (1, 0.75)


def test_use_beyond_the_limit_leaves_nothing(node: Node) -> None:
    node.is_in("0::/job")
    node.v2("job", limit=2, used=3)

    assert node.read() == (2, 0)


def test_numbers_and_limits_are_read_anew_each_time(node: Node) -> None:
    node.is_in("0::/job")
    node.v2("job", limit=None, used=1)
    reader = node.reader()
    assert _gib(reader.read()) == (16, 12)

    node.meminfo(16, 10)
    assert _gib(reader.read()) == (16, 10)
    node.v2("job", limit=4, used=1)
    assert _gib(reader.read()) == (4, 3)
    reader.close()


def test_this_machine_can_be_read() -> None:
    reader = NodeMemoryReader()
    memory = reader.read()
    reader.close()

    assert 2**26 < memory.available_bytes <= memory.total_bytes


def test_a_tighter_limit_above_a_looser_one_counts(node: Node) -> None:
    node.is_in("0::/a/b")
    node.v2("a", limit=4, used=1)
    node.v2("a/b", limit=6, used=1)

    assert node.read() == (4, 3)


def test_a_limit_beyond_the_machine_is_none(node: Node) -> None:
    """Whatever is charged there: page cache in use is, and can be had all the same."""
    node.is_in("0::/job")
    node.v2("job", limit=16, used=10)

    assert node.read() == (16, 12)


def test_a_cgroup_that_is_removed_is_left_for_the_one_we_are_in_then(node: Node) -> None:
    """What is open of it cannot be read any more, as a directory cannot."""
    node.is_in("0::/old")
    node.v2("old", limit=4)
    (node.cgroups / "old/memory.current").unlink()
    (node.cgroups / "old/memory.current").mkdir()
    reader = node.reader()
    node.is_in("0::/new")
    node.v2("new", limit=3, used=1)

    assert _gib(reader.read()) == (3, 2)
    reader.close()
    assert _open_below(node.cgroups) == []


def test_a_cgroup_that_does_not_account_for_memory_is_none_and_stays_open_nowhere(node: Node) -> None:
    node.is_in("0::/job")
    node.v2("job", limit=4)
    (node.cgroups / "job/memory.current").unlink()

    assert node.read() == (16, 12)
    assert _open_below(node.cgroups) == []


def test_page_cache_that_the_kernel_does_not_tell_of_counts_as_used(node: Node) -> None:
    node.is_in("0::/job")
    node.v2("job", limit=8, used=6, cache=2)
    (node.cgroups / "job/memory.stat").write_text("anon 1\n")

    assert node.read() == (8, 2)


def test_a_cgroup_for_something_else_is_none(node: Node) -> None:
    node.is_in("3:cpu:/job")
    node.v2("job", limit=4)

    assert node.read() == (16, 12)


def test_what_is_not_said_to_be_free_is_not(node: Node) -> None:
    (node.proc / "meminfo").write_text(f"MemTotal: {16 * 2**20} kB\n")

    assert node.read() == (16, 0)


def _gib(memory: NodeMemory) -> tuple[float, float]:
    return memory.total_bytes / GIB, memory.available_bytes / GIB


def _limit(gib: float | None) -> str:
    return "max\n" if gib is None else f"{int(gib * GIB)}\n"


def _open_below(folder: Path) -> list[Path]:
    """What this process has open there."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # as what lists them is over by now
            found.append(link.readlink())
    return [path for path in found if path.is_relative_to(folder)]
