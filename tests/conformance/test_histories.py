"""Histories of metrics: whole, by pages, of several runs, and thinned out."""

import random
from typing import Any

import pytest

from conformance.servers import Server

GROUP = "histories"
MISSING = "Missing value for required parameter '{}'. See the API docs for more information about request parameters."
BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
INTERVAL = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"


def log(server: Server, run: str, points: list[tuple[int, int, float]], key: str = "m") -> None:
    metrics = [{"key": key, "timestamp": t, "step": s, "value": v} for t, s, v in points]
    server.post("runs/log-batch", {"run_id": run, "metrics": metrics})


def shown(points: list[tuple[int, int, float]], run: str = "", key: str = "m") -> list[dict[str, Any]]:
    more = {"run_id": run} if run else {}
    return [{"key": key, "value": v, "timestamp": t, "step": s, **more} for t, s, v in points]


@pytest.fixture(scope="module")
def runs(server: Server) -> tuple[str, str]:
    exp = server.experiment()
    return server.run(exp), server.run(exp)


@pytest.fixture(scope="module")
def points(server: Server, runs: tuple[str, str]) -> list[tuple[int, int, float]]:
    many = [(1000 + i, i, float(i)) for i in range(10)]
    log(server, runs[0], many)
    log(server, runs[1], [(t, s, v + 1) for t, s, v in many])
    return many


def test_a_whole_history_has_no_token(server: Server, runs: tuple[str, str], points: list[Any]) -> None:
    assert server.get("metrics/get-history", run_id=runs[0], metric_key="m") == {"metrics": shown(points)}


def test_pages_lead_to_the_end(server: Server, runs: tuple[str, str], points: list[Any]) -> None:
    found: list[Any] = []
    sizes, token = [], None
    while token != "":
        more = {"page_token": token} if token else {}
        page = server.get("metrics/get-history", run_id=runs[0], metric_key="m", max_results=4, **more)
        found, token = found + page["metrics"], page.get("next_page_token", "")
        sizes.append(len(page["metrics"]))
    assert (sizes, found) == ([4, 4, 2], shown(points))


def test_a_last_page_that_is_full_has_no_token(server: Server, runs: tuple[str, str], points: list[Any]) -> None:
    page = server.get("metrics/get-history", run_id=runs[0], metric_key="m", max_results=5)
    last = server.get(
        "metrics/get-history", run_id=runs[0], metric_key="m", max_results=5, page_token=page["next_page_token"]
    )
    assert last == {"metrics": shown(points[5:])}
    assert server.get("metrics/get-history", run_id=runs[0], metric_key="m", max_results=50) == {
        "metrics": shown(points)
    }


def test_nothing_there_is_nothing_shown(server: Server, runs: tuple[str, str]) -> None:
    assert server.get("metrics/get-history", run_id=runs[0], metric_key="never") == {}
    assert server.get("metrics/get-history", run_id="never", metric_key="m") == {}


def test_what_a_history_refuses(server: Server, runs: tuple[str, str]) -> None:
    def refused(**query: Any) -> Any:
        return server.refused("metrics/get-history", method="GET", **query)

    assert refused().says(MISSING.format("run_id"))
    assert refused(run_id=runs[0]).says(MISSING.format("metric_key"))
    assert refused(run_id=runs[0], metric_key="").says(MISSING.format("metric_key"))
    for number in (0, -1):
        assert refused(run_id=runs[0], metric_key="m", max_results=number).says(
            f"Invalid value {number} for parameter 'max_results' supplied. It must be a positive integer."
        )
    for token in ("a", "junk", "invalid_token", "e30=", "!!!!"):
        assert refused(run_id=runs[0], metric_key="m", page_token=token).says("Invalid page token")


def test_several_histories_come_by_run(server: Server, runs: tuple[str, str], points: list[Any]) -> None:
    of = {runs[0]: points, runs[1]: [(t, s, v + 1) for t, s, v in points]}
    expected = [each for run in sorted(runs) for each in shown(of[run], run)]
    assert server.get(BULK, run_id=list(runs), metric_key="m") == {"metrics": expected}
    assert server.get(BULK, run_id=[*reversed(runs), "never", runs[0]], metric_key="m") == {"metrics": expected}
    assert server.get(BULK, run_id=runs[0], metric_key="m") == {"metrics": shown(points, runs[0])}


