"""Versions: numbers, sources, descriptions, stages, tags, copies, where they are downloaded from, and times."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from conformance.servers import Refusal, Server, fresh

GROUP = "model versions"
GONE = "RESOURCE_DOES_NOT_EXIST"
CREATE = "model-versions/create"

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # the client says that stages are old


@pytest.fixture
def model(server: Server) -> str:
    name = fresh("model")
    server.post("registered-models/create", {"name": name})
    return name


@pytest.fixture
def add(server: Server, model: str) -> Callable[..., dict[str, Any]]:
    """Make a version of this test's model and return it."""

    def create(**more: Any) -> dict[str, Any]:
        body = {"name": model, "source": "runs:/some_run/model", "run_id": "some_run", **more}
        return dict(server.post(CREATE, body)["model_version"])

    return create


def got(server: Server, name: str, number: int | str) -> dict[str, Any]:
    return dict(server.get("model-versions/get", name=name, version=number)["model_version"])


def refused_source(server: Server, model: str, source: str, **more: Any) -> Refusal:
    return server.refused(CREATE, {"name": model, "source": source, **more})


# --- making -----------------------------------------------------------------------------------------


def test_a_version_says_where_it_came_from(server: Server, model: str, add: Any) -> None:
    tags = [{"key": "a", "value": "1"}, {"key": "b", "value": ""}]
    made = add(tags=tags, run_link="http://localhost:3000/run", description="best ever")
    assert made == got(server, model, 1)
    told = {key: made[key] for key in ("name", "version", "current_stage", "source", "run_id", "run_link", "status")}
    assert told == {
        "name": model,
        "version": "1",
        "current_stage": "None",
        "source": "runs:/some_run/model",
        "run_id": "some_run",
        "run_link": "http://localhost:3000/run",
        "status": "READY",
    }
    assert made["description"] == "best ever"
    assert sorted(made["tags"], key=lambda tag: str(tag["key"])) == tags
    assert made["creation_timestamp"] == made["last_updated_timestamp"]


def test_what_was_not_given_is_empty(add: Any) -> None:
    made = add(source="s3://bucket/m", run_id="")
    assert (made["run_id"], made["run_link"], made["description"]) == ("", "", "")
    assert not {"tags", "aliases"} & set(made)


def test_numbers_count_up_and_are_never_used_again(server: Server, model: str, add: Any) -> None:
    assert [add()["version"] for _ in range(3)] == ["1", "2", "3"]
    for number in ("3", "1"):
        assert server.post("model-versions/delete", {"name": model, "version": number}, method="DELETE") == {}
    assert add()["version"] == "4"
    found = server.get("model-versions/search", filter=f"name = '{model}'")["model_versions"]
    assert {each["version"] for each in found} == {"2", "4"}


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ({"source": "runs:/r/m", "run_id": "r"}, "name"),
        ({"name": "m"}, "source"),
        ({"name": "m", "source": ""}, "source"),
    ],
)
def test_name_and_source_are_needed(server: Server, body: Any, missing: str) -> None:
    server.refused(CREATE, body).says(f"Missing value for required parameter '{missing}'")


@pytest.mark.parametrize(
    ("field", "value", "shown"), [("source", 5, "5"), ("tags", "x", '"x"'), ("run_link", 5, "5"), ("run_id", 7, "7")]
)
def test_wrong_types_are_named(server: Server, model: str, field: str, value: Any, shown: str) -> None:
    body = {"name": model, "source": "runs:/r/m", "run_id": "r", field: value}
    server.refused(CREATE, body).says(f"Invalid value {shown} for parameter '{field}' supplied")


def test_a_version_needs_its_model(server: Server) -> None:
    name = fresh("none")
    told = server.refused(CREATE, {"name": name, "source": "runs:/r/m", "run_id": "r"})
    told.says(f"Registered Model with name={name} not found", GONE, 404)


# --- sources ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["model", "a/b/c", "with space", "", "trailing/"])
def test_a_runs_source_needs_its_run(server: Server, model: str, add: Any, path: str) -> None:
    run = server.run()
    source = f"runs:/{run}/{path}"
    assert add(source=source, run_id=run)["source"] == source
    for run_id in ("", server.run()):
        told = refused_source(server, model, source, run_id=run_id)
        told.says("The run_id request parameter must identify the resource that contains the source.")


def test_the_run_of_a_source_need_not_be_here(server: Server, model: str, add: Any) -> None:
    assert add(source="runs:/elsewhere/m", run_id="elsewhere")["run_id"] == "elsewhere"
    told = refused_source(server, model, "runs:/elsewhere/m", run_id="other")
    told.says("The run_id request parameter must identify")


