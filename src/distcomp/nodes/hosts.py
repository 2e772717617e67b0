"""Lists of hosts: read as parallel-ssh reads them, and written short. Pure but for `read_hosts`.

A line is `[user@]host[:port]`, or `host[:port] user`. Ranges in brackets stand for many hosts: `node[00-31]`,
`rack[1,3-5]n[1-2]`; leading zeros are kept. What follows a `#` is a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from itertools import product
from pathlib import Path

from distcomp.errors import BadInput, Fault

MOST_HOSTS = 10_000
_LARGEST_PORT = 65_535
_NAME = re.compile(r"[A-Za-z0-9_.%:][A-Za-z0-9_.%:-]*")
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\\@-]*")
_WORD = re.compile(r"\S+")
_COMMENT = re.compile(r"(^|\s)#.*")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_LITERAL_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.%A-Za-z]*)\](?::(\d+))?")
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)")


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A machine as the user names it: what ssh is given. Empty or 0 is left to the user's ssh configuration."""

    address: str
    user: str = ""
    port: int = 0

    @property
    def name(self) -> str:
        """What the node is called everywhere. Unlike those of all other hosts of a list."""
        return f"{self.address}-{self.port}" if self.port else self.address

    def __str__(self) -> str:
        """As in a host file."""
        user = f"{self.user}@" if self.user else ""
        address = f"[{self.address}]" if self.port and ":" in self.address else self.address
        return f"{user}{address}{f':{self.port}' if self.port else ''}"


class _Wrong(ValueError):
    """A fault in a word, and at which of its characters."""

    def __init__(self, what: str, at: int = 0) -> None:
        super().__init__(what)
        self.at = at


def read_hosts(path: Path) -> tuple[Host, ...]:
    """The hosts of a file, in its order.

    Raises:
        BadInput: it cannot be read, or has faults, all of which are named; or there is no host in it.
    """
    try:
        # Some editors begin a text with a mark of its encoding.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _bad([Fault(str(path), 0, 0, f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise _bad([Fault(str(path), line, column, "this is not UTF-8 text")]) from error
    return parse_hosts(text, str(path))


def parse_hosts(text: str, file: str) -> tuple[Host, ...]:
    """The hosts in a text.

    Args:
        text: as above.
        file: where it is from, for messages.

    Raises:
        BadInput: as `read_hosts`.
    """
    found: dict[str, tuple[Host, int]] = {}
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [(match.start(), match[0]) for match in _WORD.finditer(_COMMENT.sub("", line))]
        try:
            hosts = list(_line_hosts(words)) if words else []
        except _Wrong as wrong:
            faults.append(Fault(file, number, wrong.at + 1, str(wrong)))
            continue
        for host in hosts:
            first = found.setdefault(host.name, (host, number))
            if first[0] is not host:
                faults.append(Fault(file, number, words[0][0] + 1, f"{host.name} is there already, in line {first[1]}"))
    if not found and not faults:
        faults.append(Fault(file, 0, 0, "names no host"))
    if len(found) > MOST_HOSTS:
        faults.append(Fault(file, 0, 0, f"names {len(found):,} hosts; the most are {MOST_HOSTS:,}"))
    if faults:
        raise _bad(faults)
    return tuple(host for host, _ in found.values())


def _bad(faults: list[Fault]) -> BadInput:
    return BadInput(faults, unchanged="Nothing was started.", next_step="A line is [user@]host[:port].")


def _line_hosts(words: list[tuple[int, str]]) -> Iterator[Host]:
    (start, word), *rest = words
    if len(rest) > 1:
        raise _Wrong("only a user's name may follow the host", rest[1][0])
    user, at_sign, place = word.rpartition("@")
    place_start = start + len(user) + len(at_sign)
    if at_sign and not user:
        raise _Wrong("the user's name before the @ is missing", start)
    if rest:
        if user:
            raise _Wrong(f"the user is named twice, as {user!r} and here", rest[0][0])
        user = rest[0][1]
    if user and not _USER.fullmatch(user):
        raise _Wrong(f"{user!r} is no user's name", rest[0][0] if rest else start)
    addresses, port = _addresses(place, place_start)
    for address in addresses:
        if not _NAME.fullmatch(address):
            raise _Wrong(f"{address!r} is no host's name" if address else "the host's name is missing", place_start)
        yield Host(address, user, port)


