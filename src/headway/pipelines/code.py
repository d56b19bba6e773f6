"""Which tracked files a step reads as code, and their digest: what makes a change of code a change of the task."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from headway.ids import digest_of
from headway.pipelines.model import GitTree, TaskSpec, TreeEntry

# Read by people and by the forge, not by a step. A step that does read one says so in `code:`.
_NOT_READ = (
    "README*",
    "**/README*",
    "*.md",
    "*.rst",
    "docs/**",
    "LICENSE*",
    "LICENCE*",
    "COPYING*",
    "NOTICE*",
    "AUTHORS*",
    "CODEOWNERS",
    ".github/**",
    ".gitlab/**",
    ".gitlab-ci.yml",
    ".gitea/**",
    ".forgejo/**",
    ".circleci/**",
    ".ci/**",
    ".vscode/**",
    ".idea/**",
    ".devcontainer/**",
    "**/.gitignore",
    "**/.gitattributes",
    ".editorconfig",
    ".pre-commit-config.yaml",
    ".mailmap",
)


def code_files(
    tree: GitTree,
    *,
    root: str,
    code: Sequence[str] = (),
    not_code: Sequence[str] = (),
) -> dict[str, TreeEntry]:
    """Return the tracked files that count as code, by path relative to the project.

    `code` are globs relative to the project (`../shared/**` reaches beside it); without any, all files
    of the project but documentation and what `not_code` names (a file, or a folder with all in it).
    """
    return {
        relative: entry
        for path, entry in tree.entries.items()
        if (relative := _relative(path, root)) is not None
        and (_is_named(relative, tuple(code)) if code else _is_default(relative))
        and not _is_under(relative, not_code)
    }


def code_digest(files: Mapping[str, TreeEntry]) -> str:
    """Return the digest of paths, modes and contents."""
    return digest_of({path: (entry.mode, entry.blob) for path, entry in files.items()})


def changed_code(old: tuple[TaskSpec, GitTree], new: tuple[TaskSpec, GitTree]) -> tuple[str, ...]:
    """Return the paths that were added, removed or changed between two resolutions of a task, sorted."""
    before, after = (
        code_files(tree, root=spec.root, code=spec.code, not_code=spec.not_code) for spec, tree in (old, new)
    )
    return tuple(
        path
        for path in sorted(before.keys() | after.keys())
        if path not in before
        or path not in after
        or (before[path].mode, before[path].blob) != (after[path].mode, after[path].blob)
    )


def matches(path: str, pattern: str) -> bool:
    """Return whether a path matches a glob: `*` stays within a folder, `**` does not, a folder means all in it."""
    return _compiled(pattern).match(path) is not None


def _relative(path: str, root: str) -> str | None:
    if not root:
        return path
    if path.startswith(f"{root}/"):
        return path[len(root) + 1 :]
    return posixpath.relpath(path, root)


def _is_default(relative: str) -> bool:
    return not relative.startswith("../") and not any(matches(relative, pattern) for pattern in _NOT_READ)


def _is_named(relative: str, code: tuple[str, ...]) -> bool:
    wanted = [pattern for pattern in code if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in code if pattern.startswith("!")]
    return any(matches(relative, each) for each in wanted) and not any(matches(relative, each) for each in unwanted)


def _is_under(relative: str, places: Sequence[str]) -> bool:
    return any(relative == place or relative.startswith(f"{place}/") for place in places)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    for piece in re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./").rstrip("/")):
        translated = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece)
        parts.append(re.escape(piece) if translated is None else translated)
    # A plain name may be a folder; "src/*" names what lies in src and nothing deeper.
    is_plain = not re.search(r"[*?]", pattern.rsplit("/", 1)[-1])
    return re.compile("".join(parts) + (r"(?:/.*)?\Z" if is_plain else r"\Z"), re.DOTALL)
