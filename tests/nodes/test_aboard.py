"""What is sent to nodes and asked of them, whole or not at all. The ssh of these tests leads to this very machine."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from distcomp.model import OutputPlace
from distcomp.nodes.aboard.places import LOCK_NAME
from distcomp.nodes.bundle import Bundle, pack
from distcomp.nodes.call import call
from distcomp.nodes.collecting import Collecting
from distcomp.nodes.fetching import fetch_output
from distcomp.nodes.hosts import Host
from distcomp.nodes.installing import Bundles, install, look
from distcomp.nodes.plan import Plan, Wishes
from distcomp.nodes.readying import Readying
from distcomp.nodes.sending import Cargo, load, send
from distcomp.nodes.ssh import HostTrouble, Ssh
from distcomp.worker.node import node_lock

NODE = Host("node1")
# Its last word is the command line for the login shell there.
NO_FURTHER = '#!/bin/sh\ncase "$*" in *"-O exit"*) exit ;; esac\nfor line; do :; done\nexec /bin/sh -c "$line"\n'


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Ssh]:
    program = tmp_path / "ssh"
    program.write_text(NO_FURTHER)
    program.chmod(0o755)
    with Ssh(str(program)) as ssh:
        yield ssh


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Of a project whose folder on the node is there."""
    folder = tmp_path / "node"
    (folder / f"projects/sweep@{NODE.name}/work").mkdir(parents=True)
    return Plan("sweep", str(folder), "", "", "", {}, "", Wishes(str(tmp_path / "here")))


@pytest.fixture
def there(plan: Plan) -> Path:
    """The project's folder on the node."""
    return Path(plan.folder) / f"projects/sweep@{NODE.name}"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The user's directory."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def cargo_of(here: Path, text: str) -> Cargo:
    (here / "data").write_text(text)
    return load(here, [here])


class TestInstalling:
    def programs(self, plan: Plan) -> list[str]:
        return sorted(path.name for path in (Path(plan.folder) / "programs").iterdir())

    def test_what_arrives_damaged_is_not_installed(self, ssh: Ssh, plan: Plan) -> None:
        good = pack({"__main__.py": b""})
        damaged = Bundle(good.name, good.sha256, good.content[:-1] + b"?")
        with pytest.raises(HostTrouble, match="what arrived is not what was sent: the hash differs"):
            install(ssh, NODE, look(ssh, NODE, plan), Bundles(lambda: damaged, lambda _: damaged))
        assert self.programs(plan) == []

    def test_what_does_not_run_there_is_not_installed(self, ssh: Ssh, plan: Plan) -> None:
        foreign = pack({"distcomp/__init__.py": b"", "redis/__init__.py": b"import made_for_another_python"})
        with pytest.raises(HostTrouble, match="distcomp does not run there: ModuleNotFoundError"):
            install(ssh, NODE, look(ssh, NODE, plan), Bundles(lambda: foreign, lambda _: foreign))
        assert self.programs(plan) == []


class TestStarting:
    def test_a_node_that_has_a_worker_keeps_it(self, ssh: Ssh, plan: Plan, there: Path, tmp_path: Path) -> None:
        """As one whose `run` was killed: the next one goes on with it. What is noted of it stays."""
        (there / f".distcomp/nodes/{NODE.name}").mkdir(parents=True)
        (there / f"draining-{os.getpid()}").touch()
        (tmp_path / "program").touch()
        ask = plan.ask(NODE.name, program=str(tmp_path / "program"), options=[], patience_s=20)
        with node_lock(there / f".distcomp/nodes/{NODE.name}/{LOCK_NAME}", wait=False):
            answer = call(ssh, NODE, ("places", "start"), ask)
        assert answer == {"started": False, "pid": os.getpid()}
        assert (there / f"draining-{os.getpid()}").exists()
        assert not (there / "program").exists()

    def test_a_worker_that_ends_at_once_is_told_with_its_last_words(
        self, ssh: Ssh, plan: Plan, there: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "program").write_text("raise SystemExit('no store')")
        ask = plan.ask(NODE.name, program=str(tmp_path / "program"), options=[], patience_s=20)
        with pytest.raises(HostTrouble, match=r"(?s)ended at once \(exit code 1\).*no store"):
            call(ssh, NODE, ("places", "start"), ask)

    def test_a_worker_that_does_not_come_to_work_is_killed(
        self, ssh: Ssh, plan: Plan, there: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "program").write_text("import signal; signal.pause()")
        ask = plan.ask(NODE.name, program=str(tmp_path / "program"), options=[], patience_s=0.1)
        with pytest.raises(HostTrouble, match=r"did not start in 0.1 s; it was killed"):
            call(ssh, NODE, ("places", "start"), ask)


