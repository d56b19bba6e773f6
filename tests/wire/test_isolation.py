"""Two tenants on one wire: whatever A has is, for B, the same as what is not there; a stranger gets 401 everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from fakes.wire import LiveWire, live_wire
from headway.api.mlflow.admit import GUARDS, STREAMS
from headway.api.mlflow.route import Access, Route
from headway.api.mlflow.table import ROUTES
from headway.auth.model import Role, TokenKind
from headway.auth.projects import ProjectStore
from headway.auth.tokens import TokenStore
from headway.auth.users import UserStore
from headway.tracking.ownership import project_of_experiment
from headway.tracking.store import RunStore

API = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/"
NOW = datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Things:
    """The names by which requests speak of one tenant's things."""

    exp: str
    exp_name: str
    run: str
    model: str
    logged: str

    @property
    def key(self) -> str:
        return f"{self.exp}/{self.run}/artifacts/secret.txt"


NOTHING = Things(exp="2147480000", exp_name="nowhere", run="0" * 32, model="nothing", logged="m-" + "0" * 32)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it was recorded."""

    method: str
    path: str
    body: dict[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    hides: bool = True  # 404 for what is not there; else an answer without it

    def with_body(self, **more: Any) -> Request:
        return replace(self, body=self.body | more)


GRAPH = {
    "mlflowGetRun": "run { info { runName } data { tags { value } } experiment { name } modelVersions { name } }",
    "mlflowGetExperiment": "experiment { name }",
    "mlflowSearchRuns": "runs { info { runName } experiment { name } modelVersions { name } }",
    "mlflowSearchDatasets": "datasetSummaries { name }",
    "mlflowGetMetricHistoryBulkInterval": "metrics { value }",
    "mlflowListArtifacts": "rootUri files { path }",
    "mlflowSearchModelVersions": "modelVersions { name source }",
}


def requests(of: Things) -> list[Request]:
    """Every route that is given the name of a thing, with every way to name it."""
    run, exp, model = {"run_id": of.run}, {"experiment_id": of.exp}, {"name": of.model}
    version, logged = {"name": of.model, "version": "1"}, f"logged-models/{of.logged}"
    point = {"key": "m", "value": 1.0, "timestamp": 1}

    def post(path: str, body: dict[str, Any], **more: Any) -> Request:
        return Request(method="POST", path=API + path, body=body, **more)

    def get(path: str, body: dict[str, Any], **more: Any) -> Request:
        return Request(method="GET", path=API + path, body=body, **more)

    def graph(field: str, **asked: Any) -> Request:
        below = GRAPH[field]
        kind = "mutation" if field == "mlflowSearchDatasets" else "query"
        query = f"{kind} Q($asked: {field[0].upper()}{field[1:]}Input!) {{ {field}(input: $asked) {{ {below} }} }}"
        body = {"query": query, "variables": {"asked": asked}}
        return Request(method="POST", path="/graphql", body=body, hides=False)

    return [
        graph("mlflowGetRun", runId=of.run),
        graph("mlflowGetRun", runUuid=of.run),
        graph("mlflowGetExperiment", experimentId=of.exp),
        graph("mlflowSearchRuns", experimentIds=[of.exp]),
        graph("mlflowSearchDatasets", experimentIds=[of.exp]),
        graph("mlflowGetMetricHistoryBulkInterval", runIds=[of.run], metricKey="loss"),
        graph("mlflowListArtifacts", runId=of.run),
        graph("mlflowSearchModelVersions", filter=f"name = '{of.model}'"),
        Request(
            method="GET",
            path="/graphql",
            body={"query": f'{{ mlflowGetRun(input: {{runId: "{of.run}"}}) {{ {GRAPH["mlflowGetRun"]} }} }}'},
            hides=False,
        ),
        post("runs/create", exp),
        Request(
            method="POST",
            path="/ajax-api/2.0/mlflow/runs/create-promptlab-run",
            body=exp
            | dict.fromkeys(("prompt_template", "model_route", "model_input", "mlflow_version"), "x")
            | {"prompt_parameters": [{"key": "k", "value": "v"}]},
        ),
        get("runs/get", run),
        get("runs/get", {"run_uuid": of.run}),
        post("runs/update", run | {"status": "FAILED"}),
        post("runs/delete", run),
        post("runs/restore", run),
        post("runs/search", {"experiment_ids": [of.exp], "max_results": 1}, hides=False),
        post("runs/log-metric", run | point),
        post("runs/log-metric", {"run_uuid": of.run} | point),
        post("runs/log-parameter", run | {"key": "p", "value": "x"}),
        post("runs/set-tag", run | {"key": "t", "value": "x"}),
        post("runs/delete-tag", run | {"key": "colour"}),
        post("runs/log-batch", run | {"metrics": [point]}),
        post("runs/log-inputs", run | {"datasets": []}),
        post("runs/outputs", run | {"models": [{"model_id": of.logged, "step": 1}]}),
        post("runs/log-model", run | {"model_json": "{}"}),
        get("metrics/get-history", run | {"metric_key": "loss"}, hides=False),
        Request(
            method="GET",
            path="/ajax-api/2.0/mlflow/metrics/get-history-bulk",
            body={"run_id": of.run, "metric_key": "loss"},
            hides=False,
        ),
        get("metrics/get-history-bulk-interval", {"run_ids": of.run, "metric_key": "loss"}, hides=False),
        get("experiments/get", exp),
        get("experiments/get-by-name", {"experiment_name": of.exp_name}),
        post("experiments/update", exp | {"new_name": "taken over"}),
        post("experiments/delete", exp),
        post("experiments/restore", exp),
        post("experiments/set-experiment-tag", exp | {"key": "t", "value": "x"}),
        post("experiments/set-experiment-tag", exp | {"key": "headway.project", "value": "b"}),
        post("experiments/delete-experiment-tag", exp | {"key": "t"}),
        Request(method="DELETE", path=API + "experiments/delete-experiment-tag", body=exp | {"key": "t"}),
        post("experiments/search-datasets", {"experiment_ids": [of.exp]}, hides=False),
        post("registered-models/rename", model | {"new_name": "taken-over"}),
        Request(method="PATCH", path=API + "registered-models/update", body=model | {"description": "x"}),
        Request(method="DELETE", path=API + "registered-models/delete", body=model),
        get("registered-models/get", model),
        post("registered-models/get-latest-versions", model),
        get("registered-models/get-latest-versions", model),
        post("registered-models/set-tag", model | {"key": "t", "value": "x"}),
        post("registered-models/set-tag", model | {"key": "headway.project", "value": "b"}),
        Request(method="DELETE", path=API + "registered-models/delete-tag", body=model | {"key": "t"}),
        post("registered-models/alias", model | {"alias": "champion", "version": "1"}),
        Request(method="DELETE", path=API + "registered-models/alias", body=model | {"alias": "champion"}),
        get("registered-models/alias", model | {"alias": "champion"}),
        post("model-versions/create", model | {"source": f"runs:/{of.run}/m", "run_id": of.run}),
        get("model-versions/get", version),
        Request(method="PATCH", path=API + "model-versions/update", body=version | {"description": "x"}),
        post("model-versions/transition-stage", version | {"stage": "Production"}),
        Request(method="DELETE", path=API + "model-versions/delete", body=version),
        get("model-versions/get-download-uri", version),
        post("model-versions/set-tag", version | {"key": "t", "value": "x"}),
        Request(method="DELETE", path=API + "model-versions/delete-tag", body=version | {"key": "t"}),
        post("logged-models", exp | {"name": "evil", "source_run_id": of.run}),
        post("logged-models/search", {"experiment_ids": [of.exp]}, hides=False),
        get(logged, {}),
        Request(method="PATCH", path=API + logged, body={"status": "LOGGED_MODEL_READY"}),
        Request(method="DELETE", path=API + logged),
        post(f"{logged}/params", {"params": [{"key": "a", "value": "b"}]}),
        Request(method="PATCH", path=API + f"{logged}/tags", body={"tags": [{"key": "a", "value": "b"}]}),
        Request(method="DELETE", path=API + f"{logged}/tags/a"),
        get(f"{logged}/artifacts/directories", {}),
        get(f"{logged}/artifacts/files", {"artifact_file_path": "MLmodel"}),
        get("artifacts/list", run),
        post("artifacts/presigned-upload-url", {"run_id": of.run, "path": "x"}),
        post("artifacts/presigned-upload-url", {"model_id": of.logged, "path": "x"}),
        post("artifacts/presigned-download-url", {"run_id": of.run, "path": "secret.txt"}),
        Request(method="GET", path="/get-artifact", body={"run_uuid": of.run, "path": "secret.txt"}),
        Request(
            method="GET",
            path="/model-versions/get-artifact",
            body={"name": of.model, "version": "1", "path": "MLmodel"},
        ),
        Request(
            method="POST",
            path=f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={of.run}&path=evil.txt",
            raw=b"evil",
        ),
        Request(method="GET", path=f"{PROXY}artifacts/{of.key}"),
        Request(method="PUT", path=f"{PROXY}artifacts/{of.key}", raw=b"evil"),
        Request(method="DELETE", path=f"{PROXY}artifacts/{of.key}"),
        Request(method="DELETE", path=f"{PROXY}artifacts/{of.exp}"),
        Request(method="GET", path=f"{PROXY}artifacts", body={"path": f"{of.exp}/{of.run}/artifacts"}, hides=False),
        Request(method="GET", path=f"{PROXY}artifacts", body={"path": of.exp}, hides=False),
        *(
            Request(method="POST", path=f"{PROXY}mpu/{step}/{of.key}", raw=b"{}")
            for step in ("create", "complete", "abort")
        ),
    ]


@dataclass(kw_only=True)
class World:
    live: LiveWire
    http: httpx.Client  # one for all: making a client costs more than most requests
    tokens: dict[str, str]
    a: Things = NOTHING
    b: Things = NOTHING

    def send(self, who: str, request: Request) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        url = self.live.uri + request.path
        if request.raw is not None:
            return self.http.request(request.method, url, content=request.raw, headers=headers)
        if request.method == "GET":
            return self.http.request("GET", url, params=request.body, headers=headers)
        return self.http.request(request.method, url, json=request.body, headers=headers)

    def ask(self, who: str, path: str, **body: Any) -> Any:
        answer = self.send(who, Request(method="POST", path=API + path, body=body))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self, who: str, method: str, path: str, **body: Any) -> int:
        return self.send(who, Request(method=method, path=path, body=body)).status_code

    def mint(self, name: str, user: str, role: Role = Role.ADMIN, project: str = "") -> None:
        with self.live.database.write() as tx:
            self.tokens[name] = TokenStore(tx).mint(TokenKind.USER, user, role=role, at=NOW, project=project)

    def fill(self, who: str) -> Things:
        """What a tenant makes: an experiment, a run, files, a logged model, a registered model."""
        exp = self.ask(who, "experiments/create", name=f"exp-of-{who}")["experiment_id"]
        tags = [{"key": "colour", "value": f"tag-of-{who}"}]
        run = self.ask(who, "runs/create", experiment_id=exp, run_name=f"run-of-{who}", tags=tags)["run"]["info"]
        run_id = run["run_id"]
        self.ask(who, "runs/log-metric", run_id=run_id, key="loss", value=0.25, timestamp=1)
        made = self.ask(who, "logged-models", experiment_id=exp, name=f"logged-of-{who}", source_run_id=run_id)
        logged = made["model"]["info"]["model_id"]
        things = Things(exp=exp, exp_name=f"exp-of-{who}", run=run_id, model=f"model-of-{who}", logged=logged)
        for key in (things.key, f"{exp}/models/{logged}/artifacts/MLmodel", f"{exp}/{run_id}/artifacts/m/MLmodel"):
            put = Request(method="PUT", path=f"{PROXY}artifacts/{key}", raw=f"file-of-{who}".encode())
            assert self.send(who, put).status_code == 200, key
        self.ask(who, "registered-models/create", name=things.model)
        self.ask(who, "model-versions/create", name=things.model, source=f"runs:/{run_id}/m", run_id=run_id)
        self.ask(who, "registered-models/alias", name=things.model, alias="champion", version="1")
        return things

    def state(self) -> list[Any]:
        """Everything of A's that a request could have changed."""
        reads = [request for request in requests(self.a) if request.method == "GET"]
        return [(each.path, self.send("a", each).text) for each in reads]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with live_wire(tmp_path_factory.mktemp("tenants"), auth="token") as live, httpx.Client(timeout=60) as http:
        made = World(live=live, http=http, tokens={})
        with live.database.write() as tx:
            users, projects = UserStore(tx), ProjectStore(tx)
            users.ensure_admin("root", at=NOW, by="test")
            for name in ("a", "b"):
                projects.add(name, at=NOW, by="root")
                users.add(name, Role.NONE, at=NOW, by="root")
                users.grant(name, name, role=Role.ADMIN, at=NOW, by="root")
            for role in (Role.VIEWER, Role.CONTRIBUTOR, Role.MAINTAINER):
                users.add(role.name.lower(), Role.NONE, at=NOW, by="root")
                users.grant(role.name.lower(), "a", role=role, at=NOW, by="root")
            users.add("member", Role.CONTRIBUTOR, at=NOW, by="root")
            users.grant("member", "a", role=Role.NONE, at=NOW, by="root")
        for name in ("root", "a", "b", "viewer", "contributor", "maintainer", "member"):
            made.mint(name, name)
        made.a, made.b = made.fill("a"), made.fill("b")
        yield made


