"""Pages and API for two tenants: what is of another's project is as if it were not there, and no list tells of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from fakes.site import Browser, Site, filled_site
from headway.api.admit import FILTERED, things_of
from headway.api.v1 import absent_routes, api_routes
from headway.auth.model import Role, TokenKind
from headway.auth.projects import ProjectStore
from headway.auth.tokens import TokenStore
from headway.auth.users import UserStore
from headway.db import schema
from headway.web.pages import web_routes

# Open to everybody: the way in, and what looks at nothing.
OPEN = {("GET", "/login"), ("POST", "/login"), ("POST", "/theme")}


@dataclass(frozen=True, kw_only=True)
class Tenants:
    site: Site
    api: Browser
    pages: Browser
    tokens: dict[str, str]
    project: str

    def ask(self, who: str, method: str, path: str, **given: Any) -> Any:
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        client = self.api if path.startswith("/api/v1/") else self.pages
        return client.request(method, path, headers=headers, **given)

    def routes(self) -> list[tuple[str, str, str]]:
        """(method, route, prefix) of the API and of the pages."""
        found = []
        for prefix, routes in (("/api/v1", api_routes(self.site.app)), ("", web_routes(self.site.app))):
            for each in routes:
                if isinstance(each, Route) and "/static" not in each.path:
                    found += [(method, each.path, prefix) for method in each.methods - {"HEAD"}]
        return found

    def filled(self, path: str, *, known: bool) -> str:
        """A route's path with the first tenant's things in it, or with things that nobody has."""
        site, job = self.site, self.site.jobs[0].number
        kind = things_of(path)
        first = path.split("/")[1]
        names = {
            "repos": {"repo": site.repo.id},
            "changes": {"repo": site.repo.id},
            "jobs": {"job": job, "number": job, "a": job, "b": site.jobs[1].number},
            "runs": {"run": site.runs[0], "a": site.runs[0], "b": site.runs[1]},
            "models": {"model": "flights", "name": "flights"},
            "deployments": {"name": "flights-production"},
            "releases": {"release": site.release},
            "commands": {"command": site.command},
            "projects": {"project": self.project},
            "users": {"project": self.project},
        }.get(first, {})
        if not known and kind is not None:
            names = {name: 987654 if isinstance(value, int) else "z" * 20 for name, value in names.items()}

        def fill(found: re.Match[str]) -> str:
            default = str(site.changes[0].number) if found[1] == "number" else "flights-production"
            return str(names.get(found[1], default))

        return re.sub(r"\{(\w+)(?::\w+)?\}", fill, path)


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    site = filled_site(Path(tmp_path_factory.mktemp("tenants")))
    app, tokens, now = site.app, {}, site.app.clock.now()
    with app.database.write() as tx:
        project = ProjectStore(tx).of_repo(site.repo.id)
        tx.execute(update(schema.experiment).values(project=project))
        tx.execute(update(schema.registered_model).values(project=project))
        users = UserStore(tx)
        users.ensure_admin("root", at=now, by="test")
        ProjectStore(tx).add("elsewhere", at=now, by="root")
        for name, home, role in (("a", project, Role.MAINTAINER), ("b", "elsewhere", Role.ADMIN)):
            users.add(name, Role.NONE, at=now, by="root")
            users.grant(name, home, role=role, at=now, by="root")
        users.add("member", Role.MAINTAINER, at=now, by="root")
        users.grant("member", project, role=Role.NONE, at=now, by="root")
        users.add("viewer", Role.VIEWER, at=now, by="root")
        for name in ("root", "a", "b", "member", "viewer"):
            tokens[name] = TokenStore(tx).mint(TokenKind.USER, name, role=Role.ADMIN, at=now)
    api = Browser(Starlette(routes=[Mount("/api/v1", routes=[*api_routes(app), *absent_routes(app)])]))
    yield Tenants(site=site, api=api, pages=Browser(Starlette(routes=web_routes(app))), tokens=tokens, project=project)
    app.close()


def test_every_route_names_a_thing_or_filters_or_is_for_those_who_may_everywhere(tenants: Tenants) -> None:
    known = {(method, path) for method, path, _ in tenants.routes()}
    assert {each for each in FILTERED if "rest:path" not in each[1]} <= known, "a list that is no route any more"
    for method, path in known:
        if path.startswith(("/attempts/", "/endpoints/")):
            continue  # only a token of its own opens it: test_attempts.py, test_endpoints.py
        if "{" in path and things_of(path) is None and (method, path) not in FILTERED:
            assert path == "/users/{user}" or path.startswith("/import/") or "purge" in path or "trash" in path, path


def test_strangers_get_nothing_but_the_way_in(tenants: Tenants) -> None:
    for method, path, prefix in tenants.routes():
        if (method, path) in OPEN and not prefix:
            continue
        answer = tenants.ask("", method, prefix + tenants.filled(path, known=True))
        if answer.status_code == 303:
            assert method == "GET"
            assert not prefix
            assert answer.headers["location"].startswith("/login?next="), path
        else:
            assert answer.status_code == 401, (method, path)


@pytest.mark.parametrize("who", ["b", "member"])
def test_what_is_anothers_is_as_if_it_were_not_there(tenants: Tenants, who: str) -> None:
    for method, path, prefix in tenants.routes():
        if things_of(path) is None:
            continue
        theirs, nobodys = (prefix + tenants.filled(path, known=known) for known in (True, False))
        hidden, absent = (tenants.ask(who, method, each, json={}) for each in (theirs, nobodys))
        assert hidden.status_code == absent.status_code == 404, (method, path, hidden.text)
        for one, other in zip(theirs.split("/"), nobodys.split("/"), strict=True):
            if one != other:
                hidden_text, absent_text = hidden.text.replace(one, "*"), absent.text.replace(other, "*")
                break
        if prefix:
            assert hidden_text == absent_text, (method, path)
        for word in ("auc", "train.py", "maria"):
            assert word not in hidden.text, (method, path)


def test_whose_it_is_sees_all_of_it(tenants: Tenants) -> None:
    for address in tenants.site.addresses:
        if address != "/events":
            assert tenants.ask("a", "GET", address).status_code == 200, address


LISTS = ["/", "/changes?state=all", "/jobs", "/runs", "/models", "/deployments"]
API_LISTS = ["/repos", "/jobs", "/runs", "/models", "/deployments", "/releases", "/projects", "/tokens"]


@pytest.mark.parametrize("who", ["b", "member"])
def test_lists_tell_nothing_of_it(tenants: Tenants, who: str) -> None:
    site = tenants.site
    words = ("flights", site.runs[0], site.runs[0][:8], site.release, f"/changes/{site.repo.id}/")
    for path in (*LISTS, *(f"/api/v1{each}" for each in API_LISTS)):
        answer = tenants.ask(who, "GET", path)
        assert answer.status_code == 200, (path, answer.text)
        body = re.sub(r'placeholder="[^"]*"|<option[^>]*>|<code>[^<]*</code>', "", answer.text)
        assert not [word for word in words if word and word in body], path
    assert tenants.ask(who, "GET", "/api/v1/repos").json() == []
    assert tenants.project not in [each["name"] for each in tenants.ask(who, "GET", "/api/v1/projects").json()]
    assert all(each["user"] == who for each in tenants.ask(who, "GET", "/api/v1/tokens").json())
    for path in (*LISTS, "/api/v1/jobs", "/api/v1/runs", "/api/v1/models", "/api/v1/deployments", "/api/v1/releases"):
        assert any(word in tenants.ask("a", "GET", path).text for word in words), path


def test_what_names_a_second_thing_is_looked_at_twice(tenants: Tenants) -> None:
    site = tenants.site
    for path in (
        f"/runs/compare?a={site.runs[0]}&b={site.runs[1]}",
        "/api/v1/why/flights-production",
        "/api/v1/why/flights@1",
        f"/jobs/{site.jobs[0].number}/compare/{site.jobs[1].number}",
    ):
        assert tenants.ask("b", "GET", path).status_code == 404, path
    page = tenants.ask("b", "GET", "/why?subject=flights@1")
    assert "nothing is known of" in page.text
    given = {"repo": site.repo.id, "text": "/train"}
    assert tenants.ask("b", "POST", "/commands", data=given).status_code == 404


def test_what_is_about_everything_is_for_those_who_may_see_everything(tenants: Tenants) -> None:
    for path in ("/api/v1/events", "/events", "/api/v1/doctor"):
        assert tenants.ask("b", "GET", path).status_code == 403, path
        assert tenants.ask("member", "GET", path).status_code == 403, path
        assert tenants.ask("viewer", "GET", path).status_code == 200, path
    for path in ("/api/v1/users", "/api/v1/users/a"):
        for who in ("a", "b", "member", "viewer"):
            assert tenants.ask(who, "GET", path).status_code == 403, (who, path)


def test_roles_in_a_project_count_there(tenants: Tenants) -> None:
    """A maintainer of one project moves its aliases, a server-wide viewer only looks."""
    body = {"alias": "champion", "version": 1}
    for who, status in (("viewer", 403), ("b", 404), ("member", 404), ("a", 200)):
        assert tenants.ask(who, "POST", "/api/v1/models/flights/aliases", json=body).status_code == status, who
    for who, status in (("viewer", 403), ("b", 404), ("a", 200)):
        path = f"/api/v1/repos/{tenants.site.repo.id}/secrets"
        assert tenants.ask(who, "GET", path).status_code == status, who


# --- users, projects, tokens ------------------------------------------------------------------------------


def test_a_default_member_reads_everything(tenants: Tenants) -> None:
    made = tenants.ask("root", "POST", "/api/v1/users", json={"name": "newcomer"})
    assert (made.status_code, made.json()["role"]) == (200, "viewer")
    token = tenants.ask("root", "POST", "/api/v1/tokens", json={"user": "newcomer"}).json()
    assert (token["role"], token["project"], token["expires_at"]) == ("viewer", "", None)
    tenants.tokens["newcomer"] = token["token"]
    for address in tenants.site.addresses:
        assert tenants.ask("newcomer", "GET", address).status_code == 200, address


def test_grants_count_at_once_and_go_again(tenants: Tenants) -> None:
    tenants.ask("root", "POST", "/api/v1/users", json={"name": "guest", "role": "none"})
    refused = tenants.ask("root", "POST", "/api/v1/tokens", json={"user": "guest"})
    assert refused.status_code == 403, "a token of somebody who may do nothing would be of no use"
    place = f"/api/v1/users/guest/projects/{tenants.project}"
    assert tenants.ask("root", "PUT", place, json={"role": "viewer"}).json()["projects"] == {tenants.project: "viewer"}
    tenants.tokens["guest"] = tenants.ask("root", "POST", "/api/v1/tokens", json={"user": "guest"}).json()["token"]
    job = f"/api/v1/jobs/{tenants.site.jobs[0].number}"
    assert tenants.ask("guest", "GET", job).status_code == 200
    assert tenants.ask("root", "DELETE", place).status_code == 200
    assert tenants.ask("guest", "GET", job).status_code in (403, 404)
    assert tenants.ask("root", "DELETE", place).status_code == 404
    assert (
        tenants.ask("root", "PUT", "/api/v1/users/guest/projects/nowhere", json={"role": "viewer"}).status_code == 404
    )
    assert tenants.ask("root", "PUT", place, json={"role": "king"}).status_code == 400


def test_a_projects_admin_lets_people_into_that_project_only(tenants: Tenants) -> None:
    assert (
        tenants.ask("b", "PUT", "/api/v1/users/viewer/projects/elsewhere", json={"role": "contributor"}).status_code
        == 200
    )
    place = f"/api/v1/users/viewer/projects/{tenants.project}"
    assert tenants.ask("b", "PUT", place, json={"role": "none"}).status_code == 404
    assert tenants.ask("a", "PUT", place, json={"role": "none"}).status_code == 403, "a maintainer is no admin"
    tenants.ask("b", "DELETE", "/api/v1/users/viewer/projects/elsewhere")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"role": "admin"}, 403),  # above the maker's
        ({"user": "root"}, 403),
        ({"user": "b"}, 403),
        ({"project": "elsewhere"}, 404),
        ({"project": "no-such"}, 404),
        ({"role": "king"}, 400),
        ({"expires_in": 0}, 400),
        ({"expires_in": 10**12}, 400),
        ({"label": "x" * 200}, 400),
        ({"unknown": 1}, 400),
    ],
)
def test_nobody_makes_a_token_that_may_more(tenants: Tenants, body: dict[str, Any], status: int) -> None:
    answer = tenants.ask("a", "POST", "/api/v1/tokens", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["hint"] or status == 400


def test_a_narrow_token_makes_no_wider_one(tenants: Tenants) -> None:
    wanted = {"project": tenants.project, "role": "contributor", "expires_in": 3600, "label": "ci"}
    narrow = tenants.ask("a", "POST", "/api/v1/tokens", json=wanted).json()
    tenants.tokens["narrow"] = narrow["token"]
    assert (narrow["role"], narrow["project"], narrow["label"]) == ("contributor", tenants.project, "ci")
    again = tenants.ask("narrow", "POST", "/api/v1/tokens", json={}).json()
    assert (again["role"], again["project"], again["expires_at"]) == (
        "contributor",
        tenants.project,
        narrow["expires_at"],
    )
    assert tenants.ask("narrow", "POST", "/api/v1/tokens", json={"role": "maintainer"}).status_code == 403
    listed = tenants.ask("narrow", "GET", "/api/v1/tokens").json()
    assert {each["project"] for each in listed} == {tenants.project}
    assert "token" not in listed[0], "shown once"
    assert tenants.ask("b", "DELETE", f"/api/v1/tokens/{narrow['id']}").status_code == 404
    assert tenants.ask("a", "DELETE", f"/api/v1/tokens/{narrow['id']}").status_code == 200
    assert tenants.ask("narrow", "GET", "/api/v1/tokens").status_code == 401


def test_a_disabled_user_is_out_with_every_token_and_session(tenants: Tenants) -> None:
    tenants.ask("root", "POST", "/api/v1/users", json={"name": "leaver"})
    tenants.tokens["leaver"] = tenants.ask("root", "POST", "/api/v1/tokens", json={"user": "leaver"}).json()["token"]
    browser = Browser(Starlette(routes=web_routes(tenants.site.app)))
    assert browser.post("/login", data={"token": tenants.tokens["leaver"]}).status_code == 303
    assert browser.get("/jobs").status_code == 200
    assert tenants.ask("root", "PUT", "/api/v1/users/leaver", json={"disabled": True}).json()["disabled"]
    assert tenants.ask("leaver", "GET", "/api/v1/server").status_code == 401
    assert browser.get("/jobs").status_code == 303
    tenants.ask("root", "PUT", "/api/v1/users/leaver", json={"disabled": False})
    assert tenants.ask("leaver", "GET", "/api/v1/server").status_code == 200


def test_revoking_a_token_ends_the_browsers_that_it_let_in(tenants: Tenants) -> None:
    made = tenants.ask("root", "POST", "/api/v1/tokens", json={"user": "viewer"}).json()
    browser = Browser(Starlette(routes=web_routes(tenants.site.app)))
    browser.post("/login", data={"token": made["token"]})
    assert browser.get("/jobs").status_code == 200
    tenants.ask("root", "DELETE", f"/api/v1/tokens/{made['id']}")
    assert browser.get("/jobs").status_code == 303


def test_the_last_administrator_stays_one(tenants: Tenants) -> None:
    for body in ({"role": "viewer"}, {"disabled": True}):
        answer = tenants.ask("root", "PUT", "/api/v1/users/root", json=body)
        assert answer.status_code == 403
        assert "last administrator" in answer.json()["message"]


@pytest.mark.parametrize("name", ["", "local", "Headway", "job-12", "a/b", "a b", "-x", "ä", "x" * 129, "a\n"])
def test_names_that_are_not_peoples_are_refused(tenants: Tenants, name: str) -> None:
    assert tenants.ask("root", "POST", "/api/v1/users", json={"name": name}).status_code == 400
