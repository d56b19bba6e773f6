"""Registered models: names, descriptions, tags, aliases, renaming, deleting, and prompts that share their table."""

import time
from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "registered models"


def made(server: Server, name: str = "", **more: Any) -> str:
    name = name or fresh("model")
    server.post("registered-models/create", {"name": name, **more})
    return name


def got(server: Server, name: str) -> dict[str, Any]:
    return dict(server.get("registered-models/get", name=name)["registered_model"])


def version(server: Server, name: str, **more: Any) -> str:
    body = {"name": name, "source": "runs:/some_run/model", "run_id": "some_run", **more}
    return str(server.post("model-versions/create", body)["model_version"]["version"])


def test_a_new_model_has_a_name_and_two_times(server: Server) -> None:
    name = fresh("model")
    answer = server.post("registered-models/create", {"name": name})["registered_model"]
    assert set(answer) == {"name", "creation_timestamp", "last_updated_timestamp"}
    assert answer["name"] == name
    assert answer["creation_timestamp"] == answer["last_updated_timestamp"]
    assert got(server, name) == answer


def test_tags_and_description_come_back(server: Server) -> None:
    tags = [{"key": "a key", "value": "v"}, {"key": "empty", "value": ""}]
    found = got(server, made(server, tags=tags, description="best ever"))
    assert found["description"] == "best ever"
    assert sorted(found["tags"], key=lambda tag: str(tag["key"])) == tags


def test_of_two_tags_with_a_key_the_last_counts(server: Server) -> None:
    name = made(server, tags=[{"key": "k", "value": "1"}, {"key": "k", "value": "2"}])
    assert got(server, name)["tags"] == [{"key": "k", "value": "2"}]


def test_the_client_turns_values_into_text(client: Any) -> None:
    name = fresh("model")
    wanted = {"key": "value", "another key": "some other value", "numeric value": "12345"}
    assert client.create_registered_model(name, wanted | {"numeric value": 12345}).tags == wanted
    detailed = client.get_registered_model(name)
    assert (detailed.tags, str(detailed.description), detailed.latest_versions) == (wanted, "", [])


@pytest.mark.parametrize("name", [None, "", "   "])
def test_a_model_needs_a_name(server: Server, name: str | None) -> None:
    server.refused("registered-models/create", {"name": name}).says("Missing value for required parameter 'name'")


@pytest.mark.parametrize("name", ["a/b", "a:b"])
def test_names_have_no_slash_and_no_colon(server: Server, name: str) -> None:
    server.refused("registered-models/create", {"name": name}).says(f"Invalid model name '{name}'")


@pytest.mark.parametrize("name", ["..", "."])
def test_names_do_not_climb(server: Server, name: str) -> None:
    server.refused("registered-models/create", {"name": name}).says("Names may be treated as files in certain cases")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"name": 12}, "Invalid value 12 for parameter 'name' supplied"),
        ({"name": "x", "tags": "foo"}, "Invalid value \"foo\" for parameter 'tags' supplied"),
        ({"name": "x", "description": 4}, "Invalid value 4 for parameter 'description' supplied"),
    ],
)
def test_wrong_types_are_named(server: Server, body: Any, text: str) -> None:
    server.refused("registered-models/create", body).says(text)


def test_long_tags_are_refused(server: Server) -> None:
    name = made(server)
    for key, value, what in (("k", "v" * 100_001, "'value'"), ("k" * 251, "v", "'key'")):
        told = server.refused("registered-models/set-tag", {"name": name, "key": key, "value": value})
        told.says(f"{what} exceeds the maximum length of")
    server.post("registered-models/set-tag", {"name": name, "key": "k", "value": "v" * 4999})


def test_a_name_is_taken_once(server: Server) -> None:
    name = made(server)
    told = server.refused("registered-models/create", {"name": name})
    told.says(f"Registered Model (name={name}) already exists", "RESOURCE_ALREADY_EXISTS")
    for other in (name + "extra", name + name, name.upper()):
        made(server, other)


