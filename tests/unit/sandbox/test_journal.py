"""The journal gives back what it took, in order, and never half a record."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import journal
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LOOSE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_records_come_in_order_and_the_file_is_emptied_at_the_end(tmp_path: Path) -> None:
    kept = journal.Journal(tmp_path / "j")
    assert [kept.append(b"record %d" % n) for n in range(5)] == [1, 2, 3, 4, 5]
    first = kept.wait_for_records(2, 0)
    assert first == [b"record 0", b"record 1"]
    kept.delivered(first)
    assert kept.pending == 3
    rest = kept.wait_for_records(100, 0)
    assert rest == [b"record 2", b"record 3", b"record 4"]
    kept.delivered(rest)
    assert kept.pending == 0
    assert (tmp_path / "j").stat().st_size == 0
    kept.append(b"again")
    assert kept.wait_for_records(9, 0) == [b"again"]


def test_an_emptied_journal_says_so_durably_before_it_takes_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position from before a power cut must not lead past records that came after it."""
    kept = journal.Journal(tmp_path / "j")
    kept.append(b"x")
    synced: list[tuple[str, bytes]] = []

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append((name, os.pread(descriptor, 8, 0)))

    monkeypatch.setattr(journal.os, "fsync", fsync)
    kept.delivered([b"x"])
    assert synced == [("j.at", bytes(8))]


def test_nothing_to_deliver_is_an_empty_list(tmp_path: Path) -> None:
    assert journal.Journal(tmp_path / "j").wait_for_records(10, 0.01) == []


def test_waiting_ends_when_the_record_is_delivered_and_not_before(tmp_path: Path) -> None:
    kept = journal.Journal(tmp_path / "j")
    number = kept.append(b"x")
    assert not kept.wait_until_delivered(number, time.monotonic() + 0.01)
    threading.Timer(0.05, kept.delivered, ([b"x"],)).start()
    assert kept.wait_until_delivered(number, time.monotonic() + 60)


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = journal.Journal(tmp_path / "j")
    kept.append(b"good")

    def write_half(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "write_all", write_half)
        with pytest.raises(OSError, match="No space"):
            kept.append(b"does not fit")
    kept.append(b"fits again")
    assert journal.records(tmp_path / "j") == [b"good", b"fits again"]
    assert kept.wait_for_records(9, 0) == [b"good", b"fits again"]


def test_who_opens_it_again_goes_on_where_the_last_one_stood(tmp_path: Path) -> None:
    kept = journal.Journal(tmp_path / "j")
    for n in range(4):
        kept.append(b"record %d" % n)
    kept.delivered(kept.wait_for_records(1, 0))
    again = journal.Journal(tmp_path / "j")
    assert again.pending == 3
    again.append(b"record 4")
    rest = again.wait_for_records(9, 0)
    assert rest == [b"record %d" % n for n in range(1, 5)]
    again.delivered(rest)
    assert journal.Journal(tmp_path / "j").pending == 0


def test_a_torn_end_is_put_aside_and_what_is_appended_next_is_whole(tmp_path: Path) -> None:
    journal.Journal(tmp_path / "j").append(b"good")
    with (tmp_path / "j").open("ab") as stream:
        stream.write(b"\0\0\0\x09torn")
    again = journal.Journal(tmp_path / "j")
    again.append(b"next")
    assert journal.Journal(tmp_path / "j").wait_for_records(9, 0) == [b"good", b"next"]
    assert [path.read_bytes()[-4:] for path in tmp_path.glob("j.torn-*")] == [b"torn"]


@LOOSE
@given(payloads=st.lists(st.binary(min_size=1, max_size=200), max_size=8), cut=st.integers(0, 2000))
def test_a_file_cut_anywhere_gives_a_prefix(tmp_path: Path, payloads: list[bytes], cut: int) -> None:
    path = tmp_path / "cut"
    path.unlink(missing_ok=True)
    kept = journal.Journal(path)
    for payload in payloads:
        kept.append(payload)
    size = path.stat().st_size
    os.truncate(path, min(cut, size))
    found = journal.records(path)
    assert found == payloads[: len(found)]
    with path.open("ab") as stream:  # zeros are what some file systems leave after a power cut
        stream.write(bytes(100))
    assert journal.records(path) == found
    if cut >= size:
        assert found == payloads


@LOOSE
@given(payloads=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), data=st.data())
def test_a_changed_byte_is_noticed(tmp_path: Path, payloads: list[bytes], data: st.DataObject) -> None:
    path = tmp_path / "changed"
    path.unlink(missing_ok=True)
    kept = journal.Journal(path)
    for payload in payloads:
        kept.append(payload)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    found = journal.records(path)
    assert len(found) < len(payloads)
    assert found == payloads[: len(found)]
