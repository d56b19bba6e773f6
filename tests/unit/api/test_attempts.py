"""The door of attempts on other machines, over real HTTP: who may, what is taken, what never is."""

from __future__ import annotations

import concurrent.futures
import hashlib
import http.client
import io
import json
import socket
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakes.attempts import wait_until
from flows.conftest import serving
from headway.api.v1 import api_routes
from headway.app import App, open_app
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.engines.base import AttemptSpec
from headway.engines.delivered import MOST_LOG
from headway.flow.prepare import keep_spec
from headway.ids import new_id
from headway.projects.model import Resources
from headway.sandbox.inside.archive import pack
from headway.settings import Settings

ENDED = {"exit_code": 0, "started_at": 1.0, "finished_at": 2.0}


@dataclass(frozen=True, kw_only=True)
class Pod:
    """An attempt's pod as the server meets it."""

    house: House
    id: str
    token: str
    folder: Path

    def ask(
        self, method: str, path: str, *, token: str | None = None, attempt: str = "", **given: Any
    ) -> httpx.Response:
        held = self.token if token is None else token
        headers = {"authorization": f"Bearer {held}"} if held else {}
        place = f"{self.house.url}/api/v1/attempts/{attempt or self.id}/{path}"
        return self.house.client.request(method, place, headers=headers, **given)

    def begin(self, uid: str = "pod-1.a") -> httpx.Response:
        return self.ask("PUT", "started", json={"uid": uid, "pod": "headway-x", "isolation": 3})


@dataclass(frozen=True, kw_only=True)
class House:
    """A server on a socket, and a client."""

    app: App
    url: str
    client: httpx.Client

    def pod(self, **changes: Any) -> Pod:
        attempt = new_id()
        folder = self.app.data / "attempts" / attempt
        (folder / "work").mkdir(parents=True)
        with self.app.database.write() as tx:
            token = TokenStore(tx).mint(
                TokenKind.ATTEMPT,
                "job-1",
                role=Role.CONTRIBUTOR,
                at=self.app.clock.now(),
                run_id="run",
                attempt_id=attempt,
            )
        spec = AttemptSpec(
            id=attempt,
            job_id="job",
            task="train",
            number=1,
            nonce="n",
            directory=str(folder),
            argv=("python", "train.py"),
            cwd=str(folder / "work"),
            env_path="/env",
            resources=Resources(disk_mb=1),
            log_limit_mb=1,
        )
        keep_spec(replace(spec, **changes))
        return Pod(house=self, id=attempt, token=token, folder=folder)

    def end(self, pod: Pod) -> None:
        """What `flow/collect.py` does to the token of an attempt that has ended."""
        with self.app.database.write() as tx:
            for token_id in TokenStore(tx).revoke_attempt(pod.id, at=self.app.clock.now()):
                self.app.authenticator.forget(token_id)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = Settings(data=tmp_path_factory.mktemp("attempts") / "data", port=0)
    app = open_app(settings)
    with serving(app, settings), httpx.Client(timeout=60) as client:
        url = json.loads((settings.data / "server.json").read_text())["url"]
        yield House(app=app, url=url, client=client)
    app.close()


def archive(tmp_path: Path, **files: str) -> bytes:
    folder = tmp_path / new_id()
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    stream = io.BytesIO()
    pack(folder, stream, [each.name for each in folder.iterdir()])
    return stream.getvalue()


ROUTES = [("GET", "source"), ("PUT", "started"), ("PUT", "log"), ("PUT", "out"), ("PUT", "exit")]


# --- who ------------------------------------------------------------------------------------------


