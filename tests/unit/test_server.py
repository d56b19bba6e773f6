"""What the server does before it listens, and who watches that it is not needed."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from fakes.story import Story
from headway import server
from headway.app import open_app, open_ground
from headway.commands.model import Verb
from headway.db import schema
from headway.errors import Unreachable, UsageError
from headway.flow.busy import is_busy
from headway.forges.github.config import GitHubConfig, save_config
from headway.server import Front
from headway.settings import KubernetesSettings, Settings


def test_what_others_could_see_of_the_data_directory_is_taken_from_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    server._make_private(data)
    assert data.stat().st_mode & 0o777 == 0o700
    server._make_private(tmp_path / "new" / "deep")
    assert (tmp_path / "new" / "deep").stat().st_mode & 0o777 == 0o700


def test_somebody_else_s_open_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)

    def not_ours(*_: Any, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chmod", not_ours)
    with pytest.raises(UsageError, match="can be read by others"):
        server._make_private(tmp_path)


def test_an_accepted_command_is_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(tmp_path)
    assert not is_busy(story.app.database, story.app.clock)
    story.command(Verb.HELP)
    assert is_busy(story.app.database, story.app.clock)

    def away(*_: Any) -> None:
        raise Unreachable("the database does not answer")

    monkeypatch.setattr(type(story.app.database), "read", away)
    assert is_busy(story.app.database, story.app.clock), "a database that is away for a moment stops no server"
    story.close()


def test_a_purge_is_work_and_one_that_is_held_up_for_days_is_none(tmp_path: Path) -> None:
    story = Story(tmp_path)
    now = story.app.clock.now()
    facts = {"actor": "ada", "cause": "person", "state": "running", "total": 1, "notes": []}
    with story.app.database.write() as tx:
        tx.execute(insert(schema.purge).values(id="old", asked_at=now - timedelta(days=3), **facts))
    assert not is_busy(story.app.database, story.app.clock)
    with story.app.database.write() as tx:
        tx.execute(insert(schema.purge).values(id="new", asked_at=now, **facts))
    assert is_busy(story.app.database, story.app.clock)
    story.close()


def test_a_server_that_listens_to_github_never_stops_by_itself(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    ground = open_ground(settings)
    assert not server._is_needed(ground)
    save_config(settings.data / "github", GitHubConfig(token="ghp_" + "x" * 36))
    assert server._is_needed(ground)
    ground.close()


def test_what_only_tracks_opens_no_more_than_it_needs(tmp_path: Path) -> None:
    open_ground(Settings(data=tmp_path / "data")).close()  # making the tables needs more
    code = "import sys, headway.cli.server, headway.server as s, headway.app as a; from pathlib import Path; "
    code += f"a.open_ground(s.Settings(data=Path({str(tmp_path / 'data')!r}))).close(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "headway.tracking.writer" in loaded
    heavy = (
        "headway.serving",
        "headway.engines",
        "headway.environments",
        "headway.jobs",
        "headway.web.site",
        "starlette",
    )
    assert [each for each in loaded if each.startswith((*heavy, "sqlalchemy.dialects.postgresql", "ruamel"))] == []


def test_pods_may_call_it_by_the_address_that_the_cluster_has(tmp_path: Path) -> None:
    cluster = KubernetesSettings(namespaces=("ml",), image="headway:1", server_url="https://headway.ml.svc:8443/")
    for kubernetes, is_known in ((cluster, True), (KubernetesSettings(), False)):
        app = open_app(Settings(data=tmp_path / str(is_known), kubernetes=kubernetes))
        front = Front(app.settings, None, None, 7474)  # type: ignore[arg-type]  # no request gets that far
        assert ("headway.ml.svc:8443" in front._hosts) is is_known
        assert "127.0.0.1:7474" in front._hosts
        app.close()
