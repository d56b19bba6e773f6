"""Unix sockets without a file: those of the machine belong to its network namespace."""

import socket
from probe import FACTS, attempt, got, steal, through

for name in (FACTS["abstract"], "/tmp/.X11-unix/X0", "/tmp/dbus-abstract", "/containerd-shim/x.sock"):
    attempt()
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(3)
        try:
            one.connect("\0" + name)
            through(f"abstract socket {name} answers")
            got(name, one.recv(1000))
        except OSError:
            pass
steal("/proc/net/unix")
