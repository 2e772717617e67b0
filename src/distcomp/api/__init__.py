"""The public Python API.

from distcomp import Client, TaskSpec

with Client.open() as client:
    client.submit([TaskSpec("./simulate --seed 1")])
    client.wait()
    rows = list(client.results())
"""

from distcomp.api.client import Client
from distcomp.api.records import (
    Changes,
    Explanation,
    FailureGroup,
    FilePlace,
    Filter,
    Hindrance,
    Need,
    Progress,
    Status,
    SubmitOptions,
    Submitted,
    TaskView,
    WorkerTotals,
    WorkerView,
)

__all__ = [
    "Changes",
    "Client",
    "Explanation",
    "FailureGroup",
    "FilePlace",
    "Filter",
    "Hindrance",
    "Need",
    "Progress",
    "Status",
    "SubmitOptions",
    "Submitted",
    "TaskView",
    "WorkerTotals",
    "WorkerView",
]
