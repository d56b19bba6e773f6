import pytest

from headway.errors import UsageError
from headway.tracking.listing import like, matches
from headway.tracking.model import Experiment
from headway.tracking.search import EXPERIMENTS, parse_filter

EXPERIMENT = Experiment(
    id="7",
    name="Flights",
    artifact_location="x",
    stage="active",
    creation_time=10,
    last_update_time=20,
    tags={"team": "nyc", "empty": ""},
)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("name = 'Flights'", True),
        ("name != 'Flights'", False),
        ("name LIKE 'flights'", False),
        ("name ILIKE 'fl%S'", True),
        ("experiment_id IN ('7', '8')", True),
        ("experiment_id NOT IN ('7')", False),
        ("creation_time > 9 and creation_time >= 10 and last_update_time < 21 and last_update_time <= 20", True),
        ("creation_time > 10", False),
        ("tags.team = 'nyc' and tags.empty = ''", True),
        ("tags.none != 'x'", False),
        ("tags.none IS NULL and tags.team IS NOT NULL", True),
        ("tags.none IS NOT NULL", False),
    ],
)
def test_matching(text: str, *, is_found: bool) -> None:
    assert all(matches(EXPERIMENT, clause) for clause in parse_filter(text, EXPERIMENTS)) is is_found


def test_wildcards() -> None:
    assert like("a_c%", is_exact=True).match("abc\nd")
    assert not like("a.c", is_exact=True).match("abc")
    assert like("%" * 1000 + "x", is_exact=True).match("y" * 1000) is None


def test_tags_are_no_sort_keys() -> None:
    with pytest.raises(UsageError, match="Invalid entity type"):
        parse_filter("params.a = 'x'", EXPERIMENTS)
