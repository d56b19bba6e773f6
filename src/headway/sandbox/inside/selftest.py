"""Run inside a sandbox by the self-test: tries what foreign code must not be able to do.

`python -I selftest.py FACTS` with FACTS a JSON object: canary, private, outside, environment, readonly, work,
out, port, abstract, host_pid. Prints one JSON object: name -> "" when the wall held, else what went through.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PTRACE_ATTACH = 16


def main(facts: dict) -> dict[str, str]:
    """Try everything, and never stop at a surprise."""
    found = {}
    for name, attempt in _ATTEMPTS.items():
        try:
            found[name] = attempt(facts)
        except Exception as error:  # noqa: BLE001  # a probe that fails in an unknown way proves nothing
            found[name] = f"the probe failed: {error!r}"
    return found


def _processes(_facts: dict) -> str:
    seen = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  # names are wanted
    return "" if len(seen) <= 4 else f"{len(seen)} processes are visible"


def _environments(facts: dict) -> str:
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if facts["canary"].encode() in path.read_bytes():
                return f"the canary stands in {path}"
        except OSError:
            continue
    return ""


def _environment(facts: dict) -> str:
    return "the canary is in the environment" if facts["canary"] in "".join(os.environ.values()) else ""


def _private(facts: dict) -> str:
    return _readable(facts["private"])


def _outside(facts: dict) -> str:
    return _readable(facts["outside"])


def _readable(path: str) -> str:
    try:
        Path(path).read_bytes()
    except OSError:
        return ""
    return f"{path} can be read"


def _writes(facts: dict) -> str:
    for folder in ("/", "/usr", "/etc", "/var", "/run", *facts["readonly"]):
        path = Path(folder) / f".headway-{os.getpid()}"
        try:
            path.write_bytes(b"x")
        except OSError:
            continue
        path.unlink()
        return f"{folder} can be written"
    return ""


def _kernel(_facts: dict) -> str:
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger"):
        try:
            os.close(os.open(path, os.O_WRONLY))  # nothing is written
        except OSError:
            continue
        return f"{path} can be written"
    return ""


def _families(_facts: dict) -> str:
    for name, family in (("vsock", 40), ("packet", 17), ("kernel key", 15)):
        try:
            socket.socket(family, socket.SOCK_RAW if family != 40 else socket.SOCK_STREAM).close()
        except OSError:
            continue
        return f"a {name} socket can be made"
    return ""


def _work(facts: dict) -> str:
    for folder in (facts["work"], facts["out"], "/tmp"):  # noqa: S108  # the sandbox's own
        path = Path(folder) / ".headway-probe"
        path.write_bytes(b"x")
        path.unlink()
    return ""


def _loopback(facts: dict) -> str:
    try:
        socket.create_connection(("127.0.0.1", facts["port"]), timeout=2).close()
    except OSError:
        return ""
    return "a server on the machine's loopback can be reached"


def _internet(_facts: dict) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(("169.254.169.254", 80))  # sends nothing; only a route is looked up
        except OSError:
            return ""
    return "there is a route out of the machine"


def _abstract(facts: dict) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        try:
            trial.connect("\0" + facts["abstract"])
        except OSError:
            return ""
    return "abstract sockets of the machine can be reached"


def _capabilities(_facts: dict) -> str:
    held = {name: value for name, value in _status().items() if name in {"CapEff", "CapPrm", "CapInh", "CapAmb"}}
    return "" if all(int(value, 16) == 0 for value in held.values()) else f"capabilities are held: {held}"


def _privileges(_facts: dict) -> str:
    return "" if _status().get("NoNewPrivs") == "1" else "new privileges may be gained by exec"


def _filter(_facts: dict) -> str:
    return "" if _status().get("Seccomp") == "2" else "no system-call filter is in force"


def _namespaces(_facts: dict) -> str:
    if _libc().unshare(_CLONE_NEWUSER) == 0:
        return "a new user namespace can be made"
    return ""


def _mounts(_facts: dict) -> str:
    if _libc().mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0:
        return "file systems can be mounted"
    return ""


def _tracing(_facts: dict) -> str:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        traced = _libc().ptrace(_PTRACE_ATTACH, child, 0, 0) == 0
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return "processes can be traced" if traced else ""


def _signals(facts: dict) -> str:
    try:
        os.kill(facts["host_pid"], 0)
    except ProcessLookupError:
        return ""
    except OSError as error:
        if error.errno == errno.EPERM:
            return "processes of the machine are within reach of signals"
        raise
    return "processes of the machine can be signalled"


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


_ATTEMPTS: dict[str, Callable[[dict], str]] = {
    "other processes are invisible": _processes,
    "no environment of another process can be read": _environments,
    "the environment is empty of secrets": _environment,
    "the data directory cannot be read": _private,
    "other files of the user cannot be read": _outside,
    "nothing outside can be written": _writes,
    "the kernel's settings cannot be written": _kernel,
    "its own folders can be written": _work,
    "servers on this machine cannot be reached": _loopback,
    "there is no way to other machines": _internet,
    "abstract sockets cannot be reached": _abstract,
    "no sockets past the network's walls can be made": _families,
    "no capabilities are held": _capabilities,
    "no privileges can be gained": _privileges,
    "system calls are filtered": _filter,
    "no namespaces can be made": _namespaces,
    "nothing can be mounted": _mounts,
    "nothing can be traced": _tracing,
    "no signals reach other processes": _signals,
}

if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
