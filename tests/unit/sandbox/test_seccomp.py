"""The filter, run by a small interpreter of the kernel's programs: what it lets pass and what it refuses."""

from __future__ import annotations

import struct

import pytest

from headway.sandbox.seccomp import seccomp_program

X86, ARM = 0xC000003E, 0xC00000B7
ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


def run(program: bytes, number: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
    given = [*arguments, *([0] * 6)][:6]
    data = struct.pack("=iIQ6Q", number, architecture, 0, *given) if number < 2**31 else b""
    if not data:
        data = struct.pack("=IIQ6Q", number, architecture, 0, *given)
    lines = list(struct.iter_unpack("=HBBI", program))
    value, at = 0, 0
    for _ in range(len(lines)):
        code, yes, no, constant = lines[at]
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, constant)
        elif code == 0x06:
            return int(constant)
        else:
            met = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}[code]
            at += yes if met else no
    raise AssertionError("the program did not return")


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (0, ALLOW),  # read
        (59, ALLOW),  # execve
        (61, ALLOW),  # wait4
        (101, EPERM),  # ptrace
        (165, EPERM),  # mount
        (272, EPERM),  # unshare
        (321, EPERM),  # bpf
        (323, EPERM),  # userfaultfd
        (250, EPERM),  # keyctl
        (425, ENOSYS),  # io_uring_setup
        (435, ENOSYS),  # clone3
        (0x40000000, EPERM),  # the x32 twin of read
    ],
)
def test_calls_on_x86_64(number: int, answer: int) -> None:
    program = seccomp_program("x86_64")
    assert program is not None
    assert run(program, number, X86) == answer


def test_another_architectures_numbers_kill() -> None:
    for machine, foreign in (("x86_64", 0x40000003), ("aarch64", X86)):
        program = seccomp_program(machine)
        assert program is not None
        assert run(program, 0, foreign) == KILL


@pytest.mark.parametrize(("machine", "architecture", "clone"), [("x86_64", X86, 56), ("aarch64", ARM, 220)])
def test_clone_makes_processes_and_threads_but_no_namespaces(machine: str, architecture: int, clone: int) -> None:
    program = seccomp_program(machine)
    assert program is not None
    fork, thread = 0x01200011, 0x003D0F00
    assert run(program, clone, architecture, (fork,)) == ALLOW
    assert run(program, clone, architecture, (thread,)) == ALLOW
    for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert run(program, clone, architecture, (fork | bit,)) == EPERM


def test_terminals_cannot_be_typed_into() -> None:
    program = seccomp_program("x86_64")
    assert program is not None
    assert run(program, 16, X86, (0, 0x5412)) == EPERM
    assert run(program, 16, X86, (0, 0x541C)) == EPERM
    assert run(program, 16, X86, (0, 0x5401)) == ALLOW


def test_a_machine_without_a_filter_has_none() -> None:
    assert seccomp_program("riscv64") is None
    assert seccomp_program("arm64") == seccomp_program("aarch64")


@pytest.mark.parametrize(("machine", "architecture", "call"), [("x86_64", X86, 41), ("aarch64", ARM, 198)])
def test_only_sockets_that_a_network_namespace_holds_can_be_made(machine: str, architecture: int, call: int) -> None:
    program = seccomp_program(machine)
    assert program is not None
    for family in (1, 2, 10, 16):  # unix, IPv4, IPv6, netlink
        assert run(program, call, architecture, (family,)) == ALLOW
    for family in (15, 17, 21, 30, 31, 38, 40, 42, 43, 44):  # vsock is 40: the way to the hypervisor
        assert run(program, call, architecture, (family,)) == 0x00050061
