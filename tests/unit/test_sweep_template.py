"""Values in a template: what stands in their place, and that any text arrives as it is, tried with the real bash."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distcomp.errors import BadInput
from distcomp.model import TaskType
from distcomp.pythoncall import split_words
from distcomp.sweep.template import parse_template
from distcomp.sweep.values import Parameter, Value, typed

# Names that files can have, and what a careless command would make of them.
NASTY = [
    *("a b", " ", "", "a\nb", "a\n", "\t", "it's", "''", "'", '"', 'say "hi"', "\\", "a\\", "\\'", '\\"', "${v}"),
    *("$(touch owned)", "`touch owned`", "; touch owned", "'; touch owned; '", '"; touch owned; "', "| touch owned #"),
    *("*", "?", "[a-z]", "{a,b}", "~", "~root", "!!", "#x", "-n", "--", "a=b", "&", "<x", ">x", "%s", "$'a'", '$"a"'),
    *("$", "-e", "-3", "1", "2", "if", "time", "done", "é", "\udcff", "a,b", "trace.csv.xz", "/tmp/x", "."),
]  # fmt: skip
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
nasty = st.sampled_from(NASTY) | st.text("ab '\"$`\\(){}!#&*;<>\n~=-") | texts


def rendered(template: str, text: str, task_type: TaskType = TaskType.SHELL) -> str:
    return parse_template(template, task_type).render({"x": Value(text, typed(text))})


def refused(template: str, task_type: TaskType = TaskType.SHELL) -> str:
    with pytest.raises(BadInput) as refusal:
        parse_template(template, task_type)
    (fault,) = refusal.value.faults
    return str(fault)


def run(script: str, folder: Path | None = None, shell: str = "bash") -> str:
    done = subprocess.run(
        [shell, "-c", script],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "v": "V"},
    )
    return done.stdout.decode("utf-8", "surrogateescape")


# What stands there


def test_a_value_stands_as_typed_and_its_number_in_a_format() -> None:
    assert rendered("--size {x} --name run{x:05.2f}.csv {{x}}", "0.10") == "--size 0.10 --name run00.10.csv {x}"
    assert rendered("{x:03d}{x}", "7") == "0077"


def test_a_value_has_parts_as_a_path() -> None:
    assert (
        rendered("{x} {x.name} {x.stem} {x.suffix} {x.parent}", "d/e/t.csv.xz") == "d/e/t.csv.xz t.csv.xz t.csv .xz d/e"
    )
    assert rendered("{x.stem:_>6}", "ab.c") == "____ab"


def test_a_value_is_quoted_only_where_it_must_be() -> None:
    assert rendered("./sim {x} '{x}' \"{x}\"", "a/b-1.5_c:d@e+f%") == (
        "./sim a/b-1.5_c:d@e+f% 'a/b-1.5_c:d@e+f%' \"a/b-1.5_c:d@e+f%\""
    )
    assert rendered("./sim {x}", "-1.5") == "./sim -1.5"
    assert rendered("./sim {x} '{x}' \"{x}\"", "a b") == "./sim 'a b' 'a b' \"a b\""


# How it arrives

# Each command prints, each with a NUL behind it, texts in which @ is the value.
PLACES = [
    (r"printf '%s\0' {x}", ["@"]),
    (r"printf '%s\0' '{x}'", ["@"]),
    (r"""printf '%s\0' "{x}" """, ["@"]),
    (r"""printf '%s\0' pre{x}post 'pre{x}post' "pre{x}post" """, ["pre@post"] * 3),
    (r"""printf '%s\0' $v{x} "$v{x}" '$v'{x}"{x}" """, ["V@", "V@", "$v@@"]),
    (r"printf '%s\0' {x}>&1 2>& 1 {x}", ["@", "@"]),
    (r"""printf '%s\0' "$(printf '%s.' {x} "{x}" '{x}')" """, ["@.@.@."]),
    (r"""printf '%s\0' "$(printf '%s.' "$(printf '%s.' "{x}")")" """, ["@.."]),
    (r"""y={x} z="{x}"; printf '%s\0' "$y$z" """, ["@@"]),
    (r"(printf '%s\0' {x}) | cat # nothing {{here}}", ["@"]),
    (r"""for y in {x} "{x}"; do printf '%s\0' "$y"; done""", ["@", "@"]),
    (r"if [ a = a ]; then printf '%s\0' {x}; fi", ["@"]),
    (r"""sh -c 'printf "%s\0" "$1"' _ {x}""", ["@"]),
    (r"printf '%s\0' \$ \\ ${{#v}} {x}", ["$", "\\", "1", "@"]),
    (r"""printf '%s\0' \"{x} "\"{x}" "it's {x}" """, ['"@', '"@', "it's @"]),
    (r"""f() {{ printf '%s\0' "$@"; }}; f {x}""", ["@"]),
    (r"printf '%s\0' $# a#b {x} # it's", ["0", "a#b", "@"]),
    ("true;# it's a comment\n" r"printf '%s\0' {x}", ["@"]),
]
BASH_PLACES = [
    (r"cat <(printf '%s\0' {x})", ["@"]),
    # Not "{x}": bash itself puts a byte 1 before a byte 127 in double quotes there.
    (r"""a=({x} {x}); printf '%s\0' "${{a[@]}}" """, ["@", "@"]),
    (r"""[[ {x} == "{x}" ]] && printf '%s\0' {x}""", ["@"]),
    (r"printf '%s\0' $(( 1 + (2 * 3) )) {x}", ["7", "@"]),
    (r"""printf '%s\0' $'it\'s' $"{x}" """, ["it's", "@"]),
    (r"cat <<< {x}; printf '\0'", ["@\n"]),
]


@pytest.mark.parametrize(("template", "printed"), PLACES + BASH_PLACES)
def test_names_that_mean_something_to_bash_arrive_as_they_are(
    template: str, printed: list[str], tmp_path: Path
) -> None:
    """All in one script: one that broke out of its quotes would take the others with it."""
    script = "\n".join(rendered(template, text) for text in NASTY)
    assert run(script, tmp_path).split("\0") == [want.replace("@", text) for text in NASTY for want in printed] + [""]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("template", "printed"), PLACES)
def test_names_that_mean_something_to_a_plain_shell_arrive_as_they_are(
    template: str, printed: list[str], tmp_path: Path
) -> None:
    script = "\n".join(rendered(template, text) for text in NASTY)
    found = run(script, tmp_path, shell="sh").split("\0")
    assert found == [want.replace("@", text) for text in NASTY for want in printed] + [""]


@settings(max_examples=100, deadline=None)
@given(places=st.lists(st.sampled_from(PLACES + BASH_PLACES), min_size=5, max_size=10), text=nasty)
def test_any_text_arrives_as_it_is(places: list[tuple[str, list[str]]], text: str) -> None:
    script = "\n".join(rendered(template, text) for template, _ in places)
    assert run(script).split("\0") == [want.replace("@", text) for _, printed in places for want in printed] + [""]


PIECES = [
    *("'", '"', "$(", ")", "(", "`", "((", "$((", "))", "{{", "}}", "${{", "${{v}}", "#", "\n", " ", "<<E", "<<<"),
    *("\\", "$'", '$"', "case x in x)", "esac", "echo ", "{x}", "{x}", "$", ";", "$v", ">", "<", "$[", "]", "E", "&"),
    *("|", "<(", "[[ ", " ]]"),
]  # fmt: skip
ATTACKS = [
    "$(: >owned)",
    "`: >owned`",
    "'; : >owned; '",
    '"; : >owned; "',
    "\n: >owned\n",
    ";: >owned;",
    "E\n: >owned\n",
]


@settings(max_examples=300, deadline=None)
@given(
    template=st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join), attack=st.sampled_from(ATTACKS)
)
def test_in_whatever_template_a_value_is_never_run(template: str, attack: str) -> None:
    """However strange the template, either it is refused, or what is in a value stays data."""
    try:
        script = rendered(template, attack)
    except (BadInput, ValueError):  # ValueError: no whole number, which faults() reports
        return
    with tempfile.TemporaryDirectory() as folder:
        run(script, Path(folder))
        assert not (Path(folder) / "owned").exists()


@given(nasty)
def test_in_a_python_command_any_text_arrives_as_it_is(text: str) -> None:
    command = rendered("""sim.py {x} '{x}' "{x}" a{x}b '"'{x}\\" "\\"{x}" $v{x} `{x}` #{x}""", text, TaskType.PYTHON)
    assert split_words(command) == [
        *("sim.py", text, text, text, f"a{text}b", f'"{text}"', f'"{text}', f"$v{text}", f"`{text}`", f"#{text}")
    ]


