"""Which files a command names, and where MooseFS says that they lie."""

from __future__ import annotations

from pathlib import Path

from distcomp.api.locality import moosefs_mounts, named_files, parse_places
from distcomp.api.records import FilePlace

MOUNTS = """\
/dev/vda / ext4 rw 0 0
mfs\\043node0:9421 /mnt/mfs fuse rw,user_id=0 0 0
mfsmaster:9421 /mnt/with\\040blank fuse.mfs rw 0 0
lxcfs /var/lib/lxcfs fuse.lxcfs rw 0 0
user@host:/x /mnt/ssh fuse rw 0 0
"""
SAID = """\
/mnt/mfs/a b:
\tchunk 0: 0000000000000003_00000001 / (id:3 ver:1)
\t\tcopy 1: 10.10.1.3:9422 (status:VALID)
\t\tcopy 2: 10.10.1.4:9422 (status:VALID)
\tchunk 1: 0000000000000004_00000001 / (id:4 ver:1)
\t\tcopy 1: 10.10.1.2:9422 (status:WRONG VERSION)
\t\tcopy 2: 10.10.1.4:9422 (status:VALID)
/mnt/mfs/empty:
\tno chunks - empty file
/mnt/mfs/gone:
\tchunk 0: 0000000000000009_00000001 / (id:9 ver:1)
\t\tno valid copies !!!
"""


def test_mounts_are_known_by_their_kind() -> None:
    assert list(moosefs_mounts(MOUNTS)) == ["/mnt/mfs", "/mnt/with blank"]


def test_words_of_a_command_name_files_as_options_do(tmp_path: Path) -> None:
    for name in ("a b", "c", "d"):
        (tmp_path / name).touch()
    command = "./p 'a b' --in=c <d; ./p missing a\\ b > /dev/null && echo 'not closed"
    assert named_files(command, str(tmp_path)) == [str(tmp_path / name) for name in ("a b", "c", "d")]


def test_a_nodes_share_is_told_in_chunks_and_a_stranger_by_its_address() -> None:
    names = {"10.10.1.4": "node3"}
    assert list(parse_places(SAID, names.get)) == [
        FilePlace("/mnt/mfs/a b", 2, {"10.10.1.3": 1, "node3": 2}),
        FilePlace("/mnt/mfs/gone", 1, {}),
    ]
