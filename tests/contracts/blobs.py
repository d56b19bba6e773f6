"""What every BlobStore must do; an implementation subclasses this and gives a `store` fixture."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest

from headway.blobs.base import BlobStat, BlobStore
from headway.errors import Conflict, NotFound, UsageError

BAD_KEYS = [
    "",
    "/etc/passwd",
    "//etc/passwd",
    "..",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "C:/Windows",
    "file:etc",
    "a\0b",
    "a\nb",
    "%2e%2e/x",
    "a/%2e%2e%2fb",
    "a?/a",
    "a#/a",
    "\uff0e\uff0e/x",
    "a\u202eb",
    "a\u200bb",
    "x" * 256,
    "/".join(["x" * 100] * 11),
    "/".join("x" * 40),
]


class BlobContract:
    """The suite; `store` is a fresh, empty BlobStore."""

    def read(self, store: BlobStore, key: str, offset: int = 0) -> bytes:
        with store.open(key, offset) as stream:
            return stream.read()

    def test_what_was_put_comes_back_with_its_digest(self, store: BlobStore) -> None:
        digest = store.put("a/b/c.bin", [b"one", b"", b"two"])
        assert digest == hashlib.sha256(b"onetwo").hexdigest()
        assert self.read(store, "a/b/c.bin") == b"onetwo"

    def test_an_empty_blob_is_a_blob(self, store: BlobStore) -> None:
        store.put("empty", [])
        assert store.stat("empty") == BlobStat(key="empty", size=0)
        assert self.read(store, "empty") == b""

    def test_a_put_replaces_and_may_be_repeated(self, store: BlobStore) -> None:
        store.put("k", [b"old and longer"])
        assert store.put("k", [b"new"]) == store.put("k", [b"new"])
        assert self.read(store, "k") == b"new"

    def test_reading_starts_at_the_offset(self, store: BlobStore) -> None:
        store.put("k", [b"0123456789"])
        assert self.read(store, "k", 7) == b"789"
        assert self.read(store, "k", 10) == b""

    def test_an_absent_key_is_not_found_when_opened_and_none_when_looked_at(self, store: BlobStore) -> None:
        with pytest.raises(NotFound):
            store.open("a/b")
        assert store.stat("a/b") is None

    def test_a_folder_is_no_file(self, store: BlobStore) -> None:
        store.put("a/b", [b"x"])
        assert store.stat("a") == BlobStat(key="a", size=0, is_dir=True)
        with pytest.raises(NotFound):
            store.open("a")
        with pytest.raises(NotFound):
            store.open("a/b/c")
        assert store.stat("a/b/c") is None

    def test_a_list_shows_direct_children_sorted(self, store: BlobStore) -> None:
        for key in ("m/z.txt", "m/a/1", "m/a/2", "m/B", "other"):
            store.put(key, [b"xy"])
        assert list(store.list("m")) == [
            BlobStat(key="m/B", size=2),
            BlobStat(key="m/a", size=0, is_dir=True),
            BlobStat(key="m/z.txt", size=2),
        ]
        assert [each.key for each in store.list("")] == ["m", "other"]

    def test_listing_what_is_absent_or_a_file_gives_nothing(self, store: BlobStore) -> None:
        store.put("file", [b"x"])
        assert list(store.list("nowhere/at/all")) == []
        assert list(store.list("file")) == []

    def test_a_deleted_key_is_gone_and_its_bytes_are_told(self, store: BlobStore) -> None:
        store.put("a/b", [b"12345"])
        assert store.delete("a/b") == 5
        assert store.stat("a/b") is None
        assert store.stat("a") is None
        assert store.delete("a/b") == 0

    def test_a_folder_is_deleted_with_all_below_and_nothing_beside(self, store: BlobStore) -> None:
        for key in ("a/b/1", "a/b/c/2", "a/bc", "a2"):
            store.put(key, [b"xyz"])
        assert store.delete("a/b") == 6
        assert self.read(store, "a/bc") == b"xyz"
        assert self.read(store, "a2") == b"xyz"

    def test_a_failing_upload_leaves_the_old_bytes(self, store: BlobStore) -> None:
        store.put("k", [b"old"])

        def broken() -> Iterator[bytes]:
            yield b"half of the n"
            raise RuntimeError("the client went away")

        with pytest.raises(RuntimeError):
            store.put("k", broken())
        assert self.read(store, "k") == b"old"
        assert [each.key for each in store.list("")] == ["k"]

    def test_a_file_in_the_way_is_a_conflict(self, store: BlobStore) -> None:
        store.put("a", [b"file"])
        with pytest.raises(Conflict):
            store.put("a/b", [b"x"])
        store.put("d/e", [b"x"])
        with pytest.raises(Conflict):
            store.put("d", [b"x"])
        assert self.read(store, "a") == b"file"

    def test_names_in_other_scripts_and_with_spaces_are_kept(self, store: BlobStore) -> None:
        for key in ("plots/Größe über Zeit.png", "モデル/重み.bin", "a b/50%.txt", "epoch=3-val_0.2.ckpt", ".hidden"):
            store.put(key, [key.encode()])
            assert self.read(store, key) == key.encode()

    @pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
    @pytest.mark.parametrize("verb", ["put", "open", "stat", "list", "delete"])
    def test_a_key_outside_the_grammar_is_refused_by_every_method(self, store: BlobStore, verb: str, key: str) -> None:
        if verb == "list" and key == "":
            return
        with pytest.raises(UsageError):
            list(store.list(key)) if verb == "list" else getattr(store, verb)(key, *([[b"x"]] if verb == "put" else []))

    def test_puts_and_deletes_at_the_same_time_never_mix_bytes(self, store: BlobStore) -> None:
        wrong = []

        def write(letter: bytes) -> None:
            for _ in range(20):
                store.put("race/k", [letter * 1000, letter * 1000])
                if letter == b"a":
                    store.delete("race/k")

        def read() -> None:
            for _ in range(60):
                try:
                    data = self.read(store, "race/k")
                except NotFound:
                    continue
                if data not in {b"a" * 2000, b"b" * 2000}:
                    wrong.append(data)

        threads = [threading.Thread(target=write, args=(b"a",)), threading.Thread(target=write, args=(b"b",))]
        threads.append(threading.Thread(target=read))
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert wrong == []
        store.put("race/k", [b"last"])
        assert self.read(store, "race/k") == b"last"
