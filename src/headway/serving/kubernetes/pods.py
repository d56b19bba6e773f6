"""What the pods of a deployment have told the server, in the deployment's folder: the API writes, the target reads.

What stands there:
wanted.json               the Deployment that shall serve; gone = none
in_force.json             the one that served last
launch.json               how its fronts run
pods/UID/report.json      a pod's last report; its time is the file's
pods/UID/log.N            the pod's log from byte N on; the last two parts are kept
predictions/*.jsonl       every pod's predictions, segments named after the pod
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from headway.errors import Refused, TooLarge, UsageError
from headway.ids import checked_name
from headway.serving.durable import last_lines, read_record
from headway.serving.front import Options
from headway.serving.kubernetes.exchange import PodReport
from headway.serving.kubernetes.picture import ClusterSeen
from headway.serving.model import Deployment, Route
from headway.serving.prediction_log import PredictionLog

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_SEGMENT = re.compile(r"([0-9]{8}T[0-9]{2})-([0-9]{4})\Z")
_LOG_PART = 4 << 20
_SEGMENT_BYTES = 80 << 20  # the front begins another at 64 MB
# A model that fills its log must not fill our disk; and hour and pod are what a pod says they are.
_MOST_SEGMENTS = 64  # of one pod in one hour
_MOST_FILES = 20_000  # of one deployment
_LATEST = timedelta(days=7)  # so long a server may have been away; a pod keeps 1 GB meanwhile
_AHEAD = timedelta(hours=1)  # a node's clock may be wrong
_MOST_PODS = 64  # that say something of themselves and that the cluster was not seen to have
_KEPT_PODS = 10
_COUNTED_FOR = 60.0  # seconds
_appending = threading.Lock()  # a piece that came twice at once would stand there twice
_counted: dict[Path, _Counted] = {}  # under that lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A pod's last report and how old it is."""

    uid: str
    report: PodReport
    age: float  # seconds


@dataclass(slots=True)
class _Counted:
    """What lies in a folder of segments, as it was counted last and has grown since."""

    files: int
    size: int
    at: float


