"""Fetch what versions need into the pod: model files by digest, environments by digest; nothing of it is executed."""

from __future__ import annotations

import io
import shutil
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headway.blobs.folder import FolderStore
from headway.environments.model import Tier
from headway.environments.uv_builder import UvBuilder
from headway.errors import HeadwayError, NotFound, Refused, Unreachable
from headway.registry.digest import check_digest
from headway.sandbox.inside.archive import BadArchive, Limits, unpack
from headway.serving.endpoint import FAILED, LOADING
from headway.serving.kubernetes.exchange import ENDPOINT, ENVIRONMENTS, MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from headway.serving.kubernetes.upstream import Upstream
    from headway.serving.model import Route

_LIMITS = Limits(bytes=64 << 30, entries=100_000)
_FIRST_RETRY = 2.0
_LAST_RETRY = 300.0
_NOTE_EVERY = 3600.0  # in a cache that steps share, what nobody has wanted for 60 days goes
_KEPT_UNUSED = 600.0  # seconds that files of a version stay after nobody wants it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folders of the pod."""

    endpoint: Path = Path(ENDPOINT)
    models: Path = Path(MODELS)
    environments: Path = Path(ENVIRONMENTS)
    private: Path = Path("/tmp/agent")  # noqa: S108  # the agent's own volume


@dataclass(slots=True)
class _Try:
    state: str = LOADING
    next_at: float = 0.0
    pause: float = _FIRST_RETRY


