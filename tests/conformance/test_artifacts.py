"""Files: the proxy, listings, the browser's routes, typed text, types and names, and what goes round the server."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.servers import Server, fresh

GROUP = "artifacts"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
AJAX = "/ajax-api/2.0/mlflow"
GONE = "RESOURCE_DOES_NOT_EXIST"


class Folder:
    """A run's own folder, as the proxy sees it."""

    def __init__(self, server: Server) -> None:
        """Make the run."""
        self.server = server
        self.run = server.run()
        self.uri = server.get("runs/get", run_id=self.run)["run"]["info"]["artifact_uri"]
        self.root = self.uri.removeprefix("mlflow-artifacts:/")

    def put(self, path: str, data: bytes = b"hello") -> None:
        answer = self.server.http.put(f"{PROXY}/{self.root}/{path}", content=data)
        assert answer.status_code == 200, answer.text

    def get(self, path: str) -> httpx.Response:
        return self.server.http.get(f"{PROXY}/{self.root}/{path}")

    def listed(self, path: str = "") -> Any:
        return self.server.get(PROXY, path=f"{self.root}/{path}".rstrip("/"))


@pytest.fixture
def folder(server: Server) -> Folder:
    return Folder(server)


@pytest.fixture(scope="module")
def full(server: Server) -> Folder:
    """A folder with two files, one of them deeper."""
    made = Folder(server)
    made.put("a.txt", b"0")
    made.put("dir/b.txt", b"11")
    made.put("dir/deep/c.txt", b"222")
    return made


# --- the proxy --------------------------------------------------------------------------------------


def test_a_file_comes_back_as_an_attachment(full: Folder) -> None:
    answer = full.get("dir/b.txt")
    assert (answer.status_code, answer.content) == (200, b"11")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "attachment; filename=b.txt"
    assert answer.headers["content-length"] == "2"


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_every_size_comes_back_whole(folder: Folder, size: int) -> None:
    data = os.urandom(size)
    folder.put("blob.bin", data)
    assert folder.get("blob.bin").content == data
    (told,) = folder.listed()["files"]
    assert (told["path"], told["is_dir"], told.get("file_size", 0)) == ("blob.bin", False, size)


def test_files_beside_every_experiments_folder(server: Server) -> None:
    name = fresh("beside")
    for path in (f"{name}.txt", f"{name}/deep/b.txt"):
        assert server.http.put(f"{PROXY}/{path}", content=path.encode()).status_code == 200
        assert server.http.get(f"{PROXY}/{path}").content == path.encode()
    root = {each["path"]: each for each in server.get(PROXY)["files"]}
    assert root[f"{name}.txt"] == {"path": f"{name}.txt", "is_dir": False, "file_size": len(name) + 4}
    assert root[name]["is_dir"] is True
    assert server.get(PROXY, path=name) == {"files": [{"path": "deep", "is_dir": True}]}
    assert server.http.delete(f"{PROXY}/{name}").status_code == 200
    assert server.get(PROXY, path=name) == {}


def test_an_upload_replaces(folder: Folder) -> None:
    folder.put("f", b"one")
    folder.put("f", b"two")
    assert folder.get("f").content == b"two"


def test_head_tells_the_size(server: Server, full: Folder) -> None:
    answer = server.http.head(f"{PROXY}/{full.root}/dir/b.txt")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "2", b"")


def test_a_listing_has_base_names_and_sizes(full: Folder) -> None:
    assert full.listed() == {
        "files": [{"path": "a.txt", "is_dir": False, "file_size": 1}, {"path": "dir", "is_dir": True}]
    }
    assert full.listed("dir/") == full.listed("dir")
    assert full.listed("dir")["files"] == [
        {"path": "b.txt", "is_dir": False, "file_size": 2},
        {"path": "deep", "is_dir": True},
    ]
    assert full.listed("nothing") == {}
    assert {"path": full.root.split("/")[0], "is_dir": True} in full.server.get(PROXY)["files"]


