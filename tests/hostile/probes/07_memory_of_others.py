"""The memory of other processes: /proc/PID/mem and process_vm_readv."""

import ctypes, os
from probe import FACTS, attempt, got, libc, pids, through


class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


for pid in [p for p in pids() if int(p) not in (os.getpid(), os.getppid())]:
    attempt()
    try:
        maps = open(f"/proc/{pid}/maps").read().splitlines()
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                if "[stack]" in line or "[heap]" in line:
                    start, end = (int(x, 16) for x in line.split()[0].split("-"))
                    memory.seek(start)
                    got(f"memory of {pid}", memory.read(min(end - start, 1 << 20)))
    except (OSError, ValueError, OverflowError):
        pass
buffer = ctypes.create_string_buffer(64)
for pid in FACTS["pids"]:
    attempt()
    local, remote = iovec(ctypes.addressof(buffer), 64), iovec(0x400000, 64)
    if libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0:
        through(f"process_vm_readv reads process {pid}")
