from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fakes.repository import Repository
from headway.errors import NotFound, TooLarge, UsageError
from headway.forges import git as module
from headway.forges.git import Git, check_branch_name, open_repository

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def git(repository: Repository) -> Git:
    return open_repository(repository.path)


def test_a_repository_is_found_from_any_folder_in_it_and_from_linked_working_copies(
    repository: Repository,
    tmp_path: Path,
) -> None:
    repository.commit("main", {"projects/a/headway.yaml": "name: a\n"})
    repository.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    (tmp_path / "link").symlink_to(repository.path)
    found = {
        open_repository(path).directory
        for path in (repository.path, repository.path / "projects" / "a", tmp_path / "linked", tmp_path / "link")
    }
    assert found == {repository.path / ".git"}


def test_what_is_no_repository_is_said_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is not a git repository") as caught:
        open_repository(tmp_path)
    assert "git init" in caught.value.hint
    with pytest.raises(NotFound, match="no folder"):
        open_repository(tmp_path / "nowhere")


def test_only_full_names_of_commits_count(repository: Repository, git: Git) -> None:
    sha = repository.head()
    tree = git.tree_of(sha)
    repository.git("tag", "-a", "-m", "one", "v1")
    assert git.check_commit(sha) == sha
    for name in (sha[:12], "main", "HEAD", "v1", tree, "", "0" * 40, sha.upper(), f"{sha}~0", "--all", f"{sha}\n"):
        with pytest.raises(NotFound):
            git.check_commit(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "--upload-pack=x",
        "a b",
        "a..b",
        "a@{1}",
        "a^",
        "a~1",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a/",
        "/a",
        "a//b",
        "a.lock",
        "a/b.lock/c",
        "a.",
        "a\n",
        "\x7f",
        "x" * 201,
    ],
)
def test_names_that_git_would_read_as_something_else_are_no_branches(git: Git, name: str) -> None:
    assert git.branch_head(name) is None
    with pytest.raises(UsageError):
        check_branch_name(name)


def test_branches_and_the_default_one(repository: Repository, git: Git) -> None:
    feature = repository.commit("feature/ünïcode", {"a.txt": "a\n"})
    assert git.branch_heads() == {"main": repository.head(), "feature/ünïcode": feature}
    assert git.branch_head(check_branch_name("feature/ünïcode")) == feature
    assert git.default_branch() == "main"
    repository.git("branch", "develop")
    repository.git("update-ref", "refs/remotes/origin/develop", feature)
    repository.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/develop")
    assert git.default_branch() == "develop"


def test_an_empty_repository_has_a_default_branch_and_no_heads(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "-b", "trunk", str(tmp_path / "empty")], check=True)
    git = open_repository(tmp_path / "empty")
    assert git.default_branch() == "trunk"
    assert git.branch_heads() == {}


def test_history_questions(repository: Repository, git: Git) -> None:
    base = repository.head()
    one = repository.commit("one", {"a.txt": "a\n", "dir/b.txt": "b\n"})
    two = repository.commit("two", {"c.txt": "c\n"})
    assert git.merge_base(one, two) == base
    assert git.is_ancestor(base, one)
    assert git.is_ancestor(one, one)
    assert not git.is_ancestor(one, two)
    assert git.changed_files(base, one) == ("a.txt", "dir/b.txt")
    assert git.changed_files(one, two) == ("a.txt", "c.txt", "dir/b.txt")
    assert git.changed_files(one, one) == ()
    assert "+b" in git.diff(base, one)
    assert "a.txt" not in git.diff(base, one, paths=("dir",))
    assert "cut here" in git.diff(base, one, limit=10)
    info = git.commit_info(one)
    assert (info.parents, info.author, info.subject, info.tree) == (
        (base,),
        "Ada",
        "Change a.txt, dir/b.txt",
        git.tree_of(one),
    )


def test_unrelated_histories_have_no_merge_base(repository: Repository, git: Git) -> None:
    repository.git("checkout", "-q", "--orphan", "island")
    repository.git("commit", "-q", "-m", "alone")
    assert git.merge_base(repository.head(), repository.head("island")) is None


def test_files_are_listed_with_names_that_are_strange(repository: Repository, git: Git) -> None:
    names = {"a b.txt": "1", "ü/ü.txt": "2", 'quo"te': "3", "tab\there": "4", "-dash": "5"}
    sha = repository.commit("main", names)
    assert {file.path for file in git.list_files(sha)} == {*names, "README.md"}
    assert [file.path for file in git.list_files(sha, "ü")] == ["ü/ü.txt"]
    assert git.changed_files(f"{git.commit_info(sha).parents[0]}", sha) == tuple(sorted(names))
    for name, text in names.items():
        assert git.read_file(sha, name) == text.encode()


def test_links_are_not_followed_and_large_files_are_refused(
    repository: Repository,
    git: Git,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (repository.path / "link").symlink_to("/etc/passwd")
    sha = repository.commit("main", {"large.bin": b"x" * 2000})
    assert git.read_file(sha, "link") is None
    monkeypatch.setattr(module, "FILE_LIMIT", 1000)
    with pytest.raises(TooLarge, match=r"large\.bin has 2000 bytes"):
        git.read_file(sha, "large.bin")


def test_a_commit_is_exported_without_touching_index_or_working_copy(
    repository: Repository,
    git: Git,
    tmp_path: Path,
) -> None:
    sha = repository.commit("feature", {"dir/run.sh": "#!/bin/sh\n"})
    repository.write({"README.md": "edited\n"})
    before = repository.git("status", "--porcelain=v2")
    git.export(sha, tmp_path / "out")
    assert (tmp_path / "out" / "dir" / "run.sh").read_text() == "#!/bin/sh\n"
    assert (tmp_path / "out" / "README.md").read_text() == "read me\n"
    assert not (tmp_path / "out" / ".git").exists()
    assert repository.git("status", "--porcelain=v2") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "repository"]


def test_nothing_of_the_repository_is_run_and_the_callers_git_is_not_believed(
    repository: Repository,
    git: Git,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trap = tmp_path / "trap"
    script = tmp_path / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch {trap}\n")
    script.chmod(0o755)
    hooks = repository.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / name).symlink_to(script)
    repository.git("config", "core.fsmonitor", str(script))
    repository.git("config", "core.pager", str(script))
    repository.git("config", "diff.external", str(script))
    trap.unlink(missing_ok=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(script))
    sha = git.resolve("refs/heads/main")
    assert sha is not None
    git.diff(sha, sha)
    git.export(sha, tmp_path / "out")
    git.run("update-ref", "refs/headway/test", sha)
    assert open_repository(repository.path).directory == git.directory
    assert not trap.exists()
