"""The server's one child, which runs the loops: started before anything heavy is imported, and again when it dies."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

from headway.logs import logger
from headway.settings import Settings

SHORT_LIFE = 5.0  # seconds


class WorkerChild:
    """The one child that runs the loops; started again whenever it dies."""

    def __init__(self, settings: Settings) -> None:
        """Remember how to start it."""
        self._settings = settings
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)

    def start(self) -> None:
        """Start the child and watch it; safe to repeat."""
        if not self._thread.is_alive() and not self._stopping.is_set():
            self._thread.start()

    def nudge(self) -> None:
        """Let the child look now instead of at its next tick: something came in that it waits for."""
        process = self._process
        if process is not None and process.stdin is not None:
            # A pipe that is full holds nudges enough; one that is broken belongs to a child that begins anew.
            with contextlib.suppress(OSError, ValueError):
                os.write(process.stdin.fileno(), b".")

    def stop(self) -> None:
        """End the child; attempts and endpoints are detached and live on."""
        self._stopping.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        if self._thread.ident is not None:  # it was started
            self._thread.join(timeout=15)

    def _keep_alive(self) -> None:
        environment = os.environ | self._settings.as_environment()
        while not self._stopping.is_set():
            # The worker sees by the end of this pipe that we are gone, however we went.
            command = [sys.executable, "-m", "headway.worker"]
            began = time.monotonic()
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)
            if self._process.stdin is not None:
                os.set_blocking(self._process.stdin.fileno(), False)
            code = self._process.wait()
            if not self._stopping.is_set():
                logger().warning("worker ended and is started again", exit_code=code)
                if time.monotonic() - began < SHORT_LIFE:
                    self._stopping.wait(0.5)  # it cannot even begin: not as fast as the machine allows
