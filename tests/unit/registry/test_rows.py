"""What reading one version costs: nothing that grows with the model's other versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from headway.registry.logged import LoggedModelStore
from headway.registry.model import ModelMetric, ModelStatus
from headway.registry.rows import count_versions
from headway.registry.search import search_models, search_versions
from headway.registry.store import RegistryStore
from headway.tracking.experiments import ExperimentStore


@contextmanager
def _said(tx: Connection) -> Iterator[list[tuple[str, Any]]]:
    told: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        told.append((statement, parameters))

    event.listen(tx, "before_cursor_execute", hear)
    try:
        yield told
    finally:
        event.remove(tx, "before_cursor_execute", hear)


def test_a_version_is_read_with_its_own_tags_only(tx: Connection) -> None:
    """A model of a thousand versions: each answer read all their tags, and moving it in took minutes."""
    if tx.dialect.name != "sqlite":
        pytest.skip("the plan is SQLite's")
    store = RegistryStore(tx)
    store.create_model("m", tags={"of": "the model"})
    for number in range(1, 6):
        store.create_version("m", source=f"0/{number}", tags={"number": str(number)})
    with _said(tx) as told:
        found = [store.get_version("m", 3), *store.versions("m", limit=2)]
        assert store.get_model("m").tags == {"of": "the model"}
    assert [(each.number, each.tags) for each in found] == [
        (3, {"number": "3"}),
        (5, {"number": "5"}),
        (4, {"number": "4"}),
    ]
    asked = [(statement, values) for statement, values in told if "FROM registry_tag" in statement]
    assert asked
    for statement, values in asked:
        plan = tx.exec_driver_sql(f"explain query plan {statement}", values).all()
        assert not [row for row in plan if "SCAN" in str(row)], plan
        assert [row for row in plan if "model=? AND number=?" in str(row)], plan


def test_the_newest_version_and_their_number_are_known_without_reading_them(tx: Connection) -> None:
    store = RegistryStore(tx)
    for name in ("a", "b", "none"):
        store.create_model(name)
    for _ in range(3):
        store.create_version("a", source="0/x")
    store.create_version("b", source="0/x")
    store.transition_stage("a", 2, stage="Production")
    assert count_versions(tx, ["a", "b", "none", "unknown"]) == {"a": 3, "b": 1}
    newest = {name: store.get_model(name).newest for name in ("a", "b", "none")}
    assert {name: each and each.number for name, each in newest.items()} == {"a": 3, "b": 1, "none": None}


def test_a_search_asks_for_each_version_s_own_tags_by_the_index(tx: Connection) -> None:
    """Every version looked through the tags of all others for a prompt's mark: six seconds at two thousand."""
    if tx.dialect.name != "sqlite":
        pytest.skip("the plan is SQLite's")
    store = RegistryStore(tx)
    store.create_model("m")
    store.create_version("m", source="0/1", tags={"a": "1"})
    with _said(tx) as told:
        assert [each.number for each in search_versions(tx, [], [], limit=10)] == [1]
        assert [each.name for each in search_models(tx, [], [], limit=10)] == ["m"]
    for statement, values in told:
        plan = tx.exec_driver_sql(f"explain query plan {statement}", values).all()
        asked = [str(row) for row in plan if "registry_tag" in str(row)]
        assert all("model=? AND number=?" in each for each in asked), asked


def test_what_is_measured_on_a_model_is_read_for_an_answer_only(tx: Connection) -> None:
    """A file of a model, or a tag: each request read all points that were ever measured on it, most of them twice."""
    experiments = ExperimentStore(tx)
    store = LoggedModelStore(tx)
    made = store.create(experiments.get_or_create("e").id, name="m", model_type="", source_run_id="")
    point = ModelMetric(key="auc", value=0.9, timestamp=1, step=1, run_id="r" * 32)
    with _said(tx) as told:
        store.log_metrics(made.id, [point] * 100)
    assert len(told) == 1, "of SQLAlchemy; the points are one of the driver's own"
    with _said(tx) as told:
        store.set_tags(made.id, {"a": "1"})
        store.log_params(made.id, {"b": "2"})
        assert store.get(made.id).tags == {"a": "1"}
    assert [statement for statement, _ in told if "logged_metric" in statement] == []
    assert [each.value for each in store.get(made.id, with_points=True).metrics] == [0.9]
    assert [each.value for each in store.finish(made.id, ModelStatus.READY).metrics] == [0.9]
