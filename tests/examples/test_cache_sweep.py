"""examples/cache_sweep: the simulations are right, and so is what the report makes of them."""

from __future__ import annotations

import csv
import hashlib
import json
import lzma
import shutil
import xml.etree.ElementTree as ET
from array import array
from collections.abc import Sequence
from pathlib import Path

import cachesim
import pytest
import verify
from hypothesis import given
from hypothesis import strategies as st

from . import naive_caches
from .conftest import EXAMPLES, RunScript

TRACES = EXAMPLES / "cache_sweep" / "traces"
ALGORITHMS = list(cachesim.ALGORITHMS)


def write_trace(path: Path, requests: Sequence[int]) -> Path:
    path.write_bytes(lzma.compress(array("I", requests).tobytes()))
    return path


class TestSimulation:
    @pytest.mark.parametrize("name", ["blocks_sqlite", "paths_venv", "prog_python"])
    def test_miss_ratios_equal_those_of_an_independent_simulator(self, name: str) -> None:
        known = {
            run: ratio for run, ratio in verify.read_miss_ratios(TRACES / "expected.csv").items() if run[0] == name
        }

        assert len(known) >= 28
        assert verify.simulate_trace(TRACES, name, known) == known

    @given(trace=st.lists(st.integers(1, 12), min_size=1, max_size=120), cache_size=st.integers(1, 14))
    @pytest.mark.parametrize("algo", ["lru", "fifo", "fifo_reinsertion", "sieve"])
    def test_misses_equal_those_of_a_naive_cache(self, algo: str, trace: list[int], cache_size: int) -> None:
        assert getattr(cachesim, algo)(trace, 12, cache_size) == getattr(naive_caches, algo)(trace, cache_size)

    @given(trace=st.lists(st.integers(1, 9), min_size=1, max_size=80))
    @pytest.mark.parametrize("algo", ALGORITHMS)
    def test_a_cache_that_holds_everything_misses_each_object_once(self, algo: str, trace: list[int]) -> None:
        assert cachesim.ALGORITHMS[algo](trace, 9, 9) == len(set(trace))

    @given(trace=st.lists(st.integers(1, 9), min_size=1, max_size=80))
    @pytest.mark.parametrize("algo", ALGORITHMS)
    def test_a_cache_of_one_object_hits_only_repeats(self, algo: str, trace: list[int]) -> None:
        changes = sum(1 for before, key in zip([0, *trace], trace, strict=False) if before != key)

        assert cachesim.ALGORITHMS[algo](trace, 9, 1) == changes

    @given(trace=st.lists(st.integers(1, 30), min_size=1, max_size=300), cache_size=st.integers(1, 40))
    def test_the_queues_of_s3fifo_hold_no_more_than_the_cache(self, trace: list[int], cache_size: int) -> None:
        cache = cachesim.S3Fifo(30, cache_size)
        for key in trace:
            if cache.uses[key]:
                cache.uses[key] = min(cache.uses[key] + 1, cache.MOST_USES)
            else:
                cache.bring_in(key)

            held = [*cache.new, *cache.proven]
            assert len(held) <= cache_size
            assert sorted(held) == [key for key, uses in enumerate(cache.uses) if uses]
            assert not cache.ghosts.keys() & set(held)
            assert len(cache.ghosts) <= 0.9 * cache_size

    @given(trace=st.lists(st.integers(1, 30), min_size=1, max_size=300), cache_size=st.integers(1, 40))
    def test_the_lists_of_arc_hold_no_more_than_the_cache_and_as_many_ghosts(
        self, trace: list[int], cache_size: int
    ) -> None:
        cache = cachesim.Arc(cache_size)
        for key in trace:
            if key in cache.once or key in cache.often:
                cache.once.pop(key, None)
                cache.often.pop(key, None)
                cache.often[key] = None
            else:
                cache.bring_in(key)

            known = [*cache.once, *cache.once_ghosts, *cache.often, *cache.often_ghosts]
            assert len(known) == len(set(known)) <= 2 * cache_size
            assert len(cache.once) + len(cache.often) <= cache_size
            assert len(cache.once) + len(cache.once_ghosts) <= cache_size


