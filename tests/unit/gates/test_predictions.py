import gzip
from pathlib import Path

import numpy as np
import pytest

from headway.gates.predictions import (
    Holdout,
    Joined,
    Limits,
    Problem,
    Table,
    join,
    read_holdout,
    read_predictions,
)
from headway.projects.model import PredictionsSpec

SPEC = PredictionsSpec(path="p.csv", id="id", prediction="late", score="p", slices=("origin",), label="y")

HOLDOUT = "id,y,origin\n1,0,JFK\n2,1,EWR\n3,1,JFK\n"
FOUND = "id,late,p\n3,1,0.9\n1,0,0.2\n2,0,0.4\n"


def _write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _join(
    folder: Path, *, holdout: str = HOLDOUT, found: str = FOUND, spec: PredictionsSpec = SPEC
) -> Joined | Problem:
    labels = read_holdout(_write(folder, "h.csv", holdout), spec)
    table = read_predictions(_write(folder, "p.csv", found), spec)
    if isinstance(labels, Problem):
        return labels
    return table if isinstance(table, Problem) else join(table, labels, spec)


def _problem(found: object) -> str:
    assert isinstance(found, Problem), found
    return found.message


def test_predictions_are_put_into_the_order_of_the_holdout(tmp_path: Path) -> None:
    joined = _join(tmp_path)
    assert isinstance(joined, Joined)
    assert joined.rows.label.tolist() == [0, 1, 1]
    assert joined.rows.prediction is not None
    assert joined.rows.prediction.tolist() == [0, 0, 1]
    assert joined.rows.score is not None
    assert joined.rows.score.tolist() == [0.2, 0.4, 0.9]
    assert joined.slices["origin"].tolist() == ["JFK", "EWR", "JFK"]
    assert joined.notes == ()


def test_a_change_that_leaves_out_hard_rows_has_no_evidence(tmp_path: Path) -> None:
    message = _problem(_join(tmp_path, found="id,late,p\n1,0,0.2\n2,0,0.4\n"))
    assert "1 of 3 rows have no prediction" in message
    assert "'3'" in message


def test_rows_from_elsewhere_are_no_evidence(tmp_path: Path) -> None:
    message = _problem(_join(tmp_path, found=FOUND + "99,1,1.0\n"))
    assert "1 predictions are for rows outside the hold-out (first: '99')" in message


def test_the_groups_are_those_of_the_base_branch(tmp_path: Path) -> None:
    joined = _join(tmp_path, found="id,late,p,origin\n3,1,0.9,EWR\n1,0,0.2,EWR\n2,0,0.4,EWR\n")
    assert isinstance(joined, Joined)
    assert joined.slices["origin"].tolist() == ["JFK", "EWR", "JFK"]


def test_groups_from_the_predictions_are_said_to_be_so(tmp_path: Path) -> None:
    joined = _join(
        tmp_path,
        holdout="id,y\n1,0\n2,1\n3,1\n",
        found="id,late,p,origin\n3,1,0.9,C\n1,0,0.2,A\n2,0,0.4,B\n",
    )
    assert isinstance(joined, Joined)
    assert joined.slices["origin"].tolist() == ["A", "B", "C"]
    assert "comes from the predictions" in joined.notes[0]


def test_a_slice_column_that_is_nowhere_is_a_problem(tmp_path: Path) -> None:
    message = _problem(_join(tmp_path, holdout="id,y\n1,0\n2,1\n3,1\n"))
    assert "'origin' is neither in the hold-out nor in the predictions" in message


def test_gzip_is_told_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    table = read_predictions(_write(tmp_path, "p.csv", gzip.compress(FOUND.encode())), SPEC)
    assert isinstance(table, Table)
    assert table.rows == 3
    plain = read_predictions(_write(tmp_path, "p.csv.gz", FOUND), SPEC)
    assert isinstance(plain, Table)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column 'id', 'late', 'p'; there are: none"),
        ("id,late\n1,0\n", "no column 'p'"),
        ("id,late,p\n", "no rows"),
        ("id,late,p\n1,0\n", "row 2 has 2 fields, the header has 3"),
        ("id,late,p\n1,0,0.2\n1,0,0.2\n", "the id '1' stands twice (rows 2 and 3)"),
        ("id,late,p\n,0,0.2\n", "row 2 has no id"),
        ("id,id,late,p\n1,1,0,0.2\n", "names a column twice"),
        ('id,late,p\n1,0,"0.2\n', "is no CSV"),
        ("id,late,p\n" + "x" * 1001 + ",0,0.2\n", "longer than 1,000 characters"),
        (b"id,late,p\n\xff,0,0.2\n", "no UTF-8 text"),
        (b"\x1f\x8b\x08\x00garbage", "cannot be read"),
        (gzip.compress(FOUND.encode(), mtime=0)[:-9], "cannot be read"),
        ("id," + ",".join(f"c{i}" for i in range(2000)) + "\n", "more than 2,000 columns"),
        ("c0,c1,c2,c3,c4,c5,c6,c7,c8\n1\n", "there are: 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7' …"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, text: str | bytes, says: str) -> None:
    assert says in _problem(read_predictions(_write(tmp_path, "p.csv", text), SPEC))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no file gone.csv" in _problem(read_predictions(tmp_path / "gone.csv", SPEC))
    assert "cannot be read" in _problem(read_holdout(tmp_path, SPEC))


