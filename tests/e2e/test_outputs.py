"""What tasks print comes back byte for byte, within a bound; how they die is told; another format is refused."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from distcomp.cli.commands import MODULES
from tests.support.needs import needs_cc
from tests.support.sandbox import DISTCOMP, SOON_S, Sandbox
from tests.support.waiting import wait_until

GIGABYTE = 10**9
MIB = 2**20
# As a program that goes on for seconds: twenty-five pieces, each as fast as the machine can.
PRINTS_A_GIGABYTE = "for n in $(seq 25); do head -c 40000000 /dev/zero; sleep 0.2; done; echo the end"
ABORTS = '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { fputs("in doubt\\n", stderr); abort(); }\n'
COMMANDS = (
    "run -- true", "submit -- true", "sweep echo{n} n=1,2", "worker", "status", "workers", "tasks", "results",
    "show ab", "explain ab", "logs ab", "retry --failed", "cancel ab", "forget --finished",
    "server start", "server stop", "server status", "simulate", "nodes status",
)  # fmt: skip
WITHOUT_FOLDER = {"config"}


def on_disk_bytes(folder: Path) -> int:
    """In blocks, as a file with a hole takes less than it is long."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def logs(sandbox: Sandbox, *arguments: str) -> bytes:
    """What `distcomp logs` writes."""
    command = [*DISTCOMP, "logs", *arguments]
    return subprocess.run(command, cwd=sandbox.folder, env=sandbox.environment, capture_output=True, check=True).stdout


def only_task(sandbox: Sandbox) -> str:
    [task] = sandbox.json("tasks")
    return str(task["task_id"])


def test_a_gigabyte_of_output_is_cut_in_the_middle_and_the_disk_never_holds_it(sandbox: Sandbox) -> None:
    sandbox.settings(output_limit="1M")
    sandbox.write("tasks.txt", f"shell:0:0:0:{PRINTS_A_GIGABYTE}\n")
    nodes = sandbox.folder / ".distcomp" / "nodes"
    run, sizes_bytes = sandbox.start("run", "tasks.txt"), [0]

    def has_ended() -> bool:
        sizes_bytes.append(on_disk_bytes(nodes))
        return run.poll() is not None

    wait_until(has_ended, "it has printed all", 2 * SOON_S)
    assert run.returncode == 0
    printed = logs(sandbox, only_task(sandbox))
    cut_bytes = GIGABYTE + len("the end\n") - MIB
    assert f"\n... distcomp cut {cut_bytes} bytes ...\n".encode() in printed
    assert printed.endswith(b"\0the end\n")
    assert len(printed) < MIB + 100
    assert on_disk_bytes(nodes) < MIB, "what is kept is compressed"
    assert max(sizes_bytes) < GIGABYTE / 2, "what will be cut is given back while it is printed"


@pytest.mark.parametrize("times", [1, 12_000], ids=["in a pack", "compressed"])
def test_bytes_come_back_as_they_were_printed(sandbox: Sandbox, times: int) -> None:
    every_byte = bytes(range(256))
    stdout, stderr = every_byte * times, random.Random(1).randbytes(256 * times) + b"\xff\r\n\xc3"
    (sandbox.folder / "stdout").write_bytes(stdout)
    (sandbox.folder / "stderr").write_bytes(stderr)
    sandbox.distcomp("run", "--", "sh", "-c", "cat stdout; cat stderr >&2")
    task = only_task(sandbox)
    assert logs(sandbox, task) == stdout
    assert logs(sandbox, task, "--err") == stderr


@needs_cc
def test_a_program_that_aborts_is_a_failure_with_its_signal_and_last_words(sandbox: Sandbox) -> None:
    sandbox.write("aborts.c", ABORTS)
    subprocess.run(["cc", "-o", "aborts", "aborts.c"], cwd=sandbox.folder, check=True)
    sandbox.settings(retries=0)
    sandbox.write("tasks.txt", "shell:1:0:0:./aborts\nshell:0:0:0:echo fine\n")
    done = sandbox.distcomp("run", "tasks.txt", exit_code=1)
    assert "SIGABRT" in done.stdout + done.stderr
    [row] = [row for row in sandbox.json("results") if row["state"] == "failed"]
    assert (row["command"], row["signal"]) == ("./aborts", signal.SIGABRT)
    assert logs(sandbox, row["task_id"], "--err") == b"in doubt\n"


def test_a_folder_of_another_version_is_refused_by_every_command_and_stays_as_it_is(sandbox: Sandbox) -> None:
    assert {command.split()[0] for command in COMMANDS} | WITHOUT_FOLDER == MODULES.keys()
    sandbox.distcomp("submit", "--", "true")
    version = sandbox.folder / ".distcomp" / "version"
    ours = version.read_text()
    version.write_text("999\nwritten by distcomp 99.0\n")
    before = contents(sandbox.folder)
    for command in COMMANDS:
        said = sandbox.distcomp(*command.split(), exit_code=2).stderr
        assert "has format '999', written by distcomp 99.0" in said, command
        assert "Nothing in it was changed." in said, command
    assert contents(sandbox.folder) == before
    assert sandbox.processes() == {}
    version.write_text(ours)
    assert sandbox.json("status")["counts"]["todo"] == 1


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its permissions and bytes."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {os.fspath(path): (path.stat().st_mode, path.read_bytes()) for path in paths}
