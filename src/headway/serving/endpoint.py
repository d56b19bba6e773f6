"""Which versions live and which of them a request reaches; no HTTP, no files but the two it is given."""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from headway.errors import UsageError
from headway.serving.counters import Counters
from headway.serving.model_folder import ModelFolder, read_model_folder
from headway.serving.scorer_process import Hello, Launch, ScorerGone, ScorerProcess, ScorerSlow

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.serving.inside.frames import Frame
    from headway.serving.model import Deployment, Route

READY = "ready"
LOADING = "loading"
FAILED = "failed: "

_CRASHES = 5  # so many within CRASH_WINDOW seconds are a crash loop
_CRASH_WINDOW = 60.0
_FIRST_RETRY = 30.0
_LAST_RETRY = 600.0
_PATIENCE = 15.0  # seconds that a request waits for a scorer to come back
_GOLDEN = 0.6180339887498949


class NoVersion(Exception):
    """No version can take the request now."""


class Version:
    """One version: its scorer, kept alive, and what is known of the model."""

    def __init__(self, route: Route, launch: Launch, log: Callable[[str], None], changed: Callable[[], None]) -> None:
        """Prepare; `run` starts it."""
        self.route = route
        self.launch = launch
        self.log = log
        self.changed = changed
        self.state = LOADING
        self.folder = ModelFolder(path=route.source)
        self.hello = Hello(loader="")
        self.scorer: ScorerProcess | None = None
        self.ready = asyncio.Event()
        self.crashes: deque[float] = deque(maxlen=_CRASHES)
        self.task: asyncio.Task[None] | None = None
        self._has_been_ready = False
        self._retired = asyncio.Event()

    def run(self) -> None:
        """Keep a scorer alive from now on."""
        self.task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        retry = _FIRST_RETRY
        while not self._retired.is_set():
            reason = await self._live()
            if self._retired.is_set():
                return
            # A version that has answered before may lose its process while it loads again: one more crash, no verdict.
            self.crashes.append(time.monotonic())
            if self._has_been_ready and not self._is_crash_loop():
                await asyncio.sleep(0.2 * (len(self.crashes) - 1))
                continue
            self._set(FAILED + (reason or f"crashed {_CRASHES} times within {_CRASH_WINDOW:g} s"))
            await asyncio.sleep(retry)
            retry = min(retry * 2, _LAST_RETRY)
            self.crashes.clear()
            self._set(LOADING)

    async def _live(self) -> str:
        """Run one scorer to its end; return why it never came up, or an empty text for one that did."""
        scorer = ScorerProcess(self.route, self.launch, self.log)
        self.scorer = scorer
        try:
            self.folder = await asyncio.to_thread(read_model_folder, Path(self.route.source))
            self.hello = await scorer.start(self.folder.order(self.launch.memory_mb))
        except UsageError as error:
            return f"{error.message}: {error.cause}"
        except ScorerGone as error:
            scorer.kill()
            ended = await scorer.reap()
            lines = " | ".join(list(scorer.lines)[-3:])
            return f"{error} ({ended})" + (f": {lines}" if lines else "")
        self.log(
            f"v{self.route.version}: loaded by {self.hello.loader} in {self.hello.seconds:.1f} s, "
            f"{self.hello.memory_mb:.0f} MB, Python {self.hello.python}"
        )
        if self.hello.warning:
            self.log(f"v{self.route.version}: {self.hello.warning}")
        self._set(READY)
        await scorer.gone.wait()
        if not self._retired.is_set():
            self._set(f"{LOADING}: restarting after a crash")
        reason = await scorer.reap()
        if not self._retired.is_set():
            self.log(f"v{self.route.version}: the scorer ended ({reason}); starting another")
        return ""

    def _is_crash_loop(self) -> bool:
        return len(self.crashes) == _CRASHES and self.crashes[-1] - self.crashes[0] < _CRASH_WINDOW

    def _set(self, state: str) -> None:
        self.state = state
        if state == READY:
            self._has_been_ready = True
            self.ready.set()
        else:
            self.ready.clear()
        if state.startswith(FAILED):
            self.log(f"v{self.route.version}: {state}")
        self.changed()

    async def retire(self) -> None:
        """Finish what runs, then end."""
        self._retired.set()
        if self.scorer is not None and self.ready.is_set():
            await self.scorer.stop()
        elif self.scorer is not None:
            self.scorer.kill()
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task], timeout=10)


