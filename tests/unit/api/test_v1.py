"""The route table walked whole: without a login, with the wrong one, with too low a role, and with nonsense."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore, read_token

if TYPE_CHECKING:
    from starlette.routing import Route

METHODS = ("GET", "POST", "PUT", "DELETE")
BODY = {"path": "/nowhere", "head": "idea", "body": "hello", "text": "/help", "alias": "a", "version": 1, "value": "x"}


def _method(route: Route) -> str:
    return next(method for method in route.methods or () if method in METHODS)


def _expired(api: Any) -> str:
    return str(api.story.token(Role.ADMIN, expires_at=api.story.clock.now() - timedelta(seconds=1)))


def _revoked(api: Any) -> str:
    token = api.story.token(Role.ADMIN)
    with api.story.app.database.write() as tx:
        TokenStore(tx).revoke(read_token(token).id, by="ada", at=api.story.clock.now())
    return str(token)


def test_nobody_gets_anything_without_a_token_that_works(api: Any) -> None:
    attempt = api.story.token(Role.ADMIN, kind=TokenKind.ATTEMPT, run_id="r", experiment_id="1", attempt_id="a")
    good = api.story.token(Role.ADMIN)
    wrong = ["nonsense", good[:-1], f"{good}x", good.swapcase(), _expired(api), _revoked(api)]
    for route in api.routes:
        method, path = _method(route), api.filled(route.path)
        assert api.anonymous(method, path, json=BODY).status_code == 401, path
        for token in wrong:
            assert api.ask(method, path, token=token, json=BODY).status_code == 401, (path, token)
        refused = api.ask(method, path, token=attempt, json=BODY)
        # Of attempts it sees its own alone: test_attempts.py.
        least = 404 if path.startswith("/attempts/") else 403
        assert refused.status_code == least, f"{path}: a training must not reach Headway's own API"


def test_each_route_refuses_the_role_below_the_one_it_needs(api: Any) -> None:
    needs = {
        ("POST", "/clean"): Role.ADMIN,
        ("POST", "/backup"): Role.ADMIN,
        ("POST", "/repos"): Role.ADMIN,
        ("DELETE", "/repos/{repo}"): Role.ADMIN,
        ("POST", "/repos/{repo}/rehearsals"): Role.MAINTAINER,
        ("POST", "/doctor/live"): Role.ADMIN,
        ("POST", "/projects"): Role.ADMIN,
        ("POST", "/tokens"): Role.VIEWER,
        ("DELETE", "/tokens/{token}"): Role.VIEWER,
        ("POST", "/repos/{repo}/changes/{number}/merge"): Role.MAINTAINER,
        ("POST", "/models/{model}/aliases"): Role.MAINTAINER,
        ("DELETE", "/deployments/{name}"): Role.MAINTAINER,
        ("POST", "/trash/purges"): Role.MAINTAINER,
        ("GET", "/trash/purges"): Role.ADMIN,
        ("POST", "/space/measure"): Role.ADMIN,
        ("POST", "/space/reclaim"): Role.ADMIN,
        ("GET", "/retention"): Role.ADMIN,
        ("POST", "/retention"): Role.ADMIN,
        ("GET", "/repos/{repo}/secrets"): Role.MAINTAINER,
        ("PUT", "/repos/{repo}/secrets/{name}"): Role.MAINTAINER,
        ("DELETE", "/repos/{repo}/secrets/{name}"): Role.MAINTAINER,
    }
    for route in api.routes:
        if route.path.startswith(("/attempts/", "/endpoints/")):
            continue  # no role opens them: test_attempts.py, test_endpoints.py
        method = _method(route)
        usual = Role.VIEWER if method == "GET" else Role.CONTRIBUTOR
        least = needs.get((method, route.path), Role.ADMIN if route.path.startswith(("/users", "/import/")) else usual)
        refused = api.ask(method, api.filled(route.path), role=Role(least - 1), json=BODY)
        assert refused.status_code == 403, (method, route.path)
        assert least.name.lower() in refused.json()["cause"]


EVIL = [
    "..",
    "%2e%2e%2fetc%2fpasswd",
    "..%5c..",
    "%00",
    "²",
    "9" * 30,
    "9" * 5000,
    "-1",
    "%ff%fe",
    "a%0ab",
    "' or 1=1--",
]
WORDS = ["limit", "offset", "tail", "width", "change", "filter", "order", "cursor", "with", "format", "state", "task"]


def test_no_reading_route_breaks_on_evil_names_or_words(api: Any) -> None:
    paths: set[str] = set()
    for route in api.routes:
        if _method(route) != "GET":
            continue
        for name in route.param_convertors:
            rest = api.filled(route.path.replace(f"{{{name}}}", "{{evil}}"))
            paths |= {rest.replace("{evil}", evil) for evil in EVIL}
    queries = [
        f"{api.filled(path)}?{word}={evil}"
        for path in ("/jobs", "/jobs/{job}/logs", "/jobs/{job}/report", "/jobs/{job}/compare", "/runs", "/releases")
        for word, evil in itertools.product(WORDS, ["0", "²", "9" * 30, "%00", "a:²", f"a:{'9' * 40}", "(" * 2000])
    ]
    for path in (*sorted(paths), *queries):
        answer = api.ask("GET", path)
        assert answer.status_code < 500, (path[:80], answer.text)


BODIES = [
    b"null", b"[]", b'"x"', b"{", b"\xff", b"[" * 50_000,
    b'{"path":1}', b'{"path":""}', b'{"path":"relative"}', b'{"path":"/a\\u0000b"}', b'{"path":"/proc/self/mem"}',
    b'{"head":"\\u0000"}', b'{"head":"--upload-pack=x"}', b'{"head":"main","base":"\\ud800x"}',
    b'{"body":""}', b'{"body":1}', b'{"method":"x"}',
    b'{"text":1}', b'{"text":"/train","change":1e99}', b'{"text":"/train","change":99999999999999999999999999}',
    b'{"text":"/train","change":-1}', b'{"text":"/train","branch":"--all"}', b'{"text":"hello"}',
    b'{"text":"/train","change":424242}', b'{"params":{"a":1}}', b'{"sha":"zz"}', b'{"sha":"--help"}',
    b'{"alias":"a","version":99999999999999999999}', b'{"alias":1}', b'{"value":1}', b'{"value":"\\ud800"}',
]  # fmt: skip


def test_no_writing_route_breaks_on_a_body_of_the_wrong_shape(api: Any) -> None:
    for route in api.routes:
        method, path = _method(route), api.filled(route.path)
        if method == "GET" or path == "/clean" or path.endswith(("/close", "/nothing")):
            continue
        for body in BODIES:
            answer = api.ask(method, path, content=body)
            assert answer.status_code < 500, (path, body[:60], answer.text)
            if answer.status_code >= 400:
                assert answer.json()["message"], (path, body[:60])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/repos/x/commands", b'{"text":1}', "$.text"),
        ("/repos/x/commands", b'{"text":"/train","change":-1}', "$.change"),
        ("/models/m/aliases", b'{"alias":"a","version":"x"}', "$.version"),
        ("/backup", b"{}", "path"),
    ],
)
def test_what_does_not_fit_is_named(api: Any, path: str, body: bytes, field: str) -> None:
    answer = api.ask("POST", path, content=body)
    assert answer.status_code == 400, answer.text
    assert field in answer.json()["cause"]


def test_a_body_over_the_cap_is_refused_and_an_unknown_caller_is_not_read(api: Any) -> None:
    big = b'{"value":"' + b"x" * (1 << 20) + b'"}'
    assert api.ask("PUT", f"{api.repo}/secrets/A", content=big).status_code == 413
    assert api.anonymous("PUT", f"{api.repo}/secrets/A", content=big).status_code == 401


def test_what_is_not_there_is_said_in_json(api: Any) -> None:
    for method in METHODS:
        assert api.anonymous(method, "/nothing/here").status_code == 401
        answer = api.ask(method, "/nothing/here")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
