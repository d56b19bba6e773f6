"""The door of the pods of a deployment, over real HTTP: who may, what is taken, what never is."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from flows.conftest import serving
from headway.api.v1 import api_routes
from headway.app import App, open_app
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.blobs.folder import FolderStore
from headway.environments.files import FolderFiles
from headway.environments.find import find_environment
from headway.environments.model import Tier
from headway.environments.pod_builder import PodBuilder
from headway.errors import TooLarge
from headway.projects.model import EnvSection
from headway.registry.digest import digest_folder
from headway.sandbox.inside.archive import Limits, unpack
from headway.serving.durable import write_file
from headway.serving.kubernetes import pods
from headway.serving.kubernetes.exchange import EnvironmentOrder, PodOrder, PodReport
from headway.serving.kubernetes.picture import ClusterSeen, PodSeen
from headway.serving.kubernetes.pods import PodFolder
from headway.serving.kubernetes.tokens import PodTokens
from headway.serving.model import Observed
from headway.serving.prediction_log import find_prediction
from headway.settings import Settings
from serving.models import deployment, route, write_model

ROUTES = [
    ("PUT", "pods/{pod}"),
    ("POST", "pods/{pod}/log"),
    ("POST", "pods/{pod}/predictions"),
    ("GET", "models/{digest}"),
    ("GET", "environments/{digest}"),
]
HOUR = datetime.now(UTC).strftime("%Y%m%dT%H")
SEGMENT = f"{HOUR}-0000"


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod as the server meets it."""

    app: App
    url: str
    client: httpx.Client
    name: str
    token: str
    uid: str

    def ask(self, method: str, path: str, *, token: str | None = None, name: str = "", **given: Any) -> httpx.Response:
        held = self.token if token is None else token
        headers = {"authorization": f"Bearer {held}"} if held else {}
        place = f"{self.url}/api/v1/endpoints/{name or self.name}/{path.replace('{pod}', self.uid)}"
        return self.client.request(method, place, headers=headers, **given)

    @property
    def place(self) -> PodFolder:
        return PodFolder(self.app.data / "deployments", self.name)

    def want(self, **more: Any) -> None:
        key = f"models/{self.name}"
        source = write_model(self.app.data / "artifacts" / key)
        digest = digest_folder(FolderStore(self.app.data / "artifacts"), key)
        one = replace(route(1, 100, source), digest=digest, env_path=more.pop("env_path", "/e"))
        wanted = replace(deployment(one, name=self.name), target="kubernetes", **more)
        self.place.folder.mkdir(parents=True, exist_ok=True)
        write_file(self.place.folder / "wanted.json", msgspec.json.encode(wanted))

    def report(self, **more: Any) -> httpx.Response:
        return self.ask("PUT", "pods/{pod}", content=msgspec.json.encode(PodReport(pod="p-1", **more)))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, str, httpx.Client]]:
    settings = Settings(data=tmp_path_factory.mktemp("endpoints") / "data", port=0)
    app = open_app(settings)
    with serving(app, settings), httpx.Client(timeout=60) as client:
        yield app, json.loads((settings.data / "server.json").read_text())["url"], client
    app.close()


@pytest.fixture
def pod(house: tuple[App, str, httpx.Client]) -> Pod:
    app, url, client = house
    name = f"demo-{uuid.uuid4().hex[:8]}"
    token = PodTokens(app.database, app.clock).mint(name)
    made = Pod(app=app, url=url, client=client, name=name, token=token, uid=str(uuid.uuid4()))
    made.want()
    return made


# --- who ------------------------------------------------------------------------------------------