class Endpoint:
    """The versions of one deployment and the routes in force."""

    def __init__(self, launch: Launch, log: Callable[[str], None]) -> None:
        """Start with nothing; `apply` brings life."""
        self.launch = launch
        self.log = log
        self.counters = Counters()
        self.wanted: Deployment | None = None
        self.in_force: Deployment | None = None
        self.versions: dict[tuple[str, int, str], Version] = {}
        self.in_flight = 0
        self._turn = 0.0
        self._retiring: set[asyncio.Task[None]] = set()

    def apply(self, wanted: Deployment) -> None:
        """Take a new wanted state; it comes into force when every version with traffic is ready."""
        self.wanted = wanted
        self._ensure(wanted)
        self.settle()

    def restore(self, in_force: Deployment) -> None:
        """Take up the routes that were in force before a restart."""
        self.in_force = in_force
        self._ensure(in_force)

    def _ensure(self, deployment: Deployment) -> None:
        resources = deployment.spec.resources
        threads = max(1, math.ceil(resources.cpus or self.launch.threads))
        launch = replace(self.launch, threads=threads, memory_mb=resources.memory_mb or self.launch.memory_mb)
        for route in deployment.routes:
            key = _key(route)
            known = self.versions.get(key)
            if known is None:
                self.versions[key] = Version(route, launch, self.log, self.settle)
                self.versions[key].run()
            else:
                known.route = replace(known.route, weight=route.weight)

    def settle(self) -> None:
        """Bring the wanted routes into force if they can be, then end what nobody wants any more."""
        wanted = self.wanted
        if wanted is None:
            return
        if self.in_force is None or self.in_force != wanted:
            serving = [route for route in wanted.routes if route.weight > 0]
            if all(self.versions[_key(route)].state == READY for route in serving):
                if self.in_force is None or _shares(self.in_force) != _shares(wanted):
                    self.counters.reset()
                    shares = ", ".join(f"v{route.version} {route.weight} %" for route in wanted.routes)
                    self.log(f"in force: revision {wanted.revision}: {shares}")
                self.in_force = wanted
        kept = {_key(route) for each in (wanted, self.in_force) if each is not None for route in each.routes}
        for key in [key for key in self.versions if key not in kept]:
            task = asyncio.ensure_future(self.versions.pop(key).retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Drain and end everything."""
        await asyncio.gather(*(version.retire() for version in self.versions.values()), *self._retiring)

    # --- requests ---------------------------------------------------------------------------------

    def choose(self, key: str, number: int | None = None, avoid: Version | None = None) -> Version:
        """Return the version that takes a request: by number, by the caller's key, or in turn.

        A key always meets the same version while the weights stand, and as a canary grows nobody who
        has met it is sent back. Versions that are not ready are passed over.

        Raises:
            NoVersion: none is in force, or none of that number is loaded.
        """
        if number is not None:
            found = [version for version in self.versions.values() if version.route.version == number]
            ready = [version for version in found if version.state == READY] or found
            if not ready:
                raise NoVersion(f"version {number} is not loaded")
            return ready[0]
        routes = self.in_force.routes if self.in_force is not None else ()
        serving = [(route.weight, self.versions[_key(route)]) for route in routes]
        meant = [pair for pair in serving if pair[0] > 0]
        if not meant:
            raise NoVersion("no version is ready")
        usable = [pair for pair in serving if pair[1].state == READY and pair[1] is not avoid]
        # A warm version without traffic steps in when none of those with traffic can answer.
        weighted = [pair for pair in usable if pair[0] > 0] or [(1, version) for _, version in usable] or meant
        if len(weighted) == 1:
            return weighted[0][1]
        return self._draw(weighted, key)

    def _draw(self, weighted: list[tuple[int, Version]], key: str) -> Version:
        weighted = sorted(weighted, key=lambda pair: -pair[1].route.version)
        if key:
            at = zlib.crc32(key.encode()) / 2**32
        else:
            self._turn = at = (self._turn + _GOLDEN) % 1.0  # exact shares without clusters
        at *= sum(weight for weight, _ in weighted)
        for weight, version in weighted:
            at -= weight
            if at < 0:
                return version
        return weighted[-1][1]

    async def ask(self, version: Version, head: bytes, blob: bytes, *, pinned: bool) -> tuple[Version, Frame]:
        """Ask a version; when its scorer dies, ask once more: another version, or the same one come back.

        Predictions change nothing, so asking again is safe.

        Raises:
            NoVersion: nobody came to answer; ScorerSlow: the model takes too long.
        """
        began = time.perf_counter()
        try:
            return version, await self._ask(version, head, blob)
        except ScorerSlow:
            raise
        except ScorerGone:
            self.counters.failed(version.route.version, (time.perf_counter() - began) * 1000)
        second = version if pinned else self.choose("", avoid=version)
        try:
            return second, await self._ask(second, head, blob)
        except ScorerGone:
            self.counters.failed(second.route.version, (time.perf_counter() - began) * 1000)
            raise NoVersion("the model's process ended twice while it had this request") from None

    async def _ask(self, version: Version, head: bytes, blob: bytes) -> Frame:
        if version.state != READY:
            if version.state.startswith(FAILED):
                raise NoVersion("no version is ready")
            try:
                await asyncio.wait_for(version.ready.wait(), _PATIENCE)
            except TimeoutError:
                raise NoVersion("no version is ready") from None
        if version.scorer is None:
            raise NoVersion("no version is ready")
        return await version.scorer.ask(head, blob)

    @property
    def is_ready(self) -> bool:
        """Whether a request would be answered now."""
        routes = self.in_force.routes if self.in_force is not None else ()
        has_traffic = any(route.weight > 0 for route in routes)
        return has_traffic and any(self.versions[_key(route)].state == READY for route in routes)

    def states(self) -> dict[int, str]:
        """Return version -> loading | ready | failed: reason."""
        return {version.route.version: version.state for version in self.versions.values()}


def _key(route: Route) -> tuple[str, int, str]:
    return route.model, route.version, f"{route.digest}|{route.source}|{route.env_path}"


def _shares(deployment: Deployment) -> list[tuple[tuple[str, int, str], int]]:
    return [(_key(route), route.weight) for route in deployment.routes]
