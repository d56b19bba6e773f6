import math

from hypothesis import given
from hypothesis import strategies as st

from headway.tracking.points import (
    Point,
    order,
    pack_border,
    pack_chunk,
    pack_tail,
    tail_of,
    tidied,
    unpack_border,
    unpack_chunk,
    unpack_tail,
)

INT = st.integers(-(2**63), 2**63 - 1)
POINTS = st.lists(st.tuples(INT, INT, st.floats(allow_infinity=False)), min_size=1, max_size=30)
FEW = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from([0.0, 1.0, math.nan, 1e308])), min_size=1
)


@given(POINTS, st.lists(st.integers(1, 3), min_size=30, max_size=30))
def test_a_tail_keeps_every_point_of_every_key(points: list[Point], keys: list[int]) -> None:
    keys = keys[: len(points)]
    data = pack_tail(keys, *([point[i] for point in points] for i in range(3)))
    found, unpacked = unpack_tail(data)
    assert list(found) == keys
    assert repr(list(unpacked)) == repr(points)
    for key in (1, 2, 3):
        expected = [point for point, of in zip(points, keys, strict=True) if of == key]
        assert repr(list(tail_of(data, key))) == repr(expected)


@given(POINTS)
def test_chunks_and_borders_come_back(points: list[Point]) -> None:
    assert repr(unpack_chunk(pack_chunk(points))) == repr(points)
    assert repr(unpack_border(pack_border(points[0]))) == repr(points[0])


@given(FEW)
def test_points_come_in_order_and_once(points: list[Point]) -> None:
    found = [order(point) for point in tidied(points)]
    assert found == sorted({order(point) for point in points})
