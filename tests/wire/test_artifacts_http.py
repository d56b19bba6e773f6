"""Artifacts over plain HTTP: parts of files, uploads that break off, and transfers that are not offered."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fakes.wire import LiveWire, live_wire

REST = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class Site:
    """A served wire."""

    live: LiveWire
    run_id: str = ""

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
    (root / "data").mkdir()
    with live_wire(root / "data") as live:
        made = Site(live=live)
        made.run_id = made.json("POST", REST + "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        made.ask("PUT", f"{PROXY}/0/{made.run_id}/artifacts/ok.txt", b"fine")
        yield made


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
