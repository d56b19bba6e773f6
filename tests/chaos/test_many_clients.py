"""64 clients log at once while the server is killed, the disk fills up, or PostgreSQL restarts.

Every point that was acknowledged is there afterwards, exactly once also where its client had to send it again. Seconds
in the whole suite; `make test-durability` (HEADWAY_TEST_BLOWS=20) deals twenty blows instead of three.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from fakes.databases import POSTGRES, clean_database, needs_postgres
from fakes.herd import API, Client, Herd, lost_or_doubled
from fakes.postgres_control import CONTROL, control
from fakes.small_disk import fill_up, small_disk
from headway.db.connection import Database, open_database
from headway.tracking.store import RunStore

BLOWS = int(os.environ.get("HEADWAY_TEST_BLOWS", "3"))
CLIENTS = 64
BETWEEN = 300  # acknowledged points between two blows
PATIENCE = 120.0

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


class Wire:
    """The wire as a process of its own, killed and started again on one port."""

    def __init__(self, root: Path, url: str = "") -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self.port}"
        self._script = Path(__file__).parents[1] / "fakes" / "wire.py"
        self._arguments = [str(root), str(self.port), *([url] if url else [])]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(self._script), *self._arguments],
            env={**os.environ, "PYTHONPATH": str(self._script.parents[1])},
        )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(self.uri + "/health", timeout=5)
                return
            assert self._process.poll() is None, "the wire ended"
            time.sleep(0.02)
        pytest.fail("the wire did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def clients(self) -> list[Client]:
        """Clients on eight runs, each with a key of its own."""
        with httpx.Client(base_url=self.uri, timeout=60) as http:
            answers = [http.post(API + "runs/create", json={"experiment_id": "0"}).json() for _ in range(8)]
        runs = [answer["run"]["info"]["run_id"] for answer in answers]
        return [Client(run=runs[index % 8], key=f"m{index}") for index in range(CLIENTS)]


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    started = Wire(tmp_path)
    yield started
    started.kill()


@contextlib.contextmanager
def logging(wire: Wire) -> Iterator[Herd]:
    """Let the herd log until the block ends, and its last answers are in."""
    herd, over = Herd(wire.port, wire.clients()), threading.Event()
    failed: list[BaseException] = []

    def drive() -> None:
        try:
            herd.run(over.is_set)
        except BaseException as error:  # noqa: BLE001  # told to the test, whatever it is
            failed.append(error)

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    try:
        yield herd
    finally:
        over.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not failed, failed


def wait_for(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def wait_for_more(herd: Herd, count: int) -> None:
    wanted = herd.acknowledged + count
    wait_for(lambda: herd.acknowledged >= wanted, "writing did not go on")


def check_all_is_there(database: Database, herd: Herd) -> None:
    with database.read() as tx:
        store = RunStore(tx)
        lost, doubled, _ = lost_or_doubled(
            herd.clients, lambda run, key: [point.step for point in store.history(run, key)]
        )
        assert (lost, doubled) == (0, 0)
        runs = {client.run: store.get(client.run) for client in herd.clients}
        for client in herd.clients:
            if client.acked:
                assert runs[client.run].metrics[client.key].step >= client.acked[-1]
        if database.is_sqlite:
            assert store.link.one("pragma integrity_check") == ("ok",)


def test_64_clients_hear_of_no_lock_and_lose_nothing(tmp_path: Path, wire: Wire) -> None:
    with logging(wire) as herd:
        wait_for_more(herd, 3000)
    assert herd.refused == {}
    assert herd.broken == 0
    assert all(client.acked for client in herd.clients)
    database = open_database(f"sqlite:///{tmp_path / 'headway.db'}")
    check_all_is_there(database, herd)
    database.close()


def test_kill_9_among_64_clients_loses_and_doubles_nothing(tmp_path: Path, wire: Wire) -> None:
    with logging(wire) as herd:
        for _ in range(BLOWS):
            wait_for_more(herd, BETWEEN)
            wire.kill()
            wire.start()
        wait_for_more(herd, BETWEEN)
    assert herd.broken > 0  # points were on their way at the blows
    assert herd.refused == {}
    database = open_database(f"sqlite:///{tmp_path / 'headway.db'}")
    check_all_is_there(database, herd)
    database.close()


def test_a_full_disk_among_64_clients_refuses_loses_nothing_and_heals(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", megabytes=16) as folder:
        wire = Wire(folder)
        try:
            with logging(wire) as herd:
                for _ in range(BLOWS):
                    wait_for_more(herd, BETWEEN)
                    before = sum(herd.refused.values())
                    filler = fill_up(folder)
                    wait_for(lambda before=before: sum(herd.refused.values()) > before + CLIENTS, "nobody was refused")
                    assert httpx.get(wire.uri + API + "runs/get", params={"run_id": herd.clients[0].run}).is_success
                    filler.unlink()
                wait_for_more(herd, BETWEEN)
            # On this wire 503: MLflow's client knows it and tries again.
            assert {reason.split()[0] for reason in herd.refused} == {"503"}
            assert all("the disk is full: nothing was saved" in reason for reason in herd.refused)
            database = open_database(f"sqlite:///{folder / 'headway.db'}")
            check_all_is_there(database, herd)
            database.close()
        finally:
            wire.kill()


@pytest.mark.postgres
@needs_postgres
def test_kill_9_among_64_clients_loses_and_doubles_nothing_on_postgresql(tmp_path: Path) -> None:
    with clean_database("postgresql", tmp_path) as database:
        wire = Wire(tmp_path, POSTGRES)
        try:
            with logging(wire) as herd:
                for _ in range(BLOWS):
                    wait_for_more(herd, BETWEEN)
                    wire.kill()
                    wire.start()
                wait_for_more(herd, BETWEEN)
            assert herd.refused == {}
            check_all_is_there(database, herd)
        finally:
            wire.kill()


@pytest.mark.postgres
@needs_postgres
@pytest.mark.skipif(not CONTROL, reason="HEADWAY_TEST_POSTGRES_CTL does not say how to restart it")
def test_postgresql_restarts_among_64_clients_and_nothing_is_lost(tmp_path: Path) -> None:
    with clean_database("postgresql", tmp_path) as database:
        wire = Wire(tmp_path, POSTGRES)
        try:
            with logging(wire) as herd:
                for _ in range(BLOWS):
                    wait_for_more(herd, BETWEEN)
                    control("restart")  # immediate: its kill -9
                wait_for_more(herd, BETWEEN)
            assert {reason.split()[0] for reason in herd.refused} <= {"503"}
            assert herd.broken == 0  # the server itself was there all the time
            with database.read() as tx:
                assert tx.execute(text("show synchronous_commit")).scalar_one() == "on"
            check_all_is_there(database, herd)
        finally:
            wire.kill()
            control("restart", "fast")