def _addresses(place: str, start: int) -> tuple[Iterable[str], int]:
    if literal := _LITERAL_IPV6.fullmatch(place):
        return [literal[1]], _port(literal[2], start + literal.start(2)) if literal[2] else 0
    if place.count(":") > 1 and "[" not in place:
        if not _is_ipv6(place):
            raise _Wrong(f"{place!r} has more than one port, or is no IPv6 address", start)
        return [place], 0
    name, colon, port = place.rpartition(":")
    if not colon:
        name, port = place, ""
    elif not port:
        raise _Wrong("the port after the : is missing", start + len(name))
    return _expanded(name, start), _port(port, start + len(name) + 1) if port else 0


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _port(text: str, at: int) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= _LARGEST_PORT:
        raise _Wrong(f"{text!r} is no port: 1 to {_LARGEST_PORT}", at)
    return int(text)


def _expanded(name: str, start: int) -> Iterator[str]:
    """`n[1-2]x` as n1x, n2x."""
    parts: list[list[str]] = []
    end = 0
    total = 1
    for match in _BRACKETS.finditer(name):
        parts += [[_outside(name, end, match.start(), start)], _numbers(match[1], start + match.start(1))]
        total *= len(parts[-1])
        end = match.end()
    if total > MOST_HOSTS:
        raise _Wrong(f"these are {total:,} hosts; the most are {MOST_HOSTS:,}", start)
    parts.append([_outside(name, end, len(name), start)])
    return map("".join, product(*parts))


def _outside(name: str, begin: int, end: int, start: int) -> str:
    text = name[begin:end]
    if stray := re.search(r"[\[\]]", text):
        which = "[ without its ]" if stray[0] == "[" else "] without its ["
        raise _Wrong(which, start + begin + stray.start())
    return text


def _numbers(text: str, start: int) -> list[str]:
    found: list[str] = []
    at = start
    for item in text.split(","):
        first, dash, last = item.partition("-")
        if not (first.isascii() and first.isdecimal()) or (dash and not (last.isascii() and last.isdecimal())):
            raise _Wrong(f"{item!r} is neither a number nor a range such as 00-31", at)
        if int(last or first) < int(first):
            raise _Wrong(f"the range {item} ends before it begins", at)
        if int(last or first) - int(first) >= MOST_HOSTS:
            raise _Wrong(f"the range {item} has more than {MOST_HOSTS:,} hosts", at)
        width = len(first) if first.startswith("0") else 0
        found += [f"{number:0{width}d}" for number in range(int(first), int(last or first) + 1)]
        at += len(item) + 1
    return found


def fold(names: Iterable[str]) -> str:
    """Names in short, in their natural order: `login,node[01-03,07]`. `parse_hosts` reads each part back."""
    parts = [_LAST_NUMBER.fullmatch(name) or name for name in sorted(set(names), key=natural_key)]
    # 09 and 10 are of one width; 9 and 10 are not padded, and of one family all the same.
    padded = {(part[1], len(part[2])) for part in parts if not isinstance(part, str) and part[2].startswith("0")}
    families: dict[tuple[str, str, int], list[str]] = {}
    for part in parts:
        if isinstance(part, str):
            families[part, "", -1] = []
        else:
            width = len(part[2]) if (part[1], len(part[2])) in padded else 0
            families.setdefault((part[1], part[3], width), []).append(part[2])
    return ",".join(_folded(head, tail, digits) if digits else head for (head, tail, _), digits in families.items())


def _folded(head: str, tail: str, digits: list[str]) -> str:
    if len(digits) == 1:
        return f"{head}{digits[0]}{tail}"
    runs: list[list[str]] = []
    for number in sorted(digits, key=int):
        if runs and int(number) == int(runs[-1][-1]) + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = ",".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"{head}[{shown}]{tail}"


def natural_key(name: str) -> tuple[tuple[str, int], ...]:
    """Sorts node9 before node10."""
    return tuple((text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name))


def folded(outcomes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Equal outcomes together: names in short, and what they have in common; the most frequent first.

    Args:
        outcomes: by host's name.
    """
    by_outcome: dict[str, list[str]] = {}
    for name, outcome in outcomes.items():
        by_outcome.setdefault(outcome, []).append(name)
    for outcome, names in sorted(by_outcome.items(), key=lambda item: -len(item[1])):
        yield fold(names), outcome
