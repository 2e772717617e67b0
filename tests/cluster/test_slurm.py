"""Workers as a Slurm job array: they join, leave before their time is over, and are gone afterwards."""

from __future__ import annotations

import json

import pytest

from tests.support.cluster import Cluster
from tests.support.cluster.field import Field, Store
from tests.support.cluster.slurm import start_slurm
from tests.support.needs import needs_slurm
from tests.support.waiting import wait_until

pytestmark = needs_slurm


@pytest.fixture
def field(cluster: Cluster, store: Store) -> Field:
    start_slurm(cluster)
    # Hosts here share no folder for the logs.
    return Field(cluster, store, lease="2s", sbatch="sbatch --output=/tmp/%A_%a.log --cpus-per-task=1 --mem=150")


def jobs(field: Field) -> list[str]:
    return field.store.node.run("squeue", "-h", "-r", "-o", "%T").stdout.split()


def test_run_with_slurm_is_done_when_the_tasks_are_and_leaves_no_job(field: Field) -> None:
    field.write_tasks(40, sleep_s=0.2)
    field.distcomp("run", "tasks.txt", "--slurm", "3")
    assert jobs(field) == []
    field.check()
    workers = {row["node"] for row in field.rows()}
    assert workers <= {f"node{node}.{element}" for node in (1, 2, 3) for element in (1, 2, 3)}
    assert len({worker.partition(".")[2] for worker in workers}) == 3


@pytest.mark.timeout(200)
def test_workers_leave_before_their_time_limit_and_cost_no_task(cluster: Cluster, store: Store) -> None:
    """Slurm has nothing left to end by then: the long tasks are given back, uncharged, and go on later."""
    start_slurm(cluster)
    options = "sbatch --output=/tmp/%A_%a.log --cpus-per-task=1 --mem=150 --time=1"
    field = Field(cluster, store, lease="2s", retries=0, sbatch=options)
    field.write_tasks(6, work="sh -c 'until test -e gate; do sleep 0.1; done'")
    run = field.start_distcomp("run", "tasks.txt", "--slurm", "2")
    wait_until(lambda: field.counts().get("running", 0) > 0, "workers have joined")

    wait_until(lambda: run not in cluster["node0"].processes("distcomp"), "they leave", timeout_s=100)

    assert "have ended: their time was over" in field.log(cluster["node0"])
    ends = cluster["node0"].run("scontrol", "-o", "show", "job").stdout.splitlines()
    assert [line.split("JobState=")[1].split()[0] for line in ends] == ["COMPLETED"] * 2
    assert field.attempts("drained") > 0
    assert field.attempts("lost") == 0
    for node in cluster.nodes:
        node.put(f"{field.folder}/gate", "")
    field.distcomp("run", "tasks.txt", "--slurm", "2")
    field.check()


def test_a_cancelled_array_costs_no_task(cluster: Cluster, field: Field) -> None:
    """Somebody cancels it under way: `run` says so, and the same line goes on."""
    field.write_tasks(40, sleep_s=2)  # Several turns, so that some are left when the first have finished.
    pid = field.start_distcomp("run", "tasks.txt", "--slurm", "2")
    field.wait_for_finished(2)
    cluster["node0"].run("scancel", "--name=distcomp-squares")
    wait_until(lambda: pid not in cluster["node0"].processes("distcomp"), "run has ended", timeout_s=60)
    assert "have ended: their time was over" in field.log(cluster["node0"])
    field.distcomp("run", "tasks.txt", "--slurm", "3")
    field.check()


def test_more_workers_than_there_is_room_for_wait_and_it_is_said(field: Field) -> None:
    field.write_tasks(10, sleep_s=0.5)
    said = field.distcomp("run", "tasks.txt", "--slurm", "8", stream="stderr")
    assert "workers that wait in Slurm's queue" in said
    assert jobs(field) == []
    field.check()


def test_workers_that_cannot_start_are_told_of_while_others_work(cluster: Cluster, field: Field) -> None:
    """As on a node that has not mounted the project's directory."""
    cluster["node1"].run("rm", "-r", field.folder)
    field.write_tasks(20, sleep_s=0.5)
    said = field.distcomp("run", "tasks.txt", "--slurm", "3", stream="stderr")
    cluster["node1"].run("mkdir", field.folder)
    assert "workers that Slurm started and that failed: 2; their logs: " in said
    field.check()


def test_a_store_that_nodes_cannot_reach_is_refused(cluster: Cluster) -> None:
    done = cluster["node0"].run("distcomp", "run", "--slurm", "2", "--", "true", exit_code=2)
    assert "cannot reach this project's store" in done.stderr


def test_the_projects_own_store_is_opened_to_the_workers(cluster: Cluster) -> None:
    """They share the project's directory, as on a cluster's file system, and have an account of their own."""
    start_slurm(cluster)
    user, folder = cluster["node0"], "/shared/job"
    user.run("rm", "-rf", folder)
    user.put(f"{folder}/distcomp.toml", 'sbatch = "sbatch --cpus-per-task=1 --mem=150"\n')
    user.put(f"{folder}/tasks.txt", "".join(f"shell:0:0:0:echo {n} > {n}.out; sleep 0.2\n" for n in range(30)))

    done = user.run("distcomp", "-C", folder, "run", "tasks.txt", "--slurm", "2", "--listen", user.address)

    assert "30 finished" in done.stdout
    assert user.run("sh", "-c", f"cat {folder}/*.out | wc -l").stdout == "30\n"
    assert user.run("squeue", "-h").stdout == ""
    workers = {row["node"] for row in json.loads(user.run("distcomp", "-C", folder, "results", "--json").stdout)}
    assert {worker.partition(".")[2] for worker in workers} == {"1", "2"}
    assert user.run("stat", "-c", "%a", f"{folder}/.distcomp/slurm/password").stdout == "600\n"
    secret = user.run("cat", f"{folder}/.distcomp/slurm/password").stdout
    assert secret not in user.run("scontrol", "-d", "show", "job", exit_code=None).stdout
