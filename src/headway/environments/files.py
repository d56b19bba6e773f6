"""A project's folder as a mapping of path to bytes, read one file at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from headway.errors import TooLarge

_MAX_BYTES = 64 * 1024 * 1024
_SKIPPED = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".mypy_cache", ".ruff_cache"})


class FolderFiles(Mapping[str, bytes]):
    """The regular files below a folder; symbolic links are not followed."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read before it is asked for."""
        self._folder = folder

    def __getitem__(self, path: str) -> bytes:
        """Return the bytes of one file.

        Raises:
            TooLarge: the file can hardly describe an environment.
        """
        file = self._regular(path)
        if file is None:
            raise KeyError(path)
        if file.stat().st_size > _MAX_BYTES:
            raise TooLarge(f"{path} has more than {_MAX_BYTES // 2**20} MB", hint="commit a smaller file")
        return file.read_bytes()

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._regular(path) is not None

    def __iter__(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self._folder):
            folders[:] = sorted(each for each in folders if each not in _SKIPPED)
            for name in sorted(names):
                file = Path(folder, name)
                if file.is_file() and not file.is_symlink():
                    yield file.relative_to(self._folder).as_posix()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _regular(self, path: str) -> Path | None:
        current = self._folder
        for part in path.split("/"):
            if part in ("", ".", ".."):
                return None
            current /= part
            if current.is_symlink():
                return None
        return current if current.is_file() else None
