"""Shared memory of System V and message queues: they belong to a namespace, not to a path."""

import ctypes
from probe import FACTS, attempt, got, libc, steal

libc.shmat.restype = ctypes.c_void_p
for number in {FACTS["shm_id"], *range(8)} if not __import__("probe").OUTSIDE else {FACTS["shm_id"]}:
    attempt()
    place = libc.shmat(number, None, 0o10000)
    if place and place != ctypes.c_void_p(-1).value:
        got(f"shared memory {number}", ctypes.string_at(place, 128))
        libc.shmdt(ctypes.c_void_p(place))
for path in ("/proc/sysvipc/shm", "/proc/sysvipc/msg", "/dev/mqueue"):
    steal(path)