def test_an_unknown_model_is_not_there(server: Server) -> None:
    name = fresh("none")
    text, code = f"Registered Model with name={name} not found", "RESOURCE_DOES_NOT_EXIST"
    server.refused("registered-models/get", method="GET", name=name).says(text, code, 404)
    for method, path, more in (
        ("PATCH", "update", {"description": "d"}),
        ("POST", "rename", {"new_name": fresh("new")}),
        ("DELETE", "delete", {}),
        ("POST", "set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "delete-tag", {"key": "k"}),
        ("POST", "get-latest-versions", {}),
        ("DELETE", "alias", {"alias": "a"}),
    ):
        server.refused(f"registered-models/{path}", {"name": name, **more}, method=method).says(text, code, 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "missing"),
    [
        ("PATCH", "update", {"description": "d"}, "name"),
        ("POST", "rename", {"new_name": "n"}, "name"),
        ("POST", "rename", {"name": "n"}, "new_name"),
        ("POST", "rename", {"name": "n", "new_name": ""}, "new_name"),
        ("DELETE", "delete", {}, "name"),
        ("POST", "set-tag", {"name": "n", "value": "v"}, "key"),
        ("POST", "set-tag", {"key": "k", "value": "v"}, "name"),
        ("DELETE", "delete-tag", {"name": "n"}, "key"),
        ("DELETE", "delete-tag", {"key": "k"}, "name"),
        ("POST", "alias", {"name": "n", "version": "1"}, "alias"),
        ("POST", "alias", {"name": "n", "alias": "a"}, "version"),
        ("POST", "alias", {"alias": "a", "version": "1"}, "name"),
        ("DELETE", "alias", {"name": "n"}, "alias"),
        ("POST", "get-latest-versions", {}, "name"),
    ],
)
def test_what_is_missing_is_named(server: Server, method: str, path: str, body: Any, missing: str) -> None:
    told = server.refused(f"registered-models/{path}", body, method=method)
    told.says(f"Missing value for required parameter '{missing}'")


def test_a_description_is_replaced_and_the_time_moves(server: Server) -> None:
    name = made(server)
    before = got(server, name)
    time.sleep(0.005)
    after = server.post("registered-models/update", {"name": name, "description": "x"}, method="PATCH")
    assert after["registered_model"]["description"] == "x"
    found = got(server, name)
    assert found["creation_timestamp"] == before["creation_timestamp"]
    assert found["last_updated_timestamp"] > before["last_updated_timestamp"]
    server.post("registered-models/update", {"name": name, "description": ""}, method="PATCH")
    assert "description" not in got(server, name)


def test_renaming_takes_everything_along_and_frees_the_old_name(server: Server) -> None:
    old, new = made(server, tags=[{"key": "k", "value": "v"}]), fresh("renamed")
    version(server, old)
    version(server, old)
    server.post("registered-models/alias", {"name": old, "alias": "champion", "version": "2"})
    before = got(server, old)
    assert server.post("registered-models/rename", {"name": old, "new_name": new})["registered_model"]["name"] == new
    found = got(server, new)
    assert found["tags"] == [{"key": "k", "value": "v"}]
    assert found["aliases"] == [{"alias": "champion", "version": "2"}]
    assert found["creation_timestamp"] == before["creation_timestamp"]
    for number in ("1", "2"):
        assert server.get("model-versions/get", name=new, version=number)["model_version"]["name"] == new
    server.refused("registered-models/get", method="GET", name=old).says("not found", "RESOURCE_DOES_NOT_EXIST", 404)
    made(server, old)
    told = server.refused("registered-models/rename", {"name": new, "new_name": old})
    told.says(f"Registered Model (name={old}) already exists", "RESOURCE_ALREADY_EXISTS")


def test_a_model_may_be_renamed_to_itself(server: Server) -> None:
    name = made(server)
    assert server.post("registered-models/rename", {"name": name, "new_name": name})["registered_model"]["name"] == name


def test_deleting_takes_versions_and_aliases_along(server: Server) -> None:
    name = made(server)
    version(server, name)
    server.post("registered-models/alias", {"name": name, "alias": "a", "version": "1"})
    assert server.post("registered-models/delete", {"name": name}, method="DELETE") == {}
    gone = server.refused("model-versions/get", method="GET", name=name, version="1")
    gone.says(f"Model Version (name={name}, version=1) not found", "RESOURCE_DOES_NOT_EXIST", 404)
    gone = server.refused("registered-models/alias", method="GET", name=name, alias="a")
    gone.says(f"Registered Model with name={name} not found", "RESOURCE_DOES_NOT_EXIST", 404)
    made(server, name)
    assert version(server, name) == "1"
    assert "aliases" not in got(server, name)


def test_tags_are_set_replaced_and_deleted_for_one_model_alone(server: Server) -> None:
    tags = [{"key": "key", "value": "value"}, {"key": "other", "value": "o"}]
    one, two = made(server, tags=tags), made(server, tags=tags)
    assert server.post("registered-models/set-tag", {"name": one, "key": "key", "value": "new"}) == {}
    server.post("registered-models/set-tag", {"name": one, "key": "bare"})
    assert {tag["key"]: tag["value"] for tag in got(server, one)["tags"]} == {"key": "new", "other": "o", "bare": ""}
    for _ in range(2):  # what is gone may be deleted again
        assert server.post("registered-models/delete-tag", {"name": one, "key": "key"}, method="DELETE") == {}
    assert {tag["key"] for tag in got(server, one)["tags"]} == {"other", "bare"}
    assert {tag["key"]: tag["value"] for tag in got(server, two)["tags"]} == {"key": "value", "other": "o"}