def test_several_histories_are_ordered_within_a_run(server: Server, exp: str) -> None:
    run = server.run(exp)
    log(server, run, [(8, 0, 1.0), (7, -2, -100.0), (8, 0, 0.0), (9, 1, 12.0), (8, -5, 3.0)])
    found = server.get(BULK, run_id=run, metric_key="m")["metrics"]
    assert found == shown([(7, -2, -100.0), (8, -5, 3.0), (8, 0, 0.0), (8, 0, 1.0), (9, 1, 12.0)], run)


def test_several_histories_have_a_limit_together(server: Server, runs: tuple[str, str], points: list[Any]) -> None:
    found = server.get(BULK, run_id=list(runs), metric_key="m", max_results=14)["metrics"]
    assert [each["run_id"] for each in found] == [min(runs)] * 10 + [max(runs)] * 4
    assert server.get(BULK, run_id=runs[0], metric_key="m", max_results=0) == {"metrics": []}


def test_several_histories_of_nothing(server: Server, runs: tuple[str, str]) -> None:
    assert server.get(BULK, run_id=list(runs), metric_key="never") == {"metrics": []}
    assert server.get(BULK, run_id="never", metric_key="m") == {"metrics": []}
    assert server.get(BULK, run_id=runs[0], metric_key="") == {"metrics": []}


def test_what_several_histories_refuse(server: Server) -> None:
    def refused(**query: Any) -> Any:
        return server.refused(BULK, method="GET", **query)

    assert refused(metric_key="m").says("GetMetricHistoryBulk request must specify at least one run_id.")
    assert refused(run_id=["r"] * 101, metric_key="m").says(
        "GetMetricHistoryBulk request cannot specify more than 100 run_ids. Received 101 run_ids."
    )
    assert refused(run_id="r").says("GetMetricHistoryBulk request must specify a metric_key.")


def test_several_histories_are_the_browsers_route_only(server: Server) -> None:
    assert server.send("GET", "metrics/get-history-bulk", run_id="r", metric_key="m").status_code == 404


def boxes(points: list[tuple[int, int, float]], most: int) -> list[tuple[int, int, float]]:
    """The first point of each of `most` boxes of as equal size as can be, and the last point in the last place."""
    ordered = sorted(points, key=lambda p: (p[1], p[0], p[2]))
    if len(ordered) <= most:
        return ordered
    size, larger = divmod(len(ordered), most)
    starts = [sum(size + (box < larger) for box in range(before)) for before in range(most)]
    return [*(ordered[start] for start in starts[:-1]), ordered[-1]]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 9, 10, 11, 2500])
def test_thinned_histories(server: Server, runs: tuple[str, str], points: list[Any], most: int) -> None:
    other = [(t, s, v + 1) for t, s, v in points]
    expected = shown(boxes(points, most), runs[0]) + shown(boxes(other, most), runs[1])
    assert server.get(INTERVAL, run_ids=list(runs), metric_key="m", max_results=most) == {"metrics": expected}


@pytest.mark.parametrize("most", [1, 4, 7, 30, 60])
def test_thinned_histories_of_any_shape(server: Server, exp: str, most: int) -> None:
    chance = random.Random(most)
    runs = [server.run(exp), server.run(exp)]
    of: dict[str, list[tuple[int, int, float]]] = {}
    for run in runs:
        count = chance.randint(20, 50)
        drawn = {(chance.randint(0, 9), chance.randint(-3, 20), float(chance.randint(0, 5))) for _ in range(count)}
        of[run] = sorted(drawn)
        log(server, run, of[run])
    asked = [runs[1], runs[0], runs[1]]
    expected = [each for run in asked for each in shown(boxes(of[run], most), run)]
    assert server.get(INTERVAL, run_ids=asked, metric_key="m", max_results=most)["metrics"] == expected
    within = [each for run in asked for each in shown(boxes([p for p in of[run] if 2 <= p[1] <= 9], most), run)]
    found = server.get(INTERVAL, run_ids=asked, metric_key="m", max_results=most, start_step=2, end_step=9)
    assert found["metrics"] == within


