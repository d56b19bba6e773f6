"""The GraphQL queries of MLflow's page of a run: what it reads, what it refuses, and how it says so."""

from typing import Any

import pytest

from conformance.servers import Server

GROUP = "GraphQL"

ECHO = '{ test(inputString: "heron") { output } }'
OF_RUN = """
query Page($asked: MlflowGetRunInput!) @component(name: "Page") {
  mlflowGetRun(input: $asked) {
    apiError { code message }
    run {
      info { runId runUuid runName experimentId status startTime endTime artifactUri lifecycleStage userId __typename }
      experiment { experimentId name artifactLocation lifecycleStage tags { key value } }
      modelVersions { name version status source tags { key value } }
      data { metrics { key value step timestamp } params { key value } tags { key value } }
      inputs { datasetInputs { dataset { name digest sourceType schema } tags { key value } } modelInputs { modelId } }
      outputs { modelOutputs { modelId step } }
    }
  }
}
"""


def post(server: Server, path: str, **body: Any) -> Any:
    return server.post(path, body)


def ask(server: Server, query: str, variables: dict[str, Any] | None = None, name: str | None = None) -> dict[str, Any]:
    body = {"query": query, "variables": variables, "operationName": name}
    answer = server.http.post("/graphql", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert set(found) == {"data", "errors"}
    return found  # type: ignore[no-any-return]


def data(server: Server, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    found = ask(server, query, variables)
    assert found["errors"] is None
    return found["data"]  # type: ignore[no-any-return]


def refused(server: Server, query: str, variables: dict[str, Any] | None = None) -> str:
    """Return the one complaint about a query that was not carried out at all."""
    found = ask(server, query, variables)
    assert found["data"] is None
    assert len(found["errors"]) == 1
    return str(found["errors"][0])


# --- the language -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        ECHO,
        "query named " + ECHO,
        '# a word before\nquery { test(inputString: "heron",) { output, } }',
        '{ test(inputString: """heron""") { output } }',
        '{ ...Echo } fragment Echo on Query { test(inputString: "heron") { ... on Test { output } } }',
        '{ test(inputString: "heron") { output } test(inputString: "heron") { output } }',
    ],
)
def test_an_echo_comes_back(server: Server, query: str) -> None:
    assert data(server, query) == {"test": {"output": "heron"}}


def test_aliases_variables_and_the_names_of_kinds(server: Server) -> None:
    query = "query E($said: String) { one: test(inputString: $said) { __typename said: output } __typename }"
    assert data(server, query, {"said": "é\n€"}) == {
        "one": {"__typename": "Test", "said": "é\n€"},
        "__typename": "Query",
    }


def test_of_several_operations_one_is_named(server: Server) -> None:
    both = 'query a { test(inputString: "1") { output } } query b { test(inputString: "2") { output } }'
    assert ask(server, both, name="b") == {"data": {"test": {"output": "2"}}, "errors": None}
    assert refused(server, both) == "Must provide operation name if query contains multiple operations."
    assert ask(server, both, name="c") == {"data": None, "errors": ["Unknown operation named 'c'."]}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'."),
        ('{ test(inputString: "a") { output more } }', "Cannot query field 'more' on type 'Test'."),
        ('{ test(inputString: "a", b: 1) { output } }', "Unknown argument 'b' on field 'Query.test'."),
        (
            '{ test(inputString: "a") { output { a } } }',
            "Field 'output' must not have a selection since type 'String' has no subfields.",
        ),
        ('{ test(inputString: "a") }', "Field 'test' of type 'Test' must have a selection of subfields."),
        ("{ ...Gone }", "Unknown fragment 'Gone'."),
        ('{ test(inputString: "a") @skip(if: true) { output } }', "Unknown directive '@skip'."),
        ("{ test(inputString: 5) { output } }", "String cannot represent a non string value"),
        (
            "query q($a: MlflowGetRunInput!) { mlflowGetRun(input: $a) { run { info { runId } } } }",
            "Variable '$a' of required type 'MlflowGetRunInput!' was not provided.",
        ),
        ('{ mlflowGetRun(input: {run: "a"}) { run { info { runId } } } }', "Field 'run' is not defined by "),
    ],
)
def test_what_there_is_not_is_not_asked(server: Server, query: str, told: str) -> None:
    assert refused(server, query).startswith(told)


