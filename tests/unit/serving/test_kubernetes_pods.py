"""What pods report becomes one picture, and what they send arrives once, whatever breaks off."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from headway.environments.model import Tier
from headway.environments.shelf import Shelf
from headway.errors import Unreachable, UsageError
from headway.serving.durable import is_locked, write_file
from headway.serving.kubernetes.exchange import PodReport
from headway.serving.kubernetes.fetch import Fetcher, Place
from headway.serving.kubernetes.keeper import pod_seen, workload_trouble
from headway.serving.kubernetes.objects import slug
from headway.serving.kubernetes.picture import ClusterSeen, PodSeen, picture
from headway.serving.kubernetes.pods import Heard, PodFolder
from headway.serving.kubernetes.ship import LogShip, PredictionShip, read_plain
from headway.serving.kubernetes.upstream import Upstream
from headway.serving.model import Observed, Route, VersionCounters
from serving.models import deployment, route

DIGEST = "d" * 64
WANTED = deployment(route(1, 90, Path("/a")), route(2, 10, Path("/b")), revision=3)


def heard(uid: str, *, revision: int = 3, ready: bool = True, age: float = 0.5, fetched: dict | None = None, **more):
    versions = more.pop("versions", {1: "ready", 2: "ready"})
    observed = Observed(ready=ready, url="", revision=revision, versions=versions, **more)
    return Heard(uid=uid, report=PodReport(pod=f"pod-{uid}", observed=observed, fetched=fetched or {}), age=age)


def seen(*pods: PodSeen, trouble: str = "") -> ClusterSeen:
    return ClusterSeen(namespace="jobs", address="http://10.0.0.9:8080", pods=pods, trouble=trouble)


def pod(uid: str, *, ready: bool = True, **more) -> PodSeen:
    return PodSeen(uid=uid, name=f"pod-{uid}", ready=ready, **more)


def counted(version: int, requests: int, p95: float) -> VersionCounters:
    return VersionCounters(
        version=version,
        requests=requests,
        errors=1,
        missing=0,
        latency_p50_ms=1.0,
        latency_p95_ms=p95,
        latency_p99_ms=9.0,
    )


def test_what_is_in_force_is_what_every_answering_pod_has_in_force() -> None:
    both = seen(pod("a"), pod("b"))
    assert picture(WANTED, [heard("a"), heard("b", revision=2)], both, last_revision=1).revision == 2
    assert picture(WANTED, [heard("a"), heard("b")], both, last_revision=1).revision == 3


def test_counts_are_added_and_the_slowest_pod_speaks_for_the_latency() -> None:
    found = picture(
        WANTED,
        [heard("a", counters=(counted(1, 10, 5.0),)), heard("b", counters=(counted(1, 5, 7.0), counted(2, 1, 2.0)))],
        seen(pod("a"), pod("b")),
        last_revision=0,
    )
    assert [(one.version, one.requests, one.errors, one.latency_p95_ms) for one in found.counters] == [
        (1, 15, 2, 7.0),
        (2, 1, 1, 2.0),
    ]


def test_a_pod_that_comes_up_beside_neither_holds_up_nor_counts() -> None:
    fresh = heard("b", revision=0, ready=False, versions={1: "loading", 2: "loading"})
    found = picture(WANTED, [heard("a"), fresh], seen(pod("a"), pod("b", ready=False)), last_revision=0)
    assert (found.ready, found.revision, found.versions) == (True, 3, {1: "ready", 2: "ready"})


def test_a_pod_that_ends_says_nothing_any_more() -> None:
    old = heard("a", revision=2, counters=(counted(1, 99, 1.0),))
    found = picture(WANTED, [old, heard("b")], seen(pod("a", ending=True), pod("b")), last_revision=0)
    assert (found.revision, found.counters) == (3, ())


def test_silent_pods_do_not_answer_and_what_was_in_force_is_remembered() -> None:
    found = picture(WANTED, [heard("a", age=60.0)], seen(pod("a")), last_revision=2)
    assert (found.ready, found.revision, found.versions) == (False, 2, {1: "loading", 2: "loading"})


def test_a_pod_that_the_cluster_sends_no_requests_is_not_ready() -> None:
    found = picture(WANTED, [heard("a")], seen(pod("a", ready=False)), last_revision=1)
    assert (found.ready, found.revision) == (False, 1)


def test_without_a_look_at_the_cluster_the_pods_own_word_counts() -> None:
    found = picture(WANTED, [heard("a")], ClusterSeen(address="http://x:8080"), last_revision=0)
    assert found.ready


@pytest.mark.parametrize(
    ("fetched", "state"),
    [({2: "loading: making its environment"}, "loading: making its environment"), ({2: "failed: no"}, "failed: no")],
)
def test_what_is_still_fetched_or_cannot_be_is_told_of_its_version(fetched: dict[int, str], state: str) -> None:
    one = heard("a", revision=2, versions={1: "ready"}, fetched=fetched)
    found = picture(WANTED, [one], seen(pod("a")), last_revision=0)
    assert found.versions == {1: "ready", 2: state}


def test_the_worst_of_the_answering_pods_is_told() -> None:
    bad = heard("b", versions={1: "ready", 2: "failed: no memory"})
    found = picture(WANTED, [heard("a"), bad], seen(pod("a"), pod("b")), last_revision=0)
    assert found.versions[2] == "failed: no memory"


def test_what_a_model_says_of_itself_is_short_and_of_few_versions() -> None:
    chatty = heard("a", versions=dict.fromkeys(range(5000), "failed: " + "x" * 9000))
    found = picture(WANTED, [chatty], seen(pod("a")), last_revision=0)
    assert len(found.versions) < 100
    assert {1, 2} <= found.versions.keys()
    assert max(map(len, found.versions.values())) <= 500


def test_troubles_are_said_beside_who_answers() -> None:
    crashing = pod("b", ready=False, trouble="front: CrashLoopBackOff")
    found = picture(WANTED, [heard("a")], seen(pod("a"), crashing, trouble="the quota is used up"), last_revision=0)
    assert found.message == "pod pod-a; the quota is used up; pod pod-b: front: CrashLoopBackOff"


# --- what the cluster shows -------------------------------------------------------------------------


def shown(status: dict, **metadata) -> PodSeen:
    return pod_seen({"metadata": {"uid": "u", "name": "p", **metadata}, "status": status})


def waiting(reason: str, message: str = "", **last) -> dict:
    state = {"name": "front", "ready": False, "state": {"waiting": {"reason": reason, "message": message}}, **last}
    return {"phase": "Pending", "containerStatuses": [state]}


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, ""),
        (waiting("ContainerCreating"), ""),
        (waiting("ImagePullBackOff", "no such image"), "front: ImagePullBackOff: no such image"),
        (
            waiting("CrashLoopBackOff", "back-off", lastState={"terminated": {"message": "ImportError: x"}}),
            "front: CrashLoopBackOff: ImportError: x",
        ),
        (waiting("CrashLoopBackOff", lastState={"terminated": {"reason": "OOMKilled"}}), "more memory than its limit"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on disk"}, "Evicted: low on disk"),
        (
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}],
            },
            "no node takes it: 0/3 nodes are available",
        ),
    ],
)
def test_why_a_pod_does_not_run_is_told_apart(status: dict, trouble: str) -> None:
    found = shown(status).trouble
    assert found == trouble if not trouble else trouble in found


def test_a_pod_that_was_deleted_is_ending() -> None:
    assert shown({}, deletionTimestamp="2026-11-26T12:00:00Z").ending


def test_a_workload_says_what_keeps_its_pods_away() -> None:
    message = "exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5"
    failure = {"type": "ReplicaFailure", "status": "True", "message": message}
    assert "quota team" in workload_trouble({"status": {"conditions": [failure]}})
    assert workload_trouble({}) == ""


@pytest.mark.parametrize("name", ["flights-production", "Flights_EU.2-production", "9-lives", "x" * 63, "a--b-", "A"])
def test_every_deployments_objects_have_a_name_that_kubernetes_takes(name: str) -> None:
    made = slug(name)
    assert made == made.lower()
    assert len(f"{made}-token") <= 63
    assert made.replace("-", "").isalnum()
    assert made.startswith("headway-")
    assert not made.endswith("-")


def test_names_that_differ_have_objects_that_differ() -> None:
    names = ["a.b-c", "a_b-c", "a-b-c", "A-b-c", "x" * 62, "x" * 63]
    assert len({slug(name) for name in names}) == len(names)


# --- what pods send ---------------------------------------------------------------------------------

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Server:
    """The server's end, which may break off before or after it has taken what came."""

    def __init__(self, folder: Path) -> None:
        self.place = PodFolder(folder, "demo")
        self.place.folder.mkdir(parents=True)
        (self.place.folder / "wanted.json").write_bytes(b"{}")
        self.breaks: list[str] = []
        self.uid = "0" * 8 + "-0000-0000-0000-" + "0" * 12

    def _meet(self, when: str) -> None:
        if self.breaks and self.breaks[0] == when:
            self.breaks.pop(0)
            raise Unreachable("away")

    def append_log(self, offset: int, data: bytes) -> int:
        self._meet("before")
        size = self.place.append_log(self.uid, offset, data)
        self._meet("after")
        return size

    def append_predictions(self, segment: str, offset: int, data: bytes) -> int:
        self._meet("before")
        size = self.place.append_predictions(self.uid, segment, offset, data=data, now=NOON)
        self._meet("after")
        return size


