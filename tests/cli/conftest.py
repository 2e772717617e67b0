"""The real program, in a project of its own; a command that ends leaves nothing running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path)
    yield sandbox
    try:
        wait_until(lambda: not sandbox.processes(), f"nothing runs in {tmp_path} any more")
    finally:
        sandbox.close()


@pytest.fixture
def kept(sandbox: Sandbox) -> Iterator[Sandbox]:
    """A sandbox whose store keeps running: commands start quicker."""
    sandbox.distcomp("server", "start")
    yield sandbox
    sandbox.distcomp("server", "stop", "--now")
