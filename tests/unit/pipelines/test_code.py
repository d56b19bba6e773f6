from __future__ import annotations

import pytest

from headway.pipelines.code import code_digest, code_files, matches
from headway.pipelines.model import GitTree, TreeEntry


def tree(*paths: str, **changed: str) -> GitTree:
    entries = {path: TreeEntry(mode="100644", blob=changed.get(path, path), size=1) for path in paths}
    return GitTree(commit="c", tree="t", entries=entries)


def test_everything_counts_but_documentation_and_the_forge() -> None:
    names = code_files(
        tree(
            "train.py",
            "pkg/a.py",
            "pkg/README.txt",
            "README.md",
            "CHANGELOG.md",
            "LICENSE",
            "docs/a/b.py",
            ".github/w/ci.yml",
            ".gitignore",
            "data/notes.md",
            "conf.yaml",
            "sub/.gitattributes",
        ),
        root="",
    )
    assert set(names) == {"train.py", "pkg/a.py", "data/notes.md", "conf.yaml"}


def test_a_project_in_a_folder_sees_its_own_files_relative_to_itself() -> None:
    names = code_files(tree("top.py", "p/train.py", "p/README.md", "px/other.py"), root="p")
    assert set(names) == {"train.py"}


def test_globs_choose_and_may_reach_beside_the_project_and_take_back() -> None:
    given = tree("p/train.py", "p/a/b.py", "p/a/c.txt", "shared/x.py", "p/README.md")
    assert set(code_files(given, root="p", code=("*.py", "README.md"))) == {"train.py", "README.md"}
    assert set(code_files(given, root="p", code=("**/*.py", "../shared/**"))) == {
        "train.py",
        "a/b.py",
        "../shared/x.py",
    }
    assert set(code_files(given, root="p", code=("a", "!a/*.txt"))) == {"a/b.py"}


def test_what_is_no_code_is_left_out_whole_folders_too() -> None:
    given = tree("train.py", "data/x.csv", "data/y/z.csv", "uv.lock", "database.py")
    assert set(code_files(given, root="", not_code=("data", "uv.lock"))) == {"train.py", "database.py"}


@pytest.mark.parametrize(
    ("path", "pattern", "is_match"),
    [
        ("a.py", "*.py", True),
        ("a/b.py", "*.py", False),
        ("a/b.py", "**/*.py", True),
        ("b.py", "**/*.py", True),
        ("src/a/b", "src", True),
        ("src/a/b", "src/", True),
        ("src/a/b", "src/*", False),
        ("src/a", "src/*", True),
        ("src/a/b", "src/**", True),
        ("srcs/a", "src", False),
        ("a+b.py", "a+b.py", True),
        ("aab.py", "a+b.py", False),
        ("a1.py", "a?.py", True),
    ],
)
def test_globs(path: str, pattern: str, is_match: bool) -> None:  # noqa: FBT001
    assert matches(path, pattern) is is_match


def test_the_digest_knows_path_mode_and_content_and_no_order() -> None:
    one = TreeEntry(mode="100644", blob="x", size=1)
    other = TreeEntry(mode="100755", blob="x", size=1)
    assert code_digest({"a": one, "b": other}) == code_digest({"b": other, "a": one})
    assert len({code_digest({"a": one}), code_digest({"a": other}), code_digest({"b": one})}) == 3
