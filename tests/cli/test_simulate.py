"""`distcomp simulate`: how long it would take, from what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox


def test_what_is_left_is_like_what_has_finished(kept: Sandbox) -> None:
    kept.write("tasks.txt", "".join(f"sleep 0.{number}\n" for number in range(1, 5)))
    kept.distcomp("run", "tasks.txt", "--plain")
    again = kept.json("simulate", "--nodes", "1x1G/1")
    assert again["workload"] == "4 tasks that have finished, again"

    kept.write("more.txt", "".join(f"sleep 1000{number}\n" for number in range(200)))
    kept.distcomp("submit", "more.txt", "--plain")
    left = kept.json("simulate", "--nodes", "1x1G/1", "--more", "3x1G/1")
    assert left["workload"] == "200 tasks left, taken to be like the 4 that have finished"
    now, then = left["rows"]
    assert (now["nodes"], then["nodes"]) == ("1x1 GiB/1", "4x1 GiB/1")
    assert now["is_complete"]
    assert 2 < now["makespan_s"] / then["makespan_s"] < 5
    assert now["bound_s"] <= now["makespan_s"]

    assert kept.json("simulate", "--job", "1")["workload"] == "4 tasks of job 1, again"
    text = kept.distcomp("simulate").stdout
    assert re.search(r"nodes +policy +time +bound +ratio +wasted +returns +kernel kills +memory +cores\n1x", text)


def test_a_family_needs_no_project(sandbox: Sandbox) -> None:
    flags = ("--family", "ramp", "--nodes", "2x64G/32", "--tasks", "60")
    two = (*flags, "--policy", "newest", "--policy", "reserve-true")
    rows = sandbox.json("simulate", *two)["rows"]
    assert [row["policy"] for row in rows] == ["newest", "reserve-true"]
    assert rows == sandbox.json("simulate", *two)["rows"]
    assert rows != sandbox.json("simulate", *two, "--seed", "1")["rows"]
    largest = ("--family", "mix", "--nodes", "2x64G/32", "--tasks", "200", "--policy", "reserve-largest")
    assert "broken off" in sandbox.distcomp("simulate", *largest).stdout
    assert not Path(sandbox.folder, ".distcomp").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--family", "mixed"), "'mixed' is no family of workloads: flat, ramp"),
        (("--family", "mix", "--nodes", "10x64G"), "write 10x64G/32 for ten of 64 GiB and 32 cores"),
        (("--family", "mix", "--policy", "best"), "'best' is no policy: all, cheapest, newest"),
        (("--family", "mix", "--job", "1"), "not both"),
    ],
)
def test_what_makes_no_sense_is_refused(sandbox: Sandbox, arguments: tuple[str, ...], message: str) -> None:
    assert message in sandbox.distcomp("simulate", *arguments, exit_code=2).stderr


def test_without_anything_finished_there_is_nothing_to_go_by(kept: Sandbox) -> None:
    kept.distcomp("submit", "--", "true")
    assert "Nothing has finished yet" in kept.distcomp("simulate", exit_code=2).stderr
