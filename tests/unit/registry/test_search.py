import math

import pytest
from sqlalchemy import Connection

from headway.errors import NotFound, UsageError
from headway.registry.logged import LoggedModelStore
from headway.registry.model import PROMPT_TAG, ModelMetric, ModelStatus
from headway.registry.search import LOGGED, MODELS, VERSIONS, search_logged, search_models, search_versions
from headway.registry.store import RegistryStore
from headway.tracking.search import METRIC, Order, parse_filter, parse_orders
from headway.tracking.store import RunStore


def models(tx: Connection, text: str = "", *orders: str) -> list[str]:
    found = search_models(tx, parse_filter(text, MODELS), parse_orders(orders, MODELS), limit=100)
    return [each.name for each in found]


def versions(tx: Connection, text: str = "", *orders: str) -> list[tuple[str, int]]:
    found = search_versions(tx, parse_filter(text, VERSIONS), parse_orders(orders, VERSIONS), limit=100)
    return [(each.model, each.number) for each in found]


@pytest.fixture
def filled(tx: Connection) -> Connection:
    store = RegistryStore(tx)
    store.create_model("Alpha", tags={"team": "ops", "x y": "1"})
    store.create_model("beta", tags={"team": "OPS"})
    store.create_model("gamma")
    store.create_model("a prompt", tags={PROMPT_TAG: "true"})
    store.create_version("Alpha", source="k", run_id="r1", tags={"ok": "yes"}, source_uri="runs:/r1/m")
    store.create_version("Alpha", source="k", run_id="r2", source_uri="runs:/r2/m")
    store.create_version("beta", source="k", run_id="r1", tags={"ok": "no"})
    store.create_version("a prompt", source="", tags={PROMPT_TAG: "true"})
    return tx


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["Alpha", "beta", "gamma"]),
        ("name = 'beta'", ["beta"]),
        ("name != 'beta'", ["Alpha", "gamma"]),
        ("name LIKE 'al%'", []),
        ("name ILIKE 'al%'", ["Alpha"]),
        ("name IN ('gamma', 'beta')", ["beta", "gamma"]),
        ("tags.team = 'ops'", ["Alpha"]),
        ("tags.team != 'ops'", ["beta"]),
        ("tags.team ILIKE 'o%' AND name = 'beta'", ["beta"]),
        ("tags.team IS NULL", ["gamma"]),
        ("tags.`x y` = '1'", ["Alpha"]),
        (f"tags.`{PROMPT_TAG}` = 'true'", ["a prompt"]),
        (f"tags.`{PROMPT_TAG}` != 'false'", ["a prompt"]),
        (f"tags.`{PROMPT_TAG}` = 'false'", ["Alpha", "beta", "gamma"]),
        ("name = 'x'' OR 1=1 --'", []),
    ],
)
def test_models_are_found_by_name_and_tag(filled: Connection, text: str, expected: list[str]) -> None:
    assert models(filled, text) == expected


def test_a_backslash_in_a_pattern_is_a_letter_on_both_databases(filled: Connection) -> None:
    assert models(filled, "name LIKE 'Al\\%'") == []
    assert models(filled, 'name ILIKE "al\\"') == []


def test_models_are_ordered(filled: Connection) -> None:
    assert models(filled, "", "name DESC") == ["gamma", "beta", "Alpha"]
    with pytest.raises(UsageError):
        models(filled, "", "tags.team")
    with pytest.raises(UsageError):
        models(filled, "description = 'x'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 'Alpha'", [("Alpha", 2), ("Alpha", 1)]),
        ("run_id = 'r1'", [("Alpha", 1), ("beta", 1)]),
        ("run_id IN ('r2', 'r3')", [("Alpha", 2)]),
        ("version_number > 1", [("Alpha", 2)]),
        ("source_path LIKE 'runs:/r1/%'", [("Alpha", 1)]),
        ("tags.ok = 'yes'", [("Alpha", 1)]),
        ("tags.ok != 'yes'", [("beta", 1)]),
        ("name = 'a prompt'", []),
        (f"tags.`{PROMPT_TAG}` = 'true'", [("a prompt", 1)]),
    ],
)
def test_versions_are_found(filled: Connection, text: str, expected: list[tuple[str, int]]) -> None:
    assert versions(filled, text, "name") == expected


def test_versions_are_ordered_and_paged(filled: Connection) -> None:
    assert versions(filled, "", "version_number", "name DESC") == [("beta", 1), ("Alpha", 1), ("Alpha", 2)]
    page = search_versions(filled, (), parse_orders(["name"], VERSIONS), limit=1, offset=1)
    assert [(each.model, each.number) for each in page] == [("Alpha", 1)]


# --- logged models ----------------------------------------------------------------------------------


def test_a_logged_model_lives(tx: Connection) -> None:
    store = LoggedModelStore(tx)
    made = store.create("0", name="m", params={"depth": "3"}, tags={"a": "1"}, model_type="agent")
    assert (made.status, made.artifact_uri) == (ModelStatus.PENDING, f"mlflow-artifacts:/0/models/{made.id}/artifacts")
    assert store.finish(made.id, ModelStatus.READY).status == ModelStatus.READY
    store.log_params(made.id, {"lr": "0.1"})
    store.set_tags(made.id, {"a": "2", "b": "3"})
    store.delete_tag(made.id, "b")
    with pytest.raises(NotFound):
        store.delete_tag(made.id, "b")
    found = store.get(made.id)
    assert (found.params, found.tags) == ({"depth": "3", "lr": "0.1"}, {"a": "2"})
    store.delete(made.id)
    with pytest.raises(NotFound, match="Logged model with ID"):
        store.get(made.id)
    assert store.get(made.id, allow_deleted=True).stage == "deleted"


