"""The embedded server opened to the network, for workers of other machines: an account of their own, and a port.

Their account may do what workers do with keys and channels of projects, and nothing to the server or to other data.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis

WORKER_USER = "worker"
# All that scripts call is in +@all; INFO, which says the server's version, counts as dangerous.
_RULES = ("~distcomp:*", "&distcomp:*", "+@all", "-@admin", "-@dangerous", "+info")


def worker_password(secret: str) -> str:
    """The password of the workers' account: it does not give away the server's."""
    return hashlib.blake2b(secret.encode(), person=b"distcomp worker", digest_size=32).hexdigest()


def config_lines(listen: tuple[str, int] | tuple[()], secret: str) -> list[str]:
    """Lines of the server's configuration; its port is closed if `listen` is empty."""
    if not listen:
        return ["port 0"]
    address, port = listen
    account = " ".join(["user", WORKER_USER, "on", f">{worker_password(secret)}", *_RULES])
    return [f"bind {address}", f"port {port}", account]


def open_running(client: redis.Redis, listen: tuple[str, int], secret: str) -> None:
    """Open a server that was started without. redis.ResponseError: it cannot."""
    address, port = listen
    client.execute_command("ACL", "SETUSER", WORKER_USER, "reset", "on", f">{worker_password(secret)}", *_RULES)  # type: ignore[no-untyped-call]
    if client.config_get("port").get("port") != str(port):
        client.execute_command("CONFIG", "SET", "bind", address, "port", str(port))  # type: ignore[no-untyped-call]
