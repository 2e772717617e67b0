"""Text of a task file to task specs, or faults that point at the place."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distcomp import taskfile
from distcomp.errors import Fault
from distcomp.model import TaskSpec, TaskType
from distcomp.taskfile import Format

GIB = 2**30


def read(text: str | bytes, file_format: Format = Format.LINE) -> tuple[list[TaskSpec], list[str]]:
    """The tasks in a file called `t`, and its faults as a user sees them."""
    faults: list[Fault] = []
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    specs = list(taskfile.parse(raw.splitlines(keepends=True), "t", file_format, faults.append))
    return specs, [str(fault) for fault in faults]


def tasks(text: str | bytes, file_format: Format = Format.LINE) -> list[TaskSpec]:
    specs, faults = read(text, file_format)
    assert faults == []
    return specs


def the_fault(text: str | bytes, file_format: Format = Format.LINE) -> str:
    specs, faults = read(text, file_format)
    assert specs == []
    (fault,) = faults
    return fault


def fail_at(fault: Fault) -> None:
    """For texts without a fault."""
    pytest.fail(str(fault))


# The original platform's line


def test_a_line_is_type_priority_memory_cores_and_the_command_with_its_colons() -> None:
    assert tasks("shell:4:2:0.5:./sim http://host:80 a:b\npython:-1:512M:0:sim.py\n") == [
        TaskSpec("./sim http://host:80 a:b", TaskType.SHELL, 4, 2 * GIB, 0.5),
        TaskSpec("sim.py", TaskType.PYTHON, -1, 512 * 2**20, 0),
    ]


def test_zero_is_unknown_and_fields_may_have_blanks_around_them() -> None:
    assert tasks("  shell : 0 : 0 : 0 : ls -l ") == [TaskSpec(" ls -l ")]


def test_comments_and_blank_lines_are_skipped_and_counted() -> None:
    numbered = taskfile.parse_numbered(
        [b"# tasks\n", b"\n", b"shell:0:0:0:a\n", b"   # not yet\n", b" \t\r\n", b"shell:0:0:0:b # kept"],
        "t",
        Format.LINE,
        fail_at,
    )
    assert list(numbered) == [(3, TaskSpec("a")), (6, TaskSpec("b # kept"))]


def test_windows_line_ends_and_a_byte_order_mark_are_tolerated() -> None:
    assert tasks(b"\xef\xbb\xbfshell:0:0:0:a\r\nshell:0:0:0:b\r\n") == [TaskSpec("a"), TaskSpec("b")]
    assert tasks(b"\xef\xbb\xbf# only a comment\r\n") == []


@pytest.mark.parametrize("file_format", [Format.LINE, Format.PLAIN])
def test_text_is_utf8_and_other_bytes_survive(file_format: Format) -> None:
    prefix = b"shell:0:0:0:" if file_format is Format.LINE else b""
    (spec,) = tasks(prefix + "cat é ".encode() + b"\xff\xe9\n", file_format)
    assert spec.command.encode("utf-8", "surrogateescape") == "cat é ".encode() + b"\xff\xe9"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("shel:0:0:0:ls", "t:1:1: type: 'shel' is not shell or python; did you mean shell?"),
        ("  Python:0:0:0:ls", "t:1:3: type: 'Python' is not shell or python; did you mean python?"),
        (":0:0:0:ls", "t:1:1: type is empty"),
        ("shell:high:0:0:ls", "t:1:7: priority: 'high' is not a whole number"),
        ("shell:1.5:0:0:ls", "t:1:7: priority: '1.5' is not a whole number"),
        ("shell:1048576:0:0:ls", "t:1:7: priority: 1048576 is outside -1048576 to 1048575"),
        ("shell:0::0:ls", "t:1:9: min_dram is empty"),
        (
            "shell:0: 4X:0:ls",
            "t:1:10: min_dram: '4X' is not a size: write 512M, 1.5G or the like (units K M G T P, or B); "
            "a bare number is in GiB",
        ),
        ("shell:0:0:-1:ls", "t:1:11: min_cpu: '-1' is not a number of cores, such as 2 or 0.5 (0: unknown)"),
        ("shell:0:0:99999:ls", "t:1:11: min_cpu: 99999 is outside 0 to 65536"),
        ("shell:0:0:0:", "t:1:13: the command is empty"),
        ("shell:0:0:0:  ", "t:1:13: the command is empty"),
        ("shell:0:0:0:a\0b", "t:1:14: a NUL byte"),
        ("é\0", "t:1:2: a NUL byte"),
        ("shell:4:2", "t:1:1: expected type:priority:min_dram:min_cpu:command, found 2 of its 4 colons"),
        ("./sim a b", "t:1:1: expected type:priority:min_dram:min_cpu:command; did you mean --plain?"),
        ("shell", "t:1:1: expected type:priority:min_dram:min_cpu:command; did you mean --plain?"),
        ("scp a:b c", "t:1:1: expected type:priority:min_dram:min_cpu:command; did you mean --plain?"),
        (f"{'x' * 41}:0:0:0:ls", f"t:1:1: type: '{'x' * 40}…' is not shell or python"),
        (
            "rsync a:b:c d:e:f",
            "t:1:1: type: 'rsync a' is not shell or python "
            "(expected type:priority:min_dram:min_cpu:command; did you mean --plain?)",
        ),
        (
            '{"command": "ls"}',
            "t:1:1: expected type:priority:min_dram:min_cpu:command; this looks like JSON, try --format jsonl",
        ),
    ],
)
def test_a_fault_names_its_place_and_what_would_be_right(line: str, fault: str) -> None:
    assert the_fault(line) == fault


def test_every_fault_of_a_line_is_reported_and_the_lines_around_it_are_read() -> None:
    specs, faults = read("shell:0:0:0:a\nshell:x:0:y:b\nshell:0:0:0:c\n")
    assert [spec.command for spec in specs] == ["a", "c"]
    assert [fault.split(": ")[0:2] for fault in faults] == [["t:2:7", "priority"], ["t:2:11", "min_cpu"]]


def test_a_file_in_utf16_is_recognised() -> None:
    faults: list[Fault] = []
    list(taskfile.parse(["shell:0:0:0:ls\n".encode("utf-16")], "t", Format.LINE, faults.append))
    assert "the file is UTF-16, not UTF-8" in faults[0].what


def test_a_command_may_have_one_mebibyte_and_no_more() -> None:
    limit = taskfile.MAX_COMMAND_BYTES
    assert len(tasks(b"shell:0:0:0:" + b"x" * limit)[0].command) == limit
    assert the_fault(b"shell:0:0:0:" + b"x" * (limit + 1)) == "t:1:13: the command is longer than 1 MiB"
    assert the_fault("é" * (limit // 2 + 1), Format.PLAIN) == "t:1:1: the command is longer than 1 MiB"
    assert the_fault(b"x" * (taskfile.MAX_LINE_BYTES + 1), Format.PLAIN) == "t:1: the line is longer than 2 MiB"


def test_more_different_prefixes_than_are_remembered_are_read_alike() -> None:
    lines = [b"shell:%d:0:0:x\n" % number for number in range(10_000)]
    assert [spec.priority for spec in taskfile.parse(lines * 2, "t", Format.LINE, fail_at)] == [*range(10_000)] * 2


def test_tasks_come_one_at_a_time() -> None:
    """A million lines must not be in memory: nothing is read ahead of what is asked for."""
    taken = []

    def lines() -> Iterable[bytes]:
        for number in range(3):
            taken.append(number)
            yield b"shell:0:0:0:x\n"

    parsed = taskfile.parse(lines(), "t", Format.LINE, fail_at)
    assert taken == []
    next(parsed)
    assert taken == [0]


# The commands of python tasks


@pytest.mark.parametrize("command", ["sim.py a 'b c'", "-m pkg.sim a", "pkg.sim:run 1 size=0.1", "bin/sim a"])
def test_a_python_task_is_a_script_a_module_or_a_function(command: str) -> None:
    assert tasks(f"python:0:0:0:{command}") == [TaskSpec(command, TaskType.PYTHON)]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("sim.py 'a b", "t:1:21: the quote ' is not closed"),
        ("sim a", "t:1:14: 'sim' is not a script (name.py), -m module or package.module:function"),
        ("-m", "t:1:14: -m needs the name of a module"),
        ("-m a/b.py", "t:1:17: 'a/b.py' is not the name of a module"),
    ],
)
def test_a_python_command_of_no_known_form_is_a_fault(command: str, fault: str) -> None:
    assert the_fault(f"python:0:0:0:{command}") == fault


# Plain lines


def test_a_plain_line_is_a_shell_command_as_it_stands() -> None:
    text = "# all\n./sim a:b:c:d:e 'x' # y\n\n  indented \r\n"
    assert tasks(text, Format.PLAIN) == [TaskSpec("./sim a:b:c:d:e 'x' # y"), TaskSpec("  indented ")]


# JSON lines


def test_a_json_line_has_named_fields() -> None:
    text = """
        {"command": "sim.py a", "type": "python", "priority": 7, "memory": "1.5G", "cores": 2, "cwd": "sub",
         "env": {"SEED": "1"}, "timeout": "2h", "retries": 0, "kind": "sim", "tags": ["a", "b"],
         "outputs": ["out/*.csv"], "params": {"size": 0.1, "n": 3, "algo": "lru", "warm": true, "seed": null}}
    """
    (spec,) = tasks(text.replace("\n", ""), Format.JSONL)
    assert spec == TaskSpec(
        command="sim.py a",
        type=TaskType.PYTHON,
        priority=7,
        memory_bytes=GIB * 3 // 2,
        cores=2,
        cwd="sub",
        env={"SEED": "1"},
        timeout_s=7200,
        retries=0,
        kind="sim",
        tags=("a", "b"),
        outputs=("out/*.csv",),
        params={"size": 0.1, "n": 3, "algo": "lru", "warm": True, "seed": None},
    )


def test_numbers_alone_are_gigabytes_and_seconds_and_null_is_nothing() -> None:
    text = '{"command": "a", "memory": 2, "timeout": 1.5}\n{"command": "b", "cwd": null, "memory": null}'
    assert tasks(text, Format.JSONL) == [TaskSpec("a", memory_bytes=2 * GIB, timeout_s=1.5), TaskSpec("b")]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"command": "a", "memry": 2}', "t:1:18: unknown field 'memry'; did you mean memory?"),
        (
            '{"command": "a", "x": 2}',
            "t:1:18: unknown field 'x'; the fields are command, type, priority, memory, cores, cwd, env, timeout, "
            "retries, kind, tags, outputs, params",
        ),
        ('{"params": {"cores": 1}, "command": "a", "cores": "2"}', "t:1:51: cores must be a number"),
        ('{"priority": 1}', "t:1:1: the field 'command' is missing"),
        ("[1, 2]", "t:1:1: expected a JSON object with named fields"),
        ('"a{b"', "t:1:1: expected a JSON object with named fields"),
        ('{"command": "a",}', None),
        ('{"command": "a" "cores": 1}', "t:1:17: not JSON: Expecting ',' delimiter"),
        ('{"command": ""}', "t:1:13: command: the command is empty"),
        ('{"command": "a\\u0000"}', "t:1:13: command: it holds a NUL character"),
        (
            '{"command": "\\ud800"}',
            "t:1:13: command: it holds half of a surrogate pair, which no text can have",
        ),
        ('{"command": "a", "type": "ruby"}', 't:1:26: type must be "shell" or "python"'),
        (
            '{"command": "a.py \'", "type": "python"}',
            "t:1:13: command: the quote ' is not closed (character 6)",
        ),
        (
            '{"command": "a", "priority": 1000000000}',
            "t:1:30: priority: 1000000000 is outside -1048576 to 1048575",
        ),
        ('{"command": "a", "priority": true}', "t:1:30: priority must be a whole number"),
        ('{"command": "a", "memory": -1}', "t:1:28: memory: -1 GB is outside 0 to 8P"),
        ('{"command": "a", "memory": []}', 't:1:28: memory must be a size such as "512M", or a number of GB'),
        ('{"command": "a", "cores": NaN}', "t:1:27: not JSON: NaN"),
        ('{"command": "a", "cores": 1e999}', "t:1:27: cores: inf is outside 0 to 65536"),
        ('{"command": "a", "timeout": 0}', "t:1:29: timeout: 0.0 is not above 0 and at most 36500d"),
        ('{"command": "a", "retries": -1}', "t:1:29: retries: -1 is outside 0 to 1000000"),
        ('{"command": "a", "outputs": ["/x"]}', "t:1:29: outputs: '/x' is not below the task's directory"),
        ('{"command": "a", "cwd": ""}', "t:1:25: cwd: it is empty; leave it out for the directory of submission"),
        ('{"command": "a", "env": {"A=B": "1"}}', "t:1:25: env: 'A=B' cannot be the name of a variable"),
        ('{"command": "a", "env": {"A": 1}}', "t:1:25: env must be an object whose values are text"),
        (
            '{"command": "a", "params": {"x": [1]}}',
            "t:1:28: params must be an object of texts, numbers, true, false and null",
        ),
        ('{"command": "a", "params": {"x": 9223372036854775808}}', "t:1:28: params: x is beyond 64 bits"),
        ('{"command": "a", "params": {"x": 1e999}}', "t:1:28: params: x is too large a number"),
        ("[" * 100_000, "t:1:1: not JSON: too deeply nested"),
        ('{"command": "a", "priority": ' + "9" * 5000 + "}", "t:1:1: not JSON: a number is too long"),
    ],
)
def test_a_fault_in_a_json_line_points_at_the_field(line: str, fault: str | None) -> None:
    found = the_fault(line, Format.JSONL)
    # Python's own reader words one of them differently from version to version.
    assert found == fault if fault else found.startswith("t:1:")


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.just("not UTF-8: \udcff")
some_text = texts.filter(lambda text: bool(text.strip()))


@given(
    st.builds(
        TaskSpec,
        command=some_text,
        priority=st.integers(-1_048_576, 1_048_575),
        memory_bytes=st.integers(0, 2**53),
        cores=st.floats(0, 65_536),
        cwd=st.none() | some_text,
        env=st.none() | st.dictionaries(some_text.filter(lambda name: "=" not in name), texts),
        timeout_s=st.none() | st.floats(0.001, 1e9),
        retries=st.none() | st.integers(0, 100),
        kind=st.none() | texts,
        tags=st.lists(texts).map(tuple),
        params=st.none()
        | st.dictionaries(
            texts,
            texts
            | st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False),
        ),
    )
)
def test_a_task_written_as_a_json_line_reads_as_the_same_task(spec: TaskSpec) -> None:
    line = taskfile.to_jsonl(spec)
    assert line.count(b"\n") == 1
    assert tasks(line, Format.JSONL) == [spec]


# Any file


@pytest.mark.parametrize("file_format", list(Format))
@given(
    lines=st.lists(st.binary(max_size=60) | st.text('{}":,[]aeshlpython0123456789 \'"\\', max_size=60).map(str.encode))
)
@example(lines=[b"{"])
@example(lines=[b"\xef\xbb\xbf"])
def test_no_bytes_make_the_parser_fail(lines: list[bytes], file_format: Format) -> None:
    """Each line is a task, skipped, or a fault whose place lies within the line."""
    faults: list[Fault] = []
    found = [number for number, _ in taskfile.parse_numbered(lines, "t", file_format, faults.append)]
    at_fault = {fault.line for fault in faults}

    assert not at_fault & set(found)
    assert all(0 <= fault.column <= len(lines[fault.line - 1]) + 1 for fault in faults)
    for number in set(range(1, len(lines) + 1)) - at_fault - set(found):
        content = lines[number - 1].removeprefix(b"\xef\xbb\xbf").strip()
        assert not content or content.startswith(b"#")


@pytest.mark.parametrize(
    ("name", "first_lines", "guess"),
    [
        ("tasks.jsonl", [], Format.JSONL),
        ("TASKS.NDJSON", [b"shell:0:0:0:a"], Format.JSONL),
        ("tasks.txt", [b"shell:0:0:0:a"], Format.LINE),
        ("-", [b"# from a script\n", b"\n", b' {"command": "a"}\n'], Format.JSONL),
        ("-", [], Format.LINE),
        ("commands", [b"./sim a\n"], Format.LINE),
    ],
)
def test_the_format_is_guessed_from_the_name_and_the_first_task(
    name: str, first_lines: list[bytes], guess: Format
) -> None:
    assert taskfile.guess_format(name, first_lines) is guess
