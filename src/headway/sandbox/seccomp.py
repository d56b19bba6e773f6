"""A system-call filter for bubblewrap, written as the kernel's own small programs (seccomp(2), bpf(4))."""

from __future__ import annotations

import platform
import struct

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_EPERM = 0x00050000 | 1
_ENOSYS = 0x00050000 | 38
_EAFNOSUPPORT = 0x00050000 | 97

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06

_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020080  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET,TIME}
_TERMINAL_TRICKS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into somebody's terminal

# name: (x86_64, aarch64). Nothing that trains a model needs these; most have been ways out of a sandbox.
_REFUSED = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
# "Not there" makes callers fall back: glibc from clone3, whose flags a filter cannot see, to clone.
_ABSENT = {
    "clone3": (435, 435),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
}
_CLONE = (56, 220)
_SOCKET = (41, 198)
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: no network namespace holds vsock and some others
_IOCTL = (16, 29)
_ONLY_X86 = (154, 172, 173)  # modify_ldt, iopl, ioperm
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1), "arm64": (0xC00000B7, 1)}


def seccomp_program(machine: str | None = None) -> bytes | None:
    """Return the filter for a machine (default: this one) as bubblewrap takes it; None where we have none."""
    found = _MACHINES.get(machine or platform.machine())
    if found is None:
        return None
    architecture, column = found
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_EQUAL, architecture, yes=1),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER),
    ]
    if column == 0:
        lines += [_line(_AT_LEAST, _X32, no=1), _line(_RETURN, _EPERM)]
        for number in _ONLY_X86:
            lines += _refuse(number, _EPERM)
    for numbers in _REFUSED.values():
        lines += _refuse(numbers[column], _EPERM)
    for numbers in _ABSENT.values():
        lines += _refuse(numbers[column], _ENOSYS)
    lines += _socket_families(_SOCKET[column])
    lines += [
        _line(_EQUAL, _CLONE[column], no=4),
        _line(_LOAD, _ARGUMENT_0),
        _line(_ANY_BIT, _NEW_NAMESPACES, no=1),
        _line(_RETURN, _EPERM),
        _line(_RETURN, _ALLOW),
        _line(_EQUAL, _IOCTL[column], no=4),
        _line(_LOAD, _ARGUMENT_1),
        _line(_EQUAL, _TERMINAL_TRICKS[0], yes=1),
        _line(_EQUAL, _TERMINAL_TRICKS[1], no=1),
        _line(_RETURN, _EPERM),
        _line(_RETURN, _ALLOW),
    ]
    return b"".join(lines)


def _socket_families(number: int) -> list[bytes]:
    """Allow sockets of a few families; the number of the call is loaded, and is loaded still when this is not it."""
    last = len(_FAMILIES)
    known = [_line(_EQUAL, family, yes=last - place) for place, family in enumerate(_FAMILIES)]
    return [
        _line(_EQUAL, number, no=last + 3),
        _line(_LOAD, _ARGUMENT_0),
        *known,
        _line(_RETURN, _EAFNOSUPPORT),
        _line(_RETURN, _ALLOW),
    ]


def _refuse(number: int, answer: int) -> list[bytes]:
    return [_line(_EQUAL, number, no=1), _line(_RETURN, answer)]


def _line(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """Return one `struct sock_filter`: a jump skips `yes` or `no` lines."""
    return struct.pack("=HBBI", code, yes, no, value)
