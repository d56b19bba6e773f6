"""What every probe uses: the facts an attacker may know, and how a find is told (never more than the planted words).

Probes run as a fork's training step, and once outside of any sandbox as the proof that they would find what is there.
Nothing of the machine but planted canaries is ever printed.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import re
from pathlib import Path

FACTS = json.loads(Path(os.environ["HOSTILE_FACTS"]).read_text(encoding="utf-8"))
OUTSIDE = os.environ.get("HOSTILE_OUTSIDE") == "1"
CANARY = re.compile(rb"hwcanary-[0-9a-f]{24}")
MOST = 1 << 20

libc = ctypes.CDLL(None, use_errno=True)
tried = 0


def got(where: object, data: bytes | str) -> None:
    """Print every planted word that was found in something, also where it stands in base64 or hex."""
    raw = data.encode(errors="replace") if isinstance(data, str) else data
    found = set(CANARY.findall(raw))
    for word in re.findall(rb"[A-Za-z0-9+/_=-]{40,}", raw):
        padded = word.replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
        for start in range(4):
            part = padded[start:]
            part = part[: len(part) // 4 * 4]
            with contextlib.suppress(ValueError):
                found |= set(CANARY.findall(base64.b64decode(part)))
    for each in sorted(found):
        print(f"GOT {each.decode()} from {where}", flush=True)


def through(what: str) -> None:
    """Print that a wall gave way, where there is no word to bring home."""
    print(f"THROUGH {what}", flush=True)


def attempt(count: int = 1) -> None:
    """Count what was tried: a probe that tried nothing proves nothing."""
    global tried  # noqa: PLW0603  # one process is one probe
    tried += count


def take(path: str | Path) -> bytes:
    """Read a file or list a folder, as far as it goes."""
    attempt()
    place = Path(path)
    try:
        if place.is_dir():
            names = " ".join(sorted(each.name for each in place.iterdir()))
            return names.encode(errors="replace")[:MOST]
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(descriptor, MOST)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def steal(path: str | Path) -> None:
    """Read something and tell what it held."""
    got(path, take(path))


def steal_tree(path: str | Path, *, most: int = 400) -> None:
    """Read everything below a folder."""
    attempt()
    for folder, _, names in os.walk(path):
        for name in names:
            most -= 1
            if most < 0:
                return
            steal(Path(folder) / name)


def pids() -> list[str]:
    """Return the processes to look at: all that are seen inside, only the planted ones outside."""
    if OUTSIDE:
        return [str(each) for each in FACTS["pids"]]
    return [name for name in os.listdir("/proc") if name.isdigit()] + [str(each) for each in FACTS["pids"]]  # noqa: PTH208


def writes(path: str | Path, data: bytes = b"hwpoison") -> bool:
    """Try to leave something where later work would find it."""
    attempt()
    try:
        Path(path).write_bytes(data)
    except OSError:
        return False
    return True
