"""Bytes in and out over ASGI: one hop to a thread per megabyte, never a whole file in memory."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import mimetypes
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, quote

import msgspec

from headway.errors import HeadwayError, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from headway.api.mlflow.route import StreamCall
    from headway.blobs.base import BlobStore

T = TypeVar("T")

_BLOCK = 1024 * 1024
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})?\Z")
# A browser must not run what a run logged, even where somebody opens it on purpose.
_SHOWN_AS_TEXT = ("text/", "application/xml", "application/javascript", "application/xhtml", "image/svg")
# What MLflow's server calls text, by the end of the name or by the whole of it.
_PLAIN = frozenset(
    {
        *("txt", "log", "err", "cfg", "conf", "cnf", "cf", "ini", "properties", "prop", "hocon", "toml", "yaml", "yml"),
        *("xml", "json", "js", "py", "py3", "csv", "tsv", "md", "rst", "ipynb", "MLmodel", "MLproject", "mlproject"),
    },
)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"cache-control", b"no-store"),
)
# Uploads wait for their clients; they have threads of their own so that nothing else waits for them.
_uploads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="uploads")
_readers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="artifacts")
_PATIENCE = 300.0  # seconds for one block of an upload


class ClientGone(HeadwayError):
    """The client went away in the middle of its upload; nothing of it was stored."""

    code = "CLIENT_GONE"
    status = 400


async def off_loop(work: Callable[[], T]) -> T:
    """Run what blocks in a thread."""
    return await asyncio.get_running_loop().run_in_executor(_readers, work)


def query_of(call: StreamCall) -> dict[str, str]:
    """Return the first value of each field of the query, decoded once."""
    try:
        raw = call.scope["query_string"].decode()
        found = parse_qs(raw, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        raise UsageError("The query string cannot be read.") from None
    return {name: values[0] for name, values in found.items()}


def header_of(scope: Any, name: bytes) -> str | None:
    """Return a header of a request; None where it is left out."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


def check_json_type(scope: Any) -> None:
    """Refuse a body that is not said to be JSON."""
    # A browser sends text/plain and forms across sites without asking; JSON it does not, nor DELETE or PATCH at all.
    if scope["method"] in ("DELETE", "PATCH"):
        return
    given = header_of(scope, b"content-type")
    if given is None:
        raise UsageError("Bad Request. Content-Type header is missing.")
    if given.partition(";")[0].strip().lower() != "application/json":
        raise UsageError("Bad Request. Content-Type must be one of ['application/json'].")


async def send_json(call: StreamCall, answer: Any) -> None:
    """Send one JSON body."""
    body = msgspec.json.encode(answer)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.send({"type": "http.response.body", "body": body})


async def take_upload(call: StreamCall, store: BlobStore, key: Callable[[], str]) -> None:
    """Store the request's body under a key; when the client goes away, the key keeps what it had.

    `key` may block; it decides before anything is stored, and refuses by raising. A long upload is asked again at its
    end, before it takes its place: what lies there may have been registered meanwhile, and may not change any more.
    """
    first, is_more = await _block(call)
    loop = asyncio.get_running_loop()

    def pieces() -> Generator[bytes, None, None]:
        block, more = first, is_more
        while more:
            # Received while the block before it is written.
            following = asyncio.run_coroutine_threadsafe(_block(call), loop)
            try:
                yield from block
            except GeneratorExit:  # the disk is full: nobody reads on, so that the answer can be sent
                following.cancel()
                raise
            block, more = following.result()
        yield from block
        if is_more:
            key()

    def stored() -> None:
        with contextlib.closing(pieces()) as each:
            store.save(key(), each)

    await loop.run_in_executor(_uploads, stored)


async def take_small_body(call: StreamCall, most: int) -> bytes | None:
    """Return the request's whole body, or None as soon as it is longer than `most`."""
    parts: list[bytes] = []
    size, is_more = 0, True
    while is_more:
        block, is_more = await _block(call)
        parts += block
        size += sum(map(len, block))
        if size > most:
            return None
    return b"".join(parts)


async def send_file(call: StreamCall, store: BlobStore, key: str) -> None:
    """Send a file as an attachment, from the byte that a Range header names."""
    stat = await off_loop(lambda: store.stat(key))
    if stat is not None and stat.is_dir:
        raise UsageError(f"Artifact path refers to a directory, not a file: '{key}'", hint="list it instead")
    if stat is None:
        raise NotFound(f"No such artifact: '{key}'", hint="list the folder above it to see what is there")
    start, end = _wanted(call, stat.size)
    stream = await off_loop(lambda: store.open(key, start))
    try:
        left = end - start
        block = await off_loop(lambda: stream.read(min(_BLOCK, left)))
        status = 200 if left == stat.size else 206
        await call.send(
            {"type": "http.response.start", "status": status, "headers": _headers(key, stat.size, start, end)}
        )
        while True:
            left -= len(block)
            # A file that shrank meanwhile ends the answer short, and the client sees it.
            is_more = left > 0 and bool(block)
            await call.send({"type": "http.response.body", "body": block, "more_body": is_more})
            if not is_more:
                return
            block = await off_loop(functools.partial(stream.read, min(_BLOCK, left)))
    finally:
        stream.close()


async def _block(call: StreamCall) -> tuple[list[bytes], bool]:
    """Gather about a megabyte of the request's body, as it came in, and whether more follows."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_PATIENCE):
            while size < _BLOCK:
                message = await call.receive()
                if message["type"] == "http.disconnect":
                    raise _broken_off()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if not message.get("more_body", False):
                    return parts, False
    except TimeoutError:
        raise _broken_off() from None
    return parts, True


def _broken_off() -> ClientGone:
    return ClientGone("the upload broke off: nothing was stored", hint="upload it again")


def _wanted(call: StreamCall, size: int) -> tuple[int, int]:
    """Return the first byte and the one after the last that shall be sent."""
    for name, value in call.scope["headers"]:
        if name == b"range" and (found := _RANGE.match(value.decode("latin-1"))):
            start = int(found[1])
            end = min(int(found[2]) + 1, size) if found[2] else size
            if start < end:
                return start, end
    return 0, size


def _headers(key: str, size: int, start: int, end: int) -> list[tuple[bytes, bytes]]:
    name = key.rsplit("/", 1)[-1]
    found = [
        (b"content-type", _kind(name).encode()),
        (b"content-length", str(end - start).encode()),
        (b"content-disposition", _disposition(name).encode()),
        (b"accept-ranges", b"bytes"),
        *_SAFE_HEADERS,
    ]
    if end - start != size:
        found.append((b"content-range", f"bytes {start}-{end - 1}/{size}".encode()))
    return found


def _kind(name: str) -> str:
    if (name.rpartition(".")[2] if "." in name else name) in _PLAIN:
        return "text/plain"
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return "text/plain" if kind.startswith(_SHOWN_AS_TEXT) or kind.endswith(("+xml", "/xml")) else kind


def _disposition(name: str) -> str:
    if _TOKEN.match(name):
        return f"attachment; filename={name}"
    plain = "".join(each if each.isascii() and each.isprintable() and each not in '"\\' else "_" for each in name)
    if plain == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
