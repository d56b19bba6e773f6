"""What `headway doctor` says of GitHub: every fault is named with its cause and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.databases import sqlite_copy
from fakes.github.server import PERSONAL_TOKEN, FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG, NAME
from headway.clock import SystemClock
from headway.db.connection import open_database
from headway.forges.github.config import GitHubApp, GitHubConfig
from headway.forges.github.forge import GitHubForge
from headway.forges.github.proof import Finding
from headway.forges.github.rehearsal import rehearse
from headway.forges.model import Repo

PUBLIC = "https://headway.example"


class Doctor:
    """A fake GitHub, and a forge that asks it."""

    def __init__(
        self, fake: FakeGitHub, folder: Path, *, with_app: bool = True, key: str = "", hooks: bool = True
    ) -> None:
        self.fake = fake
        app = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=key or fake.private_key)
        self.config = GitHubConfig(
            api=fake.url,
            app=app if with_app else None,
            token="" if with_app else PERSONAL_TOKEN,
            webhook_secrets=("secret",) if with_app and hooks else (),
        )
        database = open_database(sqlite_copy(folder))
        self.forge = GitHubForge(database, SystemClock(), config=self.config, mirrors=folder / "mirrors")
        if "main" not in fake.world.branches:
            fake.world.commit("main", {"README.md": "read me\n"})

    def repo(self) -> Repo:
        return self.forge.register_repo(NAME, by="test")

    def look(self, *, registered: bool = True) -> dict[str, Finding]:
        repos = (self.repo(),) if registered else ()
        found = list(self.forge.prove(repos, public_url=PUBLIC))
        for each in found:
            assert each.found, each
            assert each.state == "ok" or each.hint or each.cause, f"{each} does not say what to do"
        return {each.name.removeprefix(f"{NAME} "): each for each in found}


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    with running(tmp_path / "github.git") as found:
        yield found
        assert found.problems == []


@pytest.fixture
def doctor(fake: FakeGitHub, tmp_path: Path) -> Doctor:
    return Doctor(fake, tmp_path)


def _require(doctor: Doctor, source: int | None) -> None:
    check = {"context": "headway/tiny"} | ({"integration_id": source} if source else {})
    doctor.fake.world.protection["main"] = [
        {
            "type": "required_status_checks",
            "parameters": {"required_status_checks": [check], "strict_required_status_checks_policy": True},
            "ruleset_source_type": "Repository",
            "ruleset_source": NAME,
            "ruleset_id": 1,
        }
    ]


def test_all_is_well(doctor: Doctor) -> None:
    _require(doctor, APP_ID)
    doctor.fake.world.fork_policy = "all_external_contributors"
    found = doctor.look()
    assert {name: each.state for name, each in found.items()} == dict.fromkeys(found, "ok"), found
    assert {
        "github clock",
        "github credentials",
        "github webhook",
        "permissions",
        "events",
        "required check",
        "fork policy",
        "rate limit",
    } == set(found)
    assert APP_SLUG in found["github credentials"].found
    assert "4999 of 5000" in found["rate limit"].found


def _lacks_checks(doctor: Doctor) -> None:
    doctor.fake.world.permissions["checks"] = "read"
    del doctor.fake.world.permissions["deployments"]


def _has_more(doctor: Doctor) -> None:
    doctor.fake.world.permissions["administration"] = "write"


def _lacks_event(doctor: Doctor) -> None:
    doctor.fake.world.events.remove("merge_group")


def _sends_elsewhere(doctor: Doctor) -> None:
    doctor.fake.world.hook_config |= {"url": "https://old.example/webhooks/github"}


def _has_no_secret(doctor: Doctor) -> None:
    doctor.fake.world.hook_config.pop("secret")


def _wrong_secret(doctor: Doctor) -> None:
    _deliver(doctor, 403)


def _unreachable(doctor: Doctor) -> None:
    _deliver(doctor, 502)


def _deliver(doctor: Doctor, status: int) -> None:
    world = doctor.fake.world
    world.tell("push", **world.push_facts("main", None, "a" * 40), sender=world.user("ada"))
    last = world.deliveries[-1]
    object.__setattr__(last, "status", status)


def _clock_is_late(doctor: Doctor) -> None:
    doctor.fake.late = 300


def _unpinned(doctor: Doctor) -> None:
    _require(doctor, None)


def _pinned_to_another(doctor: Doctor) -> None:
    _require(doctor, 15368)


def _old_protection(doctor: Doctor) -> None:
    doctor.fake.world.old_protection["main"] = [{"context": "headway/tiny", "app_id": None}]


def _open_to_forks(doctor: Doctor) -> None:
    doctor.fake.world.fork_policy = "first_time_contributors_new_to_github"


def _spent(doctor: Doctor) -> None:
    doctor.fake.world.remaining = 100


@pytest.mark.parametrize(
    ("fault", "name", "state", "says"),
    [
        (_lacks_checks, "permissions", "fail", ["checks: write", "deployments: write", "nothing can be required"]),
        (_has_more, "permissions", "warn", ["administration: write"]),
        (_lacks_event, "events", "fail", ["merge_group", "queue"]),
        (_sends_elsewhere, "github webhook", "fail", ["https://old.example", f"{PUBLIC}/webhooks/github"]),
        (_has_no_secret, "github webhook", "fail", ["no secret"]),
        (_wrong_secret, "github webhook", "fail", ["403", "not one of ours"]),
        (_unreachable, "github webhook", "fail", ["502", "/health"]),
        (_clock_is_late, "github clock", "fail", [" s behind", "timedatectl"]),
        (_unpinned, "required check", "fail", ["headway/tiny", "anybody who may push", str(APP_ID)]),
        (_pinned_to_another, "required check", "fail", ["headway/tiny"]),
        (_old_protection, "required check", "fail", ["headway/tiny"]),
        (_open_to_forks, "fork policy", "warn", ["new to GitHub", "require approval"]),
        (_spent, "rate limit", "warn", ["100 of 5000"]),
    ],
)
def test_a_fault_is_named(
    doctor: Doctor, fault: Callable[[Doctor], None], name: str, state: str, says: list[str]
) -> None:
    """Rule 26 among them: a required check that is not pinned to our App can be forged."""
    fault(doctor)
    found = doctor.look()[name]
    text = f"{found.found} {found.cause} {found.hint}"
    assert found.state == state, found
    for each in says:
        assert each in text, found


def test_nothing_requires_our_check(doctor: Doctor) -> None:
    found = doctor.look()["required check"]
    assert found.state == "warn" and "requires none of ours" in found.found
    doctor.fake.world.old_protection["main"] = "hidden"
    assert "as far as we may see" in doctor.look()["required check"].found
    doctor.fake.world.old_protection["main"] = [{"context": "headway/tiny", "app_id": APP_ID}]
    assert doctor.look()["required check"].state == "ok"


def test_a_key_that_github_does_not_know(fake: FakeGitHub, tmp_path: Path) -> None:
    with running(tmp_path / "other.git", key="other") as other:
        found = Doctor(fake, tmp_path, key=other.private_key).look(registered=False)
    assert found["github credentials"].state == "fail"
    assert "--force" in found["github credentials"].hint
    assert "github webhook" not in found  # asking on with a dead key would only be noise


def test_an_app_that_is_not_installed(doctor: Doctor) -> None:
    repo = doctor.repo()
    doctor.fake.world.is_installed = False
    doctor.forge.tokens.forget_installation(77)
    found = {each.name: each for each in doctor.forge.prove((repo,), public_url=PUBLIC)}
    assert "not installed" in found[f"{NAME} installation"].found
    assert "/installations/new" in found[f"{NAME} installation"].hint


def test_a_token_cannot_be_pinned(fake: FakeGitHub, tmp_path: Path) -> None:
    found = Doctor(fake, tmp_path, with_app=False).look()
    assert "octavia" in found["github credentials"].found
    assert found["required check"].state == "warn" and "makes an App" in found["required check"].hint


def test_github_is_away(doctor: Doctor) -> None:
    doctor.fake.fail("GET", "/rules/branches", status=502)
    found = doctor.look()
    assert found["required check"].state == "fail" and found["rate limit"].state == "ok"


# --- --live ----------------------------------------------------------------------------------------


def _states(findings: list[Finding]) -> dict[str, str]:
    return {each.name: each.state for each in findings}


@pytest.mark.parametrize("with_app", [True, False])
def test_a_rehearsal_leaves_nothing_behind(fake: FakeGitHub, tmp_path: Path, *, with_app: bool) -> None:
    doctor = Doctor(fake, tmp_path, with_app=with_app, hooks=False)
    fake.world.commit("topic", {"a.txt": "a\n"})
    number = fake.world.open_pull("topic").number
    repo = doctor.repo()
    found = doctor.forge.rehearse(repo, change=number)
    wanted = ["change", "comment", "check", "deployment", "cleaning up"]
    assert _states(found) == dict.fromkeys(wanted, "ok"), found
    assert fake.world.comments == {} and fake.world.deployments == {}
    assert fake.calls("POST", r"/comments$") == 1
    if with_app:
        (check,) = fake.world.checks.values()
        assert (check["name"], check["conclusion"]) == ("headway/doctor", "neutral")
    else:
        assert {each["context"] for each in fake.world.statuses} == {"headway/doctor"}


def test_a_token_opens_a_change_for_it_and_closes_it(fake: FakeGitHub, tmp_path: Path) -> None:
    doctor = Doctor(fake, tmp_path, with_app=False)
    found = doctor.forge.rehearse(doctor.repo(), change=None)
    assert set(_states(found).values()) == {"ok"}, found
    (pull,) = fake.world.pulls.values()
    assert pull.state == "closed" and pull.branch not in fake.world.branches


def test_our_app_may_not_write_code_and_says_what_to_do(doctor: Doctor) -> None:
    (found,) = doctor.forge.rehearse(doctor.repo(), change=None)
    assert found.state == "fail" and f"--live {NAME} --change N" in found.hint


def test_a_step_that_fails_is_the_last_and_what_was_made_goes(doctor: Doctor) -> None:
    doctor.fake.world.commit("topic", {"a.txt": "a\n"})
    number = doctor.fake.world.open_pull("topic").number
    doctor.fake.fail("POST", "/check-runs", status=403, times=1, message="Resource not accessible by integration")
    found = rehearse(doctor.forge, doctor.repo(), change=number, arrives_within=0)
    states = _states(found)
    assert states["comment"] == "ok"
    assert "deployment" not in states and states["cleaning up"] == "ok"
    assert doctor.fake.world.comments == {}


def test_what_cannot_be_taken_away_is_named(fake: FakeGitHub, tmp_path: Path) -> None:
    doctor = Doctor(fake, tmp_path, hooks=False)
    fake.world.commit("topic", {"a.txt": "a\n"})
    number = fake.world.open_pull("topic").number
    fake.fail("DELETE", "/issues/comments/", status=500, times=1)
    found = {each.name: each for each in doctor.forge.rehearse(doctor.repo(), change=number)}
    assert found["cleaning up"].state == "fail" and "the comment" in found["cleaning up"].found
    assert fake.world.deployments == {}


def test_a_webhook_that_does_not_come_is_a_failure(doctor: Doctor) -> None:
    doctor.fake.world.commit("topic", {"a.txt": "a\n"})
    number = doctor.fake.world.open_pull("topic").number
    repo = doctor.repo()
    good = {each.name: each for each in rehearse(doctor.forge, repo, change=number, arrives_within=0)}
    assert good["webhook"].state == "ok"
    doctor.fake.world.deliveries.clear()
    doctor.fake.before = lambda method, path: doctor.fake.world.deliveries.clear() if "deliveries" in path else None
    bad = {each.name: each for each in rehearse(doctor.forge, repo, change=number, arrives_within=0)}
    assert bad["webhook"].state == "fail" and "no delivery" in bad["webhook"].cause
