"""Other tokens at the door: another attempt's name, none, a guess, and requests that say two things."""

import os, socket, urllib.request
from probe import FACTS, OUTSIDE, attempt, got, through

if OUTSIDE:
    attempt()
else:
    base = os.environ["MLFLOW_TRACKING_URI"]
    host, port = base.removeprefix("http://").split(":")
    for header in (
        "",
        "Bearer ",
        "Bearer x",
        "Bearer door_" + "0" * 32,
        "Basic YWRtaW46YWRtaW4=",
        "Basic YWRtaW46cGFzc3dvcmQ=",
    ):
        attempt()
        request = urllib.request.Request(
            f"{base}/api/2.0/mlflow/experiments/search?max_results=9",
            headers={"Authorization": header} if header else {},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                got(header, answer.read())
                through(f"the door takes {header[:12]!r}")
        except OSError:
            pass
    token = os.environ["MLFLOW_TRACKING_TOKEN"]
    inner = f"GET /api/v1/jobs HTTP/1.1\r\nHost: headway\r\nAuthorization: Bearer {token}\r\n\r\n"
    for head in (
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 0\r\nContent-Length: 9",
        "Transfer-Encoding: xchunked",
        "Content-Length: +0",
        "X: y\r\n\x00Content-Length: 0",
        "Connection: Authorization",
    ):
        attempt()
        with socket.create_connection((host, int(port)), timeout=10) as one:
            one.settimeout(3)
            one.sendall(
                f"POST /api/2.0/mlflow/runs/search HTTP/1.1\r\nHost: headway\r\nAuthorization: Bearer {token}\r\n{head}\r\n\r\n0\r\n\r\n{inner}".encode(
                    "latin-1"
                )
            )
            said = b""
            try:
                while chunk := one.recv(65536):
                    said += chunk
            except OSError:
                pass
            got(head, said)
            if b'"jobs"' in said:
                through(f"a second request was smuggled by {head!r}")
