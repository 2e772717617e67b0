"""A project spread over hosts: its store on one, workers on others, and what must hold in the end."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Container, Sequence
from functools import cached_property
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.cluster import Cluster, Node
from tests.support.servers import binary
from tests.support.waiting import wait_until

PORT = 6379
PASSWORD = "a password of the cluster's tests"
END_S = 60.0

# What a task does: it notes on its node that it starts, holds a lock of its own while it runs so that a second
# attempt beside it says so in `twice`, and ends with a result that does not depend on who runs it when.
TASK = (
    "echo {n} >>started; flock -n -E 99 locks/{n} {work}; "
    'if test $? = 99; then echo {n} >>twice; fi; echo \'{{"n": {n}, "square": {square}}}\''
)


def client_on(node: Node, socket: str = "/run/store.sock", password: str | None = PASSWORD) -> redis.Redis:
    """A way to a server that the faults of the network do not touch: its socket, through its node's files."""
    path = f"/proc/{node.init_pid()}/root{socket}"
    return redis.Redis(unix_socket_path=path, password=password, socket_timeout=60, retry=Retry(NoBackoff(), 0))


class Store:
    """A server of the user's own, on one node, with its data on that node's disk. `desk`: where commands are given."""

    folder = "/srv/store"

    def __init__(self, node: Node, fsync: str) -> None:
        self.node, self.desk, self._fsync = node, node, fsync
        self.configure(node)
        self.sync()
        self.start()

    @property
    def url(self) -> str:
        """Of the store, without password."""
        return f"redis://{self.node.name}:{PORT}/"

    def configure(self, node: Node, *more: str) -> None:
        """A server's configuration on this node, with further lines, and no data."""
        lines = [f"bind {node.address}", f"port {PORT}", "unixsocket /run/store.sock", f'requirepass "{PASSWORD}"']
        lines += [f"dir {self.folder}", 'save ""', "appendonly yes", f"appendfsync {self._fsync}", *more]
        node.run("rm", "-rf", self.folder)
        node.put(f"{self.folder}/store.conf", "\n".join([*lines, ""]), mode=0o600)

    def sync(self) -> None:
        """See that what is on its node so far outlives a loss of power."""
        self.node.run("sync")

    def start(self) -> None:
        """Start it with the data it has, and wait until it answers."""
        self.pid = self.start_on(self.node)
        self.__dict__.pop("client", None)
        wait_until(self.answers, f"the store on {self.node} answers")

    def start_on(self, node: Node) -> int:
        """Start the server that is configured there; its pid on the node."""
        return node.start(binary("valkey9"), f"{self.folder}/store.conf", log=f"{self.folder}/log")

    @cached_property
    def client(self) -> redis.Redis:
        """A way to it that the faults of the network do not touch."""
        return client_on(self.node)

    def answers(self) -> bool:
        """Whether it has loaded its data and serves."""
        try:
            return bool(self.client.ping())
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError):
            return False

    def kill(self) -> None:
        """End it as a crash would, and nothing else on its node."""
        self.node.kill(self.pid)
        wait_until(lambda: not self.answers(), "the store is gone")

    def close(self) -> None:
        """Give the connection up."""
        self.client.close()


