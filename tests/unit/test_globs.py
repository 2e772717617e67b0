"""Patterns of result files: which may be, what their variables stand for, and which name a single file."""

from __future__ import annotations

import pytest

from distcomp.globs import check_glob, exact_name, expanded, is_exact


@pytest.mark.parametrize("text", ["out/*.csv", "**/*.csv", "./a b.txt", "out/$DISTCOMP_TASK_ID.*", "x"])
def test_what_is_below_the_tasks_directory_may_be_one(text: str) -> None:
    assert check_glob(text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (".", "is empty"),
        ("/etc/*", "is not below the task's directory"),
        ("out/../../x", "is not below the task's directory"),
        ("out/**.csv", "** stands for whole directories"),
        ("a\0b", "NUL"),
    ],
)
def test_what_is_elsewhere_or_no_pattern_may_not(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("*", r"\*")):
        check_glob(text)


def test_variables_are_replaced_where_they_are_known_and_hold_no_pattern() -> None:
    known = {"ID": "07", "NAME": "a*[b]"}
    assert expanded("out/$ID/${NAME}_x/$OTHER", known) == "out/07/a[*][[]b]_x/$OTHER"


def test_one_without_wildcards_names_one_file() -> None:
    pattern = expanded("out/$NAME.csv", {"NAME": "a*[b]?"})
    assert is_exact(pattern)
    assert exact_name(pattern) == "out/a*[b]?.csv"
    assert not is_exact("out/*.csv")
    assert not is_exact("out/[ab].csv")
