from __future__ import annotations

import os
from pathlib import Path

import pytest

from headway.data import hash_cache
from headway.data.hash_cache import HashCache
from headway.ids import digest_bytes

LONG_AGO = 1_700_000_000


def settled(path: Path, content: bytes, *, at: int = LONG_AGO) -> Path:
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read."""
    read: list[Path] = []
    hashing = hash_cache.digest_file

    def counted(path: Path) -> str:
        read.append(path)
        return hashing(path)

    monkeypatch.setattr(hash_cache, "digest_file", counted)
    return read


def test_an_unchanged_file_is_read_once_also_by_the_next_process(tmp_path: Path, reads: list[Path]) -> None:
    file = settled(tmp_path / "x", b"one")
    cache = HashCache(tmp_path / "cache")
    assert cache.digest(file) == cache.digest(file) == digest_bytes(b"one")
    cache.save()
    assert HashCache(tmp_path / "cache").digest(file) == digest_bytes(b"one")
    assert reads == [file]


def test_equal_size_and_time_do_not_hide_another_content(tmp_path: Path) -> None:
    file = settled(tmp_path / "x", b"one")
    cache = HashCache()
    cache.digest(file)
    settled(file, b"two")
    assert cache.digest(file) == digest_bytes(b"two")


def test_a_replaced_file_is_another_file(tmp_path: Path) -> None:
    file = settled(tmp_path / "x", b"one")
    cache = HashCache()
    cache.digest(file)
    settled(tmp_path / "y", b"two").replace(file)
    assert cache.digest(file) == digest_bytes(b"two")


def test_a_file_written_just_now_is_not_trusted_yet(tmp_path: Path, reads: list[Path]) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"one")
    cache = HashCache()
    cache.digest(file)
    cache.digest(file)
    assert len(reads) == 2


def test_a_broken_cache_costs_time_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"{broken")
    file = settled(tmp_path / "x", b"one")
    cache = HashCache(tmp_path / "cache")
    assert cache.digest(file) == digest_bytes(b"one")
    cache.save()
    assert str(file) in (tmp_path / "cache").read_text()
    HashCache(tmp_path / "no/such/folder").save()


def test_a_missing_file_is_the_callers_matter(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        HashCache().digest(tmp_path / "x")