def test_the_table_has_these_routes_and_no_others(pod: Pod) -> None:
    found = {(method, each.path) for each in api_routes(pod.app) for method in each.methods - {"HEAD"}}
    assert {(method, path) for method, path in found if path.startswith("/endpoints/")} == {
        (method, f"/endpoints/{{name}}/{path}") for method, path in ROUTES
    }


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_only_the_token_of_its_own_pods_opens_the_door(pod: Pod, method: str, path: str) -> None:
    with pod.app.database.write() as tx:
        admin = TokenStore(tx).mint(TokenKind.USER, "root", role=Role.ADMIN, at=pod.app.clock.now())
    other = PodTokens(pod.app.database, pod.app.clock).mint("other-production")
    path = path.replace("{digest}", "0" * 64)
    assert pod.ask(method, path, token="").status_code == 401
    assert pod.ask(method, path, token=pod.token[:-1] + ("1" if pod.token.endswith("0") else "0")).status_code == 401
    assert pod.ask(method, path, token=admin).status_code == 403
    assert pod.ask(method, path, token=other).status_code == 404
    for name in ("other-production", "..", "%2e%2e", f"{pod.name}x", pod.name.upper()):
        assert pod.ask(method, path, name=name).status_code in (403, 404), name
    assert not (pod.place.folder / "pods").exists()


def test_the_token_opens_nothing_else(pod: Pod) -> None:
    head = {"authorization": f"Bearer {pod.token}"}
    for path in ("/api/v1/server", "/api/v1/deployments", "/api/v1/users", "/api/v1/attempts/x/source"):
        assert pod.client.get(f"{pod.url}{path}", headers=head).status_code == 403, path
    for path in ("experiments/search", "runs/create", "registered-models/search"):
        answer = pod.client.post(f"{pod.url}/api/2.0/mlflow/{path}", headers=head, json={"max_results": 5})
        assert answer.status_code in (403, 404, 405), path
    answer = pod.client.get(f"{pod.url}/api/2.0/mlflow/registered-models/search", headers=head)
    assert answer.status_code == 403


def test_a_fresh_token_ends_the_earlier_ones_and_a_removal_all(pod: Pod) -> None:
    tokens = PodTokens(pod.app.database, pod.app.clock)
    assert pod.report().status_code == 200
    fresh = tokens.mint(pod.name)
    with pod.app.database.read() as tx:
        assert TokenStore(tx).find(pod.token.split("_")[1])[1]
    assert pod.ask("PUT", "pods/{pod}", token=fresh, json={"pod": "p"}).status_code == 200
    tokens.revoke(pod.name)
    pod.app.authenticator.forget_all()
    assert pod.ask("PUT", "pods/{pod}", token=fresh, json={"pod": "p"}).status_code == 401


# --- what ------------------------------------------------------------------------------------------


def test_a_report_is_kept_and_answered_with_what_shall_serve(pod: Pod) -> None:
    answer = pod.report(observed=Observed(ready=True, url="", revision=1, versions={1: "ready"}))
    order = msgspec.json.decode(answer.content, type=PodOrder)
    assert (order.wanted, order.in_force) == (pod.place.wanted, None)
    heard = pod.place.heard()
    assert [(one.uid, one.report.observed.versions) for one in heard] == [(pod.uid, {1: "ready"})]

    write_file(pod.place.folder / "in_force.json", (pod.place.folder / "wanted.json").read_bytes())
    pod.want(revision=2)
    order = msgspec.json.decode(pod.report().content, type=PodOrder)
    assert (order.wanted.revision, order.in_force.revision) == (2, 1)


def test_what_shall_not_serve_any_more_is_said(pod: Pod) -> None:
    (pod.place.folder / "wanted.json").unlink()
    assert pod.report().status_code == 403
    assert not (pod.place.folder / "pods").exists()


@pytest.mark.parametrize("uid", ["..", "x", "%2e%2e", "0" * 36, "A" * 8, "../../x"])
def test_a_pod_without_a_uid_is_refused(pod: Pod, uid: str) -> None:
    answer = pod.ask("PUT", f"pods/{uid}", json={"pod": "p"})
    assert answer.status_code in (400, 403, 404, 405)
    assert not (pod.place.folder / "pods").exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"pod": 1}', b"[" * 60_000, b'{"pod":"p","fetched":{"a":1}}'])
