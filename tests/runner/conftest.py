"""A runner of its own for each test; nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distcomp.runner.limits import RunnerLimits
from tests.runner.driving import Driver

MakeDriver = Callable[..., Driver]


@pytest.fixture
def make_driver(tmp_path: Path) -> Iterator[MakeDriver]:
    drivers: list[Driver] = []

    def make(folder: Path = tmp_path, **limits: object) -> Driver:
        drivers.append(Driver(folder, RunnerLimits(**limits)))  # type: ignore[arg-type]
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.close()


@pytest.fixture
def driver(make_driver: MakeDriver) -> Driver:
    return make_driver()