def test_what_is_deleted_is_gone(server: Server, folder: Folder) -> None:
    for path in ("f", "d/a", "d/b/c"):
        folder.put(path)
    for path in ("f", "d"):
        for _ in range(2):  # what is gone may be deleted again
            answer = server.http.delete(f"{PROXY}/{folder.root}/{path}")
            assert (answer.status_code, answer.json()) == (200, {})
    assert folder.get("f").status_code == 404
    assert folder.listed() == {}


def test_a_missing_file_is_told(full: Folder) -> None:
    answer = full.get("none.txt")
    assert (answer.status_code, answer.json()["error_code"]) == (404, GONE)
    assert f"No such artifact: '{full.root}/none.txt'" in answer.json()["message"]


def test_a_folder_is_no_file(full: Folder) -> None:
    answer = full.get("dir")
    assert answer.status_code == 400
    assert "Artifact path refers to a directory, not a file" in answer.text


@pytest.mark.parametrize(
    "path",
    ["%2e%2e/x", "..%2fx", "a%2f..%2f..%2fb", "%252e%252e/x", "C:/x"],
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_paths_do_not_climb(server: Server, method: str, path: str) -> None:
    url = httpx.URL(server.uri).copy_with(raw_path=f"{PROXY}/{path}".encode())
    answer = server.http.request(method, url, content=b"x" if method == "PUT" else None)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Invalid path"


@pytest.mark.parametrize("path", ["../x", "/etc", "a/../../b", "%2e%2e", "a%2f..%2f.."])
def test_listings_do_not_climb(server: Server, full: Folder, path: str) -> None:
    for where, asked in (
        (PROXY, {"path": path}),
        ("artifacts/list", {"run_id": full.run, "path": path}),
        ("/get-artifact", {"run_id": full.run, "path": path}),
        ("/model-versions/get-artifact", {"name": "model", "version": "1", "path": path}),
        (f"{AJAX}/logged-models/m-1/artifacts/files", {"artifact_file_path": path}),
    ):
        told = server.refused(where, method="GET", **asked)
        assert (told.status, told.code, told.message) == (400, "INVALID_PARAMETER_VALUE", "Invalid path"), where


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text/plain"),
        ("b.pkl", "application/octet-stream"),
        ("c.png", "image/png"),
        ("d.pdf", "application/pdf"),
        ("e.json", "text/plain"),
        ("f.yaml", "text/plain"),
        ("g.csv", "text/plain"),
        ("h.log", "text/plain"),
        ("i.ipynb", "text/plain"),
        ("j.md", "text/plain"),
        ("k.parquet", "application/octet-stream"),
        ("MLmodel", "text/plain"),
        ("mlproject", "text/plain"),
        ("noending", "application/octet-stream"),
    ],
)
def test_types_follow_the_name_and_not_the_wish(server: Server, folder: Folder, name: str, kind: str) -> None:
    folder.put(name, b"")
    wish = {"accept": "text/html"}
    for answer in (
        server.http.get(f"{PROXY}/{folder.root}/{name}", headers=wish),
        server.http.get("/get-artifact", params={"run_id": folder.run, "path": name}, headers=wish),
    ):
        assert answer.headers["content-type"] == kind
        assert answer.headers["content-disposition"] == f"attachment; filename={name}"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.departs("MLflow sends HTML and SVG as what they are; Headway gives a browser nothing that it could run")
@pytest.mark.parametrize(("name", "kind"), [("page.html", "text/html"), ("image.svg", "image/svg+xml")])
def test_what_a_browser_could_run(folder: Folder, name: str, kind: str) -> None:
    folder.put(name)
    assert folder.get(name).headers["content-type"] == kind


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sp ace.txt", 'filename="sp ace.txt"'),
        ("größe.txt", "filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"),
        ("dog+step+20+timestamp+100.png", "filename=dog+step+20+timestamp+100.png"),
    ],
)
def test_odd_names(folder: Folder, name: str, told: str) -> None:
    folder.put(name, b"odd")
    answer = folder.get(name)
    assert answer.content == b"odd"
    assert told in answer.headers["content-disposition"]
    assert folder.listed()["files"][0]["path"] == name


