"""The life of experiments, their tags and their texts of refusal."""

import time
from pathlib import Path
from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "experiments"
MISSING = "Missing value for required parameter '{}'. See the API docs for more information about request parameters."


def found(server: Server, exp: str) -> Any:
    return server.get("experiments/get", experiment_id=exp)["experiment"]


def test_the_default_experiment(server: Server) -> None:
    default = found(server, "0")
    assert (default["experiment_id"], default["name"], default["lifecycle_stage"]) == ("0", "Default", "active")
    assert default["artifact_location"] == "mlflow-artifacts:/0"
    assert server.get("experiments/get-by-name", experiment_name="Default")["experiment"] == default


def test_what_creating_gives(server: Server) -> None:
    name, before = fresh("exp"), time.time() * 1000
    tags = [{"key": "a", "value": "1"}, {"key": "b/c d.e-f:g_h", "value": ""}]
    made = server.post("experiments/create", {"name": name, "tags": tags})
    assert set(made) == {"experiment_id"}
    exp = found(server, made["experiment_id"])
    assert made["experiment_id"].isdigit()
    assert exp["name"] == name
    assert exp["lifecycle_stage"] == "active"
    assert exp["artifact_location"] == f"mlflow-artifacts:/{made['experiment_id']}"
    assert sorted(exp["tags"], key=lambda tag: tag["key"]) == tags
    assert exp["creation_time"] == exp["last_update_time"] >= before - 1000
    assert "tags" not in found(server, server.experiment())


def test_names_may_be_of_any_letters(server: Server) -> None:
    for name in (fresh("ünï"), fresh("a/b=c"), f" {fresh('space')} ", "x" * 460 + fresh("")):
        exp = server.post("experiments/create", {"name": name})["experiment_id"]
        assert server.get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"] == exp


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, MISSING.format("name")),
        ({"name": ""}, MISSING.format("name")),
        ({"name": None}, MISSING.format("name")),
        ({"name": 123}, "Invalid value 123 for parameter 'name' supplied:  Hint: Value was of type 'int'. See the API"),
        ({"name": "n", "artifact_location": 9.0}, "Invalid value 9.0 for parameter 'artifact_location' supplied"),
        ({"name": "n", "tags": "5"}, "Invalid value \"5\" for parameter 'tags' supplied"),
        ({"name": "x" * 501}, "'name' exceeds the maximum length of 500 characters"),
        ({"name": "n", "tags": [{"key": "a=b", "value": "v"}]}, "Invalid value \"a=b\" for parameter 'key' supplied"),
        ({"name": "n", "tags": [{"key": "k", "value": "x" * 20_001}]}, "'value' exceeds the maximum length of 20000"),
        ({"name": "n", "artifact_location": "s3://b/x#f"}, "'artifact_location' URL can't include fragments or params"),
    ],
)
def test_what_creating_refuses(server: Server, body: dict[str, Any], text: str) -> None:
    assert server.refused("experiments/create", body).says(text)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        *(
            (place, "'artifact_location' URL can't include fragments or params.")
            for place in ("http://host#/abc/etc/", "http://host/;..%2F..%2Fetc", "s3://b/x#f", "/tmp/x#y", "/tmp/x;y")
        ),
        ("s3://bucket/x?a=../../y", "Invalid query string"),
    ],
)
def test_what_a_location_must_not_have_is_said_in_one_sentence(server: Server, location: str, message: str) -> None:
    refused = server.refused("experiments/create", {"name": fresh("exp"), "artifact_location": location})
    assert (refused.status, refused.code, refused.message) == (400, "INVALID_PARAMETER_VALUE", message)


