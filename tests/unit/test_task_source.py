"""A task file read in pieces gives the same tasks, ids and faults as line by line."""

from __future__ import annotations

import io
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.errors import BadInput, Fault
from distcomp.identity import Identifier
from distcomp.model import JobContext, TaskSpec
from distcomp.taskfile import MAX_LINE_BYTES, Format, parse_numbered
from distcomp.taskfile.blocks import BLOCK_BYTES, find_alike
from distcomp.taskfile.source import FAULTS_LISTED, AlikePiece, Faults, TaskFile

NOTHING_MORE = TaskSpec("")
LINES = st.sampled_from(
    [
        b"shell:0:0:0:./program --seed 1",
        b"shell:0:0:0:./program:with:colons",
        b"shell:0:0:0:",
        b"shell:0:0:0: starts with a blank",
        b"shell:0:0:0:\xc3\xa4 starts beyond ASCII",
        b"shell:0:0:0:cat \xff\xfe",
        b"shell:5:2G:0.5:./program",
        b"python:0:0:0:script.py 1",
        b"python:0:0:0:not a script",
        b"# a comment",
        b"",
        b"   ",
        b"\xef\xbb\xbfshell:0:0:0:after a mark",
        b"nonsense",
        b"shell:0:0:0:a\0b",
        b"shell:0:0:0:carriage\rreturn",
        b'{"command": "./program", "tags": ["own"]}',
        b"#starts like a comment",
        b"plain words",
    ]
)
CONTENTS = st.builds(
    lambda lines, ends, last: b"".join(map(bytes.__add__, lines, ends)) + last,
    st.lists(LINES, min_size=0, max_size=12),
    st.lists(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]), min_size=12, max_size=12),
    st.sampled_from([b"", b"shell:0:0:0:no newline at the end"]),
)


def read(
    content: bytes, file_format: Format, base: TaskSpec = NOTHING_MORE
) -> tuple[list[tuple[int, TaskSpec]], list[Fault]]:
    faults: list[Fault] = []
    file = TaskFile(io.BytesIO(content), "f", file_format, base)
    tasks = [pair for piece in file.pieces(faults.append) for pair in zip(piece.numbers, piece.specs(), strict=True)]
    return tasks, faults


@given(CONTENTS, st.sampled_from(list(Format)))
def test_it_reads_what_the_parser_reads(content: bytes, file_format: Format) -> None:
    faults: list[Fault] = []
    expected = list(parse_numbered(io.BytesIO(content), "f", file_format, faults.append))
    assert read(content, file_format) == (expected, faults)


@given(CONTENTS, st.sampled_from(list(Format)))
def test_its_check_finds_every_fault(content: bytes, file_format: Format) -> None:
    faults: list[Fault] = []
    TaskFile(io.BytesIO(content), "f", file_format, TaskSpec("")).check(faults.append)
    assert faults == read(content, file_format)[1]


@given(CONTENTS)
def test_ids_of_a_piece_at_once_are_those_of_its_tasks(content: bytes) -> None:
    identifier = Identifier(JobContext("/here", {"A": "1"}))
    for piece in TaskFile(io.BytesIO(content), "f", Format.LINE, TaskSpec("")).pieces(lambda _: None):
        if isinstance(piece, AlikePiece):
            one_by_one = [identifier.digest(spec) for spec in piece.specs()]
            assert identifier.digests(piece.pattern.type, piece.commands) == one_by_one


def test_usual_lines_take_the_quick_way_and_unusual_ones_do_not() -> None:
    usual = b"shell:4:2:0.5:./a\nshell:4:2:0.5:./b\n"
    alike = find_alike(usual, Format.LINE, TaskSpec(""))
    assert alike is not None
    assert alike.commands == [b"./a", b"./b"]
    assert find_alike(usual + b"shell:5:2:0.5:./c\n", Format.LINE, TaskSpec("")) is None


@pytest.mark.parametrize("lines", [BLOCK_BYTES // 2, 3 * BLOCK_BYTES])
def test_blocks_end_with_whole_lines_and_numbers_go_on(lines: int) -> None:
    tasks, faults = read(b"x\n" * lines, Format.PLAIN)
    assert [number for number, _ in tasks] == list(range(1, lines + 1))
    assert not faults


def test_faults_far_into_a_file_have_the_right_line() -> None:
    content = b"shell:0:0:0:./a\n" * BLOCK_BYTES + b"nonsense\n" + b"shell:0:0:0:./b\n"
    tasks, [fault] = read(content, Format.LINE)
    assert (fault.line, fault.column) == (BLOCK_BYTES + 1, 1)
    assert tasks[-1] == (BLOCK_BYTES + 2, TaskSpec("./b"))


def test_a_line_that_never_ends_is_a_fault_and_not_held_in_memory() -> None:
    content = b"shell:0:0:0:" + b"x" * (3 * MAX_LINE_BYTES) + b"\nshell:0:0:0:./a\n"
    tasks, [fault] = read(content, Format.LINE)
    assert "longer than 2 MiB" in fault.what
    assert tasks == [(2, TaskSpec("./a"))]


def test_plain_lines_get_what_the_command_line_said() -> None:
    base = TaskSpec("", priority=3, memory_bytes=1 << 30, cores=2, tags=("t",))
    [(_, spec)], _ = read(b"./a\n", Format.PLAIN, base)
    assert spec == TaskSpec("./a", priority=3, memory_bytes=1 << 30, cores=2, tags=("t",))


def test_tags_are_added_to_those_of_the_line() -> None:
    for line, file_format in (
        (b'{"command": "./a", "tags": ["own"]}\n', Format.JSONL),
        (b"shell:0:0:0:./a\n", Format.LINE),
    ):
        [(_, spec)], _ = read(line, file_format, TaskSpec("", tags=("t", "u")))
        assert set(spec.tags) - {"own"} == {"t", "u"}


def test_of_many_faults_the_first_are_listed_and_the_others_counted() -> None:
    faults = Faults()
    TaskFile(io.BytesIO(b"bad\n" * 200), "f", Format.LINE, TaskSpec("")).check(faults.add)
    with pytest.raises(BadInput) as raised:
        faults.check()
    listed = raised.value.faults
    assert len(listed) == FAULTS_LISTED + 1
    assert "150 more" in str(listed[-1])
    assert faults.lines == 200


def test_nothing_of_a_file_is_lost_between_pieces() -> None:
    content = b"".join(b"shell:%d:0:0:./p %d\n" % (n % 3, n) for n in range(20_000))
    tasks, _ = read(content, Format.LINE)
    assert [spec.command for _, spec in tasks] == [f"./p {n}" for n in range(20_000)]
    pieces = TaskFile(io.BytesIO(content), "f", Format.LINE, TaskSpec("")).pieces(lambda _: None)
    assert list(chain.from_iterable(piece.numbers for piece in pieces)) == list(range(1, 20_001))
