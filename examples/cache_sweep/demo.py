#!/usr/bin/env python3
"""The whole example: sweep, run, results, table and plot. Each command is shown, so that you can type it yourself.

    demo.py [FOLDER] [--hosts FILE]

Tasks, results and plot go into FOLDER, by default build/demo of the repository. Run again, it runs only what is
missing: interrupt it, and see. With --hosts the simulations run on other machines, reached over ssh, that have a
Python and nothing else.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
INTERRUPTED = 130


def distcomp() -> str:
    """The command that is installed with this Python, or else the one on the PATH."""
    beside_python = Path(sys.executable).with_name("distcomp")
    return str(beside_python) if beside_python.exists() else shutil.which("distcomp") or "distcomp"


def run(folder: Path, *command: str) -> int:
    """Show and run a command in the folder; its exit status."""
    shown = shlex.join(command).replace(sys.executable, "python")
    print(f"\n$ {shown}", flush=True)
    programs = {"distcomp": distcomp()}
    return subprocess.run([programs.get(command[0], command[0]), *command[1:]], cwd=folder, check=False).returncode


def sweep_command(*, is_away: bool) -> list[str]:
    """The command that writes the task file: each trace with each algorithm and each cache size.

    Other machines have their own Python, and what is sent to them: names are relative to the folder there.
    """
    cachesim = "python3 cachesim.py" if is_away else shlex.join([sys.executable, str(HERE / "cachesim.py")])
    return [
        *("distcomp", "sweep", f"{cachesim} {{trace}} {{algo}} {{size}}"),
        "trace=glob:traces/*.xz" if is_away else f"trace=glob:{HERE}/traces/*.xz",
        "algo=LRU,FIFO,FIFO-Reinsertion,SIEVE,S3-FIFO,ARC",
        "size=0.003,0.01,0.03,0.1,0.3",
        *("-o", "tasks.jsonl"),
    ]


def main() -> int:
    """Run the example; 0 if all went well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?", default=HERE.parents[1] / "build" / "demo")
    parser.add_argument("--hosts", type=Path, help="a host file")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    # A state folder of its own: the demo is no part of a project that the folder may lie in.
    (folder / ".distcomp").mkdir(parents=True, exist_ok=True)

    away: list[str] = []
    if arguments.hosts:
        shutil.copytree(HERE / "traces", folder / "traces", dirs_exist_ok=True)
        shutil.copy(HERE / "cachesim.py", folder)
        away = ["--hosts", str(arguments.hosts.absolute()), "--send", "cachesim.py", "--send", "traces"]
    if status := run(folder, *sweep_command(is_away=bool(away))):
        return status
    ran = run(folder, "distcomp", "run", "tasks.jsonl", *away)
    if ran == INTERRUPTED:
        print("\nInterrupted: the same command goes on from here.")
        return ran
    if status := run(folder, "distcomp", "results", "--csv", "-o", "results.csv"):
        return status
    reported = run(folder, sys.executable, str(HERE / "report.py"), "results.csv", "--plot", "plot.svg")
    print("\nThe same miss ratios as an independent program has for these traces?")
    verified = run(folder, sys.executable, str(HERE / "verify.py"), str(HERE / "traces"), "results.csv")
    print(f"\nAll of it is in {folder}")
    return ran or reported or verified


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
