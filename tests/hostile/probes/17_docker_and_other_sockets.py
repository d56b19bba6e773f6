"""Sockets with a file: Docker, containerd, agents, and one that was planted."""

import socket
from probe import FACTS, OUTSIDE, attempt, got, through

known = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/var/run/postgresql/.s.PGSQL.5432",
]
for path in [*FACTS["sockets"], *([] if OUTSIDE else known)]:
    attempt()
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(3)
        try:
            one.connect(path)
            through(f"socket {path} answers")
            one.sendall(b"GET /secrets HTTP/1.0\r\n\r\n")
            got(path, one.recv(1000))
        except OSError:
            pass