def _same(text: str, of: Things) -> str:
    """An answer with the names that were asked for taken out."""
    for each in sorted((str(getattr(of, one.name)) for one in fields(of)), key=len, reverse=True):
        text = text.replace(each, "*") if len(each) > 1 else re.sub(rf"(?<![\w-]){each}(?![\w-])", "*", text)
    return text


def test_every_route_is_recorded_and_has_a_guard(world: World) -> None:
    prefix = re.compile(r"/(?:ajax-)?api/[23]\.0/(?:mlflow/)?")
    recorded = {(each.method, each.path.partition("?")[0]) for each in requests(world.a)}
    for route in ROUTES:
        if route.access is Access.OPEN:
            continue
        table = GUARDS if isinstance(route, Route) else STREAMS
        name = prefix.sub("", route.path)
        assert name in table, f"{route.path} would be closed to everybody who has not one role in all projects"
        if name in UNNAMED or "presigned/{path" in name:
            continue
        pattern = re.compile(".*" + re.sub(r"\\\{\w+(:path)?\\\}", ".+", re.escape(name)) + r"\Z")
        assert any(method == route.method and pattern.match(path) for method, path in recorded), (route.method, name)


# What names no thing: made by anybody who may write somewhere, or a search of what is in sight.
UNNAMED = frozenset(
    {
        "experiments/create",
        "experiments/search",
        "registered-models/create",
        "registered-models/search",
        "model-versions/search",
    }
)