def test_a_report_of_another_shape_is_refused(pod: Pod, body: bytes) -> None:
    assert pod.ask("PUT", "pods/{pod}", content=body).status_code == 400


def test_a_log_grows_where_it_ends_and_nowhere_else(pod: Pod) -> None:
    def send(offset: object, data: bytes) -> httpx.Response:
        return pod.ask("POST", "pods/{pod}/log", params={"offset": offset}, content=data)

    first, second = b"2026-11-26T11:00:00Z one\n", b"2026-11-26T11:00:01Z two\n"
    assert send(0, first).json() == {"size": len(first)}
    assert send(0, first).json() == {"size": len(first)}  # sent twice: taken once
    assert send(999, b"from nowhere").json() == {"size": len(first)}
    assert send(len(first), second).json() == {"size": len(first) + len(second)}
    assert pod.place.lines() == ["2026-11-26T11:00:00Z one", "2026-11-26T11:00:01Z two"]
    for offset in ("-1", "x", "1e3", "²"):
        assert send(offset, b"x").status_code == 400
    assert send(0, b"x" * (1 << 20 | 1)).status_code == 413


def test_a_log_keeps_its_last_parts_only(pod: Pod) -> None:
    size, line = 0, b"2026-11-26T11:00:00Z " + b"x" * 100 + b"\n"
    chunk = line * 8000
    for _ in range(20):
        size = pod.ask("POST", "pods/{pod}/log", params={"offset": size}, content=chunk).json()["size"]
    assert size == 20 * len(chunk)
    parts = list((pod.place.folder / "pods" / pod.uid).glob("log.*"))
    assert len(parts) == 2
    assert sum(part.stat().st_size for part in parts) < 12 << 20


def test_predictions_arrive_and_are_found(pod: Pod) -> None:
    line = (
        b'{"id":"r-1","client_id":"","at":"2026-11-26T11:00:00Z","deployment":"d","model":"adder","version":1,'
        b'"status":200,"latency_ms":1.0}\n'
    )

    def send(segment: str, offset: int, data: bytes) -> httpx.Response:
        where = {"segment": segment, "offset": offset}
        return pod.ask("POST", "pods/{pod}/predictions", params=where, content=data)

    assert send(SEGMENT, 0, line).json() == {"size": len(line)}
    assert send(SEGMENT, 0, line).json() == {"size": len(line)}
    found = find_prediction(pod.place.folder, "r-1")
    assert (found.model, found.version) == ("adder", 1)
    for bad in ("", "x", "../../etc", f"{SEGMENT}.jsonl", f"{SEGMENT}/../x", f"{SEGMENT}0"):
        assert send(bad, 0, line).status_code == 400, bad
    assert send(f"{HOUR}-0064", 0, line).status_code == 413  # more than a pod may write in an hour
    assert sorted(path.name for path in (pod.place.folder / "predictions").iterdir()) == [
        f"{SEGMENT}-{pod.uid[:8]}.jsonl"
    ]


def test_predictions_of_an_hour_that_cannot_be_are_refused_and_say_so(pod: Pod) -> None:
    def send(hour: str) -> httpx.Response:
        where = {"segment": f"{hour}-0000", "offset": 0}
        return pod.ask("POST", "pods/{pod}/predictions", params=where, content=b"{}\n")

    now = datetime.now(UTC)
    for away in (timedelta(days=8), timedelta(hours=-3), timedelta(days=-3000)):
        answer = send((now - away).strftime("%Y%m%dT%H"))
        assert (answer.status_code, "up to 7 days late" in answer.json()["cause"]) == (400, True), away
    for hour in ("20261399T99", "00000000T00", "20260230T11"):
        assert send(hour).status_code == 400
    assert send((now - timedelta(days=3)).strftime("%Y%m%dT%H")).status_code == 200  # the server was away