# --- its limits -------------------------------------------------------------------------------------


def _echoes(count: int, alias: str = "e{}: ") -> str:
    return "query many {" + " ".join(alias.format(each) + ECHO[2:-2] for each in range(count)) + "}"


def test_ten_fields_at_once_and_not_eleven(server: Server) -> None:
    assert len(data(server, _echoes(10))) == 10
    told = "GraphQL queries should have at most 10 root fields, got {} root fields."
    assert refused(server, _echoes(11)).startswith(told.format(11))
    assert refused(server, _echoes(12, "")).startswith(told.format(12))


@pytest.mark.parametrize("shape", ["plain", "inline", "fragment"])
def test_ten_aliases_at_one_level_and_not_eleven(server: Server, shape: str) -> None:
    for count in (10, 11):
        names = " ".join(f"n{each}: name" for each in range(count))
        inside = {"plain": names, "inline": f"... on MlflowExperiment {{ {names} }}", "fragment": "...N"}[shape]
        query = f'{{ mlflowGetExperiment(input: {{experimentId: "0"}}) {{ experiment {{ {inside} }} }} }}'
        if shape == "fragment":
            query += f" fragment N on MlflowExperiment {{ {names} }}"
        if count == 10:
            assert set(data(server, query)["mlflowGetExperiment"]["experiment"].values()) == {"Default"}
        else:
            told = "GraphQL queries should have at most 10 aliases, got 11 aliases."
            assert refused(server, query).startswith(told)


def test_ten_levels_and_a_thousand_fields(server: Server) -> None:
    # Before anybody looks whether there are such fields.
    assert refused(server, "{" + "a {" * 10 + "a" + "}" * 11) == "Query exceeds maximum depth of 10"
    many = '{ test(inputString: "a") {' + " output" * 1000 + "} }"
    assert refused(server, many) == "Query exceeds maximum total selections of 1000"


# --- what it reads ----------------------------------------------------------------------------------


def test_an_experiment(server: Server, exp: str) -> None:
    post(server, "experiments/set-experiment-tag", experiment_id=exp, key="colour", value="grey")
    query = """query G($asked: MlflowGetExperimentInput!) { mlflowGetExperiment(input: $asked) {
        experiment { experimentId name lifecycleStage artifactLocation lastUpdateTime creationTime tags { key value } }
    } }"""
    found = data(server, query, {"asked": {"experimentId": exp}})["mlflowGetExperiment"]["experiment"]
    plain = server.get("experiments/get", experiment_id=exp)["experiment"]
    assert found == {
        "experimentId": exp,
        "name": plain["name"],
        "lifecycleStage": "active",
        "artifactLocation": plain["artifact_location"],
        "lastUpdateTime": str(plain["last_update_time"]),
        "creationTime": str(plain["creation_time"]),
        "tags": [{"key": "colour", "value": "grey"}],
    }


def test_what_is_not_there_is_null_beside_what_is(server: Server, exp: str) -> None:
    query = f"""{{
        one: mlflowGetExperiment(input: {{experimentId: "{exp}"}}) {{ experiment {{ experimentId }} }}
        two: mlflowGetExperiment(input: {{experimentId: "1987654"}}) {{ experiment {{ experimentId }} }}
        three: mlflowGetRun(input: {{runId: "gone"}}) {{ run {{ info {{ runId }} }} }}
    }}"""
    found = ask(server, query)
    assert found["data"] == {"one": {"experiment": {"experimentId": exp}}, "two": None, "three": None}
    assert found["errors"] == ["No Experiment with id=1987654 exists", "Run with id=gone not found"]


