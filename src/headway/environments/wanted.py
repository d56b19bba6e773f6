"""What a specification asks to be installed, read again from its files and checked against its digest and tier."""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from headway.environments.failure import BuildFailed, explain, normal
from headway.environments.find import describe, read_project, read_toml
from headway.environments.model import EnvKind, EnvSpec, Tier
from headway.environments.requirements import Line, Requirements, Source, from_specifiers, read_requirements
from headway.environments.uv_process import read_uv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NO_WHEEL = "name a release that has wheels, commit a wheel of it, or bring a container with `image:`"
_EXPORTED = "the packages of uv.lock"
_WORKSPACE = "packages of the workspace are not installed: add their folders to PYTHONPATH in `env: variables:`"


def read_wanted(
    spec: EnvSpec, files: Mapping[str, bytes], *, scratch: Path, variables: Mapping[str, str]
) -> Requirements:
    """Return the requirements of a specification; its files must be those that it was made from.

    Raises:
        BuildFailed: they are others, or uv.lock cannot be read.
        UsageError: a line that cannot be honoured.
    """
    _prove(spec, files)
    if spec.kind is EnvKind.UV_LOCK:
        return _export(spec, files, scratch=scratch, variables=variables)
    if spec.kind is EnvKind.PYPROJECT:
        wanted = read_project(files, spec.files[0]).wanted
        note = f"{spec.files[0]} has no lock file: versions are chosen now; `uv lock` would pin them"
        return Requirements(lines=wanted.lines, ignored=(note, *wanted.ignored), files=wanted.files)
    return read_requirements(files, spec.files[0])


def check_sources(wanted: Requirements, tier: Tier) -> None:
    """Refuse packages from addresses of their own to code from a fork."""
    direct = [line for line in wanted.lines if line.source in (Source.URL, Source.GIT)]
    if direct and tier is Tier.FORK:
        raise BuildFailed(
            f"the environment was not made: {direct[0].where} takes {direct[0].text!r} from an address of its own",
            cause="code from a fork gets packages from the operator's index only",
            hint="name a released version, or ask a maintainer to push the branch into this repository",
        )


def check_wheels(wanted: Requirements) -> None:
    """Refuse what only a build could give, where nothing is built."""
    commit = next((line for line in wanted.lines if line.source is Source.GIT), None)
    if commit is not None:
        raise BuildFailed(
            f"the environment was not made: {commit.where}: {commit.text!r} comes from git and would have to be built",
            cause="in a cluster nothing is built: building runs the package's own code beside everybody's environments",
            hint=NO_WHEEL,
        )


def interpreter(python: str) -> str:
    """Return what to tell uv: this server's own Python by its path, another one by its version."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return os.path.realpath(sys.executable)  # asking the whole machine for it takes far longer
    return python


def may_require_hashes(lines: Iterable[Line]) -> bool:
    """Return whether hashes are stated and can be demanded of all; a git commit has none and is its own proof."""
    listed = tuple(lines)
    return any(line.hashes for line in listed) and all(line.source is not Source.GIT for line in listed)


def as_text(lines: Iterable[Line], source: Path) -> str:
    """Return a requirements file with these lines; wheels of the project get absolute paths."""
    return "".join(f"{_line_text(line, source)}\n" for line in lines)


def _line_text(line: Line, source: Path) -> str:
    text = str(source.resolve() / line.text) if line.source is Source.WHEEL else line.text
    return " ".join((text, *(f"--hash={each}" for each in line.hashes)))


def _prove(spec: EnvSpec, files: Mapping[str, bytes]) -> None:
    missing = [path for path in spec.files if path not in files]
    actual = None if missing else describe(files, kind=spec.kind, path=spec.files[0], python=spec.python)
    if actual is None or actual.digest != spec.digest:
        raise BuildFailed(
            f"the files that describe the environment are not those that were planned with: {', '.join(spec.files)}",
            cause=f"missing: {', '.join(missing)}" if missing else "their digest differs",
            hint="plan again at this commit",
        )


def _export(spec: EnvSpec, files: Mapping[str, bytes], *, scratch: Path, variables: Mapping[str, str]) -> Requirements:
    """Turn uv.lock into names, versions and hashes: the addresses in it are the change's, not the operator's."""
    for path in spec.files:
        copy = scratch / "lock" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(files[path])
    options = ("--frozen", "--no-config", "--no-emit-workspace", "--no-header", "--no-annotate")
    python = ("--python", interpreter(spec.python), "--no-python-downloads")
    folder = (scratch / "lock" / spec.files[0]).parent
    ended = read_uv(("export", *options, *python), cwd=folder, variables=variables)
    if ended.exit_code != 0:
        raise explain(ended.output, spec)
    name = posixpath.join(posixpath.dirname(spec.files[0]), _EXPORTED)
    # Read like any requirements file, beside the project's own, which may hold wheels that the lock names.
    wanted = read_requirements(_Beside(files, name, ended.output.encode()), name)
    notes = [_WORKSPACE] if len(spec.files) > 2 else []
    unknown = _unknown_to_lock(files, spec)
    if unknown:
        notes.append(f"{spec.files[0]} does not know {', '.join(unknown)} of {spec.files[1]}: run `uv lock`, commit")
    return Requirements(lines=wanted.lines, ignored=tuple(notes), files=spec.files)


class _Beside(Mapping[str, bytes]):
    """The files of a project and one more."""

    def __init__(self, files: Mapping[str, bytes], name: str, content: bytes) -> None:
        self._files, self._name, self._content = files, name, content

    def __getitem__(self, path: str) -> bytes:
        return self._content if path == self._name else self._files[path]

    def __contains__(self, path: object) -> bool:
        return path == self._name or path in self._files

    def __iter__(self) -> Iterator[str]:
        return iter((self._name, *self._files))

    def __len__(self) -> int:
        return 1 + len(self._files)


def _unknown_to_lock(files: Mapping[str, bytes], spec: EnvSpec) -> list[str]:
    """Return what the project asks for by now and its lock was made without."""
    locked = {normal(package["name"]) for package in read_toml(files[spec.files[0]], spec.files[0]).get("package", ())}
    listed = read_toml(files[spec.files[1]], spec.files[1]).get("project", {}).get("dependencies", ())
    return sorted(
        {line.name for line in from_specifiers(list(listed), spec.files[1]).lines if line.name} - locked,
    )
