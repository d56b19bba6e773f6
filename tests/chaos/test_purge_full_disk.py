"""On a disk that is full to the last byte, deleting for good still works: it is what makes room."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.app import App, open_app
from headway.auth.model import Principal, Role
from headway.db.reclaim import reclaim
from headway.errors import StorageFull
from headway.flow.ballast import FILE, drop_ballast, keep_ballast
from headway.flow.purge import Asked, ask_purge, find_purge
from headway.flow.purging import work_off
from headway.settings import Settings
from headway.tracking.model import Metric, RunStatus
from headway.tracking.store import RunStore

pytestmark = pytest.mark.chaos
ADMIN = Principal(user="ada", role=Role.ADMIN)
MB = 1 << 20


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A data directory on a file system of its own with room for 24 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    opened = open_app(Settings(data=folder, auth="none"))
    yield opened
    opened.close()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(app: App) -> None:
    with (app.data / "filler").open("ab", buffering=0) as stream:
        for size in (MB, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    stream.write(b"x" * size)


def make_runs(app: App, count: int) -> list[str]:
    runs = []
    with app.database.write() as tx:
        RunStore(tx).experiments.ensure_default()
    for _ in range(count):
        with app.database.write() as tx:
            store = RunStore(tx, actor="ada")
            run = store.create_run("0", params={"lr": "1"})
            store.log_metrics(run, [Metric("loss", 1.0, step, step) for step in range(5_000)])
            store.finish(run, RunStatus.FINISHED)
        app.artifacts.put(f"0/{run}/artifacts/model.bin", [b"x" * MB] * 2)
        runs.append(run)
    return runs


def test_a_purge_needs_no_more_room_than_was_kept_back(app: App) -> None:
    kept, *gone = make_runs(app, 4)
    keep_ballast(app)
    with app.database.write() as tx:
        for run in gone:
            RunStore(tx, actor="ada").delete_run(run)
    fill(app)
    assert shutil.disk_usage(app.data).free == 0
    answer = ask_purge(app, Asked(names=tuple(gone)), ADMIN)
    assert answer.purge is not None
    assert work_off(app) == 3
    assert find_purge(app, answer.purge.id).freed == 3 * 2 * MB
    assert shutil.disk_usage(app.data).free > 6 * MB
    with app.database.read() as tx:
        assert RunStore(tx).get(kept).metrics["loss"].step == 4_999
    assert app.artifacts.stat(f"0/{kept}/artifacts/model.bin") is not None
    with app.database.write() as tx:  # and what comes next is taken again
        RunStore(tx, actor="ada").create_run("0")
    keep_ballast(app)
    assert (app.data / FILE).exists()


def test_without_room_nothing_is_marked_and_nothing_lost(app: App) -> None:
    (run,) = make_runs(app, 1)
    with app.database.write() as tx:
        RunStore(tx, actor="ada").delete_run(run)
    drop_ballast(app)
    app.database.close()  # with the last connection the log goes into the file, and so does the room in it
    fill(app)
    with contextlib.suppress(StorageFull):
        ask_purge(app, Asked(names=(run,)), ADMIN)
    (app.data / "filler").unlink()
    with app.database.read() as tx:
        found = RunStore(tx).find(run)
    marked = found is None
    assert app.artifacts.stat(f"0/{run}/artifacts/model.bin") is not None
    assert work_off(app) == int(marked)


def test_reclaiming_says_that_the_disk_is_full(app: App) -> None:
    make_runs(app, 1)
    drop_ballast(app)
    fill(app)
    with pytest.raises(StorageFull):  # the log cannot be copied back: the file has no room to grow
        reclaim(app.database, whole=True)
    (app.data / "filler").unlink()
    reclaim(app.database, whole=True)