# Where no value can stand


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("echo `cat {x}`", "template:11: no value can stand within `...`; use $(...)"),
        ("echo $'a {x}'", "template:10: no value can stand within $'...'; use \"...\""),
        ("a # {x}", "template:5: no value can stand in a comment"),
        ("echo ${x}", "template:7: no value can stand right after $; write ${{name}} for a variable of the shell"),
        ("echo \\{x}", "template:7: no value can stand right after a backslash; it is quoted as needed without"),
        ("a 2>&1 >&\"b{x}\"", "template:12: no value can stand after >&, which bash expands twice; write >FILE 2>&1"),
        ("echo \"\\{x}\"", "template:8: no value can stand right after a backslash; it is quoted as needed without"),
    ],
)  # fmt: skip
def test_a_place_that_no_quoting_makes_safe_is_refused(template: str, why: str) -> None:
    assert refused(template) == why


@pytest.mark.parametrize(
    "template",
    [
        "cat <<END\n{x}\nEND",
        "cat <<-END # it's\n{x}\nEND",
        'echo "${{v:-{x}}}"',
        "echo $[ {x} ]",
        'echo "$(case a in a) echo {x};; esac)"',
        "cat <<E$(echo {x})",
        "(echo {x} ${{v:-'a'}}",
    ],
)
def test_a_place_that_depends_on_more_than_is_followed_is_refused(template: str) -> None:
    assert "what stands before leaves it open how the shell reads this place" in refused(template)


def test_within_arithmetic_only_whole_numbers_can_stand() -> None:
    """The shell evaluates what it finds there, quoted or not."""
    template = parse_template("echo $(( 2 * ({x} + 1) ))", TaskType.SHELL)

    assert run(template.render({"x": Value("20", 20)})) == "42\n"
    values = (Value("20", 20), Value("a[$(touch owned)]", "a[$(touch owned)]"))
    (fault,) = template.faults({"x": Parameter("x", values)})
    assert (
        str(fault) == "template:15: 'a[$(touch owned)]': only whole numbers can stand within $((...)), "
        "not 'a[$(touch owned)]'"
    )


@pytest.mark.parametrize(
    ("template", "column"),
    [("{x} '{x}", 5), ('{{{x}}} "a', 9), ("{x.stem} $'a\\'", 10), ("{x} $(a 'b)'", 5), ("{x} $(a # b)", 5)],
)
def test_a_quote_or_bracket_that_is_not_closed_is_refused_with_its_column(template: str, column: int) -> None:
    assert refused(template).startswith(f"template:{column}: the ")
    assert refused(template).endswith(" is not closed")
