"""Requirements files, read by ourselves: what is wanted stays, what would choose another index is left out."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Source(StrEnum):
    """Where a requirement's bytes come from."""

    INDEX = "index"  # a name, looked up in the operator's index
    URL = "url"
    GIT = "git"
    WHEEL = "wheel"  # a wheel file inside the project


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One requirement, cleaned of comments and continuations."""

    text: str  # for a wheel of the project: its path relative to the project
    source: Source
    where: str  # "requirements.txt:12"
    is_constraint: bool = False
    hashes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The distribution's name as indexes compare it; "" for a bare address or wheel."""
        found = _NAME.match(self.text) if self.source is not Source.WHEEL else None
        return re.sub(r"[-_.]+", "-", found[1]).lower() if found and ":" not in self.text.split("@")[0] else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """A requirements file with everything it includes."""

    lines: tuple[Line, ...]
    ignored: tuple[str, ...]  # clauses for the log: what was left out and why
    files: tuple[str, ...]  # the file and its includes, in order of reading

    @property
    def is_hashed(self) -> bool:
        """Whether hashes are stated, so that every download must have one."""
        return any(line.hashes for line in self.lines)


@dataclass(slots=True)
class _Reading:
    files: Mapping[str, bytes]
    lines: list[Line] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)


_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s+--hash[= ](\S+)")
_INCLUDE = re.compile(r"^(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=^-[rc]))(\S+)\s*$")
_EDITABLE = re.compile(r"^(?:-e|--editable)(?:\s*=\s*|\s+)(.+)$")
_CHOOSES_INDEX = re.compile(
    r"^(-i|-f|--(?:index-url|extra-index-url|find-links|no-index|trusted-host|index|default-index))\b"
)
_NAME = re.compile(r"^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*(.*)$")
_MAX_FILES = 50


def read_requirements(files: Mapping[str, bytes], path: str) -> Requirements:
    """Read `path` and what it includes; `files` maps paths of the project to bytes.

    Raises:
        UsageError: a line that cannot be honoured, with file, line and what to write instead.
    """
    reading = _Reading(files=files)
    _read(reading, path, "", is_constraint=False)
    return Requirements(lines=tuple(reading.lines), ignored=tuple(reading.ignored), files=tuple(reading.seen))


def from_specifiers(specifiers: list[str], where: str) -> Requirements:
    """Read requirements that stand in a table (pyproject.toml) and not in a file of their own."""
    reading = _Reading(files={}, seen=[where])
    for text in specifiers:
        _requirement(reading, text.strip(), where, folder="", is_constraint=False)
    return Requirements(lines=tuple(reading.lines), ignored=tuple(reading.ignored), files=(where,))


def _read(reading: _Reading, path: str, where: str, *, is_constraint: bool) -> None:
    if path in reading.seen:
        return
    if len(reading.seen) >= _MAX_FILES:
        raise UsageError(f"{where}: more than {_MAX_FILES} requirements files include each other")
    if path not in reading.files:
        raise UsageError(
            f"{where + ': ' if where else ''}{path} is not in the project",
            cause="includes are followed inside the project's folder only",
            hint=f"commit {path}, or mend the line that names it",
        )
    reading.seen.append(path)
    for number, text in _logical_lines(reading.files[path], path):
        _line(reading, text, f"{path}:{number}", folder=posixpath.dirname(path), is_constraint=is_constraint)


def _logical_lines(data: bytes, path: str) -> list[tuple[int, str]]:
    try:
        physical = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", hint=f"save {path} as UTF-8") from None
    found: list[tuple[int, str]] = []
    pending, start = "", 0
    for number, raw in enumerate(physical, 1):
        start = start or number
        text = _COMMENT.sub("", raw).rstrip()
        if text.endswith("\\") and number < len(physical):
            pending += text[:-1] + " "
            continue
        whole = " ".join((pending + text.removesuffix("\\")).split())
        if whole:
            found.append((start, whole))
        pending, start = "", 0
    return found


