"""Too much, too deep, too slow: refused early, with bounded memory, and the server answers others meanwhile."""

from __future__ import annotations

import contextlib
import gzip
import socket
import time
from collections.abc import Callable

import pytest

from attacks.conftest import Record
from attacks.site import PATIENCE, PROXY, REST, SLOW, Answer, Site, read_answer, together

MEMORY = 120 * 1024 * 1024  # what the whole file may add to the server's resident set


@pytest.fixture(scope="module", autouse=True)
def _is_bounded(site: Site) -> object:
    before = site.memory()
    yield
    assert site.memory() - before < MEMORY


def deep(opening: bytes, closing: bytes, *, times: int = 100_000) -> bytes:
    return opening * times + b"1" + closing * times


BODIES = [
    ("lists 1e5 deep as a field", b'{"experiment_id": "0", "tags": ' + deep(b"[", b"]") + b"}", {200, 400}),
    ("objects 1e5 deep as a field", b'{"experiment_id": "0", "x": ' + deep(b'{"a":', b"}") + b"}", {200, 400}),
    ("lists 1e5 deep, alone", deep(b"[", b"]"), {200, 400}),
    ("lists 1e5 deep that never close", b"[" * 100_000, {200, 400}),
    ("a text in a text", b'"' + b"\\" * 100_001 + b'""', {200, 400}),
    ("4 MB of white space", b" " * 4_100_000, {413}),
    ("5 MB", b'{"experiment_id": "0", "run_name": "' + b"x" * 5_000_000 + b'"}', {413}),
    ("1e5 keys", b'{"experiment_id": "x"' + b"".join(b', "k%d": 1' % i for i in range(100_000)) + b"}", {400, 404}),
    ("1e5 tags", b'{"experiment_id": "x", "tags": [' + b'{"key":"a","value":"b"},' * 99_999 + b"{}]}", {400, 404}),
]
METRICS = b",".join([b'{"key":"a","value":1,"timestamp":1}'] * 1001)
PAIRS = b",".join(b'{"key":"p%d","value":"1"}' % i for i in range(101))
BATCHES = [
    ("over 1 MB", b'"params": [{"key": "p", "value": "' + b"x" * 1_000_001 + b'"}]'),
    ("1,001 metrics", b'"metrics": [' + METRICS + b"]"),
    ("101 params", b'"params": [' + PAIRS + b"]"),
    ("101 tags", b'"tags": [' + PAIRS + b"]"),
]


@pytest.mark.parametrize("case", BODIES, ids=[each[0] for each in BODIES])
def test_a_body(site: Site, told: Record, case: tuple[str, bytes, set[int]]) -> None:
    shown, body, wanted = case
    told("ours: limits", f"runs/create: {shown}", site.ask("POST", REST + "runs/create", body), *wanted)
    told("ours: limits", f"/api/v1/users: {shown}", site.ask("POST", "/api/v1/users", body), 400, 413)


@pytest.mark.parametrize("case", BATCHES, ids=[each[0] for each in BATCHES])
def test_a_batch(site: Site, told: Record, case: tuple[str, bytes]) -> None:
    shown, rest = case
    body = b'{"run_id": "{RUN}", ' + rest + b"}"
    told("ours: limits", f"log-batch: {shown}", site.ask("POST", REST + "runs/log-batch", body), 400)


def test_a_bomb_in_gzip_is_never_opened(site: Site, told: Record) -> None:
    bomb = gzip.compress(b'{"experiment_id": "0", "x": "' + b"0" * 20_000_000 + b'"}')
    before = site.memory()
    for kind in ("gzip", "deflate", "br", "gzip, gzip"):
        answer = site.ask("POST", REST + "experiments/create", bomb, headers={"Content-Encoding": kind})
        told("ours: limits", f"a bomb in {kind}", answer, 400, 415, only=site.memory() - before < 50_000_000)


# --- documents that ask for much ---

