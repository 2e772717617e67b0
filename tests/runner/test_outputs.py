"""What attempts print: kept as bytes, few files, bounded, and never a reason for an attempt to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcomp.errors import NotFound
from distcomp.model import Cause
from distcomp.runner.limits import KeepOutput, RunnerLimits
from distcomp.runner.packs import frames
from tests.runner.conftest import MakeDriver
from tests.runner.driving import Driver
from tests.support.needs import needs_root

GIB = 2**30
MIB = 2**20


def test_both_streams_are_kept_apart(driver: Driver) -> None:
    outcome = driver.run("echo out; echo err >&2")

    assert (driver.output(outcome, "stdout"), driver.output(outcome, "stderr")) == (b"out\n", b"err\n")


def test_binary_output_is_kept_as_it_is(driver: Driver) -> None:
    everything = bytes(range(256)) * 8
    (driver.cwd / "binary").write_bytes(everything)
    outcome = driver.run("cat binary; cat binary >&2; exit 1")

    assert driver.output(outcome, "stdout") == driver.output(outcome, "stderr") == everything
    assert len(outcome.stderr_tail.encode("utf-8", "surrogatepass")) >= 1024
    assert "\N{REPLACEMENT CHARACTER}" in outcome.stderr_tail


def test_a_task_may_close_its_stdout(driver: Driver) -> None:
    outcome = driver.run("exec >&-; echo lost; echo told >&2")

    assert outcome.exit_code == 0
    assert driver.output(outcome, "stdout") == b""
    assert b"told\n" in driver.output(outcome, "stderr")


def test_many_small_outputs_are_few_files(make_driver: MakeDriver) -> None:
    driver = make_driver(pack_bytes=2000)
    outcomes = [driver.run(f"echo task {number}; echo and {number} >&2") for number in range(100)]

    for number, outcome in enumerate(outcomes):
        assert driver.output(outcome) == f"task {number}\n".encode()
        assert driver.output(outcome, "stderr") == f"and {number}\n".encode()
    assert 2 <= len(_packs(driver)) <= 5


def test_outputs_are_found_again_from_a_pack_alone(driver: Driver) -> None:
    """Also if its last frame was torn by a crash."""
    attempts = [driver.start(f"printf {'x' * number}; printf e >&2") for number in range(1, 6)]
    for attempt in attempts:
        driver.outcome(attempt)
    (pack,) = _packs(driver)
    whole = list(frames(pack))
    os.truncate(pack, pack.stat().st_size - 1)

    assert {(frame.task_id, frame.attempt, frame.stdout_bytes, frame.stderr_bytes) for frame in whole} == {
        (attempt.task_id, 1, number, 1) for number, attempt in enumerate(attempts, start=1)
    }
    assert list(frames(pack)) == whole[:-1]


def test_a_worker_adds_to_no_file_of_another(make_driver: MakeDriver) -> None:
    """Even if both started in the same second."""
    first = make_driver()
    outcome = first.run("echo first")
    first.close()
    second = make_driver()
    second.run("echo second")

    assert second.output(outcome) == b"first\n"
    assert len(_packs(second)) == 2


def test_a_large_output_has_a_compressed_file_of_its_own(make_driver: MakeDriver) -> None:
    driver = make_driver(compress_above_bytes=10_000)
    outcome = driver.run("seq 100000; seq 10 >&2")
    numbers = "".join(f"{number}\n" for number in range(1, 100_001)).encode()

    assert outcome.output is not None
    assert outcome.output.is_compressed
    assert outcome.output.file == f"large/00/{1:016x}.1.zst"
    assert driver.output(outcome, "stdout") == numbers
    assert driver.output(outcome, "stderr") == b"".join(b"%d\n" % number for number in range(1, 11))
    assert (driver.folder / "output" / outcome.output.file).stat().st_size < len(numbers) / 2
    assert driver.output(driver.run("echo next")) == b"next\n"


def test_large_outputs_at_the_same_time(make_driver: MakeDriver) -> None:
    """More than may wait for the thread that compresses."""
    driver = make_driver(compress_above_bytes=1000)
    attempts = [driver.start(f"seq {number} 3000") for number in range(30)]

    for number, attempt in enumerate(attempts):
        assert driver.output(driver.outcome(attempt)).startswith(f"{number}\n".encode())
    assert driver.runner.unsettled() == 0


@pytest.mark.parametrize("compress_above_bytes", [100, MIB])
def test_the_middle_of_a_long_output_is_cut_and_said_so(make_driver: MakeDriver, compress_above_bytes: int) -> None:
    driver = make_driver(output_limit_bytes=1000, compress_above_bytes=compress_above_bytes)
    outcome = driver.run("printf 'head%0996d%01000d%0996dtail' 0 0 0")

    assert driver.output(outcome) == (
        b"head" + b"0" * 496 + b"\n... distcomp cut 2000 bytes ...\n" + b"0" * 496 + b"tail"
    )
    assert outcome.output is not None
    assert outcome.output.stdout_cut_bytes == 2000


def test_a_task_that_prints_a_gibibyte_does_not_fill_the_disk(make_driver: MakeDriver) -> None:
    driver = make_driver(output_limit_bytes=4 * MIB)
    attempt = driver.start(f"echo first; yes | head -c {GIB}; echo last")
    most_bytes = 0
    while attempt not in driver.ended:
        driver.turn()
        most_bytes = max(most_bytes, _disk_bytes(driver.folder))
    outcome = driver.outcome(attempt)
    output = driver.output(outcome)

    assert outcome.cause is Cause.FINISHED
    assert output.startswith(b"first\ny\n")
    assert output.endswith(b"y\nlast\n")
    assert len(output) < 4 * MIB + 100
    assert most_bytes < GIB / 2, "the middle goes back to the disk while the task prints"
    assert _disk_bytes(driver.folder) < MIB


def test_of_whom_output_is_kept_is_a_setting(make_driver: MakeDriver) -> None:
    driver = make_driver(keep_output=KeepOutput.FAILED)
    finished, failed = driver.run("echo '{\"x\": 1}'"), driver.run("echo wrong; exit 1")
    driver.runner.limits = RunnerLimits(keep_output=KeepOutput.NONE)
    unkept = driver.run("echo wrong; exit 1")

    assert (finished.output, finished.columns) == (None, {"x": 1})
    assert driver.output(failed) == b"wrong\n"
    assert (unkept.output, unkept.output_lost, unkept.stdout_tail) == (None, "", "wrong\n")
    assert driver.run("true").output is None


def test_the_last_line_that_is_a_json_object_is_the_result(driver: Driver) -> None:
    assert driver.run('echo progress; echo \'{"miss_ratio": 0.25, "algo": "lru"}\'; echo').columns == {
        "miss_ratio": 0.25,
        "algo": "lru",
    }
    assert driver.run("echo '{\"x\": 1}'; echo done").columns is None
    assert driver.run("echo '{\"x\": 1}' >&2").columns is None


def test_only_the_last_kibibyte_of_a_failed_attempt_goes_to_the_store(driver: Driver) -> None:
    outcome = driver.run("seq 10000; seq 20000 >&2; exit 1")

    assert len(outcome.stdout_tail) == len(outcome.stderr_tail) == 1024
    assert outcome.stderr_tail.endswith("\n20000\n")


def test_an_empty_output_leaves_no_file(driver: Driver) -> None:
    driver.run("true")

    assert _packs(driver) == []


def test_an_output_that_is_gone_is_told(driver: Driver) -> None:
    outcome = driver.run("echo x")
    (pack,) = _packs(driver)
    content = pack.read_bytes()

    pack.write_bytes(content[:10])
    with pytest.raises(NotFound, match="something else"):
        driver.output(outcome)
    pack.unlink()
    with pytest.raises(NotFound, match="no file"):
        driver.output(outcome)


def test_a_damaged_compressed_output_is_told(make_driver: MakeDriver) -> None:
    driver = make_driver(compress_above_bytes=10)
    outcome = driver.run("seq 100")
    assert outcome.output is not None
    (driver.folder / "output" / outcome.output.file).write_bytes(b"damaged beyond repair")

    with pytest.raises(NotFound, match="damaged"):
        driver.output(outcome)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "distcomp-test", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@needs_root
@pytest.mark.parametrize("compress_above_bytes", [100, MIB])
def test_a_full_disk_costs_the_output_and_not_the_attempt(
    make_driver: MakeDriver, small_disk: Path, compress_above_bytes: int
) -> None:
    (small_disk / "work").mkdir()
    driver = make_driver(small_disk, compress_above_bytes=compress_above_bytes)
    kept = driver.run("seq 10")
    # 600 kB that cannot be compressed: there is room for them once, not twice.
    outcome = driver.run(f"{sys.executable} -c 'import os; os.write(1, os.urandom(600_000)); os._exit(4)'")

    assert (outcome.cause, outcome.exit_code, outcome.output) == (Cause.EXIT, 4, None)
    assert outcome.output_lost == "disk full: No space left on device"
    assert len(outcome.stdout_tail) > 300
    assert driver.output(kept) == driver.output(driver.run("seq 10")), "there is room again, and the pack is whole"


@needs_root
def test_a_disk_that_is_full_at_the_start_of_an_attempt(make_driver: MakeDriver, small_disk: Path) -> None:
    (small_disk / "work").mkdir()
    driver = make_driver(small_disk)
    driver.run("true")
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/full", "bs=4k"], check=False, capture_output=True)
    outcome = driver.run("echo something; exit 9")

    assert outcome.exit_code == 9
    assert outcome.output_lost == ""


def _packs(driver: Driver) -> list[Path]:
    return sorted((driver.folder / "output").glob("*.pack"))


def _disk_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total
