"""`distcomp --install-completion [SHELL]` and `--show-completion [SHELL]`."""

from __future__ import annotations

from collections.abc import Sequence

from distcomp.cli.usage import BadUsage
from distcomp.errors import DistcompError

INSTALL, SHOW = "--install-completion", "--show-completion"
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
PROGRAM = "distcomp"
VARIABLE = "_DISTCOMP_COMPLETE"


def is_about_completion(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for this."""
    return arguments[:1] in ([INSTALL], [SHOW])


def see_to_completion(arguments: Sequence[str]) -> None:
    """Do what the command line asks for. Typer itself would not look at the shell's name.

    Raises:
        BadUsage: there is no completion for that shell. Nothing was changed.
        DistcompError: a file of the shell's cannot be written.
    """
    from typer.completion import get_completion_script, install  # type: ignore[attr-defined]

    shell = _shell(arguments)
    if arguments[0] == SHOW:
        print(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))
        return
    try:
        _, path = install(shell, PROGRAM, VARIABLE)
    except OSError as error:
        raise DistcompError(
            f"{error.filename or shell}: {error.strerror}.", next_step=f"`{PROGRAM} {SHOW} {shell}` prints the script."
        ) from error
    print(f"{shell} completes distcomp's commands from its next start on ({path})")


def _shell(arguments: Sequence[str]) -> str:
    """The shell that was named, or the one that called us."""
    from typer.completion import _get_shell_name  # type: ignore[attr-defined]

    option, *words = arguments
    if len(words) > 1:
        raise BadUsage(f"{option} takes the name of one shell.", unchanged="Nothing was changed.")
    shell = words[0] if words else _get_shell_name()
    if shell in SHELLS:
        return str(shell)
    raise BadUsage(
        f"There is no completion for {shell}." if shell else "It cannot be seen which shell this is.",
        unchanged="Nothing was changed.",
        next_step=f"Name one: {PROGRAM} {option} {'|'.join(SHELLS)}",
    )
