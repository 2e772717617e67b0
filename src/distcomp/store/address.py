"""Where a store is, and a connection to it. The only module that says how to talk to a server.

Passwords come from the URL, from the environment, or from a file that only its owner can read. They are
never part of a message or of a `repr`. redis is imported when a connection is made, not before: it takes
a tenth of a second of CPU.
"""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from distcomp.errors import BadSetting, StoreRefused, StoreUnavailable
from distcomp.settings import STORE_SCHEMES, redact

if TYPE_CHECKING:
    import redis

PASSWORD_VARIABLE = "DISTCOMP_STORE_PASSWORD"  # noqa: S105 - the variable's name
CLIENT_NAME = "distcomp"
CONNECT_TIMEOUT_S = 5.0
SOCKET_TIMEOUT_S = 5.0
"""For one reply. Shorter than a lease (10 s by default), so that a silent store does not cost it."""

SENTINEL_TIMEOUT_S = 1.0
"""For one Sentinel, of which each connection asks one after another: those that are down must not cost the lease."""

OLDEST_SERVER = (6, 2)

# A host that is gone sends nothing, so who only listens would do so for ever. The kernel asks it every now and then:
# no message is sent for it, and the server's process does not notice.
_KEEPALIVE_S = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}

_LONGEST_SOCKET_PATH = 100
"""sockaddr_un has 108 bytes on Linux, 104 elsewhere, the closing zero included."""

# It cannot write its files; a script runs too long; a set of servers that fails over or is incomplete.
_TEMPORARY = ("MISCONF", "BUSY", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN")

_TLS_OPTIONS = {"ca": "ssl_ca_certs", "cert": "ssl_certfile", "key": "ssl_keyfile"}


@dataclass(frozen=True, slots=True)
class Address:
    """One way to a store: a Unix socket (`socket_path`), a server (one of `hosts`), or Sentinels (`service`)."""

    socket_path: str = ""
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    is_tls: bool = False
    tls_files: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """For messages: without the password."""
        if self.socket_path:
            return f"unix://{self.socket_path}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        if self.service:
            return f"{'sentinels' if self.is_tls else 'sentinel'}://{hosts}/{self.service}"
        return f"{'rediss' if self.is_tls else 'redis'}://{hosts}/{self.database}"


def parse(url: str, environment: Mapping[str, str]) -> Address:
    """The address that a store URL names.

    `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` the same over TLS (`?ca=FILE&cert=FILE&key=FILE`),
    `unix://[USER:PASSWORD@]/PATH[?db=N]`, `sentinel://[USER:PASSWORD@]HOST[:PORT],.../SERVICE[/DB]`, and `sentinels://`
    the same with Sentinels and servers over TLS.
    Without a password in the URL it is that of `?password_file=FILE`, else that of the environment.

    Raises:
        BadSetting: not such a URL, or the password file is missing or open to others.
    """
    try:
        return _parse(url, environment)
    except ValueError as error:
        # No message quotes a part of the URL: with a slip of the pen, any part may be one of the password.
        raise BadSetting(
            f"The store {redact(url)!r} cannot be used: {error}.",
            next_step=f"It begins with one of {', '.join(STORE_SCHEMES)}; in a password, / is %2F and so on.",
        ) from None


def _parse(url: str, environment: Mapping[str, str]) -> Address:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    account, _, hosts = parts.netloc.rpartition("@")
    username, _, password = account.partition(":")
    place = _place(parts, hosts, options)
    password_file = options.pop("password_file", "")
    address = replace(
        place,
        database=_database(options.pop("db", "")) or place.database,
        username=unquote(username),
        password=unquote(password) or _password_from(password_file, environment),
    )
    if options:
        raise ValueError(
            "after the '?' there may be db and password_file, and for rediss and sentinels ca, cert and key"
        )
    return address


def _place(parts: SplitResult, hosts: str, options: dict[str, str]) -> Address:
    """The address without account. Takes out of `options` what it uses."""
    path = parts.path.strip("/")
    match parts.scheme:
        case "unix":
            return Address(socket_path=_socket_path(hosts, parts))
        case "redis":
            return Address(hosts=(_host(hosts, 6379),), database=_database(path))
        case "sentinel":
            service, _, database = path.partition("/")
            if not service:
                raise ValueError("the name of the service is missing after the hosts")
            every = tuple(_host(host, 26379) for host in hosts.split(","))
            return Address(hosts=every, service=service, database=_database(database))
        case "rediss" | "sentinels":
            files = {name: options.pop(name) for name in _TLS_OPTIONS if name in options}
            same = _place(parts._replace(scheme=parts.scheme.removesuffix("s")), hosts, options)
            return replace(same, is_tls=True, tls_files=files)
        case _:
            raise ValueError("the scheme is unknown")


def _socket_path(hosts: str, parts: SplitResult) -> str:
    if hosts or not parts.path.strip("/"):
        raise ValueError("the socket's path must be absolute: unix:///path/to/socket")
    return unquote(parts.path)


def _host(text: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("a host or a port cannot be read") from None
    if not host:
        raise ValueError("the name of a host is missing")
    return host, port or default_port


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal()):
        raise ValueError("the database must be a number")
    return int(text or 0)


def _password_from(file: str, environment: Mapping[str, str]) -> str:
    if not file:
        return environment.get(PASSWORD_VARIABLE, "")
    path = Path(file).expanduser()
    try:
        if path.stat().st_mode & 0o077:
            raise ValueError(f"the password file {path} is open to others: chmod 600 it")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"the password file {path} cannot be read: {error.strerror}") from error


