"""The fake GitHub is understood by somebody else's client: PyGithub drives it through its main verbs (point 10)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import github
import pytest

from fakes.github.server import PERSONAL_TOKEN, FakeGitHub, running
from fakes.github.world import APP_ID, INSTALLATION, NAME

FAST = {"seconds_between_requests": 0, "seconds_between_writes": 0}  # it waits a second before each write otherwise


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGitHub]:
    folder: Path = tmp_path_factory.mktemp("pygithub")
    with running(folder / "github.git") as opened:
        opened.world.commit("main", {"README.md": "x"})
        opened.world.commit("better", {"README.md": "y"})
        opened.world.open_pull("better")
        opened.world.grant("ada", "maintain")
        yield opened
        assert opened.problems == []


@pytest.fixture(scope="module")
def person(fake: FakeGitHub) -> Iterator[github.Github]:
    client = github.Github(base_url=fake.url, auth=github.Auth.Token(PERSONAL_TOKEN), retry=None, lazy=False, **FAST)
    yield client
    client.close()


@pytest.fixture(scope="module")
def app(fake: FakeGitHub) -> Iterator[github.Github]:
    auth = github.Auth.AppAuth(APP_ID, fake.private_key)
    client = github.Github(base_url=fake.url, auth=auth.get_installation_auth(INSTALLATION), retry=None, **FAST)
    yield client
    client.close()


def test_repository_pulls_and_roles(fake: FakeGitHub, person: github.Github) -> None:
    assert person.get_user().login == "octavia"
    repo = person.get_repo(NAME)
    assert (repo.full_name, repo.id, repo.default_branch) == (NAME, fake.world.repo_number, "main")
    assert [each.number for each in repo.get_pulls(state="open")] == [1]
    pull = repo.get_pull(1)
    assert (pull.head.sha, pull.base.ref, pull.merged) == (fake.world.branches["better"], "main", False)
    assert repo.get_branch("main").commit.sha == fake.world.branches["main"]
    assert repo.get_collaborator_role_name("ada") == "maintain"
    with pytest.raises(github.UnknownObjectException):
        repo.get_pull(99)


def test_comments_are_made_edited_reacted_to_and_deleted(fake: FakeGitHub, person: github.Github) -> None:
    pull = person.get_repo(NAME).get_pull(1)
    comment = pull.create_issue_comment("hello")
    comment.edit("hello again")
    assert fake.world.comments[comment.id].body == "hello again"
    assert [each.body for each in pull.get_issue_comments()][-1] == "hello again"
    assert comment.create_reaction("eyes").content == "eyes"
    comment.delete()
    assert comment.id not in fake.world.comments


def test_more_than_a_page_is_followed_to_its_end(fake: FakeGitHub, person: github.Github) -> None:
    for number in range(70):
        fake.world.post(1, "ada", f"comment {number}")
    found = list(person.get_repo(NAME).get_pull(1).get_issue_comments())
    assert [each.body for each in found] == [f"comment {number}" for number in range(70)]


def test_statuses_and_deployments(fake: FakeGitHub, person: github.Github) -> None:
    repo, sha = person.get_repo(NAME), fake.world.branches["better"]
    status = repo._requester.requestJsonAndCheck(
        "POST", f"{repo.url}/statuses/{sha}", input={"state": "pending", "context": "headway/x", "description": "waits"}
    )[1]
    assert (status["state"], status["context"]) == ("pending", "headway/x")
    deployment = repo.create_deployment(sha, auto_merge=False, required_contexts=[], environment="staging")
    assert deployment.sha == sha
    assert deployment.create_status("success", description="serves").state == "success"
    assert [each.id for each in repo.get_deployments(environment="staging")] == [deployment.id]


def test_checks_are_the_app_s_alone(fake: FakeGitHub, app: github.Github, person: github.Github) -> None:
    sha = fake.world.branches["better"]
    run = app.get_repo(NAME).create_check_run("headway/x", sha, status="in_progress", external_id="e")
    run.edit(status="completed", conclusion="success", output={"title": "t", "summary": "s"})
    assert fake.world.checks[run.id]["conclusion"] == "success"
    with pytest.raises(github.GithubException) as refused:
        person.get_repo(NAME).create_check_run("headway/x", sha)
    assert refused.value.status == 403


def test_an_unknown_token_is_told_so(fake: FakeGitHub) -> None:
    client = github.Github(base_url=fake.url, auth=github.Auth.Token("nobody"), retry=None, **FAST)
    with pytest.raises(github.BadCredentialsException):
        client.get_repo(NAME)
    client.close()


def test_the_rate_limit_is_read(fake: FakeGitHub, person: github.Github) -> None:
    person.get_repo(NAME)
    remaining, limit = person.rate_limiting
    assert (remaining, limit) == (fake.remaining, 5000)
