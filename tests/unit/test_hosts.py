"""Host files: what a user may write, what is wrong in which line and column, and names in short."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcomp.errors import BadInput
from distcomp.nodes.hosts import Host, fold, folded, parse_hosts, read_hosts


def names(text: str) -> list[str]:
    return [host.name for host in parse_hosts(text, "hosts.txt")]


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("node1", Host("node1")),
        ("ann@node1", Host("node1", "ann")),
        ("node1:2222", Host("node1", "", 2222)),
        ("ann@10.0.0.1:2222", Host("10.0.0.1", "ann", 2222)),
        ("node1 ann", Host("node1", "ann")),
        ("  node1  # the fast one", Host("node1")),
        ("[::1]:2222", Host("::1", "", 2222)),
        ("fe80::1", Host("fe80::1")),
        ("fe80::1%eth0", Host("fe80::1%eth0")),
        ("node1\tann\r", Host("node1", "ann")),
    ],
)
def test_a_line_is_as_parallel_ssh_has_it(line: str, host: Host) -> None:
    assert parse_hosts(line, "hosts.txt") == (host,)


def test_comments_and_blank_lines_are_skipped() -> None:
    assert names("# our machines\n\n  \nnode1\n#node2\nnode3\n") == ["node1", "node3"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node[1-3]", ["node1", "node2", "node3"]),
        ("node[08-11]", ["node08", "node09", "node10", "node11"]),
        ("node[1,3-5,9]", ["node1", "node3", "node4", "node5", "node9"]),
        ("r[1-2]n[1-2].lab", ["r1n1.lab", "r1n2.lab", "r2n1.lab", "r2n2.lab"]),
        ("10.0.0.[9-11]", ["10.0.0.9", "10.0.0.10", "10.0.0.11"]),
        ("ann@n[1-2]:22", ["n1-22", "n2-22"]),
    ],
)
def test_a_range_stands_for_many_hosts(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("node1\nnode[1-", "2:5", "[ without its ]"),
        ("node1-3]", "1:8", "] without its ["),
        ("node[3-1]", "1:6", "the range 3-1 ends before it begins"),
        ("node[1,x]", "1:8", "'x' is neither a number nor a range such as 00-31"),
        ("node[0-99999]", "1:6", "the range 0-99999 has more than 10,000 hosts"),
        ("a[0-999]b[0-999]", "1:1", "these are 1,000,000 hosts; the most are 10,000"),
        ("node1:0", "1:7", "'0' is no port: 1 to 65535"),
        ("node1:ssh", "1:7", "'ssh' is no port: 1 to 65535"),
        ("node1:", "1:6", "the port after the : is missing"),
        ("ann@node1:22:33", "1:5", "'node1:22:33' has more than one port, or is no IPv6 address"),
        ("node1,node2", "1:1", "'node1,node2' is no host's name"),
        ("node[]", "1:6", "'' is neither a number nor a range such as 00-31"),
        ("node1\r\nnode2 slots=4\r\n", "2:7", "'slots=4' is no user's name"),
        ("@node1", "1:1", "the user's name before the @ is missing"),
        ("ann@node1 bob", "1:11", "the user is named twice, as 'ann' and here"),
        ("node1 ann 22", "1:11", "only a user's name may follow the host"),
        ("-oProxyCommand=x", "1:1", "'-oProxyCommand=x' is no host's name"),
        ("-oX@node1", "1:1", "'-oX' is no user's name"),
        ("node1\nnode2\nnode1", "3:1", "node1 is there already, in line 1"),
        ("no/de", "1:1", "'no/de' is no host's name"),
    ],
)
def test_a_fault_is_named_with_line_and_column(text: str, place: str, what: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_hosts(text, "hosts.txt")
    assert [str(fault) for fault in caught.value.faults] == [f"hosts.txt:{place}: {what}"]


def test_a_file_of_another_system_is_read(tmp_path: Path) -> None:
    """With the mark and the ends of lines of Windows' editors."""
    (tmp_path / "hosts").write_bytes(b"\xef\xbb\xbfnode1\r\n\r\nann@node[2-3]\r\n")
    assert read_hosts(tmp_path / "hosts") == (Host("node1"), Host("node2", "ann"), Host("node3", "ann"))


def test_what_is_no_text_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_bytes("node1\nnödé\xff".encode() + b"\xff\n")
    with pytest.raises(BadInput, match=r"hosts:2:6: this is not UTF-8 text"):
        read_hosts(tmp_path / "hosts")


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        parse_hosts("a:x\nb\nc[\n", "hosts.txt")
    assert [fault.line for fault in caught.value.faults] == [1, 3]


def test_a_file_without_hosts_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("# none yet\n")
    with pytest.raises(BadInput, match="names no host"):
        read_hosts(tmp_path / "hosts")
    with pytest.raises(BadInput, match="cannot be read"):
        read_hosts(tmp_path / "missing")


@pytest.mark.parametrize(
    ("many", "short"),
    [
        (["node01", "node02", "node03"], "node[01-03]"),
        (["node9", "node10", "node12"], "node[9-10,12]"),
        (["node1"], "node1"),
        (["login", "node1", "node2"], "login,node[1-2]"),
        (["n1.lab", "n2.lab", "n1.far"], "n1.far,n[1-2].lab"),
        (["10.0.0.10", "10.0.0.9"], "10.0.0.[9-10]"),
        (["b", "a"], "a,b"),
    ],
)
def test_names_are_folded(many: list[str], short: str) -> None:
    assert fold(many) == short


@given(st.sets(st.from_regex(r"[a-c]{0,2}(0?[0-9]{1,2})?[a-c.]?[a-c]", fullmatch=True), min_size=1))
def test_folded_names_are_read_back(many: set[str]) -> None:
    parts = fold(many).replace("],", "]\n")
    read = set(names("\n".join(_commas_outside_brackets(parts))))
    assert read == many


def _commas_outside_brackets(text: str) -> list[str]:
    depth, part, parts = 0, "", []
    for character in text:
        depth += (character == "[") - (character == "]")
        if character in ",\n" and not depth:
            parts.append(part)
            part = ""
        else:
            part += character
    return [*parts, part]


def test_equal_outcomes_are_told_once_the_most_frequent_first() -> None:
    outcomes = {"n1": "unreachable", "n2": "ok", "n3": "ok", "n4": "ok"}
    assert list(folded(outcomes)) == [("n[2-4]", "ok"), ("n1", "unreachable")]
