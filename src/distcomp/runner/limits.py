"""What the settings say about attempts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from distcomp.model import Claim


class KeepOutput(StrEnum):
    """Of which attempts the full output is kept. The last KiB of failed ones always is."""

    ALL = "all"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """What the settings say about attempts.

    Args:
        shell: absolute path of the shell for shell tasks; called as `shell -c command`.
        timeout_s: of attempts whose task and job state none; 0 is none, there as here.
        kill_grace_s: from TERM to KILL.
        output_limit_bytes: of each of stdout and stderr; the middle of a longer one is cut out.
        compress_above_bytes: stdout and stderr together; larger ones get a compressed file of their own.
        pack_bytes: a file of small outputs that has grown beyond this is followed by a new one.
        look_interval_s: how often memory and output of attempts are looked at.
        cwd_map: (from, to): attempts of directory `from` or below run in `to` instead; empty: as they are.
        collect: patterns of result files of every attempt, beside those that its task declares.
        is_direct: run commands that need no shell without one (direct.py).
    """

    shell: str = "/bin/bash"
    timeout_s: float = 0.0
    kill_grace_s: float = 5.0
    output_limit_bytes: int = 64 * 2**20
    compress_above_bytes: int = 64 * 2**10
    pack_bytes: int = 64 * 2**20
    keep_output: KeepOutput = KeepOutput.ALL
    look_interval_s: float = 1.0
    cwd_map: tuple[str, str] | tuple[()] = ()
    collect: tuple[str, ...] = ()
    is_direct: bool = True


def timeout_s(claim: Claim, limits: RunnerLimits) -> float:
    """Of an attempt: what its task says, else its job, else the settings; infinite where all are silent."""
    own_s = claim.spec.timeout_s
    if own_s is None:
        own_s = claim.context.timeout_s
    return (limits.timeout_s if own_s is None else own_s) or math.inf
