"""examples/published_study: raw result files of a published study, one task for each, to a table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from parse_one import parse_line

from .conftest import RunScript

RAW = Path(__file__).parent / "raw_results"

# By hand from the five files: Cloudphysics/w51 is better at all sizes, SYSTOR/2016_LUN1 at all but 20 %,
# Twitter/cluster32 is equal at all, and the other two do not have all eight sizes.
SUMMARY = """\
5 files, 0 unparsable lines, 3 traces with all 8 sizes
 0.1%  n=3  FIFO-Reinsertion < LRU 0.6667  tie 0.3333  > 0.0000
 0.3%  n=3  FIFO-Reinsertion < LRU 0.6667  tie 0.3333  > 0.0000
   1%  n=3  FIFO-Reinsertion < LRU 0.6667  tie 0.3333  > 0.0000
   3%  n=3  FIFO-Reinsertion < LRU 0.6667  tie 0.3333  > 0.0000
  10%  n=3  FIFO-Reinsertion < LRU 0.6667  tie 0.3333  > 0.0000
  20%  n=3  FIFO-Reinsertion < LRU 0.3333  tie 0.3333  > 0.3333
  40%  n=3  FIFO-Reinsertion < LRU 0.6667  tie 0.3333  > 0.0000
  80%  n=3  FIFO-Reinsertion < LRU 0.6667  tie 0.3333  > 0.0000
all sizes: 15/24 = 0.6250, tie 0.3333
Cloudphysics     0.1% n=    1 better 1.000 tie 0.000
Cloudphysics       1% n=    1 better 1.000 tie 0.000
Cloudphysics      10% n=    1 better 1.000 tie 0.000
SYSTOR           0.1% n=    1 better 1.000 tie 0.000
SYSTOR             1% n=    1 better 1.000 tie 0.000
SYSTOR            10% n=    1 better 1.000 tie 0.000
Twitter          0.1% n=    1 better 0.000 tie 1.000
Twitter            1% n=    1 better 0.000 tie 1.000
Twitter           10% n=    1 better 0.000 tie 1.000
"""


@pytest.fixture
def rows(run_script: RunScript) -> list[dict[str, object]]:
    """What parse_one.py says about each of the files, as a result table has it."""
    outputs = [run_script("published_study/parse_one.py", file).stdout for file in sorted(RAW.glob("*/*.txt"))]
    return [json.loads(output) for output in outputs]


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    columns = dict.fromkeys(column for row in rows for column in row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_file_becomes_one_line_of_columns(run_script: RunScript) -> None:
    result = run_script("published_study/parse_one.py", RAW / "SYSTOR" / "2016_LUN1.txt")

    assert result.returncode == 0, result.stderr
    columns = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert (columns["dataset"], columns["trace"]) == ("SYSTOR", "2016_LUN1")
    assert (columns["sizes"], columns["unparsable"]) == (8, 0)
    assert (columns["lru_20"], columns["fifo_reinsertion_20"]) == (0.2418, 0.2421)


def test_a_file_with_fewer_sizes_says_so_and_is_not_compared(run_script: RunScript) -> None:
    """Nothing in it says which of the eight sizes it has."""
    result = run_script("published_study/parse_one.py", RAW / "CDN2" / "cdn2_colo28.ns305.txt")

    assert json.loads(result.stdout) == {"dataset": "CDN2", "trace": "cdn2_colo28.ns305", "sizes": 2, "unparsable": 0}


@pytest.mark.parametrize(
    "line",
    [
        "LRU cache size 12, 99 req, miss ratio 0.5, byte miss ratio 0.5",
        "result/x LRU cache size 12, 99 req, miss ratio",
        "result/x LRU cache size twelve, 99 req, miss ratio 0.5, byte miss ratio 0.5",
        "[WARN] something else",
    ],
)
def test_a_line_that_is_no_result_is_counted_not_guessed_at(line: str, tmp_path: Path, run_script: RunScript) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_line(line)

    whole = RAW / "Cloudphysics" / "w51.txt"
    with_fault = tmp_path / "Cloudphysics" / "w51.txt"
    with_fault.parent.mkdir()
    with_fault.write_text(f"{line}\n\n{whole.read_text()}")
    columns = json.loads(run_script("published_study/parse_one.py", with_fault).stdout)
    assert (columns["unparsable"], columns["sizes"]) == (1, 8)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_summary_is_the_same_from_both_tables(
    suffix: str, rows: list[dict[str, object]], tmp_path: Path, run_script: RunScript
) -> None:
    results = tmp_path / f"results{suffix}"
    if suffix == ".csv":
        write_csv(results, rows)
    else:
        results.write_text("".join(json.dumps(row) + "\n" for row in rows))

    summary = run_script("published_study/summarise.py", results)

    assert summary.stdout == SUMMARY
    assert summary.returncode == 0


def test_a_task_without_a_result_is_named(rows: list[dict[str, object]], tmp_path: Path, run_script: RunScript) -> None:
    lost: dict[str, object] = {"command": "parse_one.py lost.txt", "state": "failed"}

    summary = run_script("published_study/summarise.py", write_csv(tmp_path / "results.csv", [*rows, lost]))

    assert summary.stdout == SUMMARY
    assert summary.stderr == "no result: parse_one.py lost.txt\n"
    assert summary.returncode == 1
