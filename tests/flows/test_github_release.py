"""A release at GitHub from end to end: merged, asked for, held by the environment's rules, approved, canaried, told.

Point 7: what stands at GitHub is read as GitHub shows it. The endpoint, the canary and its traffic are real.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import select

from fakes.github.stage import ShiftedClock, open_stage
from flows.test_github_story import GitHubStage
from headway.commands.grammar import parse_comment
from headway.commands.model import Command, Origin, ParsedCommand
from headway.commands.store import CommandStore
from headway.db import schema
from headway.flow.environment_gate import read_look
from headway.ids import new_id
from headway.registry.store import RegistryStore
from headway.serving.model import Release, ReleaseState
from headway.serving.store import DeploymentStore, ReleaseStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """\
name: adder
pipeline:
  steps:
    train: {run: python train.py, outputs: [model]}
metrics:
  score: {goal: maximize}
model: {name: adder, path: model}
deploy:
  environment: production
  staging: false
  approval: {required: 0}
  strategy:
    canary:
      steps: [{weight: 50}, {weight: 100}]
      analysis: [{metric: error_rate, max: 0.5}]
  min_requests: 4
"""

TRAIN = """\
import json, os
os.makedirs("model", exist_ok=True)
open("model/headway_model.py", "w").write('''
class Model:
    def predict(self, data):
        return [float(data[at] + data[at + 1]) * FACTOR for at in range(0, len(data), 2)]  # flat, without NumPy
def load(folder):
    return Model()
''')
json.dump({"score": 0.5 + 0.1 * FACTOR}, open("metrics.json", "w"))
"""
NAME = "adder-production"
BACK = ["inactive", "inactive", "success"]


def train_script(factor: int) -> str:
    return TRAIN.replace("FACTOR", str(factor))


@dataclass
class Shop:
    """A Headway that serves what a change at the fake GitHub trained."""

    stage: GitHubStage
    clock: ShiftedClock

    def merged(self, branch: str, factor: int) -> int:
        """Open, train and merge a change; return its number once the merge has made its model a version."""
        world = self.stage.fake.world
        world.commit(branch, {"train.py": train_script(factor)})
        number = world.open_pull(branch).number
        self.stage.settle()
        world.comment(number, "ada", "/train")
        assert self.stage.concluded(number)["conclusion"] == "success"
        world.merge(number, squash=True)
        self.stage.tick_until(lambda: self.digest(factor), "the merge registers the model")
        return number

    def serves_main(self) -> None:
        """Train the default branch from a terminal and release it: the version that is there before the story."""
        self._type("/train")
        done = self.stage.tick_until(lambda: [each for each in self.stage.jobs() if each.settled_at], "main is trained")
        self._type(f"/deploy {done[0].number}")
        self.wait_for(ReleaseState.PROMOTED)
        self.stage.tick_until(lambda: self.standing() == ["success"], "GitHub is told of it")

    def _type(self, text: str) -> None:
        (parsed,) = parse_comment(text, {})
        assert isinstance(parsed, ParsedCommand)
        command = Command(
            id=new_id(),
            verb=parsed.verb,
            origin=Origin.CLI,
            repo_id=self.stage.repo.id,
            actor="ada",
            at=self.clock.now(),
            head_sha=self.stage.fake.world.branches["main"],
            branch="main",
            arguments=parsed.arguments,
        )
        with self.stage.app.database.write() as tx:
            CommandStore(tx).add(command)

    def digest(self, number: int) -> str:
        with self.stage.app.database.read() as tx:
            found = [each for each in RegistryStore(tx, self.clock).versions("adder") if each.number == number]
        return found[0].digest if found else ""

    @contextlib.contextmanager
    def tampered(self, number: int) -> Iterator[None]:
        """Let somebody change a version's files until the block ends."""
        with self.stage.app.database.read() as tx:
            version = RegistryStore(tx, self.clock).get_version("adder", number)
        code = self.stage.app.data / "artifacts" / version.source / "headway_model.py"
        honest = code.read_bytes()
        code.write_bytes(honest + b"# changed")
        yield
        code.write_bytes(honest)

    def release(self, state: ReleaseState | None = None) -> Release | None:
        """Return the newest release, when it is in that state."""
        with self.stage.app.database.read() as tx:
            found = ReleaseStore(tx).find(schema.release.c.repo_id == self.stage.repo.id)
        newest = max(found, key=lambda each: each.created_at, default=None)
        return newest if newest is not None and state in (None, newest.state) else None

    def wait_for(self, state: ReleaseState) -> Release:
        found: Release = self.stage.tick_until(lambda: self.release(state), f"the release is {state}")
        return found

    def say(self, number: int, who: str, text: str, answer: str) -> str:
        """Comment, and return the answer that is made to it."""
        before = {each.id for each in self.stage.ours()}
        self.stage.fake.world.comment(number, who, text)

        def answered() -> str:
            fresh = [each.body for each in self.stage.ours() if each.id not in before]
            return next((body for body in fresh if answer in body), "")

        found: str = self.stage.tick_until(answered, f"{text} by {who} is answered with {answer!r}")
        return found

    def told(self, deployment: int) -> list[str]:
        """Return the states that GitHub was told of a deployment, each change of them once."""
        states = [each["state"] for each in self.stage.fake.world.deployment_statuses[deployment]]
        return [state for at, state in enumerate(states) if at == 0 or states[at - 1] != state]

    def standing(self) -> list[str]:
        """Return what GitHub says of each deployment now, oldest first; "" of one that was only made."""
        return [(self.told(each["id"]) or [""])[-1] for each in self.records()]

    def records(self) -> list[dict[str, Any]]:
        return sorted(self.stage.fake.world.deployments.values(), key=lambda each: int(each["id"]))

    def predictions(self) -> list[float]:
        with self.stage.app.database.read() as tx:
            kept = DeploymentStore(tx).get(NAME)
        assert kept is not None
        assert kept.observed is not None
        answer = httpx.post(f"{kept.observed.url}/invocations", json={"instances": [[1, 2]]}, timeout=60)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    clock = ShiftedClock()
    files = {"headway.yaml": CONFIG, "train.py": train_script(1)}
    with open_stage(tmp_path, files=files, clock=clock, catch_up=3600) as stage:
        for name, role in (("ada", "maintain"), ("bea", "maintain"), ("carl", "maintain"), ("dora", "write")):
            stage.fake.world.grant(name, role)
        try:
            yield Shop(stage, clock)
        finally:
            stage.app.target("local").remove(NAME)