def test_a_run_with_its_experiment_and_its_versions(server: Server, exp: str) -> None:
    run_id = server.run(exp, run_name="seen", start_time=17)
    post(server, "runs/log-metric", run_id=run_id, key="loss", value=0.25, timestamp=19, step=3)
    post(server, "runs/log-metric", run_id=run_id, key="odd", value="NaN", timestamp=19)
    post(server, "runs/log-parameter", run_id=run_id, key="depth", value="4")
    post(
        server,
        "runs/log-inputs",
        run_id=run_id,
        datasets=[
            {
                "dataset": {"name": "birds", "digest": "77", "source_type": "http", "source": "{}"},
                "tags": [{"key": "mlflow.data.context", "value": "train"}],
            }
        ],
    )
    info = server.get("runs/get", run_id=run_id)["run"]["info"]
    model = f"graph-{run_id}"
    post(server, "registered-models/create", name=model)
    post(server, "model-versions/create", name=model, source=info["artifact_uri"], run_id=run_id)

    found = data(server, OF_RUN, {"asked": {"runId": run_id}})["mlflowGetRun"]
    assert found["apiError"] is None
    run = found["run"]
    assert run["info"] == {
        "runId": run_id,
        "runUuid": run_id,
        "runName": "seen",
        "experimentId": exp,
        "status": "RUNNING",
        "startTime": "17",
        "endTime": "0",
        "artifactUri": info["artifact_uri"],
        "lifecycleStage": "active",
        "userId": "",
        "__typename": "MlflowRunInfo",
    }
    assert run["experiment"]["experimentId"] == exp
    assert [(each["name"], each["version"], each["status"]) for each in run["modelVersions"]] == [(model, "1", "READY")]
    assert {each["key"]: each["value"] for each in run["data"]["metrics"]} == {"loss": 0.25, "odd": None}
    assert next((each["step"], each["timestamp"]) for each in run["data"]["metrics"] if each["value"]) == ("3", "19")
    assert run["data"]["params"] == [{"key": "depth", "value": "4"}]
    assert run["inputs"] == {
        "datasetInputs": [
            {
                "dataset": {"name": "birds", "digest": "77", "sourceType": "http", "schema": ""},
                "tags": [{"key": "mlflow.data.context", "value": "train"}],
            }
        ],
        "modelInputs": [],
    }
    assert run["outputs"] == {"modelOutputs": []}


@pytest.mark.parametrize("kind", ["query", "mutation"])
def test_runs_that_are_searched(server: Server, exp: str, kind: str) -> None:
    runs = [server.run(exp, run_name=f"r{each}") for each in range(3)]
    for each, run_id in enumerate(runs):
        post(server, "runs/log-metric", run_id=run_id, key="m", value=each, timestamp=1)
    query = f"""{kind} S($asked: MlflowSearchRunsInput!) {{ mlflowSearchRuns(input: $asked) {{
        nextPageToken runs {{ info {{ runName }} experiment {{ experimentId }} data {{ metrics {{ key value }} }} }}
    }} }}"""
    told = {"experimentIds": [exp], "filter": "metrics.m > 0", "orderBy": ["metrics.m DESC"], "maxResults": 1}
    first = data(server, query, {"asked": told})["mlflowSearchRuns"]
    metrics = [{"key": "m", "value": 2.0}]
    shown = {"info": {"runName": "r2"}, "experiment": {"experimentId": exp}, "data": {"metrics": metrics}}
    assert first["runs"] == [shown]
    second = data(server, query, {"asked": told | {"pageToken": first["nextPageToken"]}})["mlflowSearchRuns"]
    assert [each["info"]["runName"] for each in second["runs"]] == ["r1"]


HISTORY = """query H($asked: MlflowGetMetricHistoryBulkIntervalInput!) {
    mlflowGetMetricHistoryBulkInterval(input: $asked) { metrics { key value step timestamp runId } }
}"""


def histories(server: Server, **asked: Any) -> list[tuple[str, str, float]]:
    found = data(server, HISTORY, {"asked": asked})["mlflowGetMetricHistoryBulkInterval"]["metrics"]
    return [(each["runId"], each["step"], each["value"]) for each in found]


def two_runs(server: Server, exp: str) -> list[str]:
    runs = [server.run(exp), server.run(exp)]
    for run_id in runs:
        for step in range(5):
            post(server, "runs/log-metric", run_id=run_id, key="m", value=step / 2, timestamp=step, step=step)
    return runs


