"""What a machine is and has: for the check before work."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any, BinaryIO


def main(ask: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:  # noqa: ARG001  the same in each script
    """Facts. `ask`: {"folder": that of distcomp there, "paths": to look for}."""
    folder = Path(ask["folder"]).expanduser()
    return {
        "python": sys.executable,
        "version": list(sys.version_info[:3]),
        "suffix": sysconfig.get_config_var("EXT_SUFFIX") or "",
        "platform": sysconfig.get_platform(),
        "glibc": glibc(),
        "hostname": socket.gethostname(),
        "machine": machine(),
        "now_s": time.time(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes(),
        "folder": str(folder),
        "free_disk_bytes": free_disk_bytes(folder),
        "programs": finished(folder / "programs"),
        "paths": {path: Path(path).expanduser().exists() for path in ask.get("paths", ())},
    }


def glibc() -> list[int]:
    """Its version; nothing where the C library is another one."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        return [int(part) for part in version.split(".")] if name == "glibc" else []
    except ValueError:
        return []


def machine() -> str:
    """The same for two names of one machine, and for no other."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115
    except OSError:
        pass
    return " ".join(parts)


def memory_bytes() -> int:
    """What the kernel says the machine has; 0 where it does not say."""
    try:
        return int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return 0


def free_disk_bytes(folder: Path) -> int:
    """What may be written where the folder is, or will be."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def finished(folder: Path) -> list[str]:
    """Names in a folder that are not half-made."""
    try:
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
