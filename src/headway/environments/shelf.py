"""Where built environments stand: one folder per digest, ready when its marker is there, one builder at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headway.environments.model import BuiltEnv, Tier
from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

MARKER = "headway.json"
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marker:
    digest: str
    seconds: float
    packages: dict[str, str]


class Shelf:
    """The environments and the cache of one tier, in one folder so that hard links work."""

    def __init__(self, root: Path, tier: Tier) -> None:
        """`root` is the folder of all tiers."""
        self.folder = root / tier.name.lower()
        self.cache = self.folder / "cache"
        self.scratch = self.folder / "scratch"
        self._envs = self.folder / "envs"

    def path(self, digest: str) -> Path:
        """Return where the environment stands, or would."""
        if not _DIGEST.match(digest):
            raise UsageError(f"{digest!r} is no environment digest", cause="64 hexadecimal digits are")
        return self._envs / digest

    def find(self, digest: str) -> BuiltEnv | None:
        """Return a finished environment whose Python still runs on this machine."""
        path = self.path(digest)
        try:
            marker = msgspec.json.decode((path / MARKER).read_bytes(), type=_Marker)
        except (OSError, msgspec.MsgspecError):
            return None
        # A Python that was upgraded away leaves a dangling link.
        if marker.digest != digest or not (path / "bin" / "python").exists():
            return None
        return BuiltEnv(
            digest=digest,
            path=str(path),
            seconds=marker.seconds,
            packages=len(marker.packages),
            reused=True,
        )

    def packages(self, digest: str) -> dict[str, str]:
        """Return what is installed in a finished environment: name -> version."""
        try:
            return msgspec.json.decode((self.path(digest) / MARKER).read_bytes(), type=_Marker).packages
        except (OSError, msgspec.MsgspecError):
            return {}

    def finish(self, digest: str, *, seconds: float) -> BuiltEnv:
        """Mark the environment as ready, durably: only from now on `find` returns it."""
        path = self.path(digest)
        packages = installed(path)
        os.sync()  # the marker must not survive a power cut that the packages did not
        marker = msgspec.json.encode(_Marker(digest=digest, seconds=seconds, packages=packages))
        partial = path / f"{MARKER}.part"
        with partial.open("wb") as stream:
            stream.write(marker)
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path / MARKER)
        _sync_folder(path)
        _sync_folder(self._envs)
        return BuiltEnv(digest=digest, path=str(path), seconds=seconds, packages=len(packages), reused=False)

    def discard(self, digest: str) -> None:
        """Remove an environment; killed half way it is unfinished, never half there."""
        path = self.path(digest)
        if path.is_symlink():  # a higher shelf's, which is not ours to empty
            path.unlink()
            return
        (path / MARKER).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)

    def show(self, other: BuiltEnv, log: TextIO) -> None:
        """Let a higher shelf's environment be found at this one's place, too; safe to race."""
        path = self.path(other.digest)
        if Path(other.path) == path or self.find(other.digest) is not None:
            return
        with self.lock(other.digest, log):
            if self.find(other.digest) is None:
                self.discard(other.digest)  # what a killed build left, or a link to what is gone
                path.symlink_to(other.path)

    def note_use(self, digest: str) -> None:
        """Remember that an environment is wanted still; one of a shelf that may not be written to stays as it is."""
        with contextlib.suppress(OSError):
            os.utime(self.path(digest) / MARKER)

    def unused(self, days: float) -> frozenset[str]:
        """Return the environments of this shelf that nobody has wanted for so long."""
        limit, found = time.time() - days * 86_400, set()
        for digest in self.digests():
            with contextlib.suppress(OSError):
                if (self.path(digest) / MARKER).stat().st_mtime < limit:
                    found.add(digest)
        return frozenset(found)

    def digests(self) -> list[str]:
        """Return every digest that was ever begun and not removed since, finished or not."""
        if not self._envs.is_dir():
            return []
        names = {each.name.removesuffix(".lock") for each in self._envs.iterdir()}
        return sorted(name for name in names if _DIGEST.match(name))

    @contextlib.contextmanager
    def lock(self, digest: str, log: TextIO) -> Iterator[int]:
        """Hold the right to build one environment; waits for who has it and says so."""
        self._envs.mkdir(parents=True, exist_ok=True)
        descriptor = self._take(digest, block=False)
        if descriptor is None:
            log.write("another build of the same environment is running: waiting for it\n")
            log.flush()
            descriptor = self._take(digest, block=True)
        if descriptor is None:
            raise RuntimeError("a blocking lock was not granted")
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def try_lock(self, digest: str) -> Iterator[bool]:
        """Hold the right to remove one environment, unless somebody builds it; the lock file goes with it."""
        descriptor = self._take(digest, block=False)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                self._lock_path(digest).unlink(missing_ok=True)
                os.close(descriptor)

    def size(self) -> int:
        """Return the bytes on disk; what is linked into several environments counts once."""
        seen: set[tuple[int, int]] = set()
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(OSError):
                    stat = os.lstat(os.path.join(folder, name))  # noqa: PTH118  # a hundred thousand files: plain text is quicker
                    if (stat.st_dev, stat.st_ino) not in seen:
                        seen.add((stat.st_dev, stat.st_ino))
                        total += stat.st_blocks * 512
        return total

    def _lock_path(self, digest: str) -> Path:
        return self._envs / f"{self.path(digest).name}.lock"

    def _take(self, digest: str, *, block: bool) -> int | None:
        path = self._lock_path(digest)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX if block else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            # Whoever removed the environment removed the file too: then this lock guards nothing.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            os.close(descriptor)


def installed(env: Path) -> dict[str, str]:
    """Return name -> version of every distribution in an environment's folder."""
    found: dict[str, str] = {}
    for info in env.glob("lib/python*/site-packages/*.dist-info"):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        found[name.replace("_", "-").lower()] = version
    return dict(sorted(found.items()))


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