class TestCachesimCommand:
    @pytest.mark.parametrize("algo", ["FIFO-Reinsertion", "Clock", "fiforeinsertion"])
    def test_it_prints_one_line_of_json(self, algo: str, tmp_path: Path, run_script: RunScript) -> None:
        trace = write_trace(tmp_path / "tiny.u32.xz", [1, 2, 1, 3, 1, 2])

        result = run_script("cache_sweep/cachesim.py", trace, algo, "2")

        assert result.returncode == 0, result.stderr
        assert result.stdout.count("\n") == 1
        assert json.loads(result.stdout) == {
            "trace": "tiny",
            "algo": algo,
            "size": 2,
            "cache_size": 2,
            "n_req": 6,
            "n_obj": 3,
            "misses": 4,
            "miss_ratio": 0.666667,
        }

    @pytest.mark.parametrize(
        ("size", "objects"), [("0.5", 5), ("0.59", 5), ("0.001", 1), ("1.0", 10), ("1", 1), ("40", 40)]
    )
    def test_a_size_is_a_number_of_objects_or_a_fraction_of_them(self, size: str, objects: int, tmp_path: Path) -> None:
        trace = write_trace(tmp_path / "ten.u32.xz", range(1, 11))
        number = int(size) if size.isdecimal() else float(size)

        assert cachesim.simulate(trace, "LRU", number)["cache_size"] == objects

    @pytest.mark.parametrize(
        ("algo", "size", "message"),
        [
            ("LFU", "2", "no algorithm 'LFU'"),
            ("LRU", "0", "not 0"),
            ("LRU", "-3", "not -3"),
            ("LRU", "1.5", "not 1.5"),
            ("LRU", "nan", "not nan"),
            ("LRU", "big", "big"),
        ],
    )
    def test_a_bad_argument_is_one_line_and_exit_2(
        self, algo: str, size: str, message: str, tmp_path: Path, run_script: RunScript
    ) -> None:
        result = run_script("cache_sweep/cachesim.py", write_trace(tmp_path / "t.u32.xz", [1]), algo, size)

        assert result.returncode == 2
        assert message in result.stderr
        assert result.stderr.count("\n") == 1

    @pytest.mark.parametrize("content", [None, b"", b"not xz", lzma.compress(b""), lzma.compress(b"12345")])
    def test_what_is_not_a_trace_is_one_line_and_exit_2(
        self, content: bytes | None, tmp_path: Path, run_script: RunScript
    ) -> None:
        trace = tmp_path / "t.u32.xz"
        if content is not None:
            trace.write_bytes(content)

        result = run_script("cache_sweep/cachesim.py", trace, "LRU", "2")

        assert result.returncode == 2
        assert result.stderr.startswith("cachesim: ")
        assert result.stderr.count("\n") == 1


class TestShippedTraces:
    def test_they_are_what_the_manifest_says(self) -> None:
        with (TRACES / "MANIFEST.csv").open(newline="") as file:
            listed = {row["name"]: row for row in csv.DictReader(file)}

        assert {path.name.partition(".")[0] for path in TRACES.glob("*.xz")} == listed.keys()
        for name, row in listed.items():
            path = TRACES / f"{name}.u32.xz"
            trace = cachesim.read_trace(path)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
            assert (len(trace), max(trace)) == (int(row["requests"]), int(row["objects"]))

    @pytest.mark.parametrize("name", ["blocks_make", "code_cc1", "prog_grep"])
    def test_ids_count_up_in_order_of_first_appearance(self, name: str) -> None:
        seen = dict.fromkeys(cachesim.read_trace(TRACES / f"{name}.u32.xz"))

        assert list(seen) == list(range(1, len(seen) + 1))


class TestVerify:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        shutil.copy(TRACES / "prog_python.u32.xz", tmp_path)
        return tmp_path

    def expect(self, folder: Path, algo: str, cache_size: int, miss_ratio: str) -> None:
        lines = ["trace,algo,cache_size,miss_ratio", f"prog_python,{algo},{cache_size},{miss_ratio}"]
        (folder / "expected.csv").write_text("\n".join(lines) + "\n")

    def test_equal_answers_are_counted(self, folder: Path, run_script: RunScript) -> None:
        self.expect(folder, "Clock", 18, "0.308542")

        result = run_script("cache_sweep/verify.py", folder)

        assert "FIFO-Reinsertion       1           0       0" in result.stdout
        assert result.returncode == 0

    def test_a_different_answer_is_shown_and_exits_1(self, folder: Path, run_script: RunScript) -> None:
        self.expect(folder, "LRU", 18, "0.309347")

        result = run_script("cache_sweep/verify.py", folder)

        assert "different: prog_python LRU 18: 0.309346, known is 0.309347" in result.stdout
        assert result.returncode == 1

    def test_s3fifo_with_under_20_objects_is_counted_apart(self, folder: Path, run_script: RunScript) -> None:
        self.expect(folder, "S3FIFO", 18, "1.000000")

        result = run_script("cache_sweep/verify.py", folder)

        assert "apart: prog_python S3-FIFO 18: 0.342432, known is 1.000000" in result.stdout
        assert result.returncode == 0

    def test_a_table_of_results_can_be_compared(self, folder: Path, run_script: RunScript) -> None:
        self.expect(folder, "ARC", 180, "0.043312")
        results = folder / "results.csv"
        results.write_text("trace,algo,cache_size,miss_ratio\ntraces/prog_python.u32.xz,ARC,180,0.5\nx,LRU,,\n")

        result = run_script("cache_sweep/verify.py", folder, results)

        assert "different: prog_python ARC 180: 0.500000, known is 0.043312" in result.stdout


