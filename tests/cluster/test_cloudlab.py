"""What CloudLab's nodes do when they start, with stand-ins for what only the portal and the internet have."""

from __future__ import annotations

from tests.support.cluster import REPOSITORY, Cluster, Node

STUBS = {
    "geni-get": 'cat "$(dirname "$0")/key"',
    # Makes a folder as a virtual environment is, with a pip that brings distcomp.
    "python3": (
        'test "$1" = -c && exit 0; mkdir -p "$3/bin"\n'
        'printf "#!/bin/sh\\nln -sf $(command -v distcomp) $3/bin/distcomp\\n" >"$3/bin/pip"; chmod +x "$3/bin/pip"'
    ),
}


def set_up(node: Node, number: int, key: str) -> str:
    for name, script in STUBS.items():
        node.put(f"/srv/stubs/{name}", f"#!/bin/sh\n{script}\n", mode=0o755)
    node.put("/srv/stubs/key", key)
    node.run("mkdir", "-p", "/users/ann")
    # As on a fresh node: the way there is the experiment's key alone.
    node.run("rm", "-f", "/root/.ssh/id_ed25519", "/root/.ssh/known_hosts")
    script = f"PATH=/srv/stubs:$PATH {REPOSITORY}/cloudlab/setup.sh {number} 4"
    return node.run("sh", "-c", script).stdout


def test_nodes_set_themselves_up_and_reach_one_another(cluster: Cluster) -> None:
    cluster["node0"].run("sh", "-c", "rm -f /srv/k*; ssh-keygen -q -t ed25519 -N '' -f /srv/k")
    key = "".join(f"{line}\n" for line in cluster["node0"].lines("/srv/k"))
    try:
        for _ in ("at its first start", "at the next boot"):
            for number, node in reversed(list(enumerate(cluster.nodes))):
                assert set_up(node, number, key) == f"node{number} is ready\n"
        assert cluster["node0"].lines("/local/hosts.txt") == ["node1", "node2", "node3"]
        assert cluster["node0"].run("ssh", "-o", "BatchMode=yes", "node3", "hostname").stdout == "node3\n"
        assert "distcomp run" in cluster["node0"].run("/usr/local/bin/distcomp", "--help").stdout
        assert len(cluster["node1"].lines("/users/ann/.ssh/authorized_keys")) == 1
    finally:
        for node in cluster.nodes:
            # With an empty disk the node has the keys again that the cluster made.
            node.fault("wipe")
