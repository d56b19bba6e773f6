"""Bring the source of an attempt, prove it, lay it out; no foreign code runs before that has been done.

In Headway's image, as the first container of a pod or at the beginning of its only one (`pod.py`). It leaves in the
attempt's folder `work/` (the source), `command.json` and `server.json`. A first container leaves `token` besides, and
for the Python of whatever image runs the step these very files, in another folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Callable, NamedTuple  # noqa: UP035  # Python 3.9 runs this too
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -I leaves it out

import archive  # needs the line above
from attempt_server import AttemptServer, Ended, NotTaken, patiently
from durable import write_json
from upstream import Away

_PATIENCE = 600.0
_FOLDERS = ("work", "out", "tmp", "home")
_GB = 1 << 30


class Failed(Exception):
    """The layout cannot be made; message, cause and hint for a person."""


class Order(NamedTuple):
    """What is ordered of a pod."""

    attempt: str
    server: str  # its address
    source: str  # the SHA-256 of the archive
    command: dict
    token: str


def main() -> int:
    """Lay everything out for the container that comes next; 0 when it stands."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _end)  # the first process of a container hears no signal by itself
    folder, inside = Path(os.environ["HEADWAY_POD_FOLDER"]), os.environ.get("HEADWAY_POD_INSIDE", "")
    mounted = Path(os.environ["HEADWAY_POD_ORDER"])

    def work() -> None:
        command = (mounted / "command.json").read_text(encoding="utf-8")
        order = _order(command, (mounted / "token").read_text(encoding="ascii").strip())
        lay_out(order, folder)
        for each in Path(__file__).resolve().parent.glob("*.py") if inside else ():
            shutil.copy(each, Path(inside) / each.name)
        descriptor = os.open(folder / "token", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(order.token)

    return 0 if is_done(work) else 1


def given_order() -> Order | None:
    """Take the order out of our variables; None where another container has had it."""
    command, token = os.environ.pop("HEADWAY_POD_COMMAND", ""), os.environ.pop("HEADWAY_POD_TOKEN", "")
    return _order(command, token) if command else None


def is_done(work: Callable[[], None]) -> bool:
    """Do it; what is in its way is told where the cluster keeps last words."""
    try:
        work()
    except Failed as failure:
        tell(dict(zip(("message", "cause", "hint"), failure.args)))  # noqa: B905  # Python 3.9 has no strict
        return False
    except (OSError, ValueError) as error:
        tell({"message": "the pod could not be laid out", "cause": repr(error)})
        return False
    return True


def _order(command: str, token: str) -> Order:
    told = (os.environ.get(f"HEADWAY_POD_{name}", "") for name in ("ATTEMPT", "SERVER", "SOURCE"))
    return Order(*told, json.loads(command), token)


def lay_out(order: Order, folder: Path) -> None:
    """Fetch, prove and unpack the source; then put down what the supervisor needs."""
    for name in _FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    write_json(folder / "server.json", server_of(order.server))
    server = AttemptServer(folder / "server.json", order.token, order.attempt, f"layout.{uuid.uuid4().hex}")
    packed = folder / "source.tar"
    _fetch(server, packed, order)
    server.close()
    limit = int(order.command["limits"].get("disk_mb") or 0) << 20
    with packed.open("rb") as stream:
        archive.unpack(stream, folder / "work", limits=archive.Limits(bytes=limit or 1024 * _GB), links=True)
    packed.unlink()
    for path in order.command.get("outputs", ()):
        (Path(order.command["cwd"]) / path).parent.mkdir(parents=True, exist_ok=True)
    write_json(folder / "command.json", order.command)


def server_of(url: str) -> dict:
    """Return what the door's file says of a server at this address."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    return {
        "host": parts.hostname or "",
        "port": parts.port or (443 if tls else 80),
        "prefix": parts.path.rstrip("/"),
        "tls": tls,
    }


def _fetch(server: AttemptServer, packed: Path, order: Order) -> None:
    try:
        found = patiently(_telling(lambda: server.source(packed), order.server), time.monotonic() + _PATIENCE)
    except Away as away:
        raise Failed(
            f"the pod does not reach the server at {order.server}",
            str(away),
            "set HEADWAY_KUBERNETES_SERVER_URL to an address that pods reach, and let the network policy allow it",
        ) from away
    except (Ended, NotTaken) as refusal:
        raise Failed("the server does not give out the source", str(refusal), "start the job again") from refusal
    if found != order.source:
        raise Failed(
            "the source that arrived is not the one that was ordered",
            f"SHA-256 {found} instead of {order.source}",
            "something between pod and server changes what passes: look at proxies between them",
        )


def _telling(fetch: Callable[[], str], address: str) -> Callable[[], str]:
    """Say on the container's log, once for each reason, what is in the way: ten minutes of silence help nobody."""
    told: set[str] = set()

    def call() -> str:
        try:
            return fetch()
        except Away as away:
            if str(away) not in told:
                told.add(str(away))
                print(f"the server at {address} does not answer: {away}; tried again", file=sys.stderr, flush=True)
            raise

    return call


def _end(*_: object) -> None:
    sys.exit(143)


def tell(record: dict) -> None:
    """Leave the last words where the kubelet takes them from, and on the container's log."""
    text = json.dumps(record)
    print("; ".join(str(value) for value in record.values() if value), file=sys.stderr, flush=True)
    try:
        with open(os.environ.get("HEADWAY_POD_TERMINATION", "/dev/termination-log"), "w", encoding="utf-8") as out:  # noqa: PTH123  # a device
            out.write(text[:4000])
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
