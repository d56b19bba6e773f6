"""What only a browser can show: our scripts run under the strict policy, and nothing else does."""

from __future__ import annotations

import re
from typing import Any

import pytest

from headway.auth.model import Role
from headway.commands.model import Command, CommandState, Origin, Verb
from headway.commands.store import CommandStore
from headway.ids import new_id

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def inside(window: Any) -> Any:
    """The window after a login by the address that was printed: the token stands behind the #."""
    seen = window.look(f"/login?next=/jobs#token={window.site.token(Role.ADMIN)}")
    assert "<h1>Jobs</h1>" in seen.dom, seen.dom[:2000]
    assert not seen.console
    return window


def test_the_token_of_the_address_reaches_the_server_in_no_address(inside: Any) -> None:
    assert "POST /login" in inside.guarded.heard
    assert not any("hw_" in each for each in inside.guarded.heard)


def test_hostile_texts_run_nothing(inside: Any) -> None:
    site = inside.site
    for path in (f"/changes/{site.repo.id}/1", "/jobs/3", "/deployments", f"/releases/{site.release}"):
        seen = inside.look(path)
        assert "onerror" in seen.dom, f"{path} shows the hostile text"
        # A blocked attempt would be told there as well.
        assert seen.console == [], path
        assert not re.search(r"<img|<script(?! src=\"/static/)", seen.dom), path


def test_curves_and_log_come_in(inside: Any) -> None:
    seen = inside.look("/jobs/2")
    assert seen.console == []
    assert "<canvas" in seen.dom
    assert "drawn from 900 points" in seen.dom
    assert re.search(r'role="img" aria-label="val_auc\. #2: last ', seen.dom)
    assert "The log is empty." in seen.dom


def test_a_live_part_is_renewed_by_itself(inside: Any) -> None:
    site = inside.site
    command = Command(
        id=new_id(),
        verb=Verb.TRAIN,
        origin=Origin.WEB,
        repo_id=site.repo.id,
        actor="ada",
        at=site.app.clock.now(),
        head_sha="c" * 40,
    )
    with site.app.database.write() as tx:
        CommandStore(tx).add(command)
    path = f"/commands/{command.id}"
    asked: list[str] = []

    def carry_out(request: str) -> None:
        if request.partition("?")[0] != f"GET {path}":
            return
        asked.append(request)
        if len(asked) == 2:  # the first poll finds it done
            with site.app.database.write() as tx:
                store = CommandStore(tx)
                store.answer(command.id, "It is *done*.")
                store.move(
                    command.id,
                    to=CommandState.EXECUTED,
                    of=(CommandState.ACCEPTED,),
                    actor="ada",
                    at=command.at,
                )

    inside.guarded.on_request = carry_out
    try:
        seen = inside.look(path, milliseconds=6000)
    finally:
        inside.guarded.on_request = inside.guarded.heard.append
    assert seen.console == []
    assert "<p>It is <em>done</em>.</p>" in seen.dom
    assert "Waiting for the worker" not in seen.dom
    assert 'hx-trigger="every' not in seen.dom, "it has ended: nobody asks any more"
    assert len(asked) == 2


def test_a_running_log_is_followed(inside: Any) -> None:
    seen = inside.look("/jobs/4")
    assert seen.console == []
    assert "Following…" in seen.dom
    asked = [each for each in inside.guarded.heard if each.startswith("GET /jobs/4/log")]
    assert asked[0] == "GET /jobs/4/log"
    assert len(asked) > 2, "it asks again and again"
    assert all("cursor=" in each for each in asked[1:])
