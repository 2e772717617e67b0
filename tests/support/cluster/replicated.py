"""A store of the user's own that fails over: a primary and two replicas on three nodes, with a Sentinel on each."""

from __future__ import annotations

from typing import Any

import redis

from tests.support.certificates import Authority
from tests.support.cluster import Cluster, Node
from tests.support.cluster.field import PASSWORD, PORT, Store, client_on
from tests.support.servers import binary
from tests.support.waiting import wait_until

SENTINEL_PORT = 26379
SERVICE = "main"
CA, CERTIFICATE, KEY = (f"/srv/tls/{name}" for name in ("ca.crt", "store.crt", "store.key"))
DOWN_AFTER_MS = 1000
# Sentinels look every ten seconds by default: too long to wait for in a test. How often they tell each other stays:
# when four times that is over (8 s), they make a primary that they were not told of a replica again.
_PERIODS = ("info-period", 500)


class ReplicatedStore(Store):
    """As `Store`, which is the primary, on node0. After a failover, `follow` makes it the new one. Desk: node3.

    Args:
        authority: vouches for the servers and Sentinels, which then speak TLS alone; None: they speak without.
    """

    def __init__(self, cluster: Cluster, authority: Authority | None = None) -> None:
        self._nodes = cluster.nodes[:3]
        self._is_tls = authority is not None
        # Debian's server has TLS, the one that comes along has not.
        self._server = binary("redis7" if authority else "valkey9")
        if authority:
            self._hand_out(authority, cluster)
        super().__init__(cluster["node0"], "everysec")
        self.desk = cluster["node3"]
        for node in self._nodes[1:]:
            self.configure(node, f"replicaof {self.node.address} {PORT}")
            self.start_on(node)
        wait_until(lambda: self._replication()["connected_slaves"] == 2, "the replicas have come")
        wait_until(lambda: all(_says(node)["master_link_status"] == "up" for node in self._nodes[1:]), "they have all")
        # Not before: a Sentinel that finds a replica without its data takes it for no good, and looks again later.
        for node in self._nodes:
            self._start_sentinel(node)
        wait_until(lambda: all(map(_knows_all, self._nodes)), "the Sentinels know one another and the replicas")

    @property
    def url(self) -> str:
        """Names the Sentinels, and not where the primary is."""
        hosts = ",".join(f"{node.name}:{SENTINEL_PORT}" for node in self._nodes)
        return f"sentinels://{hosts}/{SERVICE}?ca={CA}" if self._is_tls else f"sentinel://{hosts}/{SERVICE}"

    def start_on(self, node: Node) -> int:
        """Start the server that is configured there; its pid on the node."""
        return node.start(self._server, f"{self.folder}/store.conf", log=f"{self.folder}/log")

    def _hand_out(self, authority: Authority, cluster: Cluster) -> None:
        """The authority's certificate to all nodes; to those with a server one for all their names, and its key."""
        hosts = ",".join(f"DNS:{node.name},IP:{node.address}" for node in self._nodes)
        certificate, key = authority.sign("store", hosts)
        for node in cluster.nodes:
            node.put(CA, authority.file.read_text())
        for node in self._nodes:
            node.put(CERTIFICATE, certificate.read_text())
            node.put(KEY, key.read_text(), mode=0o600)

    def _port_lines(self, port: int) -> list[str]:
        if not self._is_tls:
            return [f"port {port}"]
        own = [f"tls-cert-file {CERTIFICATE}", f"tls-key-file {KEY}", f"tls-ca-cert-file {CA}"]
        return ["port 0", f"tls-port {port}", *own, "tls-auth-clients no", "tls-replication yes"]

    def configure(self, node: Node, *more: str) -> None:
        """Each may become the primary, so each knows what a replica has to know."""
        quick = ("repl-diskless-sync-delay 0", "repl-ping-replica-period 1", "repl-timeout 5")
        super().configure(node, f'masterauth "{PASSWORD}"', *quick, *self._port_lines(PORT), *more)

    def follow(self) -> None:
        """Wait until there is another primary than the one so far: from now on that is the store."""
        others = [node for node in self._nodes if node is not self.node]
        wait_until(lambda: any(_says(node)["role"] == "master" for node in others), "there is another primary")
        self.close()
        self.__dict__.pop("client", None)
        self.node = next(node for node in others if _says(node)["role"] == "master")

    def _replication(self) -> dict[str, Any]:
        return _says(self.node)

    def _start_sentinel(self, node: Node) -> None:
        ports = "\n".join(self._port_lines(SENTINEL_PORT))
        config = f"""
            {ports}
            bind {node.address}
            unixsocket /run/sentinel.sock
            protected-mode no
            dir {self.folder}
            sentinel monitor {SERVICE} {self.node.address} {PORT} 2
            sentinel auth-pass {SERVICE} "{PASSWORD}"
            sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}
            sentinel failover-timeout {SERVICE} 5000
        """
        node.put(f"{self.folder}/sentinel.conf", config)
        node.start(self._server, f"{self.folder}/sentinel.conf", "--sentinel", log=f"{self.folder}/sentinel.log")
        wait_until(lambda: _is_quick(node), f"the Sentinel on {node} answers")


def role_of(node: Node) -> str:
    """Whether the server of this node is a "master" or a "slave", as they call it."""
    return str(_says(node)["role"])


def _says(node: Node) -> dict[str, Any]:
    with client_on(node) as client:
        try:
            return dict(client.info("replication"))
        except redis.ConnectionError:
            return {"role": "", "master_link_status": "", "connected_slaves": 0}


def _is_quick(node: Node) -> bool:
    with client_on(node, "/run/sentinel.sock", None) as client:
        try:
            return bool(client.execute_command("SENTINEL", "DEBUG", *_PERIODS))
        except redis.ConnectionError:
            return False


def _knows_all(node: Node) -> bool:
    with client_on(node, "/run/sentinel.sock", None) as client:
        state = client.sentinel_master(SERVICE)
        replicas = client.sentinel_slaves(SERVICE)
    is_good = [replica["master-link-status"] == "ok" for replica in replicas]
    return is_good == [True, True] and state["num-other-sentinels"] == 2