def drain(ship: LogShip | PredictionShip) -> None:
    for _ in range(200):
        try:
            if ship.send():
                return
        except Unreachable:
            continue
    raise AssertionError("never sent")


@pytest.mark.parametrize("breaks", [[], ["before"], ["after"], ["before", "after", "after", "before"]])
def test_a_log_arrives_once_whatever_breaks_off(tmp_path: Path, breaks: list[str]) -> None:
    server = Server(tmp_path / "server")
    front, agent = tmp_path / "endpoint.log", tmp_path / "agent.log"
    ship = LogShip(server, (agent, front), tmp_path / "state")  # type: ignore[arg-type]  # the same calls
    written = []
    for number in range(30):
        server.breaks = list(breaks)
        line = f"2026-11-26T12:00:{number:02d}Z line {number}"
        written.append(line)
        with (front if number % 2 else agent).open("a") as stream:
            stream.write(line + "\n")
        if number % 7 == 6:  # the front moves its log aside
            front.replace(tmp_path / "endpoint.log.1")
        if number % 5 == 4:  # the agent's container is started again
            ship = LogShip(server, (agent, front), tmp_path / "state")  # type: ignore[arg-type]  # the same
        drain(ship)
    assert server.place.lines() == written


@pytest.mark.parametrize("breaks", [[], ["before"], ["after"], ["after", "before", "after"]])
def test_predictions_arrive_once_whatever_breaks_off(tmp_path: Path, breaks: list[str]) -> None:
    server = Server(tmp_path / "server")
    folder = tmp_path / "predictions"
    folder.mkdir()
    notes: list[str] = []
    ship = PredictionShip(server, folder, notes.append)  # type: ignore[arg-type]  # the same calls
    for number in range(20):
        server.breaks = list(breaks)
        with (folder / f"20261126T{12 + number // 10}-0000.jsonl").open("a") as stream:
            stream.write(f'{{"id":"{number}"}}\n' * 1000)
        if number % 6 == 5:
            ship = PredictionShip(server, folder, notes.append)  # type: ignore[arg-type]  # the same
        drain(ship)
    arrived = b"".join(path.read_bytes() for path in sorted((server.place.folder / "predictions").iterdir()))
    assert arrived == b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    assert notes == []


