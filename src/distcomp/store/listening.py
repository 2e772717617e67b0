"""The embedded server opened to the network, for workers of other machines: an account of their own, and a port.

Their account may do what workers do with keys and channels of projects, and nothing to the server or to other data.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from distcomp.errors import StoreRefused
from distcomp.store.certificate import Certificate

if TYPE_CHECKING:
    import redis

WORKER_USER = "worker"
# All that scripts call is in +@all; INFO, which says the server's version, counts as dangerous.
_RULES = ("~distcomp:*", "&distcomp:*", "+@all", "-@admin", "-@dangerous", "+info")


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a server is open to nodes: encrypted with a certificate, or as it is if that is None."""

    host: str
    port: int
    certificate: Certificate | None = None

    @property
    def url(self) -> str:
        """For workers, without their password."""
        place = f"{WORKER_USER}@{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/0"
        if self.certificate is None:
            return f"redis://{place}"
        return f"rediss://{place}?ca={quote(str(self.certificate.file))}"

    def options(self) -> list[tuple[str, str]]:
        """What the server is to be told, by name. One of its two ports is closed."""
        if self.certificate is None:
            return [("bind", self.host), ("port", str(self.port))]
        return [
            ("bind", self.host),
            ("port", "0"),
            ("tls-port", str(self.port)),
            # The server's working directory is the folder that they are in.
            ("tls-cert-file", self.certificate.file.name),
            ("tls-key-file", self.certificate.key.name),
            # Workers prove who they are with their password.
            ("tls-auth-clients", "no"),
        ]


def worker_password(secret: str) -> str:
    """The password of the workers' account: it does not give away the server's."""
    return hashlib.blake2b(secret.encode(), person=b"distcomp worker", digest_size=32).hexdigest()


def config_lines(opening: Opening | None, secret: str) -> list[str]:
    """Lines of the server's configuration; its ports are closed if `opening` is None."""
    if opening is None:
        return ["port 0"]
    account = " ".join(["user", WORKER_USER, "on", f">{worker_password(secret)}", *_RULES])
    return [*(f"{name} {value}" for name, value in opening.options()), account]


def open_running(client: redis.Redis, opening: Opening, secret: str) -> None:
    """Open a server that was started without.

    Raises:
        StoreRefused: TLS is wanted, and it was not started with that.
        redis.ResponseError: it cannot.
    """
    wanted = dict(opening.options())
    found = client.config_get(*wanted)
    is_open = all(found.get(name) == value for name, value in wanted.items())
    if opening.certificate is not None and not is_open:
        # Not tried: Valkey 9 without TLS crashes when it is told to begin with it.
        raise StoreRefused(
            "The store's server runs, and was not started to listen there with TLS.",
            unchanged="It was not opened to the network.",
            next_step="Stop it, so that it is started anew: `distcomp server stop`.",
        )
    client.execute_command("ACL", "SETUSER", WORKER_USER, "reset", "on", f">{worker_password(secret)}", *_RULES)  # type: ignore[no-untyped-call]
    if not is_open:
        client.execute_command("CONFIG", "SET", *(part for pair in wanted.items() for part in pair))  # type: ignore[no-untyped-call]
