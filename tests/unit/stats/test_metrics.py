import math

import numpy as np
import pytest
from sklearn import metrics as oracle

from headway.stats.metrics import METRICS, Rows


def _rows(seed: int, n: int = 400, *, ties: bool = False) -> Rows:
    random = np.random.default_rng(seed)
    label = (random.random(n) < 0.3).astype(float)
    score = np.clip(0.3 + 0.3 * label + 0.2 * random.normal(size=n), 0.0, 1.0)
    if ties:
        score = np.round(score, 1)
    return Rows(label=label, prediction=(score > 0.45).astype(float), score=score)


BINARY = {
    "accuracy": lambda r: oracle.accuracy_score(r.label, r.prediction),
    "balanced_accuracy": lambda r: oracle.balanced_accuracy_score(r.label, r.prediction),
    "precision": lambda r: oracle.precision_score(r.label, r.prediction),
    "recall": lambda r: oracle.recall_score(r.label, r.prediction),
    "tpr": lambda r: oracle.recall_score(r.label, r.prediction),
    "specificity": lambda r: oracle.recall_score(1 - r.label, 1 - r.prediction),
    "fpr": lambda r: 1 - oracle.recall_score(1 - r.label, 1 - r.prediction),
    "fnr": lambda r: 1 - oracle.recall_score(r.label, r.prediction),
    "f1": lambda r: oracle.f1_score(r.label, r.prediction),
    "f1_macro": lambda r: oracle.f1_score(r.label, r.prediction, average="macro"),
    "selection_rate": lambda r: r.prediction.mean(),
    "roc_auc": lambda r: oracle.roc_auc_score(r.label, r.score),
    "average_precision": lambda r: oracle.average_precision_score(r.label, r.score),
    "log_loss": lambda r: oracle.log_loss(r.label, r.score),
    "brier": lambda r: oracle.brier_score_loss(r.label, r.score),
}
REGRESSION = {
    "mae": oracle.mean_absolute_error,
    "mse": oracle.mean_squared_error,
    "rmse": lambda label, found: oracle.mean_squared_error(label, found) ** 0.5,
    "r2": oracle.r2_score,
}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", sorted(BINARY))
def test_classification_agrees_with_scikit_learn(name: str, *, ties: bool) -> None:
    for seed in range(5):
        rows = _rows(seed, ties=ties)
        assert METRICS[name].value(rows) == pytest.approx(BINARY[name](rows), abs=1e-12)


@pytest.mark.parametrize("name", sorted(REGRESSION))
def test_regression_agrees_with_scikit_learn(name: str) -> None:
    random = np.random.default_rng(3)
    label = 1e4 + random.normal(size=300)
    found = label + random.normal(size=300)
    expected = REGRESSION[name](label, found)
    assert METRICS[name].value(Rows(label=label, prediction=found)) == pytest.approx(expected, rel=1e-9)


def test_every_metric_is_compared_with_an_oracle() -> None:
    assert set(METRICS) == set(BINARY) | set(REGRESSION)


@pytest.mark.parametrize("name", sorted(BINARY))
def test_weights_are_the_same_as_repeated_rows(name: str) -> None:
    rows = _rows(11, n=60, ties=True)
    weights = np.random.default_rng(1).integers(0, 4, size=60)
    function = METRICS[name].weighted(rows)
    assert function is not None
    repeated = Rows(
        label=np.repeat(rows.label, weights),
        prediction=np.repeat(rows.prediction, weights),
        score=np.repeat(rows.score, weights),
    )
    assert function(weights[None, :].astype(float))[0] == pytest.approx(METRICS[name].value(repeated), abs=1e-12)


# Selecting more is neither better nor worse, so `selection_rate` is left out.
@pytest.mark.parametrize("name", sorted(set(METRICS) - {"selection_rate"}))
def test_direction_is_what_the_oracle_says_of_a_better_model(name: str) -> None:
    label = np.tile([0.0, 1.0], 50)
    good = Rows(label=label, prediction=label.copy(), score=label.copy())
    bad = Rows(label=label, prediction=1 - label, score=1 - label)
    better = METRICS[name].value(good) > METRICS[name].value(bad)
    assert better == METRICS[name].higher_is_better


ONES = np.ones(5)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("roc_auc", Rows(label=ONES, score=np.linspace(0, 1, 5))),
        ("roc_auc", Rows(label=0 * ONES, score=np.linspace(0, 1, 5))),
        ("average_precision", Rows(label=0 * ONES, score=ONES / 2)),
        ("recall", Rows(label=0 * ONES, prediction=ONES)),
        ("fpr", Rows(label=ONES, prediction=ONES)),
        ("precision", Rows(label=ONES, prediction=0 * ONES)),
        ("accuracy", Rows(label=np.array([]), prediction=np.array([]))),
        ("accuracy", Rows(label=ONES)),
        ("roc_auc", Rows(label=ONES, prediction=ONES)),
        ("precision", Rows(label=2 * ONES, prediction=ONES)),
        ("precision", Rows(label=ONES, prediction=2 * ONES)),
        ("log_loss", Rows(label=ONES, score=1.5 * ONES)),
        ("brier", Rows(label=ONES, score=-0.1 * ONES)),
        ("accuracy", Rows(label=ONES, prediction=ONES * np.nan)),
        ("mae", Rows(label=ONES, prediction=ONES * np.inf)),
        ("mae", Rows(label=ONES * np.nan, prediction=ONES)),
        ("r2", Rows(label=ONES, prediction=ONES)),
    ],
)
def test_what_has_no_meaning_is_nan_and_no_exception(name: str, rows: Rows) -> None:
    assert math.isnan(METRICS[name].value(rows))


def test_a_slice_is_the_same_metric_on_fewer_rows() -> None:
    rows = _rows(2)
    mask = np.arange(400) % 3 == 0
    expected = oracle.roc_auc_score(rows.label[mask], rows.score[mask])
    assert METRICS["roc_auc"].value(rows.take(mask)) == pytest.approx(expected)