@pytest.mark.parametrize(
    "location", ["http://h/x", "https://h/x", "ftp://h/x", "sftp://h/x", "mlflow-artifacts://h:1/x", "x" * 3000]
)
def test_locations_that_are_refused(server: Server, location: str) -> None:
    refused = server.refused("experiments/create", {"name": fresh("exp"), "artifact_location": location})
    assert (refused.status, refused.code) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    ("location", "below"),
    [
        *(
            (place, place + "/{}")
            for place in ("s3://bucket/x", "gs://bucket/x", "wasbs://c@a.blob.core.windows.net/x")
        ),
        *(
            (place, place + "/{}")
            for place in (
                "s3://bucket",
                "dbfs:/team/x",
                "oss://bucket/x",
                "mysql+driver://h:p/x",
                "dialect+driver://r@h/x",
            )
        ),
        ("s3://bucket/x/", "s3://bucket/x/{}"),
        ("s3://bucket/x?who=me", "s3://bucket/x/{}?who=me"),
        ("mysql://user:secret@host:port/name?driver=d", "mysql://user:secret@host:port/name/{}?driver=d"),
        ("/tmp/some where", "/tmp/some where/{}"),
        ("file:///tmp/somewhere", "file:///tmp/somewhere/{}"),
    ],
)
def test_a_location_that_clients_open_themselves(server: Server, location: str, below: str) -> None:
    exp = server.experiment(artifact_location=location)
    assert found(server, exp)["artifact_location"] == location
    run = server.post("runs/create", {"experiment_id": exp})["run"]["info"]
    assert run["artifact_uri"] == below.format(f"{run['run_id']}/artifacts")
    model = server.post("logged-models", {"experiment_id": exp})["model"]["info"]
    assert model["artifact_uri"] == below.format(f"models/{model['model_id']}/artifacts")
    for filter_text in (f"artifact_uri = '{run['artifact_uri']}'", "artifact_uri LIKE '%/artifacts%'"):
        runs = server.post("runs/search", {"experiment_ids": [exp], "filter": filter_text})["runs"]
        assert [each["info"]["run_id"] for each in runs] == [run["run_id"]]


@pytest.mark.parametrize("root", ["/tmp/at-home", "file:///tmp/at-home"])
def test_files_at_a_location_of_ones_own(server: Server, client: Any, root: str, tmp_path: Path) -> None:
    place = root.replace("/tmp/at-home", str(tmp_path / "store"))
    run = server.run(server.experiment(artifact_location=place))
    (tmp_path / "a.txt").write_text("hello")
    client.log_artifact(run, str(tmp_path / "a.txt"), "deep")
    assert (tmp_path / "store" / run / "artifacts" / "deep" / "a.txt").read_text() == "hello"
    assert [each.path for each in client.list_artifacts(run, "deep")] == ["deep/a.txt"]
    assert Path(client.download_artifacts(run, "deep/a.txt")).read_text() == "hello"
    model = fresh("local")
    client.create_registered_model(model)
    for inside in ("", "/deep", "/.", "/deep/.."):
        source = f"{place}/{run}/artifacts{inside}"
        made = client.create_model_version(model, source, run)
        assert (made.source, client.get_model_version_download_uri(model, made.version)) == (source, source)
    root = f"{place}/{run}/artifacts"
    for other, of in ((f"{root}/..", run), (f"{root}/%2e%2e/x", run), (place, run), ("/tmp", run), (root, "")):
        body = {"name": model, "source": other, "run_id": of}
        assert server.refused("model-versions/create", body).says("To use a local path as a model version source, the")


@pytest.mark.departs("what could lead a program into the system's folders, or out of the one named, is refused")
@pytest.mark.parametrize(
    "location", ["/etc", "/proc/self", "file:///usr/lib/x", "/tmp/../etc", "file:tmp", "FILE:///tmp/x", "s3://b/../x"]
)
def test_folders_that_nobody_should_name(server: Server, location: str) -> None:
    server.experiment(artifact_location=location)


@pytest.mark.parametrize("name", ["named", "two/names", "slash/"])
def test_a_plain_name_is_a_folder_where_the_server_was_started(server: Server, name: str) -> None:
    place = Path(found(server, server.experiment(artifact_location=name))["artifact_location"])
    assert place.is_absolute()
    assert str(place).endswith(f"/{name.rstrip('/')}")
    same = found(server, server.experiment(artifact_location=f"{place}/below"))
    assert same["artifact_location"] == f"{place}/below"


