"""Records docs/recording/distcomp.svg: runs the real program in a pseudo terminal, in a project made for it.

    python docs/recording/record.py [--last-frame FILE.svg]

Nothing is staged but the typing: pauses longer than 1.2 s are cut, the rest is as fast as it was.
"""

from __future__ import annotations

import argparse
import codecs
import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from film import Frame, to_svg
from terminal import Terminal

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "cache_sweep"
COLUMNS, ROWS = 108, 26
PROMPT = "\x1b[1;32m~/caches $\x1b[0m "
LONGEST_PAUSE_S, SHORTEST_FRAME_S, LAST_FRAME_S, KEY_S = 1.2, 0.1, 4.0, 0.035

STORY = (
    "ls traces | tail -3",
    "distcomp sweep './cachesim.py {trace} {algo} {size}' trace='glob:traces/*.xz' "
    "algo=LRU,FIFO,SIEVE size=0.01,0.1 -o tasks.jsonl",
    "distcomp run tasks.jsonl --retries 0",
    "distcomp logs --err FAILED",
    "cp ~/backup/prog_xz.u32.xz traces/",
    "distcomp run tasks.jsonl                 # again: only what is missing",
    "distcomp results --csv | cut -d, -f4-6,14 | sed -n 1,4p",
)
DAMAGED = "prog_xz.u32.xz"


class Film:
    """Frames as they come; `now_s` is the film's time, not the clock's."""

    def __init__(self) -> None:
        self.terminal = Terminal(COLUMNS, ROWS)
        self.frames: list[Frame] = []
        self.now_s = 0.0

    def show(self, text: str, after_s: float) -> None:
        """Feed the terminal, `after_s` later than what came before."""
        self.now_s += min(after_s, LONGEST_PAUSE_S)
        self.terminal.feed(text)
        cursor = (self.terminal.row, min(self.terminal.column, COLUMNS - 1)) if self.terminal.is_cursor_shown else None
        frame = Frame(self.now_s, self.terminal.screen(), cursor)
        # What changes faster than anybody can see is one frame.
        if self.frames and self.now_s - self.frames[-1].at_s < SHORTEST_FRAME_S:
            frame = Frame(self.frames.pop().at_s, frame.lines, cursor)
        if not self.frames or (frame.lines, cursor) != (self.frames[-1].lines, self.frames[-1].cursor):
            self.frames.append(frame)

    def type_in(self, command: str) -> None:
        """A prompt, and the command as if typed."""
        self.show(PROMPT, 0.2)
        for key in command:
            self.show(key, KEY_S)
        self.show("\r\n", 0.4)


def output_of(command: str, folder: Path) -> Iterator[tuple[str, float]]:
    """What the command writes to its terminal, each piece with the seconds since the one before."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        environment = os.environ | {
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder.parent),
        }
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        os.execvpe("/bin/bash", ["bash", "-c", command], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    decoder, before_s = codecs.getincrementaldecoder("utf-8")("replace"), time.monotonic()
    while True:
        select.select([terminal], [], [])
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the program has ended
            break
        now_s = time.monotonic()
        yield decoder.decode(piece), now_s - before_s
        before_s = now_s
    os.close(terminal)
    os.waitpid(pid, 0)


def a_failed_task(folder: Path) -> str:
    """The beginning of its id."""
    listing = [str(Path(sys.executable).with_name("distcomp")), "tasks", "--state", "failed", "--limit", "1", "--json"]
    task_id: str = json.loads(subprocess.run(listing, cwd=folder, capture_output=True, check=True).stdout)[0]["task_id"]
    return task_id[:5]


def record(folder: Path) -> Film:
    """Play the story in the folder."""
    film = Film()
    for line in STORY:
        command = line.replace("FAILED", a_failed_task(folder)) if "FAILED" in line else line
        film.type_in(command)
        for text, after_s in output_of(command, folder):
            film.show(text, after_s)
        film.now_s += 1.5
    film.show(PROMPT, 0)
    return film


def make_project(home: Path) -> Path:
    """The example's traces and program, with one trace damaged; it is whole in `home/backup`."""
    folder = home / "caches"
    shutil.copytree(EXAMPLE / "traces", folder / "traces", ignore=shutil.ignore_patterns("*.csv"))
    shutil.copy(EXAMPLE / "cachesim.py", folder)
    (folder / "cachesim.py").chmod(0o755)
    (home / "backup").mkdir()
    shutil.copy(folder / "traces" / DAMAGED, home / "backup")
    os.truncate(folder / "traces" / DAMAGED, 20_000)
    return folder


def main() -> None:
    """Record and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--last-frame", type=Path, help="also write a picture of the end alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_project(Path(scratch))
        film = record(folder)
    title = "distcomp runs a sweep of cache simulations, then only what is missing, then shows the results"
    duration_s = film.now_s + LAST_FRAME_S
    (HERE / "distcomp.svg").write_text(to_svg(film.frames, duration_s, title), encoding="utf-8")
    print(f"{len(film.frames)} frames, {duration_s:.0f} s: {HERE / 'distcomp.svg'}")
    if arguments.last_frame:
        arguments.last_frame.write_text(to_svg(film.frames[-1:], 1.0, title), encoding="utf-8")


if __name__ == "__main__":
    main()
