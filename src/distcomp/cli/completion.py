"""Task ids for the shell's completion, if the store runs anyway: it is not started for this."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

MOST = 50
LOOKED_AT = 1000


def task_ids(incomplete: str) -> list[str]:
    """Ids that begin so; none if that takes any effort."""
    from distcomp.api import Client
    from distcomp.errors import DistcompError
    from distcomp.project import Project
    from distcomp.store.address import is_listening

    try:
        project = Project.open(Path.cwd())
        if project.server is None or not is_listening(project.server.address):
            return []
        with Client(project) as client:
            ids = (task.task_id for task in client.tasks(limit=LOOKED_AT))
            return list(islice((task_id for task_id in ids if task_id.startswith(incomplete)), MOST))
    except DistcompError:
        return []
