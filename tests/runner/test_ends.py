"""From how a process ended and what it printed last, to what people and programs read of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.runner import ends


@pytest.mark.parametrize(
    ("exit_code", "signal_number", "stderr", "expected"),
    [
        (0, None, b"", ""),
        (3, None, b"Traceback", "exit code 3"),
        (None, 6, b"", "killed by signal 6 (SIGABRT)"),
        (None, 40, b"", "killed by signal 40"),
        (134, None, b"", "exit code 134 (128 + signal 6, SIGABRT)"),
        (255, None, b"", "exit code 255"),
        (127, None, b"a\nbash: line 1: x: command not found\n", "not found: bash: line 1: x: command not found"),
        (127, None, b"", "not found"),
        (126, None, b"sh: ./x: Permission denied", "cannot execute: sh: ./x: Permission denied"),
    ],
)
def test_a_reason_is_one_line_for_people(
    exit_code: int | None, signal_number: int | None, stderr: bytes, expected: str
) -> None:
    assert ends.reason(exit_code, signal_number, stderr) == expected


@pytest.mark.parametrize(
    ("stdout", "expected"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'progress\n{"a": {"b": [1, 2.5, null, true]}}\n\n  \n', {"a": {"b": [1, 2.5, None, True]}}),
        (b'10%\r20%\r{"a": 1}\r\n', {"a": 1}),
        ('{"é": "✓"}\n'.encode(), {"é": "✓"}),
        (b'{"a": NaN, "b": [Infinity, -Infinity, 1e999]}', {"a": None, "b": [None, None, None]}),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890.0}),
        (b'{"a": "\\ud800x"}', {"a": "\N{REPLACEMENT CHARACTER}x"}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\N{GRINNING FACE}"}),
        (b"", None),
        (b"\n\n", None),
        (b"done", None),
        (b"[1, 2]", None),
        (b'{"a": 1} done', None),
        (b'{"a": 1', None),
        (b'{"a":\n1}', None),
        (b"}", None),
        (b"{a: 1}", None),
        (b'{"a": \xff}', None),
        (b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", None),
        (b'{"a": ' + b"9" * 5000 + b"}", None),
        (b'x{"a": 1}', None),
    ],
)
def test_columns_are_the_last_line_if_it_is_an_object(stdout: bytes, expected: dict[str, object] | None) -> None:
    assert ends.columns(stdout) == expected


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: b'{"a": "' + text.encode() + b'"}'))
def test_columns_can_always_be_stored(stdout: bytes) -> None:
    msgspec.msgpack.encode(ends.columns(stdout))


@given(st.text(max_size=2000), st.integers(0, 1100))
def test_a_tail_is_text_that_ends_as_the_output_does(text: str, cut: int) -> None:
    """Even if the kibibyte begins, or the output ends, within a character."""
    end = text.encode()[: len(text.encode()) - cut]
    tail = ends.tail_text(end)

    assert len(tail) <= ends.TAIL_BYTES
    assert end.decode(errors="replace").endswith(tail)
    assert len(tail.encode()) >= min(len(end), ends.TAIL_BYTES - 3)
