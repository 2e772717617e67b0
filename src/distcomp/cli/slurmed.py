"""A Slurm job array in the place of a worker of one's own, for `distcomp run`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from distcomp.clock import SystemClock
from distcomp.errors import BadSetting
from distcomp.nodes.slurm import SlurmArray

if TYPE_CHECKING:
    from distcomp.project import Project


@contextmanager
def slurm_workers(
    project: Project, workers: int, settings: Mapping[str, object], say: Callable[[str], None]
) -> Iterator[SlurmArray]:
    """The array, submitted; what is left of it afterwards is cancelled.

    Raises:
        BadSetting: nodes could not reach the project's store.
        NoSlurm: there is no Slurm, or it refuses the job.
    """
    store = project.settings.store
    if not store or store.startswith("unix:"):
        raise BadSetting(
            "Slurm's nodes cannot reach this project's store: it is on this machine alone.",
            unchanged="The tasks are in the queue; nothing runs.",
            next_step='Name one on the network: store = "redis://HOST/?password_file=FILE" in distcomp.toml.',
        )
    # In variables, which Slurm passes on: a command line, or the job's script, is for everybody to read.
    environment = {"DISTCOMP_STORE": store, "DISTCOMP_PROJECT": project.name}
    logs = project.folder.path / "slurm"
    logs.mkdir(mode=0o700, exist_ok=True)
    array = SlurmArray(
        shlex.split(project.settings.sbatch),
        workers,
        project.name,
        project.folder.project,
        logs / "%A_%a.log",
        {name: value for name, value in settings.items() if name not in ("store", "project")},
        environment,
        SystemClock(),
        say,
    )
    try:
        yield array
    finally:
        array.close()