def test_a_location_must_lie_in_the_runs_own_folder(server: Server, model: str, add: Any) -> None:
    run, other = server.run(), server.run()
    root = server.get("runs/get", run_id=run)["run"]["info"]["artifact_uri"]
    for source in (root, f"{root}/", f"{root}/model", f"{root}/a//b"):
        assert add(source=source, run_id=run)["source"] == source
    for run_id in ("", other, "0" * 32):
        told = refused_source(server, model, f"{root}/model", run_id=run_id)
        told.says("The run_id request parameter must identify the resource that contains the source.")
    told = refused_source(server, model, "mlflow-artifacts:/models", run_id=run)
    told.says("The run_id request parameter must identify")


@pytest.mark.parametrize(
    "source", ["s3://bucket/m", "gs://bucket/a/b", "dbfs:/models/m", "s3:/bucket/m", "s3://bucket/x y?versionId=3"]
)
def test_a_place_that_the_client_opens_is_taken_as_it_is(server: Server, add: Any, source: str) -> None:
    assert add(source=source, run_id="")["source"] == source
    run = server.run()
    assert add(source=source, run_id=run)["run_id"] == run


@pytest.mark.parametrize(
    ("scheme", "source"),
    [
        ("http", "http://host:9000/models"),
        ("http", "http://host:9000/models/../../../"),
        ("https", "https://host/api/2.0/mlflow-artifacts/artifacts/x"),
        ("mlflow-artifacts", "mlflow-artifacts://host:9000/models"),
        ("mlflow-artifacts", "mlflow-artifacts://host:9000/models/..%2f..%2fartifacts"),
        ("ftp", "ftp://host/x"),
        ("sftp", "sftp://u@host/x"),
        ("hdfs", "hdfs://host/x"),
        ("abfss", "abfss://c@a.dfs.core.windows.net/x"),
        ("http", "http:///#/../../etc"),
    ],
)
def test_a_source_names_no_host(server: Server, model: str, scheme: str, source: str) -> None:
    refused_source(server, model, source).says(f"'source' cannot use the '{scheme}' scheme")


@pytest.mark.parametrize(
    "source",
    [
        "s3a://bucket/x/../../../",
        "s3://bucket/%2e%2e/x",
        "s3://bucket/%252e%252e/x",
        "dbfs:/run/artifacts/a%3f/../../",
        "runs:/RUN/a/b/../c",
        "ROOT/../x",
        "ROOT/..%2fx",
        "ROOT/x%00",
        "mlflow-artifacts:",
        "foo:bar",
    ],
)
def test_a_source_does_not_climb(server: Server, model: str, source: str) -> None:
    run = server.run()
    root = server.get("runs/get", run_id=run)["run"]["info"]["artifact_uri"]
    told = refused_source(server, model, source.replace("RUN", run).replace("ROOT", root), run_id=run)
    told.says("If supplying a source as an http, https, local file path")
    assert "Invalid model version source" in told.message


@pytest.mark.parametrize("source", ["/tmp", "file:///tmp", "//proc/self/root", "file:etc", "path/to/model"])
def test_a_local_path_is_no_source(server: Server, model: str, source: str) -> None:
    for more in ({}, {"run_id": server.run()}):
        told = refused_source(server, model, source, **more)
        told.says("To use a local path as a model version source, the run_id request parameter has to be specified")


def test_a_local_path_is_no_source_of_a_logged_model(server: Server, model: str, exp: str) -> None:
    logged = server.post("logged-models", {"experiment_id": exp})["model"]["info"]["model_id"]
    told = refused_source(server, model, "file:///path/to/model", model_id=logged)
    told.says("To use a local path as a model version source, the model_id request parameter")


def test_a_logged_model_brings_its_run_and_is_told_of_its_versions(
    server: Server, model: str, add: Any, exp: str
) -> None:
    run = server.run(exp)
    logged = server.post("logged-models", {"experiment_id": exp, "source_run_id": run})["model"]["info"]
    root, model_id = logged["artifact_uri"], logged["model_id"]
    for source in (root, f"models:/{model_id}", f"{root}/x"):
        made = add(source=source, run_id="", model_id=model_id)
        assert (made["source"], made["run_id"]) == (source, run)
    tags = server.get(f"logged-models/{model_id}")["model"]["info"]["tags"]
    listed = ", ".join(f'{{"name": "{model}", "version": {number}}}' for number in (1, 2, 3))
    assert tags == [{"key": "mlflow.modelVersions", "value": f"[{listed}]"}]


