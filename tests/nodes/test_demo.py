"""The demo on machines that have a Python and nothing else, with two of its traces."""

from __future__ import annotations

from tests.nodes.conftest import FOLDER, User
from tests.support.cluster import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "cache_sweep"
TRACES = ("paths_venv", "prog_xz")


def test_a_host_file_and_one_command_give_the_table(user: User) -> None:
    example = f"{FOLDER}/example"
    user.home.run("mkdir", "-p", f"{example}/traces")
    user.home.run("sh", "-c", f"cp {EXAMPLE}/*.py {example}")
    for name in TRACES:
        user.home.run("cp", f"{EXAMPLE}/traces/{name}.u32.xz", f"{example}/traces")
    expected = (EXAMPLE / "traces" / "expected.csv").read_text().splitlines(keepends=True)
    kept = [line for number, line in enumerate(expected) if not number or line.startswith(TRACES)]
    user.write("example/traces/expected.csv", "".join(kept))

    done = user.home.run(
        "python", f"{example}/demo.py", "/root/demo", "--hosts", f"{FOLDER}/hosts.txt", timeout_s=100, exit_code=None
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 finished" in done.stdout
    assert "FIFO-Reinsertion misses less often than LRU in" in done.stdout
