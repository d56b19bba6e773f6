"""Globs over paths of a repository: `*` stays in a folder, `**` crosses folders; linear on hostile patterns."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

_ANY_FOLDERS = "**"


def matches(glob: str, path: str) -> bool:
    """Return whether a path fits a glob; a glob of a folder fits all that lies in it.

    `**.py` and `**/*.py` are every Python file, `src/` and `src/**` are all below src.
    """
    return _match(_parts(glob), path.split("/"))


@lru_cache(maxsize=512)
def _parts(glob: str) -> tuple[str | re.Pattern[str], ...]:
    parts: list[str | re.Pattern[str]] = []
    names = [name for name in glob.split("/") if name not in {"", "."}]
    for name in names:
        if name.startswith(_ANY_FOLDERS):
            _add_any(parts)
        if name != _ANY_FOLDERS:
            parts.append(_segment("*" + name.lstrip("*") if name.startswith(_ANY_FOLDERS) else name))
    # A plain name may be a folder and then means its contents too; `src/*` does not mean `src/a/b`.
    if not names or glob.endswith("/") or not any(char in names[-1] for char in "*?["):
        _add_any(parts)
    return tuple(parts)


def _add_any(parts: list[str | re.Pattern[str]]) -> None:
    if not parts or parts[-1] != _ANY_FOLDERS:
        parts.append(_ANY_FOLDERS)


def _segment(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))


def _match(parts: tuple[str | re.Pattern[str], ...], names: list[str]) -> bool:
    """Walk both once; after a mismatch only the latest `**` may take one name more."""
    at, name, star, resume = 0, 0, -1, 0
    while name < len(names):
        part = parts[at] if at < len(parts) else None
        if part == _ANY_FOLDERS:
            star, resume = at, name
            at += 1
        elif isinstance(part, re.Pattern) and part.match(names[name]):
            at, name = at + 1, name + 1
        elif star >= 0:
            resume += 1
            at, name = star + 1, resume
        else:
            return False
    return all(part == _ANY_FOLDERS for part in parts[at:])
