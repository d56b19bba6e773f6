"""The prediction log: found by id, whoever made it, and forgotten by age."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from headway.ids import new_id
from headway.serving import prediction_log
from headway.serving.prediction_log import PredictionLog, find_prediction, ulid_time

NOW = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)


def line(request_id: str, *, client_id: str = "", at: datetime = NOW, inputs: object = None) -> bytes:
    return msgspec.json.encode(
        {
            "id": request_id,
            "client_id": client_id,
            "at": at,
            "deployment": "demo",
            "model": "adder",
            "version": 3,
            "status": 200,
            "latency_ms": 1.5,
            "key": "",
            "inputs": inputs,
            "outputs": {"predictions": [1]},
        }
    )


def test_what_is_added_is_found_by_either_id_once_it_is_flushed(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions")
    made = new_id()
    log.add(line(made, client_id='an "odd" ü id'))
    assert log.find(made) is None
    assert log.flush(NOW) == 1
    for each in (made, 'an "odd" ü id'):
        found = PredictionLog(tmp_path / "predictions").find(each)
        assert found is not None
        assert (found.id, found.version, found.outputs) == (made, 3, {"predictions": [1]})
    assert find_prediction(tmp_path, made) is not None
    assert log.find("another") is None


def test_the_newest_of_equal_ids_counts(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(line("first", client_id="1"))
    log.flush(NOW)
    log.add(line("second", client_id="1"))
    log.flush(NOW + timedelta(hours=1))
    assert len(log.segments()) == 2
    found = log.find("1")
    assert found is not None
    assert found.id == "second"


def test_an_id_inside_of_what_a_caller_sent_is_no_prediction_of_that_id(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(line("mine", inputs={"id": "yours", "x": 1}))
    log.flush(NOW)
    assert log.find("yours") is None
    assert log.find("mine") is not None


def test_an_id_made_here_is_found_in_its_own_hour(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    made = new_id()
    at = ulid_time(made)
    assert abs(at - datetime.now(UTC)) < timedelta(minutes=5)
    for hours in range(-3, 4):
        log.add(line(made if hours == 0 else new_id(), at=at))
        log.flush(at + timedelta(hours=hours))
    assert log.find(made) is not None


def test_a_segment_that_is_full_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "_SEGMENT_BYTES", 200)
    log = PredictionLog(tmp_path)
    for number in range(6):
        log.add(line(f"r{number}"))
        log.flush(NOW)
    assert len(log.segments()) > 2
    assert [each.id for each in log.read()] == [f"r{number}" for number in range(6)]


def test_reading_a_span_of_time(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    for hours in range(5):
        log.add(line(f"r{hours}", at=NOW + timedelta(hours=hours)))
        log.flush(NOW + timedelta(hours=hours))
    found = [each.id for each in log.read(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=3))]
    assert found == ["r1", "r2"]


def test_a_half_written_line_is_not_read(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(line("whole"))
    log.flush(NOW)
    with log.segments()[0].open("ab") as stream:
        stream.write(line("half")[:40])
    assert [each.id for each in log.read()] == ["whole"]


def test_old_segments_are_deleted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(line("old"))
    log.flush(NOW - timedelta(days=40))
    os.utime(log.segments()[0], (0, 0))
    log.add(line("new"))
    log.flush(NOW)
    (tmp_path / "notes.txt").write_text("not ours")
    assert log.prune(NOW - timedelta(days=30)) == 1
    assert [each.id for each in log.read()] == ["new"]
    assert (tmp_path / "notes.txt").exists()


def test_a_disk_that_takes_nothing_is_counted_and_does_not_stop_the_answers(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    log = PredictionLog(blocked / "predictions")
    log.add(line("lost"))
    assert log.flush(NOW) == 0
    assert log.dropped == 1


@pytest.mark.parametrize(
    "poison", [b"{", b"null", b'{"id":"p-1",}', b'{"id":"p-1","client_id":""}', b"[" * 100_000, b"\xff\xfe"]
)
def test_what_a_model_writes_into_its_log_hides_no_prediction(tmp_path: Path, poison: bytes) -> None:
    log = PredictionLog(tmp_path / "predictions")
    log.add(poison)
    log.add(line("p-1"))
    log.add(poison + b'"id":"p-1",')
    log.flush(NOW)
    (tmp_path / "predictions" / "99999999T99-0000-00000000.jsonl").write_bytes(poison + b"\n")
    assert find_prediction(tmp_path, "p-1").id == "p-1"
    assert find_prediction(tmp_path, "p-2") is None
    assert [found.id for found in log.read()] == ["p-1"]
