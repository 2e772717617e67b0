"""For all tests: what may be left out and where, and that nothing is left running."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.support import leftovers
from tests.support.cluster import Cluster, lacking, running_cluster

# Machines differ in speed, and what a store test takes depends on the disk: pytest-timeout is the limit.
settings.register_profile("distcomp", deadline=None, print_blob=True)
settings.load_profile("distcomp")

# A shell starts what it runs in the background with SIGINT ignored, and `nohup` with SIGHUP: so would be all that tests
# start, and then interrupt or hang up on.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Fails the session if tests leave processes: the error names them, and the tests that started them."""
    leftovers.mark_what_we_start()
    yield
    left = leftovers.still_running(patience_s=5)
    leftovers.kill(left)
    assert not left, "tests left processes:\n" + "\n".join(map(str, left))


@pytest.fixture(scope="session")
def _hosts() -> Iterator[Cluster]:
    if reason := lacking():
        pytest.skip(reason)
    with running_cluster(nodes=4, memory="512M") as cluster:
        yield cluster


@pytest.fixture
def cluster(_hosts: Cluster) -> Iterator[Cluster]:
    """Four hosts, node0 to node3, healthy and idle; one cluster serves the whole session."""
    yield _hosts
    _hosts.reset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was left out, which CI may not do: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was left out, which CI may not do: {_reason(report)}"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_part_of_several = hasattr(session.config, "workerinput")
    if not is_part_of_several:  # the others may be starting workers yet
        leftovers.remove_fences()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if left_out:
        terminalreporter.section("left out on this machine (CI runs them)")
    for reason, number in sorted(left_out.items()):
        terminalreporter.line(f"{number:5d} {'test' if number == 1 else 'tests'}: {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
