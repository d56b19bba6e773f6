from __future__ import annotations

from pathlib import Path

import pytest

from fakes.repository import Repository
from headway.errors import NotFound, UsageError
from headway.pipelines.git_tree import TreeFiles, checked_sha, read_blob, read_tree, stream_blobs


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


def test_lists_modes_contents_and_odd_names(repository: Repository) -> None:
    repository.write({"a b/ü\n.txt": "x", "run.sh": "#!/bin/sh\n"})
    (repository.path / "run.sh").chmod(0o755)
    (repository.path / "link").symlink_to("run.sh")
    sha = repository.commit("main", {"train.py": "print(1)\n"})
    tree = read_tree(repository.path / ".git", sha)
    assert tree.commit == sha
    assert tree.tree == repository.git("rev-parse", f"{sha}^{{tree}}")
    assert {path: entry.mode for path, entry in tree.entries.items()} == {
        "README.md": "100644",
        "a b/ü\n.txt": "100644",
        "link": "120000",
        "run.sh": "100755",
        "train.py": "100644",
    }
    assert tree.entries["train.py"].size == 9
    assert read_blob(repository.path / ".git", tree.entries["train.py"].blob) == b"print(1)\n"


@pytest.mark.parametrize("sha", ["main", "HEAD", "abc", "--output=/tmp/x", "A" * 40, "a" * 41, ""])
def test_only_full_shas_are_taken(sha: str) -> None:
    with pytest.raises(UsageError, match="no full commit sha"):
        checked_sha(sha)


def test_an_unknown_commit_is_not_found(repository: Repository) -> None:
    with pytest.raises(NotFound):
        read_tree(repository.path / ".git", "1" * 40)


def test_a_tag_object_is_not_the_commit_that_it_points_to(repository: Repository) -> None:
    repository.git("tag", "-a", "-m", "one", "v1")
    tag = repository.git("rev-parse", "refs/tags/v1")
    with pytest.raises(UsageError, match="is no commit"):
        read_tree(repository.path / ".git", tag)


def test_a_replaced_object_is_not_followed(repository: Repository) -> None:
    good = repository.commit("main", {"train.py": "good\n"})
    evil = repository.commit("evil", {"train.py": "evil\n"})
    repository.git("replace", good, evil)
    tree = read_tree(repository.path / ".git", good)
    assert read_blob(repository.path / ".git", tree.entries["train.py"].blob) == b"good\n"


def test_a_tree_with_a_climbing_path_is_refused(repository: Repository) -> None:
    blob = repository.git("hash-object", "-w", "README.md")
    # git itself refuses to make such trees from an index, so the object is written by hand.
    raw = b"100644 ..\0" + bytes.fromhex(blob)
    (repository.path / "raw").write_bytes(raw)
    tree = repository.git("hash-object", "-t", "tree", "-w", "--literally", "raw")
    sha = repository.git("commit-tree", "-m", "evil", tree)
    with pytest.raises(UsageError, match="would leave the source folder"):
        read_tree(repository.path / ".git", sha)


def test_files_of_a_folder_are_a_mapping(repository: Repository) -> None:
    sha = repository.commit("main", {"p/uv.lock": "x = 1\n", "p/sub/b.txt": "b", "q/c.txt": "c"})
    tree = read_tree(repository.path / ".git", sha)
    files = TreeFiles(repository.path / ".git", tree, "p")
    assert sorted(files) == ["sub/b.txt", "uv.lock"]
    assert len(files) == 2
    assert files["uv.lock"] == b"x = 1\n"
    assert "c.txt" not in files


def test_streams_more_blobs_than_fit_into_a_pipe(repository: Repository) -> None:
    sha = repository.commit("main", {f"f/{number}": f"{number}\n" * 50 for number in range(1300)})
    tree = read_tree(repository.path / ".git", sha)
    wanted = [entry.blob for path, entry in tree.entries.items() if path.startswith("f/")]
    got = {blob: stream.read(size) for blob, size, stream in stream_blobs(repository.path / ".git", wanted)}
    assert got[tree.entries["f/1299"].blob] == b"1299\n" * 50
    assert len(got) == 1300