@pytest.mark.parametrize("who", ["b", "member"])
def test_what_belongs_to_another_project_is_as_if_it_were_not_there(world: World, who: str) -> None:
    before = world.state()
    for theirs, unknown in zip(requests(world.a), requests(NOTHING), strict=True):
        hidden, absent = world.send(who, theirs), world.send(who, unknown)
        where = (theirs.method, theirs.path, theirs.body, hidden.text)
        assert hidden.status_code == absent.status_code, where
        assert _same(hidden.text, world.a) == _same(absent.text, NOTHING), where
        # Who may delete files in no project at all is told so before anybody looks which file it is.
        is_beyond = who == "member" and theirs.method == "DELETE" and "mlflow-artifacts" in theirs.path
        assert hidden.status_code == (403 if is_beyond else 404 if theirs.hides else 200), where
        for name in ("of-a", "0.25"):
            assert name not in hidden.text.replace(world.a.exp_name, "").replace(world.a.model, ""), where
    assert world.state() == before


def test_a_stranger_gets_401_in_json_and_changes_nothing(world: World) -> None:
    before = world.state()
    for each in requests(world.a):
        answer = world.send("", each)
        assert answer.status_code == 401, (each.method, each.path)
        assert answer.json()["error_code"] == "UNAUTHENTICATED"
        assert answer.headers["www-authenticate"].startswith("Basic")
    for path in (
        "/api/3.0/mlflow/traces/search", "/api/2.0/mlflow/users/create", "/ajax-api/2.0/mlflow/users/get",
        "/ajax-api/3.0/jobs/1", "/api/2.0/mlflow/gateway/routes", "/api/2.0/mlflow/nonsense",
        "/api/2.0/mlflow/webhooks", "/api/2.0/mlflow/registered-models/permissions/create",
    ):  # fmt: skip
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            assert world.status("", method, path) == 401, (method, path)
    assert httpx.get(world.live.uri + "/health").status_code == 200
    assert world.state() == before