def test_the_table_has_these_routes_and_no_others(house: House) -> None:
    found = {(method, each.path) for each in api_routes(house.app) for method in each.methods - {"HEAD"}}
    assert {(method, path) for method, path in found if path.startswith("/attempts/")} == {
        (method, f"/attempts/{{attempt}}/{path}") for method, path in ROUTES
    }


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_only_the_attempts_own_token_opens_its_door(house: House, method: str, path: str) -> None:
    pod, other = house.pod(), house.pod()
    with house.app.database.write() as tx:
        admin = TokenStore(tx).mint(TokenKind.USER, "root", role=Role.ADMIN, at=house.app.clock.now())
    assert pod.ask(method, path, token="").status_code == 401
    assert pod.ask(method, path, token=pod.token[:-1] + ("1" if pod.token[-1] == "0" else "0")).status_code == 401
    assert pod.ask(method, path, token=admin).status_code == 403
    for attempt in (other.id, "01AAAAAAAAAAAAAAAAAAAAAAAA", "..", "%2e%2e", f"{pod.id}x", pod.id.lower()):
        answer = pod.ask(method, path, attempt=attempt)
        assert answer.status_code in (403, 404), attempt  # 403: no such route, and the token speaks of nothing else
    house.end(pod)
    dead = pod.ask(method, path)
    assert (dead.status_code, dead.json()["code"]) == (403, "REFUSED")
    assert sorted(each.name for each in pod.folder.iterdir()) == ["attempt.json", "work"]
    assert sorted(each.name for each in other.folder.iterdir()) == ["attempt.json", "work"]


def test_the_token_opens_nothing_else_of_the_api(house: House) -> None:
    pod = house.pod()
    for path in ("server", "jobs", "users", "doctor"):
        answer = house.client.get(f"{house.url}/api/v1/{path}", headers={"authorization": f"Bearer {pod.token}"})
        assert answer.status_code == 403, path


def test_what_has_no_folder_any_more_is_not_there(house: House) -> None:
    pod = house.pod()
    (pod.folder / "attempt.json").unlink()
    assert pod.begin().status_code == 404


# --- source ---------------------------------------------------------------------------------------


def test_the_source_comes_whole_and_only_where_it_is(house: House) -> None:
    pod = house.pod()
    assert pod.ask("GET", "source").status_code == 404
    data = b"x" * 3_000_000
    (pod.folder / "source.tar").write_bytes(data)
    answer = pod.ask("GET", "source")
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-type"] == "application/x-tar"


# --- started --------------------------------------------------------------------------------------


def test_the_first_pod_begins_and_no_other(house: House) -> None:
    pod = house.pod()
    assert pod.begin().json() == {"size": 0, "stop": False}
    assert pod.begin().status_code == 200  # its answer was lost: it asks again
    refused = pod.begin("pod-2.b")
    assert refused.status_code == 409
    assert "another pod has begun" in refused.json()["message"]
    record = json.loads((pod.folder / "started").read_text())
    assert (record["uid"], record["pod"], record["isolation"]) == ("pod-1.a", "headway-x", 3)


def test_of_many_pods_at_once_one_begins(house: House) -> None:
    pod = house.pod()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: pod.begin(f"pod-{number}").status_code, range(8)))
    assert sorted(answers) == [200] + [409] * 7


# The engine reads what stands there: nothing that it could stumble over is kept.
ODD_STARTS = [
    b'{"uid": "a", "at": "now"}',
    b'{"uid": "a", "pod": 3}',
    b'{"uid": "a", "node": {}}',
    b'{"uid": "a", "at": 1e300}',
]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"nonsense", b'{"uid": 3}', b'{"uid": "a b"}', b'{"uid": ""}', *ODD_STARTS]
)
def test_who_does_not_say_its_name_does_not_begin(house: House, body: bytes) -> None:
    pod = house.pod()
    assert pod.ask("PUT", "started", content=body).status_code == 400
    assert not (pod.folder / "started").exists()


def test_a_body_that_is_too_large_is_refused(house: House) -> None:
    pod = house.pod()
    for path in ("started", "exit"):
        assert pod.ask("PUT", path, content=b'{"uid": "' + b"x" * 70_000 + b'"}').status_code == 413


# --- log ------------------------------------------------------------------------------------------


