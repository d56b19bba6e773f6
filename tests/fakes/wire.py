"""A real MLflow wire on a real socket: uvicorn with uvloop in a thread, or as a process of its own to be killed."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from sqlalchemy import text

from headway.api.mlflow.app import MlflowWire
from headway.api.mlflow.segment import OneSegmentProtocol
from headway.auth.authenticate import Authenticator
from headway.blobs.folder import FolderStore
from headway.clock import SystemClock
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.db.partial_indexes import metadata
from headway.tracking.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWire:
    """Where it listens, and its parts."""

    uri: str
    database: Database
    writer: Writer
    wire: MlflowWire


def empty_postgres(url: str) -> Database:
    """Open a PostgreSQL database of tests with the schema and no rows."""
    database = open_database(url)
    migrate(database)
    with database.write() as tx:
        listed = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        tx.execute(text(f"truncate {listed} restart identity cascade"))
    return database


def listening(port: int = 0) -> socket.socket:
    """Return a listening socket on loopback."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    return sock


def server_for(wire: MlflowWire) -> uvicorn.Server:
    """Return a server as Headway's own is set up."""
    return uvicorn.Server(
        uvicorn.Config(
            wire,
            loop="uvloop",
            http=OneSegmentProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        ),
    )


@contextlib.contextmanager
def live_wire(root: Path, *, auth: str = "none", database: Database | None = None) -> Iterator[LiveWire]:
    """Serve the wire from a thread until the block ends."""
    database = database or open_database(f"sqlite:///{root / 'headway.db'}")
    migrate(database)
    writer = Writer(database)
    writer.start()
    mode = "none" if auth == "none" else "token"
    wire = MlflowWire(
        database, writer, FolderStore(root / "artifacts"), Authenticator(database, SystemClock(), mode=mode)
    )
    sock = listening()
    server = server_for(wire)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    try:
        yield LiveWire(uri=f"http://127.0.0.1:{sock.getsockname()[1]}", database=database, writer=writer, wire=wire)
    finally:
        server.should_exit = True
        thread.join(30)
        writer.stop()
        wire.close()
        database.close()
        sock.close()


def main(root: str, port: str, url: str = "") -> None:
    """Serve as a process: what the kill tests and the benchmark start."""
    database = open_database(url or f"sqlite:///{Path(root) / 'headway.db'}")
    migrate(database)
    writer = Writer(database)
    writer.start()
    wire = MlflowWire(
        database, writer, FolderStore(Path(root) / "artifacts"), Authenticator(database, SystemClock(), mode="none")
    )
    server_for(wire).run(sockets=[listening(int(port))])
    writer.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