def test_the_whole_table_asks_strangers_for_a_token(world: World) -> None:
    for route in ROUTES:
        paths = [prefix + route.path for prefix in route.prefixes] if isinstance(route, Route) else [route.path]
        for path in paths:
            filled = re.sub(r"\{\w+(:path)?\}", "1", path)
            answer = world.http.request(route.method, world.live.uri + filled)
            assert answer.status_code == (200 if route.access is Access.OPEN else 401), (route.method, filled)


SEARCHES = [
    Request(method="POST", path=API + "experiments/search", body={"max_results": 1000}),
    Request(method="POST", path=API + "experiments/search", body={"max_results": 1000, "filter": "name LIKE '%of-a%'"}),
    Request(method="POST", path=API + "experiments/search", body={"max_results": 1000, "view_type": "ALL"}),
    Request(method="GET", path=API + "registered-models/search", body={}),
    Request(method="GET", path=API + "registered-models/search", body={"filter": "name LIKE 'model-of-a%'"}),
    Request(method="GET", path=API + "model-versions/search", body={}),
    Request(method="GET", path=API + "model-versions/search", body={"filter": "name = 'model-of-a'"}),
    Request(method="GET", path=PROXY + "artifacts", body={}),
]


@pytest.mark.parametrize("search", SEARCHES)
def test_searches_leak_no_names_and_no_counts(world: World, search: Request) -> None:
    found = world.send("b", search)
    assert found.status_code == 200, found.text
    assert "of-a" not in found.text
    assert world.a.run not in found.text
    assert "next_page_token" not in found.text