def test_a_link_that_a_model_put_there_is_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("hw_secret\n")
    (tmp_path / "endpoint.log").symlink_to(secret)
    assert read_plain(tmp_path / "endpoint.log", 0, 100) == b""
    server = Server(tmp_path / "server")
    drain(LogShip(server, (tmp_path / "endpoint.log",), tmp_path / "state"))  # type: ignore[arg-type]  # the same
    assert server.place.lines() == []
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "20261126T12-0000.jsonl").symlink_to(secret)
    drain(PredictionShip(server, folder, print))  # type: ignore[arg-type]  # the same
    assert not list((server.place.folder / "predictions").glob("*.jsonl"))


def test_a_folder_that_a_model_leads_elsewhere_loses_nothing_there(tmp_path: Path) -> None:
    """The agent may write to the models' and environments' volumes; the front may not, and has only links."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for number in range(3):
        path = elsewhere / f"20261126T1{number}-0000.jsonl"
        path.write_text("x\n")
        os.utime(path, (1, 1))
    (tmp_path / "predictions").symlink_to(elsewhere)
    ship = PredictionShip(Server(tmp_path / "server"), tmp_path / "predictions", print)  # type: ignore[arg-type]  # the same
    assert ship.send()
    assert len(list(elsewhere.iterdir())) == 3


@pytest.mark.parametrize("at", ["wanted.json", ".wanted.json.new"])
def test_what_the_agent_writes_goes_through_no_link(tmp_path: Path, at: str) -> None:
    victim = tmp_path / "environment.py"
    victim.write_text("import this\n")
    front = tmp_path / "endpoint"
    front.mkdir()
    (front / at).symlink_to(victim)
    write_file(front / "wanted.json", b'{"a": 1}')
    assert victim.read_text() == "import this\n"
    assert (front / "wanted.json").read_bytes() == b'{"a": 1}'
    assert not (front / "wanted.json").is_symlink()


def test_a_pipe_in_a_files_place_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wanted.json")
    write_file(tmp_path / "wanted.json", b"{}")
    assert (tmp_path / "wanted.json").read_bytes() == b"{}"
    (tmp_path / "lock").symlink_to("/dev/null")
    assert not is_locked(tmp_path / "lock")


def test_pods_that_have_gone_keep_their_last_words_for_a_while(tmp_path: Path) -> None:
    server = Server(tmp_path)
    for number in range(15):
        server.uid = f"{number:08x}-0000-0000-0000-000000000000"
        server.append_log(0, b"2026-11-26T12:00:00Z hello\n")
    server.place.forget_pods(frozenset())
    assert len(list(server.place.folder.glob("pods/*"))) == 10
    with pytest.raises(UsageError):
        server.place.append_log("../x", 0, b"x")


def test_an_environment_that_an_endpoint_runs_in_stays_wanted(tmp_path: Path) -> None:
    """In a cache that steps share, what nobody has wanted for 60 days goes; an endpoint lives longer."""
    place = Place(models=tmp_path / "models", environments=tmp_path / "environments", private=tmp_path / "private")
    (place.models / DIGEST).mkdir(parents=True)
    env = Shelf(place.environments, Tier.MAIN).path(DIGEST)
    (env / "bin").mkdir(parents=True)
    (env / "bin" / "python").touch()
    marker = env / "headway.json"
    marker.write_text(json.dumps({"digest": DIGEST, "seconds": 1.0, "packages": {}}))
    os.utime(marker, (0, 0))
    fetcher = Fetcher(cast(Upstream, None), place, print)
    route = Route(model="m", version=1, weight=100, source="", digest=DIGEST, env_path=str(env))
    fetcher.want([route])
    deadline = time.monotonic() + 60
    while fetcher.here(route) is None or marker.stat().st_mtime == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    fetcher.close()
