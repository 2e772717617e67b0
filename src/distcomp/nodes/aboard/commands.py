"""Runs commands of the user's on a node, for the check and for `nodes exec`; and a script of preparation, once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from distcomp.nodes.aboard.places import last_lines, project_folder

MOST_OUTPUT = 1 << 20


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
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=ask["timeout_s"], check=False,
        )  # fmt: skip
        answers.append([done.returncode, done.stdout[-MOST_OUTPUT:].decode(errors="replace")])
    return {"answers": answers, "cwd": str(folder)}


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
        done = subprocess.run(
            [str(script)] if has_line else ["/bin/sh", str(script)], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=file, stderr=subprocess.STDOUT, timeout=ask["timeout_s"], check=False, env=dict(os.environ),
        )  # fmt: skip
    if done.returncode:
        said = "".join(f"\n  {line}" for line in last_lines(log, 5))
        return {"error": f"the set-up script failed (exit code {done.returncode}):{said}"}
    done_mark.touch()
    return {"ran": True}
