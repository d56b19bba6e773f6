"""The loops: one child process that makes the story move, tick by tick, from what is recorded."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from headway.app import App, open_app
from headway.errors import HeadwayError
from headway.flow import deliver, dispatch, intake, release, run_jobs, settle, trackers
from headway.flow.background import Background
from headway.flow.cleaning import Upkeep
from headway.flow.schedule import Triggers
from headway.logs import configure, logger
from headway.settings import Settings

BUSY_TICK = 0.1
IDLE_TICK = 0.5


class Worker:
    """Runs every loop of the flow in turn; what takes long goes to the background, once at a time."""

    def __init__(self, app: App, wake: threading.Event | None = None) -> None:
        """Start with nothing in hand: everything is read from the database; `wake` has it look at once."""
        self.app = app
        self.wake = wake or threading.Event()
        self.upkeep = Upkeep()
        self.triggers = Triggers()
        # Threads of their own for what may take long: however slow a forge, a tracker or a purge is, trainings are
        # prepared and judged meanwhile, and a canary is looked at.
        self.background = Background(threads=4, on_done=self.wake.set)  # a step's end lets the next one begin
        self.releases = Background(threads=3)
        self.forges = Background(threads=4)
        self.peers = Background(threads=2)
        self.cleaners = Background(threads=2)

    def tick(self) -> bool:
        """Take every loop's next smallest step; return whether anything moved or is under way."""
        moved = False
        for name, step, threads in (
            ("intake", intake.step, self.forges),
            ("dispatch", dispatch.step, self.forges),
            ("jobs", run_jobs.step, self.background),
            ("settle", settle.step, self.background),
            ("trackers", trackers.step, self.peers),
            ("release", release.step, self.releases),
            ("deliver", deliver.step, self.forges),
            ("triggers", self.triggers.step, self.forges),
            ("upkeep", self.upkeep.step, self.cleaners),
        ):
            try:
                moved |= step(self.app, threads)
            except Exception:  # noqa: BLE001  # a loop that dies would stop the whole story
                logger().exception("loop failed and goes on", loop=name)
                time.sleep(0.2)
        return moved

    def run(self, stop: threading.Event) -> None:
        """Tick until told to stop."""
        soon = (self.background, self.releases, self.forges)  # what they come to is acted on at once
        while not stop.is_set():
            self.wake.clear()
            is_busy = self.tick() or any(each.is_busy for each in soon)
            self.wake.wait(BUSY_TICK if is_busy else IDLE_TICK)
        self.close()

    def close(self) -> None:
        """Begin nothing more; what was in hand is found again at the next start."""
        for each in (self.background, self.releases, self.forges, self.peers, self.cleaners):
            each.close()


def main() -> None:
    """Run as the server's child, with a pipe from it as standard input; ends when the server is gone."""
    configure(process="worker")
    settings = Settings.from_environment()
    stop, wake = threading.Event(), threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        wake.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=_hear_server, args=(wake,), daemon=True).start()
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.data / "worker.lock").open("w") as lock:
        if not _wait_for(lock.fileno(), stop):
            return
        app = open_app(settings, runs_attempts=True)
        logger().info("worker ready", adopted=run_jobs.adopt(app), data=str(Path(settings.data)))
        Worker(app, wake).run(stop)
        app.close()


def _wait_for(lock: int, stop: threading.Event) -> bool:
    # The worker of a killed server may still be finishing its tick: never two at once.
    while not stop.is_set():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stop.wait(0.05)
        else:
            return True
    return False


def _hear_server(wake: threading.Event) -> None:
    # What comes is a nudge. The end of the pipe says that the server is gone, however it died, also while we were
    # starting: its process id could not tell.
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            wake.set()
    # At once: everything is safe to leave at any point, and the next worker waits for our lock.
    os._exit(0)


if __name__ == "__main__":
    try:
        main()
    except HeadwayError as problem:
        # The server meets the same and says it in full; a traceback beside it would only frighten.
        logger().error("worker cannot start", error=problem.message, cause=problem.cause, hint=problem.hint)
        sys.exit(1)
