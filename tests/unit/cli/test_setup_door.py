"""The set-up's door: nothing without the console's word (atlantis advisory #6622), and every word works once."""

from __future__ import annotations

import html
import json
import re
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakes.github.server import WEBHOOK_SECRET, FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG
from headway.cli.setup_door import SetupDoor
from headway.clock import FixedClock, SystemClock
from headway.errors import Refused, UsageError
from headway.forges.github.config import read_config
from headway.forges.github.manifest import Invitation, check_api, manifest, registration_page
from headway.forges.github.permissions import EVENTS, NEEDED, beyond, missing


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    with running(tmp_path / "github.git") as found:
        yield found
        assert found.problems == []


@pytest.fixture
def door(fake: FakeGitHub, tmp_path: Path) -> Iterator[SetupDoor]:
    found = _door(fake, tmp_path)
    yield found
    found.close()


def _door(fake: FakeGitHub, tmp_path: Path, **more: Any) -> SetupDoor:
    given = {"name": "headway-test", "public_url": "https://headway.example", "organisation": "", **more}
    return SetupDoor(api=fake.url, folder=tmp_path / "keys", clock=SystemClock(), **given)


def _form(page: str) -> tuple[str, str]:
    action = re.search(r'action="([^"]+)"', page)
    value = re.search(r'name="manifest" value="([^"]+)"', page)
    assert action and value, page
    return html.unescape(action[1]), html.unescape(value[1])


def _press(page: str) -> str:
    """Press the button as a browser does; return where GitHub sends it."""
    action, value = _form(page)
    answer = httpx.post(action, data={"manifest": value})
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


def test_an_app_is_made_and_its_keys_are_kept_for_the_owner_alone(door: SetupDoor, fake: FakeGitHub) -> None:
    back = _press(httpx.get(door.url).text)
    assert back.startswith(door.base)
    page = httpx.get(back)
    assert page.status_code == 200 and "is made" in page.text
    made = door.wait()
    kept = read_config(door._folder, {})
    assert kept == made.config
    assert kept.app is not None and (kept.app.id, kept.app.slug) == (APP_ID, APP_SLUG)
    assert kept.webhook_secrets == (WEBHOOK_SECRET,)
    assert stat.S_IMODE((door._folder / "app.json").stat().st_mode) == 0o600
    assert fake.private_key not in page.text and WEBHOOK_SECRET not in page.text
    (path, asked) = fake.manifests[0]
    assert path == "/settings/apps/new"
    assert asked["default_permissions"] == {each.name: each.level for each in NEEDED}
    assert asked["hook_attributes"] == {"url": "https://headway.example/webhooks/github", "active": True}
    assert asked["public"] is False


@pytest.mark.parametrize("path", ["/", "/setup", "/setup?token=", "/setup?token=guess", "/done?code=abc", "/app.json"])
def test_nothing_is_said_without_the_consoles_word(door: SetupDoor, fake: FakeGitHub, path: str) -> None:
    """Rule 5: whoever reaches the page first must not become the owner of the keys (atlantis #6622)."""
    answer = httpx.get(f"{door.base}{path}")
    assert answer.status_code == 403
    assert "manifest" not in answer.text and door.invitation.state not in answer.text
    assert fake.requests == [] and not door._folder.exists()


def test_a_code_that_nobody_asked_for_is_not_exchanged(door: SetupDoor, fake: FakeGitHub) -> None:
    """Rule 5: the advisory's attack sends its own code to the callback; the state is not known to it."""
    httpx.get(door.url)
    answer = httpx.get(f"{door.base}/done?code=attackers&state=guess")
    assert answer.status_code == 403
    assert fake.calls("POST", "conversions") == 0


def test_the_word_and_the_state_work_once(door: SetupDoor, fake: FakeGitHub) -> None:
    first = httpx.get(door.url)
    assert httpx.get(door.url).status_code == 403
    back = _press(first.text)
    assert httpx.get(back).status_code == 200
    assert httpx.get(back).status_code == 403
    assert fake.calls("POST", "conversions") == 1


def test_a_state_is_worth_nothing_before_the_page_was_opened() -> None:
    invitation = Invitation(SystemClock())
    assert not invitation.come_back(invitation.state)


def test_both_are_over_after_ten_minutes() -> None:
    clock = FixedClock(at=SystemClock().now())
    invitation = Invitation(clock)
    clock.advance(timedelta(minutes=10))
    assert not invitation.open(invitation.token)
    late = Invitation(clock)
    assert late.open(late.token)
    clock.advance(timedelta(minutes=10))
    assert not late.come_back(late.state)


def test_another_name_for_this_machine_gets_nothing(door: SetupDoor) -> None:
    """A page elsewhere that bends its own name to 127.0.0.1 would otherwise read ours."""
    answer = httpx.get(door.url, headers={"host": "evil.example"})
    assert answer.status_code == 403
    assert httpx.get(door.url).status_code == 200  # and the word is not used up by it


def test_the_page_leaks_nothing_to_where_it_leads(door: SetupDoor) -> None:
    answer = httpx.get(door.url)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    assert door.invitation.token not in answer.text


def test_github_refuses_the_code(door: SetupDoor, fake: FakeGitHub) -> None:
    back = _press(httpx.get(door.url).text)
    fake.codes.clear()
    assert "No App was made" in httpx.get(back).text
    with pytest.raises(Refused, match="404"):
        door.wait()
    assert not (door._folder / "app.json").exists()


def test_without_a_public_address_no_webhook_is_asked_for(fake: FakeGitHub, tmp_path: Path) -> None:
    door = _door(fake, tmp_path, public_url="", organisation="acme")
    try:
        httpx.get(_press(httpx.get(door.url).text))
        assert door.wait().config.webhook_secrets == ()
    finally:
        door.close()
    path, asked = fake.manifests[0]
    assert path == "/organizations/acme/settings/apps/new"
    assert asked["hook_attributes"]["active"] is False


@pytest.mark.parametrize(
    ("api", "page"),
    [
        ("https://api.github.com", "https://github.com/settings/apps/new"),
        ("https://github.corp.example/api/v3", "https://github.corp.example/settings/apps/new"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com/settings/apps/new"),
    ],
)
def test_the_page_of_every_kind_of_github(api: str, page: str) -> None:
    assert registration_page(check_api(f"{api}/")) == page


@pytest.mark.parametrize(
    "api", ["http://github.corp.example/api/v3", "https://github.com", "ftp://x", "https://me@host/api/v3", "x", ""]
)
def test_tokens_are_sent_to_no_such_address(api: str) -> None:
    with pytest.raises(UsageError):
        check_api(api)


def test_the_manifest_asks_for_what_is_used_and_no_more() -> None:
    asked = manifest(name="x", public_url="", back="http://127.0.0.1:1/done")
    granted = dict(asked["default_permissions"])
    assert missing(granted) == () and beyond(granted) == {}
    assert json.dumps(asked)
    assert set(asked["default_events"]) == set(EVENTS)
    assert "contents" in {each.name for each in missing({**granted, "contents": ""})}
    assert {each.name for each in missing({**granted, "checks": "read"})} == {"checks"}
    assert beyond({**granted, "administration": "write"}) == {"administration": "write"}
