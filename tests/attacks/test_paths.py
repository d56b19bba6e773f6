"""Paths of artifacts on every route that takes one: reading, writing, deleting, listing, and through links."""

from __future__ import annotations

import pytest

from attacks.conftest import Record
from attacks.site import AJAX, CANARY, PROXY, REST, Site

DOTTED = ("./x", "a/./b")
PATHS = [
    ("CVE-2023-30172", "../../../../canary"),
    ("CVE-2023-6831", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/canary"),
    ("CVE-2023-6831", "%2e%2e/%2e%2e/victim"),
    ("CVE-2023-6909", "%2E%2E%2F%2E%2E%2Fcanary"),
    ("CVE-2023-6015", "%252e%252e%252f%252e%252e%252fcanary"),
    ("CVE-2023-6730", "%252e%252e%252f%252e%252e%252ftmp%252fx"),
    ("CVE-2024-1560", "%252E%252E/%252E%252E/canary"),
    ("CVE-2024-1560", "%25252E%25252E/canary"),
    ("CVE-2023-6976", "..%5c..%5ccanary"),
    ("CVE-2023-6976", "//etc/x"),
    ("CVE-2023-3765", "C:/Windows"),
    ("CVE-2023-3765", "C:%5cx"),
    ("CVE-2023-6975", "%5c%5chost%5cshare"),
    ("CVE-2023-6975", "%5c..%5c.."),
    ("CVE-2023-6976", "/etc/passwd"),
    ("CVE-2024-8859", "a%3f/a"),
    ("ours", "a%23/a"),
    ("ours", "a%00b"),
    ("ours", "a%0ab"),
    ("ours", "a%0d%0aSet-Cookie:%20x=1"),
    ("ours", "%c0%ae%c0%ae/canary"),
    ("ours", "%ef%bc%8e%ef%bc%8e/canary"),
    ("ours", "%e2%80%a5/canary"),
    ("ours", "a%e2%80%aeb"),
    ("ours", "%ed%a0%80"),
    ("ours", "%ff%fe"),
    ("ours", "caf%65%cc%81"),
    *(("ours", path) for path in DOTTED),
    ("ours", "a//b"),
    ("ours", "%23incoming/x"),
    ("ours", "~/x%00"),
    ("ours", "a" * 300),
    ("ours", "/".join(["a"] * 40)),
]
RUNS_FOLDER = "0/{RUN}/artifacts/"
READING = [
    "/get-artifact?run_id={RUN}&path=",
    "/get-artifact?run_uuid={RUN}&path=",
    "/model-versions/get-artifact?name=read&version=1&path=",
    AJAX + "logged-models/{LOGGED}/artifacts/files?artifact_file_path=",
    "/api/2.0/mlflow-artifacts/presigned/",
]
LISTING = [
    REST + "artifacts/list?run_id={RUN}&path=",
    REST + "logged-models/{LOGGED}/artifacts/directories?artifact_directory_path=",
    f"{PROXY}?path={RUNS_FOLDER}",
    f"{PROXY}?path=",
]
WRITING = [AJAX + "upload-artifact?run_uuid={RUN}&path=", "/api/2.0/mlflow-artifacts/mpu/create/"]


@pytest.mark.parametrize(("advisory", "path"), PATHS, ids=range(len(PATHS)))
def test_a_path(site: Site, told: Record, advisory: str, path: str) -> None:
    asked = [(method, f"{PROXY}/{below}{path}") for method in ("PUT", "GET", "DELETE") for below in ("", RUNS_FOLDER)]
    asked += [("GET", address + path) for address in READING] + [("POST", address + path) for address in WRITING]
    if path not in DOTTED:
        asked += [("GET", address + path) for address in LISTING]
    for method, address in asked:
        answer = site.ask(method, address, b"evil" if method in ("PUT", "POST") else None)
        told(advisory, f"{method} {address}", answer, 400, only="set-cookie" not in answer.headers)


@pytest.mark.parametrize("path", DOTTED)
def test_a_dot_in_a_listing_is_the_folder_itself(site: Site, told: Record, path: str) -> None:
    # MLflow's own client asks so; nothing is above a dot, and what is named like this is not there.
    for address in LISTING:
        answer = site.ask("GET", address + path)
        told("ours", f"GET {address}{path}", answer, 200, 404, only=not answer.json().get("files"))


LINKS = ["link/canary", "link/victim/kept.txt", "leak", "dangling", "dangling/x", "pipe"]


@pytest.mark.parametrize("path", LINKS)
def test_reading_through_a_link(site: Site, told: Record, path: str) -> None:
    for address in (
        f"{PROXY}/{RUNS_FOLDER}{path}",
        f"/get-artifact?run_id={{RUN}}&path={path}",
        f"{REST}artifacts/list?run_id={{RUN}}&path={path}",
        f"{PROXY}?path={RUNS_FOLDER}{path}",
    ):
        answer = site.ask("GET", address)
        is_empty = answer.status == 404 or not answer.json().get("files")
        told("symlinks", f"GET {address}", answer, 200, 404, only=is_empty)
    listed = {each["path"] for each in site.good("GET", REST + "artifacts/list?run_id={RUN}")["files"]}
    assert listed.isdisjoint({"link", "leak", "dangling", "pipe"})


@pytest.mark.parametrize("path", [*LINKS, "hard"])
def test_writing_and_deleting_through_a_link(site: Site, told: Record, path: str) -> None:
    for method in ("PUT", "DELETE"):
        site.plant()
        answer = site.ask(method, f"{PROXY}/{RUNS_FOLDER}{path}", b"evil" if method == "PUT" else None)
        # A link itself may be replaced or removed; what is behind it, never, and through a folder nothing passes.
        wanted = 409 if "/" in path and method == "PUT" else 200
        kept = site.canary.read_text() == (site.root / "victim" / "kept.txt").read_text() == CANARY
        shown = f"{method} {path}: what it leads to stays as it was"
        told("symlinks", shown, answer, wanted, only=kept and not (site.root / "made").exists())
    site.plant()