def _line(reading: _Reading, text: str, where: str, *, folder: str, is_constraint: bool) -> None:
    if "${" in text:
        raise UsageError(
            f"{where}: {text!r} asks for a variable of the server's environment",
            cause="requirements are the author's text, and the server's variables hold secrets",
            hint="write the value itself; credentials of an index belong to the server's configuration",
        )
    if include := _INCLUDE.match(text):
        target = _inside(posixpath.join(folder, include[2]), where)
        _read(reading, target, where, is_constraint=is_constraint or include[1] in ("-c", "--constraint"))
    elif _CHOOSES_INDEX.match(text):
        option = re.split(r"[\s=]", text, maxsplit=1)[0]
        reading.ignored.append(f"{where}: {option} is ignored: the server's operator chooses the index")
    elif editable := _EDITABLE.match(text):
        _requirement(reading, editable[1], where, folder=folder, is_constraint=is_constraint)
    elif text.startswith("-"):
        if not text.startswith("--require-hashes"):
            reading.ignored.append(f"{where}: {text.split(maxsplit=1)[0]} is ignored")
    else:
        _requirement(reading, text, where, folder=folder, is_constraint=is_constraint)


def _requirement(reading: _Reading, text: str, where: str, *, folder: str, is_constraint: bool) -> None:
    hashes = tuple(_HASH.findall(text))
    bare = re.sub(r"\s+--(?:config-settings?|global-option|build-option)[= ].*$", "", _HASH.sub("", text)).strip()
    if "${" in bare:
        raise UsageError(
            f"{where}: {bare!r} asks for a variable of the server's environment", hint="write the value itself"
        )
    name = _NAME.match(bare)
    target = name[3].removeprefix("@").strip() if name and name[3].startswith("@") else bare
    source = _source(target, is_direct=target is not bare)
    if source is None:
        _local(reading, target.split(";")[0].strip(), where, folder=folder, hashes=hashes)
        return
    reading.lines.append(Line(text=bare, source=source, where=where, is_constraint=is_constraint, hashes=hashes))


def _source(target: str, *, is_direct: bool) -> Source | None:
    """Return where it comes from; None for something on this machine."""
    if re.match(r"git\+(https?|ssh)://", target):
        return Source.GIT
    if re.match(r"https?://", target):
        return Source.URL
    if (
        is_direct
        or target.startswith((".", "/", "~", "file:"))
        or "/" in target.split(";", maxsplit=1)[0]
        or target.endswith(".whl")
    ):
        return None
    return Source.INDEX


def _local(reading: _Reading, target: str, where: str, *, folder: str, hashes: tuple[str, ...]) -> None:
    if "://" in target or target.startswith(("/", "~", "file:", "git@")):
        raise UsageError(
            f"{where}: {target!r} is neither in the project nor at an address that every machine reaches",
            cause="an environment must be the same wherever it is made",
            hint="commit the wheel into the project and name it by a relative path, or use https:// or git+https://",
        )
    path = _inside(posixpath.join(folder, re.sub(r"\[[^\]]*\]$", "", target)), where)
    if path == ".":
        reading.ignored.append(
            f"{where}: the project itself is not installed: steps run in its folder and import from there "
            "(for a src layout set PYTHONPATH in `env: variables:`)"
        )
    elif not path.endswith(".whl"):
        raise UsageError(
            f"{where}: {target!r} would have to be built from the project's own files",
            cause="a change of code alone never rebuilds an environment, so code cannot be part of one",
            hint=f"drop the line and add {path!r} to PYTHONPATH in `env: variables:`, or commit a wheel of it",
        )
    elif path not in reading.files:
        raise UsageError(f"{where}: {path} is not in the project", hint=f"commit {path}, or mend the line")
    else:
        reading.lines.append(Line(text=path, source=Source.WHEEL, where=where, hashes=hashes))
        reading.seen.append(path)


def _inside(path: str, where: str) -> str:
    normal = posixpath.normpath(path)
    if normal.startswith(("..", "/")):
        raise UsageError(
            f"{where}: {path!r} lies outside the project",
            cause="only files of the project's folder describe its environment",
            hint="move the file into the project's folder",
        )
    return normal