def test_a_bomb_stops_at_the_limit_of_unpacked_bytes(tmp_path: Path) -> None:
    bomb = _write(tmp_path, "bomb.gz", gzip.compress(b"id,late,p\n" + b"1,0,0.5\n" * 2_000_000))
    message = _problem(read_predictions(bomb, SPEC, limits=Limits(bytes_read=100_000)))
    assert "more than 100,000 bytes" in message


def test_a_line_without_end_is_not_read_whole(tmp_path: Path) -> None:
    endless = _write(tmp_path, "bomb.gz", gzip.compress(b"a" * 5_000_000))
    assert "a line of more than 1,000,000 bytes" in _problem(read_predictions(endless, SPEC))


def test_too_many_rows(tmp_path: Path) -> None:
    found = read_predictions(_write(tmp_path, "p.csv", FOUND), SPEC, limits=Limits(rows=2))
    assert "more than 2 rows" in _problem(found)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ("id,late,p\n3,1,nan\n1,0,0.2\n2,0,0.4\n", "every value must be finite"),
        ("id,late,p\n3,1,inf\n1,0,0.2\n2,0,0.4\n", "every value must be finite"),
        ("id,late,p\n3,1,\n1,0,0.2\n2,0,0.4\n", "holds '', which is no number"),
        ("id,late,p\n3,yes,0.1\n1,0,0.2\n2,0,0.4\n", "column 'late' of the predictions holds 'yes'"),
    ],
)
def test_numbers_must_be_finite(tmp_path: Path, found: str, says: str) -> None:
    assert says in _problem(_join(tmp_path, found=found))


def test_true_and_false_are_1_and_0(tmp_path: Path) -> None:
    joined = _join(tmp_path, found="id,late,p\n3,True,0.9\n1,false,0.2\n2,FALSE,0.4\n")
    assert isinstance(joined, Joined)
    assert joined.rows.prediction is not None
    assert joined.rows.prediction.tolist() == [0, 0, 1]


def test_classes_may_be_words(tmp_path: Path) -> None:
    spec = PredictionsSpec(path="p.csv", id="id", prediction="kind", label="y")
    joined = _join(
        tmp_path,
        holdout="id,y\n1,cat\n2,dog\n3,cat\n",
        found="id,kind\n1,cat\n2,cat\n3,bird\n",
        spec=spec,
    )
    assert isinstance(joined, Joined)
    assert joined.rows.prediction is not None
    assert np.equal(joined.rows.label, joined.rows.prediction).tolist() == [True, False, False]
    assert not np.isin(joined.rows.label, (0.0, 1.0)).any()


def test_words_without_predicted_words(tmp_path: Path) -> None:
    spec = PredictionsSpec(path="p.csv", id="id", score="p", label="y")
    joined = _join(tmp_path, holdout="id,y\n1,a\n2,b\n3,a\n", found=FOUND, spec=spec)
    assert isinstance(joined, Joined)
    assert joined.rows.prediction is None


def test_empty_labels_are_a_problem(tmp_path: Path) -> None:
    holdout = "id,y,origin\n1,a,X\n2,,X\n3,b,X\n"
    assert "has empty labels" in _problem(_join(tmp_path, holdout=holdout))


def test_a_label_that_is_nan_leaves_metrics_on_numbers_without_meaning(tmp_path: Path) -> None:
    joined = _join(tmp_path, holdout="id,y,origin\n1,0,X\n2,nan,X\n3,1,X\n")
    assert isinstance(joined, Joined)
    assert not np.isin(joined.rows.label, (0.0, 1.0)).any()


def test_a_byte_order_mark_and_empty_lines_are_no_columns_and_no_rows(tmp_path: Path) -> None:
    table = read_predictions(_write(tmp_path, "p.csv", b"\xef\xbb\xbfid,late,p\n\n1,0,0.2\n\n"), SPEC)
    assert isinstance(table, Table)
    assert (table.header, table.rows) == (("id", "late", "p"), 1)


def test_a_holdout_with_ids_twice_is_no_holdout(tmp_path: Path) -> None:
    assert "stands twice" in _problem(read_holdout(_write(tmp_path, "h.csv", HOLDOUT + "1,1,JFK\n"), SPEC))
    fine = read_holdout(_write(tmp_path, "h.csv", HOLDOUT), SPEC)
    assert isinstance(fine, Holdout)
    assert fine.positions == {"1": 0, "2": 1, "3": 2}


def test_the_key_tells_holdouts_apart(tmp_path: Path) -> None:
    first, again, other, moved = (
        _join(tmp_path, holdout=text)
        for text in (HOLDOUT, HOLDOUT, HOLDOUT.replace("2,1,", "2,0,"), HOLDOUT.replace("EWR", "LGA"))
    )
    assert isinstance(first, Joined)
    assert isinstance(again, Joined)
    assert isinstance(other, Joined)
    assert isinstance(moved, Joined)
    assert first.key == again.key == moved.key
    assert first.key != other.key
