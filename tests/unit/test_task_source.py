"""A task file read in pieces gives the same tasks, ids and faults as line by line."""

from __future__ import annotations

import io
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.errors import BadInput, Fault
from distcomp.identity import Identifier
from distcomp.model import JobContext, TaskSpec, TaskType
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
    [piece] = TaskFile(io.BytesIO(usual), "f", Format.LINE, NOTHING_MORE).pieces(lambda _: None)
    assert isinstance(piece, AlikePiece)


@pytest.mark.parametrize(
    "odd",
    [
        b"a\0b",
        b"# a comment",
        b" # one, too",
        b" a",
        b"\xc2\xa0a",
        b"\xc2\xa0# no comment",
        b"\xc2\xa0",
        b"a\xff",
        b"",
        b"a\r",
    ],
)
@pytest.mark.parametrize(("file_format", "head"), [(Format.LINE, b"shell:0:0:0:"), (Format.PLAIN, b"")])
def test_an_odd_line_among_usual_ones_is_what_the_parser_says(file_format: Format, head: bytes, odd: bytes) -> None:
    content = b"".join(head + command + b"\n" for command in (b"./a", odd, b"./b"))
    faults: list[Fault] = []
    expected = list(parse_numbered(io.BytesIO(content), "f", file_format, faults.append))
    assert read(content, file_format) == (expected, faults)


def test_a_command_that_is_too_long_is_a_fault_though_its_line_is_usual() -> None:
    tasks, [fault] = read(b"shell:0:0:0:./a\nshell:0:0:0:" + b"x" * (2**20 + 1) + b"\n", Format.LINE)
    assert (tasks, fault.line, fault.column) == ([(1, TaskSpec("./a"))], 2, 13)


def test_lines_of_one_format_are_none_of_another_however_usual() -> None:
    tasks, [fault] = read(b"shell:0:0:0:./a\n", Format.JSONL)
    assert (tasks, fault.line) == ([], 1)


def test_python_tasks_are_looked_at_one_by_one() -> None:
    tasks, [fault] = read(b"python:0:0:0:job.py\npython:0:0:0:not a script\n", Format.LINE)
    assert ([number for number, _ in tasks], fault.line) == ([1], 2)


def test_blanks_beyond_ascii_before_the_command_are_blanks() -> None:
    tasks, _ = read("shell:\xa00:0:0:./a\nshell:\xa00:0:0:./b\n".encode(), Format.LINE)
    assert tasks == [(1, TaskSpec("./a")), (2, TaskSpec("./b"))]


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
    for unusual_end in (b"", b"\r"):
        [(_, spec)], _ = read(b"./a" + unusual_end + b"\n", Format.PLAIN, base)
        assert spec == TaskSpec("./a", priority=3, memory_bytes=1 << 30, cores=2, tags=("t",))


def test_plain_lines_of_python_tasks_are_checked_as_such() -> None:
    tasks, [fault] = read(b"job.py 1\nnot a script\n", Format.PLAIN, TaskSpec("", type=TaskType.PYTHON))
    assert tasks == [(1, TaskSpec("job.py 1", type=TaskType.PYTHON))]
    assert (fault.line, fault.column) == (2, 1)


def test_outputs_are_added_to_those_of_the_line() -> None:
    line = b'{"command": "./a", "outputs": ["own"]}\n'
    [(_, spec)], _ = read(line, Format.JSONL, TaskSpec("", outputs=("*.csv", "own")))
    assert spec.outputs == ("own", "*.csv")


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


def test_a_few_faults_are_all_listed_and_none_are_no_error() -> None:
    faults = Faults()
    faults.check()
    TaskFile(io.BytesIO(b"bad\nworse\n"), "f", Format.LINE, TaskSpec("")).check(faults.add)
    with pytest.raises(BadInput) as raised:
        faults.check()
    assert [fault.line for fault in raised.value.faults] == [1, 2]


def test_nothing_of_a_file_is_lost_between_pieces() -> None:
    content = b"".join(b"shell:%d:0:0:./p %d\n" % (n % 3, n) for n in range(20_000))
    tasks, _ = read(content, Format.LINE)
    assert [spec.command for _, spec in tasks] == [f"./p {n}" for n in range(20_000)]
    pieces = TaskFile(io.BytesIO(content), "f", Format.LINE, TaskSpec("")).pieces(lambda _: None)
    assert list(chain.from_iterable(piece.numbers for piece in pieces)) == list(range(1, 20_001))
