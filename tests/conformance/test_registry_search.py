"""Searching models and versions: filters, orders, pages, and what hides prompts."""

import time
from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "registry search"
MODELS, VERSIONS = "registered-models/search", "model-versions/search"
PROMPT = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]


def model(server: Server, name: str, **more: Any) -> str:
    server.post("registered-models/create", {"name": name, **more})
    return name


def version(server: Server, name: str, **more: Any) -> None:
    body = {"name": name, "source": "runs:/some_run/model", "run_id": "some_run", **more}
    server.post("model-versions/create", body)


def names(server: Server, text: str, **more: Any) -> list[str]:
    found = server.get(MODELS, filter=text, **more).get("registered_models", [])
    return [each["name"] for each in found]


def numbers(server: Server, text: str, **more: Any) -> list[int]:
    return [int(each["version"]) for each in server.get(VERSIONS, filter=text, **more).get("model_versions", [])]


def everything(server: Server, path: str, field: str, limit: int, **asked: Any) -> list[dict[str, Any]]:
    """Turn pages until the last."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        page = server.get(path, max_results=limit, **asked, **({"page_token": token} if token else {}))
        found += page.get(field, [])
        token = page.get("next_page_token", "")
        if not token:
            return found
        assert len(page[field]) == limit


@pytest.fixture(scope="module")
def prefix(server: Server) -> str:
    """Six models whose names differ in their ends."""
    found = fresh("find_")
    for end in ("RM1", "RM2", "RM3", "RM4", "RM4A", "RM4ab"):
        model(server, found + end)
    return found


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("name = 'PRM1'", "RM1"),
        ("name = 'PRM1cats'", ""),
        ("name LIKE 'P%'", "RM1 RM2 RM3 RM4 RM4A RM4ab"),
        ("name LIKE 'PRM4A%'", "RM4A"),
        ("name like 'PRM4A%'", "RM4A"),
        ("name lIkE 'PRM4A%'", "RM4A"),
        ("name LIKE 'Prm%'", ""),
        ("name LIKE '_ind%' AND name LIKE 'P%'", "RM1 RM2 RM3 RM4 RM4A RM4ab"),
        ("name ILIKE 'PRM4A%'", "RM4A RM4ab"),
        ("name iLike 'Prm4a%'", "RM4A RM4ab"),
        ("name ILIKE 'Pcats%'", ""),
        ("name != 'PRM1' and name LIKE 'P%'", "RM2 RM3 RM4 RM4A RM4ab"),
        ("name IN ('PRM1', 'PRM3', 'none')", "RM1 RM3"),
        ("name NOT IN ('PRM1','PRM2','PRM3') AND name LIKE 'P%'", "RM4 RM4A RM4ab"),
        ('name = "PRM2"', "RM2"),
        ("attribute.name = 'PRM2'", "RM2"),
    ],
)
def test_models_by_name(server: Server, prefix: str, text: str, ends: str) -> None:
    assert names(server, text.replace("P", prefix, 1).replace("'P", f"'{prefix}")) == [prefix + e for e in ends.split()]


def test_without_a_filter_every_model_is_found(server: Server, prefix: str) -> None:
    listed = [each["name"] for each in everything(server, MODELS, "registered_models", 1000)]
    assert prefix + "RM1" in listed
    assert listed == sorted(listed)
    server.post("registered-models/create", {"name": f"{prefix}gone"})
    server.post("registered-models/delete", {"name": f"{prefix}gone"}, method="DELETE")
    assert names(server, f"name = '{prefix}gone'") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name!=something", "Parameter value is either not quoted or unidentified quote types used for string value"),
        ("run_id='x'", "Invalid attribute key 'run_id' specified."),
        ("source_path = 'A/D'", "Invalid attribute key 'source_path' specified."),
        ("creation_timestamp > 0", "Invalid attribute key 'creation_timestamp' specified."),
        ("evilhax = true", "Invalid clause(s) in filter string"),
        ("name = 'a' OR name = 'b'", "Invalid clause(s) in filter string"),
        ("name LIKE", "Invalid clause(s) in filter string"),
        ("name > 'a'", "Invalid comparator"),
        ("foo.name = 'a'", "Invalid entity type 'foo'"),
    ],
)
def test_what_models_cannot_be_asked(server: Server, text: str, says: str) -> None:
    server.refused(MODELS, method="GET", filter=text).says(says)


def test_models_by_tags(server: Server) -> None:
    key = f"t{fresh('')[1:]}"

    def tags(**given: str) -> list[dict[str, str]]:
        return [{"key": f"{key}{name}", "value": value} for name, value in given.items()]

    one = model(server, fresh("tag-1"), tags=tags(a="abc", b="xyz"))
    two = model(server, fresh("tag-2"), tags=tags(a="abcd", b="xyz123", c="XYZ"))
    for text, wanted in (
        ("tag.Kc = 'XYZ'", {two}),
        (f"name = '{one}' and tag.Ka = 'abc'", {one}),
        ("tag.Ka LIKE 'ab%'", {one, two}),
        ("tag.Ka ILIKE 'aB%'", {one, two}),
        ("tags.Ka LIKE 'ab%' AND tags.Kb LIKE 'xy%'", {one, two}),
        ("tag.Kc = 'XYz'", set()),
        ("tag.`Kb` = 'xyz'", {one}),
        ("tag.Ka != 'abc'", {two}),
        ("tag.Ka != 'abcd' and tag.Ka LIKE 'ab%'", {one}),
    ):
        assert (
            set(
                names(server, text.replace("ag.K", f"ag.{key}").replace("ags.K", f"ags.{key}").replace("`K", f"`{key}"))
            )
            == wanted
        ), text


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_pages_of_models(server: Server, prefix: str, limit: int) -> None:
    found = everything(server, MODELS, "registered_models", limit, filter=f"name LIKE '{prefix}%'")
    assert [each["name"] for each in found] == [prefix + e for e in ("RM1", "RM2", "RM3", "RM4", "RM4A", "RM4ab")]


@pytest.mark.parametrize(
    ("path", "asked", "says"),
    [
        (MODELS, {"page_token": "evilhax"}, "Invalid page token, could not base64-decode"),
        (VERSIONS, {"page_token": "evilhax"}, "Invalid page token, could not base64-decode"),
        (MODELS, {"max_results": 1001}, "Invalid value \"1001\" for parameter 'max_results' supplied"),
        (VERSIONS, {"max_results": 200_001}, "Invalid value \"200001\" for parameter 'max_results' supplied"),
        (MODELS, {"max_results": 10**15}, "for parameter 'max_results' supplied"),
        (MODELS, {"max_results": "x"}, "Invalid value \"x\" for parameter 'max_results' supplied"),
    ],
)
def test_pages_that_cannot_be(server: Server, path: str, asked: Any, says: str) -> None:
    server.refused(path, method="GET", **asked).says(says)


@pytest.mark.parametrize(
    ("orders", "wanted"),
    [
        (["name DESC"], "d c b a"),
        (["name   ASC"], "a b c d"),
        ([], "a b c d"),
        (["last_updated_timestamp DESC"], "c d a b"),
        (["timestamp DESC"], "c d a b"),
        (["timestamp"], "a b c d"),
        (["timestamp\tASC", "name DESC"], "b a d c"),
        (["timestamp\r\rASC"], "a b c d"),
        (["timestamp\nasc"], "a b c d"),
        (["last_updated_timestamp aSC", "name deSc"], "b a d c"),
        (["timestamp  deSc", "name desc"], "d c b a"),
    ],
)
def test_orders_of_models(server: Server, orders: list[str], wanted: str) -> None:
    name = fresh("o")
    for pair in ("ab", "cd"):
        for each in pair:
            model(server, f"{name}-{each}")
        time.sleep(0.003)
    stamps = {each: server.get("registered-models/get", name=f"{name}-{each}")["registered_model"] for each in "abcd"}
    if stamps["a"]["last_updated_timestamp"] != stamps["b"]["last_updated_timestamp"] or (
        stamps["c"]["last_updated_timestamp"] != stamps["d"]["last_updated_timestamp"]
    ):
        # Made in different milliseconds: then the times alone decide.
        order = orders[0].lower() if orders else ""
        wanted = ("d c b a" if "desc" in order else "a b c d") if "stamp" in order else wanted
    found = names(server, f"name LIKE '{name}-%'", order_by=orders)
    assert found == [f"{name}-{each}" for each in wanted.split()]


@pytest.mark.parametrize(
    ("path", "orders", "says"),
    [
        (MODELS, ["name ASC", "creation_timestamp DESC"], "Invalid order by key 'creation_timestamp' specified"),
        (MODELS, ["name ASC", "last_updated_timestamp DESC blah"], "Invalid order_by clause 'last_updated_timestamp"),
        (VERSIONS, ["name ASC", "run_id DESC"], "Invalid attribute key 'run_id' specified"),
        (VERSIONS, ["name ASC", "last_updated_timestamp DESC blah"], "Invalid order_by clause 'last_updated_timestamp"),
        (VERSIONS, ["tags.t"], "Invalid order by key 't' specified"),
    ],
)
def test_orders_that_cannot_be(server: Server, path: str, orders: list[str], says: str) -> None:
    server.refused(path, method="GET", order_by=orders).says(says)


@pytest.mark.parametrize(
    "orders", [["timestamp", "timestamp"], ["timestamp", "last_updated_timestamp"], ["name", "name"]]
)
def test_a_field_orders_once(server: Server, orders: list[str]) -> None:
    told = server.refused(MODELS, method="GET", order_by=orders)
    assert "`order_by` contains duplicate fields:" in told.message


# --- versions ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(server: Server) -> str:
    """A model with four versions of three runs."""
    name = model(server, fresh("versions"))
    for number, run in enumerate(("r1", "r2", "r2", "r3"), 1):
        tags = [{"key": "t", "value": f"v{number}"}, {"key": "same", "value": "abc"}]
        version(server, name, source=f"runs:/{name[-8:]}{run}/m{min(number, 3)}", run_id=f"{name[-8:]}{run}", tags=tags)
    return name


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("name='N'", {1, 2, 3, 4}),
        ("name='N' AND version_number=2", {2}),
        ("name='N' AND version_number<=3", {1, 2, 3}),
        ("name='N' AND version_number != 2", {1, 3, 4}),
        ("run_id='Xr1'", {1}),
        ("run_id='Xr2'", {2, 3}),
        ("run_id IN ('Xr1','Xr2')", {1, 2, 3}),
        ("run_id IN ('Xr1', 'Xr2')", {1, 2, 3}),
        ("run_id IN ('Xr1',)", {1}),
        ("run_id IN ('XR1','Xr2')", {2, 3}),
        ("version_number=2 AND run_id IN ('Xr1','Xr2')", {2}),
        ("run_id LIKE 'Xr%'", {1, 2, 3, 4}),
        ("run_id ILIKE 'XR2%'", {2, 3}),
        ("source_path = 'runs:/Xr2/m3'", {3}),
        ("source_path LIKE 'runs:/Xr%/m3'", {3, 4}),
        ("source_path = 'runs:/Xr2'", set()),
        ("source_path = ''", set()),
        ("name='N' and tag.t = 'v1'", {1}),
        ("name='wrong' and tag.t = 'v1'", set()),
        ("name='N' and tag.`t` = 'v1'", {1}),
        ("name='N' and tag.none = 'v1'", set()),
        ("name='N' and tag.t != 'v1'", {2, 3, 4}),
        ("name='N' and tag.t LIKE 'v%'", {1, 2, 3, 4}),
        ("name='N' and tag.t LIKE 'V%'", set()),
        ("name='N' and tag.t ILIKE 'V%'", {1, 2, 3, 4}),
        ("name='N' and tag.T = 'v1'", set()),
        ("name='N' and tags.same = 'abc' and tags.t = 'v2'", {2}),
        ("name='N' and tag.t like 'v%' and tag.t != 'v1'", {2, 3, 4}),
    ],
)
def test_versions_by_what_they_have(server: Server, found: str, text: str, wanted: set[int]) -> None:
    asked = text.replace("'N'", f"'{found}'").replace("'X", f"'{found[-8:]}").replace("/X", f"/{found[-8:]}")
    assert set(numbers(server, asked)) == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("run_id IN (1,2,3)", "expected string value, punctuation, or whitespace, but got different type in list"),
        ("run_id IN ()", "expected a non-empty list of string values, but got empty list"),
        ("run_id IN (", "Invalid clause(s) in filter string"),
        ("run_id IN", "Invalid clause(s) in filter string"),
        ("run_id IN (,)", "expected a non-empty list of string values, but got ill-formed list"),
        ("run_id IN ('a',,'b')", "expected a non-empty list of string values, but got ill-formed list"),
        ("evilhax", "Invalid clause(s) in filter string"),
        ("current_stage='Production'", "Invalid attribute key 'current_stage' specified"),
        ("params.x = '1'", "Invalid entity type 'params'"),
    ],
)
def test_what_versions_cannot_be_asked(server: Server, text: str, says: str) -> None:
    server.refused(VERSIONS, method="GET", filter=text).says(says)


def test_a_deleted_version_is_not_found(server: Server) -> None:
    name = model(server, fresh("deleted"))
    for _ in range(2):
        version(server, name)
    server.post("model-versions/delete", {"name": name, "version": "1"}, method="DELETE")
    assert numbers(server, f"name='{name}'") == [2]


@pytest.mark.parametrize(
    ("orders", "wanted"),
    [
        ([], "a2 c1 b1 a1"),
        (["last_updated_timestamp DESC"], "a2 c1 b1 a1"),
        (["creation_timestamp DESC"], "a2 c1 b1 a1"),
        (["creation_timestamp"], "a1 b1 c1 a2"),
        (["name DESC"], "c1 b1 a2 a1"),
        (["name"], "a2 a1 b1 c1"),
        (["version_number DESC"], "a2 a1 b1 c1"),
        (["version_number", "name DESC"], "c1 b1 a1 a2"),
    ],
)
def test_orders_of_versions(server: Server, orders: list[str], wanted: str) -> None:
    name = fresh("v")
    for each in "abc":
        model(server, f"{name}{each}")
    for each in "abca"[:3] + "a":
        version(server, f"{name}{each}")
        time.sleep(0.003)
    answer = server.get(VERSIONS, filter=f"name LIKE '{name}%'", order_by=orders)["model_versions"]
    assert [each["name"][-1] + each["version"] for each in answer] == wanted.split()


def test_a_change_brings_a_version_to_the_front(server: Server) -> None:
    name = model(server, fresh("front"))
    for _ in range(2):
        version(server, name)
    time.sleep(0.003)
    server.post("model-versions/update", {"name": name, "version": "1", "description": "d"}, method="PATCH")
    assert numbers(server, f"name='{name}'") == [1, 2]
    assert numbers(server, f"name='{name}'", order_by=["last_updated_timestamp ASC"]) == [2, 1]


@pytest.mark.parametrize("limit", [1, 5, 100])
def test_pages_of_versions(server: Server, found: str, limit: int) -> None:
    asked = {"filter": f"name='{found}'", "order_by": ["version_number DESC"]}
    pages = everything(server, VERSIONS, "model_versions", limit, **asked)
    assert [each["version"] for each in pages] == ["4", "3", "2", "1"]


def test_page_sizes_may_change_between_pages(server: Server, found: str) -> None:
    asked = {"filter": f"name='{found}'", "order_by": ["version_number"]}
    first = server.get(VERSIONS, max_results=1, **asked)
    second = server.get(VERSIONS, max_results=2, page_token=first["next_page_token"], **asked)
    third = server.get(VERSIONS, max_results=100, page_token=second["next_page_token"], **asked)
    assert [each["version"] for page in (first, second, third) for each in page["model_versions"]] == list("1234")
    assert "next_page_token" not in third


def test_the_clients_search(client: Any, server: Server, found: str) -> None:
    listed = client.search_model_versions(f"name = '{found}'", max_results=3)
    assert (len(listed), bool(listed.token)) == (3, True)
    assert client.search_model_versions("run_id = 'never-seen'") == []
    newest = client.get_model_version(found, "4")
    assert [each.latest_versions for each in client.search_registered_models(f"name = '{found}'")] == [[newest]]


# --- prompts ----------------------------------------------------------------------------------------


def test_prompts_show_only_to_whom_asks_for_them(server: Server) -> None:
    stem, fruit = fresh("p"), fresh("fruit").replace("-", "_")
    apple = [{"key": fruit, "value": "apple"}]
    model(server, f"{stem}-model", tags=apple)
    model(server, f"{stem}-prompt1", tags=PROMPT)
    model(server, f"{stem}-prompt2", tags=PROMPT + apple)
    mine, flag = f"name LIKE '{stem}-%'", "tags.`mlflow.prompt.is_prompt`"
    for text, ends in (
        (mine, "model"),
        (f"tags.{fruit} = 'apple'", "model"),
        (f"name = '{stem}-prompt1'", ""),
        (f"{mine} AND {flag} = 'false'", "model"),
        (f"{mine} AND {flag} != 'true'", "model"),
        (f"{mine} AND {flag} = 'true'", "prompt1 prompt2"),
        (f"name = '{stem}-prompt1' and {flag} = 'true'", "prompt1"),
        (f"{flag} = 'true' and tags.{fruit} = 'apple'", "prompt2"),
    ):
        assert names(server, text) == [f"{stem}-{end}" for end in ends.split()], text


def test_versions_of_prompts_hide_as_well(server: Server) -> None:
    stem, flag = fresh("q"), "tags.`mlflow.prompt.is_prompt`"
    version(server, model(server, f"{stem}-model"), tags=[{"key": "fruit", "value": "apple"}])
    prompt = model(server, f"{stem}-prompt", tags=PROMPT)
    for fruit in ("apple", "orange"):
        tags = [*PROMPT, {"key": "fruit", "value": fruit}]
        version(server, prompt, source="dummy-source", run_id="", tags=tags)
    mine = f"name LIKE '{stem}-%'"
    for text, count in (
        (mine, 1),
        (f"{mine} AND tags.fruit = 'apple'", 1),
        (f"{mine} AND {flag} = 'false'", 1),
        (f"{mine} AND {flag} != 'true'", 1),
        (f"{mine} AND {flag} = 'true'", 2),
        (f"{flag} = 'true' and name = '{prompt}' and tags.fruit = 'orange'", 1),
    ):
        assert len(numbers(server, text)) == count, text
