import math

import pytest

from headway.errors import UsageError
from headway.tracking import limits


@pytest.mark.parametrize("name", ["a", "a b", "a/b.c-d_e:f", "é", "x" * 250])
def test_good_names(name: str) -> None:
    limits.check_metric_name(name, "name")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (1.5, 1.5),
        (-1.5, -1.5),
        (math.inf, limits.LARGEST),
        (-math.inf, -limits.LARGEST),
        (0.0, 0.0),
        (limits.LARGEST, limits.LARGEST),
    ],
)
def test_infinities_become_the_largest_number(value: float, kept: float) -> None:
    assert limits.clamped(value) == kept


def test_no_experiment_has_a_number_below_zero() -> None:
    assert limits.experiment_number("-1337") == -1337


def test_nan_stays() -> None:
    assert math.isnan(limits.clamped(math.nan))


@pytest.mark.parametrize("given", ["x", "--1", "-", "1.5", "\uff11", "9" * 30, "0x1", " 1"])
def test_bad_experiment_ids(given: str) -> None:
    with pytest.raises(UsageError, match="must be a valid integer"):
        limits.experiment_number(given)


def test_the_empty_experiment_id_is_the_default() -> None:
    assert limits.experiment_number("") == 0


@pytest.mark.parametrize(("metrics", "params", "tags"), [(1001, 0, 0), (0, 101, 0), (0, 0, 101), (950, 50, 1)])
def test_batches_are_limited(metrics: int, params: int, tags: int) -> None:
    with pytest.raises(UsageError, match="A batch logging request can contain at most"):
        limits.check_batch([0] * metrics, [0] * params, [0] * tags)


def test_a_full_batch_is_fine() -> None:
    limits.check_batch([0] * 800, [0] * 100, [0] * 100)
    limits.check_unique(["a", "b"])