# --- aliases ----------------------------------------------------------------------------------------


def test_an_alias_names_one_version_and_moves(server: Server, client: Any) -> None:
    name = made(server)
    version(server, name)
    version(server, name)
    for number in ("1", "2"):
        assert server.post("registered-models/alias", {"name": name, "alias": "champ", "version": number}) == {}
        assert got(server, name)["aliases"] == [{"alias": "champ", "version": number}]
    assert client.get_model_version(name, "1").aliases == []
    assert client.get_model_version(name, "2").aliases == ["champ"]
    by_alias = client.get_model_version_by_alias(name, "champ")
    assert by_alias == client.get_model_version(name, "2")
    for _ in range(2):
        assert server.post("registered-models/alias", {"name": name, "alias": "champ"}, method="DELETE") == {}
    assert client.get_registered_model(name).aliases == {}
    gone = server.refused("registered-models/alias", method="GET", name=name, alias="champ")
    gone.says("Registered model alias champ not found.")


def test_an_alias_dies_with_its_version(server: Server) -> None:
    name = made(server)
    version(server, name)
    server.post("registered-models/alias", {"name": name, "alias": "a", "version": "1"})
    server.post("model-versions/delete", {"name": name, "version": "1"}, method="DELETE")
    assert "aliases" not in got(server, name)
    gone = server.refused("registered-models/alias", method="GET", name=name, alias="a")
    gone.says("Registered model alias a not found.")


def test_latest_is_the_alias_of_the_newest_version(server: Server) -> None:
    name = made(server)
    version(server, name)
    version(server, name)
    assert server.get("registered-models/alias", name=name, alias="latest")["model_version"]["version"] == "2"


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("a b", "Invalid alias name: 'a b'"),
        ("a.b", "Invalid alias name: 'a.b'"),
        ("latest", "'latest' alias name (case insensitive) is reserved."),
        ("LaTest", "'latest' alias name (case insensitive) is reserved."),
        ("v12", "Version alias name 'v12' is reserved."),
        ("V1", "Version alias name 'V1' is reserved."),
        ("x" * 256, "exceeds the maximum length of 255 characters"),
    ],
)
def test_reserved_and_odd_aliases_are_refused(server: Server, alias: str, text: str) -> None:
    name = made(server)
    version(server, name)
    server.refused("registered-models/alias", {"name": name, "alias": alias, "version": "1"}).says(text)


def test_an_alias_needs_a_version_that_is_there(server: Server) -> None:
    name = made(server)
    told = server.refused("registered-models/alias", {"name": name, "alias": "a", "version": "9"})
    told.says(f"Model Version (name={name}, version=9) not found", "RESOURCE_DOES_NOT_EXIST", 404)
    told = server.refused("registered-models/alias", {"name": name, "alias": "a", "version": "abc"})
    told.says("Parameter 'version' must be an integer, got 'abc'.")
    none = fresh("none")
    told = server.refused("registered-models/alias", {"name": none, "alias": "a", "version": "1"})
    told.says(f"Model Version (name={none}, version=1) not found", "RESOURCE_DOES_NOT_EXIST", 404)


# --- prompts ----------------------------------------------------------------------------------------

PROMPT = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]


def test_a_prompt_and_a_model_cannot_share_a_name(server: Server) -> None:
    model, prompt = made(server), made(server, tags=PROMPT)
    code = "RESOURCE_ALREADY_EXISTS"
    server.refused("registered-models/create", {"name": prompt, "tags": PROMPT}).says(
        f"Prompt (name={prompt}) already exists", code
    )
    server.refused("registered-models/create", {"name": model, "tags": PROMPT}).says(
        f"Tried to create a prompt with name '{model}', but the name is already taken by a registered model.", code
    )
    server.refused("registered-models/create", {"name": prompt}).says(
        f"Tried to create a registered model with name '{prompt}', but the name is already taken by a prompt.", code
    )


def test_a_prompts_source_is_one_of_two_words(server: Server) -> None:
    prompt = made(server, tags=PROMPT)
    for source in ("dummy-source", "prompt-template"):
        body = {"name": prompt, "source": source, "tags": PROMPT}
        assert server.post("model-versions/create", body)["model_version"]["source"] == source
    for source in ("/etc", "../../x", "dummy_source", "runs:/r/m"):
        told = server.refused("model-versions/create", {"name": prompt, "source": source, "tags": PROMPT})
        told.says(f"Invalid prompt source: '{source}'.")


def test_a_prompt_is_no_source_of_a_model(server: Server) -> None:
    prompt, model = made(server, tags=PROMPT), made(server)
    server.post("model-versions/create", {"name": prompt, "source": "dummy-source", "tags": PROMPT})
    told = server.refused("model-versions/create", {"name": model, "source": f"models:/{prompt}/1"})
    told.says("Prompt versions cannot be used as model version sources.")
