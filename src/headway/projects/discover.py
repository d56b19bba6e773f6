"""Which projects a repository holds, and which of them a change touches."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Sequence

from headway.errors import ConfigError
from headway.projects.globs import matches
from headway.projects.model import ProjectSpec
from headway.projects.read import CONFIG_NAME

_FOREIGN = frozenset({"node_modules", ".venv", "venv", ".git", ".tox", ".nox", "__pycache__", "site-packages"})


def find_configs(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the path of every headway.yaml of a tree, the top one first; installed packages have none."""
    found = [
        path
        for path in paths
        if posixpath.basename(path) == CONFIG_NAME and not _FOREIGN.intersection(path.split("/")[:-1])
    ]
    return tuple(sorted(found, key=lambda path: (path.count("/"), path)))


def check_names(projects: Sequence[ProjectSpec]) -> None:
    """Refuse two projects of one name: their reports, statuses and models could not be told apart.

    Raises:
        ConfigError: two files of the repository have one name.
    """
    seen: dict[str, ProjectSpec] = {}
    for project in projects:
        earlier = seen.setdefault(project.name, project)
        if earlier is not project:
            raise ConfigError(
                f"two projects are called {project.name!r}",
                cause=f"{config_path(earlier)} and {config_path(project)}",
                hint="give one of them another `name:`",
            )


def config_path(project: ProjectSpec) -> str:
    """Return where a project's headway.yaml stands in the repository."""
    return posixpath.join(project.root, CONFIG_NAME)


def touched(projects: Sequence[ProjectSpec], changed: Collection[str]) -> tuple[ProjectSpec, ...]:
    """Return the projects that these changed paths of the repository concern, in the order given.

    A project with `triggers: pull_request: paths` is concerned by what fits one of them, and always by
    its own headway.yaml; another one by everything below its folder that is not another project's.
    """
    roots = [project.root for project in projects]
    return tuple(project for project in projects if any(_concerns(project, path, roots) for path in changed))


def _concerns(project: ProjectSpec, path: str, roots: Sequence[str]) -> bool:
    if path == config_path(project):
        return True
    if project.triggers.paths:
        return any(_fits(glob, path, project.root) for glob in project.triggers.paths)
    return _is_below(path, project.root) and not any(
        root != project.root and _is_below(root, project.root) and _is_below(path, root) for root in roots
    )


def _fits(glob: str, path: str, root: str) -> bool:
    # `../shared/**` reaches beside the project, as `code:` does.
    if glob.startswith("../"):
        return matches(posixpath.normpath(posixpath.join(root, glob)), path)
    return _is_below(path, root) and matches(glob, posixpath.relpath(path, root) if root else path)


def _is_below(path: str, root: str) -> bool:
    return not root or path == root or path.startswith(f"{root}/")
