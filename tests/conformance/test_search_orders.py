"""Searching runs: whose, how many, in which order, a page at a time."""

from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "search of runs: orders and pages"


def names(server: Server, exp: str | list[str], **more: Any) -> list[str]:
    body = {"experiment_ids": [exp] if isinstance(exp, str) else exp, **more}
    return [run["info"]["run_name"] for run in server.post("runs/search", body).get("runs", [])]


def ids(server: Server, exp: str, **more: Any) -> list[str]:
    answer = server.post("runs/search", {"experiment_ids": [exp], **more})
    return [run["info"]["run_id"] for run in answer.get("runs", [])]


@pytest.fixture(scope="module")
def measured(server: Server) -> str:
    exp = server.experiment()
    values = [None, "NaN", "Infinity", "-Infinity", -1000, 0, 0, 1000]
    for index, value in enumerate(values, 1):
        title = f"{value}/{index}"
        tags = [{"key": "metric", "value": str(index)}]
        run = server.run(exp, run_name=title, start_time=123, tags=tags)
        points = [] if value is None else [("x", value), ("y", index)]
        metrics = [{"key": key, "value": number, "timestamp": 1} for key, number in points]
        body = {"metrics": metrics, "params": [{"key": "metric", "value": str(index)}]}
        server.post("runs/log-batch", {"run_id": run, **body})
    return exp


UP = ["-Infinity/4", "-1000/5", "0/6", "0/7", "1000/8", "Infinity/3", "NaN/2", "None/1"]
UP_DOWN = ["-Infinity/4", "-1000/5", "0/7", "0/6", "1000/8", "Infinity/3", "NaN/2", "None/1"]
DOWN = ["Infinity/3", "1000/8", "0/6", "0/7", "-1000/5", "-Infinity/4", "NaN/2", "None/1"]
DOWN_DOWN = ["Infinity/3", "1000/8", "0/7", "0/6", "-1000/5", "-Infinity/4", "NaN/2", "None/1"]


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        (["metrics.x asc", "metrics.y asc"], UP),
        (["metrics.x", "tag.metric"], UP),
        (["metric.x ASC", "metrics.y desc"], UP_DOWN),
        (["metrics.`x` asc", "tag.metric DESC"], UP_DOWN),
        (['metrics."x" desc', "metrics.y asc"], DOWN),
        (["metrics.x Desc", "param.metric desc"], DOWN_DOWN),
        (["params.metric"], [*"12345678"]),
        (["tags.metric desc"], [*"87654321"]),
        (["params.never", "params.metric desc"], [*"87654321"]),
        (["metrics.never desc", "params.metric"], [*"12345678"]),
        (["metrics.y desc"], [*"87654321"]),
    ],
)
def test_missing_and_special_values_come_last_either_way(
    server: Server, measured: str, orders: list[str], expected: list[str]
) -> None:
    found = names(server, measured, order_by=orders)
    assert (found if "/" in expected[0] else [name.rpartition("/")[2] for name in found]) == expected