def test_a_name_is_made_up_where_none_is_given_and_bad_ones_are_refused(tx: Connection) -> None:
    store = LoggedModelStore(tx)
    assert store.create("0").name
    for name in ("a/b", "a.b", "a%b", "a'b", "x" * 501):
        with pytest.raises(UsageError):
            store.create("0", name=name)


def test_a_deleted_experiment_takes_no_models(tx: Connection) -> None:
    experiments = RunStore(tx).experiments
    exp = experiments.create("e")
    experiments.delete(exp)
    with pytest.raises(UsageError, match="must be in the 'active' state"):
        LoggedModelStore(tx).create(exp)


@pytest.fixture
def three(tx: Connection) -> list[str]:
    store = LoggedModelStore(tx)
    ids = [
        store.create("0", name=name, params={"depth": depth}, tags={"kind": kind}).id
        for name, depth, kind in (("one", "1", "tree"), ("two", "2", "Tree"), ("three", "3", "net"))
    ]
    for model_id, value in zip(ids, (0.9, math.nan, 0.5), strict=True):
        store.log_metrics(model_id, [ModelMetric(key="f1", value=value, timestamp=1, run_id="r")])
    store.log_metrics(ids[0], [ModelMetric(key="f1", value=0.7, timestamp=2, step=1, run_id="r", dataset_name="test")])
    return ids


def logged(tx: Connection, text: str = "", *orders: tuple[Order, str, str], **more: object) -> set[str] | list[str]:
    found = search_logged(tx, [0], parse_filter(text, LOGGED), orders, limit=10, **more)  # type: ignore[arg-type]
    names = [each.name for each in found]
    return names if orders else set(names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"one", "two", "three"}),
        ("name = 'one'", {"one"}),
        ("params.depth = '2'", {"two"}),
        ("params.depth IN ('x')", None),
        ("tags.kind ILIKE 'tree'", {"one", "two"}),
        ("tags.kind LIKE 'tree'", {"one"}),
        ("metrics.f1 >= 0.5", {"one", "three"}),
        ("metrics.f1 > 0.8 AND params.depth = '1'", {"one"}),
        ("creation_timestamp > 0", {"one", "two", "three"}),
        ("status = 'LOGGED_MODEL_READY'", set()),
        ("metrics.absent > 0", set()),
    ],
)
@pytest.mark.usefixtures("three")
def test_logged_models_are_found(tx: Connection, text: str, expected: set[str] | None) -> None:
    if expected is None:
        with pytest.raises(UsageError):
            logged(tx, text)
    else:
        assert logged(tx, text) == expected


@pytest.mark.usefixtures("three")
def test_a_data_set_narrows_the_metrics(tx: Connection) -> None:
    assert logged(tx, "", datasets=[("test", "")]) == {"one"}
    assert logged(tx, "metrics.f1 > 0.8", datasets=[("test", "")]) == set()
    assert logged(tx, "metrics.f1 > 0.6", datasets=[("test", "")]) == {"one"}


@pytest.mark.usefixtures("three")
def test_an_order_by_metric_puts_nan_and_the_missing_last(tx: Connection) -> None:
    LoggedModelStore(tx).create("0", name="unmeasured")
    up, down = Order(METRIC, "f1", is_ascending=True), Order(METRIC, "f1", is_ascending=False)
    assert logged(tx, "", (up, "", "")) == ["three", "one", "two", "unmeasured"]
    assert logged(tx, "", (down, "", "")) == ["one", "three", "two", "unmeasured"]
    assert logged(tx, "", (down, "test", ""))[0] == "one"


def test_every_point_of_a_metric_is_kept_once(tx: Connection, three: list[str]) -> None:
    store = LoggedModelStore(tx)
    store.log_metrics(three[2], [ModelMetric(key="f1", value=0.1, timestamp=9, step=5, run_id="r")])
    store.log_metrics(three[2], [ModelMetric(key="f1", value=0.2, timestamp=99, step=2, run_id="r")])
    store.log_metrics(three[2], [ModelMetric(key="f1", value=0.2, timestamp=99, step=2, run_id="r")])
    points = [
        (each.timestamp, each.value) for each in store.get(three[2], with_points=True).metrics if each.run_id == "r"
    ]
    assert points[-2:] == [(9, 0.1), (99, 0.2)]
    with pytest.raises(NotFound):
        store.log_metrics("m-none", [ModelMetric(key="f1", value=0.1, timestamp=9)])
    assert store.of_run("nobody") == ()


def test_a_run_has_the_models_that_it_uploaded_whole(tx: Connection) -> None:
    store = LoggedModelStore(tx)
    whole, broken, gone, _pending = (store.create("0", name="m", source_run_id="r").id for _ in range(4))
    store.finish(whole, ModelStatus.READY)
    store.finish(broken, ModelStatus.FAILED)
    store.finish(gone, ModelStatus.READY)
    store.delete(gone)
    assert [each.id for each in store.of_run("r")] == [whole]
    assert store.of_run("") == ()
