"""People, tokens and projects from the terminal, and a client that logs in with what came out."""

from __future__ import annotations

import base64

import httpx
import pytest


def test_a_person_comes_in_reads_and_is_shut_out(headway) -> None:
    added = headway("user", "add", "paula")
    assert added.out == "added paula (viewer everywhere)\n"
    assert "headway token create --user paula" in added.err
    assert "there is a user paula already" in headway("user", "add", "paula", code=1).err
    made = headway("token", "create", "--user", "paula", "--expires", "12h", "--label", "laptop", "--json").json
    url = headway("login", "--json").json["url"]
    basic = base64.b64encode(f"whoever:{made['token']}".encode()).decode()
    for header in (f"Bearer {made['token']}", f"Basic {basic}"):
        answer = httpx.get(f"{url}/api/v1/server", headers={"authorization": header}, timeout=60)
        assert (answer.status_code, answer.json()["user"]) == (200, "paula")
    listed = headway("token", "list").out
    assert made["id"] in listed
    assert made["token"] not in listed
    assert "laptop" in headway("user", "show", "paula").out
    assert "hint:  headway user disable paula --yes" in headway("user", "disable", "paula", code=2).err
    assert headway("user", "disable", "paula", "--yes", "--json").json["disabled"]
    assert httpx.get(f"{url}/api/v1/server", headers={"authorization": f"Bearer {made['token']}"}).status_code == 401
    headway("user", "enable", "paula")
    assert headway("token", "revoke", made["token"], "--json").json == {"id": made["id"], "revoked": True}
    assert made["id"] not in headway("token", "list").out


def test_roles_in_projects_are_given_and_taken(headway) -> None:
    headway("user", "add", "quentin", "--role", "none")
    assert "Next: headway user grant NAME vision" in headway("project", "add", "vision").err
    assert "vision" in [each["name"] for each in headway("project", "list", "--json").json]
    assert headway("user", "grant", "quentin", "vision", "contributor").out == "quentin is contributor in vision\n"
    assert "vision: contributor" in headway("user", "list").out
    scoped = headway("token", "create", "--user", "quentin", "--project", "vision", "--json").json
    assert (scoped["role"], scoped["project"]) == ("contributor", "vision")
    assert headway("user", "revoke", "quentin", "vision").out == "quentin is none in vision, as everywhere\n"
    assert headway("user", "role", "quentin", "viewer", "--json").json["role"] == "viewer"


def test_a_contributor_works_in_a_known_repository_and_a_viewer_is_told_what_is_needed(headway) -> None:
    """Only making a repository known needs an administrator; what is needed is said with the project."""
    headway("change", "list")  # makes the repository known
    projects = headway("project", "list", "--json").json
    project = next(each["name"] for each in projects if any(headway.folder.name in repo for repo in each["repos"]))
    url = headway("login", "--json").json["url"]
    for user, role in (("viola", "viewer"), ("conny", "contributor")):
        headway("user", "add", user, "--role", "none")
        headway("user", "grant", user, project, role)
    tokens = {user: headway("token", "create", "--user", user, "--json").json["token"] for user in ("viola", "conny")}
    as_viola = {"HEADWAY_URL": url, "HEADWAY_TOKEN": tokens["viola"]}
    as_conny = {"HEADWAY_URL": url, "HEADWAY_TOKEN": tokens["conny"]}
    refused = headway("train", "--detach", code=1, **as_viola).err
    assert f"it needs the role contributor in the project {project}, this is viewer" in refused
    assert f"in {project}: viewer" in headway("login", "status", **as_viola).out
    assert "job #" in headway("train", "--detach", **as_conny).err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("user", "add", "x y"), 2, "is not a usable user name"),
        (("user", "add", "king", "--role", "king"), 2, "none, viewer, contributor, maintainer or admin"),
        (("token", "create", "--expires", "soon"), 2, "--expires 12h, 30d or 8w"),
        (("token", "create", "--project", "nowhere"), 5, "headway project list"),
        (("token", "revoke", "nothing"), 5, "headway token list"),
        (("project", "add", "a/b"), 2, "is not a usable project name"),
    ],
)
def test_mistakes_say_what_to_do(headway, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in headway(*words, code=code).err


def test_a_grant_says_which_of_its_names_is_unknown(headway) -> None:
    headway("user", "add", "rosa")
    headway("project", "add", "sonar")
    assert "there is no user nobody" in headway("user", "grant", "nobody", "sonar", "viewer", code=5).err
    assert "there is no project nowhere" in headway("user", "grant", "rosa", "nowhere", "viewer", code=5).err
