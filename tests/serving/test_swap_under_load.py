"""Versions change while requests come in: none is dropped, none is answered by two versions at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.serving.local import LocalTarget
from serving.load import EXPECTED, Load
from serving.models import CLIENT, children, deployment, in_force, revised, route, wait_for, write_model

NAME = "demo-production"
CYCLES = 10


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    target = LocalTarget(tmp_path / "endpoints")
    yield target
    target.remove(NAME)


def test_no_request_is_dropped_over_ten_promotions_and_rollbacks(target: LocalTarget, tmp_path: Path) -> None:
    folders = {kind: write_model(tmp_path / kind, "sum" if kind == "odd" else "twice") for kind in EXPECTED}
    wanted = deployment(route(1, 100, folders["odd"]))
    target.apply(wanted)
    url = wait_for(target, NAME, in_force(1)).url

    with Load(url) as load:
        for cycle in range(CYCLES):
            number = 2 + 2 * cycle
            even, odd = folders["even"], folders["odd"]
            for routes in (
                (route(number, 10, even), route(1, 90, odd)),  # a new version comes in beside
                (route(number, 100, even), route(1, 0, odd)),  # is promoted
                (route(1, 100, odd), route(number, 0, even)),  # and rolled back
            ):
                wanted = revised(wanted, *routes)
                target.apply(wanted)
                wait_for(target, NAME, in_force(wanted.revision))
            wanted = revised(wanted, route(1, 100, odd))  # drained and ended
            target.apply(wanted)
            wait_for(target, NAME, in_force(wanted.revision))

    assert load.problems == []
    assert set(load.answers) == {"1", *(str(2 + 2 * cycle) for cycle in range(CYCLES))}


def test_replacing_a_version_outright_drops_nothing(target: LocalTarget, tmp_path: Path) -> None:
    odd, even = write_model(tmp_path / "odd"), write_model(tmp_path / "even", "twice")
    wanted = deployment(route(1, 100, odd))
    target.apply(wanted)
    url = wait_for(target, NAME, in_force(1)).url

    with Load(url) as load:
        for number in range(2, 6):
            wanted = revised(wanted, route(number, 100, odd if number % 2 else even))
            target.apply(wanted)
            wait_for(target, NAME, in_force(wanted.revision))

    assert load.problems == []
    assert set(load.answers) == {"1", "2", "3", "4", "5"}


@pytest.mark.chaos
def test_callers_do_not_notice_scorers_that_are_killed(target: LocalTarget, tmp_path: Path) -> None:
    one, two = write_model(tmp_path / "odd"), write_model(tmp_path / "even", "twice")
    target.apply(deployment(route(1, 50, one), route(2, 50, two)))
    seen = wait_for(target, NAME, in_force(1))
    front = int(seen.message.removeprefix("process "))

    with Load(seen.url) as load:
        for _ in range(4):
            victim = min(children(front))
            os.kill(victim, signal.SIGKILL)
            wait_for(target, NAME, lambda _, victim=victim: victim not in children(front))
            # The endpoint itself is asked: what it wrote down may be half a second old.
            wait_for(target, NAME, lambda _: all(is_ready(seen.url, version) for version in (1, 2)))

    assert load.problems == []
    assert set(load.answers) == {"1", "2"}


def is_ready(url: str, version: int) -> bool:
    return CLIENT.get(f"{url}/v2/models/adder/versions/{version}/ready").status_code == 200