def test_thinned_histories_have_both_prefixes(server: Server, runs: tuple[str, str], points: list[Any]) -> None:
    expected = {"metrics": shown(points, runs[0])}
    assert server.get("metrics/get-history-bulk-interval", run_ids=runs[0], metric_key="m") == expected


def test_thinned_histories_of_nothing(server: Server, runs: tuple[str, str]) -> None:
    assert server.get(INTERVAL, run_ids=list(runs), metric_key="never") == {}
    assert server.get(INTERVAL, run_ids="never", metric_key="m") == {}
    assert server.get(INTERVAL, run_ids=runs[0], metric_key="m", start_step=50, end_step=60) == {}


def test_many_points_of_one_step_are_thinned_too(server: Server, exp: str) -> None:
    run = server.run(exp)
    many = [(i, 0, 0.5) for i in range(40)]
    log(server, run, many)
    found = server.get(INTERVAL, run_ids=run, metric_key="m", max_results=4)["metrics"]
    assert found == shown([many[0], many[10], many[20], many[39]], run)


def test_what_thinned_histories_refuse(server: Server) -> None:
    def refused(**query: Any) -> Any:
        return server.refused(INTERVAL, method="GET", **query)

    assert refused(metric_key="m").says(MISSING.format("run_ids"))
    assert refused(run_ids="r").says(MISSING.format("metric_key"))
    assert refused(run_ids="r", metric_key="").says(MISSING.format("metric_key"))
    assert refused(run_ids=["r"] * 101, metric_key="m").says(
        "GetMetricHistoryBulkInterval request must specify at most 100 run_ids. Received 101 run_ids."
    )
    for number in (0, 2501):
        assert refused(run_ids="r", metric_key="m", max_results=number).says("max_results must be between 1 and 2500.")
    assert refused(run_ids="r", metric_key="m", start_step=1, end_step=0).says(
        "end_step must be greater than start_step. Found start_step=1 and end_step=0."
    )
    for half in ({"start_step": 1}, {"end_step": 1}):
        assert refused(run_ids="r", metric_key="m", **half).says(
            "If either start step or end step are specified, both must be specified."
        )
    assert refused(run_ids="r", metric_key="m", start_step="a", end_step=3).says("for parameter 'start_step' supplied")


def test_the_client_pages_by_itself(client: Any, rest: Any, server: Server, exp: str) -> None:
    run = server.run(exp)
    log(server, run, [(i, i, float(i)) for i in range(10)])
    whole = client.get_metric_history(run, "m")
    assert [(p.timestamp, p.step, p.value, p.key) for p in whole] == [(i, i, float(i), "m") for i in range(10)]
    page = rest.get_metric_history(run, "m", max_results=4)
    assert (len(page), bool(page.token)) == (4, True)
    assert client.get_metric_history(run, "never") == []


def test_the_store_takes_thinned_histories(rest: Any, server: Server, exp: str) -> None:
    run = server.run(exp)
    log(server, run, [(1000 + i, i, float(i)) for i in range(100)])
    found = rest.get_metric_history_bulk_interval(
        run_ids=[run], metric_key="m", max_results=10, start_step=None, end_step=None
    )
    assert 10 <= len(found) <= 12  # this store thins out by itself
    assert (found[0].step, found[-1].step) == (0, 99)
    found = rest.get_metric_history_bulk_interval(
        run_ids=[run], metric_key="m", max_results=320, start_step=20, end_step=30
    )
    assert [each.step for each in found] == list(range(20, 31))


@pytest.mark.parametrize(
    ("path", "name", "text"), [(BULK, "run_id", "cannot specify more than"), (INTERVAL, "run_ids", "at most 100")]
)
def test_a_thousand_runs_are_refused_as_too_many(server: Server, path: str, name: str, text: str) -> None:
    ids = [f"id_{number}" for number in range(1000)]
    assert server.refused(path, method="GET", metric_key="key", **{name: ids}).says(text)
