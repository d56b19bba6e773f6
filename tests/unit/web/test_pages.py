"""Every address: answers when there is nothing and when there is everything, and never lets a text become markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route

from fakes.site import TRACES, Site, empty_site
from headway.auth.model import Role, TokenKind
from headway.web.pages import web_routes

OPEN = {"/login", "/theme", "/static/{digest}/{name:path}"}


class Tags(HTMLParser):
    """What a browser would see: elements, their attributes, and whether they are closed."""

    VOID = frozenset(
        ("meta", "link", "input", "br", "hr", "img", "path", "rect", "area", "base", "col", "embed", "source", "wbr")
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    return tags


@pytest.fixture(scope="module")
def pages(full: Site) -> list[tuple[str, httpx.Response]]:
    """Every page, asked for once."""
    client = full.client()
    return [(address, client.get(address)) for address in full.addresses]


def is_html(answer: httpx.Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/html")


def test_every_page_answers_when_there_is_everything(pages: list[tuple[str, httpx.Response]]) -> None:
    for address, answer in pages:
        assert answer.status_code == 200, (address, answer.text[:500])


def test_every_page_answers_when_there_is_nothing(tmp_path: Path) -> None:
    site = empty_site(tmp_path, known=False)
    client = site.client()
    for address in site.addresses:
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.text[:500])
        if address in ("/", "/changes", "/jobs", "/runs", "/models", "/deployments"):
            assert "Next: <code>" in answer.text, f"{address} does not say what to do next"
    site.app.close()


def test_no_text_becomes_markup(pages: list[tuple[str, httpx.Response]]) -> None:
    for address, answer in pages:
        text = answer.text
        if not is_html(answer):
            assert answer.headers["x-content-type-options"] == "nosniff"
            continue
        for trace in TRACES:
            assert trace not in text, (address, text[max(0, text.index(trace) - 200) : text.index(trace) + 100])
        for tag, attrs in parsed(text).found:
            assert not any(name.startswith("on") or name == "style" for name in attrs), (address, tag, attrs)
            assert tag not in ("iframe", "object", "embed", "base"), (address, tag)
            target = attrs.get("href") or attrs.get("action") or attrs.get("src") or ""
            assert re.match(r"(/(?!/)|#|\?|https?://|\Z)", target), (address, tag, target)
            if tag == "script":
                assert attrs["src"].startswith("/static/")
                assert attrs["integrity"].startswith("sha384-")


def test_the_markup_is_well_formed_and_ids_are_unique(pages: list[tuple[str, httpx.Response]]) -> None:
    for address, answer in pages:
        if not is_html(answer) or address.endswith("/log"):
            continue
        tags = parsed(answer.text)
        assert not [*tags.wrong, *tags.open], (address, tags.wrong, tags.open)
        ids = [attrs["id"] for _, attrs in tags.found if attrs.get("id")]
        assert len(ids) == len(set(ids)), (address, sorted(each for each in ids if ids.count(each) > 1))


def test_tables_have_captions_and_scopes_and_fields_have_names(pages: list[tuple[str, httpx.Response]]) -> None:
    for address, answer in pages:
        if not is_html(answer):
            continue
        text, tags = answer.text, parsed(answer.text)
        assert text.count("<table") == text.count("<caption"), address
        assert all(attrs.get("scope") in ("col", "row") for attrs in tags.named("th")), address
        labelled = {attrs.get("for") for attrs in tags.named("label")}
        for tag in ("input", "select", "textarea"):
            for attrs in tags.named(tag):
                if attrs.get("type") == "hidden":
                    continue
                inside = re.search(rf"<label>[^<]*<{tag}[^>]*name=\"{re.escape(attrs['name'] or '')}\"", text)
                assert attrs.get("id") in labelled or attrs.get("aria-label") or inside, (address, attrs)


def test_every_answer_carries_the_strict_headers(full: Site) -> None:
    client, outside = full.client(), full.client(role=None)
    asset = re.search(r'src="(/static/[^"]+)"', client.get("/").text)[1]
    answers = [client.get(each) for each in [*full.addresses, "/nothing", "/jobs/9999", asset, "/static/0/nothing.js"]]
    answers += [outside.get("/login"), outside.get("/"), outside.post("/login", data={"token": "x"})]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, answer.url
        assert "unsafe" not in policy, answer.url
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "cache-control" in answer.headers


def routes(site: Site) -> list[tuple[str, str]]:
    found = []
    for each in web_routes(site.app):
        assert isinstance(each, Route)
        found += [(method, each.path) for method in (each.methods or ()) if method != "HEAD"]
    return found


def filled_in(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "1", path)


def test_no_page_is_open_to_strangers_but_login_and_static_files(full: Site) -> None:
    client = full.client(role=None)
    for method, path in routes(full):
        if path in OPEN:
            continue
        answer = client.request(method, filled_in(path))
        if method == "GET":
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/login?next="), path
        else:
            assert answer.status_code == 401, path
        part = client.request(method, filled_in(path), headers={"hx-request": "true"})
        assert part.status_code == 401, path


def test_a_trainings_token_opens_no_page(full: Site) -> None:
    client = full.client(role=None)
    token = full.token(Role.CONTRIBUTOR, kind=TokenKind.ATTEMPT)
    for method, path in routes(full):
        if path not in OPEN:
            answer = client.request(method, filled_in(path), headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == 403, path
    assert client.post("/login", data={"token": token}).status_code == 403


def test_reading_pages_writes_nothing(full: Site) -> None:
    client = full.client()
    with full.app.database.read() as tx:
        before = tx.exec_driver_sql("select count(*), max(seq) from event").one()
    for address in full.addresses:
        client.get(address)
        client.head(address)
    with full.app.database.read() as tx:
        assert tx.exec_driver_sql("select count(*), max(seq) from event").one() == before


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/nothing", 404),
        ("/jobs/9999", 404),
        ("/jobs/99999999999999999999999", 404),
        ("/runs/00000000000000000000000000000000", 404),
        ("/models/nothing", 404),
        ("/deployments/nothing", 404),
        ("/releases/nothing", 404),
        ("/commands/nothing", 404),
        ("/changes/nothing/1", 404),
        ("/changes?state=odd", 400),
        ("/jobs?before=-1", 400),
        ("/jobs?before=" + "9" * 40, 400),
        ("/jobs?state=odd", 400),
        ("/events?before=x", 400),
        ("/jobs/1/log?cursor=x:y", 400),
        ("/jobs/compare?a=1", 400),
        ("/runs/compare?a=1&b=", 400),
    ],
)
def test_an_address_that_makes_no_sense_is_explained(full: Site, address: str, status: int) -> None:
    answer = full.client().get(address)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert "Traceback" not in answer.text


def test_a_part_that_has_not_changed_is_not_sent_again(full: Site) -> None:
    client, address = full.client(), f"/changes/{full.repo.id}/1"
    part = {"hx-request": "true"}
    first = client.get(address, headers=part)
    assert first.status_code == 200
    assert "<html" not in first.text
    assert 'id="live"' in first.text
    seen = re.search(r"seen=([0-9a-f]{16})", first.text)[1]
    assert client.get(f"{address}?seen={seen}", headers=part).status_code == 204
    assert client.get(f"{address}?seen=0000", headers=part).status_code == 200
