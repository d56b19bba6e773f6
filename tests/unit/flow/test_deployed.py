"""GitHub's record of releases: queued to success, the replaced one inactive, going back a record of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from fakes.github.outbox import Post, posting
from headway.commands.model import Command, Origin, Verb
from headway.commands.store import CommandStore
from headway.flow import deliver
from headway.ids import new_id
from headway.registry.model import Lineage
from headway.registry.store import RegistryStore
from headway.serving.model import Release, ReleaseState
from headway.serving.store import ReleaseStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

S = ReleaseState


@dataclass
class Rollouts:
    """Releases of one project, moved from state to state, each told to GitHub."""

    post: Post
    environment: str

    def start(
        self,
        version: int,
        sha: str,
        *,
        verb: Verb = Verb.DEPLOY,
        state: ReleaseState = S.PENDING,
        previous: int | None = None,
    ) -> Release:
        app, now = self.post.app, self.post.clock.now()
        command = Command(
            id=new_id(),
            verb=verb,
            origin=Origin.COMMENT,
            repo_id=self.post.repo_id,
            actor="ada",
            at=now,
            comment_id=f"77{version}{new_id()[-4:]}",
        )
        release = Release(
            id=new_id(),
            project="flights",
            repo_id=self.post.repo_id,
            environment=self.environment,
            model="flights",
            version=version,
            previous=previous,
            command_id=command.id,
            change=None,
            commit=sha,
            requested_by="ada",
            approved_by=(),
            state=state,
            reason="",
            step=0,
            stages=(),
            test_output="",
            version_no=1,
            created_at=now,
            job_id=new_id(),
        )
        with app.database.write() as tx:
            CommandStore(tx).add(command)
            ReleaseStore(tx).add(release, actor="ada")
        self.tell()
        return release

    def move(self, release: Release, *states: ReleaseState, reason: str = "") -> Release:
        for state in states:
            with self.post.app.database.write() as tx:
                fresh = replace(release, state=state, reason=reason)
                release = ReleaseStore(tx).save(fresh, before=release, actor="rollout", at=self.post.clock.now())
            self.tell()
        return release

    def tell(self) -> None:
        deliver.step(self.post.app, self.post.background)
        self.post.converge(60)

    def records(self) -> list[dict[str, Any]]:
        found = [each for each in self.post.fake.world.deployments.values() if each["environment"] == self.environment]
        return sorted(found, key=lambda each: int(each["id"]))

    def states(self) -> list[str]:
        statuses = self.post.fake.world.deployment_statuses
        return [statuses[each["id"]][-1]["state"] for each in self.records()]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    folder: Path = tmp_path_factory.mktemp("deployed")
    with posting(folder) as post:
        with post.app.database.write() as tx:
            registry = RegistryStore(tx, post.app.clock)
            for number in (1, 2):
                registry.register_candidate(
                    "flights",
                    source=f"models/{number}",
                    digest=f"{number}" * 64,
                    env_digest="",
                    env_path="",
                    lineage=Lineage(run_id=f"{number}" * 32, project="flights", repo_id=post.repo_id),
                    actor="ada",
                )
        yield post


@pytest.fixture
def rollouts(opened: Post, request: pytest.FixtureRequest) -> Rollouts:
    opened.clock.forward(3600)
    return Rollouts(opened, environment=f"e-{abs(hash(request.node.name)) % 10**8}")


def _sha(rollouts: Rollouts, name: str) -> str:
    return rollouts.post.fake.world.commit(f"{rollouts.environment}-{name}", {"train.py": name})


def test_a_release_is_told_through_its_rollout_with_its_chain(rollouts: Rollouts) -> None:
    """Rule 28: the whole commit, nothing merged by itself, no contexts asked; the chain stands in the payload."""
    sha = _sha(rollouts, "one")
    release = rollouts.move(rollouts.start(1, sha), S.STAGING, S.WAITING, S.LOADING, S.CANARY, S.PROMOTED)
    (record,) = rollouts.records()
    assert (record["sha"], record["ref"], record["auto_merge"]) == (sha, sha, False)
    told = [each["state"] for each in rollouts.post.fake.world.deployment_statuses[record["id"]]]
    assert [state for n, state in enumerate(told) if told[n - 1] != state or n == 0] == [
        "queued",
        "in_progress",
        "success",
    ]
    chain = record["payload"]
    assert (chain["release"], chain["run"], chain["digest"]) == (release.id, "1" * 32, "1" * 64)
    assert (chain["model"], chain["version"], chain["requested_by"]) == ("flights", "1", "ada")
    assert chain["comment"].startswith("771")
    latest = rollouts.post.fake.world.deployment_statuses[record["id"]][-1]
    assert latest["environment_url"].endswith(f"/deployments/flights-{rollouts.environment}")
    assert latest["log_url"].endswith(f"/releases/{release.id}")


def test_what_is_replaced_becomes_inactive_and_the_newer_names_it(rollouts: Rollouts) -> None:
    rollouts.move(rollouts.start(1, _sha(rollouts, "one")), S.LOADING, S.PROMOTED)
    second = rollouts.start(2, _sha(rollouts, "two"), previous=1)
    rollouts.move(second, S.LOADING, S.CANARY)
    assert rollouts.states() == ["success", "in_progress"]
    with rollouts.post.app.database.read() as tx:
        now = ReleaseStore(tx).get(second.id)
    assert now is not None
    rollouts.move(now, S.PROMOTED)
    assert rollouts.states() == ["inactive", "success"]
    one, two = rollouts.records()
    assert two["payload"]["previous_deployment"] == str(one["id"])
    assert two["payload"]["replaces_version"] == "1"


def test_going_back_is_a_new_record_of_the_earlier_commit(rollouts: Rollouts) -> None:
    first = _sha(rollouts, "one")
    rollouts.move(rollouts.start(1, first), S.LOADING, S.PROMOTED)
    rollouts.move(rollouts.start(2, _sha(rollouts, "two"), previous=1), S.LOADING, S.PROMOTED)
    back = rollouts.start(2, "f" * 40, verb=Verb.ROLLBACK, state=S.ROLLING_BACK, previous=1)
    assert rollouts.states() == ["inactive", "success", "in_progress"]
    rollouts.move(back, S.ROLLED_BACK, reason="rolled back by ada")
    assert rollouts.states() == ["inactive", "inactive", "success"]
    third = rollouts.records()[2]
    assert third["sha"] == first
    assert (third["payload"]["version"], third["payload"]["replaces_version"]) == ("1", "2")
    assert third["payload"]["previous_deployment"] == str(rollouts.records()[1]["id"])


def test_a_canary_that_is_taken_back_has_failed_and_what_served_goes_on(rollouts: Rollouts) -> None:
    rollouts.move(rollouts.start(1, _sha(rollouts, "one")), S.LOADING, S.PROMOTED)
    second = rollouts.start(2, _sha(rollouts, "two"), previous=1)
    rollouts.move(second, S.LOADING, S.CANARY, S.ROLLING_BACK, S.ROLLED_BACK, reason="error_rate 0.2 > 0.01")
    assert rollouts.states() == ["success", "failure"]
    said = rollouts.post.fake.world.deployment_statuses[rollouts.records()[1]["id"]][-1]["description"]
    assert said == "flights v2: rolled back error_rate 0.2 > 0.01"


def test_one_that_is_refused_while_it_waits_is_inactive(rollouts: Rollouts) -> None:
    rollouts.move(rollouts.start(1, _sha(rollouts, "one")), S.STAGING, S.WAITING, S.REFUSED, reason="superseded")
    assert rollouts.states() == ["inactive"]


def test_the_same_commit_released_again_is_a_record_of_its_own(rollouts: Rollouts) -> None:
    sha = _sha(rollouts, "one")
    rollouts.move(rollouts.start(1, sha), S.LOADING, S.FAILED, reason="did not load")
    rollouts.move(rollouts.start(1, sha), S.LOADING, S.PROMOTED)
    assert rollouts.states() == ["failure", "success"]
