"""The real MLflow client against the registry, logged models and artifacts."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from fakes.wire import LiveWire, live_wire
from headway.db import schema
from headway.registry.digest import digest_folder
from headway.registry.flavor import read_flavor
from headway.registry.model import Lineage
from headway.registry.store import RegistryStore

pytestmark = [pytest.mark.mlflow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWire]:
    with live_wire(tmp_path_factory.mktemp("wire")) as live:
        yield live


@pytest.fixture(scope="module")
def mlflow(wire: LiveWire) -> Iterator[Any]:
    before = dict(os.environ)
    # A wrong 500 would be retried for minutes.
    os.environ |= {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    import mlflow

    mlflow.set_tracking_uri(wire.uri)
    # The client remembers the experiment of whatever test used it before.
    mlflow.set_experiment("Default")
    yield mlflow
    os.environ.clear()
    os.environ |= before


@pytest.fixture
def client(mlflow: Any) -> Any:
    return mlflow.MlflowClient()


@pytest.fixture(scope="module")
def trained(mlflow: Any) -> dict[str, Any]:
    """One autologged scikit-learn run with a registered model."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    mlflow.set_experiment("autolog")
    mlflow.sklearn.autolog(log_datasets=False, silent=True)
    rows = np.array([[0.0], [1.0], [2.0], [3.0]])
    with mlflow.start_run() as run:
        model = LogisticRegression().fit(rows, [0, 0, 1, 1])
        info = mlflow.sklearn.log_model(
            model, name="by_hand", registered_model_name="by-hand", input_example=rows[:1], pip_requirements=[]
        )
    mlflow.sklearn.autolog(disable=True)
    return {"run_id": run.info.run_id, "info": info, "rows": rows, "model": model}


def test_autolog_makes_logged_models_with_files(mlflow: Any, client: Any, trained: dict[str, Any]) -> None:
    run = client.get_run(trained["run_id"])
    assert run.data.metrics["training_accuracy_score"] == 1.0
    models = mlflow.search_logged_models(
        experiment_ids=[run.info.experiment_id],
        filter_string=f"source_run_id = '{trained['run_id']}'",
        output_format="list",
    )
    assert {each.name for each in models} == {"model", "by_hand"}
    assert {str(each.status) for each in models} == {"READY"}
    mine = mlflow.get_logged_model(trained["info"].model_id)
    assert mine.source_run_id == trained["run_id"]
    assert mine.artifact_location.endswith(f"/models/{mine.model_id}/artifacts")
    names = {each.path for each in client.list_logged_model_artifacts(mine.model_id)}
    assert {"MLmodel", "requirements.txt"} <= names


def test_a_logged_model_loads_back_and_predicts(mlflow: Any, trained: dict[str, Any]) -> None:
    for uri in (trained["info"].model_uri, "models:/by-hand/1", f"models:/{trained['info'].model_id}"):
        loaded = mlflow.sklearn.load_model(uri)
        assert list(loaded.predict(trained["rows"])) == list(trained["model"].predict(trained["rows"]))


def test_the_registered_version_knows_run_and_model(mlflow: Any, client: Any, trained: dict[str, Any]) -> None:
    version = client.get_model_version("by-hand", "1")
    model_id = trained["info"].model_id
    assert (version.run_id, version.source, version.status) == (trained["run_id"], f"models:/{model_id}", "READY")
    uri = client.get_model_version_download_uri("by-hand", "1")
    assert uri.endswith(f"/models/{model_id}/artifacts")
    registered = mlflow.get_logged_model(model_id).tags["mlflow.modelVersions"]
    assert '"by-hand"' in registered


def test_headway_adopts_what_the_client_registered_and_seals_it(
    mlflow: Any, wire: LiveWire, client: Any, trained: dict[str, Any]
) -> None:
    blobs = wire.wire._blobs
    with wire.database.write() as tx:
        store = RegistryStore(tx)
        found = store.version_of_run(trained["run_id"])
        assert found is not None
        flavor = read_flavor(blobs, found.source)
        assert "sklearn" in flavor.flavors
        assert flavor.inputs
        made = store.register_candidate(
            "by-hand",
            source=found.source,
            digest=digest_folder(blobs, found.source),
            env_digest="e" * 64,
            env_path="/e",
            lineage=Lineage(run_id=trained["run_id"], job_id="job"),
            actor="headway",
        )
    assert made.number == found.number
    assert made.model_id == trained["info"].model_id
    with pytest.raises(requests.HTTPError, match="registered model version"):
        client.log_model_artifact(trained["info"].model_id, __file__)
    assert digest_folder(blobs, found.source) == made.digest


