"""Who may do what at the registry and the artifacts: people by role, a training its own run and nothing else."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from fakes.wire import LiveWire, live_wire
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.registry.store import RegistryStore

REST = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts/"


@dataclass
class Site:
    live: LiveWire
    tokens: dict[str, str] = field(default_factory=dict)
    own: str = ""
    child: str = ""
    other: str = ""
    foreign: str = ""  # a run of another experiment
    own_model: str = ""
    other_model: str = ""

    def mint(self, name: str, role: Role, kind: TokenKind = TokenKind.USER, run_id: str | None = None) -> None:
        experiment = "0" if run_id else None
        with self.live.database.write() as tx:
            self.tokens[name] = TokenStore(tx).mint(
                kind, name, role=role, at=datetime.now(UTC), run_id=run_id, experiment_id=experiment
            )

    def ask(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.live.uri + path, data=raw, method=method)
        request.add_header("Content-Type", "application/json")
        if who:
            request.add_header("Authorization", f"Bearer {self.tokens[who]}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                data = answer.read()
                kind = answer.headers["content-type"]
                return answer.status, json.loads(data) if kind == "application/json" else data
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def run(self, experiment: str = "0", parent: str = "") -> str:
        tags = [{"key": "mlflow.parentRunId", "value": parent}] if parent else []
        body = {"experiment_id": experiment, "tags": tags}
        return self.ask("maintainer", "POST", REST + "runs/create", body)[1]["run"]["info"]["run_id"]

    def model(self, run_id: str, who: str = "maintainer") -> str:
        body = {"experiment_id": "0", "name": "m", "source_run_id": run_id}
        return self.ask(who, "POST", REST + "logged-models", body)[1]["model"]["info"]["model_id"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with live_wire(tmp_path_factory.mktemp("rights"), auth="token") as live:
        made = Site(live=live)
        for role in (Role.VIEWER, Role.CONTRIBUTOR, Role.MAINTAINER):
            made.mint(role.name.lower(), role)
        made.own, made.other = made.run(), made.run()
        made.child = made.run(parent=made.own)
        exp = made.ask("maintainer", "POST", REST + "experiments/create", {"name": "away"})[1]["experiment_id"]
        made.foreign = made.run(exp)
        made.mint("attempt", Role.CONTRIBUTOR, TokenKind.ATTEMPT, run_id=made.own)
        made.own_model, made.other_model = made.model(made.own, "attempt"), made.model(made.other)
        made.ask("maintainer", "PUT", f"{PROXY}0/{made.other}/artifacts/f", b"theirs")
        made.ask("maintainer", "PUT", f"{PROXY}{exp}/{made.foreign}/artifacts/f", b"foreign")
        made.ask("maintainer", "POST", REST + "registered-models/create", {"name": "shared"})
        made.ask(
            "maintainer",
            "POST",
            REST + "model-versions/create",
            {"name": "shared", "source": f"runs:/{made.other}/m", "run_id": made.other},
        )
        yield made


def test_a_training_writes_below_its_own_run_and_its_children(site: Site) -> None:
    for path in (
        f"0/{site.own}/artifacts/a",
        f"0/{site.child}/artifacts/a",
        f"0/models/{site.own_model}/artifacts/MLmodel",
    ):
        assert site.ask("attempt", "PUT", PROXY + path, b"mine")[0] == 200
        assert site.ask("attempt", "GET", PROXY + path) == (200, b"mine")
    assert site.ask("attempt", "PATCH", f"{REST}logged-models/{site.own_model}", {"status": 2})[0] == 200


def test_a_training_writes_nowhere_else(site: Site) -> None:
    for path in (
        f"0/{site.other}/artifacts/f",
        f"0/models/{site.other_model}/artifacts/MLmodel",
        f"0/{site.own}/elsewhere",
        f"0/{site.own}",
        "0/free",
        f"1/{site.own}/artifacts/x",
        f"0/{site.other}/artifacts/{site.own}/artifacts/x",
    ):
        for method, target in (
            ("PUT", PROXY + path),
            ("DELETE", PROXY + path),
            ("POST", "/api/2.0/mlflow-artifacts/mpu/create/" + path),
        ):
            assert site.ask("attempt", method, target, b"evil")[0] == 403, (method, path)
    assert site.ask("attempt", "DELETE", f"{PROXY}0/{site.own}/artifacts/a")[0] == 403
    assert site.ask("maintainer", "GET", f"{PROXY}0/{site.other}/artifacts/f") == (200, b"theirs")


def test_a_training_reads_its_experiment_and_registered_models(site: Site) -> None:
    assert site.ask("attempt", "GET", f"{PROXY}0/{site.other}/artifacts/f")[0] == 200
    for path in (
        f"{PROXY}1/{site.foreign}/artifacts/f",
        f"/get-artifact?run_id={site.foreign}&path=f",
        f"{REST}artifacts/list?run_id={site.foreign}",
        f"{PROXY.rstrip('/')}?path=1/{site.foreign}/artifacts",
        PROXY.rstrip("/"),
    ):
        assert site.ask("attempt", "GET", path)[0] == 403, path
    with site.live.database.write() as tx:
        RegistryStore(tx).create_model("away")
        RegistryStore(tx).create_version("away", source=f"1/{site.foreign}/artifacts")
    assert site.ask("attempt", "GET", f"{PROXY}1/{site.foreign}/artifacts/f") == (200, b"foreign")
    with site.live.database.write() as tx:
        RegistryStore(tx).delete_model("away")


def test_a_training_makes_candidates_of_its_own_run_only(site: Site) -> None:
    assert site.ask("attempt", "POST", REST + "registered-models/create", {"name": "mine"})[0] == 200
    for source, extra in (
        (f"runs:/{site.own}/model", {"run_id": site.own}),
        (f"models:/{site.own_model}", {"model_id": site.own_model, "run_id": site.own}),
        (f"runs:/{site.child}/model", {"run_id": site.child}),
    ):
        status, answer = site.ask(
            "attempt", "POST", REST + "model-versions/create", {"name": "mine", "source": source, **extra}
        )
        assert status == 200, answer
    for source, extra in (
        (f"runs:/{site.other}/model", {"run_id": site.other}),
        (f"models:/{site.other_model}", {"model_id": site.other_model}),
        ("models:/shared/1", {}),
    ):
        body = {"name": "mine", "source": source, **extra}
        assert site.ask("attempt", "POST", REST + "model-versions/create", body)[0] == 403, source
    with site.live.database.read() as tx:
        assert {each.state for each in RegistryStore(tx).versions("mine")} == {"candidate"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "registered-models/alias", {"name": "shared", "alias": "champion", "version": "1"}),
        ("DELETE", "registered-models/alias", {"name": "shared", "alias": "champion"}),
        ("POST", "registered-models/rename", {"name": "shared", "new_name": "stolen"}),
        ("DELETE", "registered-models/delete", {"name": "shared"}),
        ("DELETE", "model-versions/delete", {"name": "shared", "version": "1"}),
        ("POST", "model-versions/transition-stage", {"name": "shared", "version": "1", "stage": "Production"}),
    ],
)
def test_names_move_by_a_maintainers_hand_only(site: Site, method: str, path: str, body: dict[str, str]) -> None:
    for who, status in (("", 401), ("viewer", 403), ("contributor", 403), ("attempt", 403)):
        assert site.ask(who, method, REST + path, body)[0] == status, who
    with site.live.database.read() as tx:
        shared = RegistryStore(tx).get_model("shared")
    assert (shared.aliases, [each.stage for each in shared.latest]) == ({}, ["None"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "registered-models/update", {"name": "shared", "description": "x"}),
        ("POST", "registered-models/set-tag", {"name": "shared", "key": "a", "value": "b"}),
        ("DELETE", "registered-models/delete-tag", {"name": "shared", "key": "a"}),
        ("PATCH", "model-versions/update", {"name": "shared", "version": "1", "description": "x"}),
        ("POST", "model-versions/set-tag", {"name": "shared", "version": "1", "key": "a", "value": "b"}),
        ("DELETE", "model-versions/delete-tag", {"name": "shared", "version": "1", "key": "a"}),
    ],
)
def test_others_versions_are_described_by_people_only(site: Site, method: str, path: str, body: dict[str, str]) -> None:
    for who, status in (("", 401), ("viewer", 403), ("attempt", 403), ("contributor", 200)):
        assert site.ask(who, method, REST + path, body)[0] == status, who


def test_others_logged_models_are_out_of_a_trainings_reach(site: Site) -> None:
    model = f"{REST}logged-models/{site.other_model}"
    for method, path, body in (
        ("PATCH", model, {"status": 3}),
        ("DELETE", model, None),
        ("POST", model + "/params", {"params": [{"key": "a", "value": "b"}]}),
        ("PATCH", model + "/tags", {"tags": [{"key": "a", "value": "b"}]}),
        ("DELETE", model + "/tags/a", None),
        ("POST", REST + "logged-models", {"experiment_id": "0", "name": "x", "source_run_id": site.other}),
        ("POST", REST + "logged-models", {"experiment_id": "0", "name": "x"}),
        ("POST", REST + "logged-models", {"experiment_id": "1", "name": "x", "source_run_id": site.own}),
        ("POST", REST + "logged-models/search", {"experiment_ids": ["1"]}),
    ):
        assert site.ask("attempt", method, path, body)[0] == 403, (method, path)
    assert site.ask("attempt", "DELETE", f"{REST}logged-models/{site.own_model}")[0] == 403


def test_a_viewer_reads_and_nobody_reads_without_a_token(site: Site) -> None:
    for path in (
        f"{PROXY}0/{site.other}/artifacts/f",
        f"/get-artifact?run_id={site.other}&path=f",
        REST + "registered-models/search",
        REST + "model-versions/get?name=shared&version=1",
        f"{REST}artifacts/list?run_id={site.other}",
    ):
        assert site.ask("viewer", "GET", path)[0] == 200, path
        assert site.ask("", "GET", path)[0] == 401, path
    assert site.ask("viewer", "PUT", f"{PROXY}0/{site.other}/artifacts/g", b"x")[0] == 403
    assert site.ask("viewer", "DELETE", f"{PROXY}0/{site.other}/artifacts/f")[0] == 403
    assert site.ask("", "PUT", f"{PROXY}0/{site.other}/artifacts/g", b"x")[0] == 401
