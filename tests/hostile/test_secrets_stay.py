"""Secrets never reach fork code: probes run as the training of a granted fork, and nothing planted comes out.

Rules 19 to 23 of the forge door. The same probes outside of the sandbox are the proof that they find what is there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.github.server import running
from hostile.world import PROBES, HostileWorld, hostile_world

NAMES = sorted(path.stem for path in PROBES.glob("[0-9][0-9]_*.py"))


@dataclass(frozen=True)
class Told:
    """What one probe said."""

    ended: str
    tried: int
    got: tuple[str, ...]
    through: tuple[str, ...]
    text: str


def read_log(text: str) -> dict[str, Told]:
    found = {}
    for name, body, ended in re.findall(
        r"^PROBE (\S+) BEGIN\n(.*?)^PROBE \1 END (\S+)$", text, re.MULTILINE | re.DOTALL
    ):
        lines = body.splitlines()
        tried = [int(line.split()[1]) for line in lines if line.startswith("TRIED ")]
        found[name] = Told(
            ended=ended,
            tried=sum(tried),
            got=tuple(line for line in lines if line.startswith("GOT ")),
            through=tuple(line for line in lines if line.startswith("THROUGH ")),
            text=body,
        )
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileWorld]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    with running(folder / "github.git") as fake, hostile_world(folder / "machine", fake) as opened:
        number = opened.fork("probes", opened.probe_files())
        opened.granted(number)
        opened.facts["probing"] = number
        opened.settled(number)
        opened.concluded(number)
        # Looked at before the same probes run outside, where they may find and touch what they like.
        opened.facts["leaks"], opened.facts["visits"] = opened.leaks(), list(opened.trap.visits)
        yield opened
        assert fake.problems == []


@pytest.fixture(scope="module")
def told(world: HostileWorld) -> dict[str, Told]:
    (attempt,) = world.attempts(world.settled(world.facts["probing"]))
    return read_log((Path(attempt.directory) / "log").read_text(errors="replace"))


def test_the_fork_ran_isolated_and_its_job_came_to_its_end(world: HostileWorld) -> None:
    job = world.settled(world.facts["probing"])
    (attempt,) = world.attempts(job)
    log = (Path(attempt.directory) / "log").read_text(errors="replace")
    assert job.state == "succeeded", log[-3000:]
    assert job.tier == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_probe_brings_nothing_home(told: dict[str, Told], name: str) -> None:
    probe = told[name]
    assert probe.ended == "0", probe.text
    assert probe.tried > 0
    assert (probe.got, probe.through) == ((), ())


def test_no_planted_word_stands_anywhere_but_where_it_was_put(
    world: HostileWorld, told: dict[str, Told], capsys: pytest.CaptureFixture[str]
) -> None:
    leaks = world.facts["leaks"]
    with capsys.disabled():
        print(f"\n{len(told)} probes, {len(leaks)} canaries")  # noqa: T201  # the measurement
    assert len(told) == len(NAMES) >= 25
    assert leaks == []


def test_nobody_came_to_the_traps(world: HostileWorld) -> None:
    assert world.facts["visits"] == []


def test_nothing_is_left_for_those_who_come_later(world: HostileWorld) -> None:
    (attempt,) = world.attempts(world.settled(world.facts["probing"]))
    own = Path(attempt.directory)
    poisoned = [
        path
        for path in world.folder.rglob("*")
        if path.is_file() and own not in path.parents and "hwpoison" in path.name
    ]
    assert poisoned == []


# What the probes must find where nothing holds them: a probe that finds nothing there would prove nothing inside.
FOUND_OUTSIDE = {
    "01_own_environment",
    "02_proc_environ",
    "03_proc_cmdline",
    "04_proc_root",
    "08_data_folder",
    "09_netrc_and_clouds",
    "12_github_token",
    "13_other_attempts",
    "14_shared_memory_files",
    "16_abstract_sockets",
    "17_docker_and_other_sockets",
    "20_loopback_ports",
    "21_other_routes_by_the_door",
    "26_links",
    "28_writable_caches",
    "36_walks_and_handles",
    "37_clients_and_tools",
}


def test_outside_of_the_sandbox_the_same_probes_find_what_was_planted(world: HostileWorld, tmp_path: Path) -> None:
    visits = len(world.trap.visits)
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps(world.facts))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(world.home),
        "HOSTILE_FACTS": str(facts),
        "HOSTILE_OUTSIDE": "1",
        "DEPLOY_KEY": world.words["secret DEPLOY_KEY"],
    }
    done = subprocess.run(
        [sys.executable, str(PROBES / "run_all.py")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    outside = read_log(done.stdout)
    found = {name for name, probe in outside.items() if probe.got or probe.through}
    assert sorted(FOUND_OUTSIDE - found) == []
    words = {word for word in world.words.values() if word in done.stdout}
    assert len(words) >= 20
    assert len(world.trap.visits) > visits