def test_files_and_folders_go_up_and_come_down(mlflow: Any, client: Any, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a b" / "deep").mkdir(parents=True)
    (tree / "a b" / "deep" / "größe.txt").write_text("ü")
    (tree / "empty").write_bytes(b"")
    (tree / "50%.bin").write_bytes(bytes(range(256)) * 20_000)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(tree / "empty"))
        mlflow.log_artifacts(str(tree), artifact_path="folder/inner")
        mlflow.log_text("hello", "notes/hello.txt")
        mlflow.log_dict({"a": 1}, "notes/a.json")
    run_id = run.info.run_id
    assert [(each.path, each.is_dir) for each in client.list_artifacts(run_id)] == [
        ("empty", False),
        ("folder", True),
        ("notes", True),
    ]
    assert [each.path for each in client.list_artifacts(run_id, "folder/inner")] == [
        "folder/inner/50%.bin",
        "folder/inner/a b",
        "folder/inner/empty",
    ]
    assert client.list_artifacts(run_id, "nowhere") == []
    local = Path(client.download_artifacts(run_id, "folder", str(tmp_path)))
    for path in tree.rglob("*"):
        if path.is_file():
            assert (local / "inner" / path.relative_to(tree)).read_bytes() == path.read_bytes()
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes/hello.txt") == "hello"


def test_artifacts_are_deleted(mlflow: Any, client: Any, tmp_path: Path) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with mlflow.start_run() as run:
        mlflow.log_text("x", "gone/a.txt")
        mlflow.log_text("x", "stays.txt")
    get_artifact_repository(run.info.artifact_uri).delete_artifacts("gone")
    assert [each.path for each in client.list_artifacts(run.info.run_id)] == ["stays.txt"]
    with pytest.raises(mlflow.MlflowException, match=r"Failed to download|No such artifact"):
        client.download_artifacts(run.info.run_id, "gone/a.txt", str(tmp_path))


def test_a_models_name_tags_and_aliases(mlflow: Any, client: Any) -> None:
    with mlflow.start_run() as run:
        mlflow.log_text("x", "model/MLmodel")
    made = client.create_registered_model("calls", tags={"team": "ops"}, description="first")
    assert (made.name, made.tags, made.description) == ("calls", {"team": "ops"}, "first")
    with pytest.raises(mlflow.MlflowException) as taken:
        client.create_registered_model("calls")
    assert taken.value.error_code == "RESOURCE_ALREADY_EXISTS"
    for index in range(3):
        version = client.create_model_version(
            "calls", f"runs:/{run.info.run_id}/model", run.info.run_id, tags={"i": str(index)}, description="d"
        )
        assert version.version == str(index + 1)

    client.set_registered_model_alias("calls", "champion", "2")
    assert client.get_model_version_by_alias("calls", "champion").version == "2"
    assert client.get_registered_model("calls").aliases == {"champion": "2"}
    client.set_model_version_tag("calls", "2", "checked", "yes")
    client.set_registered_model_tag("calls", "stage", "late")
    assert client.get_model_version("calls", "2").tags == {"checked": "yes", "i": "1"}
    client.delete_model_version_tag("calls", "2", "checked")
    client.delete_registered_model_tag("calls", "stage")
    assert client.get_registered_model("calls").tags == {"team": "ops"}
    client.delete_registered_model_alias("calls", "champion")
    assert client.get_registered_model("calls").aliases == {}


