"""The pods' way to a package index: a proxy for CONNECT to port 443, on one address. way_out.py ADDRESS PORT."""

from __future__ import annotations

import asyncio
import re
import sys

WANTED = re.compile(rb"CONNECT ([A-Za-z0-9.-]+):443 ")


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
        far_reader, far_writer = await asyncio.wait_for(asyncio.open_connection(host, 443), 30)
    except (OSError, TypeError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        return
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))


async def listen(address: str, port: int) -> None:
    """Until the process is ended."""
    server = await asyncio.start_server(serve, address, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(listen(sys.argv[1], int(sys.argv[2])))
