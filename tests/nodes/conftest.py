"""A user on one host, who has keys for the others and a host file, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.cluster import Cluster, Node
from tests.support.cluster.field import client_on

FOLDER = "/opt/job"
PLAIN_HOME = "/home/user"


class User:
    """Types commands on node0; the tasks are for the others."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.home = cluster["node0"]
        self.nodes = cluster.nodes[1:]
        for node in cluster.nodes:
            node.run(
                "rm",
                "-rf",
                FOLDER,
                "/root/.local/share/distcomp/projects",
                f"{PLAIN_HOME}/.local",
                f"{PLAIN_HOME}/.bashrc",
            )
            node.run("mkdir", "-p", FOLDER)
        self.write("hosts.txt", "node[1-3]\n")

    def write(self, name: str, text: str) -> None:
        """A file in the user's folder."""
        self.home.put(f"{FOLDER}/{name}", text)

    def tasks(self, *commands: str) -> None:
        """The file tasks.txt, of plain commands."""
        self.write("tasks.txt", "".join(f"shell:0:0:0:{command}\n" for command in commands))

    def distcomp(
        self, *arguments: str, exit_code: int | None = 0, folder: str = FOLDER
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the user's folder, or another one."""
        return self.home.run("distcomp", "-C", folder, *arguments, exit_code=exit_code, timeout_s=100)

    def start(self, *arguments: str) -> int:
        """Start a command that goes on; its pid on node0. What it says is in the file `said`."""
        return self.home.start("distcomp", "-C", FOLDER, *arguments, log=f"{FOLDER}/said")

    def said(self) -> str:
        """What the commands of `start` said."""
        return "\n".join(self.home.lines(f"{FOLDER}/said"))

    def json(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.distcomp(*arguments, "--json").stdout)

    def counts(self, folder: str = FOLDER) -> Counter[str]:
        """Tasks by state, straight from the project's own store; none while it is not there. Quicker than a command."""
        store = f"{folder}/.distcomp"
        try:
            secret = Path(f"/proc/{self.home.init_pid()}/root{store}/secret").read_text().strip()
            with client_on(self.home, f"{store}/store/server.sock", secret) as client:
                found = next(client.scan_iter("distcomp:*:counts", count=10_000), None)
                pairs = client.hgetall(found) if found else {}
        except (FileNotFoundError, redis.ConnectionError):
            return Counter()
        return Counter({name.decode(): int(number) for name, number in pairs.items()})

    def ran_on(self) -> Counter[str]:
        """How many tasks finished on each node."""
        return Counter(row["node"] for row in self.json("results") if row["state"] == "finished")

    def left_on(self, node: Node) -> list[str]:
        """What is left of distcomp on a node: processes, sockets, passwords, certificates."""
        kept = "/root/.local/share/distcomp/projects"
        # -xdev: what is shared with the machine may lie in /tmp, too.
        script = f"find {kept} /tmp -xdev ( -type s -o -type l -o -name password -o -name 'store.*' ) 2>/dev/null"
        files = node.run("sh", "-c", script.replace("( ", "'(' ").replace(" )", " ')'"), exit_code=None).stdout
        return [*node.processes("distcomp").values(), *node.processes("@distcomp").values(), *files.splitlines()]


@pytest.fixture
def user(cluster: Cluster) -> User:
    return User(cluster)
