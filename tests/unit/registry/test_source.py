import pytest
from sqlalchemy import Connection

from headway.errors import NotFound, UsageError
from headway.registry.folders import is_registered, is_sealed, key_of, owner_of
from headway.registry.logged import LoggedModelStore
from headway.registry.model import PROMPT_TAG, Lineage
from headway.registry.source import Source, download_uri, resolve_source
from headway.registry.store import RegistryStore
from headway.tracking.store import RunStore


@pytest.fixture
def run(tx: Connection) -> str:
    return RunStore(tx).create_run("0")


@pytest.fixture
def model(tx: Connection, run: str) -> str:
    return LoggedModelStore(tx).create("0", name="m", source_run_id=run).id


def test_a_runs_path_becomes_a_key(tx: Connection, run: str) -> None:
    assert resolve_source(tx, f"runs:/{run}/model", run_id=run, model_id="") == Source(
        key=f"0/{run}/artifacts/model", run_id=run, model_id=""
    )
    assert resolve_source(tx, f"mlflow-artifacts:/0/{run}/artifacts/a/b", run_id=run, model_id="").key == (
        f"0/{run}/artifacts/a/b"
    )


def test_a_logged_model_brings_its_run(tx: Connection, run: str, model: str) -> None:
    wanted = Source(key=f"0/models/{model}/artifacts", run_id=run, model_id=model)
    assert resolve_source(tx, f"models:/{model}", run_id="", model_id=model) == wanted
    location = f"mlflow-artifacts:/0/models/{model}/artifacts"
    assert resolve_source(tx, location, run_id="", model_id=model) == wanted


def test_a_version_can_be_copied_by_number_or_alias(tx: Connection, run: str) -> None:
    store = RegistryStore(tx)
    store.create_model("a")
    store.create_version("a", source=f"0/{run}/artifacts/m", run_id=run, source_uri=f"runs:/{run}/m")
    store.set_alias("a", "champion", number=1, actor="ann")
    for source in ("models:/a/1", "models:/a@champion"):
        assert resolve_source(tx, source, run_id="", model_id="").key == f"0/{run}/artifacts/m"
    with pytest.raises(UsageError):
        resolve_source(tx, "models:/a/1", run_id="other", model_id="")
    with pytest.raises(NotFound):
        resolve_source(tx, "models:/a/2", run_id="", model_id="")
    assert download_uri(tx, "a", 1) == f"runs:/{run}/m"
    assert download_uri(tx, "a", 1, by_key=True) == f"mlflow-artifacts:/0/{run}/artifacts/m"


def test_a_copy_leads_to_where_the_first_one_lies(tx: Connection) -> None:
    store = RegistryStore(tx)
    store.create_model("a")
    store.create_version("a", source="", source_uri="s3://bucket/m")
    for _ in range(3):
        made = resolve_source(tx, "models:/a/latest", run_id="", model_id="")
        store.create_version("a", source=made.key, source_uri=made.uri)
    assert [each.source_uri for each in store.versions("a")][:3] == ["models:/a/3", "models:/a/2", "models:/a/1"]
    assert download_uri(tx, "a", 4) == "s3://bucket/m"
    store.delete_version("a", 2)
    with pytest.raises(NotFound, match="has no files"):
        download_uri(tx, "a", 4)


def test_another_runs_or_models_files_are_refused(tx: Connection, run: str, model: str) -> None:
    other = RunStore(tx).create_run("0")
    for source, run_id, model_id in (
        (f"runs:/{run}/model", other, ""),
        (f"runs:/{run}/model", "", ""),
        (f"mlflow-artifacts:/0/{run}/artifacts/m", other, ""),
        (f"mlflow-artifacts:/0/{run}/artifacts/m", "", ""),
        (f"mlflow-artifacts:/0/{run}/artifactsX/m", run, ""),
        (f"models:/{model}", "", ""),
        (f"models:/{model}", run, ""),
        (f"models:/{model}", "", f"m-{'0' * 32}"),
    ):
        with pytest.raises(UsageError, match="Invalid model version source"):
            resolve_source(tx, source, run_id=run_id, model_id=model_id)


def test_a_deleted_model_is_no_source(tx: Connection, model: str) -> None:
    LoggedModelStore(tx).delete(model)
    with pytest.raises(UsageError):
        resolve_source(tx, f"models:/{model}", run_id="", model_id=model)


