"""The forwarder: gives a sandbox without network one address on its own loopback, which leads to the door.

Run inside as `python -I -S forward.py SOCKET PORT -- COMMAND...`: it becomes the command, and leaves a
process behind that copies bytes between the port and the door's socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading

_CHUNK = 1 << 16


def main(arguments: list[str]) -> None:
    """Listen, leave the copying to a grandchild, and become the command."""
    path, port, command = arguments[0], int(arguments[1]), arguments[3:]
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    child = os.fork()
    if child == 0:
        # A grandchild: the command must not find a child that it never started.
        if os.fork() == 0:
            os.setsid()
            _forward(listener, path)
        os._exit(0)
    os.waitpid(child, 0)
    listener.close()
    try:
        os.execvp(command[0], command)  # noqa: S606  # our trade
    except OSError as error:
        print(f"bwrap: execvp {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(1)


def _forward(listener: socket.socket, path: str) -> None:
    """Copy in both directions until the sandbox is gone; one slow connection must not hold up another."""
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            door.connect(path)
        except OSError:
            door.close()
            client.close()
            continue
        for source, target in ((client, door), (door, client)):
            threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
    except OSError:
        pass
    for each in (source, target):  # HTTP needs no half-closed connections
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(sys.argv[1:])
