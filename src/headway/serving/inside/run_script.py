"""Run one program, detached, at most once: `python -I run_script.py FOLDER`.

FOLDER/spec.json says argv, cwd, env, timeout and log_bytes. Written here: `lock` (held for life),
`started`, `log` (cut at log_bytes), and `exit.json` with the code, durably, before the lock is let go.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any


def write(path: Path, text: str) -> None:
    """Write a file that is whole or not there, also after a power cut."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def copy(source: IO[bytes], path: Path, most: int) -> None:
    """Keep at most so many bytes of what the program says."""
    kept = 0
    with path.open("wb", buffering=0) as log:
        for line in iter(lambda: source.readline(65536), b""):
            if kept < most:
                with contextlib.suppress(OSError):
                    log.write(line)
                kept += len(line)
                if kept >= most:
                    log.write(f"\n[cut: more than {most} bytes]\n".encode())


def run(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Run the program to its end; the time limit ends its whole process group."""
    try:
        process = subprocess.Popen(
            spec["argv"],
            cwd=spec["cwd"],
            env=spec["env"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        (folder / "log").write_text(f"{spec['argv'][0]}: {error}\n", "utf-8")
        return {"code": 127, "reason": f"cannot be started: {error}"}
    copier = threading.Thread(target=copy, args=(process.stdout, folder / "log", spec["log_bytes"]), daemon=True)
    copier.start()
    reason = ""
    try:
        code = process.wait(spec["timeout"])
    except subprocess.TimeoutExpired:
        reason = f"ended after {spec['timeout']:g} s"
        code = -1
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # also what the program left behind
    process.wait()
    copier.join(5)
    return {"code": code, "reason": reason}


def main() -> None:
    """Take the lock, run once, tell how it went."""
    folder = Path(sys.argv[1])
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if (folder / "started").exists():
        return
    write(folder / "started", str(os.getpid()))
    spec = json.loads((folder / "spec.json").read_text("utf-8"))
    write(folder / "exit.json", json.dumps(run(folder, spec)))


if __name__ == "__main__":
    main()
