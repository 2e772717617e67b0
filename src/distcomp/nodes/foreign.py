"""Packs distcomp for nodes with another Python than ours: its requirements are fetched by pip, here.

Nodes need no internet for that; this machine does, and pip.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distcomp.nodes.bundle import Bundle, own_files, pack, required, required_elsewhere
from distcomp.nodes.ssh import HostTrouble

FETCH_S = 300.0
# The first glibc that wheels are tagged for by its number.
_OLDEST_GLIBC = 17


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of Python. `glibc` is (2, 36) or so; empty where the C library is another one."""

    version: tuple[int, ...]
    machine: str
    glibc: tuple[int, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"Python {'.'.join(map(str, self.version[:2]))} on {self.machine}"


def pack_foreign(target: Target) -> Bundle:
    """The archive for another Python.

    Raises:
        HostTrouble: something of it cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="distcomp-") as folder:
        fetch(target, Path(folder))
        files = dict(own_files())
        for wheel in Path(folder).glob("*.whl"):
            files.update(unpacked(wheel))
    return pack(files)


def fetch(target: Target, folder: Path) -> None:
    """Fetch wheels of what distcomp needs there, of the versions that are installed here.

    Raises:
        HostTrouble: pip cannot.
    """
    wanted = [f"{found.name}=={found.version}" for found in required()]
    command = pip_command(target, [*wanted, *required_elsewhere(target.version)], folder)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise HostTrouble(f"it has {target.name}, and pip did not fetch what that needs in {FETCH_S:.0f} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        last = errors[-1] if errors else f"exit code {done.returncode}"
        ours = ".".join(map(str, sys.version_info[:2]))
        raise HostTrouble(
            f"it has {target.name}, here is {ours}, and pip cannot fetch what that needs: {last}",
            next_step=f"Name a Python {ours} there in the setting `node_python`, or go where pip can fetch.",
        )


def pip_command(target: Target, requirements: Sequence[str], folder: Path) -> list[str]:
    """The words that fetch wheels for a target. Each requirement by itself: pip would see ours in their conditions."""
    platforms = [word for tag in _platforms(target) for word in ("--platform", tag)]
    version = ".".join(map(str, target.version[:2]))
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--only-binary", ":all:", "--implementation", "cp", "--python-version", version, *platforms),
        *("--dest", str(folder), *requirements),
    ]


def _platforms(target: Target) -> Iterator[str]:
    if not target.glibc:
        yield f"musllinux_1_2_{target.machine}"
        yield f"musllinux_1_1_{target.machine}"
        return
    for minor in range(target.glibc[1], _OLDEST_GLIBC - 1, -1):
        yield f"manylinux_2_{minor}_{target.machine}"
    yield f"manylinux2014_{target.machine}"


def unpacked(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """What an installation of the wheel would put beside each other, without scripts."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", member.filename)
            if not member.is_dir() and not re.match(r"[^/]+\.data/", name):
                yield name, archive.read(member)
