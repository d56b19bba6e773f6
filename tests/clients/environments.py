"""Makes the environments of the clients: one per lock file, kept in .clients/ until its lock changes.

Run as `python tests/clients/environments.py [NAME...]`; `--lock` resolves the lock files again.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
KEPT = ROOT / ".clients"
PYTHON = "3.11"
_UV = Path(sys.executable).parent / "uv"


def names() -> list[str]:
    """Return the environments that there are locks for."""
    return sorted(path.stem.removeprefix("requirements-") for path in HERE.glob("requirements-*.txt"))


def python_of(name: str) -> Path:
    """Return the interpreter of an environment, whether it is there or not."""
    return KEPT / name / "bin" / "python"


def is_ready(name: str) -> bool:
    """Whether the environment is there and holds what its lock says."""
    stamp = KEPT / name / "lock.sha256"
    return stamp.is_file() and stamp.read_text() == _digest(name)


def make(name: str) -> float:
    """Install one environment where it is missing or its lock has changed; return the seconds that it took."""
    began = time.monotonic()
    if is_ready(name):
        return 0.0
    folder = KEPT / name
    shutil.rmtree(folder, ignore_errors=True)
    KEPT.mkdir(exist_ok=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(folder))
    lock = str(HERE / f"requirements-{name}.txt")
    wanted = ("--require-hashes", "--no-deps", "-r", lock)
    _uv("pip", "install", "--quiet", "--python", str(python_of(name)), *_find_links(), *wanted)
    (folder / "lock.sha256").write_text(_digest(name))
    return time.monotonic() - began


def lock(name: str) -> None:
    """Resolve one environment again; names, versions and hashes are written, addresses are not."""
    to, of = (str((HERE / f"requirements-{name}.{kind}").relative_to(ROOT)) for kind in ("txt", "in"))
    fixed = ("--generate-hashes", "--no-emit-find-links", "--no-header", "--python-version", PYTHON)
    _uv("pip", "compile", "--quiet", *fixed, *_find_links(), "-o", to, of)


def _digest(name: str) -> str:
    return hashlib.sha256((HERE / f"requirements-{name}.txt").read_bytes()).hexdigest()


def _find_links() -> list[str]:
    """Return what pip is configured to look through: uv reads none of pip's configuration."""
    found: list[str] = []
    for key in (":env:.find-links", "global.find-links", "user.find-links", "site.find-links"):
        told = subprocess.run(
            [sys.executable, "-m", "pip", "config", "get", key], capture_output=True, text=True, check=False
        )
        found += [each for each in told.stdout.split() if each not in found]
    return [word for each in found for word in ("--find-links", each)]


def _uv(*words: str) -> None:
    subprocess.run([str(_UV), *words], check=True, cwd=ROOT)


def main(words: list[str]) -> None:
    """Lock or make what is named, or everything."""
    chosen = [word for word in words if not word.startswith("-")] or names()
    for name in chosen:
        if "--lock" in words:
            lock(name)
        sys.stdout.write(f"{name}: {make(name):.1f} s\n")


if __name__ == "__main__":
    main(sys.argv[1:])
