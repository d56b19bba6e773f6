"""Versions change while requests come in: none is dropped, none is answered by two versions at once."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest

from headway.serving.local import LocalTarget
from serving.models import CLIENT, children, deployment, in_force, revised, route, wait_for, write_model

NAME = "demo-production"
CYCLES = 10
BODY = json.dumps({"instances": [[1, 2], [3, 4]]})
EXPECTED = {"odd": {"predictions": [3, 7]}, "even": {"predictions": [6, 14]}}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    target = LocalTarget(tmp_path / "endpoints")
    yield target
    target.remove(NAME)


class Load:
    """Callers on kept connections, each sending the next request when the last is answered."""

    def __init__(self, url: str, callers: int = 4) -> None:
        place = urlsplit(url)
        self.host, self.port = place.hostname or "", place.port or 0
        self.stop = threading.Event()
        self.answers: Counter[str] = Counter()  # by version
        self.problems: list[str] = []
        self.threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def _call(self) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        while not self.stop.is_set():
            try:
                connection.request("POST", "/invocations", BODY, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
            except OSError as error:
                self.problems.append(f"connection: {error!r}")
                connection.close()
                continue
            version = answer.headers["X-Model-Version"]
            kind = "odd" if int(version or 0) % 2 else "even"
            if answer.status != 200 or json.loads(body) != EXPECTED[kind]:
                self.problems.append(f"{answer.status} from v{version}: {body!r}")
            self.answers[version] += 1
        connection.close()


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