@pytest.mark.parametrize("size", [1, 3, 4, 7])
@pytest.mark.parametrize(
    "orders", [["metrics.x", "metrics.y"], ["metrics.x desc", "param.metric"], ["tags.metric"], [], ["end_time"]]
)
def test_pages_together_are_the_whole(server: Server, measured: str, orders: list[str], size: int) -> None:
    whole = names(server, measured, order_by=orders)
    found: list[str] = []
    token = ""
    for _ in range(20):
        body = {"experiment_ids": [measured], "order_by": orders, "max_results": size, "page_token": token}
        page = server.post("runs/search", body)
        found += [run["info"]["run_name"] for run in page["runs"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert found == whole
    assert len(whole) == 8


def test_a_last_page_that_is_full_has_no_token(server: Server, measured: str) -> None:
    first = server.post("runs/search", {"experiment_ids": [measured], "max_results": 4})
    body = {"experiment_ids": [measured], "max_results": 4, "page_token": first["next_page_token"]}
    assert "next_page_token" not in server.post("runs/search", body)


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ([], "123 789 -123 456 None 234"),
        (["attribute.end_time asc"], "-123 123 234 456 789 None"),
        (["attributes.end_time DESC"], "789 456 234 123 -123 None"),
        (["end_time desc"], "789 456 234 123 -123 None"),
        (["attribute.start_time asc", "attribute.end_time desc"], "234 None 456 -123 789 123"),
        (["start_time"], "234 None 456 -123 789 123"),
        (["created desc"], "123 789 -123 456 None 234"),
        (["Created ASC"], "234 None 456 -123 789 123"),
        (["run_name"], "-123 123 234 456 789 None"),
        (["attributes.run_name desc"], "None 789 456 234 123 -123"),
        (["status", "start_time"], "None 234 456 -123 789 123"),
        (["user_id DESC"], "234 None 456 -123 789 123"),
    ],
)
def test_orders_of_attributes(server: Server, orders: list[str], expected: str) -> None:
    exp = server.experiment()
    for index, end in enumerate([234, None, 456, -123, 789, 123]):
        run = server.run(exp, run_name=str(end), start_time=100 + index, user_id=f"u{9 - index}")
        more = {} if end is None else {"end_time": end, "status": "FINISHED" if end > 0 else "KILLED"}
        server.post("runs/update", {"run_id": run, **({"status": "FAILED"} | more)})
    if orders == ["status", "start_time"]:
        expected = "None 234 456 789 123 -123"
    assert names(server, exp, order_by=orders) == expected.split()


def test_equal_starts_are_ordered_by_id(server: Server, exp: str) -> None:
    runs = sorted(server.run(exp, start_time=10) for _ in range(6))
    assert ids(server, exp) == runs
    for count in (1, 4, 6, 20):
        assert ids(server, exp, max_results=count) == runs[:count]
    assert ids(server, exp, order_by=["run_id DESC"]) == runs[::-1]


def test_the_newest_come_first(server: Server, exp: str) -> None:
    runs = [server.run(exp, start_time=number) for number in (5, 9, 1)]
    assert ids(server, exp) == [runs[1], runs[0], runs[2]]


@pytest.mark.parametrize(
    ("view", "expected"),
    [(None, "a"), ("ACTIVE_ONLY", "a"), ("DELETED_ONLY", "d"), ("ALL", "a d"), (1, "a"), (2, "d"), (3, "a d")],
)
def test_views(server: Server, exp: str, view: Any, expected: str) -> None:
    server.run(exp, run_name="a")
    server.post("runs/delete", {"run_id": server.run(exp, run_name="d")})
    more = {} if view is None else {"run_view_type": view}
    assert sorted(names(server, exp, **more)) == expected.split()


def test_runs_of_several_experiments(server: Server) -> None:
    exps = [server.experiment(), server.experiment(), server.experiment()]
    for index, exp in enumerate(exps):
        server.run(exp, run_name=str(index), start_time=index)
    assert names(server, exps[:2]) == ["1", "0"]
    assert names(server, [*exps, "98765432", exps[0]]) == ["2", "1", "0"]
    for index, exp in enumerate(exps):
        run = ids(server, exp)[0]
        server.post("runs/log-metric", {"run_id": run, "key": "m", "value": index % 2, "timestamp": 1})
        server.post("runs/log-parameter", {"run_id": run, "key": "p", "value": str(-index)})
    assert names(server, exps, order_by=["metrics.m desc", "start_time"]) == ["1", "0", "2"]
    assert names(server, exps, filter="metrics.m = 0", order_by=["params.p"]) == ["2", "0"]


def test_the_runs_of_no_experiment_are_none(server: Server) -> None:
    for body in (
        {},
        {"experiment_ids": []},
        {"experiment_ids": ["98765432"]},
        {"experiment_ids": ["-1337"]},
        {"experiment_ids": [], "max_results": 1},
    ):
        assert server.post("runs/search", body) == {}


