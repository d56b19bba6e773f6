"""Acknowledged means kept: the writing process is killed, the disk fills up, another process holds the lock."""

import concurrent.futures
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from fakes.wire import live_wire
from headway.db.connection import open_database
from headway.db.migrate import migrate
from headway.errors import StorageFull
from headway.tracking.model import Metric
from headway.tracking.store import RunStore
from headway.tracking.writer import Writer

API = "/api/2.0/mlflow/"


class Process:
    """The wire as a process of its own."""

    def __init__(self, root: Path, port: int) -> None:
        self.uri = f"http://127.0.0.1:{port}"
        script = Path(__file__).parents[1] / "fakes" / "wire.py"
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(root), str(port)],
            env={**os.environ, "PYTHONPATH": str(script.parents[1])},
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                httpx.get(self.uri + "/health", timeout=5)
            except httpx.TransportError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("the wire did not start")

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.mark.chaos
def test_kill_9_loses_no_acknowledged_point(tmp_path: Path, free_port: int) -> None:
    server = Process(tmp_path, free_port)
    run = httpx.post(server.uri + API + "runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
    acknowledged: dict[str, list[int]] = {}
    stop = threading.Event()

    def log(key: str) -> None:
        done = acknowledged.setdefault(key, [])
        step = 0
        with httpx.Client(base_url=server.uri, timeout=30) as client:
            while not stop.is_set():
                body = {"run_id": run, "key": key, "value": step / 3, "timestamp": step, "step": step}
                try:
                    answer = client.post(API + "runs/log-metric", json=body)
                except httpx.TransportError:
                    time.sleep(0.01)  # it was killed: the same point comes again, as clients do
                    continue
                if answer.status_code == 200:
                    done.append(step)
                    step += 1

    threads = [threading.Thread(target=log, args=(f"m{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for kill in range(3):
        before = sum(map(len, acknowledged.values()))
        until = time.monotonic() + 60
        while sum(map(len, acknowledged.values())) < before + 30 + 17 * kill and time.monotonic() < until:
            time.sleep(0.003)
        server.kill()
        server = Process(tmp_path, free_port)
    stop.set()
    for thread in threads:
        thread.join(60)
    server.kill()
    database = open_database(f"sqlite:///{tmp_path / 'headway.db'}")
    with database.read() as tx:
        store = RunStore(tx)
        for key, steps in acknowledged.items():
            assert len(steps) > 20
            kept = [point.step for point in store.history(run, key)]
            assert kept == sorted(set(kept))
            assert set(steps) <= set(kept)
            assert store.get(run).metrics[key].step >= steps[-1]
        assert store.link.one("pragma integrity_check") == ("ok",)
    database.close()


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    database = open_database(url)
    migrate(database)
    writer = Writer(database)
    writer.start()
    try:
        run = writer.call(lambda store: store.create_run("0"))

        def limited(store: RunStore) -> None:
            # SQLite's own limit on pages answers as a full disk does.
            pages = store.link.one("pragma page_count")
            store.link.run(f"pragma max_page_count = {pages[0] + 8 if pages else 8}")

        def unlimited(store: RunStore) -> None:
            store.link.run("pragma max_page_count = 1073741823")

        writer.call(limited)
        kept = 0

        def fill() -> None:
            nonlocal kept
            for step in range(10_000):
                points = [Metric("m", 0.5, step * 100 + i, step * 100 + i) for i in range(100)]
                writer.call(lambda store, points=points: store.log_metrics(run, points))
                kept += 100

        with pytest.raises(StorageFull, match="the disk is full: nothing was saved"):
            fill()
        # several at once: all are told, none is kept, and the thread lives
        futures = [writer.submit(lambda store: store.set_tags(run, {"t": "x" * 8000})) for _ in range(40)]
        assert all(isinstance(future.exception(60), StorageFull) for future in futures)
        with database.read() as tx:  # the read side is alive
            assert len(RunStore(tx).history(run, "m")) == kept
        writer.call(unlimited)
        writer.call(lambda store: store.log_metrics(run, [Metric("m", 1.0, 10**9, 10**9)]))
        with database.read() as tx:
            assert len(RunStore(tx).history(run, "m")) == kept + 1
    finally:
        writer.stop()
        database.close()


def test_a_foreign_writer_delays_and_breaks_nothing(tmp_path: Path) -> None:
    with live_wire(tmp_path) as live:
        run = live.writer.call(lambda store: store.create_run("0"))
        other = sqlite3.connect(tmp_path / "headway.db", isolation_level=None, check_same_thread=False)
        other.execute("begin immediate")
        other.execute(
            "insert into event (entity, entity_id, to_state, reason, actor, at) values ('x', 'x', 'x', '', 'x', 1)"
        )
        bodies = [{"run_id": run, "key": f"k{i}", "value": i, "timestamp": 1} for i in range(64)]
        limits = httpx.Limits(max_connections=100)
        with (
            httpx.Client(base_url=live.uri, timeout=60, limits=limits) as client,
            concurrent.futures.ThreadPoolExecutor(64) as pool,
        ):
            answers = [pool.submit(client.post, API + "runs/log-metric", json=body) for body in bodies]
            time.sleep(1)
            assert not any(answer.done() for answer in answers)
            assert client.get(API + "runs/get", params={"run_id": run}).status_code == 200  # reading goes on
            other.execute("commit")
            assert {answer.result(60).status_code for answer in answers} == {200}
        other.close()
        with live.database.read() as tx:
            assert len(RunStore(tx).get(run).metrics) == 64


def test_two_processes_write_the_same_run(tmp_path: Path) -> None:
    """The worker logs through its own connections while the web process's writer has caches."""
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    mine, theirs = open_database(url), open_database(url)
    migrate(mine)
    writer = Writer(mine)
    writer.start()
    try:
        run = writer.call(lambda store: store.create_run("0"))
        for step in range(50):
            point = [Metric(f"k{step % 7}", step, step, step)]
            writer.submit(lambda store, point=point: store.log_metrics(run, point))
            with theirs.write() as tx:
                RunStore(tx).log_metrics(run, [Metric(f"k{(step + 3) % 7}", step + 0.5, step, step)])
        writer.call(lambda store: store.finish(run, store.get(run).info.status))
        with theirs.read() as tx:
            store = RunStore(tx)
            assert sum(len(store.history(run, f"k{i}")) for i in range(7)) == 100
            assert store.link.one("select count(*) from key where kind = 1") == (7,)
    finally:
        writer.stop()
        mine.close()
        theirs.close()