def connect(address: Address, *, socket_timeout_s: float = SOCKET_TIMEOUT_S) -> redis.Redis:
    """A client whose first connection stands, to a server that is new enough and has its data loaded.

    It never tries again by itself: its caller knows what may be repeated. `errors_of` turns its errors into ours.

    Raises:
        StoreUnavailable: nobody answers, or the server still loads its data.
        StoreRefused: wrong password, another's certificate, or too old a server.
        BadSetting: a file that is needed cannot be read.
    """
    client = new_client(address, socket_timeout_s=socket_timeout_s)
    try:
        with errors_of(address):
            client.ping()
            check_version(client.info("server"), address)
    except BaseException:
        client.close()
        raise
    return client


def new_client(address: Address, *, socket_timeout_s: float = SOCKET_TIMEOUT_S) -> redis.Redis:
    """A client that has not connected yet, so nothing is known of the server. BadSetting: it lacks a file."""
    import redis

    options = _client_options(address, socket_timeout_s)
    if address.service:
        return _sentinel_client(address, options)
    if address.socket_path:
        path, directory = _short_socket_path(address.socket_path)
        client = redis.Redis(unix_socket_path=path, **options)
        if directory is not None:
            # Tied to the pool, which makes new connections, and which pipelines keep beyond the client's life.
            weakref.finalize(client.connection_pool, os.close, directory)
        return client
    ((host, port),) = address.hosts
    return redis.Redis(host=host, port=port, **options, **_keepalive(), **_tls(address))


def _tls(address: Address) -> dict[str, Any]:
    """How to encrypt: the server's certificate and the name in it are always checked."""
    if not address.is_tls:
        return {}
    files = {name: Path(file).expanduser() for name, file in address.tls_files.items()}
    for name, file in files.items():
        if not os.access(file, os.R_OK):
            raise BadSetting(f"The file {file}, which is {name!r} in the store's URL, cannot be read.")
    own = {_TLS_OPTIONS[name]: str(file) for name, file in files.items()}
    return {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True, **own}


