"""Where a store is, and how it is reached."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from distcomp.errors import BadSetting, StoreRefused, StoreUnavailable
from distcomp.store.address import Address, check_version, connect, errors_of, new_client, parse, version_number
from tests.support.servers import SERVER_NAMES, listening_server
from tests.support.waiting import wait_until

ServerAt = Callable[..., int]


@pytest.fixture(params=SERVER_NAMES)
def server_at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerAt]:
    """Starts a server on a free port of the loopback, with these options, and gives the port."""

    def start(*options: str) -> int:
        return stack.enter_context(listening_server(request.param, tmp_path, *options))

    with ExitStack() as stack:
        yield start


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "address"),
        [
            ("redis://host", Address(hosts=(("host", 6379),))),
            ("redis://host:7000/3", Address(hosts=(("host", 7000),), database=3)),
            ("redis://me:p%40ss@[::1]:7000?db=2", Address("", (("::1", 7000),), "", 2, "me", "p@ss")),
            ("redis://:secret@host", Address(hosts=(("host", 6379),), password="secret")),
            ("rediss://host?ca=/c.pem", Address(hosts=(("host", 6379),), is_tls=True, tls_files={"ca": "/c.pem"})),
            ("unix:///run/a%20b.sock?db=1", Address("/run/a b.sock", database=1)),
            ("unix://:secret@/run/s.sock", Address("/run/s.sock", password="secret")),
            ("sentinel://a,b:7000/main/2", Address("", (("a", 26379), ("b", 7000)), "main", 2)),
            (
                "sentinels://a/main?ca=/c.pem",
                Address("", (("a", 26379),), "main", is_tls=True, tls_files={"ca": "/c.pem"}),
            ),
        ],
    )
    def test_what_they_mean(self, url: str, address: Address) -> None:
        assert parse(url, {}) == address

    @pytest.mark.parametrize(
        "url",
        [
            "host:6379",
            "http://host",
            "redis://",
            "redis://host/name",
            "redis://host:port",
            "redis://host?colour=red",
            "redis://host?ca=/c.pem",
            "unix://run/s.sock",
            "unix:///",
            "sentinel://host",
            "sentinel://host/main?ca=/c.pem",
            "sentinels://host",
            "sentinel://a,/main",
            "redis://:pa/hush@host",
            "redis://:hush?hush@host",
            "redis://:hush#hush@host",
            "redis://host?password=hush",
        ],
    )
    def test_what_is_none_is_refused_and_no_password_is_told(self, url: str) -> None:
        with pytest.raises(BadSetting) as caught:
            parse(url, {})

        assert "hush" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_the_url_beats_the_file_which_beats_the_environment(self, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text("from-file\n")
        file.chmod(0o600)
        environment = {"DISTCOMP_STORE_PASSWORD": "from-environment"}

        assert parse("redis://host", environment).password == "from-environment"
        assert parse(f"redis://host?password_file={file}", environment).password == "from-file"
        assert parse(f"redis://:from-url@host?password_file={file}", environment).password == "from-url"

    def test_a_password_file_must_be_shut_to_others(self, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text("secret")
        file.chmod(0o640)

        with pytest.raises(BadSetting, match="open to others: chmod 600"):
            parse(f"redis://host?password_file={file}", {})

    def test_a_password_file_that_is_missing_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(BadSetting, match="cannot be read: No such file"):
            parse(f"redis://host?password_file={tmp_path / 'none'}", {})

    @pytest.mark.parametrize("url", ["redis://a:hush@h:1/2", "unix://:hush@/s", "sentinel://:hush@a,b/main"])
    def test_an_address_can_be_printed(self, url: str) -> None:
        address = parse(url, {})

        assert "hush" not in f"{address} {address!r}"
        assert parse(str(address), {"DISTCOMP_STORE_PASSWORD": "hush"}).hosts == address.hosts


class TestConnecting:
    def test_a_client_is_there_and_bears_our_name(self, server_at: ServerAt) -> None:
        with connect(parse(f"redis://127.0.0.1:{server_at()}/2", {})) as client:
            (entry,) = client.client_list()

            assert (entry["name"], entry["db"]) == ("distcomp", "2")

    def test_a_host_that_has_vanished_is_noticed_by_who_only_listens(self, server_at: ServerAt) -> None:
        """By the kernel, in less than half a minute."""
        with connect(parse(f"redis://127.0.0.1:{server_at()}", {})) as client, client.pubsub() as channel:
            channel.subscribe("channel")
            listening = channel.connection._sock
            idle_s, every_s, times = (
                listening.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )

        assert idle_s + every_s * times < 30

    def test_a_password_is_given(self, server_at: ServerAt) -> None:
        port = server_at("--requirepass", "right")

        connect(parse(f"redis://:right@127.0.0.1:{port}", {})).close()
        for url in (f"redis://:wrong@127.0.0.1:{port}", f"redis://127.0.0.1:{port}"):
            with pytest.raises(StoreRefused, match="does not accept us"):
                connect(parse(url, {}))

    def test_sentinels_tell_where_the_store_is(self, server_at: ServerAt, tmp_path: Path) -> None:
        port = server_at("--requirepass", "right")
        config = tmp_path / "sentinel.conf"
        config.write_text(f"sentinel monitor main 127.0.0.1 {port} 1\nsentinel auth-pass main right\n")
        sentinel = server_at(str(config), "--sentinel")
        url = f"sentinel://:right@127.0.0.1:{sentinel}/main/1"

        with connect(parse(url, {})) as client:
            client.set("key", "value")

        with connect(parse(f"redis://:right@127.0.0.1:{port}/1", {})) as client:
            assert client.get("key") == b"value"
        with pytest.raises(StoreUnavailable, match=r"No Sentinel of .* knows a primary"):
            connect(parse(url.replace("main", "other"), {}))

    @pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "unix:///none/such.sock", f"unix:///{'x' * 120}/s.sock"])
    def test_where_nobody_listens_it_says_so(self, url: str) -> None:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            connect(parse(url, {}))

    def test_a_command_is_never_sent_twice(self, server_at: ServerAt) -> None:
        """Only the caller knows what may be repeated."""
        address = parse(f"redis://127.0.0.1:{server_at()}", {})
        with connect(address) as client, connect(address) as other, ThreadPoolExecutor(1) as thread:
            answer = thread.submit(client.blpop, ["list"], 4)
            wait_until(lambda: any(entry["cmd"] == "blpop" for entry in other.client_list()), "it is sent")
            other.client_kill_filter(skipme=True)

            with pytest.raises(redis.ConnectionError):
                answer.result()


class TestRefusals:
    @pytest.mark.parametrize(("version", "is_refused"), [("6.0.16", True), ("6.2.0", False), ("7.2.4", False)])
    def test_a_server_must_be_new_enough(self, version: str, is_refused: bool) -> None:
        if is_refused:
            with pytest.raises(StoreRefused, match=r"is version 6\.0\.16; distcomp needs 6\.2"):
                check_version({"redis_version": version}, Address("/s"))
        else:
            check_version({"redis_version": version}, Address("/s"))

    @pytest.mark.parametrize(
        ("text", "number"), [("7.0.15", (7, 0, 15)), ("9.1.2-rc1", (9, 1, 2)), ("255.255", (255, 255)), ("x", ())]
    )
    def test_versions_are_compared_as_numbers(self, text: str, number: tuple[int, ...]) -> None:
        assert version_number(text) == number

    def test_a_store_without_memory_is_unavailable(self, server_at: ServerAt) -> None:
        address = parse(f"redis://127.0.0.1:{server_at('--maxmemory', '1')}", {})

        with (
            new_client(address) as client,
            pytest.raises(StoreUnavailable, match="cannot serve now"),
            errors_of(address),
        ):
            client.set("key", "value")

    def test_a_replica_is_unavailable(self, server_at: ServerAt) -> None:
        address = parse(f"redis://127.0.0.1:{server_at('--replicaof', '127.0.0.1', '1')}", {})

        with (
            new_client(address) as client,
            pytest.raises(StoreUnavailable, match="cannot serve now"),
            errors_of(address),
        ):
            client.set("key", "value")

    def test_a_command_it_does_not_know_is_a_refusal(self, server_at: ServerAt) -> None:
        address = parse(f"redis://127.0.0.1:{server_at()}", {})

        with new_client(address) as client, pytest.raises(StoreRefused, match="unknown command"), errors_of(address):
            client.execute_command("NO.SUCH")
