"""Delivers what the door has kept, in the order in which it was kept."""

from __future__ import annotations

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
_PATIENCE_WITH_ERRORS = 5  # tries of a request that the server answers with 500 or 429


class Delivery:
    """A journal, and the thread that empties it."""

    def __init__(self, folder: Path, connect: Callable[[], Upstream]) -> None:
        self._folder = folder
        self._connect = connect
        self.journal = Journal(folder / "journal")
        self.refused = 0  # kept, and then not accepted by the server: in undelivered.jsonl

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
            record = self.journal.wait_for_record(60.0)
            if record is None:
                continue
            request = unpack(record)
            self._deliver(request, upstream)
            self.journal.delivered(record)
            if request.spool:
                request.spool.unlink(missing_ok=True)

    def _deliver(self, request: Request, upstream: Upstream) -> None:
        """Return when the server has accepted the request, or refused it for good."""
        pause = 0.05
        errors = 0
        while True:
            try:
                response = upstream.send(request, seconds=_SECONDS)
                text = response.read()
            except (Away, OSError):
                time.sleep(pause)
                pause = min(pause * 1.5, 1.0)
                continue
            if response.status < 400:
                return
            errors += 1
            if response.status not in {408, 429, 500} or errors >= _PATIENCE_WITH_ERRORS:
                self._refuse(request, response.status, text)
                return
            time.sleep(pause * errors)

    def _refuse(self, request: Request, status: int, text: bytes) -> None:
        self.refused += 1
        line = {
            "method": request.method,
            "target": request.target,
            "body": request.body[:4000].decode(errors="replace"),
            "status": status,
            "answer": text[:4000].decode(errors="replace"),
            "at": time.time(),
        }
        with (self._folder / "undelivered.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


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
