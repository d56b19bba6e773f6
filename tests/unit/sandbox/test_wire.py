"""The door's HTTP: what it reads, and what it refuses to read."""

from __future__ import annotations

import io

import pytest

import wire


def read(text: bytes) -> tuple[wire.Head | None, bytes]:
    stream = io.BytesIO(text)
    head = wire.read_head(stream)
    body = b"".join(wire.body_parts(stream, wire.body_length(head))) if head else b""
    return head, body


def test_a_message_is_read_with_its_body() -> None:
    head, body = read(b"POST /x?y=1 HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH: 5\r\n\r\nhello and more")
    assert head is not None
    assert head.first == ["POST", "/x?y=1", "HTTP/1.1"]
    assert head.headers == {"host": "a", "content-length": "5"}
    assert body == b"hello"
    assert head.keeps_alive


def test_a_chunked_body_is_put_together() -> None:
    text = b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    head, body = read(text + b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n")
    assert body == b"hello!"
    assert head is not None
    assert not head.keeps_alive


def test_the_end_between_messages_is_no_mistake() -> None:
    assert read(b"") == (None, b"")


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n",
        b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_message_is_refused(text: bytes) -> None:
    with pytest.raises(wire.BadMessage):
        read(text)


def test_a_message_leaves_in_one_piece() -> None:
    assert wire.message("HTTP/1.1 200 OK", {"a": "b"}, b"{}") == b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{}"