def test_a_merged_change_reaches_production_by_githubs_rules_and_back(shop: Shop) -> None:
    """Rules 17, 28, 29 and 30: only the listed reviewer, after the wait timer; the chain of it stands at GitHub."""
    world = shop.stage.fake.world
    shop.serves_main()
    assert shop.predictions() == [3.0]
    world.protect_environment("production", reviewers=("ada", "bea"), no_self_review=True, wait_minutes=30)
    second = shop.merged("two", 2)
    said = shop.say(second, "ada", "/deploy", "1 approval")
    assert "by ada or bea" in said  # headway.yaml asks for none: GitHub's settings do
    assert "30 minutes" in said
    waiting = shop.wait_for(ReleaseState.WAITING)
    assert "HW-OWN-RELEASE" in shop.say(second, "ada", "/approve", "HW-")
    assert "HW-NOT-A-REVIEWER" in shop.say(second, "carl", "/approve", "HW-")
    with shop.tampered(2):
        assert "are not those that were registered" in shop.say(second, "bea", "/approve", "to `/approve`")
    approval = shop.say(second, "bea", "/approve", "is approved")
    assert waiting.commit[:12] in approval
    assert shop.digest(2)[:12] in approval
    _is_held_by_the_wait_timer(shop)

    shop.clock.shift += timedelta(minutes=31)
    shop.wait_for(ReleaseState.CANARY)
    shop.stage.tick_until(lambda: [shop.predictions() for _ in range(4)] and shop.release(ReleaseState.PROMOTED), "100")
    shop.stage.tick_until(lambda: shop.standing() == ["inactive", "success"], "the first is inactive")
    assert shop.predictions() == [6.0]
    _stands_at_github(shop, second, waiting)
    _goes_back(shop, second)


