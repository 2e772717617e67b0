"""examples/cache_sweep/record_trace.py: what a program used becomes a trace."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import record_trace
from cachesim import read_trace

from .conftest import RunScript

LACKEY = """\
==12== Lackey, an example Valgrind tool
I  0401b770,1
 S 1fff000770,8
I  0401b7be,7
 L 1fff00077c,8
 M 1fff001000,4
""".splitlines()


class TestMemory:
    def test_lines_are_64_bytes_of_data_and_an_access_over_an_edge_uses_both(self) -> None:
        line = 0x1FFF000740 // 64

        assert [*record_trace.accesses("lines", LACKEY)] == [line, line, line + 1, 0x1FFF001000 // 64]

    def test_pages_are_4096_bytes_of_data(self) -> None:
        assert [*record_trace.accesses("pages", LACKEY)] == [0x1FFF000, 0x1FFF000, 0x1FFF001]

    def test_code_is_instructions_only(self) -> None:
        line = 0x0401B740 // 64

        assert [*record_trace.accesses("code", LACKEY)] == [line, line + 1, line + 2]


class TestFileBlocks:
    def blocks(self, *lines: str) -> list[object]:
        return [*record_trace.accesses("blocks", lines)]

    def test_calls_with_an_offset_say_where(self) -> None:
        assert self.blocks(
            'pread64(3</tmp/x.db>, ""..., 100, 0) = 100',
            'pwrite64(3</tmp/x.db>, ""..., 4096, 8192) = 4096',
            'pread64(3</tmp/x.db>, ""..., 10, 4090) = 10',
        ) == [("/tmp/x.db", 0), ("/tmp/x.db", 2), ("/tmp/x.db", 0), ("/tmp/x.db", 1)]

    def test_reads_go_on_from_where_the_last_one_ended(self) -> None:
        assert self.blocks(
            'openat(AT_FDCWD</tmp>, "x", O_RDONLY) = 3</tmp/x>',
            'read(3</tmp/x>, ""..., 4096) = 4096',
            'read(3</tmp/x>, ""..., 4096) = 100',
            'read(3</tmp/x>, "", 4096) = 0',
            "lseek(3</tmp/x>, 40960, SEEK_SET) = 40960",
            'write(3</tmp/x>, ""..., 1) = 1',
            'openat(AT_FDCWD</tmp>, "x", O_RDONLY) = 3</tmp/x>',
            'read(3</tmp/x>, ""..., 1) = 1',
        ) == [("/tmp/x", 0), ("/tmp/x", 1), ("/tmp/x", 1), ("/tmp/x", 10), ("/tmp/x", 0)]

    def test_processes_have_positions_of_their_own(self) -> None:
        assert self.blocks(
            '7 read(3</tmp/x>, ""..., 4096) = 4096',
            '8 read(3</tmp/x>, ""..., 4096) = 4096',
            '7 read(3</tmp/x>, ""..., 4096) = 4096',
        ) == [("/tmp/x", 0), ("/tmp/x", 0), ("/tmp/x", 1)]

    def test_a_call_that_another_process_interrupts_is_put_together(self) -> None:
        assert self.blocks(
            "7 pread64(3</tmp/x>,  <unfinished ...>",
            '8 pread64(3</tmp/y>, ""..., 1, 0) = 1',
            '7 <... pread64 resumed>""..., 1, 4096) = 1',
        ) == [("/tmp/y", 0), ("/tmp/x", 1)]

    def test_what_failed_and_what_is_no_file_on_disk_does_not_count(self) -> None:
        assert not self.blocks(
            "read(3</tmp/x>, 0x7ffc, 4096) = -1 EISDIR (Is a directory)",
            'read(0<pipe:[123]>, ""..., 4096) = 10',
            'read(4</proc/meminfo>, ""..., 4096) = 10',
            "+++ exited with 0 +++",
        )


def test_paths_are_names_looked_up_found_or_not() -> None:
    lines = [
        'execve("/usr/bin/gcc", ["gcc", "-c", "a.c"], 0x7ffc /* 35 vars */) = 0',
        '12 openat(AT_FDCWD</home/me>, "src/../a.c", O_RDONLY) = -1 ENOENT (No such file or directory)',
        '12 newfstatat(3</lib>, "libc.so", {st_mode=S_IFREG|0755, st_size=19, ...}, 0) = 0',
        '12 newfstatat(3</lib>, "", {st_mode=S_IFREG|0755, st_size=19, ...}, AT_EMPTY_PATH) = 0',
    ]

    assert [*record_trace.accesses("paths", lines)] == ["/usr/bin/gcc", "/home/me/a.c", "/lib/libc.so"]


def test_ids_count_up_and_repeats_are_one_request_up_to_the_limit() -> None:
    objects = ["x", "y", "y", "x", "x", "z", "y"]

    assert [*record_trace.number(objects, limit=10)] == [1, 2, 1, 3, 2]
    assert [*record_trace.number(objects, limit=3)] == [1, 2, 1]


needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
needs_valgrind = pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")


class TestRealPrograms:
    @needs_strace
    def test_the_blocks_of_a_file_in_the_order_they_are_read(self, tmp_path: Path, run_script: RunScript) -> None:
        read = tmp_path / "read.bin"
        read.write_bytes(bytes(5 * 4096))
        program = "import os, sys; f = os.open(sys.argv[1], 0); [os.pread(f, 4096, n * 4096) for n in (4, 0, 4, 4, 2)]"
        out = tmp_path / "traces" / "mine.u32.xz"

        result = run_script(
            "cache_sweep/record_trace.py", "blocks", out, "--", sys.executable, "-I", "-S", "-c", program, read
        )

        assert result.returncode == 0, result.stderr
        assert [*read_trace(out)][-4:] == [key := max(read_trace(out)) - 2, key + 1, key, key + 2]

    @needs_strace
    def test_the_manifest_lists_each_trace_once(self, tmp_path: Path, run_script: RunScript) -> None:
        for name in ("b", "a", "b"):
            result = run_script("cache_sweep/record_trace.py", "paths", tmp_path / f"{name}.u32.xz", "--", "ls", "/")
            assert result.returncode == 0, result.stderr

        with (tmp_path / "MANIFEST.csv").open(newline="") as file:
            rows = [*csv.DictReader(file)]
        assert [(row["name"], row["kind"], row["program"]) for row in rows] == [
            ("a", "paths", "ls /"),
            ("b", "paths", "ls /"),
        ]
        trace = read_trace(tmp_path / "b.u32.xz")
        assert (int(rows[1]["requests"]), int(rows[1]["objects"])) == (len(trace), max(trace))

    @needs_valgrind
    @pytest.mark.parametrize("kind", ["lines", "pages", "code"])
    def test_a_program_is_ended_at_the_limit(self, kind: str, tmp_path: Path, run_script: RunScript) -> None:
        out = tmp_path / "endless.u32.xz"

        result = run_script(
            "cache_sweep/record_trace.py", kind, out, "--limit", "2000", "--", "sh", "-c", "while :; do :; done"
        )

        assert result.returncode == 0, result.stderr
        assert len(read_trace(out)) == 2000

    def test_a_missing_tool_is_said_in_one_line(self, tmp_path: Path) -> None:
        script = Path(record_trace.__file__)
        command: list[str | Path] = [sys.executable, script, "paths", tmp_path / "x.u32.xz", "--", "ls"]

        result = subprocess.run(
            command, env=os.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=30, check=False
        )

        assert result.stderr == "record_trace: strace is not installed\n"
        assert result.returncode == 1
