"""The life of runs: how they begin, what they are called, how they end."""

import time
from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "runs"
MISSING = "Missing value for required parameter '{}'. See the API docs for more information about request parameters."


def get(server: Server, run: str) -> Any:
    return server.get("runs/get", run_id=run)["run"]


def tags(run: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}


def test_what_creating_gives(server: Server, exp: str) -> None:
    asked = [{"key": "mlflow.user", "value": "me"}, {"key": "my", "value": "tag"}]
    body = {"experiment_id": exp, "user_id": "someone", "start_time": 456, "run_name": "named", "tags": asked}
    run = server.post("runs/create", body)["run"]
    info = run["info"]
    assert set(run) == {"info", "data", "inputs"}
    assert len(info["run_id"]) == 32
    assert int(info["run_id"], 16) >= 0
    assert info == {
        "run_id": info["run_id"],
        "run_uuid": info["run_id"],
        "run_name": "named",
        "experiment_id": exp,
        "user_id": "someone",
        "status": "RUNNING",
        "start_time": 456,
        "artifact_uri": f"mlflow-artifacts:/{exp}/{info['run_id']}/artifacts",
        "lifecycle_stage": "active",
    }
    assert tags(run) == {"mlflow.user": "me", "my": "tag", "mlflow.runName": "named"}
    assert run["inputs"] == {}
    again = get(server, info["run_id"])
    assert again["info"] == info
    assert tags(again) == tags(run)
    assert again["outputs"] == {}


def test_generated_names_are_those_of_mlflow(server: Server, exp: str) -> None:
    from mlflow.utils.name_utils import _GENERATOR_PREDICATES

    for body in ({}, {"run_name": ""}, {"run_name": None}):
        run = server.post("runs/create", {"experiment_id": exp, **body})["run"]
        name = run["info"]["run_name"]
        words = name.split("-")
        assert words[0] in _GENERATOR_PREDICATES
        assert len(words) == 3
        assert words[2].isdigit()
        assert len(name) <= 20
        assert tags(run)["mlflow.runName"] == name


def test_the_tag_names_the_run(server: Server, exp: str) -> None:
    asked = [{"key": "mlflow.runName", "value": "tagged"}]
    run = server.post("runs/create", {"experiment_id": exp, "tags": asked})["run"]
    assert run["info"]["run_name"] == "tagged"
    run = server.post("runs/create", {"experiment_id": exp, "tags": asked, "run_name": "tagged"})["run"]
    assert tags(run) == {"mlflow.runName": "tagged"}
    assert server.refused("runs/create", {"experiment_id": exp, "tags": asked, "run_name": "other"}).says(
        "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
        "(run_name='other', mlflow.runName='tagged')."
    )


@pytest.mark.parametrize("key", ["a=b", "../up", "with/slash", "ünï", "a" * 250])
def test_a_new_runs_tags_may_have_any_name(server: Server, exp: str, key: str) -> None:
    run = server.post("runs/create", {"experiment_id": exp, "tags": [{"key": key, "value": "v"}]})["run"]
    assert tags(run)[key] == "v"


@pytest.mark.parametrize("name", ["é 名 😀", "a/b=c", " spaced ", "x" * 250])
def test_a_run_may_have_any_name(server: Server, exp: str, name: str) -> None:
    run = server.run(exp, run_name=name)
    assert get(server, run)["info"]["run_name"] == name


def test_what_creating_refuses(server: Server, exp: str) -> None:
    def refused(**body: Any) -> Any:
        return server.refused("runs/create", {"experiment_id": exp, **body})

    assert refused(experiment_id=5).says("Invalid value 5 for parameter 'experiment_id' supplied")
    assert refused(experiment_id="x").says("must be a valid integer")
    assert refused(start_time="x").says("Invalid value \"x\" for parameter 'start_time' supplied")
    assert refused(run_name=5).says("Invalid value 5 for parameter 'run_name' supplied")
    for nobody in ("98765432", "-1337"):
        assert refused(experiment_id=nobody).says(
            f"No Experiment with id={nobody} exists", "RESOURCE_DOES_NOT_EXIST", 404
        )
    server.post("experiments/delete", {"experiment_id": exp})
    assert refused().says(f"The experiment {exp} must be in the 'active' state. Current state is deleted.")


