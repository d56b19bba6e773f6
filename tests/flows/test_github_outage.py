"""The server is away while people work at GitHub; afterwards everything has arrived, once (rules 2 and 3, point 2)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.github.answers import Asked, answer
from fakes.github.stage import kept, open_stage
from flows.test_github_story import GitHubStage

ASKED = {"comment_created", "change_labelled", "check_pressed", "queue_entered", "dispatched"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitHubStage]:
    with open_stage(tmp_path) as opened:
        world = opened.fake.world
        world.commit("better", {"note.txt": "x"})
        world.open_pull("better")
        opened.settle()
        yield opened


def work(stage: GitHubStage, mark: str) -> Counter[tuple[str, str]]:
    """Let people do everything that GitHub would tell of, and return what must be kept of it."""
    world = stage.fake.world
    for number in range(3):
        world.comment(1, "ada", f"/help {mark}{number}")
    world.comment(1, "ada", f"only words {mark}")
    world.label(1, f"label-{mark}")
    body = {"name": f"headway/{mark}", "head_sha": world.branches["better"], "external_id": mark}
    _, check = answer(world, "checks/create", Asked({}, {}, body, "installation"))
    world.press(check["id"], "rerun")
    queued = world.queue(1)
    world.dispatch(f"retrain-{mark}", {"why": mark})
    said = [f"/help {mark}0", f"/help {mark}1", f"/help {mark}2", f"only words {mark}"]
    return Counter(
        [
            *(("comment_created", text) for text in said),
            ("change_labelled", f"label-{mark}"),
            ("check_pressed", "rerun"),
            ("queue_entered", queued),
            ("dispatched", f"retrain-{mark}"),
        ]
    )


def asked(stage: GitHubStage) -> Counter[tuple[str, str]]:
    return Counter(each for each in kept(stage) if each[0] in ASKED)


def answers(stage: GitHubStage, mark: str) -> list[str]:
    """Return which of the lines that are no command were answered, as often as they were."""
    return sorted(word for body in stage.bodies() for word in re.findall(rf"`({mark}\d)`", body))


def test_what_happened_while_the_server_was_away_arrives_once(stage: GitHubStage) -> None:
    before = asked(stage)
    with stage.sender.nobody_there() as lost:
        wanted = work(stage, "away")
    stage.tick_until(lambda: asked(stage) - before == wanted, f"{wanted} arrives")
    stage.tick_until(lambda: len(answers(stage, "away")) == 3, "each /help is answered")

    # Somebody presses "Redeliver" for each of them at GitHub: the same ids again.
    states = {stage.sender.send(each).json()["state"] for each in lost if each.event != "push"}
    assert states <= {"duplicate", "ignored"}
    for _ in range(5):
        stage.worker.tick()
    assert asked(stage) - before == wanted
    assert answers(stage, "away") == ["away0", "away1", "away2"]


def test_more_than_a_page_of_deliveries_is_caught_up_with(stage: GitHubStage) -> None:
    before = asked(stage)
    with stage.sender.nobody_there():
        for number in range(230):
            stage.fake.world.label(1, f"page-{number}")
    wanted = Counter(("change_labelled", f"page-{number}") for number in range(230))
    stage.tick_until(lambda: asked(stage) - before == wanted, "230 labels arrive")


def test_what_was_taken_is_not_fetched_again(stage: GitHubStage) -> None:
    before, fetched = asked(stage), stage.fake.calls("GET", r"/app/hook/deliveries/\d+$")
    wanted = work(stage, "here")
    stage.sender.send_new()
    looks = stage.fake.calls("GET", r"/app/hook/deliveries$")
    stage.tick_until(lambda: stage.fake.calls("GET", r"/app/hook/deliveries$") > looks + 1, "two more looks")
    assert asked(stage) - before == wanted
    assert stage.fake.calls("GET", r"/app/hook/deliveries/\d+$") == fetched
