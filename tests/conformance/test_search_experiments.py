"""Searching experiments: filters, orders, views and pages."""

import time
from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "search of experiments"


class Named:
    """Experiments whose names begin with a word that no other has."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.word = fresh("n")
        self.ids: dict[str, str] = {}
        tags = {
            "a": {"key1": "value", "key2": "value"},
            "ab": {"key1": "vaLue", "key2": "vaLue"},
            "Abc": {"k e y 1": "value"},
            "z": {},
        }
        for name, own in tags.items():
            listed = [{"key": key, "value": value} for key, value in own.items()]
            body = {"name": f"{self.word}/{name}", "tags": listed}
            self.ids[name] = server.post("experiments/create", body)["experiment_id"]
            time.sleep(0.003)

    def found(self, text: str = "", **more: Any) -> list[str]:
        for name, exp in self.ids.items():
            text = text.replace(f"<{name}>", exp)
        scope = f"name LIKE '{self.word}/%'"
        whole = f"{scope} AND {text}" if text else scope
        answer = self.server.post("experiments/search", {"max_results": 50, "filter": whole, **more})
        return [each["name"].rpartition("/")[2] for each in answer.get("experiments", [])]


@pytest.fixture(scope="module")
def named(server: Server) -> Named:
    return Named(server)


CASES = [
    ("", "z Abc ab a"),
    ("attribute.name LIKE '%/a'", "a"),
    ("attribute.`name` LIKE '%/a%'", "ab a"),
    ("name ILIKE '%/A%'", "Abc ab a"),
    ("name ILIKE '%/a%' AND name ILIKE '%B'", "ab"),
    ("name != 'never'", "z Abc ab a"),
    ("tag.key1 = 'value'", "a"),
    ("tags.key1 = 'value'", "a"),
    ("tag.`k e y 1` = 'value'", "Abc"),
    ("tag.\"k e y 1\" = 'value'", "Abc"),
    ("tag.key1 != 'value'", "ab"),
    ("tag.key1 != 'VALUE'", "ab a"),
    ("tag.key1 LIKE 'val%'", "a"),
    ("tag.key1 LIKE '%Lue'", "ab"),
    ("tag.key1 ILIKE '%alu%'", "ab a"),
    ("tag.key1 LIKE 'va%' AND tags.key2 LIKE '%Lue'", "ab"),
    ("tag.KEY = 'value'", ""),
    ("tag.key1 IS NOT NULL", "ab a"),
    ("tag.key1 IS NULL", "z Abc"),
    ("tag.key1 is not null and tag.key2 = 'value'", "a"),
    ("experiment_id = '<a>'", "a"),
    ("experiment_id != '<a>'", "z Abc ab"),
    ("attribute.experiment_id IN ('<a>', '<z>')", "z a"),
    ("experiment_id NOT IN ('<a>', '<z>')", "Abc ab"),
    ("creation_time > 5", "z Abc ab a"),
    ("creation_time < 5", ""),
    ("last_update_time >= 5", "z Abc ab a"),
    ("last_update_time != 5", "z Abc ab a"),
]


@pytest.mark.parametrize(("text", "names"), CASES, ids=[text or "nothing" for text, _ in CASES])
def test_what_a_filter_finds(named: Named, text: str, names: str) -> None:
    assert named.found(text) == names.split()


def test_names_are_compared_whole(named: Named, server: Server) -> None:
    body = {"max_results": 5, "filter": f"name = '{named.word}/a'"}
    assert [each["experiment_id"] for each in server.post("experiments/search", body)["experiments"]] == [
        named.ids["a"]
    ]


def test_times_are_compared_exactly(named: Named, server: Server) -> None:
    times = {
        name: server.get("experiments/get", experiment_id=exp)["experiment"]["creation_time"]
        for name, exp in named.ids.items()
    }
    assert named.found(f"creation_time = {times['ab']}") == ["ab"]
    assert named.found(f"creation_time >= {times['Abc']}") == ["z", "Abc"]
    assert named.found(f"creation_time < {times['ab']}") == ["a"]
    assert named.found(f"last_update_time <= {times['ab']} AND creation_time != {times['a']}") == ["ab"]


@pytest.mark.parametrize(
    ("orders", "names"),
    [
        ([], "z Abc ab a"),
        (["name"], "Abc a ab z"),
        (["name ASC"], "Abc a ab z"),
        (["attribute.name DESC"], "z ab a Abc"),
        (["experiment_id"], "a ab Abc z"),
        (["experiment_id desc"], "z Abc ab a"),
        (["creation_time"], "a ab Abc z"),
        (["creation_time DESC"], "z Abc ab a"),
        (["last_update_time"], "a ab Abc z"),
        (["name", "experiment_id"], "Abc a ab z"),
    ],
)
def test_orders(named: Named, orders: list[str], names: str) -> None:
    assert named.found(order_by=orders) == names.split()


def test_a_change_moves_an_experiment(server: Server) -> None:
    own = Named(server)
    server.post("experiments/update", {"experiment_id": own.ids["a"], "new_name": f"{own.word}/renamed"})
    assert own.found(order_by=["last_update_time DESC"])[0] == "renamed"


def test_views(server: Server) -> None:
    own = Named(server)
    server.post("experiments/delete", {"experiment_id": own.ids["ab"]})
    assert own.found() == ["z", "Abc", "a"]
    assert own.found(view_type="ACTIVE_ONLY") == ["z", "Abc", "a"]
    assert own.found(view_type="DELETED_ONLY") == ["ab"]
    assert own.found(view_type="ALL") == ["z", "Abc", "ab", "a"]
    assert own.found(view_type=3) == ["z", "Abc", "ab", "a"]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_pages_together_are_the_whole(named: Named, server: Server, size: int) -> None:
    found, token = [], ""
    for _ in range(10):
        body = {"max_results": size, "filter": f"name LIKE '{named.word}/%'", "page_token": token}
        page = server.post("experiments/search", body)
        found += [each["name"].rpartition("/")[2] for each in page["experiments"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert found == ["z", "Abc", "ab", "a"]


def test_get_is_the_same_search(named: Named, server: Server) -> None:
    query = {"max_results": 2, "filter": f"name LIKE '{named.word}/%'", "order_by": ["name"]}
    assert server.get("experiments/search", **query) == server.post("experiments/search", query)


FAULTS = [
    ({"max_results": None}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
    ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
    ({"max_results": -1}, "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"),
    (
        {"max_results": 1_000_000},
        "Invalid value 1000000 for parameter 'max_results' supplied. It must be at most 50000",
    ),
    ({"max_results": "x"}, "Invalid value \"x\" for parameter 'max_results' supplied"),
    ({"order_by": "name"}, "Invalid value \"name\" for parameter 'order_by' supplied"),
    ({"order_by": ["foo"]}, "Invalid attribute key 'foo' specified. Valid keys are '{"),
    ({"order_by": ["tag.x"]}, "Invalid order_by entity: tag"),
    ({"order_by": ["name foo"]}, "Invalid ordering key in order_by clause 'name foo'."),
    ({"order_by": ["name asc desc"]}, "Invalid order_by clause 'name asc desc'. Could not be parsed."),
    ({"filter": 5}, "Invalid value 5 for parameter 'filter' supplied"),
    ({"page_token": 5}, "Invalid value 5 for parameter 'page_token' supplied"),
    ({"page_token": "junk"}, "Invalid page token"),
    ({"filter": "experiment_id = 'x'"}, "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
    ({"filter": "experiment_id IN ('x')"}, "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
    ({"filter": "experiment_id > '1'"}, "Invalid comparator"),
    ({"filter": "experiment_id LIKE '1'"}, "Invalid comparator for experiment_id: LIKE"),
    ({"filter": "name IN ('a')"}, "Only ['experiment_id'] attributes support comparison with a list"),
    ({"filter": "name > 'a'"}, "Invalid comparator '>' not one of '{"),
    ({"filter": "name = a"}, "Parameter value is either not quoted or unidentified quote types"),
    ({"filter": "name = 5"}, "Expected a quoted string value for attributes. Got value 5"),
    ({"filter": "creation_time = 'x'"}, "Expected numeric value type for numeric attribute: creation_time. Found 'x'"),
    ({"filter": "creation_time > 1.5"}, "Invalid value for numeric attribute 'creation_time': '1.5'"),
    ({"filter": "foo = 'x'"}, "Invalid attribute key 'foo' specified. Valid keys are '{"),
    (
        {"filter": "metric.x = 5"},
        "Invalid entity type 'metric'. Valid entity types are ('attribute', 'tag', 'tags')",
    ),
    ({"filter": "attr.name = 'x'"}, "Invalid entity type 'attr'"),
    ({"filter": "tag.a = 5"}, "Expected a quoted string value for tag (e.g. 'my-value'). Got value 5"),
    ({"filter": "tags.a IN ('x')"}, "Expected a quoted string value for tag (e.g. 'my-value'). Got value ('x')"),
    ({"filter": "tag.a > '5'"}, "Invalid comparator"),
    ({"filter": "name IS NULL"}, "IS NULL / IS NOT NULL is only supported for tags"),
    ({"filter": "name = 'x' OR name = 'y'"}, "Invalid clause(s) in filter string: OR"),
    ({"filter": "NOT name = 'x'"}, "Invalid clause(s) in filter string: NOT"),
    ({"filter": "(name = 'x')"}, "Invalid clause(s) in filter string: (name = 'x')"),
    ({"filter": "name ="}, "Invalid clause(s) in filter string: name, ="),
    ({"filter": "name = 'x';"}, "Invalid clause(s) in filter string: ;"),
    ({"filter": "name = 'x'; name = 'y'"}, "Search filter contained multiple expression"),
]


@pytest.mark.parametrize(("body", "text"), FAULTS, ids=[str(body) for body, _ in FAULTS])
def test_what_a_search_refuses(server: Server, body: dict[str, Any], text: str) -> None:
    asked = {"max_results": 5, **body}
    if asked["max_results"] is None:
        del asked["max_results"]
    assert server.refused("experiments/search", asked).says(text)


def test_through_the_client(named: Named, client: Any) -> None:
    from mlflow.entities import ViewType

    scope = f"name LIKE '{named.word}/%'"
    page = client.search_experiments(filter_string=scope, max_results=3)
    assert [each.name.rpartition("/")[2] for each in page] == ["z", "Abc", "ab"]
    rest = client.search_experiments(filter_string=scope, max_results=3, page_token=page.token)
    assert ([each.name.rpartition("/")[2] for each in rest], rest.token) == (["a"], None)
    assert client.search_experiments(ViewType.DELETED_ONLY, filter_string=scope) == []
