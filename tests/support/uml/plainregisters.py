"""plainregisters.py COMMAND...: run a command to which the kernel will not tell or take processors' extended state.

User Mode Linux 6.1 keeps the registers of its processes in room that is too small for newer processors (AMX), and dies
of it at once. Where ptrace(2) refuses to exchange the extended state, it makes do with the plain registers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

_PTRACE = 101  # x86-64
_GETREGSET, _SETREGSET = 0x4204, 0x4205
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EIO
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2

_STEPS = (
    (_LOAD, 0, 0, 0),  # the system call's number
    (_JUMP_IF_EQUAL, 0, 3, _PTRACE),
    (_LOAD, 0, 0, 16),  # its first argument
    (_JUMP_IF_EQUAL, 2, 0, _GETREGSET),
    (_JUMP_IF_EQUAL, 1, 0, _SETREGSET),
    (_RETURN, 0, 0, _ALLOW),
    (_RETURN, 0, 0, _REFUSE),
)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def main(command: list[str]) -> None:
    """Set the filter, which stays, and become the command."""
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _STEPS))
    program = _Program(len(_STEPS), ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "no filter of system calls")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
