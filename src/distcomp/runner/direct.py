"""Shell commands that need no shell: found here, so that they run without the time one takes to start.

`bash -c './sim trace.zst lru 0.1'` starts bash (0.4 ms of CPU more than the program's own start), which splits the
line at its blanks, looks the first word up and becomes that program by exec. Where nothing else can happen, the
runner does these three things itself. "Nothing else" means all of:

- The command is words of letters, digits and `_ @ % + = : , . / -`, with blanks between: nothing to expand,
  quote, redirect or assign, and nothing a locale can change. A comment may follow.
- Its first word is neither a keyword nor a builtin of bash or dash (but for `true` and `false` without
  arguments, which do the same as the programs of that name), nor a function exported to bash.
- The environment has no variable that a shell acts on, changes or drops on its way (BASH_ENV, SHELLOPTS, PS1, IFS,
  names that are no names for a shell, ...).
- The shell is bash or dash under its own name or as `sh`, and PATH holds absolute folders only.
- The word leads to a regular file that may be executed. Whatever else, not found included, is left to the
  shell: the error message and exit code 126 or 127 are the shell's own.

Then program, arguments, process id, descriptors, signals and environment are as under the shell, to the `_` and SHLVL
that bash sets. Only what a shell itself would complain of at its start, an unknown locale, is not heard.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_PLAIN = re.compile(
    r"[ \t]*([A-Za-z0-9_./][A-Za-z0-9_./+-]*(?:[ \t]+[A-Za-z0-9_@%+=:,./-]+)*)(?:[ \t]+#[^\n\0]*)?[ \t]*"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FUNCTION = re.compile(r"BASH_FUNC_(.*)%%")

_KEYWORDS = "if then else elif fi case esac for select while until do done in function time coproc"
_BUILTINS = """
    . : alias bg bind break builtin caller cd chdir command compgen complete compopt continue declare dirs disown echo
    enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout mapfile newgrp
    popd printf pushd pwd read readarray readonly return set shift shopt source suspend test times trap true
    type typeset ulimit umask unalias unset wait
"""
_SHELL_WORDS = frozenset(f"{_KEYWORDS} {_BUILTINS}".split())
_ALSO_PROGRAMS = frozenset({"true", "false"})

_ACTED_ON = "ENV EXECIGNORE POSIXLY_CORRECT SHELLOPTS"
_CHANGED = """
    _ DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME GROUPS HISTCMD IFS LINENO OLDPWD OPTARG OPTERR OPTIND
    PIPESTATUS PPID PS1 PS2 PS4 RANDOM SECONDS SHLVL SRANDOM UID
"""
_VARIABLES_OF_SHELLS = frozenset(f"{_ACTED_ON} {_CHANGED}".split())

RESET_VARIABLES = frozenset({"_", "OLDPWD", "SHLVL", "PS1", "PS2", "PS4", "LINES", "COLUMNS"})
"""What the worker's own shell and terminal left in its environment: it tells a task nothing."""

_FOUND_IS_TRUSTED_S = 1.0
_MOST_FOUND = 1024


class DirectExec:
    """Finds the programs of commands that need no shell, under one environment. Remembers them for a second."""

    def __init__(self, env: Mapping[str, str], shell: str) -> None:
        shell_kind = _kind_of(shell)
        self._folders = _search_path(env) if shell_kind and _is_plain(env, shell_kind) else []
        functions = {match[1] for name in env if (match := _FUNCTION.fullmatch(name))}
        self._shell_words = _SHELL_WORDS | functions
        self._own_functions = functions
        self.sets_underscore = shell_kind == "bash"
        self._found: dict[str, tuple[str | None, float]] = {}

    def program(self, command: str, now_s: float) -> tuple[str, list[str]] | None:
        """The file to execute and the words to give it; None if the command needs a shell.

        The working directory must be the task's. `now_s` is monotonic.
        """
        plain = _PLAIN.fullmatch(command) if self._folders else None
        if plain is None:
            return None
        words = plain[1].split()
        first = words[0]
        if first in self._shell_words and not self._is_program_too(words):
            return None
        path = _executable(first) if "/" in first else self._find(first, now_s)
        return (path, words) if path else None

    def _is_program_too(self, words: list[str]) -> bool:
        return len(words) == 1 and words[0] in _ALSO_PROGRAMS and words[0] not in self._own_functions

    def _find(self, word: str, now_s: float) -> str | None:
        path, until_s = self._found.get(word, (None, 0.0))
        # For a second only: a program may be installed in front of the one that was found.
        if now_s < until_s:
            return path
        if len(self._found) >= _MOST_FOUND:
            self._found.clear()
        path = self._search(word)
        self._found[word] = path, now_s + _FOUND_IS_TRUSTED_S
        return path

    def _search(self, word: str) -> str | None:
        for folder in self._folders:
            path = f"{folder}/{word}"
            if os.path.lexists(path):
                # A file in the way that cannot be executed: what happens then is the shell's to say.
                return _executable(path)
        return None


def _executable(path: str) -> str | None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return None
    return path if stat.S_ISREG(mode) and os.access(path, os.X_OK) else None


@lru_cache(maxsize=8)
def _kind_of(shell: str) -> str:
    """bash, dash, or "" for a shell whose ways are not known. `rbash` is bash too, but restricted."""
    path = Path(shell)
    kind = path.resolve().name if path.exists() else ""
    return kind if path.name in ("sh", "bash", "dash") and kind in ("bash", "dash") else ""


def _is_plain(env: Mapping[str, str], shell_kind: str) -> bool:
    for name in env:
        if name in _VARIABLES_OF_SHELLS or name.startswith("COMP_"):
            return False
        if name.startswith("BASH") and not (shell_kind == "bash" and _FUNCTION.fullmatch(name)):
            return False
        if not _NAME.fullmatch(name) and not name.startswith("BASH"):
            return False
    return True


def _search_path(env: Mapping[str, str]) -> list[str]:
    """The folders of PATH; none if a shell would have to be asked what PATH means."""
    folders = env.get("PATH", "").split(":")
    return folders if all(folder.startswith("/") and "~" not in folder for folder in folders) else []