@pytest.mark.parametrize("dot", [".", "./."])
def test_a_dot_is_the_folder_itself(full: Folder, dot: str) -> None:
    assert full.listed(dot) == full.listed()
    assert full.listed(f"dir/{dot}") == full.listed("dir")


def test_a_run_s_files_below_a_dot(full: Folder) -> None:
    found = full.server.get("artifacts/list", run_id=full.run, path=".")["files"]
    assert {(each["path"].removeprefix("./"), each["is_dir"]) for each in found} == {("a.txt", False), ("dir", True)}


@pytest.mark.parametrize("path", [".", "./dir", "dir/."])
def test_the_client_downloads_a_folder_by_its_dot(full: Folder, mlflow: Any, tmp_path: Path, path: str) -> None:
    place = mlflow.artifacts.download_artifacts(run_id=full.run, artifact_path=path, dst_path=str(tmp_path))
    assert sorted(file.name for file in Path(place).rglob("*.txt"))[-2:] == ["b.txt", "c.txt"]


# --- by run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/api/2.0/mlflow", AJAX])
def test_a_runs_files_have_paths_below_its_root(server: Server, full: Folder, prefix: str) -> None:
    found = server.get(f"{prefix}/artifacts/list", run_id=full.run)
    assert found == {
        "root_uri": full.uri,
        "files": [{"path": "a.txt", "is_dir": False, "file_size": 1}, {"path": "dir", "is_dir": True}],
    }
    deeper = server.get(f"{prefix}/artifacts/list", run_uuid=full.run, path="dir")
    assert [each["path"] for each in deeper["files"]] == ["dir/b.txt", "dir/deep"]
    assert server.get(f"{prefix}/artifacts/list", run_id=full.run, path="none") == {"root_uri": full.uri}


def test_an_empty_run_has_a_root_and_nothing_else(server: Server, folder: Folder) -> None:
    assert server.get("artifacts/list", run_id=folder.run) == {"root_uri": folder.uri}


def test_a_listing_needs_a_run(server: Server) -> None:
    server.refused("artifacts/list", method="GET").says("Missing value for required parameter 'run_id'")
    for where, more in (("artifacts/list", {}), ("/get-artifact", {"path": "a"})):
        server.refused(where, method="GET", run_id="nope", **more).says("Run with id=nope not found", GONE, 404)


@pytest.mark.parametrize("field", ["run_id", "run_uuid"])
def test_the_browser_gets_a_runs_file(server: Server, full: Folder, field: str) -> None:
    answer = server.http.get("/get-artifact", params={field: full.run, "path": "dir/b.txt"})
    assert (answer.status_code, answer.content) == (200, b"11")


def test_the_browser_is_told_what_is_not_there(server: Server, full: Folder) -> None:
    told = server.refused("/get-artifact", method="GET", run_id=full.run, path="none.txt")
    told.says(f"No such artifact: '{full.root}/none.txt'", GONE, 404)
    told = server.refused("/get-artifact", method="GET", run_id=full.run, path="dir")
    told.says("Artifact path refers to a directory, not a file")
    assert server.http.get("/get-artifact", params={"run_id": full.run}).status_code == 400


def test_a_doubled_slash_is_one(server: Server, full: Folder) -> None:
    url = f"{server.uri}//model-versions/get-artifact"
    told = httpx.get(url, params={"name": "model", "version": 1, "path": "../path"}, follow_redirects=True)
    assert (told.status_code, told.json()["message"]) == (400, "Invalid path")


# --- typed text -------------------------------------------------------------------------------------


def test_the_browser_uploads_text(server: Server, folder: Folder) -> None:
    for path in ("test.txt", "deep/er.txt"):
        asked = {"run_uuid": folder.run, "path": path}
        answer = server.http.post(f"{AJAX}/upload-artifact", params=asked, content=b"hello world")
        assert answer.status_code == 200, answer.text
        found = server.http.get("/get-artifact", params=asked)
        assert (found.status_code, found.text) == (200, "hello world")


