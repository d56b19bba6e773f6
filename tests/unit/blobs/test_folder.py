import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.blobs import tree
from headway.blobs.folder import FolderStore
from headway.errors import Conflict, HeadwayError, NotFound, StorageFull


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "blobs")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_text("untouched")
    return outside


def test_a_link_to_a_file_is_not_there(store: FolderStore, canary: Path) -> None:
    (store.root / "link").symlink_to(canary / "canary")
    assert store.stat("link") is None
    assert list(store.list("")) == []
    with pytest.raises(NotFound):
        store.open("link")


def test_a_link_to_a_folder_leads_nowhere(store: FolderStore, canary: Path) -> None:
    (store.root / "d").symlink_to(canary)
    assert store.stat("d/canary") is None
    assert list(store.list("d")) == []
    with pytest.raises(NotFound):
        store.open("d/canary")
    with pytest.raises(Conflict):
        store.put("d/new", [b"x"])
    assert store.delete("d/canary") == 0
    assert list(canary.iterdir()) == [canary / "canary"]


def test_deleting_a_tree_removes_links_and_not_what_they_point_to(store: FolderStore, canary: Path) -> None:
    store.put("t/a", [b"abc"])
    (store.root / "t" / "link").symlink_to(canary)
    assert store.delete("t") == 3
    assert (canary / "canary").read_text() == "untouched"


def test_a_put_over_a_link_replaces_the_link(store: FolderStore, canary: Path) -> None:
    (store.root / "k").symlink_to(canary / "canary")
    store.put("k", [b"new"])
    assert (canary / "canary").read_text() == "untouched"
    assert not (store.root / "k").is_symlink()


def test_a_pipe_neither_blocks_nor_opens(store: FolderStore) -> None:
    os.mkfifo(store.root / "pipe")
    with pytest.raises(NotFound):
        store.open("pipe")
    assert store.stat("pipe") is None


def test_files_are_for_the_owner_only(store: FolderStore) -> None:
    store.put("a/b", [b"x"])
    assert stat.S_IMODE((store.root / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((store.root / "a" / "b").stat().st_mode) == 0o600


def test_a_full_disk_is_said_and_leaves_nothing_behind(store: FolderStore) -> None:
    store.put("k", [b"old"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file size limit fails a write like a full disk does (Python ignores SIGXFSZ).
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageFull) as caught:
            store.put("k", [b"x" * 60_000, b"x" * 60_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "'k'" in caught.value.message
    assert caught.value.hint
    assert list((store.root / "#incoming").iterdir()) == []
    with store.open("k") as stream:
        assert stream.read() == b"old"


def test_leftovers_of_a_crash_are_swept_when_old_and_kept_when_fresh(store: FolderStore) -> None:
    incoming = store.root / "#incoming"
    (incoming / "fresh").write_bytes(b"an upload of another process")
    (incoming / "old").write_bytes(b"x")
    (incoming / "tree").mkdir()
    (incoming / "tree" / "f").write_bytes(b"x")
    yesterday = time.time() - 2 * 24 * 3600
    os.utime(incoming / "old", (yesterday, yesterday))
    os.utime(incoming / "tree", (yesterday, yesterday))
    FolderStore(store.root)
    assert list(incoming.iterdir()) == [incoming / "fresh"]


def test_what_is_incoming_cannot_be_reached_by_key(store: FolderStore) -> None:
    (store.root / "#incoming" / "x").write_bytes(b"half")
    assert list(store.list("")) == []


def test_no_descriptor_is_left_open(store: FolderStore) -> None:
    open_now = Path("/proc/self/fd")
    before = len(list(open_now.iterdir())) if open_now.is_dir() else 0
    for index in range(20):
        store.put(f"a/{index}", [b"x"])
        store.open(f"a/{index}").close()
        list(store.list("a"))
        store.stat("no/such/key")
        store.delete(f"a/{index}")
        with pytest.raises(NotFound):
            store.open("no/such/key")
    after = len(list(open_now.iterdir())) if before else 0
    assert after <= before


_WRITER = """
import itertools, sys
from collections.abc import Iterator
from pathlib import Path
from headway.blobs import folder
from headway.blobs.folder import FolderStore
store = FolderStore(Path(sys.argv[1]))
for turn in itertools.count():
    letter = bytes([97 + turn % 26])
    store.put(f"deep/folder/{turn % 7}", [letter * 50_000] * 4)
    print(turn, flush=True)
"""


def test_a_killed_writer_leaves_whole_files_only(store: FolderStore) -> None:
    for turns in (1, 5, 12):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(store.root)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            acknowledged = [int(writer.stdout.readline()) for _ in range(turns)]
            writer.kill()
        assert len(acknowledged) == turns
        found = [each.key for each in store.list("deep/folder")]
        assert len(found) >= min(turns, 7)
        for key in found:
            with store.open(key) as stream:
                data = stream.read()
            assert data == data[:1] * 200_000


_PIECES = st.sampled_from(
    [
        "a",
        "..",
        ".",
        "",
        "/",
        "//",
        "\\",
        "%2e",
        "%252e",
        "%00",
        "\0",
        "C:",
        "link",
        "outside",
        "canary",
        "\uff0e",
        " ",
        "~",
        "-",
    ],
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.lists(_PIECES, min_size=1, max_size=8).map("".join) | st.lists(_PIECES, min_size=1, max_size=6).map("/".join))
def test_no_key_reaches_outside_whatever_it_is_made_of(store: FolderStore, canary: Path, key: str) -> None:
    link = store.root / "link"
    if not link.is_symlink():
        store.delete("link")
        link.symlink_to(canary)
    for act in (
        lambda: store.put(key, [b"evil"]),
        lambda: b"untouched" in store.open(key).read(),
        lambda: [each for each in store.list(key) if "canary" in each.key],
        lambda: store.delete(key),
    ):
        try:
            seen = act()
        except HeadwayError:
            continue
        assert seen is not True
        assert seen != ["link/canary"]
    assert [each.name for each in canary.iterdir()] == ["canary"]
    assert (canary / "canary").read_text() == "untouched"
    assert {each.name for each in store.root.parent.iterdir()} == {"blobs", "outside"}


def test_where_there_are_no_nameless_files_a_named_one_is_moved(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "_NAMELESS", os.O_WRONLY | os.O_CLOEXEC)  # as on macOS: opens the folder itself
    store.put("a/b", [b"one"])
    store.put("a/b", [b"two"])
    with store.open("a/b") as stream:
        assert stream.read() == b"two"

    def breaks() -> Iterator[bytes]:
        yield b"three"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.put("a/b", breaks())
    assert os.listdir(store.root / "#incoming") == []  # noqa: PTH208  # names are what is asked
    with store.open("a/b") as stream:
        assert stream.read() == b"two"
