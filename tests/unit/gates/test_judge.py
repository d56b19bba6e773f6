from pathlib import Path

import pytest

from headway.gates.judge import judge
from headway.gates.model import CheckState, Evidence, Outcome
from headway.projects.model import GateSpec, MetricSpec, PredictionsSpec

SPEC = PredictionsSpec(path="out/p.csv", id="id", prediction="late", holdout_path="h.csv", label="y")
METRICS = (MetricSpec(name="acc", compute="accuracy", primary=True), MetricSpec(name="seconds"))
RULES = (GateSpec(id="acc", metric="acc", minimum=0.5, max_regression=0.0),)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "h.csv").write_text("id,y\n1,0\n2,1\n3,1\n4,0\n")
    (tmp_path / "good.csv").write_text("id,late\n1,0\n2,1\n3,1\n4,1\n")
    (tmp_path / "bad.csv").write_text("id,late\n1,1\n2,1\n3,1\n4,1\n")
    (tmp_path / "easy.csv").write_text("id,late\n1,0\n2,1\n3,1\n")
    return tmp_path


def _evidence(label: str, path: Path | None, **metrics: float) -> Evidence:
    return Evidence(label=label, metrics=metrics, predictions=None if path is None else str(path))


def test_files_become_a_verdict_and_the_numbers_it_stands_on(files: Path) -> None:
    found = judge(
        RULES,
        metrics=METRICS,
        predictions=SPEC,
        candidate=_evidence("this change", files / "good.csv", acc=1.0, seconds=3.0),
        baseline=_evidence("production", files / "bad.csv", seconds=4.0),
        holdout=files / "h.csv",
    )
    assert found.verdict.outcome is Outcome.PASS
    assert found.metrics == {"acc": 0.75, "seconds": 3.0}
    assert found.baseline_metrics == {"acc": 0.5, "seconds": 4.0}
    assert found.rows == 4


def test_leaving_out_the_hard_row_is_no_way_to_pass(files: Path) -> None:
    found = judge(
        RULES,
        metrics=METRICS,
        predictions=SPEC,
        candidate=_evidence("this change", files / "easy.csv", acc=1.0),
        baseline=None,
        holdout=files / "h.csv",
    )
    (check,) = found.verdict.checks
    assert (found.verdict.outcome, check.state) == (Outcome.FAIL, CheckState.MISSING)
    assert "1 of 4 rows have no prediction" in check.message


@pytest.mark.parametrize(
    ("predictions", "holdout", "says"),
    [
        (None, "h.csv", "nothing was written to out/p.csv"),
        ("gone.csv", "h.csv", "there is no file gone.csv"),
        ("good.csv", "gone.csv", "there is no file gone.csv"),
        ("good.csv", None, "the hold-out h.csv is not there"),
    ],
)
def test_files_that_are_not_there(files: Path, predictions: str | None, holdout: str | None, says: str) -> None:
    found = judge(
        RULES,
        metrics=METRICS,
        predictions=SPEC,
        candidate=_evidence("this change", files / predictions if predictions else None),
        baseline=None,
        holdout=files / holdout if holdout else None,
    )
    assert found.verdict.outcome is Outcome.FAIL
    assert says in found.verdict.checks[0].message
    assert found.metrics == {}


def test_without_declared_predictions_the_logged_numbers_count(files: Path) -> None:
    found = judge(
        (GateSpec(id="seconds", metric="seconds", minimum=1),),
        metrics=METRICS,
        predictions=None,
        candidate=_evidence("this change", None, seconds=3.0, acc=0.9),
        baseline=None,
        holdout=None,
    )
    assert found.verdict.outcome is Outcome.PASS
    assert found.metrics == {"seconds": 3.0, "acc": 0.9}
    assert found.rows is None
