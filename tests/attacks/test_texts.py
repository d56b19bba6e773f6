"""Texts that somebody stores: never run by a browser, never let into SQL, never lost or half kept."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from attacks.conftest import Record
from attacks.site import AJAX, PROXY, REST, Site

SCRIPT = "<script>alert(1)</script>"
TRACES = (
    *("<img src=x", "<svg onload", "<svg/onload", "<script>alert", 'href="javascript:', "\x1b", "${49}", "<https:"),
    'onerror="',
)
POLYGLOTS = [
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "javascript:/*--></title></style></textarea></script><svg/onload='+/\"/+/onmouseover=1/+/[*/[]/+alert(1)//'>",
    "{{7*7}}${7*7}<%= 7*7 %>#{7*7}",
    '[x](javascript:alert(1)) ![x](x"onerror="alert(1)) <https://evil.example>',
    "\x1b]8;;javascript:alert(1)\x07x\x1b]8;;\x07\x1b[2J",
    "</script><script>alert(1)</script>",
]
FILES = [
    *(
        "page.html",
        "page.xhtml",
        "image.svg",
        "code.js",
        "data.xml",
        "größe.html",
        "x.png",
        "MLmodel",
        "a.htm",
        "a.shtml",
    ),
    *("feed.rss", "x.mhtml", "x.swf", "x.pdf", "noend", "x.html.txt", "x.css", "x.wasm", "x.hta", "x.xsl", ".htaccess"),
]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_a_browser_could_run(site: Site, told: Record, name: str) -> None:
    path = f"0/{{RUN}}/artifacts/xss/{quote(name)}"
    site.good("PUT", f"{PROXY}/{path}", SCRIPT.encode())
    for route in (f"{PROXY}/{path}", f"/get-artifact?run_id={{RUN}}&path=xss/{quote(name)}"):
        answer = site.ask("GET", route)
        got = answer.headers
        is_safe = (
            got["content-disposition"].startswith("attachment; filename=")
            and got["x-content-type-options"] == "nosniff"
            and got["content-security-policy"].startswith("sandbox;")
            and not any(word in got["content-type"] for word in ("html", "svg", "xml", "script"))
            and "access-control-allow-origin" not in got
        )
        told("AFINE 2026", f"GET {route}: attachment, nosniff, sandboxed", answer, 200, only=is_safe)
    site.good("DELETE", f"{PROXY}/{path}")


ECHOES = [
    ("CVE-2023-6568", "POST", REST + "runs/create", {"Content-Type": SCRIPT}),
    ("CVE-2023-6568", "POST", REST + "experiments/create", {"Content-Type": f"text/html;{SCRIPT}"}),
    ("CVE-2023-6568", "GET", f"/{SCRIPT}", {}),
    ("CVE-2023-6568", "GET", f"/jobs/{SCRIPT}", {}),
    ("CVE-2023-6568", "GET", f"/runs?filter={SCRIPT}", {}),
    ("CVE-2023-6568", "GET", f"{REST}{SCRIPT}", {}),
    ("CVE-2023-6568", "GET", f"{REST}runs/get?run_id={SCRIPT}", {}),
    ("CVE-2023-6568", "GET", f"/get-artifact?run_id={{RUN}}&path={SCRIPT}", {}),
    ("CVE-2023-6568", "GET", f"/api/v1/{SCRIPT}", {}),
    ("CVE-2023-6568", "GET", f"/login?next={SCRIPT}", {}),
    ("CVE-2023-6568", "GET", "/health", {"Host": SCRIPT}),
]


@pytest.mark.parametrize("case", ECHOES, ids=range(len(ECHOES)))
def test_what_is_echoed(site: Site, told: Record, case: tuple[str, str, str, dict[str, str]]) -> None:
    advisory, method, path, headers = case
    answer = site.ask(method, path, {} if method == "POST" else None, headers=headers)
    is_page = answer.headers.get("content-type", "").startswith("text/html")
    is_safe = not is_page or (
        SCRIPT.encode() not in answer.body and "script-src 'self';" in answer.headers["content-security-policy"]
    )
    told(advisory, f"{method} {path} {headers}", answer, 200, 303, 400, 403, 404, only=is_safe)


@pytest.mark.parametrize("text", POLYGLOTS, ids=range(len(POLYGLOTS)))
def test_a_text_in_every_field_that_pages_show(site: Site, told: Record, text: str) -> None:
    number = site.good(
        "POST", REST + "experiments/create", {"name": f"xss {text}", "tags": [{"key": "t", "value": text}]}
    )
    run = site.good(
        "POST",
        REST + "runs/create",
        {"experiment_id": number["experiment_id"], "run_name": text, "user_id": text,
         "tags": [{"key": "mlflow.note.content", "value": text}, {"key": text[:250], "value": text},
                  {"key": "mlflow.source.name", "value": text}]},
    )["run"]["info"]["run_id"]  # fmt: skip
    site.good("POST", REST + "runs/log-parameter", {"run_id": run, "key": "p", "value": text})
    data = {"name": text, "digest": "d", "source_type": text[:36], "source": text, "schema": text, "profile": text}
    site.good("POST", REST + "runs/log-inputs", {"run_id": run, "datasets": [{"dataset": data}]})
    site.ask("POST", REST + "registered-models/set-tag", {"name": "read", "key": text[:250], "value": text})
    site.good("PATCH", REST + "registered-models/update", {"name": "read", "description": text})
    site.good("PATCH", REST + "model-versions/update", {"name": "read", "version": "1", "description": text})
    site.ask("POST", "/api/v1/users", {"name": text})
    for path in (
        "/",
        "/runs",
        f"/runs/{run}",
        "/models",
        "/models/read",
        "/events",
        "/jobs",
        "/changes",
        "/deployments",
    ):
        answer = site.ask("GET", path)
        page = answer.body.decode()
        is_safe = "script-src 'self';" in answer.headers["content-security-policy"]
        told(
            "CVE-2024-27132",
            f"GET {path} showing {text}",
            answer,
            200,
            only=is_safe and not any(each in page for each in TRACES),
        )


# --- values ---

ODD_BODIES = [
    ("half a surrogate pair", b'{"experiment_id": "0", "run_name": "\\ud800"}', {400}),
    ("bytes that are no text", b'{"experiment_id": "0", "run_name": "\xff\xfe"}', {200, 400}),
    ("overlong bytes", b'{"experiment_id": "0", "run_name": "\xc0\xae"}', {200, 400}),
    ("NUL in a name", b'{"experiment_id": "0", "run_name": "a\\u0000b"}', {400}),
    ("NUL as it is", b'{"experiment_id": "0", "run_name": "a\0b"}', {200, 400}),
    ("a number of 10,000 digits", b'{"experiment_id": "0", "start_time": ' + b"9" * 10_000 + b"}", {200, 400}),
    ("a number of 2,000,000 digits", b'{"experiment_id": "0", "start_time": ' + b"9" * 2_000_000 + b"}", {200, 400}),
    ("an exponent", b'{"experiment_id": "0", "start_time": 1e400}', {400}),
    ("NaN as a time", b'{"experiment_id": "0", "start_time": NaN}', {400}),
    ("an infinite time", b'{"experiment_id": "0", "start_time": Infinity}', {400}),
    ("a list as a name", b'{"experiment_id": "0", "run_name": [1]}', {400}),
    ("an object as tags", b'{"experiment_id": "0", "tags": {"key": "a"}}', {400}),
    ("tags of tags", b'{"experiment_id": "0", "tags": [[[]]]}', {400}),
    ("a negative id", b'{"experiment_id": "-1"}', {400, 404}),
    ("an id of 1e18", b'{"experiment_id": 1000000000000000000}', {400, 404}),
    ("an id of 30 digits", b'{"experiment_id": "999999999999999999999999999999"}', {400, 404}),
    ("an id in other digits", '{"experiment_id": "\u0660"}'.encode(), {400, 404}),
    ("SQL as an id", b'{"experiment_id": "0; DROP TABLE run"}', {400, 404}),
    ("both names of a field", b'{"experiment_id": "0", "experimentId": "1"}', {400}),
]


@pytest.mark.parametrize("case", ODD_BODIES, ids=[each[0] for each in ODD_BODIES])
def test_an_odd_body(site: Site, told: Record, case: tuple[str, bytes, set[int]]) -> None:
    shown, body, wanted = case
    told("ours: JSON", shown, site.ask("POST", REST + "runs/create", body), *wanted)


NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    '"NaN"',
    "1e999",
    "-0.0",
    "9" * 5000,
    "null",
    "true",
    "[]",
    '"x"',
    '""',
    "1_0",
    "0x1",
]


@pytest.mark.parametrize("number", NUMBERS, ids=range(len(NUMBERS)))
def test_an_odd_number_in_every_number(site: Site, told: Record, number: str) -> None:
    metric = {"run_id": '"{RUN}"', "key": '"odd"', "value": "1", "timestamp": "1", "step": "0"}
    for field in ("value", "timestamp", "step"):
        body = ", ".join(f'"{name}": {value}' for name, value in {**metric, field: number}.items())
        answer = site.ask("POST", REST + "runs/log-metric", f"{{{body}}}".encode())
        told("ours: numbers", f"{field} {number}", answer, 200, 400)
        inner = ", ".join(f'"{name}": {value}' for name, value in {**metric, field: number}.items() if name != "run_id")
        answer = site.ask(
            "POST", REST + "runs/log-batch", f'{{"run_id": "{{RUN}}", "metrics": [{{{inner}}}]}}'.encode()
        )
        told("ours: numbers", f"a batch's {field} {number}", answer, 200, 400)
    for path, field in (
        ("runs/search", "max_results"),
        ("experiments/search", "max_results"),
        ("runs/update", "end_time"),
    ):
        body = f'{{"run_id": "{{RUN}}", "experiment_ids": ["0"], "{field}": {number}}}'
        told("ours: numbers", f"{path} {field} {number}", site.ask("POST", REST + path, body.encode()), 200, 400)
    raw = site.ask("GET", REST + "runs/get?run_id={RUN}").body
    assert b":NaN" not in raw
    assert b"Infinity" not in raw


def test_a_field_given_twice_counts_once(site: Site, told: Record) -> None:
    body = b'{"experiment_id": "0", "experiment_id": "99999", "run_name": "a", "run_name": "b"}'
    told("ours: JSON", "the same key twice", site.ask("POST", REST + "runs/create", body), 404)
    where = "?run_id={RUN}&run_id=" + "0" * 32
    answer = site.ask("GET", REST + "runs/get" + where)
    told("ours: JSON", "the same key twice in a query", answer, 200, 400, 404)


# --- what an error tells ---

LEAKS = [
    ("POST", REST + "experiments/create", {"name": "Default"}),
    ("POST", REST + "registered-models/create", {"name": "target"}),
    ("POST", REST + "registered-models/rename", {"name": "target", "new_name": "read"}),
    ("POST", REST + "experiments/update", {"experiment_id": "0", "new_name": ""}),
    ("POST", REST + "runs/create", {"experiment_id": "99999"}),
    ("POST", REST + "runs/create", {"experiment_id": "99999999999"}),
    ("GET", REST + "runs/get?run_id=" + "x" * 5000, None),
    ("GET", REST + "metrics/get-history?run_id={RUN}&metric_key=m&max_results=%27%22%60", None),
    ("POST", REST + "logged-models", {"experiment_id": "77", "name": "x"}),
    ("POST", REST + "model-versions/transition-stage", {"name": "read", "version": "1", "stage": "'"}),
    ("GET", REST + "model-versions/get?name=read&version=1%27", None),
    ("GET", "/api/v1/jobs/999999999", None),
    ("GET", "/api/v1/repos/..%2f../changes", None),
    ("POST", "/api/v1/commands", {"x": 1}),
    ("GET", "/runs/..%2f..", None),
    ("GET", "/static/..%2f..%2f..%2fserver.py", None),
    ("GET", "/static/../../server.py", None),
    ("GET", "/static/%2e%2e/%2e%2e/server.py", None),
    ("GET", "/static//etc/passwd", None),
]


@pytest.mark.parametrize("case", LEAKS, ids=range(len(LEAKS)))
def test_an_error_tells_nothing_of_the_inside(site: Site, told: Record, case: tuple[str, str, object]) -> None:
    method, path, body = case
    told("error leak", f"{method} {path} {body or ''}", site.ask(method, path, body), 400, 404, 405)


SQL = [
    *("metrics.`a' OR 1=1 --` > 0", "params.p = 'x' OR 1=1"),
    *("params.p = 'x'; DROP TABLE run", "params.p = 'a' UNION SELECT"),
    *("tags.`\"` = 'x'", "attributes.`run_id; --` = 'x'"),
    *("params.p LIKE '%' ESCAPE '\\'", "(((((((((((((params.p = 'a'"),
    *("metrics.m > 1e999", "metrics.m > 0x10", "run_id IN (SELECT 1)"),
    *("run_id IN (" + "'a'," * 900 + "'a')", "\0", "'", "`"),
    *("params.p = '\ud800'", "start_time > 99999999999999999999999999", "a" * 100_000),
    *(" AND ".join(["params.p = 'a'"] * 10_000), "params.p LIKE '" + "%a" * 500_000 + "'"),
    "params.p LIKE '" + "%" * 4000 + "b'",
    *("/*" * 2000, "(" * 4000, "not not params.p = 'a'", "params.p = 'a' -- x", "1 = 1", "params.p = params.p"),
]  # fmt: skip
HARMLESS = {
    "metrics.`a' OR 1=1 --` > 0",
    "tags.`\"` = 'x'",
    "params.p = 'a' -- x",
    "metrics.m > 1e999",
    "start_time > 99999999999999999999999999",
}
ORDERS = [
    *(
        "metrics.a; DROP TABLE run",
        "metrics.`a`) --",
        "start_time DESC, (SELECT 1)",
        "name' ASC",
        "1",
        "a" * 100_000,
        "\0",
    ),
    *("start_time SIDEWAYS", "attributes.password", "tags", "metrics.", "`", "start_time desc nulls first"),
]


@pytest.mark.parametrize("text", SQL, ids=range(len(SQL)))
def test_a_filter(site: Site, told: Record, text: str) -> None:
    wanted = (200, 400) if text in HARMLESS or "%%%%" in text or "," in text else (400,)
    for path in ("runs/search", "experiments/search", "logged-models/search"):
        answer = site.ask("POST", REST + path, {"experiment_ids": ["0"], "filter": text, "max_results": 10})
        told("ours: filters", f"{path} {text}", answer, *wanted, 400)


WILD = [
    "%a" * 20 + "%b",
    "%a%_" * 400 + "b",
    "%" * 3000 + "b",
    "_%" * 1000 + "b",
    "%" + "a" * 1900 + "%" + "a" * 1900 + "b%",
]


@pytest.mark.parametrize("pattern", WILD, ids=range(len(WILD)))
def test_a_pattern_that_could_be_tried_for_years(site: Site, told: Record, pattern: str) -> None:
    long = "a" * 5000
    for path in ("runs/set-tag", "experiments/set-experiment-tag"):
        site.good("POST", REST + path, {"run_id": "{RUN}", "experiment_id": "0", "key": "long", "value": long})
    site.good("POST", REST + "registered-models/set-tag", {"name": "read", "key": "long", "value": long})
    for op in ("LIKE", "ILIKE"):
        text = f"tags.long {op} '{pattern}'"
        for path in ("runs/search", "experiments/search"):
            answer = site.ask("POST", REST + path, {"experiment_ids": ["0"], "max_results": 10, "filter": text})
            told("ours: filters", f"{path} {text}", answer, 200, only=b"long" not in answer.body)
        answer = site.ask("GET", REST + "registered-models/search?filter=" + quote(text))
        told("ours: filters", f"registered-models/search {text}", answer, 200, only=b"long" not in answer.body)


@pytest.mark.parametrize("text", ORDERS, ids=range(len(ORDERS)))
def test_an_order(site: Site, told: Record, text: str) -> None:
    for path in ("runs/search", "experiments/search"):
        answer = site.ask("POST", REST + path, {"experiment_ids": ["0"], "max_results": 10, "order_by": [text]})
        told("ours: orders", f"{path} {text}", answer, 400)
    order = [{"field_name": text, "ascending": True}]
    answer = site.ask("POST", REST + "logged-models/search", {"experiment_ids": ["0"], "order_by": order})
    told("ours: orders", f"logged-models/search {text}", answer, 200 if text.startswith("metrics.") else 400, 400)


TOKENS = [
    b'{"offset": -1}',
    b'{"offset": 1000000000000000000}',
    b'{"offset": 1e18}',
    b'{"offset": "x"}',
    b"[" * 1000,
    b"{}",
]
TOKENS += [
    b"[" * 40_000,
    b"null",
    b"[null]",
    b"[[1]]",
    b'["\\u0000"]',
    b"[1e999]",
    b"[99999999999999999999]",
    b"\x80abc",
]
PLAIN_TOKENS = ["%", "bm8=", "=", "é", "a" * 100_000, "\0", "' OR 1=1 --"]


@pytest.mark.parametrize("raw", [*TOKENS, *PLAIN_TOKENS], ids=range(len(TOKENS) + len(PLAIN_TOKENS)))
def test_a_page_token(site: Site, told: Record, raw: bytes | str) -> None:
    import base64

    token = base64.b64encode(raw).decode() if isinstance(raw, bytes) else raw
    for path in ("runs/search", "experiments/search", "logged-models/search"):
        answer = site.ask("POST", REST + path, {"experiment_ids": ["0"], "max_results": 10, "page_token": token})
        told("ours: page tokens", f"{path} {raw!r}", answer, 400)
    for path in (
        "registered-models/search?",
        "model-versions/search?",
        "metrics/get-history?run_id={RUN}&metric_key=odd&",
    ):
        answer = site.ask("GET", REST + path + "page_token=" + quote(token))
        told("ours: page tokens", f"{path} {raw!r}", answer, 400, 414)
    answer = site.ask("GET", AJAX + "runs/search?page_token=" + quote(token))
    told("ours: page tokens", f"a page's {raw!r}", answer, 400, 404, 414)
