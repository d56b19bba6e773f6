"""The door: what code has been told "yes" about arrives, whatever happens to the server meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.attempts import CLIENT, Attempts, wait_until
from fakes.tracking_side import TrackingSide
from headway.engines.base import Alive
from headway.sandbox.isolation import IsolationReport, probe_isolation

WAIT = "mark('there')\nwhile not os.path.exists('go'): time.sleep(0.02)\n"

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, IsolationReport]:
    return {"L0": IsolationReport(level=0), "L2": probe_isolation(tmp_path_factory.mktemp("probe"))}


@pytest.fixture
def network(request: pytest.FixtureRequest) -> str:
    """Most of the door does not know behind which wall it stands; the longest way to it is tested throughout."""
    return getattr(request, "param", "L2-no-network")


@pytest.fixture
def report(network: str, levels: dict[str, IsolationReport]) -> IsolationReport:
    found = levels[network[:2]]
    if f"L{found.level}" != network[:2]:
        pytest.skip("; ".join(found.reasons))
    return found


@pytest.fixture
def side(tmp_path: Path) -> Iterator[TrackingSide]:
    side = TrackingSide(tmp_path / "side")
    side.start()
    yield side
    side.kill()


@pytest.fixture
def attempts(tmp_path: Path, report: IsolationReport) -> Attempts:
    return Attempts(tmp_path, report)


@pytest.fixture
def options(side: TrackingSide, network: str) -> dict[str, Any]:
    return {"server_file": side.server_file, "network": network != "L2-no-network"}


@pytest.mark.parametrize("network", ["L0", "L2", "L2-no-network"], indirect=True)
def test_points_go_straight_through_with_the_real_token(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    handle = attempts.start(CLIENT + "for n in range(5): point(n)\nprint(os.environ)", **options)
    end = attempts.end(handle)
    assert (end.exit_code, end.undelivered) == (0, 0)
    assert side.points() == [0, 1, 2, 3, 4]
    assert {each["token"] for each in side.requests()} == {"Bearer hw_real_token"}
    assert {each["body"]["run_id"] for each in side.requests("/log-metric")} == {"run1"}
    assert "hw_real_token" not in attempts.text(handle)
    assert "'MLFLOW_EXPERIMENT_ID': '7'" in attempts.text(handle)


@pytest.mark.parametrize("network", ["L0", "L2", "L2-no-network"], indirect=True)
def test_a_killed_server_costs_no_point_and_no_order(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    code = CLIENT + "for n in range(200):\n    point(n); time.sleep(0.01)\n    n == 20 and mark('going')"
    handle = attempts.start(code, **options)
    attempts.wait_for_mark(handle, "going")
    journal = attempts.root / handle / "door" / "journal"
    for _ in range(2):
        before = len(side.points())
        side.kill()
        wait_until(lambda: journal.stat().st_size > 0)
        side.start()
        wait_until(lambda: len(side.points()) > before)  # noqa: B023  # called within this turn
    end = attempts.end(handle)
    assert (end.exit_code, end.undelivered) == (0, 0), attempts.text(handle)
    # Killed between "stored" and "answered" a point arrives twice, which the server takes for one.
    assert list(dict.fromkeys(side.points())) == list(range(200))


def test_code_ends_while_the_server_is_away_and_its_points_follow(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    handle = attempts.start(CLIENT + WAIT + "point(1); point(2)", **options)
    attempts.wait_for_mark(handle, "there")
    side.kill()
    (attempts.root / handle / "work" / "go").touch()
    seen = attempts.wait(handle, lambda seen: isinstance(seen, Alive) and seen.draining)
    assert isinstance(seen, Alive)
    assert json.loads((attempts.root / handle / "exit.json").read_text())["undelivered"] >= 2
    side.start()
    end = attempts.end(handle)
    assert (end.exit_code, end.undelivered) == (0, 0)
    assert side.points() == [1, 2]


def test_creations_and_reads_wait_for_the_server_and_see_what_was_kept_before(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    code = (
        CLIENT
        + WAIT
        + (
            "point(1); mark('kept')\n"
            "made = call('POST', '/api/2.0/mlflow/runs/create', {'experiment_id': '7'})\n"
            "print(json.loads(made)['run']['info']['run_id'])"
        )
    )
    handle = attempts.start(code, **options)
    attempts.wait_for_mark(handle, "there")
    side.kill()
    (attempts.root / handle / "work" / "go").touch()
    attempts.wait_for_mark(handle, "kept")
    side.start()
    assert attempts.end(handle).exit_code == 0, attempts.text(handle)
    assert attempts.text(handle).splitlines()[-1] == "r2"
    order = [each["path"].rsplit("/", 1)[1] for each in side.requests() if "batch" not in each["path"]]
    assert order == ["log-metric", "create"]
    (created,) = side.requests("/runs/create")
    assert created["key"]


def test_artifacts_are_spooled_and_arrive_whole(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    put = "'/api/2.0/mlflow-artifacts/artifacts/7/run1/artifacts/"
    code = (
        CLIENT
        + WAIT
        + (
            f"call('PUT', {put}small.txt', raw=b'hello')\n"
            f"call('PUT', {put}large.bin', raw=bytes(range(256)) * 20000)\n"
            "point(1)"
        )
    )
    handle = attempts.start(code, **options)
    attempts.wait_for_mark(handle, "there")
    side.kill()
    (attempts.root / handle / "work" / "go").touch()
    attempts.wait(handle, lambda seen: isinstance(seen, Alive) and seen.draining)
    side.start()
    end = attempts.end(handle)
    assert (end.exit_code, end.undelivered) == (0, 0), attempts.text(handle)
    assert (side.folder / "artifacts" / "small.txt").read_bytes() == b"hello"
    assert (side.folder / "artifacts" / "large.bin").read_bytes() == bytes(range(256)) * 20000
    assert list((attempts.root / handle / "door" / "spool").iterdir()) == []


def test_a_server_that_says_503_is_away(attempts: Attempts, side: TrackingSide, options: dict[str, Any]) -> None:
    side.mode("stop")
    handle = attempts.start(CLIENT + "for n in range(3): point(n)", **options)
    attempts.wait(handle, lambda seen: isinstance(seen, Alive) and seen.draining)
    side.mode("")
    assert attempts.end(handle).undelivered == 0
    assert side.points() == [0, 1, 2]


def test_a_server_that_hangs_is_away(
    tmp_path: Path, report: IsolationReport, side: TrackingSide, options: dict[str, Any]
) -> None:
    attempts = Attempts(tmp_path, report, answer_seconds=1.0)
    handle = attempts.start(CLIENT + WAIT + "point(1); point(2)", **options)
    attempts.wait_for_mark(handle, "there")
    process = side._process
    process.send_signal(signal.SIGSTOP)
    (attempts.root / handle / "work" / "go").touch()
    seen = attempts.wait(handle, lambda seen: isinstance(seen, Alive) and seen.draining)
    assert isinstance(seen, Alive)
    process.send_signal(signal.SIGCONT)
    assert attempts.end(handle).undelivered == 0
    assert list(dict.fromkeys(side.points())) == [1, 2]


def test_a_refusal_while_delivering_is_kept_with_its_text(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    handle = attempts.start(CLIENT + WAIT + "point(1)", **options)
    attempts.wait_for_mark(handle, "there")
    side.kill()
    (attempts.root / handle / "work" / "go").touch()
    attempts.wait(handle, lambda seen: isinstance(seen, Alive) and seen.draining)
    side.mode("refuse")
    side.start()
    end = attempts.end(handle)
    assert end.undelivered >= 1
    kept = [
        json.loads(line) for line in (attempts.root / handle / "door" / "undelivered.jsonl").read_text().splitlines()
    ]
    (point,) = [each for each in kept if each["target"].endswith("/log-metric")]  # besides samples
    assert point["status"] == 400
    assert "no such run" in point["answer"]
    assert json.loads(point["body"])["step"] == 1


def test_a_refusal_of_a_live_call_reaches_the_code(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    side.mode("refuse")
    code = CLIENT + "\ntry: point(1)\nexcept urllib.error.HTTPError as e: print(e.code, e.read().decode())"
    handle = attempts.start(code, **options)
    attempts.end(handle)
    assert attempts.text(handle).startswith('400 {"error_code": "INVALID_PARAMETER_VALUE"')


def test_large_answers_stream_through(attempts: Attempts, side: TrackingSide, options: dict[str, Any]) -> None:
    code = CLIENT + "print(len(call('GET', '/api/2.0/mlflow-artifacts/artifacts/big')))"
    handle = attempts.start(code, **options)
    attempts.end(handle)
    assert attempts.text(handle) == "3000000"


def test_the_door_leads_nowhere_else_and_asks_for_its_token(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    code = CLIENT + (
        "def status(*a, **k):\n"
        "    try: call(*a, **k); return 200\n"
        "    except urllib.error.HTTPError as e: return e.code\n"
        "print(status('GET', '/api/v1/tokens'), status('GET', '/health'), status('GET', '/'),\n"
        "      status('GET', '/health', token='wrong'), status('GET', '/api/2.0/mlflow/../../v1/tokens'))"
    )
    handle = attempts.start(code, **options)
    attempts.end(handle)
    assert attempts.text(handle) == "404 200 404 401 404"


def test_resource_samples_arrive_as_mlflows_system_metrics(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    code = CLIENT + "hold = b'x' * 60_000_000\n" + WAIT
    handle = attempts.start(code, **options)
    batches = lambda: [each["body"] for each in side.requests("/runs/log-batch")]  # noqa: E731  # asked again and again
    wait_until(lambda: sum(values(batch)[MEMORY] > 50 for batch in batches()) >= 2)
    (attempts.root / handle / "work" / "go").touch()
    attempts.end(handle)
    assert {batch["run_id"] for batch in batches()} == {"run1"}
    found = values(batches()[-1])
    assert found.keys() >= {"system/cpu_utilization_percentage", MEMORY, "system/system_memory_usage_percentage"}
    assert side.points("system/cpu_utilization_percentage") == list(range(len(batches())))


MEMORY = "system/system_memory_usage_megabytes"


def values(batch: dict[str, Any]) -> dict[str, float]:
    return {metric["key"]: metric["value"] for metric in batch["metrics"]}


def test_even_a_short_attempt_leaves_one_sample(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    attempts.run("pass", **options)
    assert len(side.points("system/system_memory_usage_megabytes")) >= 1


def test_a_server_that_never_comes_back_ends_it_with_a_count(
    tmp_path: Path, side: TrackingSide, report: IsolationReport, options: dict[str, Any]
) -> None:
    attempts = Attempts(tmp_path, report, drain_seconds=0.5, hold_seconds=0.5)
    code = (
        CLIENT
        + WAIT
        + (
            "for n in range(3): point(n)\n"
            "try: call('POST', '/api/2.0/mlflow/runs/create', {})\n"
            "except urllib.error.HTTPError as e: print(e.code)"
        )
    )
    handle = attempts.start(code, **options)
    attempts.wait_for_mark(handle, "there")
    side.kill()
    (attempts.root / handle / "work" / "go").touch()
    end = attempts.end(handle)
    assert end.exit_code == 0
    assert end.undelivered >= 3
    assert attempts.text(handle) == "503"
    assert (attempts.root / handle / "door" / "journal").stat().st_size > 0


def test_a_supervisor_killed_while_draining_is_no_lost_attempt(
    attempts: Attempts, side: TrackingSide, options: dict[str, Any]
) -> None:
    handle = attempts.start(CLIENT + WAIT + "point(1)", **options)
    attempts.wait_for_mark(handle, "there")
    side.kill()
    (attempts.root / handle / "work" / "go").touch()
    attempts.wait(handle, lambda seen: isinstance(seen, Alive) and seen.draining)
    os.kill(attempts.started(handle)["pid"], signal.SIGKILL)
    end = attempts.end(handle)
    assert (end.exit_code, end.reason) == (0, "")
    assert end.undelivered >= 1
