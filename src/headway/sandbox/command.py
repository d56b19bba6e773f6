"""What bubblewrap is told: a box and the facts of this machine in, options out; nothing is started here."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.errors import UsageError
from headway.sandbox.interpreter import interpreter_folders
from headway.sandbox.seccomp import seccomp_program

INSIDE = Path(__file__).parent / "inside"
FORWARDER = "/run/headway/forward.py"
DOOR_SOCKET = "/run/headway/door.sock"
SANDBOX_PORT = 7475  # the same as in inside/door.py, which cannot be imported from here
WRITABLE = ("work", "out", "tmp", "home")

_ROOT_LINKS = ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32")
# Of /etc only what programs need to run: the rest has hashes, keys and the names of other machines.
_ETC = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
)
_ETC_NETWORK = ("/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/resolv.conf")
_SYSTEM = ("/nix/store", "/sys/devices/system")
_ACCELERATORS = ("/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/accel")
_TMP = "/tmp"  # noqa: S108  # the name inside the sandbox, where it is its own folder
_UID = 1000  # what root is seen as inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the self-test found to work on this machine, and what exists on it."""

    program: str  # bubblewrap
    user_namespace: bool = True
    uid: int = _UID
    links: dict[str, str] = field(default_factory=dict)  # /bin -> usr/bin
    folders: tuple[str, ...] = ()  # /bin and the like where they are real folders
    accelerators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What foreign code may see and touch; everything else does not exist for it."""

    directory: str  # its work/, out/, tmp/ and home/ are writable, tmp/ is /tmp inside
    cwd: str
    env_path: str
    readable: tuple[str, ...] = ()
    private: tuple[str, ...] = ()  # never visible, even where a readable folder contains it
    network: bool = True
    door: bool = False  # with the network denied: one socket leads to the door
    accelerators: bool = False


def machine_facts(program: str, *, user_namespace: bool, uid: int) -> Facts:
    """Look at this machine's root folder and devices, which the options must mirror."""
    links = {name: str(Path(name).readlink()) for name in _ROOT_LINKS if Path(name).is_symlink()}
    folders = tuple(name for name in _ROOT_LINKS if Path(name).is_dir() and name not in links)
    devices = [str(found) for pattern in _ACCELERATORS for found in sorted(Path("/").glob(pattern[1:]))]
    return Facts(
        program=program,
        user_namespace=user_namespace,
        uid=uid or _UID,
        links=links,
        folders=folders,
        accelerators=tuple(devices),
    )


def wrap_record(box: Box, facts: Facts) -> dict[str, Any]:
    """Return the `wrap` part of a supervisor's command: program, options, forwarder and filter."""
    seccomp = seccomp_program()
    prefix = [_python(box.env_path), "-I", "-S", FORWARDER, DOOR_SOCKET, str(SANDBOX_PORT), "--"]
    return {
        "program": facts.program,
        "options": bubblewrap_options(box, facts),
        "prefix": prefix if box.door and not box.network else [],
        "files": _files(box, facts),
        "seccomp": base64.b64encode(seccomp).decode() if seccomp else "",
    }


def _files(box: Box, facts: Facts) -> dict[str, str]:
    """Small files that programs look for, without anything of the machine in them."""
    uid = facts.uid
    files = {
        "/etc/passwd": f"headway:x:{uid}:{uid}::{box.directory}/home:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
        "/etc/group": f"headway:x:{uid}:\nnogroup:x:65534:\n",
    }
    if not box.network:
        files["/etc/hosts"] = "127.0.0.1 localhost headway\n::1 localhost\n"
    return files


def _python(env_path: str) -> str:
    found = (f"{env_path}/bin/{name}" for name in ("python", "python3"))
    return next((path for path in found if Path(path).exists()), f"{env_path}/bin/python")


def bubblewrap_options(box: Box, facts: Facts) -> list[str]:
    """Return the options that build `box`, without variables, filter and command.

    Raises:
        UsageError: a path cannot be made visible without making the data directory visible.
    """
    visible, hidden = _visible(box)
    return [
        *_namespaces(box, facts),
        *_system(box, facts),
        # First of the folders, because others may lie below it; on disk, because models are saved through it.
        *("--bind", f"{box.directory}/{_TMP[1:]}", _TMP),
        *visible,
        *_writable(box),
        # Last: the engine's own root may be hidden, and an attempt's folders are mounted inside of it.
        *(option for folder in hidden for option in ("--remount-ro", folder)),
        *(_door(box) if box.door and not box.network else []),
        "--chdir",
        box.cwd,
        "--remount-ro",
        "/",
    ]


def _namespaces(box: Box, facts: Facts) -> list[str]:
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "headway"]
    if facts.user_namespace:
        options += ["--unshare-user", "--uid", str(facts.uid), "--gid", str(facts.uid)]
    if not box.network:
        options.append("--unshare-net")
    return [*options, "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv"]


def _system(box: Box, facts: Facts) -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name, target in facts.links.items():
        options += ["--symlink", target, name]
    for name in (*facts.folders, *_SYSTEM, *_ETC, *(_ETC_NETWORK if box.network else ())):
        options += ["--ro-bind-try", name, name]
    # Read-only: where the server runs as root, the kernel takes what root writes to /proc/sys, whatever it is inside.
    options += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    options += ["--dir", "/run", "--dir", "/var", "--symlink", _TMP, f"/var{_TMP}"]
    if box.accelerators:
        for device in facts.accelerators:
            options += ["--dev-bind-try", device, device]
        options += ["--ro-bind-try", "/sys", "/sys"]
    return options


def _visible(box: Box) -> tuple[list[str], list[str]]:
    """Read-only folders, widest first, private ones hidden, what lies within those; and which folders are hidden."""
    wanted = dict.fromkeys([*map(str, interpreter_folders(Path(box.env_path))), *box.readable, box.env_path])
    private = [Path(each) for each in box.private]
    wide: list[str] = []
    narrow: list[str] = []
    for each in sorted(wanted, key=len):
        path = Path(each)
        if not path.is_absolute() or ".." in path.parts:
            raise UsageError(f"{each!r} cannot be mounted", hint="give an absolute path without `..`")
        if path in private:
            raise UsageError(
                f"{each} holds the server's own data and cannot be made visible",
                hint="move what the task reads to a folder of its own",
            )
        within = any(folder in path.parents for folder in private)
        (narrow if within else wide).extend(["--ro-bind", each, each])
    shown = [Path(each) for each in wide[1::3]]
    hidden: list[str] = []
    for folder in private:
        if any(folder == each or each in folder.parents for each in shown):
            hidden += ["--tmpfs", str(folder)]
    return [*wide, *hidden, *narrow], hidden[1::2]


def _writable(box: Box) -> list[str]:
    options: list[str] = []
    for name in WRITABLE:
        path = f"{box.directory}/{name}"
        options += ["--bind", path, path] if name != "tmp" else []
    return options


def _door(box: Box) -> list[str]:
    return [
        "--ro-bind",
        str(INSIDE / "forward.py"),
        FORWARDER,
        "--ro-bind",
        f"{box.directory}/door/socket",
        DOOR_SOCKET,
    ]