@pytest.mark.parametrize("stage", ["active", "deleted"])
def test_a_name_is_taken_even_by_a_deleted_experiment(server: Server, stage: str) -> None:
    name = fresh("taken")
    exp = server.post("experiments/create", {"name": name})["experiment_id"]
    if stage == "deleted":
        server.post("experiments/delete", {"experiment_id": exp})
    assert server.refused("experiments/create", {"name": name}).says(
        f"Experiment(name={name}) already exists.", "RESOURCE_ALREADY_EXISTS"
    )


def test_ids_that_are_nothing(server: Server) -> None:
    assert server.refused("experiments/get", method="GET").says(MISSING.format("experiment_id"))
    assert server.refused("experiments/get", method="GET", experiment_id="abc").says(
        "Invalid experiment ID 'abc'. Experiment ID must be a valid integer."
    )
    assert server.refused("experiments/get", method="GET", experiment_id="1.5").says("must be a valid integer")
    for nobody in ("98765432", "-1337"):
        assert server.refused("experiments/get", method="GET", experiment_id=nobody).says(
            f"No Experiment with id={nobody} exists", "RESOURCE_DOES_NOT_EXIST", 404
        )
    assert server.refused("experiments/get-by-name", method="GET").says(MISSING.format("experiment_name"))
    assert server.refused("experiments/get-by-name", method="GET", experiment_name="never").says(
        "Could not find experiment with name 'never'", "RESOURCE_DOES_NOT_EXIST", 404
    )


def test_renaming(server: Server, exp: str) -> None:
    before, name = found(server, exp), fresh("renamed")
    time.sleep(0.005)
    assert server.post("experiments/update", {"experiment_id": exp, "new_name": name}) == {}
    after = found(server, exp)
    assert after["name"] == name
    assert after["last_update_time"] > before["last_update_time"]
    assert after["creation_time"] == before["creation_time"]


def test_what_renaming_refuses(server: Server, exp: str) -> None:
    def refused(**body: Any) -> Any:
        return server.refused("experiments/update", body)

    assert refused().says(MISSING.format("experiment_id"))
    assert refused(experiment_id=exp).says(MISSING.format("new_name"))
    assert refused(experiment_id=exp, new_name="").says(MISSING.format("new_name"))
    assert refused(experiment_id=exp, new_name=5).says("Invalid value 5 for parameter 'new_name' supplied")
    assert refused(experiment_id=exp, new_name="x" * 501).says("'name' exceeds the maximum length of 500 characters")
    assert refused(experiment_id="x", new_name="n").says("must be a valid integer")
    assert refused(experiment_id="98765432", new_name="n").says(
        "No Experiment with id=98765432 exists", "RESOURCE_DOES_NOT_EXIST", 404
    )
    assert refused(experiment_id=exp, new_name="Default").status == 400
    server.post("experiments/delete", {"experiment_id": exp})
    assert refused(experiment_id=exp, new_name=fresh("n")).says(
        "Cannot rename a non-active experiment.", "INVALID_STATE", 500
    )


def test_deleting_and_restoring_take_the_runs_along(server: Server, exp: str) -> None:
    runs = [server.run(exp), server.run(exp)]
    server.post("runs/delete", {"run_id": runs[0]})
    time.sleep(0.005)
    assert server.post("experiments/delete", {"experiment_id": exp}) == {}
    deleted = found(server, exp)
    assert deleted["lifecycle_stage"] == "deleted"
    assert deleted["last_update_time"] > deleted["creation_time"]
    for run in runs:
        assert server.get("runs/get", run_id=run)["run"]["info"]["lifecycle_stage"] == "deleted"
    assert server.post("experiments/restore", {"experiment_id": exp}) == {}
    assert found(server, exp)["lifecycle_stage"] == "active"
    for run in runs:
        assert server.get("runs/get", run_id=run)["run"]["info"]["lifecycle_stage"] == "active"


@pytest.mark.parametrize("path", ["delete", "restore"])
def test_what_deleting_and_restoring_refuse(server: Server, exp: str, path: str) -> None:
    assert server.refused(f"experiments/{path}", {}).says(MISSING.format("experiment_id"))
    assert server.refused(f"experiments/{path}", {"experiment_id": 5}).says("Invalid value 5 for parameter")
    assert server.refused(f"experiments/{path}", {"experiment_id": "x"}).says("must be a valid integer")
    gone = ("No Experiment with id=", "RESOURCE_DOES_NOT_EXIST", 404)
    assert server.refused(f"experiments/{path}", {"experiment_id": "98765432"}).says(*gone)
    if path == "delete":
        server.post("experiments/delete", {"experiment_id": exp})
    assert server.refused(f"experiments/{path}", {"experiment_id": exp}).says(*gone)