class PodFolder:
    """One deployment's folder, as the API and the target use it."""

    def __init__(self, root: Path, name: str) -> None:
        """Name the folder; nothing is made before something is written."""
        self.name = checked_name(name, what="deployment")
        self.folder = root / self.name

    @property
    def wanted(self) -> Deployment | None:
        """What shall serve; None when nothing shall."""
        return read_record(self.folder / "wanted.json", Deployment)

    @property
    def in_force(self) -> Deployment | None:
        """What served last; None before the first."""
        return read_record(self.folder / "in_force.json", Deployment)

    @property
    def options(self) -> Options:
        """How its fronts shall run."""
        return read_record(self.folder / "launch.json", Options) or Options()

    def route_by(self, digest: str) -> Route | None:
        """Return the route whose model files have this digest, among what is wanted or in force."""
        every = [route for one in (self.wanted, self.in_force) if one is not None for route in one.routes]
        return next((route for route in every if route.digest == digest), None)

    def uses_environment(self, digest: str) -> bool:
        """Whether a version that is wanted or in force runs in this environment."""
        every = [route for one in (self.wanted, self.in_force) if one is not None for route in one.routes]
        return any(Path(route.env_path).name == digest for route in every)

    # --- written by the API ---------------------------------------------------------------------------

    def keep_report(self, uid: str, report: PodReport) -> None:
        """Replace a pod's report; not forced to disk, since another comes in a second."""
        folder = self._admitted(uid)
        draft = folder / ".report.new"
        draft.write_bytes(msgspec.json.encode(report))
        draft.replace(folder / "report.json")

    def append_log(self, uid: str, offset: int, data: bytes) -> int:
        """Add to a pod's log where `offset` is its present size; return the size after it."""
        folder = self._admitted(uid)
        with _appending:
            return self._append_log(folder, offset, data)

    @staticmethod
    def _append_log(folder: Path, offset: int, data: bytes) -> int:
        parts = _log_parts(folder)
        size = _end(parts[-1]) if parts else 0
        if offset != size or not data:
            return size
        last = parts[-1] if parts and parts[-1].stat().st_size < _LOG_PART else folder / f"log.{size}"
        with last.open("ab") as stream:
            stream.write(data)
        for old in _log_parts(folder)[:-2]:
            old.unlink(missing_ok=True)
        return size + len(data)

    def append_predictions(
        self, uid: str, segment: str, offset: int, *, data: bytes, now: datetime, most: int = 50 << 30
    ) -> int:
        """Add to a segment of a pod's prediction log where `offset` is its present size; return the size after it.

        Raises:
            UsageError: the segment's name is none, or of an hour that a pod cannot have predictions of.
            TooLarge: the pod writes more than a pod may in an hour, or there are `most` bytes of the deployment.
        """
        number = _checked_segment(segment, now)
        path = self.folder / "predictions" / f"{segment}-{self._admitted(uid).name[:8]}.jsonl"
        with _appending:
            size = path.stat().st_size if path.exists() else 0
            if offset != size or not data:
                return size
            if number >= _MOST_SEGMENTS or size + len(data) > _SEGMENT_BYTES:
                raise TooLarge("the pod's prediction log is longer than a pod may write in an hour")
            self._count(path, len(data), is_new=size == 0, most=most)
            with path.open("ab") as stream:
                stream.write(data)
        return size + len(data)

    def _count(self, path: Path, size: int, *, is_new: bool, most: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        counted = _counted.get(path.parent)
        if counted is None or time.monotonic() - counted.at > _COUNTED_FOR:
            sizes = [each.stat().st_size for each in os.scandir(path.parent)]
            counted = _counted[path.parent] = _Counted(files=len(sizes), size=sum(sizes), at=time.monotonic())
        if counted.size + size > most or counted.files + is_new > _MOST_FILES:
            raise TooLarge(
                f"the prediction log of {self.name} is full: {counted.size >> 20} MB in {counted.files} files",
                cause=f"at most {most >> 20} MB in {_MOST_FILES} files are kept of a deployment",
                hint="old ones make room by themselves; the operator can raise HEADWAY_KUBERNETES_PREDICTIONS_GB",
            )
        counted.size += size
        counted.files += is_new

    def _pod(self, uid: str) -> Path:
        if not _UID.match(uid):
            raise UsageError(f"{uid[:40]!r} is no pod's uid")
        if not (self.folder / "wanted.json").exists():
            raise Refused(f"{self.name} shall not serve any more", hint="its pods end")
        return self.folder / "pods" / uid

    def _admitted(self, uid: str) -> Path:
        """Return a pod's folder, made for pods that the cluster has, and for a few that it was not seen to have yet.

        Raises:
            TooLarge: there are too many of those.
        """
        folder = self._pod(uid)
        if not folder.is_dir():
            seen = read_record(self.folder / "seen.json", ClusterSeen)
            known = {pod.uid for pod in (seen.pods if seen else None) or ()}
            strange = sum(path.name not in known for path in self.folder.glob("pods/*"))
            if uid not in known and strange >= _MOST_PODS + _KEPT_PODS:
                raise TooLarge(
                    f"{self.name} has more pods that report than the cluster was seen to have",
                    cause=f"{strange} of them were not seen there",
                    hint="it is looked again in a moment; until then this one is not heard",
                )
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    # --- read by the target ---------------------------------------------------------------------------

    def heard(self) -> list[Heard]:
        """Return every pod's last report, the freshest first."""
        found = []
        for path in self.folder.glob("pods/*/report.json"):
            with contextlib.suppress(FileNotFoundError):
                age = time.time() - path.stat().st_mtime
                report = read_record(path, PodReport)
                if report is not None:
                    found.append(Heard(uid=path.parent.name, report=report, age=max(0.0, age)))
        return sorted(found, key=lambda one: one.age)

    def lines(self) -> list[str]:
        """Return the last lines of every pod's log, in the order of their times."""
        pods = sorted(self.folder.glob("pods/*"))
        found: list[tuple[str, str]] = []
        for pod in pods:
            begin = f"{pod.name[:8]} " if len(pods) > 1 else ""
            for part in _log_parts(pod):
                # Each line begins with its time; those of one second keep their order, as the sort is stable.
                found += [(line[:20], f"{line[:21]}{begin}{line[21:]}") for line in last_lines(part)]
        return [line for _, line in sorted(found, key=lambda pair: pair[0])]

    def prune_predictions(self, days: int) -> None:
        """Delete segments whose last line is older."""
        PredictionLog(self.folder / "predictions").prune(datetime.now(UTC) - timedelta(days=days))

    def forget_pods(self, keep: frozenset[str]) -> None:
        """Remove what pods that are gone have told, but for the last ten: their logs say why they went."""
        gone = [path for path in self.folder.glob("pods/*") if path.name not in keep]
        for path in sorted(gone, key=lambda one: one.stat().st_mtime)[:-_KEPT_PODS]:
            shutil.rmtree(path, ignore_errors=True)


def _checked_segment(segment: str, now: datetime) -> int:
    """Return the number of a segment within its hour, once that hour is one of which a pod can have predictions."""
    matched = _SEGMENT.match(segment)
    if matched is None:
        raise UsageError(f"{segment[:40]!r} is no segment of a prediction log")
    try:
        hour = datetime.strptime(matched[1], "%Y%m%dT%H").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"{segment!r} is no segment of a prediction log: there is no such hour") from None
    if not now - _LATEST - timedelta(hours=1) <= hour <= now + _AHEAD:
        raise UsageError(
            f"the segment {segment} is not taken: it is {now:%Y%m%dT%H} here",
            cause=f"predictions are taken up to {_LATEST.days} days late and an hour ahead",
            hint="set the clock of the node",
        )
    return int(matched[2])


def _log_parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("log.*"), key=_start)


def _start(part: Path) -> int:
    return int(part.suffix[1:])


def _end(part: Path) -> int:
    return _start(part) + part.stat().st_size
