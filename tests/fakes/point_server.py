"""A tiny tracking side, run as a process of its own so that tests can kill it: `python point_server.py PORT FOLDER`.

Every request it accepts is appended durably to FOLDER/requests.jsonl before it is answered; artifacts land in
FOLDER/artifacts. FOLDER/mode, when present, makes it misbehave: `refuse` (400 for appends), `stop` (503).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_LOCK = threading.Lock()
_RUN = json.dumps(
    {
        "run": {
            "info": {
                "run_id": "run1",
                "run_uuid": "run1",
                "run_name": "quiet-fox-7",
                "experiment_id": "7",
                "status": "RUNNING",
                "lifecycle_stage": "active",
                "start_time": 1,
                "artifact_uri": "mlflow-artifacts:/7/run1/artifacts",
            },
            "data": {},
            "inputs": {},
        }
    }
).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        folder: Path = self.server.folder  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        mode = (folder / "mode").read_text() if (folder / "mode").exists() else ""
        if mode == "stop":
            return self._send(503, b'{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "stopping"}')
        if mode == "refuse" and "/runs/log" in self.path:
            return self._send(400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no such run"}')
        if self.path.startswith("/api/2.0/mlflow-artifacts/artifacts/") and self.command == "PUT":
            target = folder / "artifacts" / self.path.rsplit("/", 1)[1]
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(body)
            body = b'"%d bytes"' % len(body)
        line = {
            "method": self.command,
            "path": self.path,
            "body": json.loads(body) if body else None,
            "token": self.headers.get("Authorization", ""),
            "key": self.headers.get("Idempotency-Key"),
        }
        with _LOCK, (folder / "requests.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")
            out.flush()
            os.fsync(out.fileno())
        if self.path.endswith("/big"):
            return self._send(200, b"x" * 3_000_000)
        if self.path.endswith("runs/create"):
            return self._send(200, b'{"run": {"info": {"run_id": "r2"}}}')
        if "/runs/get?" in self.path:
            return self._send(200, _RUN)
        return self._send(200, b"{}")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  # the library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        pass


def main(port: int, folder: Path) -> None:
    ThreadingHTTPServer.allow_reuse_address = True
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.folder = folder  # type: ignore[attr-defined]
    part = folder / "server.json.part"
    part.write_text(json.dumps({"host": "127.0.0.1", "port": server.server_address[1]}))
    part.replace(folder / "server.json")
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
