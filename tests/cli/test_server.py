"""`distcomp server`: the project's own store, when it is wanted apart."""

from __future__ import annotations

import signal

from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until


def test_it_stays_from_start_to_stop(sandbox: Sandbox) -> None:
    assert "until `distcomp server stop`" in sandbox.distcomp("server", "start").stdout
    pid = sandbox.json("server", "status")["pid"]
    sandbox.distcomp("submit", "--", "true")
    status = sandbox.json("server", "status")
    assert (status["is_running"], status["is_pinned"], status["pid"]) == (True, True, pid)
    assert "until `distcomp server stop`" in sandbox.distcomp("server", "status").stdout
    assert sandbox.distcomp("server", "stop").stdout == "the store was stopped\n"
    assert sandbox.json("server", "status")["is_running"] is False
    assert sandbox.distcomp("server", "stop").stdout == "the store was not running\n"
    assert sandbox.json("status")["counts"]["todo"] == 1, "nothing is lost"


def test_commands_start_and_stop_it_by_themselves(sandbox: Sandbox) -> None:
    sandbox.distcomp("submit", "--", "true")
    assert sandbox.processes() == {}
    assert "does not run; any command that needs it starts it" in sandbox.distcomp("server", "status").stdout


def test_one_that_is_in_use_stops_with_the_last_who_leaves(sandbox: Sandbox) -> None:
    sandbox.distcomp("server", "start")
    worker = sandbox.start("worker")
    wait_until(lambda: sandbox.json("workers"), "the worker is there")
    assert "it stops when the last one leaves" in sandbox.distcomp("server", "stop").stdout
    assert sandbox.json("server", "status")["is_running"]
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert sandbox.processes() == {}


def test_a_store_elsewhere_is_not_ours_to_start(sandbox: Sandbox) -> None:
    sandbox.settings(store="redis://:hush@db.example/0")
    done = sandbox.distcomp("server", "start", exit_code=1)
    assert "nothing is started or stopped here" in done.stderr
    assert "hush" not in done.stderr
