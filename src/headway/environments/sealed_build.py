"""Make a wheel from a source distribution inside the sandbox: its build is the package author's code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uv import find_uv_bin

from headway.environments.failure import normal
from headway.environments.uv_process import Ended, run_logged
from headway.sandbox.command import WRITABLE, Box, Facts
from headway.sandbox.sealed import sealed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path
    from typing import TextIO

# What a build may know of the operator's settings: where packages are, never how to log in there.
_PASSED = (
    "LANG",
    "LC_ALL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SOURCE_DATE_EPOCH",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_INDEX_STRATEGY",
    "UV_EXCLUDE_NEWER",
    "UV_HTTP_TIMEOUT",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "UV_OFFLINE",
)
_MAX_WHEEL = 2 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """How builds are sealed off on this machine."""

    facts: Facts  # of a self-test that passed
    private: tuple[Path, ...]  # the data directory: hidden, but for the build's own folder


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelOrder:
    """One wheel to make."""

    name: str  # normalised
    requirement: str  # a line of a requirements file, hashes included
    folder: Path  # empty, on the disk of the environments
    env_path: Path  # an environment with the Python to build for
    options: tuple[str, ...]  # uv's on where to find packages
    readable: tuple[Path, ...]  # folders that the options name
    limit: timedelta
    lock: int


def build_wheel(
    order: WheelOrder, sealing: Sealing, *, variables: Mapping[str, str], log: TextIO
) -> tuple[Path | None, Ended]:
    """Build in a box that has the network and nothing of the server; return the wheel, or None and why."""
    for name in WRITABLE:
        (order.folder / name).mkdir(parents=True)
    wanted = order.folder / "work" / "wanted.txt"
    wanted.write_text(order.requirement + "\n", encoding="utf-8")
    cache = order.folder / "home" / "cache"
    box = Box(
        directory=str(order.folder),
        cwd=str(order.folder / "work"),
        env_path=str(order.env_path),
        readable=tuple(str(each) for each in (find_uv_bin(), *order.readable)),
        private=tuple(str(each) for each in sealing.private),
    )
    target = order.folder / "out" / "installed"
    command = (
        *(find_uv_bin(), "pip", "install", "--no-config", "--cache-dir", str(cache), "--target", str(target)),
        *("--python", str(order.env_path / "bin" / "python"), "--no-deps", "--only-binary", ":all:"),
        *("--no-binary", order.name, *order.options, "-r", str(wanted)),
    )
    with sealed(box, sealing.facts, command, _inside(variables, order)) as ready:
        ended = run_logged(
            ready.argv,
            cwd=order.folder,
            variables=ready.environment,
            log=log,
            limit=order.limit,
            held=(*ready.descriptors, order.lock),
        )
    return (_made(order, cache) if ended.exit_code == 0 else None), ended


def keep_wheel(wheel: Path, wheelhouse: Path) -> Path:
    """Move a made wheel to where the install looks for it."""
    wheelhouse.mkdir(parents=True, exist_ok=True)
    return wheel.rename(wheelhouse / wheel.name)


def _inside(variables: Mapping[str, str], order: WheelOrder) -> dict[str, str]:
    passed = {name: variables[name] for name in _PASSED if name in variables}
    # An address with a user in it is a credential.
    passed = {name: value for name, value in passed.items() if "@" not in value}
    path = f"{order.env_path}/bin:/usr/local/bin:/usr/bin:/bin"
    quiet = {"UV_NO_PROGRESS": "1", "NO_COLOR": "1", "UV_LINK_MODE": "copy"}
    return {**passed, **quiet, "PATH": path, "HOME": str(order.folder / "home")}


def _made(order: WheelOrder, cache: Path) -> Path | None:
    """Find the wheel in uv's cache, which hostile code could write to: of the right name, a real file, not huge."""
    for path in sorted(cache.glob("sdists-v*/**/*.whl")):
        name = normal(path.name.split("-", maxsplit=1)[0])
        stat = path.lstat()
        if name == order.name and not path.is_symlink() and path.is_file() and stat.st_nlink == 1:
            return path if stat.st_size <= _MAX_WHEEL else None
    return None
