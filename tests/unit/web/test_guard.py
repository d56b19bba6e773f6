"""Who may talk to the server at all: hosts, origins and methods, every combination that browsers make."""

from __future__ import annotations

import itertools

import pytest

from headway.web.guard import allowed_hosts, refusal

HOSTS = allowed_hosts("127.0.0.1", 7474, "")
HERE = "127.0.0.1:7474"


def asked(method: str, **headers: str) -> str:
    given = {"host": HERE} | {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    return refusal({"type": "http", "method": method, "headers": pairs}, HOSTS)


@pytest.mark.parametrize("host", ["127.0.0.1:7474", "localhost:7474", "[::1]:7474"])
def test_its_own_names_are_answered(host: str) -> None:
    assert asked("GET", host=host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:7474",
        "127.0.0.1",
        "127.0.0.1:80",
        "localhost",
        "127.0.0.1:7474.evil.example",
        "127.0.0.1:7474@evil.example",
        "evil.example#127.0.0.1:7474",
        "localhost.:7474",
        "0.0.0.0:7474",
        "192.168.0.1:7474",
        "127.1:7474",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_another_name_is_refused_whatever_the_method(host: str, method: str) -> None:
    assert "HEADWAY_PUBLIC_URL" in asked(method, host=host, sec_fetch_site="same-origin")


def test_the_public_address_is_answered() -> None:
    assert "headway.example" in allowed_hosts("127.0.0.1", 7474, "https://headway.example/")
    assert "127.0.0.1" in allowed_hosts("127.0.0.1", 80, "")


UNSAFE = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY"]


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "SAME-ORIGIN", "nonsense"])
def test_a_page_of_another_site_writes_nothing(method: str, site: str) -> None:
    assert asked(method, sec_fetch_site=site, cookie="a=b")
    assert asked(method, sec_fetch_site=site, origin=f"http://{HERE}"), "an Origin does not outweigh it"


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:9999", f"http://{HERE}.evil.example", "http://localhost"],
)
def test_without_that_header_the_origin_decides(method: str, origin: str) -> None:
    assert asked(method, origin=origin)
    assert asked(method, origin=origin, cookie="a=b")
    assert asked(method, origin=f"http://{HERE}", cookie="a=b") == ""


@pytest.mark.parametrize("method", UNSAFE)
def test_a_cookie_alone_writes_nothing(method: str) -> None:
    assert "Origin" in asked(method, cookie="a=b")


@pytest.mark.parametrize(("method", "site"), list(itertools.product(UNSAFE, ["same-origin", "none"])))
def test_its_own_pages_may_write(method: str, site: str) -> None:
    assert asked(method, sec_fetch_site=site, cookie="a=b") == ""


@pytest.mark.parametrize("method", UNSAFE)
def test_programs_with_a_token_may_write(method: str) -> None:
    assert asked(method, authorization="Bearer x", origin="http://evil.example") == ""


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_open_to_links_from_elsewhere(method: str) -> None:
    assert asked(method, sec_fetch_site="cross-site", cookie="a=b") == ""


def test_what_a_browser_sends_by_itself_is_no_proof_of_intent() -> None:
    # A form that is sent to http://name:word@127.0.0.1:7474/ carries this header, from whatever page.
    assert asked("POST", origin="http://evil.example", authorization="Basic YTpi")
    assert asked("POST", sec_fetch_site="cross-site", authorization="Basic YTpi")
    assert asked("POST", authorization="Basic YTpi") == "", "programs send neither Origin nor cookie"
    assert asked("POST", origin="http://evil.example", authorization="Bearer hw_x") == ""


@pytest.mark.parametrize("origin", ["http://[", f"http://a@{HERE}", f"//{HERE}", f"ftp://{HERE}", "", "\xff"])
def test_an_origin_that_is_none_is_refused_and_breaks_nothing(origin: str) -> None:
    assert asked("POST", origin=origin)
