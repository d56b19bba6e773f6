"""Work that takes longer than a tick: a few threads, and each thing at most once at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from headway.logs import logger


class Background:
    """Threads for builds, collections and evaluations; holds no state that a crash could lose."""

    def __init__(self, *, threads: int, on_done: Callable[[], None] = lambda: None) -> None:
        """Start with idle threads; `on_done` is called whenever something has been done."""
        self._on_done = on_done
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="background")
        self._busy: set[str] = set()
        self._last: dict[str, float] = {}
        self._paused: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_due(self, name: str, every: float) -> bool:
        """Whether `every` seconds have gone since this was last due; then it counts anew."""
        now = time.monotonic()
        if now - self._last.get(name, 0.0) < every:
            return False
        self._last[name] = now
        return True

    def pause(self, name: str, seconds: float) -> None:
        """Let nothing of that name begin for a while: what it needs is away, and comes back."""
        with self._lock:
            self._paused[name] = time.monotonic() + seconds

    def is_paused(self, name: str) -> bool:
        """Whether a thing of that name is to wait still."""
        return time.monotonic() < self._paused.get(name, 0.0)

    @property
    def is_busy(self) -> bool:
        """Whether anything is in hand."""
        return bool(self._busy)

    def is_running(self, name: str) -> bool:
        """Whether this thing is in hand."""
        return name in self._busy

    def count(self, prefix: str) -> int:
        """Return how many things whose name begins so are in hand."""
        with self._lock:
            return sum(name.startswith(prefix) for name in self._busy)

    def run(self, name: str, work: Callable[[], None]) -> bool:
        """Begin `work` unless the thing of that name is in hand; return whether it began."""
        with self._lock:
            if name in self._busy:
                return False
            self._busy.add(name)
        self._pool.submit(self._guarded, name, work)
        return True

    def close(self) -> None:
        """Take nothing new and wait for nothing: whatever was in hand is found again at the next start."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001  # the loop must live; the thing is tried again at the next tick
            logger().exception("background work failed", work=name)
            threading.Event().wait(0.5)
        finally:
            with self._lock:
                self._busy.discard(name)
            self._on_done()
