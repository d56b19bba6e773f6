import math

import numpy as np
import pytest

from headway.stats.bootstrap import paired
from headway.stats.metrics import METRICS, Rows


def _pair(n: int, *, gain: float, seed: int = 0) -> tuple[Rows, Rows]:
    random = np.random.default_rng(seed)
    label = (random.random(n) < 0.4).astype(float)
    noise = random.normal(size=n)
    base = label * 0.8 + noise
    better = base + gain * (label - 0.4) + 0.1 * random.normal(size=n)
    return tuple(Rows(label=label, prediction=(each > 0.4).astype(float), score=each) for each in (better, base))


@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "average_precision", "f1"])
def test_a_clear_gain_has_an_interval_above_zero(name: str) -> None:
    candidate, baseline = _pair(4000, gain=0.8)
    effect = paired(METRICS[name], candidate, baseline=baseline)
    assert effect.is_known
    assert 0 < effect.low < effect.effect < effect.high
    assert effect.effect == METRICS[name].value(candidate) - METRICS[name].value(baseline)


def test_equal_models_differ_by_nothing() -> None:
    candidate, _ = _pair(500, gain=0.0)
    effect = paired(METRICS["roc_auc"], candidate, baseline=candidate)
    assert (effect.effect, effect.low, effect.high) == (0.0, 0.0, 0.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        n = 300
        label = np.ones(n)
        ours = (random.random(n) < 0.8).astype(float)
        theirs = (random.random(n) < 0.75).astype(float)
        effect = paired(
            METRICS["accuracy"],
            Rows(label=label, prediction=ours),
            baseline=Rows(label=label, prediction=theirs),
            confidence=0.9,
            replicates=300,
        )
        covered += effect.low <= 0.05 <= effect.high
    assert 0.83 <= covered / 200 <= 0.96


def test_the_spread_is_that_of_theory() -> None:
    n = 2000
    random = np.random.default_rng(5)
    label = np.ones(n)
    ours, theirs = ((random.random(n) < share).astype(float) for share in (0.7, 0.7))
    effect = paired(
        METRICS["accuracy"], Rows(label=label, prediction=ours), baseline=Rows(label=label, prediction=theirs)
    )
    expected = 1.96 * np.std(ours - theirs) / math.sqrt(n)
    assert (effect.high - effect.low) / 2 == pytest.approx(expected, rel=0.1)


def test_the_same_rows_give_the_same_interval() -> None:
    candidate, baseline = _pair(700, gain=0.2)
    assert paired(METRICS["f1"], candidate, baseline=baseline) == paired(METRICS["f1"], candidate, baseline=baseline)


def test_a_wider_confidence_is_a_wider_interval() -> None:
    candidate, baseline = _pair(700, gain=0.2)
    narrow, wide = (paired(METRICS["accuracy"], candidate, baseline=baseline, confidence=c) for c in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_without_meaning_there_is_no_interval() -> None:
    label = np.ones(50)
    rows = Rows(label=label, prediction=label, score=label)
    effect = paired(METRICS["roc_auc"], rows, baseline=rows)
    assert not effect.is_known
    assert effect.replicates == 0 or math.isnan(effect.low)


def test_one_positive_row_leaves_too_few_resamples() -> None:
    label = np.zeros(50)
    label[3] = 1
    rows = Rows(label=label, score=np.linspace(0, 1, 50))
    effect = paired(METRICS["roc_auc"], rows, baseline=rows)
    assert not effect.is_known
    assert math.isfinite(effect.effect)


def test_a_missing_column_has_no_effect() -> None:
    candidate, baseline = _pair(50, gain=0.2)
    assert not paired(METRICS["roc_auc"], Rows(label=candidate.label), baseline=baseline).is_known


def test_other_rows_are_no_pair() -> None:
    candidate, _ = _pair(50, gain=0.2)
    _, baseline = _pair(51, gain=0.2)
    with pytest.raises(ValueError, match="same rows"):
        paired(METRICS["accuracy"], candidate, baseline=baseline)