class TestReport:
    HEADER = "trace,algo,size,n_req,miss_ratio,state,reason"
    # Misses of LRU, FIFO-Reinsertion and FIFO at 1 % and 10 %: better and tie, worse and better.
    RESULTS = (
        *(
            "a,LRU,0.01,1000,0.5,finished,",
            "a,FIFO-Reinsertion,0.01,1000,0.4,finished,",
            "a,FIFO,0.01,1000,0.8,finished,",
        ),
        *("a,LRU,0.1,1000,0.2,finished,", "a,FIFO-Reinsertion,0.1,1000,0.3,finished,", "a,FIFO,0.1,1000,0.4,finished,"),
        *(
            "b,LRU,0.01,1000,0.5,finished,",
            "b,FIFO-Reinsertion,0.01,1000,0.5,finished,",
            "b,FIFO,0.01,1000,0.5,finished,",
        ),
        *("b,LRU,0.1,1000,0.2,finished,", "b,FIFO-Reinsertion,0.1,1000,0.1,finished,", "b,FIFO,0.1,1000,0.2,finished,"),
    )

    def table(self, folder: Path, *rows: str) -> Path:
        path = folder / "results.csv"
        path.write_text("\n".join([self.HEADER, *rows]) + "\n")
        return path

    def test_it_counts_better_tie_and_worse_by_size(self, tmp_path: Path, run_script: RunScript) -> None:
        result = run_script("cache_sweep/report.py", self.table(tmp_path, *self.RESULTS))

        assert result.returncode == 0, result.stderr
        assert "         1 %        2        1      1       0                   -10.0 %" in result.stdout
        assert "        10 %        2        1      0       1                    +0.0 %" in result.stdout
        assert "   all sizes        4        2      1       1                    -5.0 %" in result.stdout
        assert "in 2 of 4 comparisons, equally often in 1, more often in 1." in result.stdout

    def test_it_compares_all_with_fifo(self, tmp_path: Path, run_script: RunScript) -> None:
        result = run_script("cache_sweep/report.py", self.table(tmp_path, *self.RESULTS))

        compared = result.stdout.partition("Misses compared with FIFO")[2].splitlines()
        assert compared[2].split() == ["cache", "size", "LRU", "FIFO-Reinsertion", "SIEVE", "S3-FIFO", "ARC"]
        assert compared[3].split() == ["1", "%", "-18.8", "%", "-25.0", "%", "-", "-", "-"]
        assert compared[4].split() == ["10", "%", "-25.0", "%", "-37.5", "%", "-", "-", "-"]

    def test_equal_to_six_decimals_is_a_tie_and_one_request_is_not(self, tmp_path: Path, run_script: RunScript) -> None:
        rows = [f"{trace},{algo},9,1000000,{ratio},finished," for trace, algo, ratio in (
            ("tie", "LRU", "0.1"), ("tie", "Clock", "0.100000"), ("one", "LRU", "0.100001"), ("one", "Clock", "0.1"),
        )]  # fmt: skip

        result = run_script("cache_sweep/report.py", self.table(tmp_path, *rows))

        assert "   9 objects        2        1      1       0                    -0.0 %" in result.stdout

    def test_what_is_missing_is_named_and_left_out(self, tmp_path: Path, run_script: RunScript) -> None:
        *most, failed, unlisted = self.RESULTS
        row = "traces/b.u32.xz,FIFO-Reinsertion,0.10,,,failed,exit code 2"
        assert failed.startswith("b,FIFO-Reinsertion,0.1")
        assert unlisted.startswith("b,FIFO,0.1")

        result = run_script("cache_sweep/report.py", self.table(tmp_path, *most, row))

        assert "        10 %        1        0      0       1                   +50.0 %" in result.stdout
        assert "Missing: 2 of 12 results" in result.stdout
        assert "  b FIFO-Reinsertion 0.1: failed exit code 2" in result.stdout
        assert "  b FIFO 0.1: not in the table" in result.stdout
        assert result.returncode == 1

    def test_no_results_at_all_is_a_report_too(self, tmp_path: Path, run_script: RunScript) -> None:
        result = run_script(
            "cache_sweep/report.py", self.table(tmp_path, "a,LRU,0.1,,,failed,"), "--plot", tmp_path / "p.svg"
        )

        assert result.stderr == ""
        assert "Missing: 1 of 1 results" in result.stdout

    def test_the_plot_has_a_dot_for_each_comparison(self, tmp_path: Path, run_script: RunScript) -> None:
        plot = tmp_path / "plot.svg"

        run_script("cache_sweep/report.py", self.table(tmp_path, *self.RESULTS), "--plot", plot)

        svg = ET.parse(plot).getroot()
        names = [title.text for title in svg.iter("{http://www.w3.org/2000/svg}title")]
        assert sorted(names, key=str) == ["a: +50.00 %", "a: -20.00 %", "b: +0.00 %", "b: -50.00 %"]
