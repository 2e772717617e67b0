"""`distcomp results`: the table, in every form the same."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandbox import DISTCOMP, Sandbox

LINES = (
    {"command": 'echo noise; echo \'{"miss": 0.25, "note": "a, b", "size": 7}\'', "params": {"algo": "LRU", "size": 1}},
    {"command": 'echo \'{"miss": 1, "list": [1, 2], "ok": true}\'', "params": {"algo": "FIFO", "size": 2}},
    {"command": "echo broken >&2; exit 3", "params": {"algo": "ARC", "size": 3}, "retries": 0},
    {"command": "true nothing"},
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("ran"))
    sandbox.distcomp("server", "start")
    sandbox.write("tasks.jsonl", "".join(json.dumps(line) + "\n" for line in LINES))
    sandbox.distcomp("run", "tasks.jsonl", exit_code=1)
    yield sandbox
    sandbox.distcomp("server", "stop", "--now")
    sandbox.close()


def test_json_lines(ran: Sandbox) -> None:
    rows = [json.loads(line) for line in ran.distcomp("results", "--jsonl").stdout.splitlines()]
    first, second, failed, plain = rows
    assert (first["algo"], first["size"], first["miss"], first["note"]) == ("LRU", 1, 0.25, "a, b")
    assert first["result.size"] == 7, "a result never takes the place of a parameter"
    assert second["list"] == [1, 2]
    assert (failed["state"], failed["cause"], failed["reason"], failed["exit_code"]) == (
        "failed",
        "exit",
        "exit code 3",
        3,
    )
    assert "miss" not in failed
    assert plain["wall_s"] > 0
    assert ran.json("results") == rows


def test_csv_has_every_column_in_every_row(ran: Sandbox) -> None:
    text = ran.distcomp("results", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["miss"] for row in rows] == ["0.25", "1", "", ""]
    assert [row["algo"] for row in rows] == ["LRU", "FIFO", "ARC", ""]
    assert (rows[1]["list"], rows[1]["ok"], rows[0]["note"]) == ("[1, 2]", "true", "a, b")
    head = text.splitlines()[0].split(",")
    assert head[:3] == ["task_id", "state", "command"]
    assert head.index("algo") < head.index("miss") < head.index("exit_code")


def test_parquet_keeps_numbers(ran: Sandbox) -> None:
    import pyarrow.parquet

    ran.distcomp("results", "-o", "results.parquet")
    table = pyarrow.parquet.read_table(ran.folder / "results.parquet").to_pydict()
    assert table["miss"] == [0.25, 1.0, None, None]
    assert table["size"] == [1, 2, 3, None]
    assert table["ok"] == [None, True, None, None]


def test_a_table_to_look_at(ran: Sandbox) -> None:
    lines = ran.distcomp("results").stdout.splitlines()
    assert len(lines) == 1 + len(LINES)
    assert lines[0].split()[:5] == ["task_id", "state", "algo", "size", "miss"]


def test_the_table_has_units_in_its_cells_and_the_command_where_there_are_no_parameters(kept: Sandbox) -> None:
    # It lasts for a look, or its memory would not be known.
    command = "sleep 0.3; echo '{\"size_bytes\": 7}'; true " + "x" * 100
    kept.distcomp("run", "--", command)
    head, line = kept.distcomp("results").stdout.splitlines()
    assert head.split()[-5:] == ["wall", "cpu", "peak", "job", "command"]
    assert f"  1  {command[:59]}…" in line
    assert re.search(r" 7 .* [\d.]+m?s +[\d.]+m?s +[\d.]+ MiB ", line), "the user's own columns are as they are"
    kept.distcomp("forget", "--finished")
    kept.distcomp("sweep", "true {n}", "n=1,2")
    kept.distcomp("run")
    assert "command" not in kept.distcomp("results").stdout.splitlines()[0].split()


def test_only_some_states(ran: Sandbox) -> None:
    assert [row["state"] for row in ran.json("results", "--state", "failed")] == ["failed"]


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.json", "r.parquet"])
def test_the_files_name_says_the_form_and_it_appears_whole(ran: Sandbox, name: str) -> None:
    done = ran.distcomp("results", "-o", name)
    assert done.stdout == ""
    assert f"{len(LINES)} rows in {name}" in done.stderr
    assert (ran.folder / name).stat().st_size
    assert not list(ran.folder.glob(f".{name}.*")), "no drafts are left"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--csv", "--jsonl"], "Expected one form: --csv or --jsonl."),
        (["-o", "results.txt"], "Say in which form"),
        (["--csv", "-o", "nowhere/r.csv"], "nowhere/r.csv cannot be written: No such file or directory."),
        (["--csv", "-o", "."], ". is a directory."),
    ],
)
def test_wrong_input_writes_nothing(ran: Sandbox, arguments: list[str], message: str) -> None:
    before = set(ran.folder.iterdir())
    done = ran.distcomp("results", *arguments, exit_code=None)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert set(ran.folder.iterdir()) == before


def test_a_file_that_is_there_stays_until_the_new_one_is_whole(ran: Sandbox) -> None:
    path: Path = ran.write("old.csv", "old")
    ran.distcomp("results", "--csv", "-o", "old.csv")
    assert path.read_text().startswith("task_id,")


def test_nobody_reads_a_table_to_its_end(kept: Sandbox) -> None:
    """More than a pipe holds, into a pipe that nobody reads."""
    kept.distcomp("run", "--plain", "-", stdin="".join(f"true {number} {'x' * 5000}\n" for number in range(30)))
    for form in ("--csv", "--jsonl", "--json"):
        script = f"{shlex.join(DISTCOMP)} results {form} | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], cwd=kept.folder, env=kept.environment, capture_output=True)
        assert (done.returncode, done.stderr) == (141, b"")


def test_control_characters_do_not_reach_the_terminal(kept: Sandbox) -> None:
    kept.distcomp("run", "--plain", "-", stdin="""printf '{"name": "a\\\\nb\\\\u001b[31m"}'\n""")
    shown = kept.distcomp("results").stdout
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2


def test_columns_have_their_names_where_there_are_no_rows(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "true")
    assert kept.distcomp("results", "--csv").stdout.startswith("task_id,state,command,cause,")


def test_nothing_has_ended_yet(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "true")
    assert "no task has ended yet" in kept.distcomp("results").stdout
    assert kept.json("results") == []
    assert kept.distcomp("results", "--jsonl").stdout == ""
