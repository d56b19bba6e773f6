"""Headway's own server, told on by the interpreter: every file, connection and program outside of its data directory.

    python watched_server.py LOG SECONDS

Python's audit events come before each deed, so what is refused by the system is seen as well. Its patience with slow
requests is cut to SECONDS, so that tests need not wait for it.
"""

from __future__ import annotations

import json
import mimetypes
import os
import re
import sys
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {
    *("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
    *("os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile", "shutil.copytree", "os.setxattr"),
}
_OWN_FILE = re.compile(r"/proc/self/fd/\d+")
_LEAVING = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
# What `headway doctor` asks of the machine: two fixed commands with nothing of a caller in them.
_ASKED_BY_DOCTOR = (["uname", "-p"], ["git", "--version"])
_RUNNING = {"os.system", "os.exec", "os.posix_spawn", "os.spawn"}


def _place(path: str) -> str:
    """Return where a file lies that is named by its number: one that had no name until now is given one so."""
    return str(Path(path).readlink()).removesuffix(" (deleted)") if _OWN_FILE.fullmatch(path) else path


def watch(log: Path, data: Path) -> None:
    """Write every deed that leaves the data directory into the log, one JSON line each."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    ours = str(data)
    readable = (
        *{sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(__file__).resolve().parents[2] / "src")},
        *("/dev/urandom", "/usr/lib/", "/usr/share/zoneinfo", *mimetypes.knownfiles),
    )

    def is_inside(path: Any, *, writes: bool) -> bool:
        if path is None or isinstance(path, int):
            return True
        text = os.fsdecode(path)
        if not text.startswith("/"):  # below a folder that was opened link by link
            return "/" not in text and text not in ("", "..")
        plain = os.path.normpath(_place(text))
        return (
            plain in (ours, "/dev/null") or plain.startswith(ours + "/") or (not writes and plain.startswith(readable))
        )

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = given
            writes = bool(flags & _WRITING) if isinstance(flags, int) else bool(set(str(mode)) & set("wax+"))
            is_told = not is_inside(path, writes=writes)
        elif event in _CHANGING:
            is_told = not all(is_inside(each, writes=True) for each in given if isinstance(each, (str, bytes)))
        elif event in ("os.listdir", "os.scandir"):
            is_told = not is_inside(given[0], writes=False)
        elif event == "subprocess.Popen":
            is_told = list(given[1]) not in _ASKED_BY_DOCTOR
        else:
            is_told = event in _LEAVING or event in _RUNNING
        if is_told:
            os.write(out, json.dumps([event, repr(given)[:300]]).encode() + b"\n")

    sys.addaudithook(hook)


def main(log: str, seconds: str) -> None:
    """Serve what the environment says, watched."""
    from headway.api.mlflow.bounds import BoundedProtocol
    from headway.server import serve
    from headway.settings import Settings

    BoundedProtocol.head_seconds = BoundedProtocol.body_seconds = float(seconds)
    settings = Settings.from_environment()
    watch(Path(log), settings.data)
    serve(settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