ONE = '{ mlflowGetRun(input: {runId: "{RUN}"}) { run { info { runId } } } }'
RUNS = '{ mlflowSearchRuns(input: {experimentIds: ["0"], maxResults: 50000}) { runs { %s } } }'
DOUBLING = " ".join(f"fragment F{i} on Query {{ ...F{i + 1} ...F{i + 1} }}" for i in range(500))
NESTED = " ".join(f"fragment F{i} on Query {'{ ...' * 30} {{ ...F{i + 1} {'}' * 31}" for i in range(200))
DOCUMENTS = [
    ("a thousand queries", "{" + "".join(f"a{i}:" + ONE[1:-1] for i in range(1000)) + "}"),
    ("eleven queries", "{" + "".join(f"a{i}:" + ONE[1:-1] for i in range(11)) + "}"),
    ("a thousand aliases of a run", RUNS % " ".join(f"a{i}: experiment {{ name }}" for i in range(1000))),
    ("a thousand fields of a run", RUNS % ("info { runId } " * 1000)),
    ("fragments that double", "{ ...F0 } " + DOUBLING + " fragment F500 on Query { nothing }"),
    ("fragments in a circle", "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A nothing }"),
    (
        "a circle through fields",
        RUNS % "...A" + " fragment A on MlflowRunExtension { experiment { ...A } data { ...A } }",
    ),
    ("fragments 200 deep", "{ ...F0 } " + NESTED),
    ("1e5 levels", "{ a " * 100_000),
    ("40 levels of lists", "{ mlflowGetRun(input: " + "[" * 1_000 + "]" * 1_000 + ") { run { info { runId } } } }"),
    ("a number of 1e4 digits", "{ mlflowGetRun(input: {runId: " + "9" * 10_000 + "}) { run { info { runId } } } }"),
    ("a million brackets", "{" * 900_000),
    ("a string without an end", '{ test(inputString: "' + "\\" * 20_000),
    ("a default of itself", "query q($a: A = {a: $a}) { mlflowGetRun(input: $a) { run { info { runId } } } }"),
    ("NUL", '{ mlflowSearchRuns(input: {experimentIds: ["0"], filter: "\\u0000"}) { runs { info { runId } } } }'),
    ("half a surrogate", '{ test(inputString: "\\ud800") { output } }'),
    ("what there is to ask", "{ __schema { types { name fields { name type { name } } } } }"),
]


@pytest.mark.parametrize("case", DOCUMENTS, ids=[each[0] for each in DOCUMENTS])
def test_a_document(site: Site, told: Record, case: tuple[str, str]) -> None:
    shown, document = case
    began = time.monotonic()
    answer = site.ask("POST", "/graphql", {"query": document})
    took = time.monotonic() - began
    refused = answer.status == 400 or b'"errors":["' in answer.body
    told("CVE-2025-0453", f"a GraphQL document with {shown}", answer, 200, 400, only=refused and took < 5)


# --- heads ---

