"""Which files are an attempt's, as noted on its node."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from distcomp.model import Made
from tests.runner.conftest import MakeDriver
from tests.runner.driving import Driver
from tests.support.waiting import wait_until


@pytest.fixture
def driver(make_driver: MakeDriver, tmp_path: Path) -> Driver:
    """Of a node that files were sent to."""
    return make_driver(cwd_map=(str(tmp_path), str(tmp_path)))


PATTERN = ("**/*.csv",)


def is_newer(probe: Path, than: Path) -> bool:
    probe.touch()
    return probe.stat().st_ctime_ns > than.stat().st_ctime_ns


def noted(driver: Driver) -> list[list[str]]:
    """Names, attempt by attempt, relative to the driver's directory of tasks."""
    lines = (driver.folder / "made.jsonl").read_text().split("\n")
    return [[file[0].removeprefix("work/") for file in json.loads(line)[3]] for line in lines if line]


def test_files_that_match_and_changed_while_the_attempt_ran_are_its_own(driver: Driver) -> None:
    old = driver.cwd / "old.csv"
    old.write_text("from before")
    wait_until(lambda: is_newer(driver.cwd / "probe", old), "the file system's clock has moved on")
    outcome = driver.run("echo 12 > new.csv; echo x > new.txt; mkdir d; cp -p old.csv d/copy.csv", outputs=PATTERN)
    assert outcome.made == Made(files=2, size_bytes=14)
    assert noted(driver) == [["d/copy.csv", "new.csv"]]


def test_one_that_is_named_in_full_may_have_been_made_by_an_earlier_attempt(driver: Driver) -> None:
    (driver.cwd / "out.csv").write_text("from before")
    assert driver.run("test -e out.csv", outputs=("out.csv",)).made == Made(files=1, size_bytes=11)


def test_a_pattern_may_hold_what_tells_tasks_apart(driver: Driver) -> None:
    pattern = "$DISTCOMP_TASK_ID-$DISTCOMP_ATTEMPT-$SEED.csv"
    for seed in ("7", "*"):
        outcome = driver.run('touch "$DISTCOMP_TASK_ID-1-$SEED.csv" x.csv', outputs=(pattern,), env={"SEED": seed})
        assert outcome.made == Made(files=1)


def test_an_attempt_that_failed_has_none(driver: Driver) -> None:
    assert driver.run("touch out.csv; exit 1", outputs=("*.csv",)).made is None


def test_neither_has_one_whose_files_were_not_sent_there(make_driver: MakeDriver) -> None:
    assert make_driver().run("touch out.csv", outputs=("*.csv",)).made is None


def test_patterns_of_the_node_come_to_those_of_the_task(make_driver: MakeDriver, tmp_path: Path) -> None:
    driver = make_driver(cwd_map=(str(tmp_path), str(tmp_path)), collect=("*.log",))
    driver.run("touch out.csv run.log", outputs=("*.csv",))
    assert noted(driver) == [["out.csv", "run.log"]]


def test_a_note_after_one_that_was_cut_off_is_whole(driver: Driver) -> None:
    (driver.folder / "made.jsonl").write_text('["0000000000000')
    driver.run("touch out.csv", outputs=("*.csv",))
    assert json.loads((driver.folder / "made.jsonl").read_text().split("\n")[-1])[3][0][0] == "work/out.csv"


def test_names_of_any_bytes(driver: Driver) -> None:
    driver.run("touch $'a\\xff.csv'", outputs=("*.csv",))
    assert os.fsencode(noted(driver)[0][0]) == b"a\xff.csv"


def test_a_link_is_no_result_file(driver: Driver) -> None:
    assert driver.run("ln -s /etc/passwd out.csv", outputs=("out.csv", "*.csv")).made is None
