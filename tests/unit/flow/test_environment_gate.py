"""GitHub's protection of an environment, mirrored: nothing goes out that its settings would have held (rule 29)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fakes.github.outbox import Post, posting
from headway.errors import Refused, UsageError
from headway.flow import environment_gate
from headway.flow.environment_gate import check_approver, held, needs, read_look
from headway.forges.model import EnvironmentRules
from headway.ids import new_id
from headway.projects.model import DeploySpec
from headway.serving.model import Release, ReleaseState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    folder: Path = tmp_path_factory.mktemp("gate")
    with posting(folder) as post:
        yield post


@pytest.fixture
def post(opened: Post, monkeypatch: pytest.MonkeyPatch) -> Post:
    opened.fake.world.environments.clear()
    opened.fake.world.permissions.pop("members", None)
    opened.restart()
    # Which branch a job's model comes from is the jobs' matter: here it is the default one.
    monkeypatch.setattr(environment_gate, "_branch", lambda *_: "main")
    monkeypatch.setattr(environment_gate.JobStore, "get", lambda *_: None)
    return opened


def _release(post: Post, **more: Any) -> Release:
    facts: dict[str, Any] = {"approved_by": (), "state": ReleaseState.STAGING, **more}
    return Release(
        id=new_id(),
        project="flights",
        repo_id=post.repo_id,
        environment="production",
        model="flights",
        version=2,
        previous=1,
        command_id="c",
        change=1,
        commit="a" * 40,
        requested_by="ada",
        reason="",
        step=0,
        stages=(),
        test_output="",
        version_no=1,
        created_at=post.clock.now(),
        spec=DeploySpec(),
        job_id="j",
        **facts,
    )


def _held(post: Post, release: Release) -> str:
    """Look until the look is of now."""
    post.clock.forward(31)
    held(post.app, post.background, release)
    while post.background.is_busy:
        pass
    return held(post.app, post.background, release)


def test_an_environment_that_github_does_not_have_asks_for_nothing_more(post: Post) -> None:
    assert _held(post, _release(post)) == ""


def test_nothing_goes_out_before_github_was_read(post: Post) -> None:
    assert held(post.app, post.background, _release(post)) == environment_gate.NEVER_READ


def test_what_cannot_be_read_holds_and_an_old_look_counts_for_nothing(post: Post) -> None:
    release = _release(post)
    assert _held(post, release) == ""
    post.fake.fail("GET", "/environments/", status=502, times=3)
    assert "cannot be read" in _held(post, release)
    assert _held(post, replace(release, id=new_id())) != ""
    post.fake.faults.clear()
    assert _held(post, release) == ""
    post.clock.forward(61)
    assert held(post.app, post.background, release) == environment_gate.NEVER_READ


def test_only_a_listed_reviewer_lets_it_through(post: Post) -> None:
    post.fake.world.protect_environment("production", reviewers=("bea", "carl"))
    release = _release(post)
    assert _held(post, release) == "it needs an approval by bea or carl"
    assert _held(post, replace(release, approved_by=("zoe",))) == "it needs an approval by bea or carl"
    assert _held(post, replace(release, approved_by=("zoe", "Bea"))) == ""
    look = read_look(post.app, release)
    assert look is not None and look.who == "1 approval, by bea or carl"
    with pytest.raises(Refused, match="zoe is no reviewer of production") as refused:
        check_approver(post.app, release, "zoe")
    assert "bea or carl" in refused.value.cause
    check_approver(post.app, release, "carl")


def test_an_approval_counts_no_more_once_its_author_is_no_reviewer(post: Post) -> None:
    """Read again at execution: the settings may have changed since the approval."""
    post.fake.world.protect_environment("production", reviewers=("bea",))
    release = _release(post, approved_by=("bea",))
    assert _held(post, release) == ""
    post.fake.world.protect_environment("production", reviewers=("carl",))
    assert _held(post, release) == "it needs an approval by carl"


def test_a_team_counts_where_github_tells_who_is_in_it(post: Post) -> None:
    post.fake.world.protect_environment("production", teams=("ml",))
    post.fake.world.teams = {"ml": ("bea",)}
    release = _release(post, approved_by=("bea",))
    assert "does not say who is in the team acme/ml" in _held(post, release)
    with pytest.raises(Refused, match="does not say who is in the team") as refused:
        check_approver(post.app, release, "bea")
    assert "members: read" in refused.value.hint
    post.fake.world.permissions["members"] = "read"
    assert _held(post, release) == ""
    check_approver(post.app, release, "bea")
    with pytest.raises(Refused, match="zoe is no reviewer"):
        check_approver(post.app, release, "zoe")


def test_nobody_lets_their_own_release_through_where_github_forbids_it(post: Post) -> None:
    post.fake.world.protect_environment("production", reviewers=("ada", "bea"), no_self_review=True)
    assert _held(post, _release(post, approved_by=("ada",))) == "it needs an approval by ada or bea"
    assert _held(post, _release(post, approved_by=("ada", "bea"))) == ""


def test_the_wait_timer_holds_after_every_approval(post: Post) -> None:
    post.fake.world.protect_environment("production", wait_minutes=30)
    release = _release(post, approved_by=("bea",))
    assert "wait timer ends at" in _held(post, release)
    post.clock.forward(29 * 60)
    assert _held(post, release) == ""


def test_branches_that_the_environment_does_not_take_are_held(post: Post) -> None:
    post.fake.world.protect_environment("production", branches=("release/*",))
    assert _held(post, _release(post)) == "production takes deployments of release/* only, not of main"
    post.fake.world.protect_environment("production", branches=("main",))
    assert _held(post, _release(post)) == ""
    post.fake.world.protect_environment("production", protected_only=True)
    assert _held(post, _release(post)) == ""
    post.fake.world.protected.discard("main")
    assert "main is not protected" in _held(post, _release(post))
    post.fake.world.protected.add("main")


def test_a_rule_that_we_cannot_keep_is_not_taken_for_none(post: Post) -> None:
    post.fake.world.environments["production"] = {
        "name": "production",
        "protection_rules": [{"id": 9, "node_id": "R9", "type": "wait_timer", "wait_timer": 1}],
    }
    post.fake.world.environments["production"]["protection_rules"][0]["type"] = "custom"
    github = post.app.github
    assert github is not None
    with pytest.raises(UsageError, match="'custom', which Headway cannot keep"):
        github.environment(post.repo_id, "production")
    assert "cannot be read" in _held(post, _release(post))
    # The description names three kinds; the fake's judge has nothing to say of a fourth.
    post.fake.problems.clear()


def test_the_stricter_of_both_files_counts() -> None:
    github = EnvironmentRules(name="production", reviewers=("bea",), wait_minutes=5)
    two = DeploySpec(approvals=2, reviewers=("@carl",))
    assert needs(github, two) == (
        "2 approvals, one of them by bea, only by carl (headway.yaml), "
        "5 minutes after it was asked for (GitHub's wait timer)"
    )
    assert needs(github, DeploySpec(approvals=0)).startswith("1 approval, by bea")
    assert needs(None, DeploySpec(approvals=0)) == ""