HEADS: list[tuple[str, bytes, set[int]]] = [
    ("1e5 headers", b"".join(b"X-%d: y\r\n" % i for i in range(100_000)), {431}),
    ("101 headers", b"".join(b"X-%d: y\r\n" % i for i in range(101)), {431}),
    ("a header of 1 MB", b"X: " + b"y" * 1_000_000 + b"\r\n", {431}),
    ("a header of 70 KB", b"X: " + b"y" * 70_000 + b"\r\n", {431}),
    ("a name of 1 MB", b"X" * 1_000_000 + b": y\r\n", {431}),
    ("a header without an end", b"X: " + b"y" * 4_000_000, {431}),
    ("folded lines", b"X: a\r\n b\r\n", {200, 400}),
    ("a NUL", b"X: a\0b\r\n", {400}),
    ("a bare line feed", b"X: a\nHost: evil\n\r\n", {200, 400, 403}),
    ("two lengths", b"Content-Length: 0\r\nContent-Length: 5\r\n", {400}),
    ("a length and chunks", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", {400}),
    ("a negative length", b"Content-Length: -1\r\n", {400}),
    ("a length of 1e30", b"Content-Length: 1" + b"0" * 30 + b"\r\n", {400}),
    ("an unknown coding", b"Transfer-Encoding: xchunked\r\n", {400}),
    ("another protocol", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n", {200, 400}),
    ("HTTP/2", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", {200, 400}),
    ("two hosts", b"Host: evil.example\r\n", {400, 403}),
]
LINES = [
    *(b"GET " + b"/" * 200_000 + b" HTTP/1.1", b"GET /health HTTP/9.9", b"GET", b"\x16\x03\x01\x02\x00\x01\x00"),
    *(b"GET /caf\xc3\xa9 HTTP/1.1", b"GET /%zz HTTP/1.1", b"CONNECT evil.example:443 HTTP/1.1", b"\0" * 1000),
    *(
        b"GET http://evil.example/ HTTP/1.1",
        b"GET \\\\evil\\x HTTP/1.1",
        b"get /health HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
    ),
    *(b"GET  /health HTTP/1.1", b"A" * 70_000 + b" / HTTP/1.1", b"PRI * HTTP/2.0\r\n\r\nSM"),
    b"GET /?" + b"a=b&" * 20_000 + b" HTTP/1.1",
]


@pytest.mark.parametrize("case", HEADS, ids=[each[0] for each in HEADS])
def test_a_head(site: Site, told: Record, case: tuple[str, bytes, set[int]]) -> None:
    shown, lines, wanted = case
    head = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%b\r\n" % (site.port, lines)
    answer = site.ask("GET", "", raw_head=head)
    told("ours: limits", f"a head with {shown}", answer, *wanted)


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_first_line(site: Site, told: Record, line: bytes) -> None:
    answer = site.ask("GET", "", raw_head=line + b"\r\nHost: 127.0.0.1:%d\r\n\r\n" % site.port)
    # Lenient reading is no harm while the Host is looked at: the way to the login, or the word that it is well.
    told("ours: limits", f"a request that begins {line[:60]!r}", answer, 200, 303, 400, 401, 404, 405, 414, 431)


# --- without an end ---


def endless(site: Site, path: str, *, pause: float) -> Answer:
    """Send a chunked body that has no end, until the server answers or hangs up."""
    head = f"POST {site.named(path)} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {site.tokens['admin']}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n" if not pause else b"1\r\n \r\n"
    return trickle(site, head.encode(), chunk, pause=pause)


def trickle(site: Site, head: bytes, piece: bytes, *, pause: float) -> Answer:
    until = time.monotonic() + PATIENCE
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as sock:
        sock.sendall(head)
        sock.settimeout(max(pause, 0.001))
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < until:
                with contextlib.suppress(TimeoutError):
                    if sock.recv(1, socket.MSG_PEEK) is not None:
                        break
                if piece:
                    with contextlib.suppress(TimeoutError):
                        sock.sendall(piece)
        sock.settimeout(PATIENCE)
        if time.monotonic() >= until:
            return Answer(-1, {}, b"")  # it would have waited for ever
        answer = read_answer(sock)
    site.check(answer, head)
    return answer


@pytest.mark.parametrize("path", [REST + "runs/log-batch", REST + "runs/create", "/api/v1/users", REST + "runs/search"])
def test_a_body_without_an_end(site: Site, told: Record, path: str) -> None:
    told("ours: limits", f"{path}: chunks without an end", endless(site, path, pause=0), 400, 413, 0)


def test_what_is_sent_slowly_is_not_waited_for(site: Site, told: Record) -> None:
    where = f"Host: 127.0.0.1:{site.port}\r\nAuthorization: Bearer {site.tokens['admin']}\r\n"
    json_kind = where + "Content-Type: application/json\r\n"
    pause, found = SLOW / 6, {}

    def case(shown: str, work: Callable[[], Answer]) -> Callable[[], None]:
        def keep() -> None:
            found[shown] = work()

        return keep

    def sent(head: str, piece: bytes = b"") -> Callable[[], Answer]:
        return lambda: trickle(site, site.named(head).encode(), piece, pause=pause)

    together(
        [
            case("a connection that says nothing", sent("")),
            case("empty lines for ever", sent("", b"\r\n")),
            case("half a first line", sent("GET /hea")),
            case("a header now and then", sent(f"GET /health HTTP/1.1\r\n{where}", b"X: y\r\n")),
            case("a letter now and then", sent(f"GET /health HTTP/1.1\r\n{where}X: ", b"y")),
            case("half a body", sent(f"POST {REST}runs/create HTTP/1.1\r\n{json_kind}Content-Length: 99\r\n\r\n{{")),
            case(
                "a body, letter by letter",
                sent(f"POST {REST}runs/create HTTP/1.1\r\n{json_kind}Content-Length: 9999\r\n\r\n", b" "),
            ),
            case("chunks, letter by letter", lambda: endless(site, REST + "runs/log-batch", pause=pause)),
            case(
                "half a body of our API", sent(f"POST /api/v1/users HTTP/1.1\r\n{json_kind}Content-Length: 9\r\n\r\n{{")
            ),
            case("half a form", sent(f"POST /login HTTP/1.1\r\n{where}Content-Length: 9\r\n\r\nt")),
            case(
                "half a file",
                sent(f"PUT {PROXY}/0/{{RUN}}/artifacts/slow.bin HTTP/1.1\r\n{where}Content-Length: 999999\r\n\r\nx"),
            ),
            case(
                "a file, letter by letter",
                sent(
                    f"PUT {PROXY}/0/{{RUN}}/artifacts/slow.bin HTTP/1.1\r\n{where}Content-Length: 99999\r\n\r\n", b"x"
                ),
            ),
            case(
                "a body after its answer",
                sent("POST /nowhere HTTP/1.1\r\nHost: evil\r\nContent-Length: 99999\r\n\r\n", b" "),
            ),
        ]
    )
    assert len(found) == 13
    for shown, answer in found.items():
        told("ours: slow", shown, answer, 408, 403, 0)
    assert site.ask("GET", f"{PROXY}/0/{{RUN}}/artifacts/slow.bin").status == 404


def test_many_open_connections_leave_room_for_others(site: Site, told: Record) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE))
            sock.sendall(b"POST / HTTP/1.1\r\n")
        told(
            "ours: slow",
            "200 connections that say half",
            site.ask("GET", REST + "experiments/get?experiment_id=0"),
            200,
        )


def test_a_body_that_never_came_creates_nothing(site: Site, told: Record) -> None:
    def count() -> int:
        return len(site.good("POST", REST + "runs/search", {"experiment_ids": ["0"]}).get("runs", []))

    before = count()
    head = f"POST {REST}runs/create HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {site.tokens['admin']}\r\nContent-Length: 22\r\n\r\n"
    for rest in ("", '{"experiment_id": '):
        with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as sock:
            sock.sendall((head + rest).encode())
    time.sleep(0.3)
    told("ours: limits", "a client that leaves before its body", 0 if count() == before else 200, 0)
