"""An attempt's memory in at most sixteen numbers, however long it lasts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from distcomp.runner.course import MOST, Course


def a_course(*looks: tuple[float, int]) -> Course:
    """Seconds since the start, bytes in use then."""
    course = Course()
    for age_s, used_bytes in looks:
        course.note(age_s, used_bytes)
    return course


def test_a_peak_between_others_is_not_lost() -> None:
    looks = [(second / 10, 100 if second == 333 else 10) for second in range(1000)]
    assert sorted(a_course(*looks).percent(100))[-2:] == [10, 100]


def test_between_two_looks_it_goes_straight() -> None:
    assert a_course((0.45, 80)).percent(80) == (12, 25, 38, 50, 62, 75, 88, 100)


def test_there_is_none_without_a_look() -> None:
    assert Course().percent(100) == ()


def test_the_kernels_peak_may_be_higher_than_any_look_saw() -> None:
    assert a_course((0.0, 50)).percent(200) == (25,)


@given(st.lists(st.tuples(st.floats(0.01, 5000), st.integers(0, 10**12)), min_size=1, max_size=60))
def test_it_never_has_more_numbers_and_always_the_highest(looks: list[tuple[float, int]]) -> None:
    age_s, course, peak = 0.0, Course(), max(1, *(used for _, used in looks))
    for since_s, used in looks:
        age_s += since_s
        course.note(age_s, used)
    percent = course.percent(peak)
    assert len(percent) <= MOST
    assert age_s < 1 or len(percent) > MOST // 2 - 1
    assert max(percent) == (100 if peak > 1 else max(percent))
