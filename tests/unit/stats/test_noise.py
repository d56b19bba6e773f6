import math

import pytest

from headway.stats.noise import spread


def test_the_size_is_half_the_range() -> None:
    noise = spread([0.870, 0.874, 0.872])
    assert noise is not None
    assert noise.runs == 3
    assert noise.size == pytest.approx(0.002)


def test_a_change_inside_the_range_says_nothing() -> None:
    noise = spread([1.0, 2.0])
    assert noise is not None
    assert noise.hides(-1.0)
    assert not noise.hides(1.5)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, math.nan], [math.inf, math.nan, 1.0]])
def test_one_number_has_no_noise(values: list[float]) -> None:
    assert spread(values) is None
