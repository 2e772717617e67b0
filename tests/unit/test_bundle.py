"""What is sent to nodes: distcomp and all it needs, for the Python that is there."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from distcomp.nodes.bundle import pack, pack_own
from distcomp.nodes.foreign import Target, pip_command, unpacked


def test_the_archive_runs_by_itself(tmp_path: Path) -> None:
    """Without any package of this Python's."""
    bundle = pack_own()
    with tarfile.open(fileobj=io.BytesIO(bundle.content)) as tar:
        tar.extractall(tmp_path, filter="data")
    command = [sys.executable, "-I", "-S", str(tmp_path), "worker", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={}, timeout=60)
    assert "Run tasks on this machine" in done.stdout, done.stderr


def test_equal_content_has_an_equal_name_and_other_content_another_one() -> None:
    files = {"a": b"1", "b": b"2"}
    assert pack(files) == pack(dict(reversed(files.items())))
    assert pack(files).name != pack({"a": b"1", "b": b"3"}).name


@pytest.mark.parametrize(
    ("glibc", "first", "last"),
    [
        ((2, 36), "manylinux_2_36_x86_64", "manylinux2014_x86_64"),
        ((), "musllinux_1_2_x86_64", "musllinux_1_1_x86_64"),
    ],
)
def test_wheels_for_another_python_are_asked_for_as_that_machine_needs_them(
    glibc: tuple[int, ...], first: str, last: str
) -> None:
    words = pip_command(Target((3, 13, 1), "x86_64", glibc), ["redis==8.1.0"], Path("/into"))
    platforms = [words[at + 1] for at, word in enumerate(words) if word == "--platform"]
    assert (platforms[0], platforms[-1]) == (first, last)
    assert words[words.index("--python-version") + 1] == "3.13"
    assert words[-3:] == ["--dest", "/into", "redis==8.1.0"]


def test_a_wheel_is_unpacked_as_an_installation_would_without_scripts(tmp_path: Path) -> None:
    wheel = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("x/__init__.py", "x-1.data/purelib/y.py", "x-1.data/scripts/run", "x-1.dist-info/METADATA"):
            archive.writestr(name, name)
    assert [name for name, _ in unpacked(wheel)] == ["x/__init__.py", "y.py", "x-1.dist-info/METADATA"]
