"""The first container of a pod: bring the source, prove it, lay it out; no foreign code runs here.

Run in Headway's image. It leaves in the attempt's folder `work/` (the source), `command.json`, `token` and
`server.json`, and in the other folder these very files, for the Python of whatever image runs the step.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -I leaves it out

import archive  # needs the line above
from attempt_server import AttemptServer, Ended, NotTaken, patiently
from durable import read_json, write_json
from upstream import Away

_PATIENCE = 600.0
_FOLDERS = ("work", "out", "tmp", "home")
_GB = 1 << 30


class Failed(Exception):
    """The layout cannot be made; message, cause and hint for a person."""


def main() -> int:
    """Lay everything out; 0 when it stands."""
    os.umask(0o077)
    given = {name: os.environ.get(f"HEADWAY_POD_{name}", "") for name in ("ATTEMPT", "SERVER", "SOURCE", "ORDER")}
    folder, inside = Path(os.environ["HEADWAY_POD_FOLDER"]), Path(os.environ["HEADWAY_POD_INSIDE"])
    try:
        lay_out(given, folder, inside)
    except Failed as failure:
        tell(dict(zip(("message", "cause", "hint"), failure.args)))  # noqa: B905  # Python 3.9 has no strict
        return 1
    except (OSError, ValueError) as error:
        tell({"message": "the pod could not be laid out", "cause": repr(error)})
        return 1
    return 0


def lay_out(given: dict, folder: Path, inside: Path) -> None:
    """Fetch, prove and unpack the source; then put down what the step's container needs."""
    order = Path(given["ORDER"])
    token = (order / "token").read_text(encoding="ascii").strip()
    for name in _FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    write_json(folder / "server.json", server_of(given["SERVER"]))
    server = AttemptServer(folder / "server.json", token, given["ATTEMPT"], f"layout.{uuid.uuid4().hex}")
    packed = folder / "source.tar"
    _fetch(server, packed, given)
    command = read_json(order / "command.json")
    if command is None:
        raise Failed("the order of the attempt is unreadable", "", "start the job again")
    limit = int(command["limits"].get("disk_mb") or 0) << 20
    with packed.open("rb") as stream:
        archive.unpack(stream, folder / "work", limits=archive.Limits(bytes=limit or 1024 * _GB), links=True)
    packed.unlink()
    for path in command.get("outputs", ()):
        (Path(command["cwd"]) / path).parent.mkdir(parents=True, exist_ok=True)
    for each in Path(__file__).resolve().parent.glob("*.py"):
        shutil.copy(each, inside / each.name)
    write_json(folder / "command.json", command)
    descriptor = os.open(folder / "token", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(token)


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


def _fetch(server: AttemptServer, packed: Path, given: dict) -> None:
    try:
        found = patiently(lambda: server.source(packed), time.monotonic() + _PATIENCE)
    except Away as away:
        raise Failed(
            f"the pod does not reach the server at {given['SERVER']}",
            str(away),
            "set HEADWAY_KUBERNETES_SERVER_URL to an address that pods reach, and let the network policy allow it",
        ) from away
    except (Ended, NotTaken) as refusal:
        raise Failed("the server does not give out the source", str(refusal), "start the job again") from refusal
    if found != given["SOURCE"]:
        raise Failed(
            "the source that arrived is not the one that was ordered",
            f"SHA-256 {found} instead of {given['SOURCE']}",
            "something between pod and server changes what passes: look at proxies between them",
        )


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
