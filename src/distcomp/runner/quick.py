"""System calls that never wait, made without letting go of the interpreter's lock.

Python lets go of it around each call of `os`, which wakes a thread that wants it. As these calls are over before that
one has come, it finds the lock taken and goes back to sleep: two turns of the scheduler for a call of a microsecond, a
dozen times for each short task. For the kernel's files and for those that the worker has open on its own disk only:
what may hang, as a file of the network's may, would hold up all threads here.
"""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

_libc = ctypes.PyDLL(None)

_P_ALL = 0
_PID_AT = 4 if ctypes.sizeof(ctypes.c_void_p) == 8 else 3
"""Where siginfo_t has si_pid, in ints."""
_SIGINFO_INTS = 32
_RUSAGE_LONGS = 18
_UTIME, _STIME, _MAXRSS, _INBLOCK, _OUBLOCK = 0, 2, 4, 11, 12
"""Where struct rusage has them, in longs."""
_BLOCK_BYTES = 512
"""The unit of ru_inblock and ru_oublock."""

_Ints, _Longs = ctypes.c_int * _SIGINFO_INTS, ctypes.c_long * _RUSAGE_LONGS

_libc.read.argtypes, _libc.read.restype = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t), ctypes.c_ssize_t
_libc.pread.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long)
_libc.pread.restype = ctypes.c_ssize_t
_libc.open.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.write.argtypes, _libc.write.restype = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t), ctypes.c_ssize_t
_libc.close.argtypes = (ctypes.c_int,)
_libc.waitid.argtypes = (ctypes.c_int, ctypes.c_int, _Ints, ctypes.c_int)
_libc.wait4.argtypes = (ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_int, _Longs)

_lseek = getattr(_libc, "lseek64", _libc.lseek)
"""musl has one of them, and with 64 bits anyway."""
_lseek.argtypes, _lseek.restype = (ctypes.c_int, ctypes.c_int64, ctypes.c_int), ctypes.c_int64


class Spent(NamedTuple):
    """What a dead child and all that it has waited for have used."""

    cpu_s: float
    peak_bytes: int
    disk_read_bytes: int
    disk_written_bytes: int


class Children:
    """The dead children of this process. For one thread."""

    def __init__(self) -> None:
        self._info, self._usage, self._status = _Ints(), _Longs(), ctypes.c_int()
        self._status_at = ctypes.byref(self._status)

    def next_dead(self) -> int:
        """One that can be reaped, which stays so; 0: none."""
        info = self._info
        info[_PID_AT] = 0
        _libc.waitid(_P_ALL, 0, info, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return info[_PID_AT]

    def reap(self, pid: int) -> tuple[int, Spent] | None:
        """Its status as wait gives it, and what it used; None: it is not dead, or no child."""
        usage = self._usage
        if _libc.wait4(pid, self._status_at, os.WNOHANG, usage) <= 0:
            return None
        cpu_s = usage[_UTIME] + usage[_STIME] + (usage[_UTIME + 1] + usage[_STIME + 1]) / 1e6
        spent = Spent(cpu_s, usage[_MAXRSS] * 1024, usage[_INBLOCK] * _BLOCK_BYTES, usage[_OUBLOCK] * _BLOCK_BYTES)
        return self._status.value, spent


class Reader:
    """Reads a file of the kernel's, or a pipe that does not block, into the same memory each time. For one thread."""

    def __init__(self, fd: int, most_bytes: int) -> None:
        self.fd, self._most_bytes = fd, most_bytes
        self._buffer = ctypes.create_string_buffer(most_bytes)

    def read(self) -> bytes:
        """What comes next; nothing if nothing is there, or it cannot be read."""
        return self._content(_libc.read(self.fd, self._buffer, self._most_bytes))

    def read_anew(self) -> bytes:
        """The content from its start; nothing if it cannot be read."""
        return self._content(_libc.pread(self.fd, self._buffer, self._most_bytes, 0))

    def _content(self, length_bytes: int) -> bytes:
        return ctypes.string_at(self._buffer, length_bytes) if length_bytes > 0 else b""


def size_bytes(fd: int) -> int:
    """Of an open file, whose offset is then there."""
    return int(_lseek(fd, 0, os.SEEK_END))


def write_once(path: bytes, content: bytes) -> bool:
    """Whether a file of the kernel's took it."""
    fd = _libc.open(path, os.O_WRONLY | os.O_CLOEXEC)
    if fd < 0:
        return False
    is_written = bool(_libc.write(fd, content, len(content)) == len(content))
    _libc.close(fd)
    return is_written
