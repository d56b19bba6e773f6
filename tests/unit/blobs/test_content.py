import os
from pathlib import Path

import pytest

from fakes.blobs import MemoryStore
from headway.blobs.content import content_key, materialise, store_tree
from headway.errors import HeadwayError, NotFound, UsageError


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "model" / "deep").mkdir(parents=True)
    (work / "model" / "weights").write_bytes(b"w" * 5000)
    (work / "model" / "deep" / "copy").write_bytes(b"w" * 5000)
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (work / "unasked").write_text("no")
    return work


def test_a_tree_is_stored_and_laid_out_again(store: MemoryStore, folder: Path, tmp_path: Path) -> None:
    files = store_tree(store, folder, ["run.sh", "model/"])
    assert [(each.path, each.size, each.executable) for each in files] == [
        ("model/deep/copy", 5000, False),
        ("model/weights", 5000, False),
        ("run.sh", 10, True),
    ]
    again = tmp_path / "again"
    materialise(store, files, again)
    assert (again / "model" / "deep" / "copy").read_bytes() == b"w" * 5000
    assert os.access(again / "run.sh", os.X_OK)
    assert store_tree(store, again, ["run.sh", "model"]) == files
    assert not (again / "unasked").exists()


def test_equal_bytes_are_kept_once(store: MemoryStore, folder: Path) -> None:
    store_tree(store, folder, ["model"])
    store_tree(store, folder, ["model"])
    assert len(store.blobs) == 1


def test_a_path_named_twice_counts_once(store: MemoryStore, folder: Path) -> None:
    assert len(store_tree(store, folder, ["model", "model/weights"])) == 2


def test_what_lies_in_the_way_is_replaced_and_neighbours_stay(store: MemoryStore, folder: Path, tmp_path: Path) -> None:
    files = store_tree(store, folder, ["model"])
    target = tmp_path / "target"
    (target / "model" / "weights").mkdir(parents=True)
    (target / "mine").write_text("mine")
    (target / "elsewhere").mkdir()
    (target / "model" / "deep").symlink_to(target / "elsewhere")
    materialise(store, files, target)
    assert (target / "model" / "weights").read_bytes() == b"w" * 5000
    assert (target / "mine").read_text() == "mine"
    assert list((target / "elsewhere").iterdir()) == []


def test_a_missing_output_is_named(store: MemoryStore, folder: Path) -> None:
    with pytest.raises(NotFound, match=r"missing\.csv"):
        store_tree(store, folder, ["missing.csv"])
    with pytest.raises(NotFound, match="no/such"):
        store_tree(store, folder, ["no/such"])


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "hard link", "pipe", "linked parent"])
def test_only_plain_files_with_one_name_are_taken(store: MemoryStore, folder: Path, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("canary")
    path = "model"
    if kind == "link to a file":
        (folder / "model" / "x").symlink_to(secret / "key")
    elif kind == "link to a folder":
        (folder / "model" / "x").symlink_to(secret)
    elif kind == "hard link":
        os.link(secret / "key", folder / "model" / "x")
    elif kind == "pipe":
        os.mkfifo(folder / "model" / "x")
    else:
        (folder / "out").symlink_to(secret)
        path = "out/key"
    with pytest.raises(UsageError):
        store_tree(store, folder, [path])
    assert b"canary" not in store.blobs.values()


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../x", "."])
def test_paths_that_leave_the_folder_are_refused(store: MemoryStore, folder: Path, path: str) -> None:
    with pytest.raises(UsageError):
        store_tree(store, folder, [path])


def test_changed_bytes_are_never_laid_out(store: MemoryStore, folder: Path, tmp_path: Path) -> None:
    files = store_tree(store, folder, ["model/weights"])
    store.blobs[content_key(files[0].digest)] = b"tampered"
    with pytest.raises(HeadwayError, match="have changed"):
        materialise(store, files, tmp_path / "again")
    assert list((tmp_path / "again" / "model").iterdir()) == []


def test_a_key_is_made_of_a_digest_only() -> None:
    with pytest.raises(UsageError):
        content_key("../" + "a" * 61)