@pytest.mark.parametrize(
    ("asked", "data", "says"),
    [
        ({}, b"x", "Request must specify run_uuid."),
        ({"run_uuid": "R"}, b"x", "Request must specify path."),
        ({"run_uuid": "R", "path": ""}, b"x", "Request must specify path."),
        ({"run_uuid": "R", "path": "../test.txt"}, b"x", "Invalid path"),
        ({"run_uuid": "R", "path": "test.txt"}, b"", "Request must specify data."),
        (
            {"run_uuid": "R", "path": "big"},
            b"x" * (10 * 1024 * 1024 + 1),
            "Artifact size is too large. Max size is 10MB.",
        ),
    ],
)
def test_texts_that_cannot_be_uploaded(server: Server, folder: Folder, asked: Any, data: bytes, says: str) -> None:
    asked = {name: folder.run if value == "R" else value for name, value in asked.items()}
    answer = server.http.post(f"{AJAX}/upload-artifact", params=asked, content=data)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert says in answer.json()["message"]
    assert server.get("artifacts/list", run_id=folder.run) == {"root_uri": folder.uri}


# --- by version and by logged model -----------------------------------------------------------------


def test_the_browser_gets_a_versions_file(server: Server, full: Folder) -> None:
    name = fresh("files")
    server.post("registered-models/create", {"name": name})
    for source in (f"runs:/{full.run}/dir", full.uri):
        body = {"name": name, "source": source, "run_id": full.run}
        server.post("model-versions/create", body)
    answer = server.http.get("/model-versions/get-artifact", params={"name": name, "version": "2", "path": "a.txt"})
    assert (answer.status_code, answer.content) == (200, b"0")
    assert answer.headers["content-disposition"] == "attachment; filename=a.txt"
    for asked, text, code, status in (
        ({"version": "2", "path": "none"}, "No such artifact", GONE, 404),
        ({"version": "9", "path": "a.txt"}, f"Model Version (name={name}, version=9) not found", GONE, 404),
        ({"version": "x", "path": "a.txt"}, "must be an integer", "INVALID_PARAMETER_VALUE", 400),
    ):
        server.refused("/model-versions/get-artifact", method="GET", name=name, **asked).says(text, code, status)


def test_a_logged_models_files(server: Server, exp: str) -> None:
    info = server.post("logged-models", {"experiment_id": exp})["model"]["info"]
    model_id, uri = info["model_id"], info["artifact_uri"]
    root = uri.removeprefix("mlflow-artifacts:/")
    for path in ("MLmodel", "code/a.py"):
        server.http.put(f"{PROXY}/{root}/{path}", content=model_id.encode())
    listed = server.get(f"{AJAX}/logged-models/{model_id}/artifacts/directories")
    assert listed == {
        "root_uri": uri,
        "files": [{"path": "MLmodel", "is_dir": False, "file_size": 34}, {"path": "code", "is_dir": True}],
    }
    deeper = server.get(f"logged-models/{model_id}/artifacts/directories", artifact_directory_path="code")
    assert [each["path"] for each in deeper["files"]] == ["code/a.py"]
    files = f"{AJAX}/logged-models/{model_id}/artifacts/files"
    answer = server.http.get(files, params={"artifact_file_path": "MLmodel"})
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, model_id, "text/plain")
    server.refused(files, method="GET", artifact_file_path="no").says("No such artifact", GONE, 404)
    told = server.refused(files, method="GET")
    assert (told.status, told.message) == (400, 'Request must include the "artifact_file_path" query parameter.')
    other = f"{AJAX}/logged-models/m-{'0' * 32}/artifacts/files"
    server.refused(other, method="GET", artifact_file_path="MLmodel").says("not found", GONE, 404)


# --- round the server -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("mpu/create", {"path": "a", "num_parts": 2}),
        ("mpu/complete", {"path": "a", "upload_id": "x", "parts": [{"part_number": 1, "etag": "e", "url": "u"}]}),
        ("mpu/abort", {"path": "a", "upload_id": "x"}),
    ],
)
def test_parts_are_not_taken(server: Server, folder: Folder, path: str, body: Any) -> None:
    told = server.refused(f"/api/2.0/mlflow-artifacts/{path}/{folder.root}", body)
    told.says("Multipart upload is not supported for the current artifact repository", "NOT_IMPLEMENTED", 501)


