"""Metrics from labels and predictions; a value that has no meaning is NaN, never an exception.

Every metric is either a function of per-row sums (accuracy, log loss) or of ranks (ROC AUC), and both forms take a
matrix of row weights: one replicate of a bootstrap per line, with the plain value as the line of ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CLIP = np.finfo(np.float64).eps  # scikit-learn's: a certain and wrong prediction costs much, not infinity


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The columns that metrics are computed from, row by row; a column that was not given is None."""

    label: Floats
    prediction: Floats | None = None
    score: Floats | None = None  # probability of the positive class

    def take(self, chosen: NDArray[np.bool_]) -> Rows:
        """Only the chosen rows, for a slice."""
        return Rows(
            label=self.label[chosen],
            prediction=None if self.prediction is None else self.prediction[chosen],
            score=None if self.score is None else self.score[chosen],
        )


Weighted = Callable[[Floats], Floats]
"""From weights (replicates x rows) to one value per replicate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric by its name in headway.yaml; `prepare` does once what does not depend on the weights."""

    name: str
    higher_is_better: bool
    needs: str  # "prediction" or "score": the column it reads beside the label
    binary: bool  # whether the labels must be 0 and 1
    prepare: Callable[[Floats, Floats], Weighted]

    def weighted(self, rows: Rows) -> Weighted | None:
        """The function of row weights, or None where this metric has no meaning for these rows."""
        column = rows.score if self.needs == "score" else rows.prediction
        if column is None or rows.label.size == 0:
            return None
        if not (np.isfinite(column).all() and np.isfinite(rows.label).all()):
            return None
        if self.binary and not np.isin(rows.label, (0.0, 1.0)).all():
            return None
        if self.binary and self.needs == "prediction" and not np.isin(column, (0.0, 1.0)).all():
            return None
        return self.prepare(rows.label, column)

    def value(self, rows: Rows) -> float:
        """The metric of these rows, NaN where it has no meaning."""
        function = self.weighted(rows)
        if function is None:
            return float("nan")
        return float(function(np.ones((1, rows.label.size)))[0])


def _ratio(above: Floats, below: Floats) -> Floats:
    result: Floats = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)
    return result


def _sums(*columns: Floats) -> Weighted:
    """Weighted sums of per-row columns, last axis the column."""
    matrix = np.column_stack(columns)

    def of(weights: Floats) -> Floats:
        total: Floats = weights @ matrix
        return total

    return of


def _mean(column: Floats) -> Weighted:
    sums = _sums(column, np.ones_like(column))

    def of(weights: Floats) -> Floats:
        total = sums(weights)
        return _ratio(total[:, 0], total[:, 1])

    return of


def _accuracy(label: Floats, prediction: Floats) -> Weighted:
    return _mean((label == prediction).astype(np.float64))


def _selection_rate(_label: Floats, prediction: Floats) -> Weighted:
    return _mean(prediction)


def _precision(label: Floats, prediction: Floats) -> Weighted:
    return _rate(label * prediction, prediction)


def _recall(label: Floats, prediction: Floats) -> Weighted:
    return _rate(label * prediction, label)


def _false_positive_rate(label: Floats, prediction: Floats) -> Weighted:
    return _rate((1 - label) * prediction, 1 - label)


def _specificity(label: Floats, prediction: Floats) -> Weighted:
    return _rate((1 - label) * (1 - prediction), 1 - label)


def _false_negative_rate(label: Floats, prediction: Floats) -> Weighted:
    return _rate(label * (1 - prediction), label)


def _rate(above: Floats, below: Floats) -> Weighted:
    sums = _sums(above, below)

    def of(weights: Floats) -> Floats:
        total = sums(weights)
        return _ratio(total[:, 0], total[:, 1])

    return of


def _f1(label: Floats, prediction: Floats) -> Weighted:
    return _rate(2 * label * prediction, label + prediction)


def _balanced_accuracy(label: Floats, prediction: Floats) -> Weighted:
    recall, specificity = _recall(label, prediction), _specificity(label, prediction)
    return lambda weights: (recall(weights) + specificity(weights)) / 2


def _f1_macro(label: Floats, prediction: Floats) -> Weighted:
    classes = np.union1d(label, prediction)
    each = [_f1((label == one).astype(np.float64), (prediction == one).astype(np.float64)) for one in classes]

    def of(weights: Floats) -> Floats:
        # A class that one replicate does not contain is left out of that replicate's mean.
        values = np.stack([one(weights) for one in each])
        seen = np.isfinite(values)
        return _ratio(np.where(seen, values, 0.0).sum(axis=0), seen.sum(axis=0).astype(np.float64))

    return of


