"""Pin data sets: what stands at a path or address now, by digest where the bytes are within reach."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from headway.data.hash_cache import HashCache
from headway.data.model import DataPin, Place
from headway.errors import Refused, UsageError
from headway.ids import digest_of
from headway.projects.model import DataSpec

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_REMOTE = ("http", "https", "s3", "gs", "az", "abfs", "abfss", "hf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """A tracked file, as data sees it."""

    blob: str
    size: int


def place_of(uri: str) -> Place:
    """Return where a data set lies, from its address alone."""
    if _ADDRESS.match(uri) and not uri.startswith("file://"):
        return Place.REMOTE
    return Place.LOCAL if uri.startswith(("/", "~", "file://")) else Place.TREE


def pin_data(
    spec: DataSpec,
    tracked: Mapping[str, Tracked],
    *,
    cache: HashCache,
    allowed: Collection[str] | None = None,
) -> DataPin:
    """Return the pin of one data set; `tracked` maps paths of the project to what git has there.

    `allowed` names the absolute paths that may be read, for code from a fork; None = any.

    Raises:
        UsageError: nothing is there, or the address cannot be read.
        Refused: a path of this machine that the base branch does not name.
    """
    place = place_of(spec.uri)
    if place is Place.TREE:
        return _pin_tracked(spec, tracked)
    if place is Place.REMOTE:
        return _pin_remote(spec)
    if allowed is not None and spec.uri not in allowed:
        raise Refused(
            f"data.{spec.name} names {spec.uri!r}, a path of the server's machine",
            cause="code from a fork may read only what the base branch's headway.yaml names",
            hint="ask a maintainer to add the data set on the base branch",
        )
    return _pin_local(spec, cache)


def _pin_tracked(spec: DataSpec, tracked: Mapping[str, Tracked]) -> DataPin:
    path = posixpath.normpath(spec.uri)
    if path.startswith(".."):
        raise UsageError(
            f"data.{spec.name}: {spec.uri!r} lies outside the project",
            hint="move it into the project, or give an absolute path or an address",
        )
    found = {path: tracked[path]} if path in tracked else _below(path, tracked)
    if not found:
        raise UsageError(
            f"data.{spec.name}: {spec.uri!r} is not in the commit",
            cause="a relative path names a tracked file or folder of the project",
            hint=f"`git add {path}` and commit, or give an absolute path or an address",
        )
    digest = digest_of({posixpath.relpath(each, path): entry.blob for each, entry in found.items()})
    size = sum(entry.size for entry in found.values())
    return DataPin(name=spec.name, uri=path, place=Place.TREE, digest=digest, size=size)


def _below(path: str, tracked: Mapping[str, Tracked]) -> dict[str, Tracked]:
    prefix = "" if path == "." else f"{path}/"
    return {each: entry for each, entry in tracked.items() if each.startswith(prefix)}


def _pin_remote(spec: DataSpec) -> DataPin:
    scheme, _, rest = spec.uri.partition("://")
    if scheme.lower() not in _REMOTE:
        raise UsageError(
            f"data.{spec.name}: addresses of kind {scheme!r} are not known", hint=f"known are {', '.join(_REMOTE)}"
        )
    if "@" in rest.split("/", 1)[0] and scheme.lower() in ("http", "https"):
        raise UsageError(
            f"data.{spec.name}: the address carries a user or password",
            cause="headway.yaml is read by everybody",
            hint="put it into a secret (`headway secrets set`) and read it in the step",
        )
    # Said and not hidden: the content behind an address is not looked at, so a task on it is never reused.
    return DataPin(name=spec.name, uri=spec.uri, place=Place.REMOTE)


def _pin_local(spec: DataSpec, cache: HashCache) -> DataPin:
    path = Path(spec.uri.removeprefix("file://")).expanduser()
    try:
        if path.is_dir():
            digests, size = _folder(path, cache)
            digest = digest_of(digests)
        else:
            digest, size = cache.digest(path), path.stat().st_size
    except OSError as error:
        raise UsageError(
            f"data.{spec.name}: {spec.uri!r} cannot be read",
            cause=error.strerror or str(error),
            hint="mend the path in headway.yaml, or its permissions; the server reads it, not you",
        ) from None
    cache.save()
    return DataPin(name=spec.name, uri=str(path), place=Place.LOCAL, digest=digest, size=size)


def _folder(path: Path, cache: HashCache) -> tuple[dict[str, str], int]:
    digests: dict[str, str] = {}
    size = 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            relative = file.relative_to(path).as_posix()
            if file.is_symlink():
                digests[relative] = f"link:{file.readlink()}"
            elif file.is_file():
                digests[relative] = cache.digest(file)
                size += file.stat().st_size
    return digests, size
