"""A real server under attack, a canary beside its data, a trap for its connections, and what may stand in no answer."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REST = "/api/2.0/mlflow/"
AJAX = "/ajax-api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
CANARY = "CANARY-4f1c8e"
PATIENCE = 60.0  # of the tests; the server's is SLOW
SLOW = 3.0

_REPOSITORY = str(Path(__file__).resolve().parents[2])
# What no answer may hold, unless the request itself did.
_PLAIN = {b"Method Not Allowed", b"Not Found", b"there is no such file"}
_SQL = ("select ", "insert into", "update run", "delete from", " where ", "pragma")
_LEAKS = (
    *("traceback (most recent", "site-packages", '.py"', ".py'", ".py:", "sqlalchemy", "sqlite3", "psycopg", "msgspec"),
    *("operationalerror", "integrityerror", "valueerror", "keyerror", "typeerror", "recursionerror", "exception in"),
    *("errno", "dir_fd", "uvicorn"),
)


@dataclass
class Answer:
    """What came back; status 0 when the server hung up without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Trap:
    """A listening socket that nobody may ever connect to."""

    sock: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        found: int = self.sock.getsockname()[1]
        return found

    @property
    def was_called(self) -> bool:
        self.sock.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            self.sock.accept()
            return True
        return False


class Site:
    """The server's process, its people, and the things that attacks speak of."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.canary = root / "canary"
        self.log = root.parent / (root.name + ".deeds")
        self.trap = Trap()
        self.names: dict[str, str] = {}
        self.tokens: dict[str, str] = {"": ""}
        self.data.mkdir(parents=True, mode=0o700)
        self.canary.write_text(CANARY)
        (root / "victim").mkdir()
        (root / "victim" / "kept.txt").write_text(CANARY)
        self._begin()
        self._told = len(self.deeds())
        self._before = self._around()

    # --- the process ---

    def _begin(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
        environment |= {"HEADWAY_DATA": str(self.data), "HEADWAY_PORT": "0"}
        with (self.root.parent / (self.root.name + ".log")).open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).parent / "watched_server.py"), str(self.log), str(SLOW)],
                env=environment,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 120
        while not self._is_up():
            assert self.process.poll() is None, "the server did not start"
            assert time.monotonic() < until, "the server did not answer"
            time.sleep(0.05)
        self.tokens["admin"] = (self.data / "admin-token").read_text().strip()
        self._fill()

    def _is_up(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            self.port = int(json.loads((self.data / "server.json").read_bytes())["port"])
            return self.ask("GET", "/health", who="").status == 200
        return False

    def close(self) -> None:
        """End the server and its worker."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.trap.sock.close()

    def memory(self) -> int:
        """Return the server's resident bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024  # type: ignore[index]

    # --- what is there ---

    def _fill(self) -> None:
        run = self.good("POST", REST + "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        body = {"experiment_id": "0", "name": "m", "source_run_id": run}
        logged = self.good("POST", REST + "logged-models", body)["model"]["info"]["model_id"]
        self.names = {"{RUN}": run, "{LOGGED}": logged, "{TRAP}": f"127.0.0.1:{self.trap.port}"}
        for name in ("target", "read"):
            self.good("POST", REST + "registered-models/create", {"name": name})
        self.good("PUT", f"{PROXY}/0/{run}/artifacts/ok.txt", b"fine")
        self.good("PUT", f"{PROXY}/0/{run}/artifacts/model/MLmodel", b"x: !!js/function 'alert(1)'")
        self.good("PUT", f"{PROXY}/0/models/{logged}/artifacts/w.bin", b"weights")
        source = f"mlflow-artifacts:/0/{run}/artifacts/model"
        self.good("POST", REST + "model-versions/create", {"name": "read", "source": source, "run_id": run})
        self.folder = self.data / "artifacts" / "0" / run / "artifacts"
        self.plant()
        for name, role in (("reader", "viewer"), ("writer", "contributor"), ("stranger", "none")):
            self.good("POST", "/api/v1/users", {"name": name, "role": role})
        self.good("POST", "/api/v1/projects", {"name": "elsewhere"})
        self.good("PUT", "/api/v1/users/stranger/projects/elsewhere", {"role": "admin"})
        for name, project in (("reader", ""), ("writer", ""), ("stranger", "elsewhere")):
            self.tokens[name] = self.good("POST", "/api/v1/tokens", {"user": name, "project": project})["token"]

    def plant(self) -> None:
        """Put links into the run's folder, as a training that broke out of its sandbox could."""
        for name, target in (("link", self.root), ("leak", self.canary), ("dangling", self.root / "made")):
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / name).symlink_to(target)
        (self.folder / "hard").unlink(missing_ok=True)
        (self.folder / "hard").hardlink_to(self.canary)
        (self.folder / "pipe").unlink(missing_ok=True)
        os.mkfifo(self.folder / "pipe")

    # --- asking ---

    def named(self, text: str) -> str:
        """Put this site's ids into an input."""
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: str = "admin",
        headers: dict[str, str] | None = None,
        raw_head: bytes | None = None,
    ) -> Answer:
        """Send a request byte for byte: the path is not tidied, and a header set to "" is left out."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        raw = self.named(raw.decode("latin-1")).encode("latin-1")
        fields = {"Host": f"127.0.0.1:{self.port}", "Content-Type": "application/json", "Content-Length": str(len(raw))}
        if self.tokens[who]:
            fields["Authorization"] = f"Bearer {self.tokens[who]}"
        if body is None and method in ("GET", "HEAD"):
            fields |= {"Content-Type": "", "Content-Length": ""}
        fields |= headers or {}
        lines = [f"{name}: {value}" for name, value in fields.items() if value]
        head = raw_head or (f"{method} {self.named(path)} HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode(
            "utf-8", "surrogateescape"
        )
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as sock:
            with contextlib.suppress(ConnectionError):  # it may answer and hang up before we are through
                sock.sendall(head + raw)
            answer = read_answer(sock, method)
        self.check(answer, head + raw)
        return answer

    def good(self, method: str, path: str, body: Any = None) -> Any:
        """Ask something harmless that must work."""
        answer = self.ask(method, path, body)
        assert answer.status == 200, (method, path, answer.body[:500])
        return answer.json()

    def check(self, answer: Answer, sent: bytes) -> None:
        """No statement, traceback or path of this machine in any answer, and nothing that a browser would run."""
        text, asked = answer.body.decode("utf-8", "replace").lower(), sent.decode("utf-8", "replace").lower()
        places = (str(self.root), _REPOSITORY, sys.prefix, str(Path.home()) + "/", CANARY)
        kind = answer.headers.get("content-type", "")
        words = _LEAKS if kind.startswith("text/html") else (*_LEAKS, *_SQL)  # pages have <select> and sentences
        found = [each for each in (*words, *map(str.lower, places)) if each in text and each not in asked]
        assert found == [], (found, answer.body[:500])
        assert "server" not in answer.headers
        if answer.status >= 400:
            is_page = kind.startswith("text/html") and "default-src 'none'" in answer.headers["content-security-policy"]
            assert kind.startswith("application/json") or is_page or answer.body in _PLAIN, (kind, answer.body[:200])

    # --- what must not have happened ---

    def deeds(self) -> list[Any]:
        """Return what the server did outside of its data directory, by its interpreter's own account."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def escaped(self) -> list[str]:
        """Return every trace of a successful attack so far."""
        found = [f"{event} {given}" for event, given in self.deeds()[self._told :]]
        if self.trap.was_called:
            found.append("the trap was connected to")
        if self._around() != self._before:
            found.append("something beside the data directory changed")
        if self.process.poll() is not None:
            found.append("the server died")
        return found

    def _around(self) -> dict[str, str]:
        """Return everything beside the data directory, with its bytes."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            if Path(folder) == self.root:
                folders.remove("data")
            for name in files:
                path = Path(folder) / name
                found[str(path)] = f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mode:o}"
            found[folder] = ",".join(sorted(folders))
        return found


def read_answer(sock: socket.socket, method: str = "GET") -> Answer:
    """Read one answer; whoever hangs up without one gets status 0."""
    found = http.client.HTTPResponse(sock, method=method)
    try:
        found.begin()
        return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())
    except (ConnectionError, http.client.HTTPException):
        return Answer(0, {}, b"")
    finally:
        found.close()


def together(work: list[Any]) -> None:
    """Run several waiting things at once."""
    threads = [threading.Thread(target=each) for each in work]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE * 2)
