"""Devices: the disk below the files, the memory of the machine, new nodes."""

import os, stat
from probe import OUTSIDE, attempt, through

for path in (
    "/dev/mem",
    "/dev/kmem",
    "/dev/port",
    "/dev/kmsg",
    "/dev/sda",
    "/dev/vda",
    "/dev/nvme0n1",
    "/dev/dm-0",
    "/dev/loop0",
    "/dev/fuse",
    "/dev/kvm",
    "/dev/vhost-vsock",
    "/dev/net/tun",
):
    attempt()
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        through(f"{path} opens")
    except OSError:
        pass
for name, kind, number in (
    ("d1", stat.S_IFBLK, (254, 0)),
    ("d2", stat.S_IFBLK, (8, 0)),
    ("d3", stat.S_IFCHR, (1, 1)),
    ("d4", stat.S_IFCHR, (1, 2)),
):
    attempt()
    try:
        os.mknod(name, kind | 0o600, os.makedev(*number))
        through(f"a node for {number} can be made")
        if not OUTSIDE:
            os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK))
            through(f"and opened: {number}")
    except OSError:
        pass
    finally:
        if os.path.exists(name):
            os.unlink(name)
