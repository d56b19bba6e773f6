"""Typing into the terminal of whoever started it."""

import fcntl, os
from probe import OUTSIDE, attempt, through

for path in ("/dev/tty", "/dev/console", "/dev/tty1", "/dev/ttyS0", "/dev/ptmx"):
    attempt()
    if OUTSIDE:
        continue
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        continue
    for request in (0x5412, 0x541C, 0x5412 | (1 << 32)):
        try:
            fcntl.ioctl(descriptor, request & 0xFFFFFFFF, b"x")
            through(f"{hex(request)} works on {path}")
        except OSError:
            pass
    os.close(descriptor)