def test_the_prompt_tag_skips_no_check(tx: Connection) -> None:
    assert resolve_source(tx, "prompt-template", run_id="", model_id="", is_prompt=True).key == ""
    for source in ("file:///etc", "../../../etc", "mlflow-artifacts:/x"):
        with pytest.raises(UsageError):
            resolve_source(tx, source, run_id="", model_id="", is_prompt=True)
    store = RegistryStore(tx)
    store.create_model("p", tags={PROMPT_TAG: "true"})
    store.create_version("p", source="", source_uri="prompt-template")
    with pytest.raises(UsageError, match="Invalid model version source"):
        resolve_source(tx, "models:/p/1", run_id="", model_id="")


def test_a_place_that_only_clients_open_is_kept_as_text(tx: Connection, run: str) -> None:
    for source in ("s3://bucket/m", "gs://b/x y/m", "dbfs:/models/m", "s3:/b/m", "s3://b/m?versionId=3"):
        assert resolve_source(tx, source, run_id=run, model_id="") == Source(key="", run_id=run, model_id="")
        assert resolve_source(tx, source, run_id="", model_id="").key == ""
    unknown = resolve_source(tx, "runs:/gone/model", run_id="gone", model_id="")
    assert unknown == Source(key="", run_id="gone", model_id="")
    with pytest.raises(UsageError, match="exceeds the maximum length"):
        resolve_source(tx, f"runs:/{'r' * 33}/model", run_id="r" * 33, model_id="")


def test_a_place_that_climbs_or_names_a_host_is_refused(tx: Connection, run: str) -> None:
    for source in (
        "s3://bucket/a/../x",
        "s3://bucket/a/%2e%2e/x",
        "s3://bucket/a/%252e%252e/x",
        "dbfs:/?/../../etc",
        "s3://bucket/a#/../b",
        "s3://bucket/a\\..\\b",
        "s3://bucket/a\0",
        "s3://bucket/a\nb",
        "foo:bar",
        "http://h/m",
        "HTTPS://h/m",
        "sftp://h/m",
        "hdfs://h/m",
        "abfss://c@a.dfs.core.windows.net/m",
        "mlflow-artifacts://h:1/m",
        "C:\\models",
        "path/to/model",
        f"runs:/{run}/a/../../b",
    ):
        with pytest.raises(UsageError):
            resolve_source(tx, source, run_id=run, model_id="")


def test_a_key_has_one_owner(tx: Connection, run: str, model: str) -> None:
    of_run = owner_of(tx, f"0/{run}/artifacts/deep/file")
    of_model = owner_of(tx, f"0/models/{model}/artifacts/MLmodel")
    assert of_run is not None
    assert of_model is not None
    assert (of_run.root, of_run.run_id, of_run.model_id) == (f"0/{run}/artifacts", run, "")
    assert (of_model.run_id, of_model.model_id, of_model.experiment_id) == (run, model, "0")
    for key in ("0", "0/x", f"0/{run}", f"1/{run}/artifacts/x", f"0/{'0' * 32}/artifacts/x", f"x/{model}/artifacts/y"):
        assert owner_of(tx, key) is None


def test_only_our_own_locations_have_keys() -> None:
    assert key_of("mlflow-artifacts:/0/r/artifacts") == "0/r/artifacts"
    for uri in ("s3://b/k", "mlflow-artifacts://host/x", "file:///etc", "/etc", "mlflow-artifacts:x"):
        assert key_of(uri) is None
    with pytest.raises(UsageError):
        key_of("mlflow-artifacts:/../etc")


def test_what_was_registered_by_digest_is_sealed(tx: Connection, run: str) -> None:
    store = RegistryStore(tx)
    folder = f"0/{run}/artifacts/my_model"
    store.create_model("m")
    store.create_version("m", source=folder, run_id=run)
    assert is_registered(tx, f"{folder}/MLmodel")
    assert not is_sealed(tx, f"{folder}/MLmodel")
    store.register_candidate(
        "m", source=folder, digest="d", env_digest="", env_path="", lineage=Lineage(run_id=run), actor="headway"
    )
    for key in (folder, f"{folder}/MLmodel", f"0/{run}/artifacts", f"0/{run}"):
        assert is_sealed(tx, key)
    for key in (f"0/{run}/artifacts/other", f"0/{run}/artifacts/myXmodel", f"{folder}2", "1"):
        assert not is_sealed(tx, key)