@pytest.mark.departs("a run without a start begins now: what began in 1970, a rule of retention would end at once")
def test_a_run_without_a_start(server: Server, exp: str) -> None:
    assert get(server, server.run(exp))["info"]["start_time"] == 0


def test_a_start_before_1970(server: Server, exp: str) -> None:
    assert get(server, server.run(exp, start_time=-5))["info"]["start_time"] == -5


def test_what_getting_refuses(server: Server) -> None:
    assert server.refused("runs/get", method="GET").says(MISSING.format("run_id"))
    assert server.refused("runs/get", method="GET", run_id="").says(MISSING.format("run_id"))
    for run in ("never", "../x", "a b"):
        assert server.refused("runs/get", method="GET", run_id=run).says(
            f"Run with id={run} not found", "RESOURCE_DOES_NOT_EXIST", 404
        )


@pytest.mark.parametrize("status", ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"])
def test_a_run_may_take_every_status(server: Server, exp: str, status: str) -> None:
    run = server.run(exp, start_time=5)
    answer = server.post("runs/update", {"run_id": run, "status": status, "end_time": 99})
    assert answer == {"run_info": get(server, run)["info"]}
    assert (answer["run_info"]["status"], answer["run_info"]["end_time"]) == (status, 99)


@pytest.mark.parametrize(("number", "status"), [(1, "RUNNING"), (3, "FINISHED"), (4, "FAILED"), (5, "KILLED")])
def test_a_status_in_a_body_is_a_name(server: Server, exp: str, number: int, status: str) -> None:
    run = server.run(exp)
    assert server.refused("runs/update", {"run_id": run, "status": number, "end_time": "x"}).status == 400
    server.post("runs/update", {"run_id": run, "status": status})
    assert get(server, run)["info"]["status"] == status


def test_an_end_may_be_a_string(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/update", {"run_id": run, "end_time": "55"})
    assert get(server, run)["info"]["end_time"] == 55


def test_an_ended_run_may_go_on(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": 9})
    server.post("runs/log-metric", {"run_id": run, "key": "late", "value": 1, "timestamp": 1})
    server.post("runs/set-tag", {"run_id": run, "key": "late", "value": "tag"})
    server.post("runs/log-parameter", {"run_id": run, "key": "late", "value": "param"})
    after = get(server, run)
    assert [metric["key"] for metric in after["data"]["metrics"]] == ["late"]
    assert after["data"]["params"] == [{"key": "late", "value": "param"}]
    assert tags(after)["late"] == "tag"
    server.post("runs/update", {"run_id": run, "status": "RUNNING"})
    assert get(server, run)["info"]["status"] == "RUNNING"


def test_the_name_and_its_tag_go_together(server: Server, exp: str) -> None:
    run = server.run(exp, run_name="first")

    def names() -> tuple[str, str | None]:
        found = get(server, run)
        return found["info"]["run_name"], tags(found).get("mlflow.runName")

    server.post("runs/update", {"run_id": run, "run_name": "second"})
    assert names() == ("second", "second")
    server.post("runs/update", {"run_id": run, "run_name": ""})
    assert names() == ("second", "second")
    server.post("runs/update", {"run_id": run, "status": "FINISHED"})
    assert names() == ("second", "second")
    server.post("runs/delete-tag", {"run_id": run, "key": "mlflow.runName"})
    assert names() == ("second", None)
    server.post("runs/update", {"run_id": run, "run_name": "third"})
    assert names() == ("third", "third")
    server.post("runs/set-tag", {"run_id": run, "key": "mlflow.runName", "value": "fourth"})
    assert names() == ("fourth", "fourth")
    server.post("runs/set-tag", {"run_id": run, "key": "mlflow.runName", "value": ""})
    assert names() == ("fourth", "fourth")
    server.post("runs/log-batch", {"run_id": run, "tags": [{"key": "mlflow.runName", "value": "fifth"}]})
    assert names() == ("fifth", "fifth")
    info = get(server, run)["info"]
    assert info["status"] == "FINISHED"


def test_what_updating_refuses(server: Server, exp: str) -> None:
    run = server.run(exp)

    def refused(**body: Any) -> Any:
        return server.refused("runs/update", {"run_id": run, **body})

    assert server.refused("runs/update", {}).says(MISSING.format("run_id"))
    assert refused(run_id=5).says("Invalid value 5 for parameter 'run_id' supplied")
    assert refused(status=5, end_time="x").status == 400
    assert refused(end_time="x").says("Invalid value \"x\" for parameter 'end_time' supplied")
    assert refused(run_name=5).says("Invalid value 5 for parameter 'run_name' supplied")
    assert refused(run_id="never").says("Run with id=never not found", "RESOURCE_DOES_NOT_EXIST", 404)
    server.post("runs/delete", {"run_id": run})
    assert refused(status="FAILED").says(f"The run {run} must be in the 'active' state. Current state is deleted.")


def test_deleting_and_restoring_may_be_repeated(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/restore", {"run_id": run})
    for _ in range(2):
        assert server.post("runs/delete", {"run_id": run}) == {}
    assert get(server, run)["info"]["lifecycle_stage"] == "deleted"
    for _ in range(2):
        assert server.post("runs/restore", {"run_id": run}) == {}
    assert get(server, run)["info"]["lifecycle_stage"] == "active"


@pytest.mark.parametrize("path", ["delete", "restore"])
def test_what_deleting_and_restoring_refuse(server: Server, path: str) -> None:
    assert server.refused(f"runs/{path}", {}).says(MISSING.format("run_id"))
    assert server.refused(f"runs/{path}", {"run_id": 5}).says("Invalid value 5 for parameter 'run_id' supplied")
    gone = server.refused(f"runs/{path}", {"run_id": "never"})
    assert gone.says("Run with id=never not found", "RESOURCE_DOES_NOT_EXIST", 404)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("log-metric", {"key": "k", "value": 1, "timestamp": 1}),
        ("log-parameter", {"key": "k", "value": "v"}),
        ("set-tag", {"key": "k", "value": "v"}),
        ("delete-tag", {"key": "mlflow.runName"}),
        ("log-batch", {}),
        ("log-inputs", {}),
        ("outputs", {"models": []}),
    ],
)
def test_a_deleted_run_takes_nothing_until_it_is_restored(server: Server, exp: str, path: str, body: Any) -> None:
    run = server.run(exp)
    server.post("runs/delete", {"run_id": run})
    assert server.refused(f"runs/{path}", {"run_id": run, **body}).says(
        f"The run {run} must be in the 'active' state. Current state is deleted."
    )
    server.post("runs/restore", {"run_id": run})
    server.post(f"runs/{path}", {"run_id": run, **body})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("log-metric", {"key": "k", "value": 1, "timestamp": 1}),
        ("log-parameter", {"key": "k", "value": "v"}),
        ("set-tag", {"key": "k", "value": "v"}),
        ("delete-tag", {"key": "k"}),
        ("log-batch", {}),
        ("log-inputs", {}),
        ("outputs", {"models": []}),
    ],
)
def test_a_run_that_is_not_there_takes_nothing(server: Server, path: str, body: Any) -> None:
    refused = server.refused(f"runs/{path}", {"run_id": "never", **body})
    assert refused.says("Run with id=never not found", "RESOURCE_DOES_NOT_EXIST", 404)