def test_a_pod_fills_neither_the_disk_nor_the_folder(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hour, number and pod are what the pod says they are: what counts is what is there."""
    pod.want()
    monkeypatch.setattr(pods, "_MOST_FILES", 40)
    now, taken, refusal = datetime.now(UTC), 0, ""
    for number in range(100):
        uid, segment = f"{number % 60:08x}{pod.uid[8:]}", f"{now - timedelta(hours=number):%Y%m%dT%H}-0000"
        try:
            pod.place.append_predictions(uid, segment, 0, data=b"x" * 1000, now=now, most=30_000)
            taken += 1
        except TooLarge as error:
            refusal = f"{error.message}; {error.hint}"
    assert taken == 30
    assert "HEADWAY_KUBERNETES_PREDICTIONS_GB" in refusal
    monkeypatch.setattr(pods, "_COUNTED_FOR", -1.0)
    for path in (pod.place.folder / "predictions").iterdir():
        path.write_bytes(b"")
    for number in range(11):
        with contextlib.ExitStack() as expected:
            if number == 10:
                expected.enter_context(pytest.raises(TooLarge, match="in 40 files"))
            pod.place.append_predictions(pod.uid, f"{HOUR}-{number + 1:04d}", 0, data=b"x", now=now, most=30_000)


def test_pods_that_nobody_has_seen_are_few(pod: Pod) -> None:
    pod.want()
    told = [pod.client.put(_report_of(pod, number), **_signed(pod)).status_code for number in range(90)]
    assert told.count(200) < 80
    assert told[-1] == 413
    known = f"{85:08x}{pod.uid[8:]}"
    seen = ClusterSeen(pods=(PodSeen(uid=known, name="p", ready=True),))
    write_file(pod.place.folder / "seen.json", msgspec.json.encode(seen))
    assert pod.client.put(_report_of(pod, 85), **_signed(pod)).status_code == 200
    pod.place.forget_pods(frozenset({known}))
    assert pod.client.put(_report_of(pod, 86), **_signed(pod)).status_code == 200


def _report_of(pod: Pod, number: int) -> str:
    return f"{pod.url}/api/v1/endpoints/{pod.name}/pods/{number:08x}{pod.uid[8:]}"


def _signed(pod: Pod) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {pod.token}"}
    return {"headers": headers, "content": msgspec.json.encode(PodReport(pod="p"))}


@pytest.mark.parametrize(
    "wrong",
    [{"requests": -1}, {"errors": 1 << 70}, {"latency_p95_ms": -1.0}, {"latency_p50_ms": 1e300}, {"version": -5}],
)
def test_figures_that_cannot_be_are_refused(pod: Pod, wrong: dict[str, Any]) -> None:
    pod.want()
    counted = {"version": 1, "requests": 1, "errors": 0, "missing": 0}
    counted |= {f"latency_p{each}_ms": 1.0 for each in (50, 95, 99)}
    observed = {"ready": True, "url": "", "revision": 1, "counters": [counted | wrong]}
    assert pod.ask("PUT", "pods/{pod}", json={"pod": "p", "observed": observed}).status_code == 400


def test_a_report_as_long_as_a_book_is_refused(pod: Pod) -> None:
    pod.want()
    assert pod.report(fetched={1: "x" * 70_000}).status_code == 413


def test_a_model_that_is_asked_for_again_and_again_takes_no_room(pod: Pod) -> None:
    one = pod.place.wanted.routes[0]
    (Path(one.source) / "weights").write_bytes(b"w" * 3_000_000)
    before = sum(path.stat().st_size for path in pod.app.data.rglob("*") if path.is_file())
    place = f"{pod.url}/api/v1/endpoints/{pod.name}/models/{one.digest}"
    with contextlib.ExitStack() as open_ones:
        for _ in range(20):
            headers = {"authorization": f"Bearer {pod.token}"}
            answer = open_ones.enter_context(pod.client.stream("GET", place, headers=headers))
            assert answer.status_code == 200
        after = sum(path.stat().st_size for path in pod.app.data.rglob("*") if path.is_file())
        assert after - before < 3_000_000
        held = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        assert not [each for each in held if "(deleted)" in each and str(pod.app.data) in each]


def test_the_files_of_a_served_model_come_as_an_archive_and_of_no_other(pod: Pod, tmp_path: Path) -> None:
    one = pod.place.wanted.routes[0]
    answer = pod.ask("GET", f"models/{one.digest}")
    assert answer.status_code == 200
    unpack(io.BytesIO(answer.content), tmp_path, limits=Limits(bytes=1 << 20))
    assert (tmp_path / "headway_model.py").read_bytes() == (Path(one.source) / "headway_model.py").read_bytes()
    for digest in ("0" * 64, "..", "x", one.digest[:12]):
        assert pod.ask("GET", f"models/{digest}").status_code in (403, 404)
    (Path(one.source) / "headway_model.py").unlink()
    Path(one.source).rmdir()
    assert pod.ask("GET", f"models/{one.digest}").status_code == 404


def test_a_model_folder_with_a_link_out_of_it_is_not_sent(pod: Pod) -> None:
    one = pod.place.wanted.routes[0]
    (Path(one.source) / "link").symlink_to("/etc/passwd")
    answer = pod.ask("GET", f"models/{one.digest}")
    assert answer.status_code == 500
    assert b"root:" not in answer.content


def test_what_an_environment_is_made_of_comes_where_a_version_runs_in_it(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==2.2.6\n")
    spec = find_environment(FolderFiles(tmp_path), EnvSection(), default_python="3.11")
    builder = PodBuilder(pod.app.data / "environments" / "orders")
    built = builder.build(spec, tmp_path, Tier.MAIN, io.StringIO())
    assert pod.ask("GET", f"environments/{spec.digest}").status_code == 404  # no version of this deployment runs in it
    pod.want(env_path=built.path)
    answer = pod.ask("GET", f"environments/{spec.digest}")
    order = msgspec.json.decode(answer.content, type=EnvironmentOrder)
    assert (order.spec, order.tier, order.files) == (spec, int(Tier.MAIN), {"requirements.txt": b"numpy==2.2.6\n"})

    pod.want(env_path=f"/somewhere/{'a' * 64}")
    unknown = pod.ask("GET", f"environments/{'a' * 64}")
    assert unknown.status_code == 404
    assert "train it again" in unknown.json()["hint"]


def test_a_full_disk_is_told_for_what_it_is(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    pod.want()
    for name in ("append_log", "append_predictions", "keep_report"):
        monkeypatch.setattr(PodFolder, name, full)
    log = pod.ask("POST", "pods/{pod}/log?offset=0", content=b"x")
    predictions = pod.ask("POST", f"pods/{{pod}}/predictions?offset=0&segment={SEGMENT}", content=b"x")
    for answer in (log, predictions, pod.report()):
        assert (answer.status_code, answer.json()["code"]) == (507, "STORAGE_FULL")


def test_a_piece_that_comes_several_times_at_once_stands_there_once(pod: Pod) -> None:
    pod.want()
    for at in range(20):
        begin = threading.Barrier(4)

        def send(segment: str = f"{HOUR}-{at:04d}", begin: threading.Barrier = begin) -> None:
            begin.wait()
            pod.place.append_predictions(pod.uid, segment, 0, data=b"x" * 200_000, now=datetime.now(UTC))
            pod.place.append_log(pod.uid, 0, data=b"x")

        threads = [threading.Thread(target=send) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert {path.stat().st_size for path in (pod.place.folder / "predictions").iterdir()} == {200_000}
    assert pod.place.append_log(pod.uid, 0, b"") == 1
