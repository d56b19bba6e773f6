"""What an attempt's token may do: its own run, the children of it, and reading its experiment; nothing else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from fakes.wire import LiveWire, live_wire
from headway.api.mlflow.route import Access, Route
from headway.api.mlflow.table import ROUTES
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.clock import SystemClock
from headway.tracking.store import RunStore

API = "/api/2.0/mlflow/"


@dataclass(frozen=True, kw_only=True)
class World:
    live: LiveWire
    http: httpx.Client
    exp: str
    own: str
    other: str
    elsewhere: str
    token: str

    def ask(self, token: str, method: str, path: str, **body: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if method == "GET":
            return self.http.get(API + path, params=body, headers=headers)
        return self.http.request(method, API + path, json=body, headers=headers)

    def status(self, method: str, path: str, **body: Any) -> int:
        return self.ask(self.token, method, path, **body).status_code


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with live_wire(tmp_path_factory.mktemp("attempt"), auth="token") as live:
        with live.database.write() as tx:
            store = RunStore(tx, actor="worker")
            exp, elsewhere = store.experiments.create("mine"), store.experiments.create("elsewhere")
            own, other = store.create_run(exp), store.create_run(exp)
            foreign = store.create_run(elsewhere)
            token = TokenStore(tx).mint(
                TokenKind.ATTEMPT,
                "attempt",
                role=Role.CONTRIBUTOR,
                at=SystemClock().now(),
                run_id=own,
                experiment_id=exp,
                attempt_id="A" * 26,
                fence=1,
            )
        with httpx.Client(base_url=live.uri, timeout=60) as http:
            yield World(live=live, http=http, exp=exp, own=own, other=other, elsewhere=foreign, token=token)


def user_token(world: World, role: Role) -> str:
    with world.live.database.write() as tx:
        return TokenStore(tx).mint(TokenKind.USER, "u", role=role, at=SystemClock().now())


def test_it_writes_its_own_run(world: World) -> None:
    assert world.status("POST", "runs/log-metric", run_id=world.own, key="m", value=1, timestamp=1) == 200
    assert world.status("POST", "runs/log-parameter", run_id=world.own, key="p", value="1") == 200
    assert world.status("POST", "runs/set-tag", run_id=world.own, key="t", value="1") == 200
    assert world.status("POST", "runs/log-batch", run_id=world.own, tags=[{"key": "u", "value": "1"}]) == 200
    assert world.status("POST", "runs/update", run_id=world.own, status="FINISHED") == 200
    assert world.status("POST", "runs/update", run_id=world.own, status="RUNNING") == 200


def test_it_writes_no_other_run(world: World) -> None:
    for run in (world.other, world.elsewhere):
        for path, body in (
            ("runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}),
            ("runs/log-parameter", {"key": "p", "value": "1"}),
            ("runs/set-tag", {"key": "mlflow.parentRunId", "value": world.own}),
            ("runs/delete-tag", {"key": "mlflow.runName"}),
            ("runs/log-batch", {}),
            ("runs/log-inputs", {}),
            ("runs/outputs", {"models": [{"model_id": "m-1"}]}),
            ("runs/log-model", {"model_json": "{}"}),
            ("runs/update", {"status": "FAILED"}),
            ("runs/delete", {}),
            ("runs/restore", {}),
        ):
            answer = world.ask(world.token, "POST", path, run_id=run, **body)
            assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED"), path


def test_it_starts_children_that_it_may_write(world: World) -> None:
    tags = [{"key": "mlflow.parentRunId", "value": world.own}]
    child = world.ask(world.token, "POST", "runs/create", experiment_id=world.exp, tags=tags).json()["run"]["info"][
        "run_id"
    ]
    assert world.status("POST", "runs/log-metric", run_id=child, key="m", value=1, timestamp=1) == 200
    tags = [{"key": "mlflow.parentRunId", "value": child}]
    grandchild = world.ask(world.token, "POST", "runs/create", experiment_id=world.exp, tags=tags)
    assert (
        world.status("POST", "runs/set-tag", run_id=grandchild.json()["run"]["info"]["run_id"], key="t", value="1")
        == 200
    )


def test_what_it_asks_in_graphql_ends_at_its_experiment(world: World) -> None:
    def found(field: str, asked: str, below: str) -> tuple[Any, Any]:
        query = f"{{ {field}(input: {{{asked}}}) {{ {below} }} }}"
        headers = {"authorization": f"Bearer {world.token}"}
        answer = httpx.post(world.live.uri + "/graphql", json={"query": query}, headers=headers, timeout=60).json()
        return answer["data"][field], answer["errors"]

    run = "run { info { experimentId } experiment { name } }"
    mine = {"run": {"info": {"experimentId": world.exp}, "experiment": {"name": "mine"}}}
    for each in (world.own, world.other):  # it may read what is in its experiment
        assert found("mlflowGetRun", f'runId: "{each}"', run) == (mine, None)
    for field, asked, below in (
        ("mlflowGetRun", f'runId: "{world.elsewhere}"', run),
        ("mlflowListArtifacts", f'runId: "{world.elsewhere}"', "rootUri"),
        ("mlflowGetExperiment", 'experimentId: "0"', "experiment { name }"),
        ("mlflowGetMetricHistoryBulkInterval", f'runIds: ["{world.elsewhere}"], metricKey: "m"', "metrics { value }"),
    ):
        data, errors = found(field, asked, below)
        assert (data, len(errors)) == (None, 1), field
    assert found("mlflowSearchRuns", 'experimentIds: ["0"]', "runs { info { runId } }") == ({"runs": []}, None)


def test_a_run_without_a_parent_becomes_its_child(world: World) -> None:
    made = world.ask(world.token, "POST", "runs/create", experiment_id=world.exp).json()["run"]
    assert {"key": "mlflow.parentRunId", "value": world.own} in made["data"]["tags"]


def test_it_starts_no_run_under_another_or_elsewhere(world: World) -> None:
    tags = [{"key": "mlflow.parentRunId", "value": world.other}]
    assert world.status("POST", "runs/create", experiment_id=world.exp, tags=tags) == 403
    assert world.status("POST", "runs/create", experiment_id="0") == 403
    assert world.status("POST", "runs/create") == 403


def test_it_reads_its_experiment_only(world: World) -> None:
    assert world.status("GET", "runs/get", run_id=world.other) == 200
    assert world.status("GET", "metrics/get-history", run_id=world.other, metric_key="m") == 200
    assert world.status("GET", "runs/get", run_id=world.elsewhere) == 403
    assert world.status("GET", "metrics/get-history", run_id=world.elsewhere, metric_key="m") == 403
    assert world.status("GET", "experiments/get", experiment_id=world.exp) == 200
    assert world.status("GET", "experiments/get", experiment_id="0") == 403
    listed = world.ask(world.token, "POST", "experiments/search", max_results=100).json()["experiments"]
    assert [each["experiment_id"] for each in listed] == [world.exp]
    found = world.ask(world.token, "POST", "runs/search", experiment_ids=["0", world.exp, "2"]).json()["runs"]
    assert {each["info"]["experiment_id"] for each in found} == {world.exp}


def test_set_experiment_leads_to_its_own(world: World) -> None:
    found = world.ask(world.token, "GET", "experiments/get-by-name", experiment_name="whatever").json()
    assert found["experiment"]["experiment_id"] == world.exp


def test_it_manages_no_experiments(world: World) -> None:
    for path, body in (
        ("create", {"name": "x"}),
        ("update", {"new_name": "x"}),
        ("delete", {}),
        ("restore", {}),
        ("set-experiment-tag", {"key": "k", "value": "v"}),
        ("delete-experiment-tag", {"key": "k"}),
    ):
        assert world.status("POST", f"experiments/{path}", experiment_id=world.exp, **body) == 403


def test_a_revoked_token_of_an_ended_attempt_conflicts(world: World) -> None:
    now = SystemClock().now()
    with world.live.database.write() as tx:
        token = TokenStore(tx).mint(
            TokenKind.ATTEMPT, "attempt", role=Role.CONTRIBUTOR, at=now, run_id=world.own, experiment_id=world.exp,
            attempt_id="B" * 26, fence=2,
        )  # fmt: skip
        TokenStore(tx).revoke_attempt("B" * 26, at=now)
    answer = world.ask(token, "POST", "runs/log-metric", run_id=world.own, key="m", value=1, timestamp=1)
    assert (answer.status_code, answer.json()["error_code"]) == (409, "RESOURCE_CONFLICT")


def test_people_need_a_token_and_a_role(world: World) -> None:
    body = {"run_id": world.own, "key": "m", "value": 1, "timestamp": 1}
    for token in ("", "wrong", world.token[:-1]):
        answer = world.ask(token, "POST", "runs/log-metric", **body)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
        assert "www-authenticate" in answer.headers
    viewer, contributor = user_token(world, Role.VIEWER), user_token(world, Role.CONTRIBUTOR)
    assert world.ask(viewer, "GET", "runs/get", run_id=world.elsewhere).status_code == 200
    assert world.ask(viewer, "POST", "runs/log-metric", **body).status_code == 403
    assert world.ask(contributor, "POST", "runs/log-metric", **body).status_code == 200
    basic = httpx.post(world.live.uri + API + "runs/log-metric", json=body, auth=("anybody", contributor))
    assert basic.status_code == 200


def test_the_probes_need_none(world: World) -> None:
    for path in ("/health", "/version", "/api/3.0/mlflow/server-info"):
        assert httpx.get(world.live.uri + path).status_code == 200


def test_every_route_but_the_probes_asks_who_is_there(world: World) -> None:
    with httpx.Client(base_url=world.live.uri, timeout=60) as client:
        for route in ROUTES:
            paths = [prefix + route.path for prefix in route.prefixes] if isinstance(route, Route) else [route.path]
            for path in paths:
                answer = client.request(route.method, re.sub(r"\{[^}]*\}", "x", path), json={})
                if route.access is Access.OPEN:
                    assert answer.status_code == 200, path
                else:
                    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED"), path


def test_a_viewer_writes_by_no_route(world: World) -> None:
    viewer = user_token(world, Role.VIEWER)
    with httpx.Client(base_url=world.live.uri, timeout=60, headers={"authorization": f"Bearer {viewer}"}) as client:
        for route in ROUTES:
            if route.access in {Access.WRITE, Access.ADMIN}:
                paths = [prefix + route.path for prefix in route.prefixes] if isinstance(route, Route) else [route.path]
                answer = client.request(route.method, re.sub(r"\{[^}]*\}", "x", paths[0]), json={})
                assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED"), paths[0]
