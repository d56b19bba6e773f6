"""The whole path with real processes: target, endpoint, scorers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headway.projects.model import DeploySpec, Resources
from headway.serving.front import Options
from headway.serving.local import LocalTarget
from headway.serving.model import Observed
from headway.serving.prediction_log import PredictionLog
from headway.serving.scorer_process import Launch
from serving.models import CLIENT, ask, children, deployment, in_force, revised, route, wait_for, write_model

NAME = "demo-production"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    target = LocalTarget(tmp_path / "endpoints", Options(launch=Launch(load_timeout=3, request_timeout=5)))
    yield target
    target.remove(NAME)


def test_two_versions_share_the_traffic_by_their_weights(target: LocalTarget, tmp_path: Path) -> None:
    one, two = write_model(tmp_path / "1"), write_model(tmp_path / "2", "twice")
    target.apply(deployment(route(1, 80, one), route(2, 20, two)))
    seen = wait_for(target, NAME, in_force(1))

    answers = [ask(seen.url, [1, 2]) for _ in range(50)]

    versions = [answer.headers["x-model-version"] for answer in answers]
    assert versions.count("2") == 10
    assert {(v, a.json()["predictions"][0]) for v, a in zip(versions, answers, strict=True)} == {("1", 3), ("2", 6)}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 50
    counted = wait_for(target, NAME, lambda o: sum(c.requests for c in o.counters) == 50)
    assert {c.version: c.requests for c in counted.counters} == {1: 40, 2: 10}


def test_a_key_always_meets_the_same_version_and_a_growing_canary_sends_nobody_back(
    target: LocalTarget, tmp_path: Path
) -> None:
    one, two = write_model(tmp_path / "1"), write_model(tmp_path / "2", "twice")
    wanted = deployment(route(1, 70, one), route(2, 30, two))
    target.apply(wanted)
    url = wait_for(target, NAME, in_force(1)).url

    def versions() -> dict[str, str]:
        keys = [f"customer-{number}" for number in range(40)]
        return {key: ask(url, [1, 2], headers={"X-Headway-Key": key}).headers["x-model-version"] for key in keys}

    before = versions()
    assert versions() == before
    assert set(before.values()) == {"1", "2"}
    target.apply(revised(wanted, route(1, 30, one), route(2, 70, two)))
    wait_for(target, NAME, in_force(2))
    after = versions()
    assert all(after[key] == "2" for key, version in before.items() if version == "2")
    assert list(after.values()).count("2") > list(before.values()).count("2")


@pytest.mark.parametrize(
    ("load", "reason"),
    [("fails", "the weights are damaged"), ("hangs", "did not load within 3 s"), ("exits", "exit status 7")],
)
def test_a_version_that_does_not_load_leaves_the_old_one_answering(
    target: LocalTarget, tmp_path: Path, load: str, reason: str
) -> None:
    good, bad = write_model(tmp_path / "1"), write_model(tmp_path / "2", load=load)
    wanted = deployment(route(1, 100, good))
    target.apply(wanted)
    url = wait_for(target, NAME, in_force(1)).url

    target.apply(revised(wanted, route(2, 100, bad)))

    seen = wait_for(target, NAME, lambda o: o.versions.get(2, "").startswith("failed"))
    assert reason in seen.versions[2]
    assert seen.ready
    assert seen.revision == 1
    assert ask(url, [1, 2]).headers["x-model-version"] == "1"


def test_a_model_that_wants_more_memory_than_it_may_have_is_refused_and_says_so(
    target: LocalTarget, tmp_path: Path
) -> None:
    spec = DeploySpec(resources=Resources(memory_mb=512))
    target.apply(deployment(route(1, 100, write_model(tmp_path / "1", load="greedy")), spec=spec))
    seen = wait_for(target, NAME, lambda o: o.versions.get(1, "").startswith("failed"))
    assert "MemoryError" in seen.versions[1]


def test_a_killed_endpoint_comes_back_on_its_port_with_the_routes_that_were_in_force(
    target: LocalTarget, tmp_path: Path
) -> None:
    good, bad = write_model(tmp_path / "1"), write_model(tmp_path / "2", load="fails")
    wanted = deployment(route(1, 100, good))
    target.apply(wanted)
    first = wait_for(target, NAME, in_force(1))
    broken = revised(wanted, route(2, 100, bad))
    target.apply(broken)
    wait_for(target, NAME, lambda o: o.versions.get(2, "").startswith("failed"))

    scorers = children(_front(first.message))
    os.kill(_front(first.message), signal.SIGKILL)
    wait_for(target, NAME, lambda o: not o.ready)
    target.apply(broken)  # as serving/reconcile.py does

    second = wait_for(target, NAME, lambda o: o.ready and o.message != first.message)
    assert scorers
    assert all(_ends(pid) for pid in scorers)
    assert second.url == first.url
    assert ask(second.url, [1, 2]).json() == {"predictions": [3]}


def test_a_killed_scorer_costs_the_caller_nothing(target: LocalTarget, tmp_path: Path) -> None:
    target.apply(deployment(route(1, 100, write_model(tmp_path / "1", "pid"))))
    url = wait_for(target, NAME, in_force(1)).url
    pid = int(ask(url, [1, 2]).json()["predictions"][0])

    os.kill(pid, signal.SIGKILL)
    answer = ask(url, [1, 2])

    assert answer.status_code == 200
    assert answer.json()["predictions"][0] != pid


def test_a_version_that_crashes_over_and_over_has_failed_and_the_other_one_answers(
    target: LocalTarget, tmp_path: Path
) -> None:
    good, bad = write_model(tmp_path / "1"), write_model(tmp_path / "2", "crash")
    target.apply(deployment(route(1, 50, good), route(2, 50, bad)))
    url = wait_for(target, NAME, in_force(1)).url

    def asked(observed: Observed) -> bool:
        answer = ask(url, [1, 2])
        assert (answer.status_code, answer.headers["x-model-version"]) == (200, "1")
        return observed.versions[2].startswith("failed")

    seen = wait_for(target, NAME, asked)
    assert "crashed 5 times" in seen.versions[2]
    errors = wait_for(target, NAME, lambda o: any(c.version == 2 and c.errors >= 5 for c in o.counters))
    assert {c.version: c.errors for c in errors.counters}[1] == 0


def test_a_request_that_hangs_is_answered_504_and_the_scorer_is_replaced(target: LocalTarget, tmp_path: Path) -> None:
    target.options = Options(launch=Launch(request_timeout=1))
    target.apply(deployment(route(1, 100, write_model(tmp_path / "1", "stuck"))))
    url = wait_for(target, NAME, in_force(1)).url

    answer = ask(url, [1, 2])

    assert answer.status_code == 504
    assert "in time" in answer.json()["message"]
    wait_for(target, NAME, lambda o: any("crash" in line for line in target.logs(NAME, 50)) or o.ready)


def test_what_a_model_raises_goes_to_the_log_and_not_to_the_caller(target: LocalTarget, tmp_path: Path) -> None:
    target.apply(deployment(route(1, 100, write_model(tmp_path / "1", "broken"))))
    url = wait_for(target, NAME, in_force(1)).url

    answer = ask(url, [1, 2])

    assert answer.status_code == 500
    assert "secret" not in answer.text
    wait_for(target, NAME, lambda _: any("secret detail" in line for line in target.logs(NAME, 50)))
    counted = wait_for(target, NAME, lambda o: bool(o.counters) and o.counters[0].errors == 1)
    assert counted.counters[0].requests == 1


def test_nan_answers_are_null_and_counted_as_missing(target: LocalTarget, tmp_path: Path) -> None:
    target.apply(deployment(route(1, 100, write_model(tmp_path / "1", "nan"))))
    url = wait_for(target, NAME, in_force(1)).url

    assert ask(url, [1, 2]).json() == {"predictions": [None]}
    wait_for(target, NAME, lambda o: bool(o.counters) and o.counters[0].missing == 1)


def test_a_request_id_leads_to_the_prediction(target: LocalTarget, tmp_path: Path) -> None:
    target.apply(deployment(route(3, 100, write_model(tmp_path / "1"))))
    url = wait_for(target, NAME, in_force(1)).url
    given = ask(url, [1, 2], headers={"X-Request-Id": "order-77"})
    made = ask(url, [3, 4]).headers["x-request-id"]
    assert given.headers["x-request-id"] == "order-77"

    log = PredictionLog(target.root / NAME / "predictions")
    wait_for(target, NAME, lambda _: log.find(made) is not None)

    found = log.find("order-77")
    assert found is not None
    assert (found.version, found.model, found.deployment) == (3, "adder", NAME)
    assert (found.inputs, found.outputs) == ({"instances": [[1, 2]]}, {"predictions": [3]})


def test_the_overloaded_endpoint_says_so_and_a_large_body_is_refused(target: LocalTarget, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from headway.serving.rest import Limits

    target.options = Options(limits=Limits(in_flight=1, body_bytes=1000))
    target.apply(deployment(route(1, 100, write_model(tmp_path / "1", "slow"))))
    url = wait_for(target, NAME, in_force(1)).url

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(url, [1, 2]), range(4)))
    assert 200 in {answer.status_code for answer in answers}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert CLIENT.post(f"{url}/invocations", content=b" " * 2000).status_code == 413


def test_removing_drains_and_ends_the_processes(target: LocalTarget, tmp_path: Path) -> None:
    target.apply(deployment(route(1, 100, write_model(tmp_path / "1", "pid"))))
    seen = wait_for(target, NAME, in_force(1))
    scorer = int(ask(seen.url, [1, 2]).json()["predictions"][0])

    target.remove(NAME)

    assert target.observe(NAME) is None
    assert _ends(scorer)
    assert _ends(_front(seen.message))


def test_a_scorer_has_no_secret_of_the_server(
    target: LocalTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_CANARY", "planted-secret")
    folder = write_model(tmp_path / "1")
    (folder / "headway_model.py").write_text(
        "import os\ndef load(folder):\n    return lambda data: [sorted(os.environ)] * len(data)\n"
    )
    target.apply(deployment(route(1, 100, folder)))
    url = wait_for(target, NAME, in_force(1)).url

    names = ask(url, [1, 2]).json()["predictions"][0]

    assert "PATH" in names
    assert not [name for name in names if name.startswith("HEADWAY")]
    process = Path(f"/proc/{_front(target.observe(NAME).message)}/environ")
    assert b"planted-secret" not in process.read_bytes()


def test_a_missing_environment_is_said(target: LocalTarget, tmp_path: Path) -> None:
    bad = route(1, 100, write_model(tmp_path / "1"), env_path=str(tmp_path / "nowhere"))
    target.apply(deployment(bad))
    seen = wait_for(target, NAME, lambda o: o.versions.get(1, "").startswith("failed"))
    assert "environment is not there" in seen.versions[1]
    assert not seen.ready


def _front(message: str) -> int:
    return int(message.removeprefix("process "))


def _ends(pid: int, seconds: float = 30) -> bool:
    import time

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_this_python_is_the_model_s_environment_here() -> None:
    assert (Path(sys.prefix) / "bin" / "python").exists()


APPLY = """
import sys, time
from pathlib import Path
from serving.models import CLIENT, children, deployment, route
from headway.serving.local import LocalTarget
LocalTarget(Path(sys.argv[1])).apply(deployment(route(1, 100, Path(sys.argv[2]))))
print("applied", flush=True)
time.sleep(1000)
"""


@pytest.mark.chaos
def test_the_endpoint_outlives_a_killed_server_and_is_found_again(target: LocalTarget, tmp_path: Path) -> None:
    model = write_model(tmp_path / "1")
    tests = Path(__file__).parent.parent
    server = subprocess.Popen(
        [sys.executable, "-c", APPLY, str(target.root), str(model)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tests)},
    )
    with server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"applied\n"
        before = wait_for(target, NAME, in_force(1))
        server.kill()

    after = target.observe(NAME)
    assert after is not None
    assert (after.ready, after.url, after.message) == (True, before.url, before.message)
    assert ask(after.url, [1, 2]).json() == {"predictions": [3]}


def test_a_port_that_is_taken_is_said(target: LocalTarget, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        target.apply(replace(deployment(route(1, 100, write_model(tmp_path / "1"))), port=port))
        seen = wait_for(target, NAME, lambda each: "taken" in each.message)
    assert seen.message == f"port {port} is taken by another program"
    assert not seen.ready


def test_a_version_can_be_asked_by_its_number_also_without_traffic(target: LocalTarget, tmp_path: Path) -> None:
    one, two = write_model(tmp_path / "1"), write_model(tmp_path / "2", "twice")
    target.apply(deployment(route(1, 100, one), route(2, 0, two)))
    url = wait_for(target, NAME, lambda each: each.ready and each.versions.get(2) == "ready").url
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}

    answer = CLIENT.post(f"{url}/v2/models/adder/versions/2/infer", json={"inputs": [tensor]})

    assert answer.json()["model_version"] == "2"
    assert answer.json()["outputs"][0]["data"] == [6]
    assert ask(url, [1, 2]).headers["x-model-version"] == "1"
    assert CLIENT.get(f"{url}/v2/models/adder/versions/2/ready").json() == {"name": "adder", "ready": True}


def test_a_scorer_that_is_killed_while_it_comes_back_is_tried_again_at_once(
    target: LocalTarget, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "1", "pid")
    target.apply(deployment(route(1, 100, folder)))
    seen = wait_for(target, NAME, in_force(1))
    pid = int(ask(seen.url, [1, 2]).json()["predictions"][0])
    # The next load ends by a signal, the one after it is good.
    file = folder / "headway_model.py"
    mark = tmp_path / "once"
    dies_once = (
        f"    mark = {str(mark)!r}\n"
        "    if not os.path.exists(mark):\n"
        "        open(mark, 'w').close()\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    file.write_text(file.read_text().replace("    return Model()", f"{dies_once}    return Model()"))

    os.kill(pid, signal.SIGKILL)
    answer = ask(seen.url, [1, 2])

    assert (answer.status_code, mark.exists()) == (200, True)


def test_what_is_loaded_without_traffic_gets_none_unless_the_others_are_down(
    target: LocalTarget, tmp_path: Path
) -> None:
    first = deployment(route(1, 0, write_model(tmp_path / "1")))
    target.apply(first)
    seen = wait_for(target, NAME, lambda each: each.versions.get(1) == "ready")
    assert not seen.ready
    assert ask(seen.url, [1, 2]).status_code == 503

    target.apply(revised(first, route(2, 100, write_model(tmp_path / "2", "crash")), route(1, 0, tmp_path / "1")))
    wait_for(target, NAME, in_force(2))
    answer = ask(seen.url, [1, 2])
    assert (answer.status_code, answer.headers["x-model-version"]) == (200, "1")