def test_a_log_grows_at_its_end_only(house: House) -> None:
    pod = house.pod()
    assert pod.ask("PUT", "log?offset=0", content=b"one\n").json() == {"size": 4, "stop": False}
    for offset in (0, 3, 5, 400):
        moved = pod.ask("PUT", f"log?offset={offset}", content=b"two\n")
        assert (moved.status_code, moved.json()["size"], moved.json()["code"]) == (409, 4, "CONFLICT")
    assert pod.ask("PUT", "log?offset=4", content=b"two\n").json()["size"] == 8
    assert (pod.folder / "log").read_bytes() == b"one\ntwo\n"
    for odd in ("-1", "x", "1e3", "٣", "9" * 20):
        assert pod.ask("PUT", "log", params={"offset": odd}, content=b"x").status_code == 400


def test_an_empty_piece_asks_whether_to_stop(house: House) -> None:
    pod = house.pod()
    assert pod.ask("PUT", "log?offset=0").json()["stop"] is False
    (pod.folder / "stop").touch()
    assert pod.ask("PUT", "log?offset=7").json() == {"size": 0, "stop": True}
    assert pod.begin().json()["stop"] is True


def test_a_log_ends_at_its_limit(house: House) -> None:
    pod = house.pod()
    piece = b"x" * MOST_LOG
    assert pod.ask("PUT", "log?offset=0", content=piece + b"x").status_code == 413
    assert pod.ask("PUT", "log?offset=0", content=piece).status_code == 200
    assert pod.ask("PUT", f"log?offset={MOST_LOG}", content=piece).status_code == 200
    full = pod.ask("PUT", f"log?offset={2 * MOST_LOG}", content=b"x")
    assert (full.status_code, full.json()["code"]) == (413, "TOO_LARGE")
    assert (pod.folder / "log").stat().st_size == 2 * MOST_LOG


def test_pieces_that_race_are_kept_once(house: House) -> None:
    pod = house.pod()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: pod.ask("PUT", "log?offset=0", content=b"same\n").status_code, range(6)))
    assert sorted(answers) == [200] + [409] * 5
    assert (pod.folder / "log").read_bytes() == b"same\n"


def test_another_pod_than_the_first_adds_nothing(house: House, tmp_path: Path) -> None:
    pod = house.pod()
    assert pod.ask("PUT", "log?offset=0&pod=pod-9.z", content=b"init\n").status_code == 200  # nobody has begun
    pod.begin()
    data = archive(tmp_path, a_txt="a")
    for path, given in (
        ("log?offset=5&pod=pod-9.z", {"content": b"late\n"}),
        ("out?pod=pod-9.z", {"content": data}),
        ("exit?pod=pod-9.z", {"json": ENDED}),
    ):
        assert pod.ask("PUT", path, **given).status_code == 409, path
    assert pod.ask("PUT", "log?offset=5&pod=pod-1.a", content=b"own\n").status_code == 200
    assert not (pod.folder / "out").exists()
    assert not (pod.folder / "exit.json").exists()


# --- outputs --------------------------------------------------------------------------------------


def test_outputs_appear_whole_and_once(house: House, tmp_path: Path) -> None:
    pod = house.pod()
    pod.begin()
    data = archive(tmp_path, metrics_json="{}", model__weights_bin="w" * 200_000)
    digest = hashlib.sha256(data).hexdigest()
    assert pod.ask("PUT", f"out?sha256={digest}&pod=pod-1.a", content=data).status_code == 200
    assert (pod.folder / "out" / "model" / "weights.bin").read_text() == "w" * 200_000
    again = archive(tmp_path, other_txt="x")
    assert pod.ask("PUT", "out", content=again).status_code == 200
    assert sorted(each.name for each in (pod.folder / "out").iterdir()) == ["metrics.json", "model"]
    assert not list(pod.folder.glob("*.part"))


def test_an_archive_of_nothing_is_taken(house: House, tmp_path: Path) -> None:
    pod = house.pod()
    (tmp_path / "empty").mkdir()
    stream = io.BytesIO()
    pack(tmp_path / "empty", stream, [])
    assert pod.ask("PUT", "out", content=stream.getvalue()).status_code == 200
    assert list((pod.folder / "out").iterdir()) == []


def test_an_archive_that_is_not_the_announced_one_is_not_taken(house: House, tmp_path: Path) -> None:
    pod = house.pod()
    data = archive(tmp_path, a_txt="a")
    assert pod.ask("PUT", f"out?sha256={'0' * 64}", content=data).status_code == 400
    assert pod.ask("PUT", "out?sha256=short", content=data).status_code == 400
    assert not (pod.folder / "out").exists()


