from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes.repository import Repository
from headway.errors import NotFound, UsageError
from headway.pipelines.source import is_safe_link, write_source


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


def test_writes_the_commit_and_not_the_working_copy(repository: Repository, tmp_path: Path) -> None:
    repository.write({"deep/run.sh": "#!/bin/sh\n"})
    (repository.path / "deep/run.sh").chmod(0o755)
    sha = repository.commit("main", {"deep/er/train.py": "one\n", "copy.py": "one\n", "empty": ""})
    repository.write({"deep/er/train.py": "changed, not committed\n"})
    written = write_source(repository.path / ".git", sha, tmp_path / "work")
    assert written.files == 5
    assert (tmp_path / "work/deep/er/train.py").read_text() == "one\n"
    assert (tmp_path / "work/copy.py").read_text() == "one\n"
    assert (tmp_path / "work/empty").read_bytes() == b""
    assert os.access(tmp_path / "work/deep/run.sh", os.X_OK)
    assert not os.access(tmp_path / "work/copy.py", os.X_OK)
    assert not (tmp_path / "work/.git").exists()


def test_neither_hooks_nor_attributes_nor_filters_have_an_effect(repository: Repository, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hook = repository.path / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
    hook.chmod(0o755)
    sha = repository.commit(
        "main",
        {
            ".gitattributes": "data.txt filter=evil export-ignore\nv.txt export-subst\n",
            "data.txt": "d",
            "v.txt": "$Format:%H$",
        },
    )
    repository.git("config", "filter.evil.smudge", f"touch {canary}")
    repository.git("config", "core.fsmonitor", f"touch {canary}")
    write_source(repository.path / ".git", sha, tmp_path / "work")
    assert (tmp_path / "work/data.txt").read_text() == "d"
    assert (tmp_path / "work/v.txt").read_text() == "$Format:%H$"
    assert not canary.exists()


def test_links_inside_stay_and_links_out_are_left_out(repository: Repository, tmp_path: Path) -> None:
    repository.write({"src/a.py": "a\n", "deep/er/x": "x"})
    (repository.path / "good").symlink_to("src/a.py")
    (repository.path / "deep/er/up").symlink_to("../../src")
    (repository.path / "absolute").symlink_to("/etc/passwd")
    (repository.path / "climbing").symlink_to("../../etc")
    (repository.path / "by-detour").symlink_to("deep/er/up/../..")
    sha = repository.commit("main", {})
    written = write_source(repository.path / ".git", sha, tmp_path / "work")
    assert (tmp_path / "work/good").read_text() == "a\n"
    assert (tmp_path / "work/deep/er/up/a.py").read_text() == "a\n"
    assert sorted(clause.split(" ")[0] for clause in written.left_out) == ["absolute", "by-detour", "climbing"]
    for name in ("absolute", "climbing", "by-detour"):
        assert not os.path.lexists(tmp_path / "work" / name)


@pytest.mark.parametrize(
    ("path", "target", "is_safe"),
    [
        ("a", "b/c", True),
        ("a/b", "../c", True),
        ("a/b", "../../c", False),
        ("a", "..", False),
        ("a", "./b", True),
        ("a", "b/../c", False),
        ("a", "/b", False),
        ("a", "", False),
        ("a", "b\0c", False),
    ],
)
def test_what_a_safe_link_is(path: str, target: str, is_safe: bool) -> None:  # noqa: FBT001
    assert is_safe_link(path, target) is is_safe


def test_a_submodule_is_left_out_and_said(repository: Repository, tmp_path: Path) -> None:
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{repository.head()},vendored")
    repository.git("commit", "-q", "-m", "submodule")
    written = write_source(repository.path / ".git", repository.head(), tmp_path / "work")
    assert written.left_out == ("vendored is left out: it is a submodule",)


def test_a_folder_with_something_in_it_is_refused(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "left").write_text("over")
    with pytest.raises(UsageError, match="not empty"):
        write_source(repository.path / ".git", repository.head(), tmp_path)


def test_a_branch_name_is_no_commit(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_source(repository.path / ".git", "main", tmp_path / "work")
    with pytest.raises(NotFound):
        write_source(repository.path / ".git", "0" * 40, tmp_path / "work")
