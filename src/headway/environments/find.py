"""Which environment a project has: found from its files alone, content-addressed, nothing run."""

from __future__ import annotations

import fnmatch
import posixpath
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headway.environments.failure import normal
from headway.environments.model import EnvKind, EnvSpec
from headway.environments.python_version import choose_python, exact_python
from headway.environments.requirements import Requirements, Source, from_specifiers, read_requirements
from headway.errors import NotThereYet, UsageError
from headway.ids import digest_bytes, digest_of
from headway.projects.model import EnvSection

if TYPE_CHECKING:
    from collections.abc import Mapping

# Raised when a digest must change although no file does: what is installed from the same files changed.
_FORMAT = 1
_REQUIREMENTS = ("requirements.lock", "requirements.txt")
_NOT_FOR_TRAINING = ("dev", "test", "tests", "doc", "docs", "lint", "ci")
_OTHERS = {
    "environment.yml": "conda",
    "environment.yaml": "conda",
    "conda-lock.yml": "conda-lock",
    "poetry.lock": "Poetry",
    "Pipfile.lock": "Pipenv",
    "Pipfile": "Pipenv",
    "pdm.lock": "PDM",
    "pylock.toml": "PEP 751",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a pyproject.toml says that bears on the environment."""

    requires_python: str
    wanted: Requirements
    default_groups: tuple[str, ...]
    members: tuple[str, ...]  # globs of a workspace


def find_environment(files: Mapping[str, bytes], section: EnvSection, *, default_python: str) -> EnvSpec:
    """Return the environment of the project whose folder is `files` (path in it -> bytes).

    In this order: `env: lockfile`, uv.lock, requirements.lock, requirements*.txt, pyproject.toml, none.

    Raises:
        UsageError: the files contradict each other or cannot be read.
        NotThereYet: the environment is described for a tool that Headway does not speak.
    """
    path = _chosen(files, section)
    kind = _kind(path, files)
    folder = posixpath.dirname(path)
    python = _python(files, section, kind=kind, folder=folder, default=default_python)
    return describe(files, kind=kind, path=path, python=python)


def image_environment(image: str) -> EnvSpec:
    """Return the environment that a container is; a name that can be moved stands for what it named first."""
    return EnvSpec(
        digest=digest_of({"format": _FORMAT, "kind": EnvKind.IMAGE, "image": image}), kind=EnvKind.IMAGE, python=""
    )


def describe(files: Mapping[str, bytes], *, kind: EnvKind, path: str, python: str) -> EnvSpec:
    """Return the specification for one kind, file and Python; the builder proves its sources with it."""
    if kind is EnvKind.NONE:
        content: Any = None
        used: tuple[str, ...] = ()
    elif kind is EnvKind.REQUIREMENTS:
        wanted = read_requirements(files, path)
        content, used = _requirements_content(wanted, files), wanted.files
    elif kind is EnvKind.PYPROJECT:
        content, used = _requirements_content(read_project(files, path).wanted, files), (path,)
    else:
        content, used = _lock_content(files, path)
    digest = digest_of({"format": _FORMAT, "kind": kind, "python": python, "content": content})
    return EnvSpec(digest=digest, kind=kind, python=python, files=used)


def read_project(files: Mapping[str, bytes], path: str) -> Project:
    """Read the parts of a pyproject.toml that say what is installed.

    Raises:
        UsageError: dependencies that only a build, another index or another tool could tell.
    """
    table = read_toml(files[path], path)
    project = table.get("project", {})
    uv = table.get("tool", {}).get("uv", {})
    if "dependencies" in project.get("dynamic", ()):
        raise UsageError(
            f"{path}: the dependencies are dynamic: only building the project would tell them",
            hint="run `uv lock` and commit uv.lock, or list them under [project] dependencies",
        )
    groups = tuple(uv.get("default-groups", ["dev"] if "dev" in table.get("dependency-groups", {}) else []))
    specifiers = [*project.get("dependencies", ()), *uv.get("dev-dependencies", ())]
    for group in groups:
        specifiers += _group(table.get("dependency-groups", {}), group, path, seen=())
    wanted = from_specifiers(specifiers, path)
    _refuse_sources(uv.get("sources", {}), wanted, path)
    return Project(
        requires_python=project.get("requires-python", ""),
        wanted=wanted,
        default_groups=groups,
        members=tuple(uv.get("workspace", {}).get("members", ())),
    )


def read_toml(data: bytes, path: str) -> dict[str, Any]:
    """Read TOML; an unreadable one names its file."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not readable TOML", cause=str(error), hint=f"mend {path}") from None


def _chosen(files: Mapping[str, bytes], section: EnvSection) -> str:
    if section.lockfile is not None:
        path = posixpath.normpath(section.lockfile)
        if path not in files:
            raise UsageError(
                f"env.lockfile names {section.lockfile!r}, and the project has no such file",
                hint=f"commit {path}, or drop `lockfile:` so that the environment is found by itself",
            )
        return path
    for name in ("uv.lock", *_REQUIREMENTS):
        if name in files:
            return name
    if "pyproject.toml" in files and "project" in read_toml(files["pyproject.toml"], "pyproject.toml"):
        # Listed requirements are more exact than a range in pyproject.toml.
        return _other_requirements(files) or "pyproject.toml"
    return _other_requirements(files) or _foreign(files)