def test_a_deleted_experiment_is_still_found_by_id_and_name(server: Server) -> None:
    name = fresh("still")
    exp = server.post("experiments/create", {"name": name})["experiment_id"]
    server.post("experiments/delete", {"experiment_id": exp})
    assert found(server, exp)["lifecycle_stage"] == "deleted"
    by_name = server.get("experiments/get-by-name", experiment_name=name)["experiment"]
    assert (by_name["experiment_id"], by_name["lifecycle_stage"]) == (exp, "deleted")


def test_tags_are_set_changed_and_deleted(server: Server, exp: str) -> None:
    other = server.experiment(tags=[{"key": "k", "value": "other"}])
    for value in ("1", "2", "", "several\nlines", "x" * 20_000):
        assert server.post("experiments/set-experiment-tag", {"experiment_id": exp, "key": "k", "value": value}) == {}
        assert found(server, exp)["tags"] == [{"key": "k", "value": value}]
    assert server.post("experiments/delete-experiment-tag", {"experiment_id": exp, "key": "k"}) == {}
    assert "tags" not in found(server, exp)
    assert found(server, other)["tags"] == [{"key": "k", "value": "other"}]


def test_what_tagging_refuses(server: Server, exp: str) -> None:
    def refused(**body: Any) -> Any:
        return server.refused("experiments/set-experiment-tag", {"experiment_id": exp, **body})

    assert server.refused("experiments/set-experiment-tag", {}).says(MISSING.format("experiment_id"))
    assert refused().says(MISSING.format("key"))
    assert refused(key="k", value=5).says("Invalid value 5 for parameter 'value' supplied")
    assert refused(key="a=b", value="v").says("Names may only contain alphanumerics, underscores (_), dashes (-)")
    assert refused(key="../b", value="v").says("must not resolve to other names when treated as such")
    assert refused(key="k", value="x" * 20_001).says("'value' exceeds the maximum length of 20000 characters")
    assert refused(key="k" * 251, value="v").says("'key' exceeds the maximum length of 250 characters")
    gone = server.refused("experiments/set-experiment-tag", {"experiment_id": "98765432", "key": "k", "value": "v"})
    assert gone.says("No Experiment with id=98765432 exists", "RESOURCE_DOES_NOT_EXIST", 404)
    server.post("experiments/delete", {"experiment_id": exp})
    assert refused(key="k", value="v").says(
        f"The experiment {exp} must be in the 'active' state. Current state is deleted."
    )


def test_what_untagging_refuses(server: Server, exp: str) -> None:
    def refused(**body: Any) -> Any:
        return server.refused("experiments/delete-experiment-tag", {"experiment_id": exp, **body})

    assert refused().says(MISSING.format("key"))
    assert refused(key="never").says(
        f"No tag with name: never in experiment with id {exp}", "RESOURCE_DOES_NOT_EXIST", 404
    )
    server.post("experiments/delete", {"experiment_id": exp})
    assert refused(key="never").says("must be in the 'active' state")


def test_through_the_client(client: Any) -> None:
    name = fresh("by client")
    exp = client.create_experiment(name, tags={"k": "v"})
    found_exp = client.get_experiment(exp)
    assert (found_exp.name, found_exp.tags, found_exp.lifecycle_stage) == (name, {"k": "v"}, "active")
    assert client.get_experiment_by_name(name).experiment_id == exp
    assert client.get_experiment_by_name(fresh("never")) is None
    client.rename_experiment(exp, fresh("new"))
    client.set_experiment_tag(exp, "k2", "v2")
    client.delete_experiment_tag(exp, "k")
    client.delete_experiment(exp)
    assert client.get_experiment(exp).lifecycle_stage == "deleted"
    client.restore_experiment(exp)
    assert client.get_experiment(exp).tags == {"k2": "v2"}
