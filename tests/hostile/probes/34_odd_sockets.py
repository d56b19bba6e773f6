"""Families of sockets that no network namespace holds: vsock to the hypervisor, packets, Bluetooth, keys."""

import socket
from probe import OUTSIDE, attempt, through

for name, family, kind in (
    ("vsock", 40, 1),
    ("packet", 17, 3),
    ("raw", 2, 3),
    ("bluetooth", 31, 5),
    ("tipc", 30, 1),
    ("key", 15, 3),
    ("qipcrtr", 42, 2),
    ("xdp", 44, 3),
    ("alg", 38, 5),
    ("can", 29, 3),
    ("rds", 21, 5),
    ("smc", 43, 1),
):
    attempt()
    try:
        with socket.socket(family, kind):
            through(f"a {name} socket can be made")
    except OSError:
        pass