def test_no_address_is_signed_at_the_proxy(server: Server, full: Folder) -> None:
    told = server.refused(f"/api/2.0/mlflow-artifacts/presigned/{full.root}/a.txt", method="GET")
    told.says("Multipart download is not supported for the current artifact repository", "NOT_IMPLEMENTED", 501)


@pytest.mark.parametrize(
    ("verb", "body", "says"),
    [
        ("upload", {"run_id": "R", "path": "a"}, "Presigned upload is not supported for proxied artifact storage"),
        ("upload", {"path": "a"}, "Exactly one of run_id and model_id must be provided."),
        (
            "upload",
            {"run_id": "R", "model_id": "m", "path": "a"},
            "Exactly one of run_id and model_id must be provided.",
        ),
        ("upload", {"run_id": "R"}, "Missing value for required parameter 'path'"),
        ("upload", {"run_id": "R", "path": "../a"}, "Invalid path"),
        (
            "download",
            {"run_id": "R", "path": "a"},
            "Presigned download is not supported for runs with proxied artifact",
        ),
        ("download", {"path": "a"}, "Missing value for required parameter 'run_id'"),
        ("download", {"run_id": "R", "path": "a", "expiration": 0}, "expiration must be between 1 and 604800 seconds"),
        ("download", {"run_id": "R", "path": "a", "expiration": 604_801}, "(got 604801)."),
    ],
)
def test_no_address_is_signed_for_a_run(server: Server, full: Folder, verb: str, body: Any, says: str) -> None:
    body = {name: full.run if value == "R" else value for name, value in body.items()}
    server.refused(f"artifacts/presigned-{verb}-url", body).says(says)


@pytest.mark.parametrize("verb", ["upload", "download"])
def test_no_address_is_signed_for_an_unknown_run(server: Server, verb: str) -> None:
    told = server.refused(f"artifacts/presigned-{verb}-url", {"run_id": "nope", "path": "a"})
    told.says("Run with id=nope not found", GONE, 404)


# --- the client -------------------------------------------------------------------------------------


def test_the_client_logs_lists_and_downloads(client: Any, exp: str, tmp_path: Path) -> None:
    run = client.create_run(exp).info.run_id
    (tmp_path / "dir").mkdir()
    (tmp_path / "a.txt").write_text("0")
    (tmp_path / "dir" / "b.txt").write_text("1")
    assert client.list_artifacts(run) == []
    client.log_artifacts(run, str(tmp_path))
    client.log_artifacts(run, str(tmp_path), "path")
    client.log_artifact(run, str(tmp_path / "a.txt"), "one")
    assert sorted(each.path for each in client.list_artifacts(run)) == ["a.txt", "dir", "one", "path"]
    assert [each.path for each in client.list_artifacts(run, "dir")] == ["dir/b.txt"]
    assert sorted(each.path for each in client.list_artifacts(run, "path")) == ["path/a.txt", "path/dir"]
    assert [each.path for each in client.list_artifacts(run, "path/dir")] == ["path/dir/b.txt"]
    target = tmp_path / "down"
    target.mkdir()
    everything = Path(client.download_artifacts(run, "", str(target)))
    assert (everything / "path" / "dir" / "b.txt").read_text() == "1"
    assert Path(client.download_artifacts(run, "dir/b.txt", str(target))).read_text() == "1"


def test_the_fluent_api_downloads_by_every_address(mlflow: Any, exp: str, tmp_path: Path) -> None:
    with mlflow.start_run(experiment_id=exp) as run:
        mlflow.log_text("hello", "notes/a.txt")
        mlflow.log_dict({"a": 1}, "b.json")
    for uri in (f"runs:/{run.info.run_id}/notes/a.txt", f"{run.info.artifact_uri}/notes/a.txt"):
        assert mlflow.artifacts.load_text(uri) == "hello"
    found = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="", dst_path=str(tmp_path))
    assert sorted(each.name for each in Path(found).iterdir()) == ["b.json", "notes"]
    assert mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/b.json") == {"a": 1}