def _keepalive() -> dict[str, Any]:
    options = {getattr(socket, name): value for name, value in _KEEPALIVE_S.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": options}


def _client_options(address: Address, socket_timeout_s: float) -> dict[str, Any]:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # Nobody needs to be told the library's version, which it would look for on the disk, for 3 ms.
    untold = {"driver_info": None} if hasattr(redis, "DriverInfo") else {"lib_name": None, "lib_version": None}
    return {
        **untold,
        "db": address.database,
        "username": address.username or None,
        "password": address.password or None,
        "socket_timeout": socket_timeout_s,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "client_name": CLIENT_NAME,
        "decode_responses": False,
        # RESP2: with hiredis a hash of 10,000 fields is read in 2.0 ms, in 3.6 ms with RESP3; short replies cost
        # the same.
        "protocol": 2,
    }


def _sentinel_client(address: Address, options: dict[str, Any]) -> redis.Redis:
    from redis.sentinel import Sentinel

    # Sentinels have accounts of their own, usually none: the URL's password is that of the store.
    # They are told the library's version: over TLS, a connection on which nothing was asked has a ticket to be read,
    # which redis-py takes for an answer to nobody, and gives the connection up.
    not_theirs = ("db", "username", "password", "client_name", "driver_info", "lib_name", "lib_version")
    own = {name: value for name, value in options.items() if name not in not_theirs}
    own |= {"socket_timeout": SENTINEL_TIMEOUT_S, "socket_connect_timeout": SENTINEL_TIMEOUT_S, **_tls(address)}
    options |= _keepalive() | _tls(address)
    sentinel = Sentinel(list(address.hosts), sentinel_kwargs=own, **options)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(address.service)  # type: ignore[no-untyped-call]
    return client


def _short_socket_path(path: str) -> tuple[str, int | None]:
    """A path that fits a socket address, and the descriptor it goes through, which must outlive the client."""
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path, None
    directory, name = os.path.split(path)
    try:
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return path, None  # connecting will say what is wrong with it
    return f"/proc/self/fd/{descriptor}/{name}", descriptor


def is_listening(address: Address) -> bool:
    """Whether a process listens at the Unix socket of this address. It may still refuse us, or be asleep.

    Raises:
        StoreRefused: the socket is another user's.
    """
    path, directory = _short_socket_path(address.socket_path)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(CONNECT_TIMEOUT_S)
            probe.connect(path)
            return True
    except (BlockingIOError, TimeoutError):
        return True  # its queue of connections is full
    except PermissionError as error:
        raise StoreRefused(f"The store at {address} belongs to another user.") from error
    except OSError:
        return False
    finally:
        if directory is not None:
            os.close(directory)


def check_version(server: Mapping[str, Any], address: Address) -> None:
    """Check what `INFO server` says.

    Raises:
        StoreRefused: the server is too old.
    """
    version = str(server.get("redis_version", "0"))
    if version_number(version) < OLDEST_SERVER:
        raise StoreRefused(
            f"The store at {address} is version {version}; distcomp needs 6.2 or later.",
            next_step="Name a Valkey, or a newer Redis, in the setting `store`.",
        )


def version_number(text: str) -> tuple[int, ...]:
    """`7.0.15` as (7, 0, 15); what follows the digits of a part is dropped."""
    parts = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


def is_about_certificates(error: Exception) -> bool:
    """Whether a connection was given up as the server's certificate is not one that we trust for its host."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _shows_wrong_certificate(address: Address) -> bool:
    """Whether a Sentinel is mistrusted for its certificate: the error of a search through all of them does not say."""
    import redis

    options = {"socket_timeout": SENTINEL_TIMEOUT_S, "socket_connect_timeout": SENTINEL_TIMEOUT_S, **_tls(address)}
    for host, port in address.hosts:
        try:
            with redis.Redis(host=host, port=port, **options) as client:
                client.ping()
        except redis.RedisError as error:
            if is_about_certificates(error):
                return True
    return False


@contextmanager
def errors_of(address: Address) -> Iterator[None]:
    """Raise our errors in place of redis'.

    Raises:
        StoreUnavailable: temporary: no answer, still loading, no disk or memory left, a replica for now.
        StoreRefused: trying again is no use: password, permissions, a command it does not know.
    """
    import redis.exceptions as errors
    from redis.sentinel import MasterNotFoundError

    try:
        yield
    except (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError) as error:
        raise StoreRefused(
            f"The store at {address} does not accept us: {error}.",
            next_step=f"Check the password: in the store's URL, or in {PASSWORD_VARIABLE}.",
        ) from error
    except errors.BusyLoadingError as error:
        raise StoreUnavailable(f"The store at {address} is still loading its data.") from error
    except (errors.ConnectionError, errors.TimeoutError) as error:
        is_lost = isinstance(error, MasterNotFoundError)
        if is_about_certificates(error) or (is_lost and address.is_tls and _shows_wrong_certificate(address)):
            why = "the certificate that a Sentinel shows is not trusted" if is_lost else str(error)
            raise StoreRefused(
                f"The store at {address} cannot prove that it is the store: {why}.",
                unchanged="It was told nothing, no password either.",
                next_step="If it is: name the CA of its certificate in the URL (?ca=FILE), and the host as it has it.",
            ) from error
        if is_lost:
            raise StoreUnavailable(f"No Sentinel of {address} that answers knows a primary that is up.") from error
        raise StoreUnavailable(f"The store at {address} does not answer: {error}.") from error
    except errors.ResponseError as error:
        if isinstance(error, errors.ReadOnlyError | errors.OutOfMemoryError) or str(error).startswith(_TEMPORARY):
            raise StoreUnavailable(f"The store at {address} cannot serve now: {error}.") from error
        raise StoreRefused(f"The store at {address} answered: {error}.") from error
