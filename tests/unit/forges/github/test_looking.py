"""Looking at a repository, and at the App's list of deliveries: what a look costs, and what it may miss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.databases import sqlite_copy
from fakes.github.server import PERSONAL_TOKEN, FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG, NAME
from headway.clock import SystemClock
from headway.db.connection import open_database
from headway.errors import Unreachable
from headway.forges.github.config import GitHubApp, GitHubConfig
from headway.forges.github.forge import GitHubForge
from headway.forges.model import ChangeLabelled, ChangeMoved, CommentCreated, Event


@dataclass
class Looked:
    fake: FakeGitHub
    forge: GitHubForge
    repo_id: str
    cursor: str

    def look(self) -> tuple[Event, ...]:
        page = self.forge.events_since(self.repo_id, self.cursor)
        self.cursor = page.cursor
        return page.events

    def cost(self) -> tuple[int, int]:
        """Requests of one look, and how many of them were answered "not modified"."""
        asked, unchanged = len(self.fake.requests), self.fake.unchanged
        self.look()
        return len(self.fake.requests) - asked, self.fake.unchanged - unchanged


@pytest.fixture(params=["app", "app with a door", "token"])
def looked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Looked]:
    with_app = request.param != "token"
    with running(tmp_path / "github.git", with_app=with_app) as fake:
        app = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key) if with_app else None
        secrets = ("a secret of this webhook",) if "door" in request.param else ()
        token = "" if with_app else PERSONAL_TOKEN
        config = GitHubConfig(api=fake.url, app=app, token=token, webhook_secrets=secrets)
        database = open_database(sqlite_copy(tmp_path))
        forge = GitHubForge(database, SystemClock(), config=config, mirrors=tmp_path / "mirrors")
        fake.world.commit("main", {"README.md": "x"})
        fake.world.commit("better", {"README.md": "y"})
        fake.world.open_pull("better")
        repo_id = forge.register_repo(NAME, by="test").id
        made = Looked(fake, forge, repo_id, forge.events_since(repo_id, "").cursor)
        yield made
        database.close()
        assert fake.problems == []


def test_a_look_at_a_quiet_repository_costs_nothing_of_the_limit(looked: Looked) -> None:
    """Each request is answered 304: a look in 15 seconds is 960 requests an hour, and 0 of 5,000 are used up."""
    looked.look()
    asked = 4  # the last is the list of deliveries where webhooks come in, and that of labels where none do
    assert looked.cost() == (asked, asked)
    assert looked.cost() == (asked, asked)


def test_a_comment_costs_one_answer(looked: Looked) -> None:
    looked.fake.world.post(1, "ada", "hello")  # whose token it is, is asked once
    looked.look()
    looked.fake.world.post(1, "ada", "/train")
    asked, unchanged = looked.cost()
    assert asked - unchanged == 1


def test_comments_on_issues_and_those_from_before_a_first_look_are_nothing(looked: Looked) -> None:
    looked.fake.world.post(1, "ada", "/train")
    assert [each for each in looked.look() if isinstance(each, CommentCreated)]
    looked.cursor = looked.forge.events_since(looked.repo_id, "").cursor
    assert looked.look() == ()


def test_a_change_that_github_took_away_is_closed_and_ends_no_look(looked: Looked) -> None:
    """Spam is removed with its pull requests: asking for one answers 404 from then on, at every look."""
    del looked.fake.world.pulls[1]
    (gone,) = looked.look()
    assert isinstance(gone, ChangeMoved)
    assert (gone.action, gone.change.number, gone.change.state) == ("closed", 1, "closed")
    assert looked.look() == ()


@pytest.mark.parametrize("looked", ["token"], indirect=True)
def test_a_branch_may_be_called_anything_that_git_takes(looked: Looked) -> None:
    for name in ("a#b", "100%25", "a/b+c"):
        sha = looked.fake.world.commit(name, {"x": name})
        assert looked.forge.branch_tip(looked.repo_id, name) == sha


def test_repeating_a_look_repeats_its_answer(looked: Looked) -> None:
    before = looked.cursor
    looked.fake.world.post(1, "ada", "/train")
    first = looked.look()
    looked.cursor = before
    again = looked.look()
    assert [each.delivery for each in first] == [each.delivery for each in again]


@pytest.mark.parametrize("looked", ["app", "token"], indirect=True)
def test_a_label_is_found_once_as_it_was_put_on(looked: Looked) -> None:
    """By GitHub's list of events: who put it on which change when, and not what a newer look has seen."""
    world = looked.fake.world
    world.label(1, "train", actor="ada")
    (found,) = [each for each in looked.look() if isinstance(each, ChangeLabelled)]
    assert (found.change.number, found.label, found.actor) == (1, "train", "ada")
    assert found.change.head_sha == world.branches["better"]
    assert found.at is not None
    assert found.at <= datetime.now(UTC)
    assert looked.look() == ()
    world.label(1, "late")
    world.issue_events[-1]["created_at"] = "2026-01-01T00:00:00Z"
    world.label(1, "gone")
    world.issue_events[-1]["event"] = "unlabeled"
    world.close(1)
    world.label(1, "closed")
    assert [each for each in looked.look() if isinstance(each, ChangeLabelled)] == []


