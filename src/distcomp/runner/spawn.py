"""The C library's posix_spawn, called without the interpreter's lock.

The calling thread sleeps until the child has come through exec, half a millisecond. `os.posix_spawn` keeps the lock
for so long: the thread that talks to the store could do nothing meanwhile, and both together would be slower than
`xargs`. What all attempts have in common is laid out once, so a call also costs less than that of `os.posix_spawn`.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Mapping, Sequence

_libc = ctypes.CDLL(None)

_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80
_OPAQUE_BYTES = 1024
"""Three times what the largest of the C library's structures takes: 336 bytes in glibc and in musl."""

_POINTER_BYTES = ctypes.sizeof(ctypes.c_char_p)
_WORDS, _SIGNAL_SET = ctypes.POINTER(ctypes.c_char_p), ctypes.c_char * 128

for _function in (_libc.posix_spawn, _libc.posix_spawnp):
    _function.argtypes = (
        ctypes.POINTER(ctypes.c_int),
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.c_void_p,
        _WORDS,
        _WORDS,
    )
    _function.restype = ctypes.c_int


class Descriptors:
    """Which of the worker's files a process gets as its own descriptors 0, 1, 2, ..., in this order."""

    def __init__(self, files: Sequence[int]) -> None:
        """Raises OSError: no memory, or not a descriptor."""
        self.actions = ctypes.create_string_buffer(_OPAQUE_BYTES)
        _check(_libc.posix_spawn_file_actions_init(self.actions))
        for number, file in enumerate(files):
            _check(_libc.posix_spawn_file_actions_adddup2(self.actions, file, number))

    def __del__(self) -> None:
        _libc.posix_spawn_file_actions_destroy(self.actions)


class Manner:
    """How all processes are started: in a session of their own, no signal blocked, and some not ignored."""

    def __init__(self, to_default: Iterable[signal.Signals]) -> None:
        """Raises OSError: no memory.

        Args:
            to_default: signals that get their default action, though the worker may ignore them.
        """
        blocked, defaults = _SIGNAL_SET(), _SIGNAL_SET()
        _libc.sigemptyset(blocked)
        _libc.sigemptyset(defaults)
        for number in to_default:
            _libc.sigaddset(defaults, int(number))
        self.attributes = ctypes.create_string_buffer(_OPAQUE_BYTES)
        _check(_libc.posix_spawnattr_init(self.attributes))
        _check(_libc.posix_spawnattr_setsigmask(self.attributes, blocked))
        _check(_libc.posix_spawnattr_setsigdefault(self.attributes, defaults))
        flags = ctypes.c_short(_SETSID | _SETSIGMASK | _SETSIGDEF)
        _check(_libc.posix_spawnattr_setflags(self.attributes, flags))


Variables = ctypes.Array[ctypes.c_char_p]
"""As the kernel takes them: NAME=value each, and a null pointer."""


class Environment:
    """What many processes share of their environments, laid out once, and what each has of its own."""

    def __init__(self, shared: Mapping[str, str]) -> None:
        """Raises ValueError: a name that cannot be one, a zero byte, or a character that cannot be encoded."""
        pairs = []
        for name, value in shared.items():
            if not name or "=" in name[1:] or "\0" in name or "\0" in value:
                raise ValueError(f"not an environment variable: {name!r}")
            pairs.append(os.fsencode(f"{name}={value}"))
        self._shared = (ctypes.c_char_p * len(pairs))(*pairs)

    def with_own(self, own: Sequence[bytes]) -> Variables:
        """Some more variables, each as NAME=value, with a null pointer at the end. Valid as long as this object is."""
        number = len(own)
        all_of_them = (ctypes.c_char_p * (number + len(self._shared) + 1))(*own)
        ctypes.memmove(ctypes.byref(all_of_them, number * _POINTER_BYTES), self._shared, ctypes.sizeof(self._shared))
        return all_of_them


def spawn(
    program: bytes,
    words: Sequence[bytes],
    env: Variables,
    files: Descriptors,
    manner: Manner,
) -> int:
    """Start a program; its process id.

    Args:
        program: its path; without a slash, PATH of this process says where it is.
        words: what it gets as its arguments, its own name first.
        env: as `Environment` lays it out.

    Raises:
        OSError: of exec, or of the start of a process.
        ValueError: a zero byte in a word.
    """
    if b"\0" in b"".join(words):
        raise ValueError("embedded null byte")
    call = _libc.posix_spawn if b"/" in program else _libc.posix_spawnp
    pid = ctypes.c_int()
    _check(
        call(
            ctypes.byref(pid),
            program,
            files.actions,
            manner.attributes,
            (ctypes.c_char_p * (len(words) + 1))(*words),
            env,
        )
    )
    return pid.value


def _check(number: int) -> None:
    """These functions return what others put into errno."""
    if number:
        raise OSError(number, os.strerror(number))