def hostile(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info.tobuf(tarfile.GNU_FORMAT) + b"\0" * (size + -size % 512) + b"\0" * 1024


def below_nothing() -> bytes:
    """A file that says to have less than no bytes, and goes on for more than the limit."""
    header = bytearray(hostile("model")[:512])
    header[124:136] = b"-00000001000"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * (2 << 20)


HOSTILE = {
    "a size below nothing": (below_nothing(), 400),
    "upwards": (hostile("../../canary"), 400),
    "absolute": (hostile("/tmp/canary"), 400),
    "into the folder of another": (hostile("../other/exit.json"), 400),
    "a link": (hostile("model", tarfile.SYMTYPE, "/etc"), 400),
    "a hard link": (hostile("model", tarfile.LNKTYPE, "/etc/passwd"), 400),
    "a device": (hostile("model", tarfile.CHRTYPE), 400),
    "a pax header": (hostile("model", tarfile.XHDTYPE), 400),
    "a sparse file": (hostile("model", tarfile.GNUTYPE_SPARSE), 400),
    "a file larger than the limit": (hostile("model", size=2 << 20), 413),
    "no archive": (b"x" * 2048, 400),
    "a gzip of zeros": (bytes.fromhex("1f8b0800") + b"\0" * 2048, 400),
    "nothing": (b"", 400),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_leaves_nothing_but_its_refusal(house: House, name: str) -> None:
    pod = house.pod()
    pod.begin()
    data, status = HOSTILE[name]
    before = {each for each in house.app.data.rglob("*") if pod.folder not in each.parents}
    answer = pod.ask("PUT", "out", content=data)
    assert answer.status_code == status, answer.text
    assert not (pod.folder / "out").exists()
    assert not list(pod.folder.glob("*.part"))
    assert "the outputs are not taken" in (pod.folder / "out.refused").read_text()
    after = {each for each in house.app.data.rglob("*") if pod.folder not in each.parents}
    assert {each.name for each in after - before} <= {"headway.db-wal", "headway.db-shm"}


def test_an_archive_whose_end_never_comes_is_given_up(house: House) -> None:
    pod = house.pod()
    data = b"\0" * (3 << 20)
    answer = pod.ask("PUT", "out", content=data, params={"sha256": hashlib.sha256(data).hexdigest()})
    assert (answer.status_code, "follow its end" in answer.text) == (413, True)


def test_good_outputs_take_the_place_of_a_refusal(house: House, tmp_path: Path) -> None:
    pod = house.pod()
    assert pod.ask("PUT", "out", content=HOSTILE["a link"][0]).status_code == 400
    assert pod.ask("PUT", "out", content=archive(tmp_path, a_txt="a")).status_code == 200
    assert not (pod.folder / "out.refused").exists()


def patiently(pod: Pod, data: bytes) -> int:
    """What a pod does where the server says "not now"."""
    deadline = time.monotonic() + 60
    while (status := pod.ask("PUT", "out", content=data).status_code) == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    return status


def test_one_attempt_brings_its_outputs_over_one_connection_at_a_time(house: House, tmp_path: Path) -> None:
    pod, other = house.pod(), house.pod()
    data = archive(tmp_path, model_bin="m" * 30_000)
    host, port = house.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        head = f"PUT /api/v1/attempts/{pod.id}/out HTTP/1.1\r\nHost: {host}:{port}\r\n"
        head += f"Authorization: Bearer {pod.token}\r\nContent-Length: {len(data)}\r\n\r\n"
        slow.sendall(head.encode() + data[:2000])
        wait_until(lambda: list(pod.folder.glob("*.part")) != [])
        busy = pod.ask("PUT", "out", content=data)
        assert (busy.status_code, busy.json()["retryable"]) == (503, True)
        assert other.ask("PUT", "out", content=data).status_code == 200
        slow.sendall(data[2000:])
        assert b" 200 " in slow.recv(1000).split(b"\r\n")[0]
    assert (pod.folder / "out" / "model.bin").stat().st_size == 30_000


def test_an_upload_that_breaks_off_leaves_nothing_and_may_come_again(house: House, tmp_path: Path) -> None:
    pod = house.pod()
    pod.begin()
    data = archive(tmp_path, model_bin="m" * 500_000)
    host, port = house.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as cut:
        head = f"PUT /api/v1/attempts/{pod.id}/out HTTP/1.1\r\nHost: {host}:{port}\r\n"
        head += f"Authorization: Bearer {pod.token}\r\nContent-Length: {len(data)}\r\n\r\n"
        cut.sendall(head.encode() + data[: len(data) // 2])
    assert patiently(pod, data) == 200
    assert (pod.folder / "out" / "model.bin").stat().st_size == 500_000
    assert not (pod.folder / "out.refused").exists()


def test_an_upload_in_small_pieces_is_as_good(house: House, tmp_path: Path) -> None:
    pod = house.pod()
    data = archive(tmp_path, model_bin="m" * 30_000)
    host, port = house.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    pieces = (data[start : start + 777] for start in range(0, len(data), 777))
    connection.request(
        "PUT",
        f"/api/v1/attempts/{pod.id}/out",
        body=pieces,
        headers={"Authorization": f"Bearer {pod.token}"},
        encode_chunked=True,
    )
    assert connection.getresponse().status == 200
    connection.close()
    assert (pod.folder / "out" / "model.bin").read_text() == "m" * 30_000


def test_outputs_sent_twice_at_once_are_kept_once(house: House, tmp_path: Path) -> None:
    pod = house.pod()
    data = archive(tmp_path, model_bin="m" * 100_000)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: pod.ask("PUT", "out", content=data).status_code, range(4)))
    assert set(answers) <= {200, 503}  # "not now": a pod asks again
    assert patiently(pod, data) == 200
    assert [each.name for each in (pod.folder / "out").iterdir()] == ["model.bin"]
    assert not list(pod.folder.glob("*.part"))


# --- exit -----------------------------------------------------------------------------------------


def test_the_end_is_said_once(house: House) -> None:
    pod = house.pod()
    pod.begin()
    (pod.folder / "source.tar").write_bytes(b"x")
    assert pod.ask("PUT", "exit?pod=pod-1.a", json={**ENDED, "exit_code": 3, "text": "t" * 30_000}).status_code == 200
    first = (pod.folder / "exit.json").read_bytes()
    record = json.loads(first)
    assert (record["exit_code"], record["drained"], len(record["text"])) == (3, True, 16_000)
    assert pod.ask("PUT", "exit?pod=pod-1.a", json=ENDED).status_code == 200
    assert (pod.folder / "exit.json").read_bytes() == first
    assert not (pod.folder / "source.tar").exists()
    assert pod.begin().status_code == 409


def test_what_was_not_drained_may_be_said_again(house: House) -> None:
    pod = house.pod()
    pod.ask("PUT", "exit", json={**ENDED, "undelivered": 4, "drained": False})
    pod.ask("PUT", "exit", json={**ENDED, "undelivered": 0, "drained": True})
    record = json.loads((pod.folder / "exit.json").read_text())
    assert (record["undelivered"], record["drained"]) == (0, True)


def test_an_environment_that_fails_ends_it_before_it_began(house: House) -> None:
    pod = house.pod()
    answer = pod.ask("PUT", "exit", json={**ENDED, "exit_code": 1, "reason": "environment", "text": "no such package"})
    assert answer.status_code == 200
    assert pod.begin().status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"exit_code": 0},
        {**ENDED, "exit_code": -1},
        {**ENDED, "exit_code": 256},
        {**ENDED, "exit_code": "0"},
        {**ENDED, "finished_at": 1e300},
        {**ENDED, "isolation": 9},
        {**ENDED, "undelivered": 2**40},
        {**ENDED, "reason": 7},
    ],
)
def test_an_end_that_makes_no_sense_is_refused(house: House, wrong: dict[str, Any]) -> None:
    pod = house.pod()
    assert pod.ask("PUT", "exit", json=wrong).status_code == 400
    assert not (pod.folder / "exit.json").exists()