@pytest.mark.parametrize("looked", ["app with a door"], indirect=True)
def test_a_label_is_not_looked_for_where_github_tells_of_it(looked: Looked) -> None:
    looked.fake.world.label(1, "train")
    assert looked.look() == ()
    assert looked.fake.calls("GET", "/issues/events") == 0


@pytest.mark.parametrize("looked", ["app"], indirect=True)
def test_a_cursor_from_before_labels_were_looked_for_begins_with_the_newest(looked: Looked) -> None:
    looked.fake.world.label(1, "train")
    kept = json.loads(looked.cursor)
    del kept["event"]
    looked.cursor = json.dumps(kept)
    assert looked.look() == ()
    looked.fake.world.label(1, "again")
    assert missed(looked) == ["again"]


def missed(looked: Looked) -> list[str]:
    return [each.label for each in looked.look() if isinstance(each, ChangeLabelled)]


@pytest.mark.parametrize("looked", ["app with a door"], indirect=True)
def test_a_delivery_that_ended_later_than_a_younger_one_is_found(looked: Looked) -> None:
    """GitHub lists a delivery once it has ended, and their order is not promised."""
    world = looked.fake.world
    just = datetime.now(UTC).isoformat()
    world.label(1, "slow")
    world.label(1, "fast")
    slow, fast = (replace(each, status=502, at=just) for each in world.deliveries[-2:])
    world.deliveries[-2:] = [fast]
    assert missed(looked) == ["fast"]
    world.deliveries[-1:] = [slow, fast]
    assert "slow" in missed(looked)
    ago = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    world.deliveries[-2:] = [replace(slow, at=ago), replace(fast, at=ago)]
    looked.look()
    assert missed(looked) == [], "what is old enough is not looked at again"


@pytest.mark.parametrize("looked", ["app with a door"], indirect=True)
def test_a_look_that_is_broken_off_goes_on_where_it_was(looked: Looked) -> None:
    """More may be lost than our limit lets us fetch at once: starting over each time would never come to the end."""
    fake = looked.fake
    fake.world.door_answers = 502
    for number in range(4):
        fake.world.label(1, f"lost-{number}")
    last = fake.world.deliveries[-1].id
    fake.fail("GET", f"/app/hook/deliveries/{last}", status=502, times=1)
    with pytest.raises(Unreachable):
        looked.look()
    fetched = fake.calls("GET", r"/app/hook/deliveries/\d+$")
    assert missed(looked) == [f"lost-{number}" for number in range(4)]
    assert fake.calls("GET", r"/app/hook/deliveries/\d+$") == fetched + 1
    assert missed(looked) == []


@pytest.mark.parametrize("looked", ["app with a door"], indirect=True)
def test_a_delivery_that_was_sent_again_by_hand_and_taken_is_not_fetched(looked: Looked) -> None:
    world = looked.fake.world
    world.label(1, "again")
    failed = replace(world.deliveries[-1], status=502)
    world.deliveries[-1:] = [failed, replace(failed, id=world.next_id(), status=202)]
    assert missed(looked) == []


@pytest.mark.parametrize("looked", ["app with a door"], indirect=True)
def test_one_that_cannot_be_read_does_not_hide_the_others(looked: Looked) -> None:
    world = looked.fake.world
    for name in ("before", "broken", "after"):
        world.label(1, name)
    found = [replace(each, status=0) for each in world.deliveries[-3:]]
    found[1] = replace(found[1], payload={"repository": world.repository(), "pull_request": 5, "number": 1})
    world.deliveries[-3:] = found
    assert missed(looked) == ["before", "after"]