@pytest.mark.filterwarnings("ignore")
def test_stages_searches_and_ends(mlflow: Any, client: Any) -> None:
    with mlflow.start_run() as run:
        mlflow.log_text("x", "model/MLmodel")
    source, run_id = f"runs:/{run.info.run_id}/model", run.info.run_id
    client.create_registered_model("staged")
    for index in range(3):
        client.create_model_version("staged", source, run_id, tags={"i": str(index)})

    assert client.transition_model_version_stage("staged", "1", "Production").current_stage == "Production"
    client.transition_model_version_stage("staged", "3", "production", archive_existing_versions=True)
    assert client.get_model_version("staged", "1").current_stage == "Archived"
    assert [each.version for each in client.get_latest_versions("staged", ["Production"])] == ["3"]
    assert client.update_model_version("staged", "1", "new").description == "new"
    assert client.update_registered_model("staged", "other").description == "other"

    found = client.search_model_versions("name = 'staged' AND tags.i != '0'", order_by=["version_number ASC"])
    assert [each.version for each in found] == ["2", "3"]
    assert [each.name for each in client.search_registered_models("name LIKE 'stag%'")] == ["staged"]
    newest = {"filter_string": "name = 'staged'", "max_results": 2, "order_by": ["version_number DESC"]}
    page = client.search_model_versions(**newest)
    rest = client.search_model_versions(**newest, page_token=page.token)
    assert [each.version for each in (*page, *rest)] == ["3", "2", "1"]
    assert not rest.token

    client.delete_model_version("staged", "3")
    client.rename_registered_model("staged", "renamed")
    assert client.create_model_version("renamed", source, run_id).version == "4"
    client.delete_registered_model("renamed")
    with pytest.raises(mlflow.MlflowException) as gone:
        client.get_registered_model("renamed")
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_register_model_from_a_run_and_copy_it(mlflow: Any, client: Any, trained: dict[str, Any]) -> None:
    version = mlflow.register_model(f"runs:/{trained['run_id']}/by_hand", "from-run")
    assert version.run_id == trained["run_id"]
    client.set_registered_model_alias("from-run", "best", version.version)
    copied = client.copy_model_version(f"models:/from-run/{version.version}", "copy")
    assert (copied.version, copied.run_id) == ("1", trained["run_id"])
    loaded = mlflow.sklearn.load_model("models:/from-run@best")
    assert list(loaded.predict(trained["rows"])) == [0, 0, 1, 1]


def test_logged_model_calls(mlflow: Any, client: Any) -> None:
    with mlflow.start_run():
        model = mlflow.initialize_logged_model(name="hand", params={"a": "1"}, tags={"t": "1"}, model_type="agent")
        mlflow.log_model_params(model_id=model.model_id, params={"b": "2"})
        mlflow.log_metric("f1", 0.75, model_id=model.model_id, step=3)
    mlflow.set_logged_model_tags(model.model_id, {"u": "2"})
    mlflow.delete_logged_model_tag(model.model_id, "t")
    done = mlflow.finalize_logged_model(model.model_id, "READY")
    assert str(done.status) == "READY"
    found = mlflow.get_logged_model(model.model_id)
    assert (found.params, found.tags["u"], found.model_type) == ({"a": "1", "b": "2"}, "2", "agent")
    assert "t" not in found.tags
    assert [(each.key, each.value, each.step) for each in found.metrics] == [("f1", 0.75, 3)]
    best = mlflow.search_logged_models(
        experiment_ids=[found.experiment_id],
        filter_string="metrics.f1 > 0.5 AND params.a = '1'",
        order_by=[{"field_name": "metrics.f1", "ascending": False}],
        output_format="list",
    )
    assert [each.model_id for each in best] == [model.model_id]
    client.delete_logged_model(model.model_id)
    with pytest.raises(mlflow.MlflowException, match="not found"):
        mlflow.get_logged_model(model.model_id)


def test_prompts_stay_out_of_ordinary_searches(mlflow: Any, client: Any) -> None:
    mlflow.genai.register_prompt("greeting", "Hello {{name}}")
    assert mlflow.genai.load_prompt("prompts:/greeting/1").template == "Hello {{name}}"
    assert "greeting" not in [each.name for each in client.search_registered_models()]
    assert [each.name for each in mlflow.genai.search_prompts()] == ["greeting"]


def test_every_move_left_an_event(wire: LiveWire, client: Any) -> None:
    client.create_registered_model("watched")
    client.create_registered_model("other")
    with wire.database.write() as tx:
        RegistryStore(tx).create_version("watched", source="0/x/artifacts/m")
    client.set_registered_model_alias("watched", "champion", "1")
    client.delete_registered_model_alias("watched", "champion")
    with wire.database.read() as tx:
        moved = select(schema.event.c.from_state, schema.event.c.to_state).order_by(schema.event.c.seq)
        rows = tx.execute(moved.where(schema.event.c.entity_id == "watched@champion")).all()
    assert [tuple(row) for row in rows] == [(None, "1"), ("1", "none")]