def test_pages_are_full_of_what_is_in_sight(world: World) -> None:
    """Filtering comes before paging: a page of one is B's own, and there is no next page because of A's."""
    both = [world.a.exp, world.b.exp, world.a.exp]
    page = world.ask("b", "runs/search", experiment_ids=both, max_results=1, order_by=["attributes.start_time ASC"])
    assert [run["info"]["run_id"] for run in page["runs"]] == [world.b.run]
    assert "next_page_token" not in page
    page = world.ask("b", "experiments/search", max_results=1, filter="name LIKE 'exp-of-%'")
    assert [each["experiment_id"] for each in page["experiments"]] == [world.b.exp]
    assert "next_page_token" not in page
    root = world.ask("root", "runs/search", experiment_ids=both, max_results=1)
    assert "next_page_token" in root


def test_histories_of_several_runs_hold_only_ones_own(world: World) -> None:
    for path, name in (
        ("/ajax-api/2.0/mlflow/metrics/get-history-bulk", "run_id"),
        (API + "metrics/get-history-bulk-interval", "run_ids"),
    ):
        body = {name: [world.a.run, world.b.run], "metric_key": "loss"}
        found = world.send("b", Request(method="GET", path=path, body=body)).json()
        assert {point["run_id"] for point in found["metrics"]} == {world.b.run}, path