def test_a_logged_model_must_be_named(server: Server, model: str, exp: str) -> None:
    run = server.run(exp)
    logged = server.post("logged-models", {"experiment_id": exp, "source_run_id": run})["model"]["info"]["model_id"]
    text = "The model_id request parameter must identify the resource that contains the source."
    for more in ({}, {"model_id": f"m-{'0' * 32}"}, {"run_id": run}):
        refused_source(server, model, f"models:/{logged}", **more).says(text)
    refused_source(server, model, f"runs:/{run}/x", run_id=run, model_id=logged).says(text)
    told = refused_source(server, model, "s3://b/x", model_id=f"m-{'0' * 32}")
    told.says("not found", GONE, 404)


def test_another_version_is_a_source_by_number_alias_and_latest(server: Server, model: str, add: Any) -> None:
    add()
    add(source="runs:/run_two/m", run_id="run_two")
    server.post("registered-models/alias", {"name": model, "alias": "a", "version": "1"})
    copies = fresh("copies")
    server.post("registered-models/create", {"name": copies})
    for wanted, number, run in (("/1", 1, "some_run"), ("@a", 1, "some_run"), ("/latest", 2, "run_two")):
        made = server.post(CREATE, {"name": copies, "source": f"models:/{model}{wanted}"})["model_version"]
        assert (made["source"], made["run_id"]) == (f"models:/{model}/{number}", run)


@pytest.mark.parametrize(
    ("source", "text", "code", "status"),
    [
        ("models:/MODEL/1", "run_id and model_id request parameters must match", "INVALID_PARAMETER_VALUE", 400),
        ("models:/MODEL/99", "version=99) not found", GONE, 404),
        ("models:/no-such-model-here/1", "Registered Model with name=no-such-model-here not found", GONE, 404),
        (
            "models://x/y/1",
            "Registered model sources must use the active model registry",
            "INVALID_PARAMETER_VALUE",
            400,
        ),
        ("models:/", "Invalid model version source: 'models:/'", "INVALID_PARAMETER_VALUE", 400),
    ],
)
def test_a_version_that_cannot_be_meant(
    server: Server, model: str, add: Any, source: str, text: str, code: str, status: int
) -> None:
    add()
    told = refused_source(server, model, source.replace("MODEL", model), run_id="another_run")
    told.says(text, code, status)


def test_the_client_copies_a_version(server: Server, client: Any, model: str, add: Any) -> None:
    first = add(tags=[{"key": "hello", "value": "world"}], run_link="dummylink", description="dummy")
    server.post("model-versions/transition-stage", {"name": model, "version": "1", "stage": "Production"})
    server.post("registered-models/alias", {"name": model, "alias": "champ", "version": "1"})
    made = client.copy_model_version(f"models:/{model}@champ", model)
    assert (made.name, made.version) == (model, "2")
    copied = client.get_model_version(model, "2")
    assert (copied.source, copied.description, copied.run_id) == (f"models:/{model}/1", "dummy", "some_run")
    assert (copied.tags, copied.run_link, copied.current_stage) == ({"hello": "world"}, "dummylink", "None")
    again = client.copy_model_version(f"models:/{model}/2", fresh("other"))
    assert again.source == f"models:/{model}/2"
    for name, number in ((model, "2"), (again.name, again.version)):
        assert client.get_model_version_download_uri(name, number) == first["source"]


def test_a_version_is_downloaded_from_its_source(server: Server, model: str, add: Any) -> None:
    run = server.run()
    for source, run_id in ((f"runs:/{run}/m", run), ("runs:/gone/m", "gone"), ("s3://bucket/m", "")):
        number = add(source=source, run_id=run_id)["version"]
        asked = {"name": model, "version": number}
        assert server.get("model-versions/get-download-uri", **asked) == {"artifact_uri": source}
        server.post("model-versions/transition-stage", {**asked, "stage": "Production"})
        server.post("model-versions/update", {**asked, "description": "d"}, method="PATCH")
        assert server.get("model-versions/get-download-uri", **asked) == {"artifact_uri": source}
        server.post("model-versions/delete", asked, method="DELETE")
        told = server.refused("model-versions/get-download-uri", method="GET", **asked)
        told.says(f"Model Version (name={model}, version={number}) not found", GONE, 404)