def _is_held_by_the_wait_timer(shop: Shop) -> None:
    """Approved, and looked at anew since: it still changes nothing."""

    def why() -> str:
        kept = shop.release()
        look = None if kept is None else read_look(shop.stage.app, kept)
        return "" if look is None else look.why

    shop.stage.tick_until(lambda: "wait timer ends at" in why(), "GitHub's wait timer holds it")
    assert shop.release(ReleaseState.WAITING) is not None
    assert shop.predictions() == [3.0]


def _stands_at_github(shop: Shop, second: int, release: Release) -> None:
    older, newer = shop.records()
    assert shop.told(older["id"]) == ["queued", "in_progress", "success", "inactive"]
    assert shop.told(newer["id"]) == ["queued", "in_progress", "success"]
    assert (newer["sha"], newer["ref"], newer["auto_merge"]) == (release.commit, release.commit, False)
    job = next(each for each in shop.stage.jobs(change=second))
    (asked,) = [
        each for each in shop.stage.fake.world.comments.values() if each.body == "/deploy" and each.number == second
    ]
    chain = newer["payload"]
    assert chain["job"] == job.id
    with shop.stage.app.database.read() as tx:
        version = RegistryStore(tx, shop.clock).get_version("adder", 2)
    assert (chain["run"], chain["digest"]) == (version.run_id, version.digest)
    assert (chain["comment"], chain["requested_by"]) == (str(asked.id), "ada")
    _is_in_the_audit(shop, release, asked.id)
    assert (chain["replaces_version"], chain["previous_deployment"]) == ("1", str(older["id"]))


def _is_in_the_audit(shop: Shop, release: Release, comment: int) -> None:
    """Rule 32: who, by which comment and delivery, for which commit and digest, by which rules, decided what."""
    table = schema.event.c
    with shop.stage.app.database.read() as tx:
        rows = [dict(row) for row in tx.execute(select(schema.event).order_by(table.seq)).mappings()]
    about = [each for each in rows if each["entity_id"] in (release.id, release.command_id)]
    asked = about[0]
    told = next(
        each for each in shop.stage.fake.world.deliveries if each.payload.get("comment", {}).get("id") == comment
    )
    assert (asked["actor"], asked["detail"]["comment"], asked["detail"]["delivery"]) == ("ada", str(comment), told.guid)
    approved = next(each for each in about if each["actor"] == "bea")
    assert (approved["detail"]["sha"], approved["detail"]["digest"]) == (release.commit, shop.digest(2))
    assert (approved["detail"]["rules"], approved["detail"]["command"]) == (release.rules_commit, release.command_id)
    refused = [each for each in rows if each["entity"] == "command" and each["to_state"] == "refused"]
    assert "reviewer" in " ".join(each["reason"] for each in refused)


def _goes_back(shop: Shop, second: int) -> None:
    """Rule 30: in haste no gate, no reviewer and no timer, yet the right, the digest and a version that answers."""
    assert "HW-NOT-ALLOWED" in shop.say(second, "dora", "/rollback", "HW-")
    with shop.tampered(1):
        assert "are not those that were registered" in shop.say(second, "ada", "/rollback", "to `/rollback`")
    assert shop.predictions() == [6.0]
    shop.say(second, "ada", "/rollback", "goes back to v1")
    shop.wait_for(ReleaseState.ROLLED_BACK)
    shop.stage.tick_until(lambda: shop.standing() == BACK, "GitHub is told")
    assert shop.predictions() == [3.0]
    again = shop.records()[-1]
    assert again["sha"] == shop.records()[0]["sha"]
    assert (again["payload"]["version"], again["payload"]["replaces_version"]) == ("1", "2")
    assert again["payload"]["digest"] == shop.digest(1)
