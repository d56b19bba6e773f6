"""`headway init --github` in a real terminal against the fake GitHub: keys, a server that takes them up, no leaks."""

from __future__ import annotations

import html
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.conftest import Terminal
from fakes.github.server import PERSONAL_TOKEN, FakeGitHub, running
from fakes.github.world import APP_SLUG, NAME


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    with running(tmp_path / "github.git") as found:
        found.world.commit("main", {"README.md": "read me\n"})
        yield found
        assert found.problems == []


def test_a_repository_needs_a_github_that_is_set_up(alone: Terminal) -> None:
    done = alone("repo", "add", NAME, code=1)
    assert "GitHub is not set up here" in done.err and "headway init --github" in done.err
    assert "neither OWNER/REPO nor a folder" in alone("repo", "add", "flights", code=2).err
    assert alone("repo", "list", "--json").json == []


def test_an_app_is_set_up_while_the_server_runs(alone: Terminal, fake: FakeGitHub) -> None:
    alone("repo", "list")
    before = alone("server", "status", "--json").json["pid"]
    process = alone.start("init", "--github", "--api", fake.url, HEADWAY_PUBLIC_URL="https://headway.example")
    assert process.stderr is not None
    address = ""
    while not address:
        line = process.stderr.readline()
        assert line, "the set-up ended before it said its address"
        found = re.search(r"http://127\.0\.0\.1:\d+/setup\S+", line)
        address = found[0] if found else ""
    page = httpx.get(address).text
    action = re.search(r'action="([^"]+)"', page)
    value = re.search(r'name="manifest" value="([^"]+)"', page)
    assert action and value
    back = httpx.post(html.unescape(action[1]), data={"manifest": html.unescape(value[1])}).headers["location"]
    assert httpx.get(back).status_code == 200
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "started again" in err and f"/apps/{APP_SLUG}/installations/new" in err
    kept = alone.data / "github" / "app.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert fake.private_key not in out + err
    assert alone("server", "status", "--json").json["pid"] == before  # the same process, begun anew

    added = alone("repo", "add", NAME)
    found = {each["name"]: each for each in alone("doctor", "--json", code=None).json}
    assert found["github credentials"]["state"] == "ok"
    assert found["github webhook"]["state"] == "fail"  # this server was started without HEADWAY_PUBLIC_URL
    assert "HEADWAY_PUBLIC_URL" in found["github webhook"]["cause"]
    assert found[f"{NAME} permissions"]["state"] == "ok"
    live = alone("doctor", "--live", NAME, code=1)
    assert f"--live {NAME} --change N" in " ".join(live.out.split())
    assert "is not listened to" in alone("doctor", "--live", "acme/other", code=5).err
    assert NAME in added.out
    (repo,) = alone("repo", "list", "--json").json
    assert (repo["name"], repo["forge"], repo["default_branch"]) == (NAME, "github", "main")
    assert "--yes" in alone("repo", "remove", NAME, code=2).err
    alone("repo", "remove", NAME, "--yes")
    assert alone("repo", "list", "--json").json == []
    alone("repo", "add", NAME)
    assert len(alone("repo", "list", "--json").json) == 1
    other = alone("repo", "add", "acme/other", code=None)
    assert other.code and "not installed on acme/other" in other.err
    assert f"/apps/{APP_SLUG}/installations/new" in other.err
    assert "set up here already" in alone("init", "--github", "--api", fake.url, code=1).err


def test_a_token_comes_from_standard_input_and_is_tried_first(alone: Terminal, fake: FakeGitHub) -> None:
    wrong = alone("init", "--github", "--token", "--api", fake.url, stdin="ghp_wrong\n", code=1)
    assert "does not take this token" in wrong.err and "ghp_wrong" not in wrong.err
    assert not (alone.data / "github" / "app.json").exists()
    done = alone("init", "--github", "--token", "--api", fake.url, "--json", stdin=f"{PERSONAL_TOKEN}\n")
    assert done.json["user"] == "octavia" and done.json["server"] == "none runs"
    assert PERSONAL_TOKEN not in done.out + done.err
    assert NAME in alone("repo", "add", NAME).out


def test_keys_never_travel(alone: Terminal) -> None:
    done = alone("init", "--github", code=2, HEADWAY_URL="https://headway.example")
    assert "HEADWAY_URL" in done.err