def test_histories_of_several_runs(server: Server, exp: str) -> None:
    runs = two_runs(server, exp)
    wanted = [(run_id, str(step), step / 2) for run_id in runs for step in range(5)]
    assert histories(server, runIds=runs, metricKey="m", startStep=-5, endStep=10, maxResults=20) == wanted
    assert histories(server, runIds=runs, metricKey="m") == wanted
    assert histories(server, runIds=["gone"], metricKey="m") == []


@pytest.mark.departs("MLflow's GraphQL overlooks the steps that a history is asked between; Headway keeps to them")
def test_histories_between_two_steps(server: Server, exp: str) -> None:
    runs = two_runs(server, exp)
    assert len(histories(server, runIds=runs, metricKey="m", startStep=1, endStep=3)) == 10


def test_files_of_a_run(server: Server, exp: str) -> None:
    run_id = server.run(exp)
    for name in ("notes.txt", "deep/more.txt"):
        url = f"/api/2.0/mlflow-artifacts/artifacts/{exp}/{run_id}/artifacts/{name}"
        assert server.http.put(url, content=b"12345").status_code == 200
    query = """query F($asked: MlflowListArtifactsInput!) {
        mlflowListArtifacts(input: $asked) { rootUri files { path isDir fileSize } }
    }"""
    found = data(server, query, {"asked": {"runId": run_id}})["mlflowListArtifacts"]
    assert found["rootUri"] == server.get("runs/get", run_id=run_id)["run"]["info"]["artifact_uri"]
    assert sorted(found["files"], key=lambda each: str(each["path"])) == [
        {"path": "deep", "isDir": True, "fileSize": "0"},
        {"path": "notes.txt", "isDir": False, "fileSize": "5"},
    ]
    below = data(server, query, {"asked": {"runId": run_id, "path": "deep"}})["mlflowListArtifacts"]
    assert [each["path"] for each in below["files"]] == ["deep/more.txt"]
    climbing = ask(server, query, {"asked": {"runId": run_id, "path": "../.."}})
    assert climbing == {"data": {"mlflowListArtifacts": None}, "errors": ["Invalid path"]}


def test_datasets_of_an_experiment(server: Server, exp: str) -> None:
    run_id = server.run(exp)
    data_set = {"name": "birds", "digest": "78", "source_type": "http", "source": "{}"}
    post(server, "runs/log-inputs", run_id=run_id, datasets=[{"dataset": data_set}])
    query = """mutation D($asked: MlflowSearchDatasetsInput!) {
        mlflowSearchDatasets(input: $asked) { datasetSummaries { experimentId name digest context } apiError { code } }
    }"""
    found = data(server, query, {"asked": {"experimentIds": [exp]}})["mlflowSearchDatasets"]
    shown = {"experimentId": exp, "name": "birds", "digest": "78", "context": ""}
    assert found == {"datasetSummaries": [shown], "apiError": None}
    nobody = ask(server, query, {"asked": {"experimentIds": []}})
    assert nobody["errors"] == ["SearchDatasets request must specify at least one experiment_id."]


def test_versions_that_are_searched(server: Server, exp: str) -> None:
    run_id = server.run(exp)
    source = server.get("runs/get", run_id=run_id)["run"]["info"]["artifact_uri"]
    model = f"graph-versions-{run_id}"
    post(server, "registered-models/create", name=model)
    for _ in range(2):
        post(
            server, "model-versions/create", name=model, source=source, run_id=run_id, tags=[{"key": "a", "value": "b"}]
        )
    query = """query V($asked: MlflowSearchModelVersionsInput!) {
        mlflowSearchModelVersions(input: $asked) { modelVersions { name version currentStage tags { key value } } }
    }"""
    found = data(server, query, {"asked": {"filter": f"name = '{model}'"}})["mlflowSearchModelVersions"]
    assert sorted(each["version"] for each in found["modelVersions"]) == ["1", "2"]
    assert found["modelVersions"][0]["tags"] == [{"key": "a", "value": "b"}]


@pytest.mark.departs("Headway says what is wrong with a text that is no GraphQL; MLflow's server fails at it")
@pytest.mark.parametrize("query", ["{ test(inputString: ", "", "nonsense"])
def test_what_is_no_query(server: Server, query: str) -> None:
    assert server.http.post("/graphql", json={"query": query}).status_code == 500
