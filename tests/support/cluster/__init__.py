"""Several hosts on this machine, and the faults that befall them. hosts.sh says how they are made.

with running_cluster(nodes=4, memory="512M") as cluster:
    cluster["node1"].run("hostname")
    cluster["node1"].crash()
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.waiting import run_to_end

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
HOSTS = str(HERE / "hosts.sh")
PROGRAMS = {
    "ip": "iproute2",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "mkfs.ext4": "e2fsprogs",
    "nft": "nftables",
    "lxcfs": "lxcfs",
    "cc": "gcc",
    "nsenter": "util-linux",
    "sysctl": "procps",
}
"""What hosts.sh calls, and the Debian packages that bring it."""

STEP_S = 60
# Kept in a node's processes, so that what a test leaves can be named (tests/support/leftovers.py).
_KEPT = ("PYTEST_CURRENT_TEST", "CI")


def lacking() -> str:
    """Why this machine cannot have a cluster; "" when it can."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() or not Path("/sys/fs/cgroup/unified").exists():
        return "needs the memory controller of cgroup v1, and cgroup v2 beside it"
    # Debian keeps some of these out of a user's path.
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=path)})
    return f"needs packages (Debian, Ubuntu: apt-get install {' '.join(missing)})" if missing else ""


class Node:
    """One host. Every call has a time limit, as a frozen or unreachable host answers nobody."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self._cluster = cluster
        self.name = f"node{number}"
        self.address = f"10.10.1.{number + 1}"

    def __repr__(self) -> str:
        return self.name

    def run(
        self,
        *command: str,
        exit_code: int | None = 0,
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float = STEP_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the node to its end, and check its exit code unless that is None.

        Raises:
            TimeoutExpired: it took longer than `timeout_s`.
        """
        done = run_to_end(
            [HOSTS, "exec", self.name, *command], timeout_s, stdin, env=self._cluster.environment(environment),
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert exit_code is None or done.returncode == exit_code, (
            f"{self}: {shlex.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def start(self, *command: str, log: str, environment: Mapping[str, str] | None = None) -> int:
        """Start a command that goes on by itself, as after a login that has ended; its pid on the node.

        Args:
            log: file on the node for what it prints.
        """
        script = f"setsid nohup {shlex.join(command)} >>{shlex.quote(log)} 2>&1 </dev/null & echo $!"
        return int(self.run("sh", "-c", script, environment=environment).stdout)

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file on the node, and the folders above it."""
        script = f'mkdir -p "$(dirname "$0")" && : >"$0" && chmod {mode:o} "$0" && cat >"$0"'
        self.run("sh", "-c", script, path, stdin=text)

    def lines(self, path: str) -> list[str]:
        """A file's lines; none if it does not exist."""
        return self.run("sh", "-c", f"cat {shlex.quote(path)} 2>/dev/null || true").stdout.splitlines()

    def lines_of(self, *command: str) -> list[str]:
        """What a command prints."""
        return self.run(*command).stdout.splitlines()

    def processes(self, word: str = "") -> dict[int, str]:
        """Command lines by pid, as the node numbers them, that have the word in them."""
        listed = self.run("ps", "-eo", "pid=,args=").stdout.splitlines()
        split = (line.strip().partition(" ") for line in listed)
        return {int(pid): line for pid, _, line in split if word in line and not line.startswith("ps -eo")}

    def command_lines_and_environments(self) -> str:
        """Of all its processes, in full: whatever a neighbour of the same user could read there."""
        # One that ends in between is an error of cat's, and nobody else's.
        told = self.run("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'").stdout
        assert "PATH=" in told
        return told

    def init_pid(self) -> int:
        """Its first process, as this machine numbers it; /proc/PID/root has the node's files."""
        return int(Path(f"/tmp/distcomp-cluster/{self._cluster.name}/nodes/{self.name}/pid").read_text())

    def is_up(self) -> bool:
        """Whether it runs at all."""
        return self.run("true", exit_code=None).returncode == 0

    def fault(self, kind: str, *arguments: str | float) -> None:
        """Do this to the node: faults.sh lists what there is."""
        self._cluster.call("fault", kind, self.name, *map(str, arguments))

    def crash(self) -> None:
        """Everything on it ends at once; peers hear nothing, and what was written is on its disk."""
        self.fault("crash")

    def lose_power(self) -> None:
        """As `crash`, and what was not synced is lost."""
        self.fault("powerloss")

    def boot(self) -> None:
        """Start it again with its disk."""
        self.fault("boot")

    def drop(self) -> None:
        """Its packets vanish, both ways, until `heal`."""
        self.fault("drop")

    def heal(self) -> None:
        """Its network is well again."""
        self.fault("heal")

    def freeze(self) -> None:
        """Nothing on it runs, until `thaw`; its kernel still answers for it."""
        self.fault("freeze")

    def thaw(self) -> None:
        """What was frozen goes on."""
        self.fault("thaw")

    def kill(self, pid: int, signal: str = "KILL") -> None:
        """Send a process of the node a signal. Nothing happens if it is gone."""
        self.run("kill", f"-{signal}", str(pid), exit_code=None)


class Cluster:
    """Hosts that reach one another and nothing else. Made by `running_cluster`."""

    def __init__(self, name: str, nodes: int, memory: str) -> None:
        self.name, self.memory = name, memory
        self.nodes = tuple(Node(self, number) for number in range(nodes))

    def __getitem__(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    @property
    def shared(self) -> Path:
        """What all nodes have as /shared, on this machine."""
        return Path(f"/tmp/distcomp-cluster/{self.name}/shared")

    def reset(self) -> None:
        """Every node up and healthy, with nothing running on it. Files stay."""
        self.call("reset")

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What commands on a node see, and hosts.sh."""
        own = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "CLUSTER_NAME": self.name,
            "CLUSTER_BIND": ":".join(_shared()),
            "CLUSTER_PYTHON": sys.executable,
        }
        return own | {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(more or {})

    def call(self, *arguments: str) -> None:
        """hosts.sh, with a time limit."""
        done = run_to_end([HOSTS, *arguments], STEP_S, env=self.environment(), stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"hosts.sh {' '.join(arguments)}: {done.returncode}\n{done.stdout}"


def _shared() -> list[str]:
    """Folders that nodes need and may not see otherwise: their /tmp is private, and they have one file system."""
    needed = [REPOSITORY, Path(sys.prefix)]
    base = Path(sys.base_prefix)
    if base.stat().st_dev != Path("/").stat().st_dev:
        needed.append(base)
    inside = {folder for folder in needed if any(other in folder.parents for other in needed)}
    return [str(folder) for folder in needed if folder not in inside]


@contextlib.contextmanager
def running_cluster(nodes: int, memory: str) -> Iterator[Cluster]:
    """A cluster that is gone afterwards, whatever ends this process: a guard of its own sees to it.

    Args:
        memory: what each node has, such as "512M".
    """
    cluster = Cluster(f"t{os.getpid() % 100_000}", nodes, memory)
    with _guard(cluster):
        cluster.call("up", str(nodes), memory)
        yield cluster


@contextlib.contextmanager
def _guard(cluster: Cluster) -> Iterator[None]:
    """Takes the cluster down when its pipe is closed, which the kernel does even after SIGKILL."""
    guard = subprocess.Popen(
        ["sh", "-c", f"cat; exec {shlex.quote(HOSTS)} down"], stdin=subprocess.PIPE, env=cluster.environment(),
        start_new_session=True, cwd="/",
    )  # fmt: skip
    assert guard.stdin is not None
    try:
        yield
    finally:
        guard.stdin.close()
        assert guard.wait(STEP_S) == 0, "the cluster could not be taken down"