class Field:
    """One project. Its tasks are numbers that are squared, in the same folder on every node."""

    def __init__(self, cluster: Cluster, store: Store, name: str = "squares", **settings: object) -> None:
        self.cluster, self.store, self.name = cluster, store, name
        self.folder = f"/srv/{name}"
        self._tasks = 0
        self._workers: dict[str, int] = {}
        self._environment = {
            f"DISTCOMP_{setting.upper()}": str(value) for setting, value in {"max_tasks": 4, **settings}.items()
        }
        for node in cluster.nodes:
            node.run("rm", "-rf", self.folder)
            node.put(f"{self.folder}/password", PASSWORD, mode=0o600)
            node.run("mkdir", f"{self.folder}/locks")
        store.sync()

    @property
    def url(self) -> str:
        """Of the store, as workers are given it."""
        return f"{self.store.url}{'&' if '?' in self.store.url else '?'}password_file={self.folder}/password"

    def distcomp(self, *arguments: str, stream: str = "stdout") -> str:
        """A command, given at the store's desk; what it prints."""
        command = ("env", "-C", self.folder, "distcomp", *arguments)
        done = self.store.desk.run(*command, environment=self._at_home, timeout_s=100)
        return str(getattr(done, stream))

    def start_distcomp(self, *arguments: str) -> int:
        """Start a command that goes on, at the store's desk; its pid there. `log` has what it prints."""
        command = ("env", "-C", self.folder, "distcomp", *arguments)
        return self.store.desk.start(*command, log=f"{self.folder}/log", environment=self._at_home)

    @property
    def _at_home(self) -> dict[str, str]:
        return {**self._environment, "DISTCOMP_STORE": self.url, "DISTCOMP_PROJECT": self.name}

    def submit(self, tasks: int, sleep_s: float = 0, work: str = "sleep {sleep_s}") -> None:
        """So many more tasks, of about so long, or with other work to do."""
        self.write_tasks(tasks, sleep_s, work)
        self.distcomp("submit", "tasks.txt")

    def write_tasks(self, tasks: int, sleep_s: float = 0, work: str = "sleep {sleep_s}", first: str = "") -> None:
        """The file tasks.txt, of so many more tasks; `first` is what each does at first."""
        numbers = range(self._tasks, self._tasks + tasks)
        work = work.format(sleep_s=sleep_s)
        lines = (f"shell:0:0:0:{first}{TASK.format(n=n, square=n * n, work=work)}\n" for n in numbers)
        self.store.desk.put(f"{self.folder}/tasks.txt", "".join(lines))
        self._tasks += tasks

    def start_worker(self, node: Node, *, wait: bool = False, name: str = "") -> None:
        """A worker on this node, as a login that has ended leaves it. `wait`: for one that is still there to leave."""
        command = ["env", "-C", self.folder, "distcomp", "worker", "--store", self.url, "--project", self.name]
        command += ["--wait"] if wait else []
        command += ["--node", name] if name else []
        self._workers[name or node.name] = node.start(*command, log=f"{self.folder}/log", environment=self._environment)

    def start_workers(self, nodes: Sequence[Node]) -> None:
        """One on each, and wait until all are known to the store."""
        for node in nodes:
            self.start_worker(node)
        wait_until(lambda: {node.name for node in nodes} <= set(self.workers()), "all workers have registered")

    def start_missing_workers(self, but: Container[str] = ()) -> None:
        """Where one was started and has ended, as when it finds no store at its start; not on the nodes `but`."""
        for name, pid in list(self._workers.items()):
            if name not in but and pid not in self.cluster[name].processes("distcomp worker"):
                self.start_worker(self.cluster[name])

    def kill_worker(self, node: Node) -> None:
        """SIGKILL for the worker alone: what it runs goes on without it."""
        node.kill(self._workers[node.name])

    def tell_worker_to_stop(self, node: Node) -> int:
        """And to give back what runs. It may take its time; its pid."""
        pid = self._workers.pop(node.name)
        node.kill(pid, "TERM")
        node.kill(pid, "TERM")
        return pid

    def stop_worker(self, node: Node, *, at_once: bool = False) -> None:
        """Tell it to drain, or to give back what runs; wait until it has left."""
        if at_once:
            pid = self.tell_worker_to_stop(node)
        else:
            pid = self._workers.pop(node.name)
            node.kill(pid, "TERM")
        wait_until(lambda: pid not in node.processes("distcomp"), f"the worker on {node} has left", END_S)

    def log(self, node: Node) -> str:
        """What the workers of this node had to say."""
        return "\n".join(node.lines(f"{self.folder}/log"))

    # What the store says

    def _hash(self, name: str) -> dict[str, str]:
        pairs = cast(dict[bytes, bytes], self.store.client.hgetall(self.key(name)))
        return {field.decode(): value.decode() for field, value in pairs.items()}

    def key(self, name: str) -> str:
        """A key's full name."""
        return f"distcomp:{{{self.name}}}:{name}"

    def counts(self) -> dict[str, int]:
        """Tasks by state, without states that have none."""
        return {name: int(value) for name, value in self._hash("counts").items() if ":" not in name and int(value)}

    def finished(self) -> int:
        """How many tasks have finished."""
        return self.counts().get("finished", 0)

    def workers(self) -> dict[str, Any]:
        """What each worker last said of itself."""
        return {name: json.loads(facts) for name, facts in self._hash("workers").items()}

    def held_by(self, node: str) -> int:
        """How many tasks the store believes to run on this node."""
        return int(self.store.client.scard(self.key(f"held:{node}")))

    def started(self) -> Counter[int]:
        """How often each task was started, on all nodes that are up."""
        up = [node for node in self.cluster.nodes if node.is_up()]
        return Counter(int(line) for node in up for line in node.lines(f"{self.folder}/started"))

    def shown(self, *arguments: str) -> Any:
        """What a command shows, with --json."""
        return json.loads(self.distcomp(*arguments, "--json"))

    def release(self, node: str) -> None:
        """End a node's quarantine."""
        self.distcomp("nodes", "clear", node)

    def rows(self) -> list[dict[str, Any]]:
        """The results, as the user gets them."""
        rows: list[dict[str, Any]] = json.loads(self.distcomp("results", "--json"))
        return rows

    # What must hold

    def wait_for_finished(self, tasks: int) -> None:
        """Until so many tasks have finished."""
        self._wait(lambda: self.finished() >= tasks, f"{tasks} tasks have finished")

    def _wait(self, condition: Callable[[], bool], reason: str, timeout_s: float = END_S) -> None:
        try:
            wait_until(condition, reason, timeout_s)
        except AssertionError as error:
            logs = [f"{node}:\n{self.log(node)[-2000:]}" for node in self.cluster.nodes[1:] if node.is_up()]
            raise AssertionError("\n".join([str(error), str(self.counts()), str(self.workers()), *logs])) from None

    def wait_for_all(self, timeout_s: float = END_S) -> None:
        """Until all have ended."""
        ended = ("finished", "failed", "cancelled")
        wait_until(
            lambda: sum(self.counts().get(state, 0) for state in ended) >= self._tasks,
            "every task has ended",
            timeout_s,
        )

    def check(self) -> None:
        """Every task has exactly one end, with the result of a quiet run, and nothing is left over."""
        self.wait_for_all()
        for node in self.cluster.nodes:
            if node.name in self._workers:
                self.stop_worker(node)
        assert self.counts() == {"finished": self._tasks}
        rows = self.rows()
        assert sorted((row["n"], row["square"]) for row in rows) == [(n, n * n) for n in range(self._tasks)]
        assert self.attempts("finished") == self._tasks, "no end was counted twice"
        self.check_nothing_is_left()

    def attempts(self, cause: str) -> int:
        """How many attempts have ended so, by the store's count."""
        return int(self.store.client.hget(self.key("stats"), f"attempts:{cause}") or 0)

    def check_nothing_is_left(self) -> None:
        """No claim, worker or lease in the store; no process and no undelivered report on a node."""
        names = self.store.client.scan_iter(self.key("*"), count=10_000)
        keys = {name.decode(errors="replace").partition("}:")[2] for name in names}
        of_life = {name for name in keys if name.split(":")[0] in _OF_THE_LIVING}
        assert not of_life, f"left in the store: {of_life}"
        for node in self.cluster.nodes:
            if node.is_up():
                script = f"cat twice 2>/dev/null; find .distcomp/nodes/{node}/spool -type f 2>/dev/null; true"
                left = node.run("sh", "-c", f"cd {shlex.quote(self.folder)}; {script}").stdout
                assert not left, (
                    f"tasks that ran twice at once on {node}, and reports left there: {left}\n{self.log(node)}"
                )
                running = node.processes(self.folder) | node.processes("sleep 0.") | node.processes("flock")
                assert not running, f"left running on {node}: {running}"


_OF_THE_LIVING = ("held", "leases", "workers", "incarnations", "revoked", "queue", "heads", "delayed", "passed")
