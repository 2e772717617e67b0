"""Stores that are reached encrypted: one of the user's own with a CA of its own, the embedded one opened to nodes."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from distcomp import statefolder
from distcomp.errors import BadSetting, StoreRefused, StoreUnavailable
from distcomp.settings import DEFAULTS
from distcomp.statefolder import StateFolder
from distcomp.store.address import Address, connect, parse
from distcomp.store.certificate import certificate_of
from distcomp.store.listening import worker_password
from distcomp.store.server import EmbeddedServer
from tests.support.certificates import Authority
from tests.support.needs import needs_openssl
from tests.support.servers import binary, listening_server

pytestmark = needs_openssl

TlsServer = Callable[..., int]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "lab")


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[TlsServer]:
    """Starts a server that speaks TLS alone, with a certificate and its key; gives the port. `config`: a Sentinel's."""

    def start(certificate: Path, key: Path, *options: str, port: int = 0, config: Path | None = None) -> int:
        program = (str(config), "--sentinel") if config else ()
        proof = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no")
        server = listening_server("redis7", tmp_path, *program, *proof, *options, port=port, tls=True)
        return stack.enter_context(server)

    with ExitStack() as stack:
        yield start


class TestOfTheUsersOwn:
    def test_a_ca_of_ones_own_is_named_in_the_url(
        self, authority: Authority, tls_server: TlsServer, tmp_path: Path
    ) -> None:
        """The whole way: a run whose tasks all go through it."""
        port = tls_server(*authority.sign("server", "IP:127.0.0.1"))
        tasks = tmp_path / "tasks.txt"
        tasks.write_text("true\nfalse || true\n")
        store = f"rediss://127.0.0.1:{port}/0?ca={authority.file}"
        command = [sys.executable, "-m", "distcomp", "run", "tasks.txt", "--plain", "--set", f"store={store}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "2 finished" in done.stdout

    def test_another_ca_and_another_host_are_refused(
        self, authority: Authority, tls_server: TlsServer, tmp_path: Path
    ) -> None:
        port = tls_server(*authority.sign("server", "DNS:store.lab,DNS:localhost"))
        other = Authority(tmp_path, "other")
        connect(parse(f"rediss://localhost:{port}?ca={authority.file}", {})).close()
        for url in (
            f"rediss://localhost:{port}",
            f"rediss://localhost:{port}?ca={other.file}",
            f"rediss://127.0.0.1:{port}?ca={authority.file}",
        ):
            with pytest.raises(StoreRefused, match="cannot prove that it is the store"):
                connect(parse(url, {}))

    def test_a_server_may_ask_for_a_certificate_too(self, authority: Authority, tls_server: TlsServer) -> None:
        asks = ("--tls-auth-clients", "yes", "--tls-ca-cert-file", str(authority.file))
        port = tls_server(*authority.sign("server", "IP:127.0.0.1"), *asks)
        certificate, key = authority.sign("client", "DNS:client")
        url = f"rediss://127.0.0.1:{port}?ca={authority.file}&cert={certificate}&key={key}"
        with connect(parse(url, {})) as client:
            assert client.ping()

    def test_a_file_that_is_missing_is_named(self) -> None:
        with pytest.raises(BadSetting, match=r"/none\.pem, which is 'ca' in the store's URL, cannot be read"):
            connect(parse("rediss://127.0.0.1?ca=/none.pem", {}))


class TestWithSentinels:
    @pytest.fixture
    def sentinel(self, authority: Authority, tls_server: TlsServer, tmp_path: Path) -> int:
        """Port of a Sentinel that speaks TLS alone, as the server does that it names, "main"."""
        certificate, key = authority.sign("server", "IP:127.0.0.1")
        trusts = ("--tls-replication", "yes", "--tls-ca-cert-file", str(authority.file))
        primary = tls_server(certificate, key, *trusts)
        config = tmp_path / "sentinel.conf"
        config.write_text(f"sentinel monitor main 127.0.0.1 {primary} 1\n")
        return tls_server(certificate, key, *trusts, config=config)

    def test_both_are_reached_encrypted(self, authority: Authority, sentinel: int) -> None:
        with connect(parse(f"sentinels://127.0.0.1:{sentinel}/main?ca={authority.file}", {})) as client:
            assert client.info("replication")["role"] == "master"
        with pytest.raises(StoreUnavailable, match="No Sentinel"):
            connect(parse(f"sentinel://127.0.0.1:{sentinel}/main", {}))

    def test_another_ca_is_refused(self, sentinel: int, tmp_path: Path) -> None:
        other = Authority(tmp_path, "other")
        with pytest.raises(StoreRefused, match="cannot prove that it is the store"):
            connect(parse(f"sentinels://127.0.0.1:{sentinel}/main?ca={other.file}", {}))


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return statefolder.create(tmp_path)


@pytest.fixture
def server(folder: StateFolder) -> Iterator[EmbeddedServer]:
    settings = msgspec.structs.replace(DEFAULTS, listen=("127.0.0.1", free_port()), listen_tls="yes")
    server = EmbeddedServer(folder, settings)
    yield server
    server.stop()


def as_worker(server: EmbeddedServer, folder: StateFolder) -> Address:
    address = parse(server.open_to_network(), {})
    return dataclasses.replace(address, password=worker_password(folder.secret(), DEFAULTS.project))


class TestOpenedToNodes:
    def test_workers_come_encrypted_and_in_no_other_way(self, server: EmbeddedServer, folder: StateFolder) -> None:
        binary("redis7")
        address = as_worker(server, folder)
        with connect(address) as client:
            assert client.ping()
        with pytest.raises(redis.ConnectionError), redis.Redis(*address.hosts[0], retry=Retry(NoBackoff(), 0)) as plain:
            plain.ping()

    def test_a_man_with_another_certificate_is_refused(
        self, server: EmbeddedServer, folder: StateFolder, tls_server: TlsServer, tmp_path: Path
    ) -> None:
        """He has one that vouches for itself for the same address, as the store's does, and it is not the store's."""
        address = as_worker(server, folder)
        server.stop()
        ((host, port),) = address.hosts
        his = certificate_of(tmp_path, host)
        tls_server(his.file, his.key, port=port)
        with pytest.raises(StoreRefused, match="cannot prove that it is the store"):
            connect(address)

    def test_only_its_user_can_read_the_key_and_nodes_are_not_given_it(self, folder: StateFolder) -> None:
        made = certificate_of(folder.store, "10.0.0.5")
        assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
        assert b"PRIVATE" not in made.file.read_bytes()
        assert {path.name for path in folder.store.glob("tls-*")} == {made.file.name, made.key.name}

    def test_the_strictest_checks_accept_the_certificate(
        self, folder: StateFolder, tls_server: TlsServer, tmp_path: Path
    ) -> None:
        """Those that Python makes by default from 3.13 on."""
        made = certificate_of(folder.store, "127.0.0.1")
        port = tls_server(made.file, made.key)
        context = ssl.create_default_context(cafile=made.file)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
        ):
            assert encrypted.version() in ("TLSv1.2", "TLSv1.3")

    def test_where_no_server_has_tls_it_is_said_and_nothing_is_opened(
        self, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The server that comes along has none."""
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "openssl").symlink_to(shutil.which("openssl") or "")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        with pytest.raises(StoreRefused, match=r"valkey-server was built without TLS.*Install redis-server"):
            server.open_to_network()

    def test_a_server_that_runs_without_it_is_not_opened(self, folder: StateFolder, server: EmbeddedServer) -> None:
        with (
            EmbeddedServer(folder, DEFAULTS).connect(),
            pytest.raises(StoreRefused, match="was not started to listen there with TLS"),
        ):
            server.open_to_network()

    def test_data_of_another_product_is_left_alone(self, folder: StateFolder, server: EmbeddedServer) -> None:
        """Redis cannot read what Valkey has written."""
        binary("redis7")
        plain = EmbeddedServer(folder, DEFAULTS)
        plain.connect().close()
        plain.stop()
        with pytest.raises(StoreRefused, match="was written by Valkey"):
            server.open_to_network()
        assert os.listdir(folder.store / "appendonlydir")  # noqa: PTH208