def test_a_logged_models_version_is_downloaded_from_its_folder(server: Server, model: str, add: Any, exp: str) -> None:
    logged = server.post("logged-models", {"experiment_id": exp})["model"]["info"]
    add(source=f"models:/{logged['model_id']}", run_id="", model_id=logged["model_id"])
    found = server.get("model-versions/get-download-uri", name=model, version="1")
    assert found == {"artifact_uri": logged["artifact_uri"]}


# --- reading and changing ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["something not correct", "x", "1.0", "1e0"])
def test_a_version_is_a_number(server: Server, model: str, add: Any, number: str) -> None:
    add()
    text = f"Parameter 'version' must be an integer, got '{number}'."
    server.refused("model-versions/get", method="GET", name=model, version=number).says(text)
    asked = {"name": model, "version": number, "key": "k", "value": "v"}
    server.refused("model-versions/set-tag", asked).says(text)
    server.refused("model-versions/delete-tag", asked, method="DELETE").says(text)
    server.refused("model-versions/delete", asked, method="DELETE").says(text)


def test_numbers_may_be_numbers(server: Server, model: str, add: Any, client: Any) -> None:
    add()
    client.transition_model_version_stage(name=model, version=1, stage="Staging")
    client.update_model_version(name=model, version=1, description="d")
    assert client.get_model_version(model, 1).current_stage == "Staging"


def test_an_unknown_version_is_not_there(server: Server, model: str, add: Any) -> None:
    add()
    text = f"Model Version (name={model}, version=7) not found"
    server.refused("model-versions/get", method="GET", name=model, version="7").says(text, GONE, 404)
    for method, path, more in (
        ("PATCH", "update", {"description": "d"}),
        ("POST", "transition-stage", {"stage": "Staging"}),
        ("DELETE", "delete", {}),
        ("POST", "set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "delete-tag", {"key": "k"}),
    ):
        asked = {"name": model, "version": "7", **more}
        server.refused(f"model-versions/{path}", asked, method=method).says(text, GONE, 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "missing"),
    [
        ("PATCH", "update", {"name": "m"}, "version"),
        ("PATCH", "update", {"version": "1"}, "name"),
        ("POST", "transition-stage", {"name": "m", "version": "1"}, "stage"),
        ("DELETE", "delete", {"name": "m"}, "version"),
        ("POST", "set-tag", {"name": "m", "version": "1", "value": "v"}, "key"),
        ("POST", "set-tag", {"version": "1", "key": "k", "value": "v"}, "name"),
        ("POST", "set-tag", {"name": "m", "key": "k", "value": "v"}, "version"),
        ("DELETE", "delete-tag", {"name": "m", "version": "1"}, "key"),
    ],
)
def test_what_is_missing_is_named(server: Server, method: str, path: str, body: Any, missing: str) -> None:
    told = server.refused(f"model-versions/{path}", body, method=method)
    told.says(f"Missing value for required parameter '{missing}'")


def test_a_description_is_replaced_and_an_absent_one_clears_it(server: Server, model: str, add: Any) -> None:
    add(description="first")
    asked = {"name": model, "version": "1"}
    server.post("model-versions/update", {**asked, "description": "second"}, method="PATCH")
    assert got(server, model, 1)["description"] == "second"
    assert server.post("model-versions/update", asked, method="PATCH")["model_version"].get("description", "") == ""


def test_tags_are_of_one_version_alone(server: Server, model: str, add: Any) -> None:
    tags = [{"key": "key", "value": "value"}, {"key": "other", "value": "o"}]
    add(tags=tags)
    add(tags=tags)
    one = {"name": model, "version": "1"}
    assert server.post("model-versions/set-tag", {**one, "key": "key", "value": "new"}) == {}
    server.post("model-versions/set-tag", {**one, "key": "bare", "value": ""})
    told = {tag["key"]: tag["value"] for tag in got(server, model, 1)["tags"]}
    assert told == {"key": "new", "other": "o", "bare": ""}
    for _ in range(2):
        assert server.post("model-versions/delete-tag", {**one, "key": "key"}, method="DELETE") == {}
    assert {tag["key"] for tag in got(server, model, 1)["tags"]} == {"other", "bare"}
    assert {tag["key"]: tag["value"] for tag in got(server, model, 2)["tags"]} == {"key": "value", "other": "o"}
    for key, value in (("k", "v" * 100_001), ("k" * 251, "v")):
        told = server.refused("model-versions/set-tag", {**one, "key": key, "value": value})
        told.says("exceeds the maximum length of")


# --- stages -----------------------------------------------------------------------------------------


