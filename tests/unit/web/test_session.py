"""Login by token, the cookie, logout, and where a login may lead."""

from __future__ import annotations

from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from fakes.site import Site, empty_site
from headway.app import App
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore, read_token
from headway.web.session import LASTS, cookie_name, page_of_ours


def test_a_token_logs_in_and_the_cookie_is_a_session_of_its_own(door: Site) -> None:
    client, token = door.client(role=None), door.token(Role.MAINTAINER)
    answer = client.post("/login", data={"token": f" {token} \n", "next": "/jobs?state=failed"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?state=failed")
    morsel = SimpleCookie(answer.headers["set-cookie"])[cookie_name(door.app)]
    assert morsel["httponly"]
    assert morsel["samesite"] == "lax"
    assert morsel["path"] == "/"
    assert not morsel["secure"]
    assert int(morsel["max-age"]) == LASTS.total_seconds()
    assert morsel.value != token, "the token that was typed does not lie in the browser"
    with door.app.database.read() as tx:
        kept, revoked = TokenStore(tx).find(read_token(morsel.value).id)
    assert (kept.user, kept.role, kept.kind, revoked) == ("ada", Role.MAINTAINER, TokenKind.SESSION, False)
    assert kept.expires_at - kept.created_at == LASTS
    assert client.get("/").status_code == 200


def test_a_session_lives_no_longer_than_the_token_it_came_from(door: Site) -> None:
    now = door.app.clock.now()
    with door.app.database.write() as tx:
        ends = now + timedelta(hours=1)
        text = TokenStore(tx).mint(TokenKind.USER, "ada", role=Role.VIEWER, at=now, expires_at=ends)
    answer = door.client(role=None).post("/login", data={"token": text})
    assert int(SimpleCookie(answer.headers["set-cookie"])[cookie_name(door.app)]["max-age"]) <= 3600


def test_logging_out_ends_the_session_also_for_a_copy_of_the_cookie(door: Site) -> None:
    client = door.client()
    copy = client.cookies[cookie_name(door.app)]
    assert client.get("/").status_code == 200
    answer = client.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    other = door.client(role=None)
    other.cookies.set(cookie_name(door.app), copy)
    assert other.get("/").status_code == 303


@pytest.mark.parametrize("token", ["", "x", "hw_", "hw_" + "0" * 26 + "_" + "0" * 64 + "_00000000", "\x00", "é" * 500])
def test_a_wrong_token_is_refused_without_a_cookie(door: Site, token: str) -> None:
    answer = door.client(role=None).post("/login", data={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert not token or token not in answer.text.replace("hw_", "", 1) or len(token) < 4


def test_the_token_stands_neither_in_an_address_nor_in_a_page(door: Site) -> None:
    client, token = door.client(role=None), door.token(Role.ADMIN)
    answer = client.get("/login?next=/jobs")
    assert 'method="post"' in answer.text
    assert token not in answer.text
    assert "login.js" in answer.text


def test_without_auth_nobody_logs_in_and_the_local_user_is_named(tmp_path: Path) -> None:
    site = empty_site(tmp_path, auth="none")
    client = site.client(role=None)
    assert "local" in client.get("/").text
    assert client.get("/login").headers["location"] == "/"
    assert "Log out" not in client.get("/").text
    site.app.close()


def replace_app(site: Site, app: App) -> Site:
    return Site(app=app, repository=site.repository, repo=site.repo, changes=[], jobs=[], runs=[])


def test_behind_tls_the_cookie_is_bound_to_the_host(door: Site) -> None:
    from dataclasses import replace

    app = replace(door.app, settings=replace(door.app.settings, public_url="https://headway.example"))
    assert cookie_name(app).startswith("__Host-")
    site = replace_app(door, app)
    answer = site.client(role=None).post("/login", data={"token": door.token(Role.VIEWER)})
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "http:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        " //evil.example",
        "/jobs//evil.example",
        "/%2f%2fevil.example",
        "/jobs\r\nset-cookie: a=b",
        "/jobs\nx",
        "/static/x",
        "/api/v1/jobs",
        "/logout",
        "/login?next=//evil",
        "/jobs<script>",
        "evil.example",
        "/..//evil.example",
        "/jobs\t/x",
        "/@evil.example",
        "/\u2028",
    ],
)
def test_a_login_leads_nowhere_but_to_pages(door: Site, target: str) -> None:
    assert page_of_ours(target) == "/"
    answer = door.client(role=None).post("/login", data={"token": door.token(Role.VIEWER), "next": target})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/jobs",
        "/jobs/12",
        "/changes/local-1/2#commands",
        "/runs?filter=metrics.a%20%3E%201&order=",
        "/models/a%20b",
    ],
)
def test_a_login_leads_back_to_where_one_wanted_to_go(target: str) -> None:
    assert page_of_ours(target) == target


def test_the_page_that_was_wanted_is_named_when_a_login_is_needed(door: Site) -> None:
    answer = door.client(role=None).get("/jobs?state=failed")
    assert answer.headers["location"] == "/login?next=%2Fjobs%3Fstate%3Dfailed"
    part = door.client(role=None).get("/jobs", headers={"hx-request": "true"})
    assert part.headers["hx-redirect"] == "/login?next=%2Fjobs"


def test_the_choice_of_colours_is_kept(door: Site) -> None:
    client = door.client()
    answer = client.post("/theme", data={"theme": "dark", "back": "/jobs"})
    assert answer.headers["location"] == "/jobs"
    assert 'data-theme="dark"' in client.get("/").text
    client.post("/theme", data={"theme": '"><script>', "back": "//evil"})
    assert 'data-theme="system"' in client.get("/").text
