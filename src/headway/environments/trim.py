"""Remove environments that nothing refers to, and of the cache what only they used."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from headway.environments.uv_process import read_uv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.environments.shelf import Shelf


def prune_shelf(shelf: Shelf, keep: frozenset[str], *, variables: Mapping[str, str]) -> int:
    """Remove every environment of one tier that is not in `keep` and not being built; return the bytes freed."""
    if not shelf.folder.is_dir():
        return 0
    gone = [digest for digest in shelf.digests() if digest not in keep]
    before = shelf.size()
    dropped: set[str] = set()
    for digest in gone:
        names = set(shelf.packages(digest))
        with shelf.try_lock(digest) as is_held:
            if is_held:
                shelf.discard(digest)
                shutil.rmtree(shelf.scratch / digest, ignore_errors=True)  # of a killed build
                dropped |= names
    kept = shelf.digests()
    if not set(kept) & set(gone):  # otherwise somebody builds, and uses the cache
        unused = sorted(dropped - {name for digest in kept for name in shelf.packages(digest)})
        _trim_cache(shelf, unused, is_empty=not kept, variables=variables)
    return max(0, before - shelf.size())


def _trim_cache(shelf: Shelf, unused: list[str], *, is_empty: bool, variables: Mapping[str, str]) -> None:
    if not shelf.cache.is_dir():
        return
    # A build that began just now holds the cache: the next pruning will do.
    patient = {**variables, "UV_LOCK_TIMEOUT": "5"}
    if is_empty:
        read_uv(("cache", "clean", "--quiet"), cwd=shelf.folder, variables=patient)
        return
    if unused:
        read_uv(("cache", "clean", "--quiet", *unused), cwd=shelf.folder, variables=patient)
    read_uv(("cache", "prune", "--quiet"), cwd=shelf.folder, variables=patient)
