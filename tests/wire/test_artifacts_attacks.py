"""The published attacks on MLflow's registry and artifacts, replayed: all must be refused, and a canary must stay.

Run with `-s` to see the table. The paths go out byte for byte: no client tidies them up.
"""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fakes.wire import LiveWire, live_wire

REST = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class Site:
    """A served wire with a canary beside its data."""

    live: LiveWire
    root: Path
    canary: Path
    run_id: str = ""
    model_id: str = ""

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        host = self.live.uri.removeprefix("http://")
        link = http.client.HTTPConnection(host, timeout=30)
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if not isinstance(body, bytes) else {}
        link.request(method, path, raw, {**kind, **(headers or {})})
        answer = link.getresponse()
        data = answer.read()
        self.headers = dict(answer.getheaders())
        link.close()
        return answer.status, data

    def json(self, method: str, path: str, body: Any = None) -> Any:
        status, data = self.ask(method, path, body)
        assert status == 200, data
        return json.loads(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    canary = root / "canary"
    canary.write_text("CANARY")
    (root / "data").mkdir()
    with live_wire(root / "data") as live:
        made = Site(live=live, root=root, canary=canary)
        made.run_id = made.json("POST", REST + "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        body = {"experiment_id": "0", "name": "m", "source_run_id": made.run_id}
        made.model_id = made.json("POST", REST + "logged-models", body)["model"]["info"]["model_id"]
        made.json("POST", REST + "registered-models/create", {"name": "target"})
        made.ask("PUT", f"{PROXY}/0/{made.run_id}/artifacts/ok.txt", b"fine")
        (root / "data" / "artifacts" / "0" / made.run_id / "artifacts" / "link").symlink_to(root)
        (root / "data" / "artifacts" / "0" / made.run_id / "artifacts" / "leak").symlink_to(canary)
        yield made


SOURCES = [
    ("CVE-2023-1177", "file:///etc"),
    ("CVE-2023-1176", "/etc"),
    ("CVE-2023-2780", "file://./etc"),
    ("CVE-2023-2780", "//proc/self/root"),
    ("CVE-2023-6977", "//proc/self/root"),
    ("CVE-2023-2356", "mlflow-artifacts://h:1/../../.."),
    ("CVE-2023-2356", "mlflow-artifacts:/../../.."),
    ("CVE-2023-2356", "http://h/api/2.0/mlflow-artifacts/artifacts/../../../"),
    ("CVE-2023-2356", "s3://bucket/a/../../b"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/%2e%2e%2f%2e%2e%2fetc"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/%252e%252e%252fetc"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/RUN/artifacts/x%00"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/RUN/artifacts/x\0"),
    ("CVE-2024-1558", "mlflow-artifacts:/0/RUN/artifacts/../../.."),
    ("CVE-2024-3573", "file:etc"),
    ("CVE-2024-3573", "FILE:///etc"),
    ("CVE-2024-3573", "file://localhost/etc"),
    ("CVE-2024-8859", "dbfs:/?/../../etc"),
    ("CVE-2025-11201", "../../../etc/passwd"),
    ("CVE-2026-2033", "runs:/RUN/../../../etc"),
    ("CVE-2026-2033", "runs:/RUN/%2e%2e/%2e%2e/etc"),
    ("CVE-2026-2033", "runs://RUN/model"),
    ("CVE-2026-2033", "models:/MODEL/../x"),
    ("CVE-2023-6974", "http://169.254.169.254/latest/"),
    ("CVE-2023-6974", "https://[::ffff:127.0.0.1]/"),
    ("CVE-2026-116690", "../../../etc"),
    ("ours", "mlflow-artifacts:/0/RUN/artifacts/a?/a"),
    ("ours", "mlflow-artifacts:/0/RUN/artifacts/a#/a"),
    ("ours", "mlflow-artifacts:/0/RUN/artifacts/a\\..\\b"),
    ("ours", "mlflow-artifacts:/0/RUN/artifacts/\uff0e\uff0e/b"),
    ("ours", "mlflow-artifacts:/0/RUN"),
    ("ours", "mlflow-artifacts:/"),
    ("ours", "ftp://h/x"),
    ("ours", "hdfs://h/x/y"),
    ("ours", "x" * 10_000),
]

PATHS = [
    ("CVE-2023-30172", "../../../../canary"),
    ("CVE-2023-6831", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/canary"),
    ("CVE-2023-6909", "%2E%2E%2F%2E%2E%2Fcanary"),
    ("CVE-2023-6015", "%252e%252e%252f%252e%252e%252fcanary"),
    ("CVE-2024-1560", "%252E%252E/%252E%252E/canary"),
    ("CVE-2024-1560", "%25252E%25252E/canary"),
    ("CVE-2023-6976", "..%5c..%5ccanary"),
    ("CVE-2023-3765", "C:/Windows"),
    ("CVE-2023-3765", "C:%5cx"),
    ("CVE-2023-6975", "%5c%5chost%5cshare"),
    ("CVE-2023-6975", "%5c..%5c.."),
    ("CVE-2023-6976", "/etc/passwd"),
    ("CVE-2024-8859", "a%3f/a"),
    ("ours", "a%23/a"),
    ("ours", "a%00b"),
    ("ours", "a%0ab"),
    ("ours", "%c0%ae%c0%ae/canary"),
    ("ours", "%ef%bc%8e%ef%bc%8e/canary"),
    ("ours", "a%e2%80%aeb"),
    ("ours", "./x"),
    ("ours", "a/./b"),
    ("ours", "a//b"),
    ("ours", "a" * 300),
    ("ours", "/".join(["a"] * 40)),
    ("ours", "link/canary"),
    ("ours", "leak"),
]


def refused(results: list[tuple[str, str, int, bytes]], title: str, *, statuses: tuple[int, ...] = (400,)) -> None:
    bad = [each for each in results if each[2] not in statuses or b"CANARY" in each[3]]
    print(f"\n{title}: {len(results) - len(bad)} of {len(results)} refused")  # noqa: T201  # the table is the evidence
    for advisory, shown, status, _ in results:
        print(f"  {advisory:16} {status} {shown[:90]!r}")  # noqa: T201  # the same
    assert bad == []


def test_hostile_sources_are_refused(site: Site) -> None:
    results = []
    for advisory, text in SOURCES:
        source = text.replace("RUN", site.run_id).replace("MODEL", site.model_id)
        for extra in (
            {},
            {"run_id": site.run_id},
            {"model_id": site.model_id},
            {"run_id": site.run_id, "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]},
        ):
            name = "CVE-2026-2614" if "tags" in extra else advisory
            status, body = site.ask(
                "POST", REST + "model-versions/create", {"name": "target", "source": source, **extra}
            )
            results.append((name, source, status, body))
    refused(results, "model-versions/create, hostile sources")
    assert "model_versions" not in site.json("GET", REST + "model-versions/search?filter=" + quote("name = 'target'"))


def below(site: Site) -> list[tuple[str, str]]:
    """Return every path as it is, and below the run's own folder."""
    folder = f"0/{site.run_id}/artifacts"
    return [(name, each) for name, path in PATHS for each in (path, f"{folder}/{path}")]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
def test_hostile_paths_at_the_proxy_are_refused(site: Site, method: str) -> None:
    before = sorted(site.root.rglob("*"))
    results = []
    for advisory, path in below(site):
        status, body = site.ask(method, f"{PROXY}/{path}", b"evil" if method == "PUT" else None)
        results.append((advisory, path, status, body))
    # A link inside the folder is refused as something in the way, or is simply not there.
    link = [each for each in results if "link" in each[1] or "leak" in each[1]]
    refused([each for each in results if each not in link], f"{method} {PROXY}/")
    if method == "PUT":
        # Writing over a link replaces the link and nothing behind it; through a link to a folder, nothing at all.
        assert {status for _, path, status, _ in link if path.endswith("link/canary") and "/art" in path} == {409}
        (site.root / "data" / "artifacts" / "0" / site.run_id / "artifacts" / "leak").unlink(missing_ok=True)
        (site.root / "data" / "artifacts" / "0" / site.run_id / "artifacts" / "leak").symlink_to(site.canary)
        for _, path, _, _ in link:
            if "/art" not in path:
                site.ask("DELETE", f"{PROXY}/{path}")
    else:
        # For the store there is nothing behind a link: nothing to read, and nothing to delete.
        refused(link, f"{method} through links", statuses=(404,) if method == "GET" else (200,))
        assert (site.root / "data" / "artifacts" / "0" / site.run_id / "artifacts" / "leak").is_symlink()
    assert site.canary.read_text() == "CANARY"
    assert sorted(each for each in site.root.rglob("*") if each not in before and each.name != "leak") == []


def test_hostile_paths_in_queries_are_refused(site: Site) -> None:
    # A model of its own: another test asserts that "target" never gets a version.
    site.json("POST", REST + "registered-models/create", {"name": "read"})
    site.ask(
        "POST",
        REST + "model-versions/create",
        {
            "name": "read",
            "source": f"mlflow-artifacts:/0/{site.run_id}/artifacts",
            "run_id": site.run_id,
        },
    )
    number = site.json("GET", REST + "model-versions/search?filter=" + quote("name = 'read'"))["model_versions"][0]
    routes = [
        ("GET", f"/get-artifact?run_id={site.run_id}&path="),
        ("GET", f"/get-artifact?run_uuid={site.run_id}&path="),
        ("GET", f"/model-versions/get-artifact?name=read&version={number['version']}&path="),
        ("GET", f"/ajax-api/2.0/mlflow/logged-models/{site.model_id}/artifacts/files?artifact_file_path="),
        ("GET", f"{REST}artifacts/list?run_id={site.run_id}&path="),
        ("GET", f"{REST}logged-models/{site.model_id}/artifacts/directories?artifact_directory_path="),
        ("GET", f"{PROXY}?path=0/{site.run_id}/artifacts/"),
        ("GET", f"{PROXY}?path="),
        ("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={site.run_id}&path="),
    ]
    results = []
    for method, route in routes:
        for advisory, path in PATHS:
            if path in {"link/canary", "leak"}:
                continue
            status, body = site.ask(method, route + path, b"evil" if method == "POST" else None)
            results.append((advisory, route.split("?")[0] + " " + path, status, body))
    refused(results, "paths in queries")
    for route in routes[:4]:
        for path in ("link/canary", "leak"):
            status, body = site.ask("GET", route[1] + path)
            assert (status, b"CANARY" in body) == (404, False)
    assert site.canary.read_text() == "CANARY"


def test_direct_transfers_are_not_offered(site: Site) -> None:
    for method, path in (
        ("POST", f"/api/2.0/mlflow-artifacts/mpu/create/0/{site.run_id}/artifacts/x"),
        ("POST", f"/api/2.0/mlflow-artifacts/mpu/complete/0/{site.run_id}/artifacts/x"),
        ("POST", f"/api/2.0/mlflow-artifacts/mpu/abort/0/{site.run_id}/artifacts/x"),
        ("GET", f"/api/2.0/mlflow-artifacts/presigned/0/{site.run_id}/artifacts/ok.txt"),
    ):
        status, body = site.ask(method, path, {} if method == "POST" else None)
        assert (status, json.loads(body)["error_code"]) == (501, "NOT_IMPLEMENTED"), path
    for verb in ("upload", "download"):
        status, body = site.ask(
            "POST", f"{REST}artifacts/presigned-{verb}-url", {"run_id": site.run_id, "path": "ok.txt"}
        )
        assert (status, b"proxied artifact storage" in body) == (400, True)


@pytest.mark.parametrize(
    "name", ["page.html", "image.svg", "code.js", "data.xml", "we\"ird'.html", "größe.html", "x.png"]
)
def test_what_a_browser_gets_never_runs(site: Site, name: str) -> None:
    path = f"0/{site.run_id}/artifacts/{quote(name)}"
    status, body = site.ask("PUT", f"{PROXY}/{path}", b"<script>alert(1)</script>")
    if '"' in name:
        assert status == 400
        return
    for route in (f"{PROXY}/{path}", f"/get-artifact?run_id={site.run_id}&path={quote(name)}"):
        status, body = site.ask("GET", route)
        assert (status, body) == (200, b"<script>alert(1)</script>")
        headers = {key.lower(): value for key, value in site.headers.items()}
        assert headers["content-disposition"].startswith("attachment; filename=")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("sandbox")
        assert headers["content-type"] in {"text/plain", "image/png"}


def test_a_part_of_a_file_can_be_asked_for(site: Site) -> None:
    path = f"{PROXY}/0/{site.run_id}/artifacts/part.bin"
    site.ask("PUT", path, bytes(range(256)) * 20_000)
    status, body = site.ask("GET", path, headers={"Range": "bytes=5119990-"})
    assert (status, body) == (206, bytes(range(246, 256)))
    assert site.headers["content-range"] == "bytes 5119990-5119999/5120000"
    assert site.ask("GET", path, headers={"Range": "bytes=1-2"})[1] == b"\x01\x02"
    assert site.ask("GET", path, headers={"Range": "bytes=9999999-"})[0] == 200
    assert site.ask("GET", path)[1] == bytes(range(256)) * 20_000


def test_an_upload_that_breaks_off_stores_nothing(site: Site) -> None:
    host, port = site.live.uri.removeprefix("http://").split(":")
    link = http.client.HTTPConnection(host, int(port))
    path = f"0/{site.run_id}/artifacts/broken.bin"
    link.putrequest("PUT", f"{PROXY}/{path}")
    link.putheader("Content-Length", "5000000")
    link.endheaders()
    link.send(b"x" * 3_000_000)
    link.close()
    assert site.ask("GET", f"{PROXY}/{path}")[0] == 404
    site.ask("PUT", f"{PROXY}/{path}", b"whole")
    assert site.ask("GET", f"{PROXY}/{path}")[1] == b"whole"


def test_names_that_differ_only_by_encoding_are_refused(site: Site) -> None:
    names = ["a%2Fb", "a/b", "cafe\u0301", "a\u200bb", "..", "a:b", "x" * 10_000]
    results = [
        ("CVE-2024-3099", name, *site.ask("POST", REST + "registered-models/create", {"name": name})) for name in names
    ]
    refused(results, "registered-models/create, look-alike names")


def test_odd_page_tokens_and_filters_are_refused(site: Site) -> None:
    import base64

    results = []
    for token in (
        "%",
        "bm8=",
        "e30=",
        *(
            quote(base64.b64encode(raw).decode())
            for raw in (b'{"offset": -1}', b'{"offset": 1000000000000000000}', b'{"offset": "x"}', b"[" * 1000)
        ),
    ):
        results.append(("ours", token, *site.ask("GET", REST + f"registered-models/search?page_token={token}")))
        results.append(("ours", token, *site.ask("GET", REST + f"model-versions/search?page_token={token}")))
    for text in (
        "name = 'a' OR 1=1",
        "name = 'x'; DROP TABLE run",
        "run_id LIKE",
        "a" * 100_000,
        " AND ".join(["name = 'a'"] * 10_000),
    ):
        raw = quote(text)[:60_000]
        results.append(("ours", text, *site.ask("GET", REST + f"model-versions/search?filter={raw}")))
    refused(results, "tokens and filters", statuses=(400, 414))
