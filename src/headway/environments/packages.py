"""What an environment's files say of versions: for "what changed" between two commits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headway.environments.failure import normal
from headway.environments.find import read_project, read_toml
from headway.environments.model import EnvKind, EnvSpec
from headway.environments.requirements import Requirements, read_requirements
from headway.errors import HeadwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PINNED = re.compile(r"^[A-Za-z0-9._-]+\s*(?:\[[^\]]*\])?\s*(?:===?\s*([^\s;,]+)|(.*))$")
_OWN = frozenset({"virtual", "editable", "directory"})


def locked_packages(spec: EnvSpec, files: Mapping[str, bytes]) -> dict[str, str]:
    """Return distribution name -> version (or the range, where nothing is pinned), sorted by name.

    `files` maps paths of the project to bytes. Files that cannot be read give nothing: this only explains.
    """
    if not spec.files or any(path not in files for path in spec.files):
        return {}
    try:
        if spec.kind is EnvKind.UV_LOCK:
            found = _of_lock(files, spec.files[0])
        elif spec.kind is EnvKind.PYPROJECT:
            found = _of_requirements(read_project(files, spec.files[0]).wanted)
        else:
            found = _of_requirements(read_requirements(files, spec.files[0]))
    except HeadwayError:
        return {}
    return dict(sorted(found.items()))


def _of_lock(files: Mapping[str, bytes], path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for package in read_toml(files[path], path).get("package", ()):
        if package.get("source", {}).keys() & _OWN:
            continue
        name, version = normal(package["name"]), str(package.get("version", "?"))
        # A lock for several platforms may hold one package twice.
        found[name] = f"{found[name]} / {version}" if name in found else version
    return found


def _of_requirements(wanted: Requirements) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in wanted.lines:
        pinned = _PINNED.match(line.text)
        if line.name and pinned and not line.is_constraint:
            found[line.name] = pinned[1] or pinned[2].split(";", maxsplit=1)[0].strip() or "any"
    for line in wanted.lines:
        pinned = _PINNED.match(line.text)
        # A constraint pins what a range left open.
        if line.is_constraint and pinned and pinned[1] and line.name in found:
            found[line.name] = pinned[1]
    return found
