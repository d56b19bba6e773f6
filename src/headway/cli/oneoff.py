"""`headway run SCRIPT`: one script as it lies here, tracked like any job, without a headway.yaml for it."""

from __future__ import annotations

import re
import shlex
import tempfile
from pathlib import Path

from headway.cli.here import Here, git_text, is_ignored, resolve
from headway.errors import NotFound, UsageError

_PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def script_commit(at: Here, script: str, arguments: list[str], params: list[str]) -> tuple[str, str]:
    """Return (branch, commit) of the working tree with a headway.yaml made for this one script.

    Nothing of it is seen in the working tree, the index or a branch; a ref keeps the commit.

    Raises:
        NotFound: there is no such script.
        UsageError: it lies outside the repository, or a parameter is no key=value.
    """
    from headway.forges.git_snapshot import SNAPSHOT_REFS, snapshot_worktree

    folder = Path.cwd().resolve()
    path = _inside(script, folder)
    config = _config(folder, path, arguments, params)
    base = snapshot_worktree(at.root)
    below = folder.relative_to(at.root.resolve()).as_posix()
    tree = _tree_with(at.root, base if below == "." else f"{base}:{below}", project_of(script), config)
    sha = git_text(
        *("-c", "user.name=Headway", "-c", "user.email=headway@localhost"),
        *("commit-tree", "-p", base, "-m", f"headway run {script}", tree),
        root=at.root,
        environment={"GIT_AUTHOR_DATE": "@0 +0000", "GIT_COMMITTER_DATE": "@0 +0000"},
    )
    git_text("update-ref", f"{SNAPSHOT_REFS}/{sha}", sha, root=at.root)
    return f"{at.branch or 'detached'}+{path.name}", sha


def project_of(script: str) -> str:
    """Return the project of a script's runs: not the repository's own, whose baseline they are not."""
    from headway.projects.detect import project_name

    return project_name(Path(script).stem) + "-script"


def _inside(script: str, folder: Path) -> Path:
    """Return the script's path below the working directory, which is where it will run."""
    path = Path(script).resolve()
    if not path.is_file():
        raise NotFound(
            f"there is no script {script}",
            cause="`headway run` takes a file; branches and commits are for `headway train`",
            hint=f"headway train {shlex.quote(script)}" if resolve(script) else "ls *.py",
        )
    if not path.is_relative_to(folder):
        raise UsageError(
            f"{script} lies outside this folder, in which it would run", hint=f"cd {shlex.quote(str(path.parent))}"
        )
    if is_ignored(path):
        raise UsageError(f"{script} is ignored by git, so no snapshot holds it", hint="take it out of .gitignore")
    return path.relative_to(folder)


def _config(folder: Path, script: Path, arguments: list[str], params: list[str]) -> str:
    words = [f"{shlex.quote('--' + key)} {shlex.quote(value)}" for key, value in map(_pair, params)]
    run = " ".join([f"python {shlex.quote(script.as_posix())}", *words, *(shlex.quote(word) for word in arguments)])
    lines = [f"name: {project_of(script.name)}", f"run: {_yaml_text(run)}"]
    return "\n".join([*lines, *_environment(folder)]) + "\n"


def _environment(folder: Path) -> list[str]:
    """The env of the project in this folder holds for its scripts too."""
    own = folder / "headway.yaml"
    if not own.is_file():
        return []
    from headway.projects.read import read_project

    env = read_project(own.read_bytes(), path="headway.yaml").env
    lines = [f"  python: {_yaml_text(env.python)}"] if env.python else []
    lines += [f"  lockfile: {_yaml_text(env.lockfile)}"] if env.lockfile else []
    if env.variables:
        lines += ["  variables:", *(f"    {name}: {_yaml_text(value)}" for name, value in env.variables.items())]
    if env.secrets:
        lines += [f"  secrets: [{', '.join(env.secrets)}]"]
    return ["env:", *lines] if lines else []


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not _PARAM.fullmatch(key):
        raise UsageError(f"{text!r} is no key=value", hint="-P lr=0.1 is given to the script as --lr 0.1")
    return key, value


def _yaml_text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _tree_with(root: Path, source: str, folder: str, config: str) -> str:
    """Return a tree that holds a copy of the files, and this configuration, in a folder of that name.

    A project of its own in a folder of its own: under the rules of no project that the repository has.
    """
    blob = git_text("hash-object", "-w", "--stdin", root=root, stdin=config)
    with tempfile.TemporaryDirectory(prefix="headway-run-") as temporary:
        environment = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        git_text("read-tree", f"--prefix={folder}/", source, root=root, environment=environment)
        others = git_text("ls-files", "-z", "--cached", "--", "*headway.yaml", root=root, environment=environment)
        for path in filter(None, others.split("\0")):
            git_text("update-index", "--force-remove", "--", path, root=root, environment=environment)
        entry = f"100644,{blob},{folder}/headway.yaml"
        git_text("update-index", "--add", "--cacheinfo", entry, root=root, environment=environment)
        return git_text("write-tree", root=root, environment=environment)
