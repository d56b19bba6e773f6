"""The outbox before GitHub by a hand-moved clock: outages end within two minutes, live edits are few, the dead show."""

from __future__ import annotations

import itertools
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, update

from fakes.github.outbox import Post, posting
from fakes.github.world import APP_ID
from headway.db import schema
from headway.flow import sending
from headway.flow.checkup import _outbox
from headway.flow.outbox import want
from headway.flow.sending import FAR_LIVE_EVERY, undelivered
from headway.forges.model import StatusState, WantedComment, WantedDeployment, WantedReaction, WantedStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.story import Story

MARKER = "<!-- headway:report project=flights -->"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    folder: Path = tmp_path_factory.mktemp("sending")
    with posting(folder) as post:
        yield post


@pytest.fixture
def post(opened: Post) -> Post:
    opened.restart()
    return opened


def _change(post: Post, name: str) -> tuple[int, str]:
    sha = post.fake.world.commit(name, {"train.py": f"{name}\n"})
    return post.fake.world.open_pull(name).number, sha


def _wishes(post: Post, number: int, sha: str, said: int) -> list[Any]:
    return [
        WantedReaction(repo_id=post.repo_id, number=number, comment_id=str(said), content="eyes"),
        WantedComment(repo_id=post.repo_id, number=number, marker=MARKER, body=f"{MARKER}\ndone {number}"),
        WantedStatus(
            repo_id=post.repo_id, sha=sha, context="headway/flights", state=StatusState.SUCCESS, title=f"done {number}"
        ),
        WantedDeployment(
            repo_id=post.repo_id,
            sha=sha,
            environment=f"env{number}",
            state="success",
            description="serves",
            payload={"release": f"r{number}"},
        ),
    ]


@pytest.mark.parametrize("how", [{"status": 502}, {"status": 0}, {"status": 503, "after": True}])
def test_after_an_outage_everything_stands_once_within_two_minutes(post: Post, how: dict[str, Any]) -> None:
    """Point 9: GitHub is away for ten minutes while five changes are told of; then all of it stands exactly once."""
    world, changes = post.fake.world, []
    for each in range(5):
        number, sha = _change(post, f"outage-{how['status']}-{each}")
        said = world.comment(number, "ada", "/train").id
        changes.append((number, sha, said))
        post.want(*_wishes(post, number, sha, said))
    post.asked.clear()
    post.fake.fail(times=100_000, **how)
    for _ in range(600):
        post.send()
        post.clock.forward(1)
    knocks = len(post.asked)
    # While it is away there is one knock at a time, not one for each of twenty things.
    assert 10 <= knocks <= 400, knocks
    post.fake.faults.clear()
    assert post.converge(120) <= 120
    for number, sha, said in changes:
        ours = [each.body for each in world.comments.values() if each.number == number and each.app == APP_ID]
        assert ours == [f"{MARKER}\ndone {number}"]
        assert [run["conclusion"] for run in world.checks.values() if run["head_sha"] == sha] == ["success"]
        assert [content for _, content in world.comments[said].reactions] == ["eyes"]
        made = [each["id"] for each in world.deployments.values() if each["environment"] == f"env{number}"]
        assert [[status["state"] for status in world.deployment_statuses[each]] for each in made] == [["success"]]


def test_writes_to_a_repository_come_one_after_the_other(post: Post) -> None:
    busy: list[int] = []
    most = 0

    def before(method: str, path: str) -> None:
        nonlocal most
        busy.append(1)
        most = max(most, len(busy))
        time.sleep(0.005)  # long enough for another to come in between
        post.before(method, path)
        busy.pop()

    number, sha = _change(post, "series")
    said = post.fake.world.comment(number, "ada", "/train").id
    post.fake.before = before
    post.want(*_wishes(post, number, sha, said))
    post.converge(60)
    post.fake.before = post.before
    assert most == 1


def test_live_edits_are_one_in_fifteen_seconds_and_an_end_goes_at_once(post: Post) -> None:
    _, sha = _change(post, "live")

    def status(title: str, state: StatusState = StatusState.PENDING) -> WantedStatus:
        return WantedStatus(repo_id=post.repo_id, sha=sha, context="headway/flights", state=state, title=title)

    post.want(status("waits"))
    post.send()
    post.asked.clear()
    for second in range(60):
        post.want(status(f"step 1, {second} s"), is_live=True)
        post.send()
        post.clock.forward(1)
    edits = [at for at, method, _ in post.asked if method == "PATCH"]
    assert 3 <= len(edits) <= 4
    assert all(later - earlier >= FAR_LIVE_EVERY for earlier, later in itertools.pairwise(edits))
    post.want(status("done", StatusState.SUCCESS))
    post.send()
    (run,) = [run for run in post.fake.world.checks.values() if run["head_sha"] == sha]
    assert (run["conclusion"], run["output"]["title"]) == ("success", "done")