def _other_requirements(files: Mapping[str, bytes]) -> str:
    found = sorted(path for path in files if fnmatch.fnmatchcase(path, "requirements*.txt") and "/" not in path)
    wanted = [path for path in found if not path[len("requirements") : -4].strip("-_.").startswith(_NOT_FOR_TRAINING)]
    if len(wanted) > 1:
        raise UsageError(
            f"several files may describe the environment: {', '.join(wanted)}",
            hint=f"choose one in headway.yaml: `env: {{lockfile: {wanted[0]}}}`",
        )
    return wanted[0] if wanted else ""


def _foreign(files: Mapping[str, bytes]) -> str:
    return next((name for name in _OTHERS if name in files), "")


def _kind(path: str, files: Mapping[str, bytes]) -> EnvKind:
    name = posixpath.basename(path)
    if not path:
        return EnvKind.NONE
    if name in _OTHERS or name.startswith(("Dockerfile", "Containerfile")) or name.endswith((".yml", ".yaml")):
        tool = _OTHERS.get(name, "another tool" if name.endswith((".yml", ".yaml")) else "Docker")
        raise NotThereYet(
            f"{path} describes the environment for {tool}, which Headway does not read yet",
            cause="uv.lock, requirements files and pyproject.toml are read",
            hint="write the packages into requirements.txt or pyproject.toml; `uv lock` then pins them",
        )
    if name == "uv.lock":
        project = posixpath.join(posixpath.dirname(path), "pyproject.toml")
        if project not in files:
            raise UsageError(f"{path} has no {project} beside it", hint=f"commit {project}: the two belong together")
        return EnvKind.UV_LOCK
    return EnvKind.PYPROJECT if name == "pyproject.toml" else EnvKind.REQUIREMENTS


def _python(files: Mapping[str, bytes], section: EnvSection, *, kind: EnvKind, folder: str, default: str) -> str:
    if section.python is not None:
        return exact_python(section.python, where="env.python")
    for path in dict.fromkeys((posixpath.join(folder, ".python-version"), ".python-version")):
        lines = files[path].decode("utf-8", "replace").split() if path in files else []
        if lines:
            return exact_python(lines[0], where=path)
    path = posixpath.join(folder, "pyproject.toml")
    if kind is not EnvKind.NONE and path in files:
        requires = read_toml(files[path], path).get("project", {}).get("requires-python", "")
        return choose_python(requires, default=default)
    return default


def _requirements_content(wanted: Requirements, files: Mapping[str, bytes]) -> Any:
    return [
        (
            line.text,
            line.is_constraint,
            sorted(line.hashes),
            digest_bytes(files[line.text]) if line.source is Source.WHEEL else "",
        )
        for line in wanted.lines
    ]


def _lock_content(files: Mapping[str, bytes], path: str) -> tuple[Any, tuple[str, ...]]:
    lock = read_toml(files[path], path)
    folder = posixpath.dirname(path)
    project_path = posixpath.join(folder, "pyproject.toml")
    uv = read_toml(files[project_path], project_path).get("tool", {}).get("uv", {})
    for package in lock.get("package", ()):
        # The project's own version is text for people: raising it installs nothing else.
        if package.get("source", {}).keys() & {"virtual", "editable", "directory"}:
            package.pop("version", None)
    used = (path, project_path, *_members(files, uv.get("workspace", {}).get("members", ()), folder))
    return {"lock": lock, "groups": uv.get("default-groups", ["dev"])}, used


def _members(files: Mapping[str, bytes], globs: tuple[str, ...], folder: str) -> tuple[str, ...]:
    if not globs:
        return ()
    patterns = [posixpath.normpath(posixpath.join(folder, glob, "pyproject.toml")) for glob in globs]
    return tuple(path for path in sorted(files) if any(_matches(path, pattern) for pattern in patterns))


def _matches(path: str, pattern: str) -> bool:
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def _group(groups: Mapping[str, Any], name: str, path: str, *, seen: tuple[str, ...]) -> list[str]:
    if name in seen or name not in groups:
        raise UsageError(f"{path}: dependency group {name!r} includes itself or does not exist")
    found: list[str] = []
    for each in groups[name]:
        found += [each] if isinstance(each, str) else _group(groups, each["include-group"], path, seen=(*seen, name))
    return found


def _refuse_sources(sources: Mapping[str, Any], wanted: Requirements, path: str) -> None:
    names = {line.name for line in wanted.lines}
    for name in sources:
        # Looking the name up elsewhere could install a stranger's package of the same name.
        if normal(name) in names:
            raise UsageError(
                f"{path}: [tool.uv.sources] says where {name!r} comes from, and there is no lock file",
                hint="run `uv lock` and commit uv.lock: hashes then prove what is installed",
            )
