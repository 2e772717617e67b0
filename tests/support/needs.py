"""What some tests need beyond a fresh clone. Without it they are left out and named; in CI they then fail."""

from __future__ import annotations

import os
import shutil

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
needs_moosefs = pytest.mark.skipif(
    not all(shutil.which(name, path="/usr/bin:/usr/sbin") for name in ("mfsmaster", "mfschunkserver", "mfsmount")),
    reason="needs MooseFS (Debian, Ubuntu: apt-get install moosefs-master moosefs-chunkserver moosefs-client)",
)
needs_slurm = pytest.mark.skipif(
    not all(shutil.which(name, path="/usr/bin:/usr/sbin") for name in ("sbatch", "slurmctld", "slurmd", "munged")),
    reason="needs Slurm (Debian, Ubuntu: apt-get install slurm-wlm munge)",
)
needs_uml = pytest.mark.skipif(
    shutil.which("linux.uml") is None, reason="needs User Mode Linux (Debian, Ubuntu: apt-get install user-mode-linux)"
)
