"""A command template times its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.errors import BadInput, Fault
from distcomp.model import TaskSpec, TaskType
from distcomp.sweep import Disk, parse_sweep
from distcomp.sweep.values import parse_parameter

NO_FILES = Disk(Path("/nonexistent"))


def commands(template: str, *parameters: str, where: str = "", zips: Sequence[str] = ()) -> list[str]:
    sweep = parse_sweep(template, parameters, NO_FILES, where=where, zips=zips)
    found = [spec.command for spec in sweep.specs()]
    assert sweep.count() == len(found)
    return found


def values(parameter: str, sources: Disk = NO_FILES) -> list[object]:
    """What a parameter gives: the text in the command, and the value in the result columns."""
    return [
        value
        for spec in parse_sweep("{x}", [f"x={parameter}"], sources).specs()
        for value in (spec.params or {}).values()
    ]


def faults(template: str, *parameters: str, where: str = "", zips: Sequence[str] = ()) -> list[str]:
    with pytest.raises(BadInput) as refused:
        parse_sweep(template, parameters, NO_FILES, where=where, zips=zips).count()
    return [str(fault) for fault in refused.value.faults]


# The product


def test_every_combination_is_a_task_and_the_last_parameter_varies_fastest() -> None:
    assert commands("./sim {trace} {algo} {size}", "trace=a,b", "algo=LRU", "size=0.1,0.2,0.3") == [
        "./sim a LRU 0.1",
        "./sim a LRU 0.2",
        "./sim a LRU 0.3",
        "./sim b LRU 0.1",
        "./sim b LRU 0.2",
        "./sim b LRU 0.3",
    ]


def test_parameters_stay_with_the_task_as_numbers_where_they_are_numbers() -> None:
    """The command has the text as typed; the column has the number."""
    (spec,) = parse_sweep("./sim {a} {b} {c} {d}", ["a=1e-3", "b=0.10", "c=-3", "d=007"], NO_FILES).specs()
    assert spec.command == "./sim 1e-3 0.10 -3 007"
    assert spec.params == {"a": 0.001, "b": 0.1, "c": -3, "d": "007"}


def test_tasks_have_what_the_sweep_says_of_all_of_them() -> None:
    base = TaskSpec("", TaskType.PYTHON, priority=3, memory_bytes=2**30, kind="sim", params={"run": 1})
    (spec,) = parse_sweep("sim.py {n}", ["n=2"], NO_FILES, base=base).specs()
    assert spec == TaskSpec(
        "sim.py 2", TaskType.PYTHON, priority=3, memory_bytes=2**30, kind="sim", params={"run": 1, "n": 2}
    )


def test_result_files_are_named_by_the_parameters_whose_values_are_no_patterns() -> None:
    base = TaskSpec("", outputs=("out/{t.stem}-{n:02d}.csv", "out/$DISTCOMP_TASK_ID.*", "{{x}}"))
    parameters = ["t='a[1].xz',b.xz", "n=1,2"]
    found = [spec.outputs for spec in parse_sweep("p {t} {n}", parameters, Disk(Path()), base=base).specs()]
    assert [outputs[0] for outputs in found] == [
        "out/a[[]1]-01.csv", "out/a[[]1]-02.csv", "out/b-01.csv", "out/b-02.csv",
    ]  # fmt: skip
    assert found[0][1:] == ("out/$DISTCOMP_TASK_ID.*", "{x}")


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("out/{q}", "--outputs out/{q}:5: no parameter 'q'"),
        ("out/{n:x}", "--outputs out/{n:x}:5: 'a'"),
        ("out/{n", "--outputs out/{n:5: not a placeholder"),
    ],
)
def test_what_is_wrong_with_the_name_of_a_result_file_is_said(pattern: str, fault: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_sweep("p {n}", ["n=a"], Disk(Path()), base=TaskSpec("", outputs=(pattern,)))
    assert fault in str(error.value)


def test_a_value_that_leads_a_result_file_elsewhere_is_refused() -> None:
    sweep = parse_sweep("p {n}", ["n=../x"], Disk(Path()), base=TaskSpec("", outputs=("{n}",)))
    with pytest.raises(BadInput, match="is not below the task's directory"):
        list(sweep.specs())


def test_zipped_parameters_go_together() -> None:
    assert commands("{a}{x}{b}", "a=1,2", "x=_,+", "b=8,9", zips=["a,b"]) == ["1_8", "1+8", "2_9", "2+9"]


def test_a_parameter_zipped_to_a_used_one_may_label_it() -> None:
    sweep = parse_sweep("./sim {trace}", ["trace=a,b", "label=small,large"], NO_FILES, zips=["trace, label"])
    assert [spec.params for spec in sweep.specs()] == [
        {"trace": "a", "label": "small"},
        {"trace": "b", "label": "large"},
    ]


def test_a_large_sweep_is_counted_without_being_made() -> None:
    sweep = parse_sweep("{a}{b}{c}", [f"{name}=range:1..10000" for name in "abc"], NO_FILES)
    assert sweep.count() == 10**12
    assert next(sweep.specs()).command == "111"


def test_a_where_condition_leaves_out_combinations() -> None:
    assert commands("{a} {b}", "a=range:1..3", "b=range:1..3", where="a < b") == ["1 2", "1 3", "2 3"]


STRAY = "not a placeholder such as {name}, {name.stem} or {name:.2f}; for a brace write it twice"
UNUSED_TRACE = "parameter trace:1: not used: the template has no {trace}"
UNUSED = "not used: the template has no"
DOLLAR = "no value can stand right after $; write ${{name}} for a variable of the shell"
ADD_B = "add b=VALUES, or write {{b}} for braces of the command's own"
FORMAT = "Unknown format code 'd' for object of type 'str'"


@pytest.mark.parametrize(
    ("template", "parameters", "expected"),
    [
        ("{a} {trcae}", ["a=1", "trace=x"], ["template:5: no parameter 'trcae'; did you mean trace?", UNUSED_TRACE]),
        ("{a} ${HOME}", ["a=1"], [f"template:6: {DOLLAR}"]),
        ("{b}", ["a=1"], [f"template:1: no parameter 'b'; {ADD_B}", f"parameter a:1: {UNUSED} {{a}}"]),
        ("{a}", ["a=1,2", "a=3"], ["parameter a:1: given twice; put all values in one list"]),
        ("{a}", ["a=1,2,1"], ["parameter a:7: '1' is given twice"]),
        ("{a}", ["a"], ["parameter a:1: expected name=VALUES, such as size=0.01,0.1"]),
        ("{a}", ["2a=1"], ["parameter 2a=1:1: expected name=VALUES, such as size=0.01,0.1"]),
        (" ", ["a=1"], ["template:1: the template is empty"]),
        ("{a}\0", ["a=1"], ["template:4: a NUL byte"]),
        ("awk '{print $1}' {a}", ["a=1"], [f"template:6: {STRAY}", f"template:15: {STRAY}"]),
        ("{a.parents}", ["a=1"], ["template:1: unknown part .parents: .name, .stem, .suffix, .parent"]),
        ("{a:d} {a:d}", ["a=1,x,y"], [f"template:1: 'x': {FORMAT}", f"template:7: 'x': {FORMAT}"]),
        ("{{x}} {a} 'b {a}", ["a=1"], ["template:11: the ' is not closed"]),
        ("{a} {", ["a=1,1"], ["parameter a:5: '1' is given twice", f"template:5: {STRAY}"]),
    ],
)  # fmt: skip
def test_all_that_is_wrong_is_said_with_its_place(template: str, parameters: list[str], expected: list[str]) -> None:
    assert faults(template, *parameters) == expected


@pytest.mark.parametrize(
    ("zips", "expected"),
    [
        (["a,b"], "zip: a,b: not equally many values: a 2, b 3"),
        (["a,x"], "zip: a,x: no parameter 'x'"),
        (["a"], "zip: a: expected different names, such as a,b"),
        (["a,a"], "zip: a,a: expected different names, such as a,b"),
        (["a,c", "c,a"], "zip: c,a: c is zipped twice"),
    ],
)
def test_a_zip_that_cannot_be_is_refused(zips: list[str], expected: str) -> None:
    assert faults("{a}{b}{c}", "a=1,2", "b=1,2,3", "c=1,2", zips=zips) == [expected]


def test_zipped_parameters_may_repeat_values_but_not_pairs() -> None:
    assert commands("{a}{b}", "a=1,1", "b=1,2", zips=["a,b"]) == ["11", "12"]
    assert faults("{a}{b}", "a=1,1", "b=2,2", zips=["a,b"]) == ["parameter b:5: '1', '2' is given twice"]


def test_the_command_of_a_python_sweep_has_one_of_its_forms() -> None:
    with pytest.raises(BadInput, match="'sim' is not a script"):
        parse_sweep("sim {n}", ["n=1"], NO_FILES, base=TaskSpec("", TaskType.PYTHON))


# Values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LRU,FIFO", ["LRU", "FIFO"]),
        ("0.1, 2 ,+3,-.5,1e3", [0.1, 2, 3, -0.5, 1000.0]),
        ("'a,b',\"c'd\",e\\,f,g\\\\,h\\i", ["a,b", "c'd", "e,f", "g\\", "h\\i"]),
        ("'',' x '", ["", " x "]),
        ("host:80,'glob:*'", ["host:80", "glob:*"]),
        ("9223372036854775808,1e999,nan,1_0,٣", ["9223372036854775808", "1e999", "nan", "1_0", "٣"]),
        ("range:1..4", [1, 2, 3, 4]),
        ("range:3..1", [3, 2, 1]),
        ("range:0..1..0.25", [0, 0.25, 0.5, 0.75, 1]),
        ("range:0.1..0.35..0.1", [0.1, 0.2, 0.3]),
        ("range:1..-1..-1", [1, 0, -1]),
        ("range:5..5", [5]),
        ("range,log", ["range", "log"]),
        ("range", ["range"]),
        ("log:1..1000..x10", [1, 10, 100, 1000]),
        ("log:0.001..1..10", [0.001, 0.01, 0.1, 1]),
        ("log:1..2..x1.1", [1, 1.1, 1.21, 1.331, 1.4641, 1.61051, 1.771561, 1.9487171]),
    ],
)
def test_values_are_lists_ranges_or_powers(text: str, expected: list[object]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "parameter x:3: an empty value; write '' if it is meant"),
        ("a,,b", "parameter x:5: an empty value; write '' if it is meant"),
        ("a,", "parameter x:5: an empty value; write '' if it is meant"),
        ("a,'b", "parameter x:5: a quote is not closed, or something follows it before the comma"),
        ("'a'b,c", "parameter x:3: a quote is not closed, or something follows it before the comma"),
        ("a\0", "parameter x:3: a value holds a NUL character"),
        ("a," + "b" * 70_000, "parameter x:5: a value is longer than 65536 characters"),
        ("range:1", "parameter x:3: expected range:FIRST..LAST or range:FIRST..LAST..STEP, such as range:0..1..0.25"),
        ("range:1..2..0", "parameter x:3: steps of 0 do not lead from 1 to 2"),
        ("range:1..2..-1", "parameter x:3: steps of -1 do not lead from 1 to 2"),
        ("range:1..1000000000000", "parameter x:3: more than 1,000,000 values"),
        ("log:0..1..x2", "parameter x:3: FIRST must be above 0, LAST no less, FACTOR above 1"),
        ("log:1..2", "parameter x:3: expected log:FIRST..LAST..xFACTOR, such as log:1..1000..x10"),
        ("glob:*.xz", "parameter x:3: no file matches '*.xz'"),
        ("file:none.txt", "parameter x:3: cannot read 'none.txt': No such file or directory"),
    ],
)
def test_values_that_cannot_be_read_are_refused_with_their_place(text: str, fault: str) -> None:
    assert faults("{x}", f"x={text}") == [fault]


def test_a_glob_gives_the_files_that_match_in_order(tmp_path: Path) -> None:
    for name in ("b.xz", "a.xz", "c.txt", "-d.xz"):
        (tmp_path / name).touch()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "e.xz").touch()

    # A name that begins with a dash would be an option to the program.
    assert values("glob:*.xz", Disk(tmp_path)) == ["./-d.xz", "a.xz", "b.xz"]
    assert values("glob:**/e.xz", Disk(tmp_path)) == ["deep/er/e.xz"]
    assert values(f"glob:{tmp_path}/a*", Disk(Path("/"))) == [f"{tmp_path}/a.xz"]


def test_a_file_gives_its_lines(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"# traces\na b.xz\r\n\n 2\n\xff\n")
    (tmp_path / "empty").write_bytes(b"#\n")

    assert values("file:list", Disk(tmp_path)) == ["a b.xz", 2, "\udcff"]
    with pytest.raises(BadInput, match="'empty' holds no values"):
        values("file:empty", Disk(tmp_path))


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(texts, min_size=1, unique=True))
def test_any_text_can_be_a_value_in_a_list(texts: list[str]) -> None:
    """In quotes, or with backslashes, as it suits."""

    def written(text: str) -> str:
        if "'" not in text:
            return f"'{text}'"
        return f'"{text}"' if '"' not in text else "x" + text.replace("\\", "\\\\").replace(",", "\\,") + "x"

    expected = [text if not {"'", '"'} <= set(text) else f"x{text}x" for text in texts]
    parameter = parse_parameter("x=" + ",".join(map(written, texts)), NO_FILES)
    assert [value.text for value in parameter.values] == expected


# Conditions


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("n == 2", ["2 lru", "2 a.b"]),
        ("n != 2 and algo == 'lru'", ["1 lru", "10 lru"]),
        ("n >= 10", ["10 lru", "10 a.b"]),  # as numbers: as texts, 10 comes before 2
        ("1 < n * 2 - 1 <= 4 // 1 + 0", ["2 lru", "2 a.b"]),
        ("n in (1, 2) and not algo in ['lru']", ["1 a.b", "2 a.b"]),
        ("algo.startswith('l') and n % 2 == 1 or n / 4 == 2.5 and algo.suffix == '.b'", ["1 lru", "10 a.b"]),
        ("'r' in algo and -n < -1", ["2 lru", "10 lru"]),
        ("algo.stem.endswith('a') and n == +1", ["1 a.b"]),
        ("  n == 1\n", ["1 lru", "1 a.b"]),
    ],
)
def test_a_condition_compares_calculates_and_combines(where: str, expected: list[str]) -> None:
    assert commands("{n} {algo}", "n=1,2,10", "algo=lru,a.b", where=where) == expected


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("nn == 1", "where:1: no parameter 'nn'; did you mean n?"),
        ("n == 1 and algo == lru", "where:20: no parameter 'lru'; a text needs quotes: 'lru'"),
        ("'é' == algo and x", "where:17: no parameter 'x'; a text needs quotes: 'x'"),
        ("algo.stm == 'a'", "where:1: unknown part .stm: .name, .stem, .suffix, .parent"),
        ("algo < 3", "where:1: cannot compare 'lru' with 3 (for n=1, algo=lru)"),
        ("n + algo == 3", "where:1: cannot calculate with 'lru' (for n=1, algo=lru)"),
        ("n == 1 / 0", "where:6: division by zero (for n=1, algo=lru)"),
        ("n.startswith('1')", None),
        ("algo, n", "where:1: a list is neither true nor false"),
        ("n = 1", None),
        ("(n", None),
        ("n) or (n", None),
        (" ", None),
        ("n == 1\0", None),
        ("n == " + "1" * 3000, "where:1: longer than 2000 characters"),
        ("-" * 1900 + "n", None),
    ],
)
def test_a_condition_that_cannot_be_worked_out_is_refused(where: str, fault: str | None) -> None:
    (found,) = faults("{n} {algo}", "n=1,2", "algo=lru", where=where)
    assert found == fault if fault else found.startswith("where:")


@pytest.mark.parametrize(
    "where",
    [
        "__import__('os').system('touch owned')",
        "algo.__class__",
        "algo.stem.__class__",
        "algo.format('x')",
        "n ** n ** n",
        "'a' * 10 == ''",
        "'%99999999d' % n",
        "[x for x in (1,)]",
        "(lambda: 1)()",
        "f'{n}'",
        "algo[0] == 'l'",
        "n if n else n",
        "(n := 2)",
        "algo.startswith(*'l')",
        "b'a' == algo",
        "None == n",
        "open('x')",
        "n << 99999999999",
    ],
)
def test_a_condition_can_reach_nothing_else(where: str) -> None:
    (found,) = faults("{n} {algo}", "n=1,2", "algo=lru", where=where)
    assert found.startswith("where:")


@given(st.text("n algo.stemrwih()'\"=<>+-*/%,[]0123456789not and or in", max_size=40))
def test_no_text_makes_a_condition_fail_otherwise_than_by_saying_so(where: str) -> None:
    refused: tuple[Fault, ...] = ()
    try:
        parse_sweep("{n} {algo}", ["n=1,2", "algo=lru"], NO_FILES, where=where).count()
    except BadInput as error:
        refused = error.faults
    assert {fault.file for fault in refused} <= {"where"}


# What was meant


@pytest.mark.parametrize(
    ("parameter", "column", "form"),
    [
        ("1..5", 3, "range:1..5"),
        ("0..1..0.25", 3, "range:0..1..0.25"),
        ("7,1..5", 5, "range:1..5"),
        ("1..1000..x10", 3, "log:1..1000..x10"),
    ],
)
def test_a_text_that_looks_like_a_range_is_a_fault_that_says_how_to_write_one(
    parameter: str, column: int, form: str
) -> None:
    [fault] = faults("{x}", f"x={parameter}")
    assert fault.startswith(f"parameter x:{column}: ")
    assert f"Write {form} " in fault
    assert values(f"'{parameter}'") == [parameter], "in quotes, it is a text"


def test_a_text_that_matches_files_is_a_fault_too_and_one_that_matches_none_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.xz").touch()
    with pytest.raises(BadInput, match=r"Write glob:\*.xz "):
        parse_parameter("x=*.xz", Disk(tmp_path))
    assert values("*.gz,'*.xz'", Disk(tmp_path)) == ["*.gz", "*.xz"]
