"""What is sent to nodes: distcomp and all it needs, for the Python that is there."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from distcomp.nodes.bundle import holds, pack, pack_own, required_elsewhere
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


def test_what_only_an_older_python_needs_is_fetched_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not installed here, where it is not needed: as with redis and async-timeout below 3.11.3."""
    needs = (
        'backport[x]>=2 ; python_version < "3.12"',
        "newer>=1; python_version >= '3.90'",
        "zstandard",
        'e; extra == "e"',
    )
    metadata = tmp_path / "distcomp-9.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("".join(["Name: distcomp\nVersion: 9\n", *(f"Requires-Dist: {need}\n" for need in needs)]))
    monkeypatch.syspath_prepend(tmp_path)
    assert "backport[x]>=2" in required_elsewhere((3, 11, 2))
    assert not {"backport[x]>=2", "newer>=1"} & set(required_elsewhere((3, 13, 0)))


@pytest.mark.parametrize(
    ("condition", "version", "expected"),
    [
        ('python_version < "3.12"', (3, 11, 2), True),
        ('python_version < "3.12"', (3, 12, 1), False),
        ("python_full_version < '3.11.3'", (3, 11, 2), True),
        ("python_full_version < '3.11.3'", (3, 11, 3), False),
        ('python_version >= "3.11" and python_version <= "3.12"', (3, 12, 9), True),
        ('python_version >= "3.11" and python_version <= "3.12"', (3, 13, 0), False),
        ('python_version < "3.12" and extra == "tests"', (3, 11, 2), False),
        ('sys_platform == "win32"', (3, 11, 2), False),
        ("", (3, 11, 2), False),
    ],
)
def test_conditions_about_the_version_are_those_of_the_node(
    condition: str, version: tuple[int, ...], expected: bool
) -> None:
    assert holds(condition, version) is expected


def test_a_wheel_is_unpacked_as_an_installation_would_without_scripts(tmp_path: Path) -> None:
    wheel = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("x/__init__.py", "x-1.data/purelib/y.py", "x-1.data/scripts/run", "x-1.dist-info/METADATA"):
            archive.writestr(name, name)
    assert [name for name, _ in unpacked(wheel)] == ["x/__init__.py", "y.py", "x-1.dist-info/METADATA"]
