"""Every prediction with its request id, in append-only segments of JSON lines by hour and size.

Written off the request path: `add` appends to a list, a thread writes twice a second. A killed process
loses at most that half second. Segments sort by the time of their first line.
"""

from __future__ import annotations

import mmap
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from headway.clock import from_millis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SEGMENT_BYTES = 64 << 20
_MOST_WAITING = 20_000
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SEGMENT = re.compile(r"\d{8}T\d{2}-\d{4}(-[0-9a-f]{8})?\.jsonl\Z")  # with the pod that wrote it, where pods do


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One request and its answer; `inputs` and `outputs` are None where they were too large or not sampled."""

    id: str
    at: datetime
    deployment: str
    model: str
    version: int
    status: int
    latency_ms: float
    client_id: str = ""  # the protocol's own id, when the caller gave one
    key: str = ""  # hash of the caller's sticky key
    inputs: Any = None
    outputs: Any = None


class PredictionLog:
    """The segments of one deployment; one process writes, any may read."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, made at the first write."""
        self.folder = folder
        self.dropped = 0
        self._waiting: list[bytes] = []
        self._segment: Path | None = None
        self._lock = threading.Lock()

    def add(self, line: bytes) -> None:
        """Queue one line; dropped and counted when the disk does not keep up."""
        if len(self._waiting) >= _MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(line)

    def flush(self, now: datetime) -> int:
        """Write what is queued; return how many lines."""
        with self._lock:
            lines, self._waiting = self._waiting, []
            if not lines:
                return 0
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._current(now).open("ab") as stream:
                    stream.write(b"\n".join(lines) + b"\n")
            except OSError:
                self.dropped += len(lines)
                return 0
            return len(lines)

    def _current(self, now: datetime) -> Path:
        hour = now.astimezone(UTC).strftime("%Y%m%dT%H")
        current = self._segment
        if current is None or not current.name.startswith(hour):
            known = sorted(self.folder.glob(f"{hour}-*.jsonl"))
            current = known[-1] if known else self.folder / f"{hour}-0000.jsonl"
        if current.exists() and current.stat().st_size > _SEGMENT_BYTES:
            current = self.folder / f"{hour}-{int(current.stem[-4:]) + 1:04d}.jsonl"
        self._segment = current
        return current

    def segments(self) -> list[Path]:
        """Return the segments, oldest first."""
        return sorted(path for path in self.folder.glob("*.jsonl") if _SEGMENT.match(path.name))

    def find(self, request_id: str) -> Prediction | None:
        """Return the newest prediction with that request id (or that id of the caller); None when there is none.

        An id made here carries its time, which leads to its segment; others are searched for, newest first.
        """
        quoted = msgspec.json.encode(request_id)
        needles = (b'"id":' + quoted + b",", b'"client_id":' + quoted + b",")
        for path in self._likely(request_id):
            found = _search(path, needles)
            if found is not None:
                return found
        return None

    def _likely(self, request_id: str) -> list[Path]:
        newest = self.segments()[::-1]
        if not _ULID.match(request_id):
            return newest
        hour = ulid_time(request_id).strftime("%Y%m%dT%H")
        near = [path for path in newest if path.name[:11] >= hour][::-1][:4]
        return near + [path for path in newest if path not in near]

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Prediction]:
        """Yield predictions in the order of writing, of the time span given."""
        for path in self.segments():
            try:
                start = datetime.strptime(path.name[:11], "%Y%m%dT%H").replace(tzinfo=UTC)
            except ValueError:
                continue  # the same
            if (since and start + timedelta(hours=1, minutes=5) < since) or (until and start > until):
                continue
            with path.open("rb") as stream:
                for line in stream:
                    if not line.endswith(b"\n"):
                        break  # still being written
                    found = _prediction(line)
                    if found is None:
                        continue  # a pod's model can write into its log
                    if (since is None or found.at >= since) and (until is None or found.at < until):
                        yield found

    def prune(self, older_than: datetime) -> int:
        """Delete segments whose last line is older; return how many."""
        old = [path for path in self.segments() if path.stat().st_mtime < older_than.timestamp()]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)


def find_prediction(folder: Path, request_id: str) -> Prediction | None:
    """Look through the log of one deployment, given the folder that its target keeps."""
    return PredictionLog(folder / "predictions").find(request_id)


def ulid_time(ulid: str) -> datetime:
    """Return the moment that a ULID was made at."""
    millis = 0
    for letter in ulid[:10]:
        millis = millis << 5 | _CROCKFORD.index(letter)
    return from_millis(min(millis, 253_402_300_799_000))


def _search(path: Path, needles: tuple[bytes, ...]) -> Prediction | None:
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for needle in needles:
            at = data.rfind(needle)
            while at >= 0:
                start = data.rfind(b"\n", 0, at) + 1
                end = data.find(b"\n", at)
                found = _prediction(data[start : end if end >= 0 else len(data)])
                if found is not None and _is_of(found, needle):
                    return found
                at = data.rfind(needle, 0, start)
    return None


def _prediction(line: bytes) -> Prediction | None:
    """Return the record in a line; None where something else stands there."""
    try:
        return msgspec.json.decode(line, type=Prediction)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _is_of(found: Prediction, needle: bytes) -> bool:
    # The same bytes may stand in what the caller sent; the record's own fields decide.
    name, _, value = needle.rstrip(b",").partition(b":")
    own = found.id if name == b'"id"' else found.client_id
    return own == msgspec.json.decode(value, type=str)
