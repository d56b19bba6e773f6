"""`headway replay`: a rehearsal in a real terminal; the server has a GitHub beside it."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.github import oracle
from fakes.github.door import know
from fakes.github.sender import SECRET
from fakes.github.server import FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG
from fakes.headway_server import HeadwayServer
from headway.app import open_app
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.settings import Settings


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def replay(data: Path, *words: str, stdin: str = "") -> Said:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    environment |= {"HEADWAY_DATA": str(data), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "headway.cli.main", "replay", *words]
    done = subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGitHub]:
    with running(tmp_path_factory.mktemp("github") / "github.git") as fake:
        fake.world.commit("main", {"headway.yaml": "name: tiny\nrun: python train.py\n", "train.py": "print(1)\n"})
        fake.world.commit("better", {"train.py": "print(2)\n"})
        fake.world.open_pull("better")
        fake.world.grant("ada", "write")
        fake.world.grant("eve", "read")
        yield fake
        assert fake.problems == []


def kept(folder: Path, github: FakeGitHub, author: str, body: str) -> str:
    """Return a file that holds a comment as GitHub would send it."""
    github.world.comment(1, author, body)
    path = folder / "event.json"
    path.write_text(json.dumps(github.world.deliveries[-1].payload))
    return str(path)


def test_a_payload_is_read_without_a_server(tmp_path: Path, github: FakeGitHub) -> None:
    file = kept(tmp_path, github, "ada", "please\n\n/train lr=0.1\n/trian\n> /deploy production")
    said = replay(tmp_path / "data", file, "--json")
    assert said.code == 0, said.err
    assert said.json["event"] == "issue_comment"
    assert said.json["read_as"] == "a comment by ada on change 1"
    first, second = said.json["lines"]
    assert first == {"line": 3, "command": "/train lr=0.1", "needs": "write"}
    assert "Did you mean" in second["answer"]
    assert not (tmp_path / "data").exists(), "a rehearsal makes nothing"
    shown = replay(tmp_path / "data", file)
    assert "line 3" in shown.out
    assert "/train lr=0.1" in shown.out


def test_it_is_read_from_standard_input_too(tmp_path: Path, github: FakeGitHub) -> None:
    file = kept(tmp_path, github, "ada", "/help")
    said = replay(tmp_path / "data", "-", "--json", stdin=Path(file).read_text())
    assert said.json["lines"][0]["command"] == "/help"


def test_an_old_recording_says_both_what_it_is_now_and_what_it_was(tmp_path: Path, github: FakeGitHub) -> None:
    payload = json.loads(Path(kept(tmp_path, github, "ada", "/train")).read_text())
    payload["comment"]["created_at"] = payload["comment"]["updated_at"] = "2026-01-01T00:00:00Z"
    file = tmp_path / "old.json"
    file.write_text(json.dumps(payload))
    said = replay(tmp_path / "data", str(file), "--json").json
    assert said["ignored"] == "the comment is more than 24 hours old"
    assert said["lines"][0]["command"] == "/train"


def test_a_delivery_as_the_api_shows_it_keeps_its_own_id(tmp_path: Path, github: FakeGitHub) -> None:
    payload = json.loads(Path(kept(tmp_path, github, "ada", "/help")).read_text())
    file = tmp_path / "delivery.json"
    file.write_text(json.dumps({"id": 5, "guid": "abc-1", "event": "issue_comment", "request": {"payload": payload}}))
    assert replay(tmp_path / "data", str(file), "--json").json["delivery"] == "abc-1"


@pytest.mark.parametrize(("event", "action"), [("check_run", "created"), ("pull_request", "assigned")])
def test_what_means_nothing_to_us_says_why(tmp_path: Path, event: str, action: str) -> None:
    example = next(each for each in oracle.webhook_examples()[event] if each["action"] == action)
    file = tmp_path / "event.json"
    file.write_text(json.dumps(example))
    assert replay(tmp_path / "data", str(file), "--json").json["ignored"]


@pytest.mark.parametrize(
    ("text", "words", "code", "message"),
    [
        ("{", (), 2, "no JSON"),
        ("[]", (), 2, "no JSON object"),
        ("{}", (), 2, "no event that anything here follows from"),
        ('{"zen": "x"}', ("--event", "push"), 2, "X-GitHub-Event says push"),
        (None, (), 5, "there is no file"),
        ('{"zen": "x"}', ("--for-real",), 1, "no webhook secret"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str | None, words: tuple[str, ...], code: int, message: str) -> None:
    file = tmp_path / "event.json"
    if text is not None:
        file.write_text(text)
    said = replay(tmp_path / "data", str(file), *words)
    assert said.code == code, said.err
    assert message in said.err


def test_the_server_says_what_would_follow_and_takes_it_once_for_real(tmp_path: Path, github: FakeGitHub) -> None:
    server = HeadwayServer(tmp_path)
    app = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=github.private_key)
    save_config(server.data / "github", GitHubConfig(api=github.url, app=app, webhook_secrets=(SECRET,)))
    opened = open_app(Settings(data=server.data))
    know(opened, github.world)
    opened.close()
    file = kept(tmp_path, github, "ada", "/train lr=0.1\n/help")
    try:
        server.start()
        told = replay(server.data, file, "--server", "--json")
        assert told.code == 0, told.err
        train, helped = told.json["server"]["outcomes"]
        assert "I cannot be sure which commit you mean" in train["refusal"], "nobody told us of this head"
        assert (helped["command"], helped["refusal"]) == ("/help", "")
        assert told.json["server"]["came_before"] is False
        assert rows(server.data) == 0, "a rehearsal keeps nothing"

        stranger = kept(tmp_path, github, "eve", f"/train @{github.world.branches['better']}")
        (line,) = replay(server.data, stranger, "--server", "--json").json["server"]["outcomes"]
        assert "needs write permission" in line["refusal"]

        first = replay(server.data, file := kept(tmp_path, github, "ada", "/help"), "--for-real", "--json")
        assert first.json["answer"]["state"] == "accepted", first.err
        again = replay(server.data, file, "--for-real", "--server", "--json").json
        assert again["answer"]["state"] == "duplicate"
        assert again["server"]["came_before"] is True
        assert rows(server.data) == 1
        payload = copy.deepcopy(json.loads(Path(file).read_text()))
        payload["repository"]["id"] += 1
        Path(file).write_text(json.dumps(payload))
        refused = replay(server.data, file, "--for-real")
        assert refused.code == 1
        assert "404" in refused.err
    finally:
        server.kill()


def rows(data: Path) -> int:
    import sqlite3

    with sqlite3.connect(data / "headway.db") as database:
        return int(database.execute("select count(*) from inbox").fetchone()[0])
