"""The embedded server opened to the network, for workers of other machines: an account of their own, and a port.

Their account may do what workers do with keys and channels of this project: nothing to the server, nothing with data of
another project, and no command that workers do not need.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from distcomp.errors import StoreRefused
from distcomp.store.certificate import Certificate
from distcomp.store.keys import prefix
from distcomp.store.scripts import script, script_names

if TYPE_CHECKING:
    import redis

# Beside what scripts call, which a server allows to nobody who may not do it without them.
_CONNECTING = ("auth", "hello", "ping", "select", "client|setname", "info", "subscribe", "unsubscribe")
_SCRIPTS = ("eval", "evalsha", "script|load")
_READING = (
    *("get", "mget", "exists", "hget", "hmget", "hgetall", "hexists", "hscan", "smembers", "lrange", "time"),
    *("zrange", "zscore", "xread", "xrevrange"),
)


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a server is open to nodes of a project: encrypted with a certificate, or as it is if that is None."""

    project: str
    host: str
    port: int
    certificate: Certificate | None = None

    @property
    def url(self) -> str:
        """For workers, without their password."""
        place = f"{worker_user(self.project)}@{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/0"
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


def worker_user(project: str) -> str:
    """The account of a project's workers."""
    return f"worker-{project}"


def worker_password(secret: str, project: str) -> str:
    """The password of that account: it gives away neither the server's nor that of another project."""
    told = f"{secret}\0{project}".encode()
    return hashlib.blake2b(told, person=b"distcomp worker", digest_size=32).hexdigest()


def worker_commands() -> frozenset[str]:
    """All that workers may do, in lower case; `client|setname` is one command of several that begin so."""
    in_scripts = (re.findall(r"call\('([A-Z]+)'", script(name).source.decode()) for name in script_names())
    called = (command.lower() for commands in in_scripts for command in commands)
    return frozenset([*called, *_CONNECTING, *_SCRIPTS, *_READING])


def _account(project: str, secret: str) -> list[str]:
    """Name and rules of the workers' account, as ACL SETUSER has them."""
    keys = prefix(project)
    allowed = (f"+{command}" for command in sorted(worker_commands()))
    return [
        worker_user(project),
        "on",
        f">{worker_password(secret, project)}",
        f"~{keys}*",
        "resetchannels",
        f"&{keys}*",
        *allowed,
    ]


def config_lines(opening: Opening | None, secret: str) -> list[str]:
    """Lines of the server's configuration; its ports are closed if `opening` is None."""
    if opening is None:
        return ["port 0"]
    account = " ".join(["user", *_account(opening.project, secret)])
    return [*(f"{name} {value}" for name, value in opening.options()), account]


def open_running(client: redis.Redis, opening: Opening, secret: str) -> None:
    """Open a server that was started without.

    Raises:
        StoreRefused: TLS is wanted, and it was not started with that.
        redis.ResponseError: it cannot.
    """
    # One by one: Redis 6.2 takes no more.
    options = opening.options()
    missing = [(name, value) for name, value in options if client.config_get(name).get(name) != value]
    if opening.certificate is not None and missing:
        # Not tried: Valkey 9 without TLS crashes when it is told to begin with it.
        raise StoreRefused(
            "The store's server runs, and was not started to listen there with TLS.",
            unchanged="It was not opened to the network.",
            next_step="Stop it, so that it is started anew: `distcomp server stop`.",
        )
    name, *rules = _account(opening.project, secret)
    client.execute_command("ACL", "SETUSER", name, "reset", *rules)  # type: ignore[no-untyped-call]
    for name, value in missing:
        client.config_set(name, value)
