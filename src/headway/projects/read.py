"""headway.yaml to a specification, or all of its mistakes at once."""

from __future__ import annotations

import posixpath
from collections.abc import Collection

from headway.projects.build import build
from headway.projects.keys import FILE
from headway.projects.links import check_links
from headway.projects.model import ProjectSpec
from headway.projects.problem import Problem, ProjectFileError
from headway.projects.source import read_tree
from headway.projects.take import take

CONFIG_NAME = "headway.yaml"


def read_project(data: bytes, *, path: str = CONFIG_NAME, files: Collection[str] | None = None) -> ProjectSpec:
    """Return the project that a file at `path` of the repository describes.

    `files` are the paths of the project's folder, relative to it, where they are known: an input that
    neither a step nor the commit provides is then a mistake.

    Raises:
        ProjectFileError: the file has mistakes; every one of them is in it, with line and column.
    """
    tree, problems = read_tree(data, file=path)
    if tree is None:
        raise ProjectFileError(problems or [_empty(path)])
    taken = take(FILE, tree, file=path)
    check_links(taken, files=files)
    if problems or taken.problems:
        raise ProjectFileError([*problems, *taken.problems])
    return build(taken.value, root=posixpath.dirname(path))


def _empty(path: str) -> Problem:
    return Problem(file=path, line=1, column=1, message="the file is empty", fix="`headway init` writes one")