def test_through_the_client(client: Any) -> None:
    exp = client.create_experiment(fresh("client"))
    run = client.create_run(exp)
    assert run.info.user_id == "unknown"
    assert run.info.status == "RUNNING"
    assert run.info.end_time is None
    assert run.inputs.dataset_inputs == []
    assert run.info.start_time <= time.time() * 1000
    client.set_terminated(run.info.run_id)
    ended = client.get_run(run.info.run_id)
    assert ended.info.status == "FINISHED"
    assert ended.info.end_time <= time.time() * 1000
    client.set_terminated(run.info.run_id, "FAILED")
    assert client.get_run(run.info.run_id).info.status == "FAILED"
    client.update_run(run.info.run_id, status="KILLED", name="new")
    again = client.get_run(run.info.run_id)
    assert (again.info.status, again.info.run_name) == ("KILLED", "new")
    assert again.outputs.model_outputs == []
    client.delete_run(run.info.run_id)
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    client.restore_run(run.info.run_id)
    assert client.search_runs([exp])[0].info == client.get_run(run.info.run_id).info


def test_a_store_that_updates_a_run(rest: Any, exp: str, server: Server) -> None:
    from mlflow.entities import RunStatus

    run = server.run(exp, run_name="by store", start_time=3)
    info = rest.update_run_info(run, RunStatus.FAILED, 17, None)
    assert (info.status, info.end_time, info.run_name, info.start_time) == ("FAILED", 17, "by store", 3)
    info = rest.update_run_info(run, None, None, "other")
    assert (info.status, info.end_time, info.run_name) == ("FAILED", 17, "other")


