from __future__ import annotations

from pathlib import Path

import pytest

from headway.data.digest import Tracked, pin_data, place_of
from headway.data.hash_cache import HashCache
from headway.data.model import DataPin, Place
from headway.errors import Refused, UsageError
from headway.projects.model import DataSpec

TRACKED = {
    "data/train.csv": Tracked(blob="1", size=10),
    "data/sub/x.csv": Tracked(blob="2", size=20),
    "database.csv": Tracked(blob="3", size=30),
}


def pin(uri: str, tracked: dict[str, Tracked] | None = None, **more: set[str]) -> DataPin:
    return pin_data(DataSpec(name="train", uri=uri), tracked or TRACKED, cache=HashCache(), **more)


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("data/x.csv", Place.TREE),
        ("./x", Place.TREE),
        ("/srv/x", Place.LOCAL),
        ("~/x", Place.LOCAL),
        ("file:///srv/x", Place.LOCAL),
        ("s3://b/x", Place.REMOTE),
        ("https://h/x", Place.REMOTE),
    ],
)
def test_the_address_tells_where_it_lies(uri: str, place: Place) -> None:
    assert place_of(uri) is place


def test_a_tracked_file_or_folder_is_pinned_by_what_git_has() -> None:
    file, folder = pin("./data/train.csv"), pin("data/")
    assert (file.uri, file.size, file.place) == ("data/train.csv", 10, Place.TREE)
    assert (folder.uri, folder.size) == ("data", 30)
    assert file.digest != folder.digest
    assert file.reference == f"data/train.csv@{file.digest}"
    changed = {**TRACKED, "data/sub/x.csv": Tracked(blob="9", size=20)}
    assert pin("data", changed).digest != folder.digest
    assert pin("data", {**TRACKED, "database.csv": Tracked(blob="9", size=1)}).digest == folder.digest
    assert pin(".").size == 60


def test_a_renamed_folder_with_equal_files_is_equal_data() -> None:
    moved = {path.replace("data/", "input/"): entry for path, entry in TRACKED.items()}
    assert pin("input", moved).digest == pin("data").digest


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("missing.csv", "not in the commit"),
        ("../x.csv", "outside the project"),
        ("ftp://h/x", "'ftp' are not known"),
        ("https://user:pw@h/x", "carries a user or password"),
        ("/nowhere/x.csv", "cannot be read"),
    ],
)
def test_what_is_not_there_is_said_with_its_name(uri: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        pin(uri)
    assert caught.value.message.startswith("data.train")
    assert said in caught.value.message
    assert "pw" not in caught.value.message
    assert caught.value.hint


def test_a_remote_address_is_pinned_as_given_and_said_not_to_be_hashed() -> None:
    found = pin("s3://acme/churn/train.parquet")
    assert not found.is_hashed
    assert found.reference == "s3://acme/churn/train.parquet@not hashed"


def test_a_local_file_or_folder_is_pinned_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "d/sub").mkdir(parents=True)
    (tmp_path / "d/a.csv").write_text("one")
    (tmp_path / "d/sub/b.csv").write_text("two")
    file, folder = pin(str(tmp_path / "d/a.csv")), pin(f"file://{tmp_path}/d")
    assert (file.size, folder.size) == (3, 6)
    assert folder.uri == str(tmp_path / "d")
    (tmp_path / "d/sub/b.csv").write_text("TWO")
    assert pin(str(tmp_path / "d")).digest != folder.digest
    assert pin(str(tmp_path / "d/a.csv")).digest == file.digest
    (tmp_path / "d/link").symlink_to("/etc/passwd")
    linked = pin(str(tmp_path / "d"))
    assert linked.size == 6


def test_code_from_a_fork_reads_only_paths_that_the_base_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("one")
    with pytest.raises(Refused, match="a path of the server's machine"):
        pin(str(tmp_path / "a.csv"), allowed=set())
    assert pin(str(tmp_path / "a.csv"), allowed={str(tmp_path / "a.csv")}).is_hashed
    assert pin("data", allowed=set()).is_hashed
