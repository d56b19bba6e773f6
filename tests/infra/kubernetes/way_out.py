"""The pods' way to a package index: a proxy for CONNECT to port 443, on one address. way_out.py ADDRESS PORT."""

from __future__ import annotations

import asyncio
import re
import socket
import sys

WANTED = re.compile(rb"CONNECT ([A-Za-z0-9.-]+):443 ")


class Names:
    """Addresses, each asked for once at a time: a hundred questions at once are more than some name servers answer."""

    def __init__(self) -> None:
        self._found: dict[str, asyncio.Task[str]] = {}

    async def address(self, host: str) -> str:
        """The first address of a host, kept until a connection to it fails."""
        if host not in self._found:
            self._found[host] = asyncio.create_task(self._ask(host))
        try:
            return await self._found[host]
        except OSError:
            self._found.pop(host, None)
            raise

    async def _ask(self, host: str) -> str:
        found = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        return str(found[0][4][0])

    def forget(self, host: str) -> None:
        """Ask again the next time."""
        self._found.pop(host, None)


NAMES = Names()


async def connect(host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the host's port 443."""
    address = await NAMES.address(host)
    try:
        return await asyncio.wait_for(asyncio.open_connection(address, 443), 30)
    except OSError:
        NAMES.forget(host)
        raise


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes of one side to the other until it ends."""
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: the request, then a tunnel or a refusal."""
    try:
        request = await reader.readuntil(b"\r\n\r\n")
        host = WANTED.match(request)[1].decode()  # type: ignore[index]  # another request is a TypeError
        far_reader, far_writer = await connect(host)
    except (OSError, TypeError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        return
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))


async def listen(address: str, port: int) -> None:
    """Until the process is ended."""
    server = await asyncio.start_server(serve, address, port, backlog=1000)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(listen(sys.argv[1], int(sys.argv[2])))
