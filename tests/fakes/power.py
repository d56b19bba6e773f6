"""A disk whose power fails: of a folder only what was synced is sure to be there afterwards, and the rest by luck."""

from __future__ import annotations

import os
import random
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

Entries = dict[str, int]  # names -> inodes


class Disk:
    """Watches the syncs of one folder; `cut` lays out elsewhere what a power cut at this moment would leave."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.syncs = 0
        self.before_sync: Callable[[], None] = lambda: None
        self._files: dict[int, bytes] = {}
        self._folders: dict[int, Entries] = {}
        self._held: dict[int, int] = {}  # keeps inodes from being used again
        self._watching = threading.RLock()
        monkeypatch.setattr(os, "fsync", self._sync)
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def close(self) -> None:
        for each in self._held.values():
            os.close(each)

    def cut(self, target: Path, luck: random.Random | None = None) -> None:
        """Lay out what is left: without luck only what was synced, else each piece in its old or its new state."""
        now_files: dict[int, bytes] = {}
        now_folders: dict[int, Entries] = {}
        _read(self.root, now_files, now_folders)

        def lay_out(inode: int, place: Path) -> None:
            place.mkdir()
            old, new = self._folders.get(inode, {}), now_folders.get(inode, {})
            for name in sorted(old.keys() | new.keys()):
                entry = (new if luck is not None and luck.random() < 0.5 else old).get(name)
                if entry is None:
                    continue
                if entry in now_folders or entry in self._folders:
                    lay_out(entry, place / name)
                    continue
                states = [self._files.get(entry, b"")]
                if luck is not None and entry in now_files:
                    states.append(now_files[entry])
                (place / name).write_bytes(states[-1] if luck is None else luck.choice(states))

        lay_out(self.root.stat().st_ino, target)

    def _sync(self, descriptor: int) -> None:
        if not Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(self.root):
            return  # no part of the story
        with self._watching:
            self.before_sync()
            found = os.fstat(descriptor)
            self.syncs += 1
            if found.st_ino not in self._held:
                self._held[found.st_ino] = os.dup(descriptor)
            if stat.S_ISDIR(found.st_mode):
                names = os.listdir(descriptor)
                self._folders[found.st_ino] = {
                    name: os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_ino for name in names
                }
            else:
                self._files[found.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()


def _read(place: Path, files: dict[int, bytes], folders: dict[int, Entries]) -> None:
    entries: Entries = {}
    for each in place.iterdir():
        inode = each.lstat().st_ino
        entries[each.name] = inode
        if each.is_dir():
            _read(each, files, folders)
        else:
            files[inode] = each.read_bytes()
    folders[place.stat().st_ino] = entries
