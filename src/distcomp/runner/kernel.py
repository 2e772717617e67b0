"""The system calls that Python lacks."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_CLONE_FS = 0x200
_IN_MODIFY = 2
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2

_libc = ctypes.CDLL(None, use_errno=True)


def set_subreaper(*, is_subreaper: bool) -> None:
    """Whether orphaned descendants of this process become its children, rather than those of init.

    Raises:
        OSError: the kernel refuses.
    """
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, int(is_subreaper), 0, 0, 0) != 0:
        raise _last_error()


def leave_directory_to_thread() -> bool:
    """Give the calling thread a working directory of its own, which what it starts inherits.

    False where that is forbidden, as in some containers: the directory stays that of the whole process.
    """
    return bool(_libc.unshare(_CLONE_FS) == 0)


def go_first() -> bool:
    """Let this process's threads run as soon as they have something to do, whoever else wants the processors.

    All that there are: one that waits for a processor while it holds the interpreter's lock holds up the others. What
    they start is not so favoured. False without the right to do it (root has it).
    """
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        return False
    return True


def watch_changes(path: Path) -> int:
    """A descriptor (inotify) that can be read after each change of the file; it does not block.

    Raises:
        OSError: there is no such file, or no room for one more watch.
    """
    fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise _last_error()
    if _libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY) < 0:
        error = _last_error()
        os.close(fd)
        raise error
    return int(fd)


def punch_hole(fd: int, start_bytes: int, length_bytes: int) -> None:
    """Give a part of the file back to the disk; it reads as zeros, and the file's size stays.

    Raises:
        OSError: the file system cannot (EOPNOTSUPP), or another fault.
    """
    mode = _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE
    if _libc.fallocate(fd, mode, ctypes.c_longlong(start_bytes), ctypes.c_longlong(length_bytes)) != 0:
        raise _last_error()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
