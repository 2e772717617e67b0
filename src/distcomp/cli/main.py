"""The program `distcomp`: finds the command, and sees to it that no error reaches the user as a traceback."""

from __future__ import annotations

import errno
import gc
import io
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from distcomp import __version__
from distcomp.cli import oncall
from distcomp.cli.commands import Commands, new_app
from distcomp.cli.shells import is_about_completion, see_to_completion
from distcomp.cli.usage import BadUsage
from distcomp.errors import BadInput, DistcompError

INTERRUPTED = 130
PIPE_CLOSED = 141
CRASHED = 70
DEBUG_VARIABLE = "DISTCOMP_DEBUG"
# The machine's fault, or that of a file's name or place, and nothing that a report would explain.
_EXPLAINED = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES,
    errno.ENOTDIR, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE,
}  # fmt: skip
_NAME_COLUMNS = 200

app = new_app(cls=Commands, add_completion=True)


def _version(is_asked: bool) -> None:
    if is_asked:
        print(f"distcomp {__version__}")
        raise typer.Exit


@app.callback()
def distcomp(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Run a file of tasks, as many at once as memory holds."""


def main() -> NoReturn:
    """Run the command that the program's arguments name, and exit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _open_standard_files()
    # Millions of objects and hardly a cycle: at Python's 700, the collector takes a twentieth of a large submission.
    gc.set_threshold(20_000)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Ignored signals stay so: that is how nohup works.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end_in_good_order)
    try:
        sys.exit(run(sys.argv[1:]))
    finally:
        oncall.dismiss()


def _open_standard_files() -> None:
    """Where one of them was closed, there is no object for its descriptor, which leads to /dev/null by now."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal or a file that cannot take a letter gets its number, as on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")


def _end_in_good_order(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  the handler's protocol
    """End, but leave the store as everybody does: the last one turns it off."""
    sys.exit(128 + number)


def run(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    try:
        code = _run(_enter_directory(arguments))
        sys.stdout.flush()
        return code
    except DistcompError as error:
        show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return PIPE_CLOSED
    except OSError as error:
        if not _has_directory():
            print("distcomp: The current directory was removed.", file=sys.stderr)
            return BadUsage.exit_code
        return _explained(error) if error.errno in _EXPLAINED else _crash(error)
    except Exception as error:  # noqa: BLE001  the last boundary: nobody is above to show it
        return _crash(error)


def _run(arguments: list[str]) -> int:
    """With typer's own handling of wrong usage (exit code 2), which it shows itself."""
    if is_about_completion(arguments):
        see_to_completion(arguments)
        return 0
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    command, stdout = typer.main.get_command(app), sys.stdout
    try:
        command.main(arguments or ["--help"], prog_name="distcomp")
    except SystemExit as end:
        # When whoever reads our output is gone, typer puts something quiet in the place of stdout.
        if sys.stdout is not stdout:
            return PIPE_CLOSED
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code == BadUsage.exit_code:
            _say_hint(arguments)
        return code
    return 0


def _say_hint(arguments: list[str]) -> None:
    """Below what typer said of wrong usage."""
    from distcomp.cli.hints import hint

    if said := hint(arguments):
        print(f"  {said}", file=sys.stderr)


def _enter_directory(arguments: list[str]) -> list[str]:
    """Do what -C says. It comes before all else."""
    if arguments[:1] != ["-C"]:
        return arguments
    if len(arguments) < 2:
        raise BadUsage("-C needs a directory.")
    try:
        os.chdir(arguments[1])
    except OSError as error:
        raise BadUsage(f"{arguments[1]}: {error.strerror}.") from error
    return arguments[2:]


def show_error(error: DistcompError) -> None:
    """What happened, what was left unchanged, what to do next: a line each, on stderr."""
    from distcomp.cli.terminal import paint, printable

    if isinstance(error, BadInput):
        lines = [str(fault) for fault in error.faults]
    else:
        lines = error.what.rstrip("\n").split("\n")
    print(f"{paint('distcomp:', 'red', sys.stderr)} {printable(lines[0])}", file=sys.stderr)
    for line in [*lines[1:], *error.unchanged.split("\n"), *error.next_step.split("\n")]:
        if line:
            print(f"  {printable(line)}", file=sys.stderr)


def _has_directory() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return False
    return True


def _explained(error: OSError) -> int:
    from distcomp.cli.terminal import cut

    _close_stdout()
    where = f": {cut(str(error.filename), _NAME_COLUMNS)}" if error.filename else ""
    print(f"distcomp: {error.strerror}{where}.", file=sys.stderr)
    return 1


def _close_stdout() -> None:
    """Nobody takes our output any more: let Python's last flush not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _crash(error: Exception) -> int:
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG_VARIABLE):
        print(text, file=sys.stderr, end="")
        return CRASHED
    summary = f"{type(error).__name__}: {error}".partition("\n")[0]
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="distcomp-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as report:
            report.write(f"distcomp {__version__}, Python {sys.version}\n{sys.argv}\n\n{text}")
        where = f"The report is in {report.name}."
    except OSError:
        where = f"{DEBUG_VARIABLE}=1 shows where."
    print(f"distcomp: this should not have happened: {summary}\n  {where}", file=sys.stderr)
    return CRASHED
