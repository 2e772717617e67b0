"""The state folder: found, made whole or not at all, and refused when it is not ours to use."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from distcomp import __version__, statefolder
from distcomp.errors import StateFolderError
from distcomp.statefolder import StateFolder, create, find_state_folder, open_existing, open_or_create

NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write anywhere, so these tests take off its rights, where they have them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that others can reach; pytest's own are shut to them."""
    path = Path(tempfile.mkdtemp(prefix="distcomp-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


class TestFinding:
    def test_it_is_found_from_anywhere_below(self, tmp_path: Path) -> None:
        folder = create(tmp_path)
        deep = tmp_path / "a" / "b"
        deep.mkdir(parents=True)

        assert find_state_folder(tmp_path) == folder
        assert find_state_folder(deep) == folder
        assert find_state_folder(folder.store) == folder

    def test_the_nearest_wins(self, tmp_path: Path) -> None:
        inner = tmp_path / "inner"
        inner.mkdir()
        create(inner)
        create(tmp_path)

        assert find_state_folder(inner) == StateFolder(inner / ".distcomp")

    def test_a_file_of_that_name_is_none(self, tmp_path: Path) -> None:
        (tmp_path / ".distcomp").touch()

        assert find_state_folder(tmp_path) is None

    def test_who_opens_without_one_is_told_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(StateFolderError, match=r"no \.distcomp folder in .* Go to the directory where"):
            open_existing(tmp_path)


class TestMaking:
    def test_it_has_all_it_needs_and_is_shut_to_others(self, tmp_path: Path) -> None:
        umask = os.umask(0)
        try:
            folder = create(tmp_path)
        finally:
            os.umask(umask)

        assert names(tmp_path) == {".distcomp"}
        assert names(folder.path) == {"version", "name", "secret", "store", "nodes", ".gitignore"}
        assert [mode(path) for path in (folder.path, folder.store, folder.nodes)] == [0o700] * 3
        assert mode(folder.secret_file) == 0o600
        assert len(folder.secret()) == 64

    def test_each_has_a_secret_of_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()

        assert create(tmp_path / "a").secret() != create(tmp_path / "b").secret()

    def test_one_that_is_there_stays_as_it_is(self, tmp_path: Path) -> None:
        secret = create(tmp_path).secret()

        assert create(tmp_path).secret() == secret
        assert open_or_create(tmp_path).secret() == secret
        assert names(tmp_path) == {".distcomp"}

    def test_who_comes_second_by_a_hair_takes_what_the_first_made(self, tmp_path: Path) -> None:
        for number in range(10):
            project = tmp_path / str(number)
            project.mkdir()
            start = threading.Barrier(4)
            with ThreadPoolExecutor(4) as threads:
                made = [threads.submit(lambda: (start.wait(), create(project).secret())) for _ in range(4)]  # noqa: B023

            assert len({maker.result()[1] for maker in made}) == 1
            assert names(project) == {".distcomp"}

    def test_many_at_once_make_one(self, tmp_path: Path) -> None:
        program = "import sys, pathlib, distcomp.statefolder as s; print(s.create(pathlib.Path(sys.argv[1])).secret())"
        makers = [
            subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]

        secrets = {maker.communicate(timeout=60)[0] for maker in makers}

        assert [maker.returncode for maker in makers] == [0] * 4
        assert secrets == {StateFolder(tmp_path / ".distcomp").secret() + "\n"}
        assert names(tmp_path) == {".distcomp"}

    def test_an_empty_folder_of_that_name_becomes_one(self, tmp_path: Path) -> None:
        (tmp_path / ".distcomp").mkdir(mode=0o755)

        assert mode(open_or_create(tmp_path).path) == 0o700

    def test_a_folder_with_other_things_in_it_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / ".distcomp").mkdir()
        (tmp_path / ".distcomp" / "notes").touch()

        for attempt in (open_or_create, create, open_existing):
            with pytest.raises(StateFolderError):
                attempt(tmp_path)
        assert names(tmp_path / ".distcomp") == {"notes"}
        assert names(tmp_path) == {".distcomp"}

    @pytest.mark.parametrize("place", ["sub", ".distcomp", ".distcomp/store"])
    def test_none_is_made_inside_another_project(self, tmp_path: Path, place: str) -> None:
        create(tmp_path)
        (tmp_path / place).mkdir(exist_ok=True)

        with pytest.raises(StateFolderError, match=r"belongs to the project of .*Nothing was made"):
            create(tmp_path / place)
        assert not (tmp_path / place / ".distcomp").exists()

    def test_where_we_may_not_write_it_says_so(self, open_directory: Path) -> None:
        open_directory.chmod(0o555)

        with without_privileges(), pytest.raises(StateFolderError, match=r"cannot be written: Permission denied"):
            create(open_directory)


class TestOpening:
    def test_another_format_is_refused_and_its_writer_named(self, tmp_path: Path) -> None:
        folder = create(tmp_path)
        folder.version_file.write_text("2\nwritten by distcomp 7.3\n")

        with pytest.raises(StateFolderError) as caught:
            open_existing(tmp_path)

        assert "format '2', written by distcomp 7.3" in str(caught.value)
        assert f"distcomp {__version__} reads format 1" in str(caught.value)
        assert "Use the version that wrote it" in caught.value.next_step

    def test_the_version_file_says_who_wrote_it(self, tmp_path: Path) -> None:
        number, writer = create(tmp_path).version_file.read_text().splitlines()

        assert (number, writer) == (str(statefolder.FORMAT), f"written by distcomp {__version__}")

    @pytest.mark.parametrize("content", [b"", b"\n", b"one", b"\xff\xfe", b"1.0\n"])
    def test_a_broken_version_file_is_another_format(self, tmp_path: Path, content: bytes) -> None:
        create(tmp_path).version_file.write_bytes(content)

        with pytest.raises(StateFolderError, match="has format"):
            open_existing(tmp_path)

    def test_one_that_cannot_be_written_is_refused(self, open_directory: Path) -> None:
        folder = create(open_directory)
        if os.geteuid() == 0:
            os.chown(folder.path, NOBODY, -1)
        folder.path.chmod(0o500)

        try:
            with without_privileges(), pytest.raises(StateFolderError, match=r"cannot be written\. Check its"):
                open_existing(open_directory)
        finally:
            folder.path.chmod(0o700)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
    def test_another_users_is_refused(self, open_directory: Path) -> None:
        """Its owner would choose which programs we run."""
        create(open_directory).path.chmod(0o755)

        with without_privileges(), pytest.raises(StateFolderError, match="belongs to another user"):
            open_existing(open_directory)

    def test_a_secret_that_was_opened_to_others_is_shut_again(self, tmp_path: Path) -> None:
        folder = create(tmp_path)
        folder.secret_file.chmod(0o644)

        folder.secret()

        assert mode(folder.secret_file) == 0o600

    @pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("")])
    def test_a_secret_that_is_gone_is_told(self, tmp_path: Path, spoil: object) -> None:
        folder = create(tmp_path)
        assert callable(spoil)
        spoil(folder.secret_file)

        with pytest.raises(StateFolderError, match="secret"):
            folder.secret()


class TestNodes:
    def test_a_node_has_a_folder_of_its_own(self, tmp_path: Path) -> None:
        node = create(tmp_path).node("node-7.cluster")

        node.create()
        node.create()

        assert names(node.path) == {"spool", "output"}
        assert mode(node.path) == 0o700
        assert {path.parent for path in (node.lock_file, node.slots_file, node.log_file)} == {node.path}

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../etc", "a\0b"])
    def test_no_name_leads_out_of_it(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="cannot name"):
            create(tmp_path).node(name)

    def test_where_it_cannot_be_made_it_says_so(self, tmp_path: Path) -> None:
        folder = create(tmp_path)
        (folder.nodes / "n").touch()

        with pytest.raises(StateFolderError, match="cannot be written"):
            folder.node("n").create()
