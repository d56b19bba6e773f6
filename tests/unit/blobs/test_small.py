import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.power import Disk
from headway.blobs import journal, small
from headway.blobs.folder import FolderStore
from headway.errors import Conflict, HeadwayError, StorageFull

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads files by their descriptors in /proc")

SMALL_JOURNAL = 64 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    root.mkdir()
    found = Disk(root, monkeypatch)
    yield found
    found.close()


def read(store: FolderStore, key: str) -> bytes | None:
    try:
        with store.open(key) as stream:
            return stream.read()
    except HeadwayError:
        return None


class Story:
    """Uploads and deletes by two processes, and after every sync the question what a power cut would leave."""

    def __init__(self, disk: Disk, seed: int, tmp: Path) -> None:
        self.disk = disk
        self.luck = random.Random(seed)
        self.tmp = tmp
        self.stores = [FolderStore(disk.root, is_journaled=True), FolderStore(disk.root)]
        self.known: dict[str, set[bytes | None]] = {}  # what a key may have: one thing, or two while it changes
        self.cuts = 0
        disk.before_sync = self.check

    def step(self) -> None:
        key = self.luck.choice(["a/one", "a/two", "a/deep/er/three", "b", "b/under", "c/four"])
        store = self.luck.choice([self.stores[0], *self.stores])
        if self.luck.random() < 0.25:
            gone = [each for each in self.known if each == key or each.startswith(f"{key}/")]
            for each in gone:
                self.known[each].add(None)
            store.delete(key)
            for each in gone:
                self.known[each] = {None}
            return
        size = self.luck.choice([0, 10, 4096, 9000, small.LARGEST + 1])
        body = self.luck.randbytes(size)
        before = self.known.get(key, {None})
        self.known[key] = {*before, body}
        try:
            store.put(key, [body])
        except Conflict:
            self.known[key] = before
        else:
            self.known[key] = {body}

    def check(self) -> None:
        for luck in (None, random.Random(self.luck.random())):
            self.cuts += 1
            left = self.tmp / f"left-{self.cuts}"
            self.disk.cut(left, luck)
            after = FolderStore(left, is_journaled=True)
            for key, allowed in self.known.items():
                assert read(after, key) in allowed, f"{key} after cut {self.cuts}, {luck and 'with luck'}"
            assert next(journal.Journal(left).records(), None) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_at_any_moment_loses_nothing_acknowledged_and_brings_nothing_back(
    disk: Disk, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SIZE", SMALL_JOURNAL)  # full after some files
    story = Story(disk, seed, tmp_path)
    for _ in range(25):
        story.step()
        story.check()
    assert story.cuts > 100


def test_a_small_file_waits_for_the_disk_once(disk: Disk) -> None:
    store = FolderStore(disk.root, is_journaled=True)
    store.put("a/b/c", [b"the folders above are new"])  # begins the journal
    before = disk.syncs
    for turn in range(10):
        store.put(f"a/b/{turn}", [b"x" * 4096])
    assert disk.syncs - before == 10


def test_what_waits_together_is_written_together(disk: Disk) -> None:
    store = FolderStore(disk.root, is_journaled=True)
    store.put("first", [b"x"])
    before = disk.syncs
    held = threading.Event()
    disk.before_sync = lambda: held.wait(30)  # the first of them is held up at the disk
    threads = [threading.Thread(target=store.put, args=(f"k/{turn}", [b"%d" % turn])) for turn in range(16)]
    for each in threads:
        each.start()
    while len(store._small._waiting) < 15:  # type: ignore[union-attr]
        threading.Event().wait(0.01)
    held.set()
    for each in threads:
        each.join()
    assert [read(store, f"k/{turn}") for turn in range(16)] == [b"%d" % turn for turn in range(16)]
    assert disk.syncs - before <= 3


def test_a_full_journal_is_settled_and_keeps_nothing_of_what_it_held(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SIZE", SMALL_JOURNAL)
    store = FolderStore(disk.root, is_journaled=True)
    for turn in range(40):
        store.put(f"k/{turn}", [b"secret %d" % turn])
    assert all(read(store, f"k/{turn}") == b"secret %d" % turn for turn in range(40))
    store.delete("k")
    assert b"secret" not in (disk.root / journal.NAME).read_bytes()


def test_a_full_disk_is_said_and_the_key_keeps_what_it_had(root: Path) -> None:
    store = FolderStore(root, is_journaled=True)
    store.put("k", [b"old"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StorageFull):
            store.put("k", [b"x" * 20_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read(store, "k") == b"old"
    assert read(FolderStore(root, is_journaled=True), "k") == b"old"


def test_where_there_is_no_room_for_the_journal_the_disk_is_said_to_be_full(root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StorageFull):
            FolderStore(root, is_journaled=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert FolderStore(root, is_journaled=True).put("k", [b"x"])


def test_a_file_that_the_disk_refused_while_settling_is_written_again(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(disk.root, is_journaled=True)
    store.put("a/k", [b"x" * 100])
    real = os.fsync

    def broken(descriptor: int) -> None:
        raise OSError(5, "the disk lost it")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="the disk lost it"):
        store.delete("a")
    monkeypatch.setattr(os, "fsync", real)
    refused = (disk.root / "a" / "k").stat().st_ino  # another sync of it would say that all is well
    store.put("b" * 10, [b"y" * (small.LARGEST + 1)])  # settles first
    assert (disk.root / "a" / "k").stat().st_ino != refused
    disk.cut(tmp_path / "left")
    assert read(FolderStore(tmp_path / "left"), "a/k") == b"x" * 100


def test_what_could_not_take_its_place_does_not_come_after_a_crash(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(disk.root, is_journaled=True)
    store.put("k", [b"old"])

    def broken(_upload: object, _tree: object) -> None:
        raise OSError(28, "no room for the name")

    monkeypatch.setattr(small._Upload, "place", broken)
    with pytest.raises(StorageFull):
        store.put("k", [b"refused"])
    monkeypatch.undo()
    disk.cut(tmp_path / "left")
    assert read(FolderStore(tmp_path / "left"), "k") == b"old"


_WRITER = """
import itertools, sys
from pathlib import Path
from headway.blobs import journal
from headway.blobs.folder import FolderStore
journal.SIZE = 256 * 1024
store = FolderStore(Path(sys.argv[1]), is_journaled=True)
for turn in itertools.count(int(sys.argv[2])):
    store.put(f"deep/folder/{turn}", [b"%d." % turn * 1000])
    print(turn, flush=True)
"""


def test_a_killed_writer_leaves_whole_files_and_all_that_it_acknowledged(root: Path) -> None:
    acknowledged: list[int] = []
    for turns in (1, 7, 60):
        command = [sys.executable, "-c", _WRITER, str(root), str(len(acknowledged) + 1000 * turns)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            acknowledged += [int(writer.stdout.readline()) for _ in range(turns)]
            writer.kill()
    store = FolderStore(root)
    assert {f"deep/folder/{turn}" for turn in acknowledged} <= {each.key for each in store.list("deep/folder")}
    for each in store.list("deep/folder"):
        assert (
            read(store, each.key)
            == each.key.rpartition("/")[2].encode() + b"." + (each.key.rpartition("/")[2].encode() + b".") * 999
        )


def test_a_record_that_names_a_place_outside_is_left_out(root: Path) -> None:
    FolderStore(root, is_journaled=True)
    forged = journal.Journal(root)
    forged.begin_anew()
    forged.append([journal.Record("../outside", b"x"), journal.Record("inside", b"y")])
    store = FolderStore(root)
    assert read(store, "inside") == b"y"
    assert not (root.parent / "outside").exists()