def stage(server: Server, model: str, number: int, name: str, **more: Any) -> dict[str, Any]:
    body = {"name": model, "version": str(number), "stage": name, **more}
    return dict(server.post("model-versions/transition-stage", body)["model_version"])


@pytest.mark.parametrize("spelled", ["STAGING", "staging", "StAgInG"])
def test_stages_are_known_in_any_case(server: Server, model: str, add: Any, spelled: str) -> None:
    add()
    assert stage(server, model, 1, spelled)["current_stage"] == "Staging"


def test_other_stages_are_refused(server: Server, model: str, add: Any) -> None:
    add()
    told = server.refused("model-versions/transition-stage", {"name": model, "version": "1", "stage": "unknown"})
    told.says("Invalid Model Version stage: unknown. Value must be one of None, Staging, Production, Archived.")


def test_a_transition_archives_others_only_when_asked(server: Server, model: str, add: Any) -> None:
    for _ in range(3):
        add()
    stage(server, model, 1, "Staging")
    stage(server, model, 2, "Production")
    stage(server, model, 3, "Staging")
    assert [got(server, model, n)["current_stage"] for n in (1, 2, 3)] == ["Staging", "Production", "Staging"]
    stage(server, model, 3, "staging", archive_existing_versions=True)
    one, two, three = (got(server, model, n) for n in (1, 2, 3))
    assert [each["current_stage"] for each in (one, two, three)] == ["Archived", "Production", "Staging"]
    assert one["last_updated_timestamp"] == three["last_updated_timestamp"]
    assert two["last_updated_timestamp"] <= three["last_updated_timestamp"]


@pytest.mark.parametrize("name", ["Archived", "None"])
def test_only_active_stages_archive_others(server: Server, model: str, add: Any, name: str) -> None:
    add()
    stage(server, model, 1, name)
    body = {"name": model, "version": "1", "stage": name, "archive_existing_versions": True}
    told = server.refused("model-versions/transition-stage", body)
    assert "Model version transition cannot archive existing model versions because" in told.message
    assert "is not an Active stage" in told.message


def test_the_newest_of_each_stage(server: Server, client: Any, model: str, add: Any) -> None:
    for number, name in enumerate(("Archived", "Production", "Archived", "Production", "Staging", "Staging", ""), 1):
        add()
        if name:
            stage(server, model, number, name)

    def latest(stages: list[str] | None) -> dict[str, str]:
        return {each.current_stage: each.version for each in client.get_latest_versions(model, stages)}

    everything = {"Production": "4", "Staging": "6", "Archived": "3", "None": "7"}
    assert latest(None) == latest([]) == everything
    assert latest(["None"]) == {"None": "7"}
    assert latest(["pROduction"]) == {"Production": "4"}
    assert latest(["None", "Staging"]) == {"None": "7", "Staging": "6"}
    shown = server.get("registered-models/get", name=model)["registered_model"]["latest_versions"]
    assert {each["current_stage"]: each["version"] for each in shown} == everything
    server.post("model-versions/delete", {"name": model, "version": "4"}, method="DELETE")
    assert latest(["Production"]) == {"Production": "2"}
    told = server.refused("registered-models/get-latest-versions", {"name": model, "stages": ["foo"]})
    told.says("Invalid Model Version stage: foo.")
    asked = server.get("registered-models/get-latest-versions", name=model, stages=["Staging", "Archived"])
    assert {each["version"] for each in asked["model_versions"]} == {"6", "3"}


# --- times ------------------------------------------------------------------------------------------


def test_which_times_move(server: Server, model: str, add: Any) -> None:
    def times() -> tuple[int, int, int]:
        of_model = server.get("registered-models/get", name=model)["registered_model"]
        of_version = got(server, model, 1)
        return (
            int(of_model["last_updated_timestamp"]),
            int(of_version["last_updated_timestamp"]),
            int(of_version["creation_timestamp"]),
        )

    add()
    before = times()
    asked = {"name": model, "version": "1"}
    for act, of_model, of_version in (
        (add, True, False),
        (lambda: stage(server, model, 1, "Staging"), True, True),
        (lambda: server.post("model-versions/update", {**asked, "description": "d"}, method="PATCH"), False, True),
        (lambda: server.post("model-versions/set-tag", {**asked, "key": "k", "value": "v"}), False, False),
        (lambda: server.post("model-versions/delete", {"name": model, "version": "2"}, method="DELETE"), True, False),
    ):
        time.sleep(0.004)
        act()
        after = times()
        assert (after[0] > before[0], after[1] > before[1]) == (of_model, of_version)
        assert after[2] == before[2]
        before = after