TRIED = "/ajax-api/2.0/mlflow/runs/create-promptlab-run"


def test_a_prompt_that_somebody_tried(server: Server, exp: str) -> None:
    asked = {
        "experiment_id": exp,
        "run_name": "haiku",
        "prompt_template": "Write of {{ bird }}",
        "prompt_parameters": [{"key": "bird", "value": "heron"}],
        "model_route": "poet",
        "model_parameters": [{"key": "temperature", "value": 0.5}],
        "model_input": "Write of heron",
        "model_output": "Grey in the shallows",
        "model_output_parameters": [{"key": "latency", "value": "12"}],
        "mlflow_version": "3.17.2",
        "user_id": "basho",
        "start_time": 19,
    }
    run = server.post(TRIED, asked)["run"]
    info = run["info"]
    wanted = (exp, "haiku", "basho", "FINISHED", 19)
    assert tuple(info[each] for each in ("experiment_id", "run_name", "user_id", "status", "start_time")) == wanted
    assert {each["key"]: each["value"] for each in run["data"]["params"]} == {
        "temperature": "0.5",
        "model_route": "poet",
        "prompt_template": "Write of {{ bird }}",
    }
    tags = {each["key"]: each["value"] for each in run["data"]["tags"]}
    assert tags["mlflow.runSourceType"] == "PROMPT_ENGINEERING"
    assert tags["mlflow.loggedArtifacts"] == '[{"path": "eval_results_table.json", "type": "table"}]'
    answer = server.http.get("/get-artifact", params={"run_id": info["run_id"], "path": "eval_results_table.json"})
    assert answer.json() == {
        "columns": ["bird", "prompt", "output", "latency"],
        "data": [["heron", "Write of heron", "Grey in the shallows", "12"]],
    }


def test_what_a_tried_prompt_needs(server: Server) -> None:
    asked: dict[str, Any] = {}
    for name, value in (
        ("experiment_id", "0"),
        ("prompt_template", "t"),
        ("prompt_parameters", [{"key": "a", "value": "b"}]),
        ("model_route", "r"),
        ("model_input", "i"),
        ("mlflow_version", "3"),
    ):
        assert server.refused(TRIED, asked).says(f"CreatePromptlabRun request must specify {name}.")
        asked[name] = value
    assert server.refused(TRIED, asked | {"experiment_id": "1987654"}).status == 404
