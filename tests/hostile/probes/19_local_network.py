"""The machine's own address in its network, where a trap listens, and names that a resolver would know."""

import socket
from probe import FACTS, OUTSIDE, attempt, got, through

for host, port in FACTS["lan_traps"]:
    attempt()
    try:
        with socket.create_connection((host, port), timeout=3) as one:
            one.sendall(b"hello")
            through(f"{host}:{port} answers")
            got(host, one.recv(1000))
    except OSError:
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        attempt()
        try:
            one.sendto(b"hello", (host, port))
            through(f"a datagram leaves for {host}")
        except OSError:
            pass
if not OUTSIDE:
    for name in ("github.com", "metadata.google.internal"):
        attempt()
        try:
            socket.getaddrinfo(name, 80)
            through(f"{name} can be looked up")
        except OSError:
            pass
