"""An attempt's folder on the server: what was ordered, what the pod has brought, and what was made of it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from headway.engines.base import Exited, Lost
from headway.engines.delivered import EXIT, HEARD, LOG, ORDERED, STARTED, STOP, VERDICT, Delivered
from headway.engines.kubernetes.standing import Place

CREATED = "job.json"
TIDIED = "tidied"
_ROUNDED = 2.0  # the cluster keeps the start of a Job in whole seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What is wanted of the cluster for one attempt."""

    namespace: str
    ordered_at: float
    job: dict[str, Any]
    secret: dict[str, Any]
    makes: Place | None = None  # the environment that its pod makes, or finds
    counts_on: Place | None = None  # the environment that its pod must find


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The Job that stands for the attempt."""

    uid: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The one pod process that had the right to run the code."""

    uid: str = ""  # "<uid of the pod>.<random>"
    pod: str = ""
    node: str = ""
    at: float = 0.0

    @property
    def pod_uid(self) -> str:
        """The pod's own uid."""
        return self.uid.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an attempt ended that brought no exit record; kept, so that it is the same again and again."""

    exited: Exited | None = None
    lost: Lost | None = None


class AttemptFolder:
    """One attempt's files; every reading is of whole files, every writing is durable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = path.name

    @property
    def is_ordered(self) -> bool:
        """Whether the attempt is this engine's."""
        return (self.path / ORDERED).is_file()

    @property
    def is_stopped(self) -> bool:
        """Whether somebody wants it to end."""
        return (self.path / STOP).exists()

    @property
    def has_ended(self) -> bool:
        """Whether there is an end, by the pod's own word or by a verdict."""
        return (self.path / EXIT).exists() or (self.path / VERDICT).exists()

    @property
    def is_tidied(self) -> bool:
        """Whether nothing of it is left in the cluster."""
        return (self.path / TIDIED).exists()

    def note_tidied(self) -> None:
        """Keep that the cluster needs not be asked about it any more."""
        (self.path / TIDIED).touch()

    def ordered(self) -> Ordered:
        """Return what was ordered."""
        return msgspec.json.decode((self.path / ORDERED).read_bytes(), type=Ordered)

    def order(self, ordered: Ordered) -> None:
        """Keep what is wanted: from now on it is brought about, and again after a crash."""
        self._write(ORDERED, msgspec.json.encode(ordered))

    def created(self) -> Created | None:
        """Return the Job, once the cluster has taken it."""
        raw = self._read(CREATED)
        return None if raw is None else msgspec.json.decode(raw, type=Created)

    def note_created(self, created: Created) -> None:
        """Keep that the cluster has the Job."""
        self._write(CREATED, msgspec.json.encode(created))

    def begun(self) -> Begun | None:
        """Return who runs the code, once somebody does."""
        raw = self._read(STARTED)
        return None if raw is None else msgspec.json.decode(raw, type=Begun)

    def heard_at(self) -> float:
        """Return when its pod last spoke to the server; 0 when it never did."""
        try:
            return (self.path / HEARD).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def exit_record(self) -> dict[str, Any] | None:
        """Return the pod's last word."""
        raw = self._read(EXIT)
        return None if raw is None else msgspec.json.decode(raw, type=dict[str, Any])

    @property
    def is_overdue(self) -> bool:
        """Whether the pod's last word came when the deadline of its Job had passed; by this machine's clock alone."""
        created, seconds = self.created(), self.ordered().job["spec"].get("activeDeadlineSeconds")
        if created is None or seconds is None:
            return False
        try:
            said_at = (self.path / EXIT).stat().st_mtime
        except FileNotFoundError:
            return False
        return said_at >= created.created_at + float(seconds) - _ROUNDED

    def verdict(self) -> Exited | Lost | None:
        """Return what was concluded without the pod's word."""
        raw = self._read(VERDICT)
        if raw is None:
            return None
        found = msgspec.json.decode(raw, type=Verdict)
        return found.exited or found.lost

    def conclude(self, end: Exited | Lost, *, unless_begun: bool = False) -> None:
        """Keep a verdict; the pod's own word, and the first verdict, stand. From now on no pod begins."""
        if not self.is_ordered:
            return
        verdict = Verdict(exited=end) if isinstance(end, Exited) else Verdict(lost=end)
        with Delivered(self.path).locked():
            if not self.has_ended and not (unless_begun and self.begun()):
                self._write(VERDICT, msgspec.json.encode(verdict))

    def has_log(self) -> bool:
        """Whether anything was printed that arrived here."""
        try:
            return (self.path / LOG).stat().st_size > 0
        except OSError:
            return False

    def write_log(self, text: bytes) -> None:
        """Keep a log that the pod could not bring itself."""
        self._write(LOG, text)

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, name: str, data: bytes) -> None:
        descriptor, part = tempfile.mkstemp(dir=self.path, prefix=f".{name}-")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(part).replace(self.path / name)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
