"""Reading a git repository by argument vectors: no hooks, no shell, no ref name that could be an option."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from headway.errors import NotFound, TooLarge, Unreachable, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
# git check-ref-format, without its rarer permissions.
_BRANCH = re.compile(r"(?!-|/|.*(?:\.\.|@\{|//|/\.|\.lock(?:/|\Z)))[^\x00-\x20\x7f~^:?*\[\\]{1,200}(?<![/.])\Z")

_OPTIONS = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "core.quotePath=false",
    "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
    "-c", "submodule.recurse=false",
    "-c", "protocol.file.allow=never",
)  # fmt: skip
_TIMEOUT = 120
FILE_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """What a commit says of itself; author and date are the pusher's claim."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: str
    at: datetime
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """One file of a commit's tree: `oid` changes exactly when its content does."""

    path: str
    mode: str  # 100644 | 100755 | 120000 (symbolic link) | 160000 (submodule)
    oid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Worktree:
    """A working copy of the repository, and the branch that is checked out in it."""

    path: Path
    branch: str | None


class GitError(Unreachable):
    """Git ended with an error that is not one of the expected answers."""

    code = "GIT"
    retryable = False


class Git:
    """One repository, addressed by its git directory; nothing here touches an index or a working tree."""

    def __init__(self, directory: Path) -> None:
        """Take the common git directory: `open_repository` finds it."""
        self.directory = directory

    def run(self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> bytes:
        """Run one git command on this repository and return what it printed.

        Raises:
            GitError: it failed, or took longer than two minutes.
        """
        done = self.attempt(*arguments, stdin=stdin, environment=environment)
        if done.returncode != 0:
            raise git_error(arguments[0], done)
        return done.stdout

    def attempt(
        self,
        *arguments: str,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one git command whose failure is an answer too."""
        return run_git(
            f"--git-dir={self.directory}",
            *arguments,
            cwd=self.directory,
            stdin=stdin,
            environment=environment,
        )

    def resolve(self, revision: str) -> str | None:
        """Return the commit that an object name or a full ref names; None when there is none."""
        done = self.attempt("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def check_commit(self, sha: str) -> str:
        """Return `sha` when it is the full name of a commit that is here.

        Raises:
            NotFound: it is abbreviated, no commit, or not in this repository.
        """
        if _SHA.match(sha) and self.resolve(sha) == sha:
            return sha
        raise NotFound(
            f"no commit {sha[:64]!r} in {self.directory}",
            cause="it is abbreviated, misspelt, or was never pushed here",
            hint="git cat-file -t COMMIT says what git knows of it",
        )

    def branch_head(self, branch: str) -> str | None:
        """Return the commit that a local branch stands at; None when there is no such branch."""
        return self.resolve(f"refs/heads/{branch}") if _BRANCH.match(branch) else None

    def branch_heads(self) -> dict[str, str]:
        """Return every local branch with its commit."""
        printed = self.run("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads").decode()
        pairs = (line.split(" ", 1) for line in printed.splitlines())
        return {name: sha for sha, name in pairs}

    def default_branch(self) -> str:
        """Return the branch that changes are proposed to: the remote's, else main or master, else the current."""
        heads = self.branch_heads()
        remote = self.attempt("symbolic-ref", "--short", "-q", "refs/remotes/origin/HEAD").stdout.decode().strip()
        current = self.attempt("symbolic-ref", "--short", "-q", "HEAD").stdout.decode().strip()
        for candidate in (remote.partition("/")[2], "main", "master", current):
            if candidate in heads:
                return candidate
        return current or "main"

    def tree_of(self, sha: str) -> str:
        """Return the tree of a commit: equal trees hold equal files, whatever their history."""
        return (
            self.run("rev-parse", "--verify", "--end-of-options", f"{self.check_commit(sha)}^{{tree}}").decode().strip()
        )

    def merge_base(self, one: str, other: str) -> str | None:
        """Return the best common ancestor; None for unrelated histories."""
        done = self.attempt("merge-base", self.check_commit(one), self.check_commit(other))
        return done.stdout.decode().split("\n", 1)[0] if done.returncode == 0 else None

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Say whether `newer` contains `older`; a commit contains itself."""
        done = self.attempt("merge-base", "--is-ancestor", self.check_commit(older), self.check_commit(newer))
        return done.returncode == 0

    def changed_files(self, before: str, after: str) -> tuple[str, ...]:
        """Return the paths whose content or mode differs between two commits, sorted; a rename is both paths."""
        printed = self.run(
            "diff-tree", "-r", "-z", "--name-only", "--no-renames", self.check_commit(before), self.check_commit(after)
        )  # fmt: skip
        return tuple(sorted(_names(printed)))

    def diff(self, before: str, after: str, *, paths: tuple[str, ...] = (), limit: int = 200_000) -> str:
        """Return the unified diff between two commits, cut after `limit` characters."""
        text = self.run(
            "diff-tree", "-r", "-p", "--no-ext-diff", "--no-textconv", "--no-color",
            self.check_commit(before), self.check_commit(after), "--", *paths,
        ).decode(errors="replace")  # fmt: skip
        return text if len(text) <= limit else text[:limit] + "\n… cut here: the difference is longer\n"

    def commit_info(self, sha: str) -> CommitInfo:
        """Return what a commit says of itself."""
        printed = self.run("show", "-s", "--no-show-signature", "--format=%T%n%P%n%an%n%ct%n%s", self.check_commit(sha))
        tree, parents, author, at, subject = printed.decode(errors="replace").split("\n", 4)
        return CommitInfo(
            sha=sha,
            tree=tree,
            parents=tuple(parents.split()),
            author=author,
            at=datetime.fromtimestamp(int(at), UTC),
            subject=subject.strip(),
        )

    def list_files(self, sha: str, under: str = "") -> tuple[TreeFile, ...]:
        """Return the files of a commit, all or those below one folder; paths start at the repository's top."""
        below = (under.rstrip("/") + "/",) if under else ()
        printed = self.run("ls-tree", "-r", "-z", "--full-tree", self.check_commit(sha), "--", *below)
        return tuple(_tree_file(entry) for entry in _names(printed))

    def read_file(self, sha: str, path: str) -> bytes | None:
        """Return one file of a commit; None for what is absent, a folder or a symbolic link.

        Raises:
            TooLarge: the file has more than 10 MB: this is for configuration, not for data.
        """
        self.check_commit(sha)
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            return None
        printed = self.run("ls-tree", "-z", "--full-tree", sha, "--", str(PurePosixPath(*parts)))
        for entry in _names(printed):
            found = _tree_file(entry)
            # A link would lead out of what was reviewed.
            if found.mode in ("100644", "100755"):
                return self._read_blob(found)
        return None

    def export(self, sha: str, into: Path) -> None:
        """Write the files of a commit into an empty folder, outside of any working copy."""
        into.mkdir(parents=True, exist_ok=True)
        index = into.parent / f".{into.name}.index"
        environment = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(into)}
        try:
            self.run("read-tree", self.check_commit(sha), environment=environment)
            self.run("checkout-index", "-a", "-f", f"--prefix={into}/", environment=environment)
        finally:
            index.unlink(missing_ok=True)

    def config(self, pattern: str) -> dict[str, str]:
        """Return the repository's own settings whose lower-cased name matches."""
        done = self.attempt("config", "--local", "-z", "--get-regexp", pattern)
        pairs = (entry.partition("\n") for entry in _names(done.stdout))
        return {name.lower(): value for name, _, value in pairs}

    def worktrees(self) -> tuple[Worktree, ...]:
        """Return the working copies of this repository, linked ones too; none for a bare one."""
        found: list[Worktree] = []
        path, branch, is_bare = "", None, False
        for line in _names(self.run("worktree", "list", "--porcelain", "-z"), keep_empty=True):
            key, _, value = line.partition(" ")
            if key == "worktree":
                path, branch, is_bare = value, None, False
            elif key == "branch":
                branch = value.removeprefix("refs/heads/")
            elif key == "bare":
                is_bare = True
            elif not line and path:
                if not is_bare and Path(path).is_dir():
                    found.append(Worktree(path=Path(path), branch=branch))
                path = ""
        return tuple(found)

    def _read_blob(self, found: TreeFile) -> bytes:
        size = int(self.run("cat-file", "-s", found.oid))
        if size > FILE_LIMIT:
            raise TooLarge(f"{found.path} has {size} bytes", hint="keep files that Headway reads under 10 MB")
        return self.run("cat-file", "blob", found.oid)


def open_repository(path: Path) -> Git:
    """Return the repository that a path lies in, by its common git directory: linked worktrees share it.

    Raises:
        NotFound: the path does not exist or lies in no repository.
    """
    if not path.is_dir():
        raise NotFound(f"no folder {path}", hint="give the path of a git repository")
    done = run_git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=path)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        if "dubious ownership" in said:
            raise NotFound(
                f"{path} belongs to another user, and git refuses to read it",
                hint=f"git config --global --add safe.directory {path}",
            )
        raise NotFound(f"{path} is not a git repository", cause=said, hint="git init, and commit your files")
    return Git(Path(done.stdout.decode().rstrip("\n")).resolve())


