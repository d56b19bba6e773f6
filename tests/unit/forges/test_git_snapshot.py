from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fakes.repository import Repository
from headway.errors import UsageError
from headway.forges.git import open_repository
from headway.forges.git_snapshot import snapshot_worktree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_a_clean_working_copy_is_its_own_head(repository: Repository) -> None:
    assert snapshot_worktree(repository.path) == repository.head()
    assert repository.git("for-each-ref", "refs/headway") == ""


def test_edits_additions_and_removals_are_in_it_and_nothing_is_touched(repository: Repository) -> None:
    repository.commit("main", {"gone.txt": "1\n", ".gitignore": "build/\n", "sub/deep.txt": "1\n"})
    repository.write({"README.md": "edited\n", "new.txt": "new\n", "build/large.bin": "x", "staged.txt": "staged\n"})
    repository.git("add", "staged.txt")
    (repository.path / "gone.txt").unlink()
    before = repository.git("status", "--porcelain=v2"), (repository.path / ".git" / "index").read_bytes()
    sha = snapshot_worktree(repository.path / "sub")
    git = open_repository(repository.path)
    assert {file.path for file in git.list_files(sha)} == {
        ".gitignore",
        "README.md",
        "new.txt",
        "staged.txt",
        "sub/deep.txt",
    }
    assert git.read_file(sha, "README.md") == b"edited\n"
    assert git.commit_info(sha).parents == (repository.head(),)
    assert (repository.git("status", "--porcelain=v2"), (repository.path / ".git" / "index").read_bytes()) == before


def test_the_same_files_are_the_same_commit_and_other_files_another(repository: Repository) -> None:
    repository.write({"new.txt": "1\n"})
    first = snapshot_worktree(repository.path)
    assert snapshot_worktree(repository.path) == first
    repository.write({"new.txt": "2\n"})
    assert snapshot_worktree(repository.path) != first


def test_garbage_collection_keeps_it(repository: Repository) -> None:
    repository.write({"new.txt": "1\n"})
    sha = snapshot_worktree(repository.path)
    repository.git("gc", "-q", "--prune=now")
    assert open_repository(repository.path).read_file(sha, "new.txt") == b"1\n"


def test_a_repository_without_a_commit_has_a_picture_too(tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "train.py").write_text("print(1)\n")
    git = open_repository(folder)
    sha = snapshot_worktree(folder)
    assert git.read_file(sha, "train.py") == b"print(1)\n"
    assert git.commit_info(sha).parents == ()
    assert snapshot_worktree(folder) == sha


def test_a_linked_working_copy_has_its_own_picture(repository: Repository, tmp_path: Path) -> None:
    repository.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    (tmp_path / "linked" / "here.txt").write_text("1\n")
    git = open_repository(repository.path)
    assert git.read_file(snapshot_worktree(tmp_path / "linked"), "here.txt") == b"1\n"
    assert snapshot_worktree(repository.path) == repository.head()


def test_a_bare_repository_has_none(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare.git")], check=True)
    with pytest.raises(UsageError, match="no working copy"):
        snapshot_worktree(tmp_path / "bare.git")
