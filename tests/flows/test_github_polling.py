"""A laptop without a public address: no webhook at all, by polling, as an App and with a person's token (point 1)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.github.stage import kept, open_stage
from fakes.github.world import APP_ID
from flows.test_github_story import GitHubStage
from flows.test_story import CONFIG, train_script
from headway.db import schema


@pytest.fixture(scope="module", params=["app", "token"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubStage]:
    folder = tmp_path_factory.mktemp("polling")
    with open_stage(folder, with_app=request.param == "app", has_door=False) as opened:
        assert opened.app.github is not None
        assert not opened.app.github.listens
        yield opened


def reports(stage: GitHubStage, number: int) -> list[str]:
    found = stage.fake.world.comments.values()
    return [each.body for each in found if each.number == number and (each.app == APP_ID or each.author == "octavia")]


def knows(stage: GitHubStage, sha: str) -> bool:
    with stage.app.database.read() as tx:
        return tx.execute(schema.change_head.select().where(schema.change_head.c.sha == sha)).first() is not None


def test_a_comment_becomes_a_status_and_a_report(stage: GitHubStage) -> None:
    world = stage.fake.world
    world.commit("better", {"train.py": train_script(0.7)})
    number = world.open_pull("better").number
    sha = world.branches["better"]
    stage.tick_until(lambda: knows(stage, sha), "the head is seen")
    stage.settle()
    world.comment(number, "ada", "please\n\n/train")
    stage.tick_until(lambda: any("0.8" in body for body in reports(stage, number)), "the report has the metric")

    def is_told() -> bool:
        by_check = any(each["head_sha"] == sha and each["conclusion"] == "success" for each in world.checks.values())
        return by_check or any(each["sha"] == sha and each["state"] == "success" for each in world.statuses)

    stage.tick_until(is_told, "the status is green")
    assert len(reports(stage, number)) == 1
    world.merge(number, squash=True)
    stage.tick_until(lambda: ("change_moved", "merged") in kept(stage), "the merge is seen")


def test_a_label_trains_a_change(stage: GitHubStage) -> None:
    """Point 13 without a webhook: found in GitHub's list of events, for a head that was known before."""
    world = stage.fake.world
    labelled = CONFIG + "triggers: {label: [train]}\n"
    world.commit("main", {"headway.yaml": labelled})
    sha = world.commit("labelled", {"train.py": train_script(0.9)})
    number = world.open_pull("labelled").number
    stage.tick_until(lambda: knows(stage, sha), "the head is seen")
    stage.settle()
    world.label(number, "train", actor="ada")
    (job,) = stage.tick_until(lambda: stage.jobs(change=number), "the label trains it")
    assert (job.commit, job.actor) == (sha, "ada")


def test_who_and_which_commit_hold_for_what_is_found_by_looking(stage: GitHubStage) -> None:
    """Rules 10, 12, 13 and 14: the role by GitHub's word, no head that nobody can have seen, a fork's commit whole."""
    world = stage.fake.world
    world.grant("eve", "read")
    world.commit("strict", {"train.py": train_script(0.6)})
    number = world.open_pull("strict").number
    stage.tick_until(lambda: knows(stage, world.branches["strict"]), "the head is seen")
    stage.settle()
    world.post(number, "eve", "/train")
    stage.tick_until(lambda: answered(stage, number, "@eve", "HW-NOT-ALLOWED"), "a reader is refused")
    with stage.fake._lock:  # no request is answered between the comment and the push
        world.post(number, "ada", "/train")
        pushed = world.commit("strict", {"train.py": train_script(0.65)}, actor="mallory")
    stage.tick_until(lambda: answered(stage, number, "HW-HEAD-UNSURE", f"/train @{pushed}"), "the commit is asked for")
    sha = world.commit("forked", {"train.py": train_script(0.6)}, actor="mallory")
    fork = world.open_pull("forked", author="mallory", from_fork=True).number
    stage.tick_until(lambda: knows(stage, sha), "the fork's head is seen")
    stage.settle()
    world.post(fork, "ada", f"/train @{sha[:20]}")
    stage.tick_until(lambda: answered(stage, fork, "HW-FORK-COMMIT", f"/train @{sha}"), "the whole commit is asked for")
    assert stage.jobs(change=number) == stage.jobs(change=fork) == []


def answered(stage: GitHubStage, number: int, *words: str) -> bool:
    return any(all(word in body for word in words) for body in reports(stage, number))


@pytest.mark.parametrize("who", ["bot", "edited", "old", "app", "own"])
def test_the_rules_of_the_door_hold_for_what_is_found_by_looking(stage: GitHubStage, who: str) -> None:
    """Rules 6 and 9, and row 6 of the attacks: no bot, no edit, nothing older than a day, nothing of ours."""
    world = stage.fake.world
    if not any(pull.state == "open" for pull in world.pulls.values()):
        world.commit("other", {"note.txt": "x"})
        world.open_pull("other")
    number = next(pull.number for pull in world.pulls.values() if pull.state == "open")
    text = f"/help {who}"
    if who == "own":
        comment = world.post(number, "headway-test[bot]", text, app=APP_ID)
    else:
        comment = world.post(
            number, "dependabot[bot]" if who == "bot" else "ada", text, app=7 if who == "app" else None
        )
    if who == "old":
        comment.created_at = comment.updated_at = "2026-01-01T00:00:00Z"
    if who == "edited":
        comment.updated_at = world.now(seconds=60)
    after = world.post(number, "ada", f"after {who}")
    stage.tick_until(lambda: ("comment_created", after.body) in kept(stage), "a later comment is seen")
    assert ("comment_created", text) not in kept(stage)