def check_branch_name(branch: str) -> str:
    """Return a name that can be a branch's.

    Raises:
        UsageError: git or we would read it as something else.
    """
    if _BRANCH.match(branch):
        return branch
    raise UsageError(f"{branch!r} cannot be the name of a branch", hint="git branch --list shows those that exist")


def run_git(
    *arguments: str,
    cwd: Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git with hooks, file-system monitor and prompts off; the caller judges the exit status."""
    try:
        return subprocess.run(
            ["git", "--literal-pathspecs", *_OPTIONS, *arguments],
            cwd=cwd,
            input=stdin,
            env=_environment(environment or {}),
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
        )
    except FileNotFoundError:
        raise Unreachable("git is not installed", hint="apt-get install git, or brew install git") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} took longer than {_TIMEOUT} s", hint="git gc may help") from None


def git_error(verb: str, done: subprocess.CompletedProcess[bytes]) -> GitError:
    """Return the error for a command that failed unexpectedly, with git's own words."""
    return GitError(f"git {verb} failed", cause=done.stderr.decode(errors="replace").strip()[:2000])


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    # Called from within a hook, GIT_DIR and its kin would lead git to another repository.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        **more,
    }


def _names(printed: bytes, *, keep_empty: bool = False) -> list[str]:
    # surrogateescape: a file name in another encoding must survive the way there and back.
    names = printed.decode(errors="surrogateescape").split("\0")
    return names if keep_empty else [name for name in names if name]


def _tree_file(entry: str) -> TreeFile:
    facts, _, path = entry.partition("\t")
    mode, _kind, oid = facts.split(" ")
    return TreeFile(path=path, mode=mode, oid=oid)