def test_a_deleted_experiments_runs(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("experiments/delete", {"experiment_id": exp})
    assert ids(server, exp) == []
    assert ids(server, exp, run_view_type="ALL") == [run]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"experiment_ids": "x"}, "Invalid value \"x\" for parameter 'experiment_ids' supplied"),
        ({"experiment_ids": ["nope"]}, "Invalid experiment ID 'nope'. Experiment ID must be a valid integer."),
        ({"experiment_ids": [""]}, "Invalid experiment ID ''. Experiment ID must be a valid integer."),
        ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": -1}, "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": 50_001}, "Invalid value 50001 for parameter 'max_results' supplied"),
        ({"max_results": 123456789}, "Invalid value 123456789 for parameter 'max_results' supplied"),
        ({"max_results": "x"}, "Invalid value \"x\" for parameter 'max_results' supplied"),
        ({"order_by": "x"}, "Invalid value \"x\" for parameter 'order_by' supplied"),
        ({"order_by": [5]}, "Invalid value [5] for parameter 'order_by' supplied"),
        ({"order_by": ["foo"]}, "Invalid attribute key 'foo' specified. Valid keys are '{"),
        ({"order_by": ["attribute.lifecycle_stage"]}, "Invalid attribute key 'lifecycle_stage' specified."),
        ({"order_by": ["m.x"]}, "Invalid entity type 'm'"),
        ({"order_by": ["metrics.a foo"]}, "Invalid ordering key in order_by clause 'metrics.a foo'."),
        ({"order_by": ["metrics.a asc desc"]}, "Invalid order_by clause 'metrics.a asc desc'. Could not be parsed."),
        ({"order_by": ["dataset.name"]}, "Invalid identifier type 'dataset'"),
        ({"page_token": "a"}, "Invalid page token, could not base64-decode"),
        ({"page_token": "junk"}, "Invalid page token"),
        ({"page_token": "e30="}, "Invalid page token"),
    ],
)
def test_what_a_search_refuses(server: Server, exp: str, body: dict[str, Any], text: str) -> None:
    assert server.refused("runs/search", {"experiment_ids": [exp], **body}).says(text)


@pytest.mark.parametrize("orders", [["metrics.a", "metric.a desc"], ["start_time", "created"], ["tags.a", "tags.a"]])
def test_a_field_may_be_ordered_by_once(server: Server, exp: str, orders: list[str]) -> None:
    refused = server.refused("runs/search", {"experiment_ids": [exp], "order_by": orders})
    assert refused.message == f"`order_by` contains duplicate fields: {orders}"


def test_a_thousand_runs_are_a_page_by_default(client: Any) -> None:
    from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT

    assert SEARCH_MAX_RESULTS_DEFAULT == 1000
    exp = client.create_experiment(fresh("default"))
    for _ in range(3):
        client.create_run(exp)
    page = client.search_runs([exp])
    assert (len(page), page.token) == (3, None)


def test_the_client_pages(client: Any, exp: str, server: Server) -> None:
    runs = sorted(server.run(exp, start_time=1) for _ in range(10))
    found, token = [], None
    for count in (4, 4, 2):
        page = client.search_runs([exp], max_results=4, page_token=token)
        assert len(page) == count
        found, token = found + [run.info.run_id for run in page], page.token
    assert (found, token) == (runs, None)


def test_ordering_by_a_tag_keeps_the_runs_without_it(server: Server, exp: str) -> None:
    runs = [server.run(exp, start_time=0) for _ in range(2)]
    server.post("runs/set-tag", {"run_id": runs[0], "key": "t1", "value": "1"})
    assert ids(server, exp, order_by=["tag.t1"]) == runs
    assert ids(server, exp, order_by=["tag.t1 desc"]) == runs


def test_texts_are_ordered_by_their_bytes(server: Server, exp: str) -> None:
    for value in ("b", "B", "a", "é", "Z", "_", "10", "9"):
        run = server.run(exp, run_name=value)
        server.post("runs/log-parameter", {"run_id": run, "key": "p", "value": value})
    expected = ["10", "9", "B", "Z", "_", "a", "b", "é"]
    assert names(server, exp, order_by=["params.p"]) == expected
    assert names(server, exp, order_by=["run_name desc"]) == expected[::-1]
