"""Reading another tracker: what passes is waited for, what does not is said, and nothing it says is trusted."""

from __future__ import annotations

import json
import math

import httpx
import pytest

from headway.errors import HeadwayError, LoginNeeded, NotFound, Unreachable, UsageError
from headway.tracking.peer.connection import Login, Patience, PeerConnection, checked_uri
from headway.tracking.peer.reader import PeerReader

QUICK = Patience(tries=3, wait=0.001)


def reader(answer: object, login: Login | None = None) -> PeerReader:
    transport = httpx.MockTransport(answer)  # type: ignore[arg-type]
    return PeerReader(PeerConnection("http://peer:5000/base/", login=login, patience=QUICK, transport=transport))


def test_what_passes_is_tried_again_with_the_login() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) < 3:
            return httpx.Response(429 if len(seen) == 1 else 503)
        return httpx.Response(200, json={"experiments": [{"experiment_id": "1", "name": "x", "creation_time": "7"}]})

    (found,) = reader(answer, Login(token="t")).experiments()
    assert (found.creation_time, len(seen)) == (7, 3)
    assert seen[0].headers["authorization"] == "Bearer t"
    assert seen[0].url.path == "/base/api/2.0/mlflow/experiments/search"


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (httpx.Response(401, json={"error_code": "UNAUTHENTICATED", "message": "no"}), LoginNeeded, "asks for a login"),
        (httpx.Response(302, headers={"location": "https://evil"}), UsageError, "leads on to https://evil"),
        (httpx.Response(500), Unreachable, "answered 500"),
        (httpx.Response(200, text="<html>login</html>"), HeadwayError, "is not MLflow's"),
        (httpx.Response(200, json={"experiments": [{"name": 3}]}), HeadwayError, "is not MLflow's"),
    ],
)
def test_what_does_not_pass_is_said(answer: httpx.Response, kind: type[HeadwayError], text: str) -> None:
    with pytest.raises(kind, match=text):
        list(reader(lambda _: answer).experiments())


def test_no_mlflow_and_an_old_one_are_told_apart() -> None:
    with pytest.raises(UsageError, match="is no MLflow server"):
        reader(lambda _: httpx.Response(404)).about()
    with pytest.raises(UsageError, match=r"MLflow 1\.2\.0"):
        reader(lambda _: httpx.Response(200, text="1.2.0")).about()


def test_bare_nan_and_text_numbers_are_read() -> None:
    body = '{"metrics": [{"key": "m", "value": NaN, "timestamp": "5", "step": 1, "run_id": "r"}]}'
    found = reader(lambda _: httpx.Response(200, text=body)).histories(["r"], "m")
    assert math.isnan(found["r"][0].value) and found["r"][0].timestamp == 5


def test_a_server_that_gives_one_page_for_ever_is_left() -> None:
    page = {"experiments": [], "next_page_token": "again"}
    with pytest.raises(HeadwayError, match="over and over"):
        list(reader(lambda _: httpx.Response(200, json=page)).experiments())


def test_listings_that_climb_are_named_and_not_followed() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["path"] == "1/r/artifacts"
        files = [{"path": name, "is_dir": name == "..", "file_size": 1} for name in ("..", "a/b", "/etc", "ok.txt")]
        return httpx.Response(200, content=json.dumps({"files": files}))

    found = {each.path: bool(each.problem) for each in reader(answer).files("mlflow-artifacts:/1/r/artifacts")}
    assert found == {"..": True, "a/b": True, "/etc": True, "ok.txt": False}


@pytest.mark.parametrize("uri", ["s3://bucket/1", "/var/mlruns/1", "mlflow-artifacts://other:1/x", "file:///etc"])
def test_places_that_the_server_does_not_give_out_are_told(uri: str) -> None:
    with pytest.raises(UsageError, match="does not give out the artifacts"):
        list(reader(lambda _: httpx.Response(200, json={})).files(uri))


@pytest.mark.parametrize("uri", ["", "ftp://x", "http://", "http://u:p@h", "http://h/?a=1", "http://h/#f", "nonsense"])
def test_addresses_that_are_none_are_refused(uri: str) -> None:
    with pytest.raises(UsageError):
        checked_uri(uri)


def test_an_absent_experiment_is_none() -> None:
    assert reader(lambda _: httpx.Response(404)).experiment_named("x") is None
    with pytest.raises(NotFound):
        reader(lambda _: httpx.Response(404)).run("x")
