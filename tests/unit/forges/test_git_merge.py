from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from fakes.repository import Repository
from headway.errors import Conflict, Refused
from headway.forges.git import Git, open_repository
from headway.forges.git_merge import MergeMethod, merge_commits, move_branch

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def git(repository: Repository) -> Git:
    return open_repository(repository.path)


def merge(git: Git, method: MergeMethod, head: str, base: str = "main") -> str:
    heads = git.branch_heads()
    return merge_commits(git, heads[base], heads[head], method=method, message="Take it\n", actor="ada", at=AT)


def files(git: Git, sha: str) -> set[str]:
    return {file.path for file in git.list_files(sha)}


@pytest.mark.parametrize("method", MergeMethod)
def test_every_method_has_both_sides_files_and_its_own_history(
    repository: Repository,
    git: Git,
    method: MergeMethod,
) -> None:
    repository.commit("feature", {"one.txt": "1\n"}, "first")
    head = repository.commit("feature", {"two.txt": "2\n"}, "second")
    base = repository.commit("main", {"three.txt": "3\n"})
    merged = merge(git, method, "feature")
    assert files(git, merged) == {"README.md", "one.txt", "two.txt", "three.txt"}
    parents = git.commit_info(merged).parents
    if method is MergeMethod.MERGE:
        assert parents == (base, head)
    elif method is MergeMethod.SQUASH:
        assert parents == (base,)
    else:
        subjects = git.run("log", "--format=%s", f"{base}..{merged}").decode().splitlines()
        assert subjects == ["second", "first"]
        assert git.commit_info(merged).author == "Ada"
    assert git.branch_heads() == {"main": base, "feature": head}


def test_a_rebase_onto_an_unmoved_base_is_the_change_itself(repository: Repository, git: Git) -> None:
    head = repository.commit("feature", {"one.txt": "1\n"})
    assert merge(git, MergeMethod.REBASE, "feature") == head


def test_a_rebase_leaves_out_what_the_base_has_already(repository: Repository, git: Git) -> None:
    repository.commit("feature", {"one.txt": "1\n"})
    repository.commit("feature", {"two.txt": "2\n"})
    base = repository.commit("main", {"one.txt": "1\n"})
    merged = merge(git, MergeMethod.REBASE, "feature")
    assert git.commit_info(merged).parents == (base,)


def test_a_rebase_of_merges_is_refused_with_the_way_out(repository: Repository, git: Git) -> None:
    repository.commit("feature", {"one.txt": "1\n"})
    repository.commit("main", {"two.txt": "2\n"})
    repository.git("checkout", "-q", "feature")
    repository.git("merge", "-q", "--no-edit", "main")
    repository.git("checkout", "-q", "main")
    repository.commit("main", {"three.txt": "3\n"})
    with pytest.raises(Refused, match="merges two histories") as caught:
        merge(git, MergeMethod.REBASE, "feature")
    assert "squash" in caught.value.hint


@pytest.mark.parametrize("method", MergeMethod)
def test_a_conflict_names_the_files_and_moves_nothing(repository: Repository, git: Git, method: MergeMethod) -> None:
    repository.commit("feature", {"train.py": "ours\n", "fine.txt": "1\n"})
    repository.commit("main", {"train.py": "theirs\n"})
    before = git.branch_heads()
    with pytest.raises(Conflict, match=r"conflicts with its base in train\.py"):
        merge(git, method, "feature")
    assert git.branch_heads() == before
    assert repository.git("status", "--porcelain") == ""


def test_what_is_merged_already_needs_no_commit(repository: Repository, git: Git) -> None:
    repository.commit("feature", {"one.txt": "1\n"})
    squashed = merge(git, MergeMethod.SQUASH, "feature")
    move_branch(git, "main", before=repository.head(), after=squashed, reason="test")
    assert merge(git, MergeMethod.SQUASH, "feature") == squashed


def test_a_clean_working_copy_on_the_branch_follows(repository: Repository, git: Git) -> None:
    repository.commit("feature", {"README.md": "better\n", "one.txt": "1\n"})
    merged = merge(git, MergeMethod.MERGE, "feature")
    (followed,) = move_branch(git, "main", before=repository.head(), after=merged, reason="test")
    assert followed.path == repository.path
    assert repository.git("status", "--porcelain") == ""
    assert (repository.path / "one.txt").read_text() == "1\n"
    assert (repository.path / "README.md").read_text() == "better\n"


def test_edits_of_other_files_stay_as_they_are(repository: Repository, git: Git) -> None:
    repository.commit("feature", {"one.txt": "1\n"})
    repository.write({"README.md": "my edit\n", "notes.txt": "mine\n"})
    merged = merge(git, MergeMethod.MERGE, "feature")
    move_branch(git, "main", before=repository.head(), after=merged, reason="test")
    assert repository.git("status", "--porcelain").split("\n") == ["M README.md", "?? notes.txt"]
    assert (repository.path / "README.md").read_text() == "my edit\n"
    assert (repository.path / "one.txt").read_text() == "1\n"


@pytest.mark.parametrize("mine", [{"README.md": "my edit\n"}, {"one.txt": "untracked and mine\n"}])
def test_edits_that_would_be_overwritten_stop_the_merge(
    repository: Repository,
    git: Git,
    mine: dict[str, str],
) -> None:
    repository.commit("feature", {"README.md": "better\n", "one.txt": "1\n"})
    repository.write(mine)
    before = repository.head()
    merged = merge(git, MergeMethod.MERGE, "feature")
    with pytest.raises(Refused, match="edits that the merge would overwrite") as caught:
        move_branch(git, "main", before=before, after=merged, reason="test")
    assert "stash" in caught.value.hint
    assert repository.head() == before
    for name, text in mine.items():
        assert (repository.path / name).read_text() == text


def test_another_branch_that_is_checked_out_is_left_alone(repository: Repository, git: Git) -> None:
    repository.commit("feature", {"one.txt": "1\n"})
    repository.git("checkout", "-q", "-b", "elsewhere")
    merged = merge(git, MergeMethod.MERGE, "feature")
    assert move_branch(git, "main", before=repository.head(), after=merged, reason="test") == ()
    assert repository.head() == merged
    assert not (repository.path / "one.txt").exists()


def test_a_branch_that_moved_meanwhile_is_a_conflict(repository: Repository, git: Git) -> None:
    repository.commit("feature", {"one.txt": "1\n"})
    before = repository.head()
    merged = merge(git, MergeMethod.MERGE, "feature")
    repository.commit("main", {"two.txt": "2\n"})
    repository.git("checkout", "-q", "--detach")
    with pytest.raises(Conflict, match="main has moved"):
        move_branch(git, "main", before=before, after=merged, reason="test")
