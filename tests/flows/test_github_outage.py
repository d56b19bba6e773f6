"""The server is away while people work at GitHub; afterwards everything has arrived, once (rules 2 and 3, point 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from fakes.github.answers import Asked, answer
from fakes.github.stage import kept, open_stage
from flows.test_github_story import GitHubStage

ASKED = {"comment_created", "change_labelled", "check_pressed", "queue_entered", "dispatched"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubStage]:
    with open_stage(tmp_path_factory.mktemp("outage")) as opened:
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


def test_what_happened_while_the_server_was_away_arrives_once(stage: GitHubStage) -> None:
    before = asked(stage)
    wanted = work(stage, "away")
    lost = stage.sender.lose_new()
    stage.tick_until(lambda: asked(stage) - before == wanted, f"{wanted} arrives, not {asked(stage) - before}")

    # Somebody presses "Redeliver" for each of them at GitHub: the same ids again.
    states = {stage.sender.send(each).json()["state"] for each in lost if each.event != "push"}
    assert states <= {"duplicate", "ignored"}
    for _ in range(5):
        stage.worker.tick()
    assert asked(stage) - before == wanted


def test_more_than_a_page_of_deliveries_is_caught_up_with(stage: GitHubStage) -> None:
    before = asked(stage)
    for number in range(230):
        stage.fake.world.label(1, f"page-{number}")
    stage.sender.lose_new()
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


def test_the_commands_of_the_outage_were_carried_out_once(stage: GitHubStage) -> None:
    with stage.app.database.read() as tx:
        rows = tx.exec_driver_sql("select comment_id, line, count(*) from command group by 1, 2").all()
    assert all(row[2] == 1 for row in rows)