def test_a_limit_that_github_names_is_obeyed_by_all_that_waits(post: Post) -> None:
    number, sha = _change(post, "limit")
    said = post.fake.world.comment(number, "ada", "/train").id
    post.want(*_wishes(post, number, sha, said))
    post.asked.clear()
    post.fake.fail("POST", status=429, headers={"retry-after": "77"})
    post.send()
    told = post.clock.now()
    count = len(post.asked)
    assert [row.problem.split(":")[0] for row in post.waiting() if row.problem] == ["GitHub asks us to wait"]
    assert post.converge(120) >= 77
    assert all(at >= told + timedelta(seconds=77) for at, _, _ in post.asked[count:])


def test_one_that_github_never_takes_does_not_stand_before_the_others(post: Post) -> None:
    number, sha = _change(post, "poison")
    said = post.fake.world.comment(number, "ada", "/train").id
    post.fake.fail("POST", f"/issues/{number}/comments$", status=500, times=100_000)
    reaction, comment, status, deployment = _wishes(post, number, sha, said)
    post.want(comment)
    for _ in range(5):
        post.send()
        post.clock.forward(61)
    post.want(reaction, status, deployment)
    for _ in range(3):
        post.send()
        post.clock.forward(61)
    assert [row.kind for row in post.waiting()] == ["comment"]


def test_doctor_shows_what_waits_and_why_and_what_was_given_up(post: Post) -> None:
    assert [item.state for item in _outbox(post.app)] == ["ok"]
    number, sha = _change(post, "shown")
    said = post.fake.world.comment(number, "ada", "/train").id
    _, _, status, _ = _wishes(post, number, sha, said)
    post.fake.fail("GET", "check-runs", status=502, times=50)
    post.want(status)
    post.send()
    (item,) = _outbox(post.app)
    assert item.state == "warn"
    assert f"headway/flights at {sha[:12]}: tried 1 times" in item.found
    assert "GitHub answers 502" in item.found
    post.want(WantedComment(repo_id=post.repo_id, number=9999, marker=MARKER, body=MARKER))
    post.send()
    first, second = _outbox(post.app)
    assert (first.state, second.state) == ("fail", "warn")
    assert "comment under change 9999: given up" in first.found


def test_a_permission_that_is_missing_is_waited_for(post: Post) -> None:
    """What an administrator can mend is never given up: it stands soon after it was mended."""
    number, _ = _change(post, "forbidden")
    post.fake.fail("POST", f"/issues/{number}/comments$", status=403, times=15, message="not accessible by integration")
    post.want(WantedComment(repo_id=post.repo_id, number=number, marker=MARKER, body=MARKER))
    for _ in range(20):
        post.send()
        post.clock.forward(301)
    assert post.waiting() == []


def test_what_was_never_tried_shows_after_a_minute(post: Post) -> None:
    number, _ = _change(post, "late")
    post.want(WantedComment(repo_id=post.repo_id, number=number, marker=MARKER, body=MARKER))
    with post.app.database.write() as tx:
        tx.execute(update(schema.outbox).values(next_at=post.clock.now() - timedelta(minutes=2)))
    with post.app.database.read() as tx:
        (found,) = undelivered(tx, post.clock.now())
    assert (found.what, found.why) == (f"comment under change {number}", "not tried yet")


def test_a_repository_that_is_far_behind_does_not_keep_another_s_status_from_being_sent(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(sending, "_send_all", lambda _app, rows: sent.extend(row.repo_id for row in rows))
    now = story.app.clock.now()
    with story.app.database.write() as tx:
        for name in ("behind", "other"):
            facts = {"id": name, "forge": "github", "name": name, "location": name, "default_branch": "main"}
            tx.execute(insert(schema.repo).values(**facts, cursor="", added_at=now, project=name))
        for number in range(2 * sending.AT_ONCE):
            wish = WantedComment(repo_id="behind", number=number, marker=MARKER, body=MARKER)
            want(tx, wish, now - timedelta(minutes=10))
        want(tx, WantedComment(repo_id="other", number=1, marker=MARKER, body=MARKER), now)
    story.background.run("send:behind", lambda: time.sleep(2))  # still at an earlier part of it
    sending.send_waiting(story.app, story.background, now)
    while "other" not in sent and story.background.is_busy:
        time.sleep(0.01)
    assert sent == ["other"]