def test_a_metric_of_ones_own_run_is_not_put_on_anothers_logged_model(world: World) -> None:
    told = []
    for model_id in (world.a.logged, "m-" + "0" * 32):
        point = {"key": "stolen", "value": 1.0, "timestamp": 1, "model_id": model_id}
        for path, body in (("log-metric", point), ("log-batch", {"metrics": [point]})):
            message = {"run_id": world.b.run, **body}
            answer = world.send("b", Request(method="POST", path=API + "runs/" + path, body=message))
            told.append((answer.status_code, answer.text.replace(model_id, "")))
    assert told[0][0] == 400
    assert len(set(told)) == 1  # what is hidden looks like what is not there
    read = Request(method="GET", path=API + f"logged-models/{world.a.logged}")
    assert "stolen" not in world.send("a", read).text


@pytest.mark.parametrize("place", ["runs:/{run}/m", "mlflow-artifacts:/{exp}/{run}/artifacts/m", "models:/{model}/1"])
@pytest.mark.parametrize("run", ["named", ""])
def test_a_version_of_ones_own_cannot_take_anothers_files(world: World, place: str, run: str) -> None:
    source = place.format(run=world.a.run, exp=world.a.exp, model=world.a.model)
    body = {"name": world.b.model, "source": source} | ({"run_id": world.a.run} if run else {})
    answer = world.send("b", Request(method="POST", path=API + "model-versions/create", body=body))
    assert answer.status_code in (400, 404), answer.text
    logged = body | {"source": f"models:/{world.a.logged}", "model_id": world.a.logged}
    assert world.status("b", "POST", API + "model-versions/create", **logged) in (400, 404)


# --- roles in one project, verb by verb ---------------------------------------------------------------

LEAST = {
    "runs/get": Role.VIEWER, "runs/search": Role.VIEWER, "metrics/get-history": Role.VIEWER,
    "experiments/get": Role.VIEWER, "registered-models/get": Role.VIEWER, "artifacts/list": Role.VIEWER,
    "runs/create": Role.CONTRIBUTOR, "runs/log-metric": Role.CONTRIBUTOR, "runs/log-batch": Role.CONTRIBUTOR,
    "runs/set-tag": Role.CONTRIBUTOR, "runs/update": Role.CONTRIBUTOR, "runs/log-parameter": Role.CONTRIBUTOR,
    "registered-models/set-tag": Role.CONTRIBUTOR, "model-versions/set-tag": Role.CONTRIBUTOR,
    "experiments/set-experiment-tag": Role.CONTRIBUTOR,
    "registered-models/alias": Role.MAINTAINER, "model-versions/transition-stage": Role.MAINTAINER,
}  # fmt: skip


@pytest.mark.parametrize("who", ["viewer", "contributor", "maintainer"])
def test_a_role_in_a_project_decides_verb_by_verb(world: World, who: str) -> None:
    role, seen = Role[who.upper()], set()
    for each in requests(world.a):
        name = each.path.removeprefix(API)
        least = LEAST.get(name)
        if least is None or each.body.get("key") in ("headway.project", "p") or each.method in ("DELETE", "PATCH"):
            continue
        if name == "registered-models/alias" and each.method == "GET":
            continue
        seen.add(name)
        answer = world.send(who, each)
        assert answer.status_code == (200 if role >= least else 403), (name, answer.text)
    assert len(seen) >= 15


def test_only_a_maintainer_deletes_files(world: World) -> None:
    """CVE-2024-4263: the role that may edit could delete artifacts."""
    for who, status in (("viewer", 403), ("contributor", 403), ("maintainer", 200)):
        key = f"{world.a.exp}/{world.a.run}/artifacts/of-{who}.txt"
        world.send("a", Request(method="PUT", path=f"{PROXY}artifacts/{key}", raw=b"x"))
        assert world.status(who, "DELETE", f"{PROXY}artifacts/{key}") == status, who
        there = world.send("a", Request(method="GET", path=f"{PROXY}artifacts/{key}")).status_code
        assert there == (404 if status == 200 else 200)


