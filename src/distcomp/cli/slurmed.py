"""A Slurm job array in the place of a worker of one's own, for `distcomp run`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from distcomp.clock import SystemClock
from distcomp.errors import BadSetting
from distcomp.nodes.slurm import SlurmArray

if TYPE_CHECKING:
    from pathlib import Path

    from distcomp.project import Project

_NOT_FOR_WORKERS = ("store", "project", "listen")


@contextmanager
def slurm_workers(
    project: Project, workers: int, settings: Mapping[str, object], say: Callable[[str], None]
) -> Iterator[SlurmArray]:
    """The array, submitted; what is left of it afterwards is cancelled.

    Raises:
        BadSetting: nodes could not reach the project's store.
        NoSlurm: there is no Slurm, or it refuses the job.
    """
    logs = project.folder.path / "slurm"
    logs.mkdir(mode=0o700, exist_ok=True)
    store = _store_for_nodes(project, logs / "password")
    # In variables, which Slurm passes on: a command line, or the job's script, is for everybody to read.
    environment = {"DISTCOMP_STORE": store, "DISTCOMP_PROJECT": project.name}
    array = SlurmArray(
        shlex.split(project.settings.sbatch),
        workers,
        project.name,
        project.folder.project,
        logs / "%A_%a.log",
        {name: value for name, value in settings.items() if name not in _NOT_FOR_WORKERS},
        environment,
        SystemClock(),
        say,
    )
    try:
        yield array
    finally:
        array.close()


def _store_for_nodes(project: Project, password_file: Path) -> str:
    """The URL of the store for Slurm's nodes, which have the project's directory at the same path as it is here.

    Args:
        project: whose store.
        password_file: is written, if it is the project's own store: nodes have an account of theirs there.

    Raises:
        BadSetting: nodes cannot reach it.
    """
    from distcomp.nodes.aboard.places import write_private
    from distcomp.store.listening import worker_password

    store = project.settings.store
    if project.server and project.settings.listen:
        url = project.server.open_to_network()
        write_private(password_file, worker_password(project.folder.secret(), project.name))
        return f"{url}{'&' if '?' in url else '?'}password_file={quote(str(password_file.absolute()))}"
    if not store or store.startswith("unix:"):
        raise BadSetting(
            "Slurm's nodes cannot reach this project's store: it is on this machine alone.",
            unchanged="The tasks are in the queue; nothing runs.",
            next_step="Open it to them: --listen ADDRESS, of this machine in the cluster's network. Or name one of your"
            ' own: store = "redis://HOST/?password_file=FILE" in distcomp.toml.',
        )
    return store
