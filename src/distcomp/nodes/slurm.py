"""Workers as a Slurm job array: submitted, watched and ended with Slurm's own programs.

Each element of the array is a worker within what Slurm allotted to it. It leaves before the time limit: what it runs
then goes back, and what is left is for others, or for another array.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from distcomp.clock import Clock
from distcomp.errors import DistcompError

PATIENCE_S = 30.0
LOOK_S = 2.0
END_LOOK_S = 0.5
_ENDED = {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE"}
_ENDED |= {"OUT_OF_MEMORY", "REVOKED"}

# The limit of time is asked for, as only Slurm knows it, by the element's name in the array: one of them has the id
# of the array, and would be told of all. Cores and memory are told, too, as not all clusters confine jobs to what
# they were allotted. Several elements on one node need several names.
_SCRIPT = """#!/bin/sh
cd {folder} || exit 1
end=$(squeue -h -j "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" -o %e 2>/dev/null)
case $end in [0-9]*) set -- --until "$end" ;; esac
[ -z "$SLURM_CPUS_ON_NODE" ] || set -- --set "cores=$SLURM_CPUS_ON_NODE" "$@"
[ -z "$SLURM_MEM_PER_NODE" ] || set -- --set "memory=${{SLURM_MEM_PER_NODE}}M" "$@"
exec {python} -P -m distcomp worker --node "$(hostname -s).$SLURM_ARRAY_TASK_ID" "$@" {options}
"""


class NoSlurm(DistcompError):
    """Slurm cannot be used, or does not take the job."""


class SlurmArray:
    """An array that was submitted. `look`, `is_alive` and `stop` are as those of a worker of one's own.

    Args:
        sbatch: the program, and options of the user's.
        workers: how many elements.
        project: name of the project, for the job's name.
        folder: where the workers work; of the same path on the nodes.
        log: pattern of the elements' logs, as sbatch has it.
        settings: by name, for the workers.
        environment: variables for the workers beside those of this process.
        say: is told when elements wait, and why.

    Raises:
        NoSlurm: there is no Slurm here, or it refuses the job.
    """

    def __init__(
        self,
        sbatch: Sequence[str],
        workers: int,
        project: str,
        folder: Path,
        log: Path,
        settings: Mapping[str, object],
        environment: Mapping[str, str],
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._clock, self._say, self._log = clock, say, log
        self._states: Counter[str] = Counter()
        self._look_at_s, self._stops, self._failed, self._said = 0.0, 0, 0, ""
        options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        script = _SCRIPT.format(
            folder=shlex.quote(str(folder)), python=shlex.quote(sys.executable), options=shlex.join(options)
        )
        ours = [f"--array=1-{workers}", f"--job-name=distcomp-{project}", "--nodes=1", "--ntasks=1", "--parsable"]
        ours += ["--open-mode=append", f"--output={log}"]
        printed = _call([sbatch[0], *ours, *sbatch[1:]], script, {**os.environ, **environment})
        self.job = printed.strip().partition(";")[0]
        self._look(LOOK_S)

    def look(self) -> None:
        """See that the array lives, and tell what it waits for.

        Raises:
            DistcompError: it has ended by itself.
        """
        self._look(LOOK_S)
        if not self._stops and not self._states:
            raise DistcompError(
                f"All workers of Slurm's job {self.job} have ended: their time was over, or they could not start.",
                unchanged="What they did not do stays in the queue.",
                next_step=f"Their logs: {self._log}. The same command goes on.",
            )

    def has_left(self) -> bool:
        """`look` tells of it."""
        return False

    def is_alive(self) -> bool:
        """Whether an element waits or runs."""
        self._look(END_LOOK_S if self._stops else LOOK_S)
        return bool(self._states)

    def stop(self) -> None:
        """Tell all workers to end: the first time when what runs has ended, after that at once."""
        self._stops += 1
        self._look_at_s = 0.0
        # Elements that have not begun have nobody to tell.
        self._signal("--state=PENDING")
        self._signal("--signal=TERM", "--batch")

    def close(self) -> None:
        """End what is left of it."""
        if self.is_alive():
            self._signal()

    def _signal(self, *options: str) -> None:
        # It fails when there is nobody left to signal.
        _call(["scancel", "--quiet", *options, self.job], may_fail=True)

    def _look(self, every_s: float) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + every_s
        # It fails once Slurm has forgotten the job; it tells of those that have ended for some minutes.
        lines = _call(["squeue", "-h", "-r", "-t", "all", "-j", self.job, "-o", "%T %r"], may_fail=True).splitlines()
        states = Counter(line.partition(" ")[0] for line in lines)
        self._states = Counter({state: number for state, number in states.items() if state not in _ENDED})
        if states["FAILED"] > self._failed and not self._stops:
            self._failed = states["FAILED"]
            self._say(f"workers that Slurm started and that failed: {self._failed}; their logs: {self._log}")
        waits = Counter(line.partition(" ")[2] for line in lines if line.startswith("PENDING"))
        text = ", ".join(f"{number} ({reason})" for reason, number in waits.most_common())
        if text and text != self._said and not self._stops:
            self._say(f"workers that wait in Slurm's queue: {text}")
        self._said = text


def _call(
    command: Sequence[str], stdin: str = "", environment: Mapping[str, str] | None = None, *, may_fail: bool = False
) -> str:
    try:
        # In a group of its own: Ctrl-C is for us.
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, process_group=0
        )
    except FileNotFoundError as error:
        raise NoSlurm(
            f"There is no {command[0]} here.",
            unchanged="The tasks are in the queue; nothing runs.",
            next_step="Work on a login node of the cluster, or name the program in the setting `sbatch`.",
        ) from error
    except subprocess.TimeoutExpired as error:
        if may_fail:
            return ""
        raise NoSlurm(f"{command[0]} has not answered for {PATIENCE_S:g} s.") from error
    if done.returncode and not may_fail:
        raise NoSlurm(
            f"Slurm does not take the workers: {done.stderr.strip() or done.returncode}",
            unchanged="The tasks are in the queue; nothing runs.",
            next_step='Options for your cluster go into the setting `sbatch`, such as "sbatch --partition=short".',
        )
    return done.stdout
