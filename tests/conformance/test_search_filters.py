"""The filter grammar of runs: what is found, and what each fault is called."""

from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "search of runs: filters"


def numbers(**given: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", " "), "value": value, "timestamp": 1} for key, value in given.items()]


def pairs(**given: str) -> list[dict[str, str]]:
    return [{"key": key.replace("__", " "), "value": value} for key, value in given.items()]


class Field:
    """Five runs that differ, in an experiment of their own."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.exp = server.experiment()
        made = ("one", "two", "three", "four", "five")
        self.ids = {
            name: server.run(self.exp, run_name=name, start_time=100 + i, user_id=f"User{i}")
            for i, name in enumerate(made)
        }
        self._log("one", numbers(m=1, a=-5, sp__ace=1), pairs(p="abc", kind="gbm"), pairs(t="abc", only="x"))
        self._log("two", numbers(m=2, a="NaN"), pairs(p="ABC", kind="gbm"), pairs(t="ABC", un__der="y"))
        self._log("three", numbers(m=3, a="Infinity"), pairs(p="a_c", kind="rf"), pairs(t="a%c"))
        self._log("four", numbers(m=0), pairs(p="aXc", empty=""), pairs(t="éÄ"))
        self._log("five", [], [], [])
        server.post("runs/update", {"run_id": self.ids["two"], "status": "FINISHED", "end_time": 500})
        server.post("runs/update", {"run_id": self.ids["three"], "status": "FAILED", "end_time": 600})
        self._read("one", ("d1", "g1", "train"), ("d2", "g2", "eval"))
        self._read("two", ("d1", "g1", "eval"), ("D3", "g3", ""))

    def _log(self, name: str, metrics: Any, params: Any, tags: Any) -> None:
        body = {"run_id": self.ids[name], "metrics": metrics, "params": params, "tags": tags}
        self.server.post("runs/log-batch", body)

    def _read(self, name: str, *datasets: tuple[str, str, str]) -> None:
        entries = []
        for title, digest, context in datasets:
            tags = [{"key": "mlflow.data.context", "value": context}] if context else []
            plain = {"name": title, "digest": digest, "source_type": "s", "source": "t"}
            entries.append({"dataset": plain, "tags": tags})
        self.server.post("runs/log-inputs", {"run_id": self.ids[name], "datasets": entries})

    def found(self, text: str) -> set[str]:
        for name, run in self.ids.items():
            text = text.replace(f"<{name}>", run)
        runs = self.server.post("runs/search", {"experiment_ids": [self.exp], "filter": text}).get("runs", [])
        return {run["info"]["run_name"] for run in runs}


@pytest.fixture(scope="module")
def field(server: Server) -> Field:
    return Field(server)


ALL = "one two three four five"
CASES = [
    ("", ALL),
    # metrics
    ("metrics.m = 1", "one"),
    ("metric.m = 1.0", "one"),
    ("metrics.m != 1", "two three four"),
    ("metrics.m > 1", "two three"),
    ("metrics.m >= 1", "one two three"),
    ("metrics.m < 2", "one four"),
    ("metrics.m <= 2.0", "one two four"),
    ("metrics.m>=1 and metrics.m<3", "one two"),
    ("metrics.m > -1e3", "one two three four"),
    ("metrics.m > .5", "one two three"),
    ("metrics.m < 1.", "four"),
    ("metrics.m = 0", "four"),
    ("metrics.`m` = 1", "one"),
    ('metrics."m" = 1', "one"),
    ("`metrics`.m = 1", "one"),
    ("metrics.`sp ace` = 1", "one"),
    ('metrics."sp ace" = 1', "one"),
    ("metrics.a < 0", "one"),
    ("metrics.a = 0", ""),
    ("metrics.a >= 0", "three"),
    ("metrics.a != 0", "one two three"),
    ("metrics.a > 1e308", "three"),
    ("metrics.never > 0", ""),
    ("metrics.never != 0", ""),
    # params
    ("params.p = 'abc'", "one"),
    ('params.p = "abc"', "one"),
    ("param.p = 'abc'", "one"),
    ("parameter.p = 'abc'", "one"),
    ("parameters.p = 'abc'", "one"),
    ("params.p = 'ABC'", "two"),
    ("params.p != 'abc'", "two three four"),
    ("params.p LIKE 'a%'", "one three four"),
    ("params.p like 'a%'", "one three four"),
    ("params.p LIKE 'a_c'", "one three four"),
    ("params.p LIKE '%b%'", "one"),
    ("params.p LIKE 'b%'", ""),
    ("params.p LIKE 'A%'", "two"),
    ("params.p ILIKE 'A%'", "one two three four"),
    ("params.p ilike 'AbC'", "one two"),
    ("params.empty = ''", "four"),
    ("params.kind = 'gbm' AND params.p = 'abc'", "one"),
    ("params.kind = 'gbm' aNd metrics.m > 1", "two"),
    ("params.kind IS NULL", "four five"),
    ("params.kind is null", "four five"),
    ("params.kind IS NOT NULL", "one two three"),
    ("params.empty IS NOT NULL", "four"),
    ("params.never IS NULL", ALL),
    ("params.never IS NOT NULL", ""),
    ("params.kind IS NULL AND params.p IS NOT NULL", "four"),
    ("params.never = 'x'", ""),
    ("params.never != 'x'", ""),
    # tags
    ("tags.t = 'abc'", "one"),
    ("tag.t = 'abc'", "one"),
    ("tags.t != 'abc'", "two three four"),
    ("tags.t LIKE 'a%c'", "one three"),
    ("tags.t ILIKE 'A%C'", "one two three"),
    ("tags.t = 'éÄ'", "four"),
    ("tags.t LIKE 'é%'", "four"),
    ("tags.`un der` = 'y'", "two"),
    ("tags.only IS NOT NULL", "one"),
    ("tags.only IS NULL", "two three four five"),
    ("tags.mlflow.runName = 'one'", "one"),
    ("tags.`mlflow.runName` = 'one'", "one"),
    # attributes
    ("attributes.run_name = 'two'", "two"),
    ("attribute.run_name = 'two'", "two"),
    ("attr.run_name = 'two'", "two"),
    ("run.run_name = 'two'", "two"),
    ("run_name = 'two'", "two"),
    ("attributes.`Run name` = 'two'", "two"),
    ("attributes.`run name` = 'two'", "two"),
    ("attributes.`Run Name` = 'two'", "two"),
    ("run_name != 'two'", "one three four five"),
    ("run_name LIKE 't%'", "two three"),
    ("run_name ILIKE 'T%E'", "three"),
    ("status = 'RUNNING'", "one four five"),
    ("attributes.status != 'RUNNING'", "two three"),
    ("status LIKE 'FI%'", "two"),
    ("status = 'running'", ""),
    ("status = 'NEVER'", ""),
    ("user_id = 'User3'", "four"),
    ("user_id ILIKE 'user%'", ALL),
    ("run_id = '<one>'", "one"),
    ("run_id != '<one>'", "two three four five"),
    ("attributes.run_id IN ('<one>')", "one"),
    ("attributes.run_id IN ('<one>','<three>')", "one three"),
    ("run_id in ('<one>',   \"<three>\", 'never')", "one three"),
    ("run_id NOT IN ('<one>', '<three>')", "two four five"),
    ("run_name = 'one' AND run_id IN ('<one>', '<two>')", "one"),
    ("artifact_uri LIKE '%/<two>/artifacts'", "two"),
    ("attribute.artifact_uri != 'never'", ALL),
    ("start_time = 100", "one"),
    ("attributes.start_time > 102", "four five"),
    ("created >= 103", "four five"),
    ("attributes.Created < 101", "one"),
    ("start_time != 100", "two three four five"),
    ("end_time > 500", "three"),
    ("end_time <= 600", "two three"),
    ("end_time != 500", "three"),
    ("start_time > 101.5", "three four five"),
    # datasets
    ("dataset.name = 'd1'", "one two"),
    ("datasets.name = 'd1'", "one two"),
    ("dataset.digest = 'g2'", "one"),
    ("dataset.context = 'train'", "one"),
    ("dataset.context = 'eval'", "one two"),
    ("dataset.name = 'd1' AND dataset.context = 'train'", "one"),
    ("dataset.name != 'd1'", "one two"),
    ("dataset.name IN ('d2', 'D3')", "one two"),
    ("dataset.digest IN ('g3')", "two"),
    ("dataset.context IN ('train', 'never')", "one"),
    ("dataset.name LIKE 'd%'", "one two"),
    ("dataset.name LIKE 'D%'", "two"),
    ("dataset.name ILIKE 'D2'", "one"),
    ("datasets.context ILIKE 'TRAIN%'", "one"),
    ("dataset.name = 'never'", ""),
    ("params.p = 'abc' AND dataset.name = 'd1' AND dataset.context = 'train' AND metrics.m < 2", "one"),
]


@pytest.mark.parametrize(("text", "names"), CASES, ids=[text for text, _ in CASES])
def test_what_a_filter_finds(field: Field, text: str, names: str) -> None:
    assert field.found(text) == set(names.split())


@pytest.mark.departs("a letter is folded whatever its alphabet is, as on PostgreSQL")
def test_ilike_folds_ascii_alone_on_sqlite(field: Field) -> None:
    assert field.found("tags.t ILIKE 'Éä'") == set()


@pytest.mark.parametrize("value", ["it''s", "a b", "100%", "a,b", "(x)", "x AND y", "--", ";", "=", "a\\'b"])
def test_what_stands_between_quotes_is_data(server: Server, exp: str, value: str) -> None:
    run = server.run(exp)
    server.post("runs/log-parameter", {"run_id": run, "key": "p", "value": value})
    body = {"experiment_ids": [exp], "filter": f"params.p = '{value}'"}
    assert [each["info"]["run_id"] for each in server.post("runs/search", body)["runs"]] == [run]


@pytest.mark.parametrize("key", ["a b", "a.b", "a/b", "a-b", "a:b", "ünï", "select", "1", "a.b/c d"])
def test_a_key_of_any_kind_stands_in_backticks(server: Server, exp: str, key: str) -> None:
    run = server.run(exp)
    server.post("runs/set-tag", {"run_id": run, "key": key, "value": "v"})
    server.post("runs/log-metric", {"run_id": run, "key": key, "value": 2, "timestamp": 1})
    body = {"experiment_ids": [exp], "filter": f"tags.`{key}` = 'v' AND metrics.`{key}` > 1"}
    assert [each["info"]["run_id"] for each in server.post("runs/search", body)["runs"]] == [run]


FAULTS = [
    (
        "m.acc >= 0.94",
        "Invalid entity type 'm'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
    ),
    ("attri.x != 1", "Invalid entity type 'attri'"),
    ("METRICS.a = 1", "Invalid entity type 'METRICS'"),
    ("acc >= 0.94", "Invalid attribute key 'acc' specified. Valid keys are '{"),
    ("attribute.lifecycle_stage = 'active'", "Invalid attribute key 'lifecycle_stage' specified."),
    ("attribute.experiment_id = '1'", "Invalid attribute key 'experiment_id' specified."),
    ("dataset.source = 'a'", "Invalid dataset key 'source' specified. Valid keys are '{"),
    (
        "metric.a > 1; metrics.b < 1",
        "Search filter contained multiple expression 'metric.a > 1; metrics.b < 1'. Provide",
    ),
    ("metrics.a > 1 OR params.b = 'c'", "Invalid clause(s) in filter string: 'OR'"),
    ("metrics.a > 1 or metrics.b > 1", "Invalid clause(s) in filter string: 'or'"),
    ("NOT metrics.a > 1", "Invalid clause(s) in filter string: 'NOT'"),
    ("metrics.a > 1 AND (params.b = 'c')", "Invalid clause(s) in filter string: '(params.b = 'c')'"),
    ("metrics.a > 1;", "Invalid clause(s) in filter string: ';'"),
    ("metrics.a > 1 UNION SELECT 1", "Invalid clause(s) in filter string: 'UNION', 'SELECT', '1'"),
    ("params.a = 'x' -- y", "Invalid clause(s) in filter string: '-- y'"),
    ("metric.acc", "Invalid clause(s) in filter string: 'metric.acc'"),
    ("metric.acc 0.99", "Invalid clause(s) in filter string: 'metric.acc', '0.99'"),
    ("`metrics.a > 1", "Invalid clause(s) in filter string: '`'"),
    ("param`.a > 1", "Invalid clause(s) in filter string: 'param', '`', '.'"),
    ("params.a IS", "Invalid clause(s) in filter string: 'params.a', 'IS'"),
    ("run_id IN 'a'", "Invalid clause(s) in filter string: 'run_id', 'IN', ''a''"),
    ("params.a = 'x", "Invalid clause(s) in filter string: 'params.a', '=', ''', 'x'"),
    ("0.99 > metric.acc", "Invalid comparison clause. Expected 'Identifier' found '0.99'"),
    ("1 = 1", "Invalid comparison clause. Expected 'Identifier' found '1'"),
    ("metrics.a = LR", "Expected numeric value type for metric. Found LR"),
    ("metrics.a = '5'", "Expected numeric value type for metric. Found '5'"),
    ("metrics.a IN (1)", "Expected numeric value type for metric. Found (1)"),
    ("start_time = '5'", "Expected numeric value type for numeric attribute: start_time. Found '5'"),
    ("params.a = 5", "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 5"),
    ("tags.a = 5", "Expected a quoted string value for tag (e.g. 'my-value'). Got value 5"),
    ("params.a IN ('a')", "Expected a quoted string value for parameter (e.g. 'my-value'). Got value ('a')"),
    ("status = 1", "Expected a quoted string value for attributes. Got value 1"),
    ("dataset.name = 1", "Expected a quoted string value for dataset attributes. Got value 1"),
    ("params.a = LR", "Parameter value is either not quoted or unidentified quote types used for string value LR."),
    ("params.a = `LR`", "Parameter value is either not quoted or unidentified quote types"),
    ("tags.a = LR", "Use either single or double quotes."),
    ("metrics.a LIKE 5", "Invalid comparator 'LIKE' not one of '{"),
    ("metrics.a == 1", "Invalid comparator '==' not one of '{"),
    ("metrics.a <> 1", "Invalid comparator '<>' not one of '{"),
    ("params.a > '5'", "Invalid comparator '>' not one of '{"),
    ("params.a NOT LIKE 'x'", "Invalid comparator 'NOT LIKE' not one of '{"),
    ("params.a RLIKE 'x'", "Invalid comparator 'RLIKE' not one of '{"),
    ("tags.a >= '5'", "Invalid comparator '>=' not one of '{"),
    ("status > 'X'", "Invalid comparator '>' not one of '{"),
    ("start_time LIKE 5", "Invalid comparator 'LIKE' not one of '{"),
    ("dataset.name > 'a'", "Invalid comparator '>' not one of '{"),
    ("metrics.a IS NULL", "IS NULL / IS NOT NULL is only supported for tags and params, not for 'metric' 'a'"),
    ("run_id IS NULL", "IS NULL / IS NOT NULL is only supported for tags and params, not for 'attribute' 'run_id'"),
    ("dataset.name IS NOT NULL", "IS NULL / IS NOT NULL is only supported for tags and params"),
    ("run_name IN ('a')", "Only ['run_id'] attributes support comparison with a list of quoted string values."),
    ("status NOT IN ('a')", "Only ['run_id'] attributes support comparison with a list of quoted string values."),
    (
        "run_id IN ()",
        "While parsing a list in the query, expected a non-empty list of string values, but got empty list",
    ),
    ("run_id IN (1, 2)", "While parsing a list in the query, expected string value, punctuation, or whitespace, but"),
    ("run_id IN ('a', 1)", "expected string value, punctuation, or whitespace, but got different type in list"),
]


@pytest.mark.parametrize(("text", "told"), FAULTS, ids=[text for text, _ in FAULTS])
def test_what_a_fault_is_called(server: Server, text: str, told: str) -> None:
    assert server.refused("runs/search", {"experiment_ids": ["0"], "filter": text}).says(told)


def test_a_filter_is_a_text(server: Server) -> None:
    assert server.refused("runs/search", {"experiment_ids": ["0"], "filter": 5}).says(
        "Invalid value 5 for parameter 'filter' supplied"
    )


def test_the_latest_value_of_a_metric_counts(server: Server, exp: str) -> None:
    run = server.run(exp)
    points = [{"key": "m", "value": v, "timestamp": t, "step": 0} for v, t in ((3, 2), (4, 8), (8, 3))]
    server.post("runs/log-batch", {"run_id": run, "metrics": points})
    for text, count in (("metrics.m = 4", 1), ("metrics.m > 5", 0), ("metrics.m = 3", 0)):
        assert len(server.post("runs/search", {"experiment_ids": [exp], "filter": text}).get("runs", [])) == count


def test_a_renamed_run_is_found_by_its_new_name(server: Server, exp: str) -> None:
    run, name = server.run(exp, run_name="old"), fresh("new")
    server.post("runs/update", {"run_id": run, "run_name": name})
    for text, count in ((f"run_name = '{name}'", 1), (f"tags.`mlflow.runName` = '{name}'", 1), ("run_name = 'old'", 0)):
        assert len(server.post("runs/search", {"experiment_ids": [exp], "filter": text}).get("runs", [])) == count