class Fetcher:
    """Brings what routes need, one version after the other, in a thread of its own."""

    def __init__(self, upstream: Upstream, place: Place, log: Callable[[str], None]) -> None:
        """Start with what an earlier agent of this pod has fetched."""
        self._upstream = upstream
        self._place = place
        self._log = log
        self._blobs = FolderStore(place.models)
        self._builder = UvBuilder(place.environments, wheels_only=True)
        self._ready: dict[tuple[str, str], Route] = {}  # what is here, by digest and environment
        self._tries: dict[tuple[str, str], _Try] = {}
        self._wanted: tuple[Route, ...] = ()
        self._unused: dict[str, float] = {}
        self._noted_at: float | None = None
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    def want(self, routes: Iterable[Route]) -> None:
        """Bring these, and forget in time what is not among them."""
        fresh = tuple({_key(route): route for route in routes}.values())
        if fresh != self._wanted:
            self._wanted = fresh
            self._changed.set()
        if not self._thread.is_alive():
            self._thread.start()

    def close(self) -> None:
        """Begin nothing more; what is being fetched comes to its end."""
        self._closed.set()
        self._changed.set()

    def here(self, route: Route) -> Route | None:
        """Return the route as the front of this pod can serve it; None while something is not here."""
        found = self._ready.get(_key(route))
        return None if found is None else replace(route, source=found.source, env_path=found.env_path)

    def states(self) -> dict[int, str]:
        """Return what is not here yet, version by version: loading, or failed with the reason."""
        missing = [route for route in self._wanted if _key(route) not in self._ready]
        return {route.version: self._tries.get(_key(route), _Try()).state for route in missing}

    def _run(self) -> None:
        while not self._closed.is_set():
            self._changed.clear()
            for route in self._wanted:
                if self._closed.is_set():
                    return
                one = self._tries.setdefault(_key(route), _Try())
                if _key(route) not in self._ready and time.monotonic() >= one.next_at:
                    self._bring(route, one)
            self._tidy()
            self._note_use()
            self._changed.wait(1.0)

    def _bring(self, route: Route, one: _Try) -> None:
        try:
            one.state = f"{LOADING}: fetching its files"
            source = self._model(route)
            one.state = f"{LOADING}: making its environment"
            env_path = self._environment(route)
        except Unreachable as error:
            one.state = f"{LOADING}: {error.message}"
            one.next_at = time.monotonic() + _FIRST_RETRY
            self._log(f"v{route.version}: {error.message}: {error.cause}")
        except (HeadwayError, OSError, BadArchive) as error:
            why = f"{error.message}: {error.cause}" if isinstance(error, HeadwayError) and error.cause else str(error)
            one.state = FAILED + why
            one.next_at = time.monotonic() + one.pause
            one.pause = min(one.pause * 2, _LAST_RETRY)
            self._log(f"v{route.version}: {one.state}")
        else:
            self._ready[_key(route)] = replace(route, source=str(source), env_path=str(env_path))
            self._log(f"v{route.version}: its files and its environment are here")

    def _model(self, route: Route) -> Path:
        folder = self._place.models / checked_digest(route.digest, "model")
        if folder.is_dir():
            return folder
        draft = f"draft-{route.digest}"
        shutil.rmtree(self._place.models / draft, ignore_errors=True)
        (self._place.models / draft).mkdir()
        with self._upstream.model(route.digest) as pieces:
            unpack(io.BufferedReader(_Stream(pieces), 1 << 20), self._place.models / draft, limits=_LIMITS)
        try:
            check_digest(self._blobs, draft, route.digest)
        except (NotFound, Refused):
            shutil.rmtree(self._place.models / draft, ignore_errors=True)
            raise
        (self._place.models / draft).rename(folder)
        return folder

    def _environment(self, route: Route) -> Path:
        digest = checked_digest(Path(route.env_path).name, "environment")
        found = self._builder.find(digest, Tier.FORK)
        if found is not None:
            return Path(found.path)
        order = self._upstream.environment(digest)
        if order.spec.digest != digest:
            raise Refused("the server sent another environment than the one asked for")
        folder = self._place.private / f"environment-{digest}"
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in order.files.items():
            path = folder / name
            if folder.resolve() not in path.resolve().parents:
                raise Refused(f"the environment's file {name!r} leads out of its folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        folder.mkdir(parents=True, exist_ok=True)
        built = self._builder.build(order.spec, folder, Tier(order.tier), _LineLog(self._log))
        return Path(built.path)

    def _note_use(self) -> None:
        """Tell the cache that what runs here is wanted: an endpoint lives longer than any step."""
        now = time.monotonic()
        if self._noted_at is not None and now - self._noted_at < _NOTE_EVERY:
            return
        self._noted_at = now
        for digest in {Path(route.env_path).name for route in self._ready.values()}:
            self._builder.note_use(digest)

    def _tidy(self) -> None:
        """Remove the files of models that nobody has wanted for a while; a rollback soon after finds them."""
        kept = {route.digest for route in self._wanted}
        now = time.monotonic()
        for folder in self._place.models.glob("[0-9a-f]*"):
            if folder.name in kept:
                self._unused.pop(folder.name, None)
            elif now - self._unused.setdefault(folder.name, now) > _KEPT_UNUSED:
                for key in [key for key in self._ready if key[0] == folder.name]:
                    del self._ready[key]
                shutil.rmtree(folder, ignore_errors=True)
                del self._unused[folder.name]


def checked_digest(digest: str, what: str) -> str:
    """Return a digest that may become a folder's name.

    Raises:
        NotFound: it is none, as for a version without an environment.
    """
    if len(digest) == 64 and set(digest) <= set("0123456789abcdef"):
        return digest
    cause = "it was logged without a job, or trained in an image of its own" if what == "environment" else ""
    raise NotFound(f"the version has no {what} that a pod can fetch", cause=cause)


def _key(route: Route) -> tuple[str, str]:
    return route.digest, Path(route.env_path).name


class _Stream(io.RawIOBase):
    """Pieces of an answer as a stream that can be read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a writable buffer is what is given
        """Fill the buffer with what comes next; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        taken = self._rest[: len(buffer)]
        self._rest = self._rest[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)


class _LineLog(io.StringIO):
    """A builder's log that goes into the pod's, line by line."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__()
        self._log = log
        self._rest = ""

    def write(self, text: str, /) -> int:
        """Pass whole lines on."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._log(line.rstrip())
        return len(text)