class TestRunningCommands:
    def outputs(self, ssh: Ssh, plan: Plan, command: str, timeout_s: float = 20) -> tuple[int, str]:
        readying = Readying(ssh, plan, None)
        (said,) = readying.outputs(NODE, readying.facts(NODE), [command], timeout_s)
        return said

    def test_an_exit_code_of_124_is_the_commands_own(self, ssh: Ssh, plan: Plan) -> None:
        assert self.outputs(ssh, plan, "echo no; exit 124") == (124, "no\n")

    def test_what_was_said_so_far_is_given_back(self, ssh: Ssh, plan: Plan) -> None:
        assert self.outputs(ssh, plan, "echo began; sleep 1000", 0.3) == (
            124, "began\nended, as it took longer than 0.3 s",
        )  # fmt: skip

    def test_a_child_that_left_its_session_and_holds_the_output_is_ended_too(self, ssh: Ssh, plan: Plan) -> None:
        """It is nobody's child by then."""
        script = (
            "import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=True); time.sleep(99)"
        )
        code, said = self.outputs(ssh, plan, f"{sys.executable} -c '{script}'", 2)
        pid, *last = said.splitlines()
        assert (code, last) == (124, ["ended, as it took longer than 2 s"])
        assert not Path("/proc", pid).exists()

    def test_of_much_that_is_said_the_end_is_kept(self, ssh: Ssh, plan: Plan) -> None:
        code, said = self.outputs(ssh, plan, "head -c 3000000 /dev/zero | tr '\\0' x; echo end")
        assert (code, len(said), said[-5:]) == (0, 1 << 20, "xend\n")

    def test_a_script_of_preparation_whose_exit_code_is_124_has_failed_by_itself(
        self, ssh: Ssh, plan: Plan, there: Path
    ) -> None:
        plan = replace(plan, wishes=replace(plan.wishes, setup=b"echo no; exit 124"))
        readying = Readying(ssh, plan, None)
        with pytest.raises(HostTrouble, match=r"the set-up script failed \(exit code 124\):\n  no"):
            readying.set_up(NODE, readying.facts(NODE))


class TestSending:
    def test_a_file_that_changes_while_it_is_sent_is_not_taken(
        self, ssh: Ssh, plan: Plan, here: Path, there: Path
    ) -> None:
        assert send(ssh, NODE, plan, cargo_of(here, "first"), "") == 1
        cargo = cargo_of(here, "second")
        (here / "data").write_text("2ndary")
        with pytest.raises(HostTrouble, match="data has changed while it was sent"):
            send(ssh, NODE, plan, cargo, "")
        (here / "data").write_text("2nd")
        with pytest.raises(HostTrouble, match="data has changed while it was sent"):
            send(ssh, NODE, plan, cargo, "")
        assert [(path.name, path.read_text()) for path in (there / "work").iterdir()] == [("data", "first")]

    def test_each_content_is_sent_once(self, ssh: Ssh, plan: Plan, here: Path, there: Path) -> None:
        assert send(ssh, NODE, plan, cargo_of(here, "first"), "") == 1
        assert send(ssh, NODE, plan, cargo_of(here, "first"), "") == 0
        (there / "work/data").write_text("spoilt")
        assert send(ssh, NODE, plan, cargo_of(here, "first"), "") == 1

    def test_what_the_disk_cannot_hold_is_not_begun(self, ssh: Ssh, plan: Plan, here: Path) -> None:
        huge = Cargo(here, {"data": ("file", 0o644, 1 << 60, hashlib.sha256(b"").hexdigest())})
        with pytest.raises(HostTrouble, match=r"its disk has \d+ MiB, and \d+ MiB are to be sent"):
            send(ssh, NODE, plan, huge, "")


class TestBringingHome:
    def test_a_node_names_no_file_outside_the_users_directory(
        self, ssh: Ssh, plan: Plan, here: Path, there: Path
    ) -> None:
        """Whatever its notes say."""
        outside = there / "evil"
        outside.write_text("harm")
        status = outside.stat()
        notes = there / f".distcomp/nodes/{NODE.name}/made.jsonl"
        notes.parent.mkdir(parents=True)
        made = ["../evil", status.st_size, status.st_mtime_ns, status.st_mode & 0o777]
        notes.write_text(json.dumps(["t", 1, 5, [made]]) + "\n")
        collecting = Collecting(ssh, plan, here, {NODE.name: [("t", 1, 5)]})
        with pytest.raises(HostTrouble, match=r"\.\./evil is no name of a file to collect"):
            collecting.collect(NODE)
        assert not (here.parent / "evil").exists()

    def test_a_node_gives_nothing_but_outputs_as_outputs(self, ssh: Ssh, plan: Plan, here: Path, there: Path) -> None:
        (there / "password").write_text("secret")
        (there / f".distcomp/nodes/{NODE.name}/output").mkdir(parents=True)
        place = OutputPlace("../../../../password", 0, 6, 0, is_compressed=False)
        with pytest.raises(HostTrouble, match="is no file of outputs"):
            fetch_output(ssh, NODE, plan, place, here)