def _log_loss(label: Floats, score: Floats) -> Weighted:
    if ((score < 0) | (score > 1)).any():
        return _undefined
    sure = np.clip(score, _CLIP, 1 - _CLIP)
    return _mean(-(label * np.log(sure) + (1 - label) * np.log1p(-sure)))


def _brier(label: Floats, score: Floats) -> Weighted:
    if ((score < 0) | (score > 1)).any():
        return _undefined
    return _mean((score - label) ** 2)


def _undefined(weights: Floats) -> Floats:
    return np.full(len(weights), np.nan)


def _mae(label: Floats, prediction: Floats) -> Weighted:
    return _mean(np.abs(label - prediction))


def _mse(label: Floats, prediction: Floats) -> Weighted:
    return _mean((label - prediction) ** 2)


def _rmse(label: Floats, prediction: Floats) -> Weighted:
    squared = _mse(label, prediction)
    return lambda weights: np.sqrt(squared(weights))


def _r2(label: Floats, prediction: Floats) -> Weighted:
    # Moved to the labels' mean: sums of squares of large labels would cancel to noise.
    centred = label - label.mean()
    sums = _sums(np.ones_like(label), centred, centred**2, (label - prediction) ** 2)

    def of(weights: Floats) -> Floats:
        total = sums(weights)
        spread = total[:, 2] - _ratio(total[:, 1] ** 2, total[:, 0])
        return 1 - _ratio(total[:, 3], np.where(spread > 0, spread, 0.0))

    return of


def _roc_auc(label: Floats, score: Floats) -> Weighted:
    """Mann-Whitney: the weight of negatives below each positive, ties counted half."""
    positives, negatives = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    # Positives in order as well: the look-ups in the running sum then walk forwards through memory.
    positives = positives[np.argsort(score[positives], kind="stable")]
    negatives = negatives[np.argsort(score[negatives], kind="stable")]
    below = np.searchsorted(score[negatives], score[positives], side="left")
    upto = np.searchsorted(score[negatives], score[positives], side="right")
    tied = bool((below != upto).any())

    def of(weights: Floats) -> Floats:
        running = np.zeros((len(weights), negatives.size + 1))
        np.cumsum(weights.take(negatives, axis=1), axis=1, out=running[:, 1:])
        beaten = running.take(below, axis=1)
        if tied:
            beaten += running.take(upto, axis=1)
            beaten *= 0.5
        chosen = weights.take(positives, axis=1)
        won = np.einsum("ij,ij->i", chosen, beaten)
        return _ratio(won, chosen.sum(axis=1) * running[:, -1])

    return of


def _average_precision(label: Floats, score: Floats) -> Weighted:
    """Sum over thresholds of (recall step x precision), equal scores sharing one threshold."""
    order = np.argsort(-score, kind="stable")
    hit = label[order]
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))

    def of(weights: Floats) -> Floats:
        sorted_weights = weights.take(order, axis=1)
        true = np.cumsum(sorted_weights * hit, axis=1).take(ends, axis=1)
        all_ = np.cumsum(sorted_weights, axis=1).take(ends, axis=1)
        precision = np.divide(true, all_, out=np.zeros_like(true), where=all_ != 0)
        steps = np.diff(true, axis=1, prepend=0.0)
        return _ratio(np.einsum("ij,ij->i", steps, precision), true[:, -1])

    return of


def _metric(
    name: str,
    prepare: Callable[[Floats, Floats], Weighted],
    *,
    higher: bool = True,
    needs: str = "prediction",
    binary: bool = True,
) -> Metric:
    return Metric(name=name, higher_is_better=higher, needs=needs, binary=binary, prepare=prepare)


METRICS: dict[str, Metric] = {
    each.name: each
    for each in (
        _metric("accuracy", _accuracy, binary=False),
        _metric("balanced_accuracy", _balanced_accuracy),
        _metric("precision", _precision),
        _metric("recall", _recall),
        _metric("tpr", _recall),
        _metric("fpr", _false_positive_rate, higher=False),
        _metric("fnr", _false_negative_rate, higher=False),
        _metric("specificity", _specificity),
        _metric("f1", _f1),
        _metric("f1_macro", _f1_macro, binary=False),
        _metric("selection_rate", _selection_rate),
        _metric("roc_auc", _roc_auc, needs="score"),
        _metric("average_precision", _average_precision, needs="score"),
        _metric("log_loss", _log_loss, higher=False, needs="score"),
        _metric("brier", _brier, higher=False, needs="score"),
        _metric("mae", _mae, higher=False, binary=False),
        _metric("mse", _mse, higher=False, binary=False),
        _metric("rmse", _rmse, higher=False, binary=False),
        _metric("r2", _r2, binary=False),
    )
}
"""Every metric that `compute:` may name."""