# --- the advisories that are about rights -----------------------------------------------------------------


@pytest.mark.parametrize("step", ["create", "complete", "abort"])
def test_multipart_routes_look_at_the_object(world: World, step: str) -> None:
    """CVE-2026-2651: multipart uploads overwrote other users' models."""
    path = f"{PROXY}mpu/{step}/{world.a.exp}/models/{world.a.logged}/artifacts/MLmodel"
    ask = Request(method="POST", path=path, body={"path": "MLmodel", "num_parts": 1})
    for who, status in (("b", 404), ("viewer", 403), ("", 401)):
        assert world.send(who, ask).status_code == status, who


@pytest.mark.parametrize(
    "path", ["/ajax-api/3.0/jobs/1", "/api/3.0/mlflow/traces/search", "/ajax-api/3.0/mlflow/traces"]
)
def test_no_other_router_goes_round_the_door(world: World, path: str) -> None:
    """CVE-2026-0545 and CVE-2026-2652: the job and trace APIs were open because one router lacked the guard."""
    for method in ("GET", "POST"):
        assert world.status("", method, path) == 401
        assert world.status("b", method, path) in (404, 501)


@pytest.mark.parametrize(
    "path",
    ["/signup", "/api/2.0/mlflow/users/create", "/ajax-api/2.0/mlflow/users/create", "/api/3.0/mlflow/users/create"],
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_nobody_makes_an_account_for_themselves(world: World, path: str, kind: str) -> None:
    """CVE-2023-6014 (accounts without a login) and CVE-2025-1473 (a form of another site that signs up)."""
    with world.live.database.read() as tx:
        before = [user.name for user in UserStore(tx).list()]
    content = b"username=eve&password=evil" if "form" in kind else json.dumps({"username": "eve"}).encode()
    for who in ("", "b"):
        headers = {"content-type": kind} | ({"authorization": f"Bearer {world.tokens[who]}"} if who else {})
        answer = httpx.post(world.live.uri + path, content=content, headers=headers, timeout=60)
        assert answer.status_code in ((401,) if not who else (403, 404, 501)), answer.text
    with world.live.database.read() as tx:
        assert [user.name for user in UserStore(tx).list()] == before


@pytest.mark.parametrize("rest", ["directories", "files?artifact_file_path=MLmodel"])
def test_files_of_logged_models_are_looked_at(world: World, rest: str) -> None:
    """The logged-model artifact routes of MLflow's basic auth asked nobody."""
    path = f"{API}logged-models/{world.a.logged}/artifacts/{rest}"
    assert world.status("", "GET", path) == 401
    assert httpx.get(world.live.uri + path, headers={"authorization": f"Bearer {world.tokens['b']}"}).status_code == 404
    good = httpx.get(world.live.uri + path, headers={"authorization": f"Bearer {world.tokens['viewer']}"})
    assert good.status_code == 200, good.text


# --- projects and their names -------------------------------------------------------------------------------


def test_two_projects_have_experiments_of_the_same_name(world: World) -> None:
    ids = {who: world.ask(who, "experiments/create", name="shared name")["experiment_id"] for who in ("a", "b")}
    assert ids["a"] != ids["b"]
    for who in ("a", "b"):
        found = world.send(
            who,
            Request(method="GET", path=API + "experiments/get-by-name", body={"experiment_name": "shared name"}),
        ).json()
        assert found["experiment"]["experiment_id"] == ids[who]


def test_an_experiment_moves_where_its_maintainer_says(world: World) -> None:
    with world.live.database.write() as tx:
        UserStore(tx).add("both", Role.NONE, at=NOW, by="root")
        for name in ("a", "b"):
            UserStore(tx).grant("both", name, role=Role.MAINTAINER, at=NOW, by="root")
    world.mint("both", "both")
    unsaid = Request(method="POST", path=API + "experiments/create", body={"name": "moving"})
    assert world.send("both", unsaid).status_code == 400, "which of the two?"
    tags = [{"key": "headway.project", "value": "a"}]
    exp = world.ask("both", "experiments/create", name="moving", tags=tags)["experiment_id"]
    assert world.status("b", "GET", f"{API}experiments/get", experiment_id=exp) == 404
    world.ask("both", "experiments/set-experiment-tag", experiment_id=exp, key="headway.project", value="b")
    with world.live.database.read() as tx:
        assert project_of_experiment(RunStore(tx), exp) == "b"
    to_all = {"experiment_id": exp, "key": "headway.project", "value": ""}
    assert world.status("both", "POST", f"{API}experiments/set-experiment-tag", **to_all) == 403


def test_a_token_of_one_project_makes_things_there_and_sees_nothing_else(world: World) -> None:
    world.mint("root-in-a", "root", project="a")
    world.mint("root-reads-a", "root", role=Role.VIEWER, project="a")
    exp = world.ask("root-in-a", "experiments/create", name="by a scoped token")["experiment_id"]
    assert world.status("a", "GET", f"{API}experiments/get", experiment_id=exp) == 200
    assert world.status("root-in-a", "GET", f"{API}runs/get", run_id=world.b.run) == 404
    assert world.status("root-reads-a", "GET", f"{API}runs/get", run_id=world.a.run) == 200
    assert world.status("root-reads-a", "POST", f"{API}runs/set-tag", run_id=world.a.run, key="k", value="v") == 403
    assert world.status("root-in-a", "GET", f"{API}experiments/get", experiment_id="0") == 404, "open to members only"


def test_a_training_keeps_to_its_own_project(world: World) -> None:
    with world.live.database.write() as tx:
        world.tokens["attempt"] = TokenStore(tx).mint(
            TokenKind.ATTEMPT, "job-1", role=Role.CONTRIBUTOR, at=NOW, run_id=world.a.run,
            experiment_id=world.a.exp, project="a", attempt_id="A" * 26,
        )  # fmt: skip
    assert world.status("attempt", "GET", f"{API}registered-models/get", name=world.a.model) == 200
    assert world.status("attempt", "GET", f"{API}registered-models/get", name=world.b.model) == 404
    assert world.status("attempt", "GET", f"{API}runs/get", run_id=world.b.run) == 404
    theirs = f"{PROXY}artifacts/{world.b.exp}/{world.b.run}/artifacts/m/MLmodel"
    assert world.status("attempt", "GET", theirs) in (403, 404), "registered, but not in a model of its project"
    found = world.send("attempt", Request(method="GET", path=API + "registered-models/search"))
    assert world.b.model not in found.text
    world.ask("attempt", "registered-models/create", name="made-by-a-training")
    assert world.status("a", "GET", f"{API}registered-models/get", name="made-by-a-training") == 200
    assert world.status("b", "GET", f"{API}registered-models/get", name="made-by-a-training") == 404


def test_a_registered_version_brings_its_files_with_it(world: World) -> None:
    """Whoever may read a registered model may download it, also where the run that made it is hidden."""
    with world.live.database.write() as tx:
        UserStore(tx).add("giver", Role.CONTRIBUTOR, at=NOW, by="root")
        UserStore(tx).grant("giver", "a", role=Role.VIEWER, at=NOW, by="root")
    world.mint("giver", "giver")
    world.ask("giver", "registered-models/create", name="given")
    world.ask("giver", "model-versions/create", name="given", source=f"runs:/{world.a.run}/m", run_id=world.a.run)
    read = Request(method="GET", path=f"{PROXY}artifacts/{world.a.exp}/{world.a.run}/artifacts/m/MLmodel")
    assert world.send("member", read).text == "file-of-a"
    assert world.send("b", read).status_code == 404
    assert world.send("member", Request(method="GET", path=f"{PROXY}artifacts/{world.a.key}")).status_code == 404
