"""Who gets in at all: logins, roles, other people's things, other sites' pages, other names of this server."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from attacks.conftest import Record
from attacks.site import AJAX, PROXY, REST, Site
from headway.api.mlflow.route import Access, Route
from headway.api.mlflow.table import ROUTES
from headway.api.v1 import _TABLE

RUNS_FOLDER = "0/{RUN}/artifacts/"
OF_MODEL = AJAX + "logged-models/{LOGGED}/artifacts"


def every_route() -> list[tuple[str, str]]:
    """(method, address) of the whole wire and of our own API, with something in the place of each variable."""
    found = []
    for route in ROUTES:
        if route.access is not Access.OPEN:
            prefixes = route.prefixes if isinstance(route, Route) else ("",)
            found += [(route.method, re.sub(r"\{[^}]+\}", "x", prefix + route.path)) for prefix in prefixes]
    return found + [(method, "/api/v1" + re.sub(r"\{[^}]+\}", "1", path)) for method, path, _, _ in _TABLE]


def test_every_route_asks_who_is_there(site: Site, told: Record) -> None:
    for method, path in every_route():
        told("CVE-2026-2652", f"{method} {path} without login", site.ask(method, path, {}, who=""), 401)


FAMILIES = [
    ("CVE-2026-0545", "POST", "/ajax-api/3.0/jobs/"),
    ("CVE-2026-0545", "GET", "/ajax-api/3.0/jobs/1"),
    ("CVE-2026-0545", "PATCH", "/ajax-api/3.0/jobs/cancel/1"),
    ("CVE-2026-2652", "POST", "/v1/traces"),
    ("CVE-2026-2652", "POST", "/api/3.0/mlflow/traces"),
    ("CVE-2026-2652", "POST", "/gateway/chat/invocations"),
    ("CVE-2026-53995", "POST", "/api/2.0/mlflow/traces/..%2f..%2fcanary"),
    ("CVE-2026-53995", "POST", "/api/3.0/mlflow/traces/tr-..%2f..%2f..%2fx/tags"),
    ("CVE-2026-116692", "POST", "/api/3.0/mlflow/scorers/register"),
    ("CVE-2025-52967", "GET", AJAX + "gateway-proxy?gateway_path=http://169.254.169.254/"),
    ("CVE-2025-52967", "POST", AJAX + "gateway-proxy?gateway_path=http://{TRAP}/"),
    ("CVE-2026-2393", "POST", REST + "webhooks"),
    ("CVE-2026-64849", "POST", REST + "webhooks/1/test"),
    ("CVE-2023-6014", "POST", REST + "users/create"),
    ("CVE-2025-1474", "POST", REST + "users/create"),
    ("CVE-2025-1473", "POST", "/signup"),
    ("CVE-2025-1473", "GET", "/signup"),
]
TEMPLATES = [
    "{{ 7 * 7 }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{% raw %}",
    "${7*7}",
    "{0.__class__}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_kept_and_never_filled_in(site: Site, told: Record, template: str) -> None:
    said = {"key": "x", "value": template}
    body: dict[str, object] = dict.fromkeys(
        ("prompt_template", "model_route", "model_input", "mlflow_version"), template
    )
    body |= {"experiment_id": "0", "prompt_parameters": [said], "model_output": template}
    answer = site.ask("POST", AJAX + "runs/create-promptlab-run", body)
    kept = {"key": "prompt_template", "value": template} in answer.json()["run"]["data"]["params"]
    told("CVE-2023-6709", f"the template {template}", answer, 200, only=kept)
    answer = site.ask("POST", AJAX + "runs/create-promptlab-run", body | {"experiment_id": "../../etc"})
    told("CVE-2023-6709", f"the template {template} elsewhere", answer, 400, 404)


WEBHOOKS = [
    *("http://169.254.169.254/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://{TRAP}/"),
    *("http://localhost:{TRAP}/", "https://127.0.0.1.nip.io/", "http://0x7f.1/", "http://{TRAP}@example.org/"),
    *("gopher://{TRAP}/_x", "file:///etc/passwd", "http://example.org#@{TRAP}/"),
]


@pytest.mark.parametrize(("advisory", "method", "path"), FAMILIES, ids=range(len(FAMILIES)))
def test_a_family_that_is_not_there_is_behind_the_same_door(
    site: Site, told: Record, advisory: str, method: str, path: str
) -> None:
    body = {"username": "evil", "password": "", "url": "http://{TRAP}/"}
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://evil.example"}
    told(advisory, f"{method} {path} without login", site.ask(method, path, body, who=""), 401, 303, 404, 405)
    told(advisory, f"{method} {path}", site.ask(method, path, body), 404, 405, 501)
    answer = site.ask(method, path, b"a=b", who="", headers=form)
    told(advisory, f"{method} {path} of another site's form", answer, *((303, 401) if method == "GET" else (403,)))


@pytest.mark.parametrize("url", WEBHOOKS)
def test_no_address_of_a_caller_is_ever_called(site: Site, told: Record, url: str) -> None:
    for path in ("webhooks", "webhooks/1/test"):
        answer = site.ask("POST", REST + path, {"name": "w", "url": url, "events": [{"entity": "RUN"}]})
        told("CVE-2026-2393" if path == "webhooks" else "CVE-2026-64849", f"webhook to {url}", answer, 501)
    for field in ("source", "artifact_location"):
        where = "model-versions" if field == "source" else "experiments"
        if field == "source" and url.startswith("gopher:"):
            continue  # kept as text for a client that knows such a store; no server of ours opens it
        answer = site.ask("POST", f"{REST}{where}/create", {"name": "target" if field == "source" else url, field: url})
        told("CVE-2023-6974", f"{field} {url}", answer, 400)


PEOPLE = [
    ("CVE-2023-6014", "", "POST", "/api/v1/users", {"name": "evil", "role": "admin"}, 401),
    ("CVE-2023-6014", "", "POST", "/api/v1/tokens", {}, 401),
    ("CVE-2023-6014", "reader", "POST", "/api/v1/users", {"name": "evil", "role": "admin"}, 403),
    ("CVE-2025-1474", "admin", "POST", "/api/v1/users", {"name": ""}, 400),
    ("CVE-2025-11200", "admin", "POST", "/api/v1/users", {"name": "", "password": "a"}, 400),
    ("ours", "reader", "POST", "/api/v1/tokens", {"role": "admin"}, 403),
    ("ours", "reader", "POST", "/api/v1/tokens", {"user": "admin"}, 403),
    ("ours", "writer", "PUT", "/api/v1/users/writer", {"role": "admin"}, 403),
    ("ours", "stranger", "PUT", "/api/v1/users/stranger/projects/default", {"role": "admin"}, 404),
    ("CVE-2024-4263", "reader", "DELETE", f"{PROXY}/{RUNS_FOLDER}ok.txt", None, 403),
    ("CVE-2024-4263", "writer", "DELETE", f"{PROXY}/{RUNS_FOLDER}ok.txt", None, 403),
    ("CVE-2024-4263", "reader", "PUT", f"{PROXY}/{RUNS_FOLDER}ok.txt", b"evil", 403),
    ("CVE-2026-2651", "reader", "POST", f"/api/2.0/mlflow-artifacts/mpu/create/{RUNS_FOLDER}ok.txt", b"{}", 403),
    ("CVE-2026-2651", "stranger", "POST", f"/api/2.0/mlflow-artifacts/mpu/create/{RUNS_FOLDER}ok.txt", b"{}", 404),
    ("CVE-2026-2651", "stranger", "PUT", f"{PROXY}/0/models/{{LOGGED}}/artifacts/w.bin", b"evil", 404),
    ("CVE-2026-2651", "stranger", "DELETE", f"{PROXY}/0/models/{{LOGGED}}/artifacts", None, 404),
    ("AFINE 2026", "stranger", "GET", f"{OF_MODEL}/files?artifact_file_path=w.bin", None, 404),
    ("AFINE 2026", "stranger", "GET", f"{OF_MODEL}/directories", None, 404),
    ("AFINE 2026", "stranger", "GET", "/get-artifact?run_id={RUN}&path=ok.txt", None, 404),
    ("AFINE 2026", "stranger", "GET", "/model-versions/get-artifact?name=read&version=1&path=MLmodel", None, 404),
    ("AFINE 2026", "stranger", "GET", REST + "runs/get?run_id={RUN}", None, 404),
]  # fmt: skip


@pytest.mark.parametrize("case", PEOPLE, ids=range(len(PEOPLE)))
def test_what_somebody_may_not(site: Site, told: Record, case: tuple[str, str, str, str, object, int]) -> None:
    advisory, who, method, path, body, wanted = case
    told(advisory, f"{method} {path} as {who or 'nobody'}", site.ask(method, path, body, who=who), wanted)


PASSWORDS = [
    "admin:password1234",
    "admin:password",
    "admin:admin",
    "admin:",
    ":",
    "root:",
    "admin:a",
    "headway:headway",
]


@pytest.mark.parametrize("pair", PASSWORDS)
def test_there_is_no_password_that_comes_with_it(site: Site, told: Record, pair: str) -> None:
    import base64

    headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    for path in (REST + "experiments/get?experiment_id=0", "/api/v1/users"):
        told("CVE-2026-2635", f"login {pair}", site.ask("GET", path, who="", headers=headers), 401)


TOKENS = [
    *("", "Bearer", "Bearer ", "Bearer null", "Bearer hw_x_y", "bearer\tx", "Basic !!!!", "Digest x"),
    *("Basic " + "A" * 9000, "Bearer " + "x" * 9000),
    *("Bearer hw_' OR 1=1 --_x", "Bearer \x80\xff", "Negotiate", "Bearer a, Bearer b"),
]  # fmt: skip


@pytest.mark.parametrize("header", TOKENS, ids=range(len(TOKENS)))
def test_a_login_that_is_none(site: Site, told: Record, header: str) -> None:
    answer = site.ask("POST", REST + "runs/create", {"experiment_id": "0"}, who="", headers={"Authorization": header})
    told("CVE-2026-2635", f"Authorization: {header}", answer, 400, 401)


# --- pages of other sites, and other names of this server ---

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:1"},
    {"Cookie": "session=x"},
]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("headers", FOREIGN, ids=range(len(FOREIGN)))
def test_a_write_of_another_sites_page(site: Site, told: Record, headers: dict[str, str], method: str) -> None:
    for path in (REST + "runs/create", f"{PROXY}/0/x", "/api/v1/users", "/logout", "/theme", "/login", "/graphql"):
        answer = site.ask(method, path, {"experiment_id": "0"}, who="", headers=headers)
        told("CVE-2023-43472", f"{method} {path} {headers}", answer, 403)


KINDS = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain;application/json",
]


@pytest.mark.parametrize("kind", [*KINDS, ""])
def test_a_body_that_a_browser_sends_unasked(site: Site, told: Record, kind: str) -> None:
    for path in ("runs/create", "experiments/create", "registered-models/create"):
        answer = site.ask("POST", REST + path, {"experiment_id": "0", "name": "x"}, headers={"Content-Type": kind})
        told("CVE-2023-43472", f"{path} as {kind or 'no type'}", answer, 400)


HOSTS = [
    *("evil.example", "evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "localhost", "localhost.evil.example:{PORT}"),
    *("0.0.0.0:{PORT}", "[::]:{PORT}", "127.0.0.1:{PORT}.evil.example", "127.1:{PORT}", "10.0.0.1:{PORT}", ""),
    *("LOCALHOST.:{PORT}", "evil.example@127.0.0.1:{PORT}", "127.0.0.1:{PORT}, evil.example", "2130706433:{PORT}"),
]


@pytest.mark.parametrize("host", HOSTS)
def test_another_name_of_this_server(site: Site, told: Record, host: str) -> None:
    named = host.replace("{PORT}", str(site.port))
    for method, path in (
        ("GET", REST + "experiments/get?experiment_id=0"), ("POST", REST + "runs/create"), ("GET", "/"),
        ("GET", "/login"), ("GET", "/get-artifact?run_id={RUN}&path=ok.txt"), ("GET", "/api/v1/users"),
    ):  # fmt: skip
        body = {"experiment_id": "0"} if method == "POST" else None
        told(
            "CVE-2025-14279",
            f"{method} {path} Host: {host}",
            site.ask(method, path, body, headers={"Host": named}),
            403,
        )


TARGETS = [
    "//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "/%0d%0aX: y",
    "javascript:alert(1)",
    "\\\\evil",
    "//",
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_way_back_from_login_stays_here(site: Site, told: Record, target: str) -> None:
    form = f"next={quote(target)}&token={site.tokens['admin']}&back={quote(target)}&theme=dark".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{site.port}"}
    for path in ("/login", "/theme"):
        answer = site.ask("POST", path, form, who="", headers=headers)
        place = answer.headers.get("location", "/")
        stays = place.startswith("/") and not place.startswith(("//", "/\\")) and "evil" not in place[:3]
        told("open redirect", f"{path} then {target}", answer, 303, 401, 400, only=stays and "x" not in answer.headers)


def test_reading_changes_nothing(site: Site, told: Record) -> None:
    def numbers() -> object:
        runs = site.good("POST", REST + "runs/search", {"experiment_ids": ["0"]}).get("runs", [])
        found = site.good("GET", "/api/v1/events?limit=1000")
        return [each["info"]["run_id"] for each in runs], len(found if isinstance(found, list) else found["events"])

    before = numbers()
    for method, path in every_route():
        for asked in ("GET", "HEAD", "OPTIONS"):
            if asked != method:
                answer = site.ask(asked, path + "?experiment_id=0&name=evil&run_id={RUN}&key=k&value=v&confirm=1")
                told(
                    "CVE-2026-27482",
                    f"{asked} {path}, which is for {method}",
                    answer,
                    200,
                    400,
                    403,
                    404,
                    405,
                    409,
                    501,
                )
    assert numbers() == before
