"""Runs commands of the user's on a node, for the check and for `nodes exec`; and a script of preparation, once."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import last_lines, project_folder

MOST_OUTPUT = 1 << 20
TIMED_OUT = 124
"""The exit code of `timeout` for what took too long."""


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:
    """Run them one after the other, in the directory of the tasks.

    `ask`: {"cwd": of the tasks, "commands": [text], "timeout_s", "setup": {"name", "bytes"} or null: a script that
    follows, which is run if none of that name has run to its end here}.
    """
    folder = work_folder(ask)
    if ask.get("setup"):
        return set_up(ask, payload, folder)
    answers = []
    for command in ask["commands"]:
        exit_code, output = run_to_end(["/bin/sh", "-c", command], folder, subprocess.PIPE, ask["timeout_s"])
        said = output[-MOST_OUTPUT:].decode(errors="replace")
        if exit_code == TIMED_OUT:
            said = f"{said.rstrip()}\nended, as it took longer than {ask['timeout_s']:g} s".lstrip()
        answers.append([exit_code, said])
    return {"answers": answers, "cwd": str(folder)}


def run_to_end(command: list[str], folder: Path, stdout: Any, timeout_s: float) -> tuple[int, bytes]:
    """Its exit code and output. When its time is over all of it is killed, and the code is TIMED_OUT."""
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return TIMED_OUT, output or b""
    return process.returncode, output or b""


def work_folder(ask: dict[str, Any]) -> Path:
    """Where tasks run: among the files that were sent, else where it is here, else at home."""
    for folder in (project_folder(ask) / "work", Path(ask["cwd"])):
        if folder.is_dir():
            return folder
    return Path.home()


def set_up(ask: dict[str, Any], payload: BinaryIO, folder: Path) -> dict[str, Any]:
    """Run the script, unless it has been."""
    script = project_folder(ask) / f"setup-{ask['setup']['name']}"
    done_mark = script.with_suffix(".done")
    if done_mark.exists():
        return {"ran": False}
    script.write_bytes(payload.read(ask["setup"]["bytes"]))
    script.chmod(0o700)
    log = script.with_suffix(".log")
    with log.open("wb") as file:
        has_line = script.read_bytes().startswith(b"#!")
        command = [str(script)] if has_line else ["/bin/sh", str(script)]
        exit_code, _ = run_to_end(command, folder, file, ask["timeout_s"])
    if exit_code:
        said = "".join(f"\n  {line}" for line in last_lines(log, 5))
        how = f"took longer than {ask['timeout_s']:g} s" if exit_code == TIMED_OUT else f"exit code {exit_code}"
        return {"error": f"the set-up script failed ({how}):{said}"}
    done_mark.touch()
    return {"ran": True}
