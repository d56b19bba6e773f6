"""What runs in a pod, as processes beside a server that is told how to answer: all arrives once, or is told of."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from headway.sandbox.command import INSIDE

PATIENCE = 60.0


@dataclass
class Told:
    """A server that keeps what comes; `refuse` says which requests it answers otherwise."""

    refuse: Callable[[str, int], int] = lambda _what, _count: 0  # (route, how often it was asked) -> status, 0 = fine
    log: bytes = b""
    asked: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    stop: bool = False
    hangs_up: bool = False  # after each answer

    def answer(self, what: str, query: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        self.asked.append(what)
        status = self.refuse(what, self.asked.count(what))
        if status:
            return status, {"message": f"refused with {status}"}
        if what == "log":
            if int(query["offset"]) != len(self.log):
                return 409, {"size": len(self.log), "stop": self.stop}
            self.sizes.append(len(body))
            self.log += body
        else:
            self.bodies[what] = body
        return 200, {"size": len(self.log), "stop": self.stop}


@contextmanager
def server_of(told: Told) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            status, found = told.answer(url.path.rpartition("/")[2], query, body)
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if told.hangs_up:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def laid_out(folder: Path, port: int, code: str, **changes: Any) -> None:
    """What the first container leaves behind."""
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "main.py").write_text(code)
    limits = {"memory_mb": None, "processes": 500, "disk_mb": 500, "cpus": None, "accelerators": None}
    limits |= {"timeout_s": None, "grace_s": 2, "log_mb": 4, "cgroups": False}
    command = {
        "id": "01ABC", "nonce": "n", "isolation": 3, "argv": [sys.executable, "-I", "-S", "main.py"], "wrap": None,
        "environment": {"PATH": os.environ["PATH"], "HEADWAY_OUT": str(folder / "out")}, "cwd": str(folder / "work"),
        "network": True, "limits": limits, "door": None, "hold_s": 5, "answer_s": 5, "drain_s": 20, "sample_s": 5,
        "is_pod": True, "outputs": ["model.txt"], "keeps_image_environment": False, **changes,
    }  # fmt: skip
    (folder / "command.json").write_text(json.dumps(command))
    (folder / "server.json").write_text(json.dumps({"host": "127.0.0.1", "port": port}))
    (folder / "token").write_text("t")


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.environ["PATH"],
        "HEADWAY_POD_FOLDER": str(folder),
        "HEADWAY_POD_UID": "uid-1",
        "HEADWAY_POD_NAME": "pod-1",
        "HEADWAY_POD_TERMINATION": str(folder / "last"),
    }
    argv = [sys.executable, "-I", "-S", str(INSIDE / "pod.py")]
    return subprocess.Popen(argv, env=environment, start_new_session=True)


def last(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "last").read_text())
    return found


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


WORKS = "print('one', flush=True); open('model.txt', 'w').write('M'); print('two')"


def run(folder: Path, told: Told, code: str = WORKS, **changes: Any) -> int:
    with server_of(told) as port:
        laid_out(folder, port, code, **changes)
        return start(folder).wait(timeout=PATIENCE)


def test_log_outputs_and_end_arrive_in_this_order(tmp_path: Path) -> None:
    told = Told()
    assert run(tmp_path / "a", told) == 0
    assert told.log == b"one\ntwo\n"
    assert b"model.txt" in told.bodies["out"]
    record = json.loads(told.bodies["exit"])
    assert (record["exit_code"], record["reason"]) == (0, "")
    assert list(dict.fromkeys(told.asked)) == ["started", "log", "out", "exit"]
    assert json.loads(told.bodies["started"])["uid"].startswith("uid-1.")
    assert not (tmp_path / "a" / "token").exists()


def test_a_bad_end_brings_its_code_and_no_outputs(tmp_path: Path) -> None:
    told = Told()
    assert run(tmp_path / "a", told, f"{WORKS}\nraise SystemExit(3)") == 3
    assert json.loads(told.bodies["exit"])["exit_code"] == 3
    assert b"model.txt" not in told.bodies["out"]


def test_a_server_that_is_away_for_a_while_gets_everything_once_and_few_requests(tmp_path: Path) -> None:
    code = "import time\nfor n in range(30):\n print(n, flush=True)\n time.sleep(0.1)\nopen('model.txt','w').write('M')"
    until_then = time.monotonic() + 5
    told = Told(refuse=lambda what, _: 503 if what != "started" and time.monotonic() < until_then else 0)
    assert run(tmp_path / "a", told, code) == 0
    assert told.log.decode().split() == [str(n) for n in range(30)]
    assert told.asked.count("log") < 30  # 25 looks in five seconds would be one every tick
    assert json.loads(told.bodies["exit"])["exit_code"] == 0


def test_a_server_that_fails_inside_is_asked_again(tmp_path: Path) -> None:
    told = Told(refuse=lambda what, count: 500 if count == 1 and what in {"started", "out", "exit"} else 0)
    assert run(tmp_path / "a", told) == 0
    assert {"started", "out", "exit"} <= told.bodies.keys()


def test_a_log_that_is_too_long_for_the_server_is_not_sent_again_and_again(tmp_path: Path) -> None:
    told = Told(refuse=lambda what, _: 413 if what == "log" else 0)
    assert run(tmp_path / "a", told, f"{WORKS}\nimport time; time.sleep(2)") == 0
    assert told.asked.count("log") < 6
    assert json.loads(told.bodies["exit"])["exit_code"] == 0


def test_outputs_that_are_refused_are_the_servers_to_tell(tmp_path: Path) -> None:
    told = Told(refuse=lambda what, _: 400 if what == "out" else 0)
    assert run(tmp_path / "a", told) == 0
    assert told.asked.count("out") == 1
    assert json.loads(told.bodies["exit"])["exit_code"] == 0


def test_outputs_that_cannot_be_packed_are_an_end_with_a_reason(tmp_path: Path) -> None:
    told = Told()
    assert run(tmp_path / "a", told, "import os; os.symlink('/etc/passwd', 'model.txt')") == 1
    record = json.loads(told.bodies["exit"])
    assert "could not be packed" in record["reason"]
    assert "link" in record["reason"]
    assert b"root:" not in b"".join(told.bodies.values())


@pytest.mark.parametrize("status", [401, 403, 409])
def test_without_the_right_to_begin_no_code_runs(tmp_path: Path, status: int) -> None:
    told = Told(refuse=lambda what, _: status if what == "started" else 0)
    assert run(tmp_path / "a", told, "open('ran', 'w')") == 76
    assert not (tmp_path / "a" / "work" / "ran").exists()
    assert last(tmp_path / "a")["not_run"] is True
    assert "exit" not in told.bodies


def test_an_attempt_that_the_server_has_ended_is_stopped_and_brings_nothing(tmp_path: Path) -> None:
    told = Told(refuse=lambda what, count: 403 if what != "started" and count > 1 else 0)
    code = run(tmp_path / "a", told, "import time; print('one', flush=True); time.sleep(600)")
    assert code != 0
    assert "exit" not in told.bodies
    assert "refused with 403" in last(tmp_path / "a")["undeliverable"]


def test_a_stop_that_the_server_asks_for_ends_the_code(tmp_path: Path) -> None:
    told = Told(stop=True)
    assert run(tmp_path / "a", told, "import time; time.sleep(600)") == 143
    assert json.loads(told.bodies["exit"])["reason"] == "cancelled"


def test_the_clusters_sigterm_lets_it_bring_its_last_word(tmp_path: Path) -> None:
    told, folder = Told(), tmp_path / "a"
    with server_of(told) as port:
        laid_out(folder, port, "import time; print('one', flush=True); time.sleep(600)")
        process = start(folder)
        until(lambda: told.log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 143
    assert json.loads(told.bodies["exit"])["exit_code"] == 143
    assert last(folder)["exit_code"] == 143


def test_a_supervisor_that_is_killed_is_told_of(tmp_path: Path) -> None:
    told, folder = Told(), tmp_path / "a"
    with server_of(told) as port:
        laid_out(folder, port, "import time; print('one', flush=True); time.sleep(600)")
        process = start(folder)
        until(lambda: told.log)
        os.kill(json.loads((folder / "started").read_text())["pid"], signal.SIGKILL)
        assert process.wait(timeout=PATIENCE) == 125
    record = json.loads(told.bodies["exit"])
    assert (record["exit_code"], record["reason"]) == (125, "launch")


def test_what_the_server_never_takes_stands_in_the_last_words(tmp_path: Path) -> None:
    told = Told(refuse=lambda what, _: 400 if what == "exit" else 0)
    assert run(tmp_path / "a", told) == 0
    assert last(tmp_path / "a")["exit_code"] == 0
    assert "undeliverable" in last(tmp_path / "a")


def test_an_image_keeps_its_own_programs(tmp_path: Path) -> None:
    told = Told()
    code = "import os; print(os.environ['PATH'] == os.environ['EXPECTED'], 'HEADWAY_POD_UID' in os.environ)"
    environment = {"PATH": "/nowhere", "EXPECTED": os.environ["PATH"]}
    assert run(tmp_path / "a", told, code, keeps_image_environment=True, environment=environment, outputs=[]) == 0
    assert told.log == b"True False\n"


STEALS = """
import json, os, socket, sys, threading, urllib.request
trap = socket.create_server(("127.0.0.1", 0))
trap.settimeout(5)
where = {"host": "127.0.0.1", "port": trap.getsockname()[1]}
with open("../server.json", "w") as out:
    json.dump(where, out)
