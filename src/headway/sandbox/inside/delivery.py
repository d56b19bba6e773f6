"""Delivers what the door has kept, in the order in which it was kept."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from durable import sync_folder
from journal import Journal
from upstream import Away, Request, Upstream

_SECONDS = 120.0
_PATIENCE_WITH_ERRORS = 5  # tries of a request that the server answers with 500, or hangs up on while well
_BUSY = frozenset({429})
_UNDELIVERED = "undelivered.jsonl"
_AT_ONCE = 1000  # MLflow takes so many metrics in a batch
_BATCH_BYTES = 800_000  # and a megabyte
_LOG_METRIC = "/api/2.0/mlflow/runs/log-metric"
_LOG_BATCH = "/api/2.0/mlflow/runs/log-batch"
_MERGED_FIELDS = frozenset(
    {"run_id", "run_uuid", "key", "value", "timestamp", "step", "model_id", "dataset_name", "dataset_digest"}
)


class Delivery:
    """A journal, and the thread that empties it."""

    def __init__(self, folder: Path, connect: Callable[[], Upstream], waits_for: frozenset[int] = _BUSY) -> None:
        self._folder = folder
        self._connect = connect
        self._waits_for = waits_for  # answers that may change by themselves, or by somebody's doing
        self.journal = Journal(folder / "journal")
        self.refused = _lines(folder / _UNDELIVERED)  # kept, and then not accepted by the server
        self.refusal = ""  # the first of them that this process saw, for people
        self.full = ""  # what the disk had no room for at last; the client was told so
        self.trouble = ""  # why what waits could not be delivered at the last try

    def start(self) -> None:
        """Begin to deliver."""
        threading.Thread(target=self._run, name="delivery", daemon=True).start()

    def keep(self, request: Request) -> None:
        """Make a request durable; the caller may then answer as if it had been accepted.

        Raises:
            OSError: the disk took no more.
        """
        if request.spool:
            descriptor = os.open(request.spool, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(request.spool.parent)
        self.journal.append(pack(request))

    def _run(self) -> None:
        upstream = self._connect()
        while True:
            records = self.journal.wait_for_records(_AT_ONCE, 60.0)
            requests = [unpack(record) for record in records]
            while requests:
                batch, count = merge(requests)
                refusal = self._deliver(batch, upstream)
                if refusal and count > 1:  # one of them is bad: find out which
                    for request in requests[:count]:
                        self._refuse(request, self._deliver(request, upstream))
                else:
                    self._refuse(requests[0], refusal)
                self.journal.delivered(records[:count])
                if requests[0].spool and not refusal:  # what was refused is kept: nobody else has it
                    requests[0].spool.unlink(missing_ok=True)
                del requests[:count], records[:count]

    def _deliver(self, request: Request, upstream: Upstream) -> tuple[int, bytes] | None:
        """Return when the server has accepted the request (None), or refused it for good (status and text)."""
        pause = 0.05
        errors = 0
        while True:
            try:
                response = upstream.send(request, seconds=_SECONDS)
                text = response.read()
            except Away as away:
                self.trouble = str(away)
                if away.cut and _is_well(upstream):
                    errors += 1
                if errors >= _PATIENCE_WITH_ERRORS:
                    return 0, str(away).encode()
            else:
                if response.status < 400:
                    self.trouble = ""
                    return None
                self.trouble = f"the server answered {response.status}: {text[:300].decode(errors='replace')}"
                errors += response.status not in self._waits_for
                if response.status not in {408, 500, *self._waits_for} or errors >= _PATIENCE_WITH_ERRORS:
                    return response.status, text
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def _refuse(self, request: Request, refusal: tuple[int, bytes] | None) -> None:
        if refusal is None:
            return
        status, text = refusal
        self.refused += 1
        self.trouble = ""
        self.refusal = (
            self.refusal or f"{request.method} {request.target}: {status} {text[:500].decode(errors='replace')}"
        )
        line = {
            "method": request.method,
            "target": request.target,
            "body": request.body.decode(errors="replace"),
            "spool": str(request.spool) if request.spool else None,
            "status": status,
            "answer": text[:4000].decode(errors="replace"),
            "at": time.time(),
        }
        # A full disk must not end the delivery of the rest; count and first refusal are told in any case.
        with contextlib.suppress(OSError), (self._folder / _UNDELIVERED).open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            return sum(1 for _ in stream)
    except FileNotFoundError:
        return 0


def _is_well(upstream: Upstream) -> bool:
    """Say whether the server answers at all, so that what it hangs up on is to blame."""
    try:
        response = upstream.send(Request("GET", "/health", {}), seconds=5.0)
        response.read()
    except Away:
        return False
    return response.status == 200


def merge(requests: list[Request]) -> tuple[Request, int]:
    """Return the first request, or one batch for the single metrics of one run at the front, and their number."""
    metrics: list[dict] = []
    run_id, size = None, 0
    for request in requests:
        point = _point(request)
        size += len(request.body)
        if point is None or (run_id or point["run_id"]) != point["run_id"] or size > _BATCH_BYTES:
            break
        run_id = point.pop("run_id")
        metrics.append(point)
    if len(metrics) < 2:
        return requests[0], 1
    body = json.dumps({"run_id": run_id, "metrics": metrics}).encode()
    headers = dict(requests[0].headers, **{"Content-Type": "application/json"})
    return Request("POST", _LOG_BATCH, headers, body), len(metrics)


def _point(request: Request) -> dict | None:
    """Return a log-metric request's fields; None when it is something else, or has anything unusual."""
    if request.target != _LOG_METRIC or "Content-Encoding" in request.headers:
        return None
    try:
        point = json.loads(request.body)
    except ValueError:
        return None
    if not isinstance(point, dict) or not point.keys() <= _MERGED_FIELDS or not point.get("run_id"):
        return None
    point.pop("run_uuid", None)
    return point


def pack(request: Request) -> bytes:
    """Return a request as one record: a line of JSON, then the body."""
    head = {
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
        "spool": str(request.spool) if request.spool else None,
    }
    return json.dumps(head).encode() + b"\n" + request.body


def unpack(record: bytes) -> Request:
    """Return the request that `pack` made into a record."""
    line, _, body = record.partition(b"\n")
    head = json.loads(line)
    spool = Path(head["spool"]) if head["spool"] else None
    return Request(head["method"], head["target"], head["headers"], body, spool)
