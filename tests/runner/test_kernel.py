"""System calls that Python lacks."""

from __future__ import annotations

import subprocess
import sys

from tests.support.needs import needs_root

FIRST = """
import os, subprocess, sys, threading
from pathlib import Path
from distcomp.runner.kernel import go_first
done = threading.Event()
thread = threading.Thread(target=done.wait)
thread.start()
assert go_first()
threads = [int(task.name) for task in Path("/proc/self/task").iterdir()]
policies = [os.sched_getscheduler(thread_id) & ~os.SCHED_RESET_ON_FORK for thread_id in threads]
done.set()
child = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"]
print(policies == [os.SCHED_RR] * 2, subprocess.check_output(child, text=True).strip() == str(os.SCHED_OTHER))
"""


@needs_root
def test_all_threads_go_first_and_what_they_start_does_not() -> None:
    printed = subprocess.check_output([sys.executable, "-c", FIRST], text=True)
    assert printed.split() == ["True", "True"]
