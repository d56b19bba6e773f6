"""What an attempt on another machine hands in: files of its folder, each durable before it is acknowledged.

The folder is the attempt's own below `<data>/attempts`. Its engine writes `source.tar`; the attempt's pod hands in
`started`, `log`, `out/` and at last `exit.json`, through the API and with the attempt's token. The engine and
`flow/collect.py` read them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import msgspec

from headway.errors import Conflict, StorageFull, TooLarge, Unreachable, UsageError
from headway.ids import new_id
from headway.sandbox.inside.archive import BadArchive, Limits, TooMuch, unpack

SOURCE, STARTED, LOG, OUTPUTS, EXIT, STOP = "source.tar", "started", "log", "out", "exit.json", "stop"
HEARD = "heard"  # touched whenever its pod speaks: a sign of life that needs no cluster
VERDICT = "verdict.json"  # what the engine concluded of an attempt that said nothing: its code may not begin any more
ORDERED = "elsewhere.json"  # what was ordered of an engine that runs the attempt elsewhere
REFUSED = "out.refused"  # why the outputs that came were not taken: what the task then fails with
MOST_LOG = 1 << 20  # bytes of one piece of a log
_SLACK = 1 << 20  # for the mark with which a supervisor ends a log that is too long
_WHO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FEW = 64  # files that are synced one by one
_MOST_BEYOND = 1 << 20  # bytes after the end of an archive: programs fill theirs up, by 10 KB as a rule
_LONGEST_REASON, _LONGEST_TEXT, _LONGEST_NAME = 200, 16_000, 253

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]


class ExitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, as its supervisor writes it down."""

    exit_code: Annotated[int, msgspec.Meta(ge=0, le=255)]
    reason: str = ""
    text: str = ""
    isolation: Annotated[int, msgspec.Meta(ge=0, le=3)] = 3
    started_at: _Amount
    finished_at: _Amount
    peak_memory_mb: _Amount = 0.0
    cpu_seconds: _Amount = 0.0
    undelivered: _Count = 0
    drained: bool = True


class StartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who begins an attempt, as its pod says it."""

    uid: str  # one process of one pod
    pod: str = ""
    node: str = ""
    at: _Amount = 0.0
    isolation: Annotated[int, msgspec.Meta(ge=0, le=3)] = 3


class LogMoved(Conflict):
    """A piece of a log came for a place at which the log does not end."""

    def __init__(self, size: int) -> None:
        """Keep where it does end: that is where the next piece belongs."""
        super().__init__(f"the log has {size} bytes: that is where the next piece belongs")
        self.size = size


class Delivered:
    """One attempt's folder as its deliveries fill it; safe from several threads and processes at once."""

    def __init__(self, folder: Path) -> None:
        """`folder` exists."""
        self.folder = folder

    @property
    def is_stopped(self) -> bool:
        """Whether somebody wants it to end."""
        return (self.folder / STOP).exists()

    @property
    def log_size(self) -> int:
        """How many bytes of its log are here."""
        try:
            return (self.folder / LOG).stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self, record: StartRecord) -> None:
        """Let the first who asks begin: `uid` names one process of one pod, which may ask again.

        Raises:
            Conflict: another one has begun, or it has ended: the code must not run twice.
            UsageError: there is no usable `uid`.
        """
        uid = _checked(record.uid)
        short = msgspec.structs.replace(record, pod=record.pod[:_LONGEST_NAME], node=record.node[:_LONGEST_NAME])
        with self.locked():
            if (self.folder / EXIT).exists() or (self.folder / VERDICT).exists():
                raise Conflict("this attempt has ended", hint="do not run its code")
            begun = self._who()
            if begun is None:
                _write_whole(self.folder / STARTED, msgspec.json.encode(short))
            elif begun != uid:
                raise Conflict("another pod has begun this attempt", cause=f"{begun} was first", hint="end this one")

    def append(self, data: bytes, offset: int, *, limit_mb: int, uid: str) -> int:
        """Add a piece to the end of the log and return where it ends now; nothing is asked of an empty piece.

        Raises:
            LogMoved: the log does not end at `offset`.
            TooLarge: the log would be longer than it may be.
            Conflict: another pod has begun this attempt.
        """
        with self.locked():
            self._check(uid)
            (self.folder / HEARD).touch()
            size = self.log_size
            if not data:
                return size
            if offset != size:
                raise LogMoved(size)
            if size + len(data) > (limit_mb << 20) + _SLACK:
                raise TooLarge(f"the log of this attempt is over {limit_mb} MB", hint="send no more of it")
            with _full_disk_told(), (self.folder / LOG).open("ab") as stream:
                try:
                    stream.write(data)
                    stream.flush()
                    os.fdatasync(stream.fileno())
                except OSError:
                    os.ftruncate(stream.fileno(), size)  # half a piece would be sent again after itself
                    raise
        return size + len(data)

    def keep_outputs(self, stream: BinaryIO, *, limits: Limits, digest: str, uid: str) -> bool:
        """Unpack the outputs so that they appear at once and whole; False when they are here already.

        One at a time: a pod that opens many connections takes nothing from others.

        Raises:
            Unreachable: another upload of this attempt is under way.
            UsageError: the archive is broken, not the one announced, or holds what is not taken.
            TooLarge: it holds more than it may.
        """
        self._check(uid)
        if (self.folder / OUTPUTS).is_dir():
            return False
        with (self.folder / "outputs.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unreachable("the outputs of this attempt are being taken", hint="ask again in a while") from None
            return self._take_outputs(stream, limits=limits, digest=digest)

    def _take_outputs(self, stream: BinaryIO, *, limits: Limits, digest: str) -> bool:
        part = self.folder / f"{OUTPUTS}.{new_id()}.part"
        part.mkdir(mode=0o700)
        hashed = _Hashed(stream)
        try:
            with _full_disk_told():
                found = unpack(cast(BinaryIO, hashed), part, limits=limits)
                if digest and hashed.whole() != digest:
                    raise UsageError("the archive is not the one that was announced", hint="send it again")
                _make_durable(part, found.files)
                with self.locked():
                    return self._show(part)
        except BadArchive as error:
            refusal: UsageError | TooLarge = (
                TooLarge(f"the outputs are not taken: {error}", hint="write less, or raise resources.disk")
                if isinstance(error, TooMuch)
                else UsageError(f"the outputs are not taken: {error}", hint="write plain files below the project")
            )
            _write_whole(self.folder / REFUSED, f"{refusal.message}; {refusal.hint}".encode(errors="replace"))
            raise refusal from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _show(self, part: Path) -> bool:
        try:
            part.rename(self.folder / OUTPUTS)
        except OSError:  # somebody else's came first; a folder that is not empty cannot be replaced
            return False
        (self.folder / REFUSED).unlink(missing_ok=True)
        _sync_folder(self.folder)
        return True

    def finish(self, record: ExitRecord, *, uid: str) -> None:
        """Write down how it ended: the last word, but for one that came before its door was drained.

        Raises:
            Conflict: another pod has begun this attempt.
        """
        with self.locked():
            self._check(uid)
            if not self._is_open():
                return
            short = msgspec.structs.replace(
                record, reason=record.reason[:_LONGEST_REASON], text=record.text[-_LONGEST_TEXT:]
            )
            with _full_disk_told():
                _write_whole(self.folder / EXIT, msgspec.json.encode(short))
            if record.drained:
                (self.folder / SOURCE).unlink(missing_ok=True)  # nobody asks for it again

    def _is_open(self) -> bool:
        try:
            return not msgspec.json.decode((self.folder / EXIT).read_bytes(), type=ExitRecord).drained
        except FileNotFoundError:
            return True
        except msgspec.MsgspecError:
            return False  # the engine's own word, of which we know nothing

    def _who(self) -> str | None:
        try:
            found = msgspec.json.decode((self.folder / STARTED).read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            return None
        return str(found.get("uid", ""))

    def _check(self, uid: str) -> None:
        begun = self._who()
        if uid and begun is not None and begun != uid:
            raise Conflict("another pod has begun this attempt", cause=f"{begun} was first", hint="end this one")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else begin, add or end meanwhile."""
        with (self.folder / "delivered.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class _Hashed:
    """A stream that counts into a digest what is read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._digest.update(data)
        return data

    def whole(self) -> str:
        """Read what is left, which an archive's end does not need, and return the digest of all.

        Raises:
            TooMuch: it goes on and on.
        """
        beyond = 0
        while part := self.read(1 << 16):
            beyond += len(part)
            if beyond > _MOST_BEYOND:
                raise TooMuch(f"more than {_MOST_BEYOND} bytes follow its end")
        return self._digest.hexdigest()


def forget_order(folder: Path) -> None:
    """Take token and secrets out of what was ordered of another machine: an ended attempt needs neither."""
    try:
        ordered = msgspec.json.decode((folder / ORDERED).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return  # it ran here
    _write_whole(folder / ORDERED, msgspec.json.encode(ordered | {"secret": {}}))


def _checked(uid: str) -> str:
    if not _WHO.fullmatch(uid):
        raise UsageError("the field uid names no pod", hint="at most 128 letters, digits, dots, dashes, underscores")
    return uid


@contextlib.contextmanager
def _full_disk_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull("the server's disk is full: nothing was kept", hint="send it again later") from error


def _make_durable(folder: Path, files: int) -> None:
    if files > _FEW:
        os.sync()  # one by one, thousands of them would take minutes
        return
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(Path(root, name), os.O_RDONLY | os.O_NOFOLLOW)
        _sync_folder(Path(root))


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{new_id()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