def ask():
    headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/get?run_id=r"
    urllib.request.urlopen(urllib.request.Request(url, headers=headers))
if sys.argv[1] == "door":
    threading.Thread(target=ask, daemon=True).start()
try:
    print("CAUGHT", trap.accept()[0].recv(4000))
except TimeoutError:
    print("nobody came")
open("model.txt", "w").write("M")
"""


@pytest.mark.parametrize("by", ["log", "door"])
def test_code_leads_the_token_nowhere_else(tmp_path: Path, by: str) -> None:
    """It writes another server's address where ours stands, and waits to be told the token."""
    told, folder = Told(hangs_up=True), tmp_path / "attempt"
    door = {"server_file": str(folder / "server.json"), "token": "t", "run_id": "r", "experiment_id": "1"}
    argv = [sys.executable, "-I", "-S", "main.py", by]
    assert run(folder, told, STEALS, door=door, argv=argv, drain_s=1) == 0
    assert b"nobody came" in told.log
    assert b"CAUGHT" not in told.log


@pytest.mark.parametrize("made", ["os.mkfifo('../log')", "os.symlink('/proc/self/maps', '../log')"])
def test_a_log_that_is_something_else_holds_up_nothing_and_shows_nothing(tmp_path: Path, made: str) -> None:
    told = Told()
    code = f"import os; os.unlink('../log'); {made}; open('model.txt', 'w').write('M')"
    assert run(tmp_path / "attempt", told, code) == 0
    assert b"[heap]" not in told.log
    assert told.asked[-1] == "exit"


def test_an_exit_record_of_the_codes_own_making_is_none(tmp_path: Path) -> None:
    told = Told()
    code = """
import json, os, signal
open("../exit.json", "w").write('{"exit_code": "all is well", "reason": {}}')
os.kill(json.load(open("../started"))["pid"], signal.SIGKILL)
"""
    assert run(tmp_path / "attempt", told, code) == 125
    assert json.loads(told.bodies["exit"])["reason"] == "launch"
