"""The whole story on real flights, as a person would type it: from a comment to a served model, and back.

Run by `make demo`. Everything lives in `.demo/`; what is there from an earlier run is kept, but for the
results: environments are found again, so a second run is quicker.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from headway.cli.client import Client, connect
from headway.serving.local import LocalTarget

HERE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("HEADWAY_DEMO", HERE.parent / ".demo")).resolve()
DATA = ROOT / "data"
REPO = ROOT / "flights"
HEADWAY = Path(sys.executable).with_name("headway")
os.environ["HEADWAY_DATA"] = str(DATA)
ENVIRONMENT = os.environ | {
    "GIT_AUTHOR_NAME": "maria",
    "GIT_AUTHOR_EMAIL": "maria@example.com",
    "GIT_COMMITTER_NAME": "maria",
    "GIT_COMMITTER_EMAIL": "maria@example.com",
}
BOLD, DIM, PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")


class Traffic:
    """Passengers asking: the hold-out's requests over and over, at up to a hundred a second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._lines = (HERE / "flights" / "tests" / "traffic.jsonl").read_text().splitlines()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.answers: dict[tuple[str, int], int] = {}

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            for line in itertools.cycle(self._lines):
                if self._stop.wait(0.008):
                    return
                answer = client.post("/invocations", content=line, headers={"content-type": "application/json"})
                key = (answer.headers.get("x-model-version", "?"), answer.status_code)
                self.answers[key] = self.answers.get(key, 0) + 1

    def told(self) -> str:
        return ", ".join(f"v{v}: {n} × HTTP {status}" for (v, status), n in sorted(self.answers.items()))


BEGAN = time.monotonic()


def chapter(text: str) -> None:
    spent = f" {time.monotonic() - BEGAN:.0f} s"
    print(f"\n{BOLD}━━ {text} {'━' * max(0, 92 - len(text))}{spent}{PLAIN}\n", flush=True)


def type_in(*words: str, may_fail: bool = False, is_quiet: bool = False) -> str:
    """Run one headway command as a person would, and show it."""
    shown = " ".join(word if word.replace("-", "").isalnum() or word.startswith("/") else repr(word) for word in words)
    print(f"{DIM}${PLAIN} {BOLD}headway {shown}{PLAIN}", flush=True)
    done = subprocess.run([HEADWAY, *words], cwd=REPO, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if not is_quiet:
        print((done.stdout + done.stderr).rstrip(), flush=True)
    if done.returncode not in (0, 3) and not may_fail:
        sys.exit(f"the demo stops: headway {shown} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def client() -> Client:
    return connect(start=False)


def git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=REPO, env=ENVIRONMENT, check=True, capture_output=True)


def propose(name: str, branch: str) -> None:
    """A colleague's branch, from a patch of the example."""
    folder = HERE / "flights" / "changes" / name
    git("checkout", "-q", "-b", branch, "main")
    git("apply", "--whitespace=nowarn", str(folder / "change.patch"))
    git("add", "-A")
    git("commit", "-q", "-F", str(folder / "message.txt"))
    git("checkout", "-q", "main")


def wait(what: str, look: Callable[[], Any], *, seconds: float = 600) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    sys.exit(f"the demo stops: {what} did not happen within {seconds:.0f} s; see {DATA / 'server.log'}")


def judged(change: int) -> None:
    """Wait until the newest job of a change is judged."""

    def look() -> bool:
        found = client().get("/jobs", change=change, limit=1)
        return bool(found and found[0]["job"]["settled_at"])

    wait(f"the verdict on change {change}", look)


def release_of(version: int, *states: str) -> dict[str, Any]:
    """Wait until the release of a version is in one of these states."""

    def look() -> dict[str, Any] | None:
        found = [each for each in client().get("/releases", project="flights") if each["version"] == version]
        return found[0] if found and found[0]["state"] in states else None

    return wait(f"version {version} {' or '.join(states)}", look)


def lay_out(edit: Callable[[Path], object]) -> None:
    """A fresh repository and fresh results; environments of an earlier demo are kept."""
    if DATA.exists():
        stop()
        for child in DATA.iterdir():
            if child.name != "environments":
                shutil.rmtree(child) if child.is_dir() else child.unlink()
    shutil.rmtree(REPO, ignore_errors=True)
    shutil.copytree(HERE / "flights", REPO, ignore=shutil.ignore_patterns("changes", "build", "__pycache__"))
    edit(REPO)
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "Predict late flights from the timetable")


def stop_endpoints() -> None:
    """End what serves: endpoints outlive their server on purpose."""
    target = LocalTarget(DATA / "deployments")
    for name in ("flights-staging", "flights-production"):
        target.remove(name)


def start_server(host: str, port: int) -> None:
    """Detached, so that it can stay up after the story."""
    DATA.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (DATA / "server.log").open("ab") as log:
        subprocess.Popen(
            [HEADWAY, "server", "start", "--host", host, "--port", str(port)],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    for _ in range(300):
        if (DATA / "server.json").exists():
            return
        time.sleep(0.1)
    sys.exit(f"the demo stops: the server did not start; see {DATA / 'server.log'}")


def story() -> None:
    chapter("1. A baseline: the project is trained on main")
    type_in("train", "main")
    chapter("2. The first version goes to production")
    type_in("deploy", "1")
    type_in("approve", "1")

    chapter("3. Two colleagues propose changes, and comment /train on each")
    propose("better", "weather")
    propose("worse-slice", "simpler")
    type_in("change", "open", "weather")
    type_in("change", "open", "simpler")
    type_in("change", "comment", "1", "/train")
    type_in("change", "comment", "2", "/train")
    judged(1)
    judged(2)
    type_in("report", "--change", "1")
    type_in("report", "--change", "2")

    chapter("4. The gates decide: one is blocked, one is merged")
    type_in("change", "merge", "2", may_fail=True)
    type_in("change", "merge", "1")
    wait("version 2", lambda: len(client().get("/models/flights")["versions"]) > 1)
    type_in("models", "show", "flights")

    chapter("5. The merged model is released: staging, approval, canary, production")
    url = client().get("/deployments/flights-production")["deployment"]["observed"]["url"]
    with Traffic(url) as traffic:
        type_in("change", "comment", "1", "/deploy")
        waiting = release_of(2, "waiting", "failed")
        print(waiting["test_output"])
        type_in("change", "comment", "1", "/approve")
        release_of(2, "promoted", "failed")
    print(f"\nanswers meanwhile: {traffic.told()}")
    type_in("report", "--change", "1")

    chapter("6. A prediction, and why it answered that")
    one = json.loads((REPO / "tests" / "requests" / "stormy-evening.json").read_text())["request"]
    (ROOT / "request.json").write_text(json.dumps(one))
    answer = json.loads(type_in("endpoints", "invoke", "flights-production", str(ROOT / "request.json"), "--json"))
    time.sleep(1)
    type_in("why", answer["request_id"])

    chapter("7. A version that errs in production is rolled back by itself")
    propose("broken-model", "strict")
    type_in("change", "open", "strict")
    type_in("change", "comment", "3", "/train")
    judged(3)
    with Traffic(url) as traffic:
        type_in("change", "comment", "3", "/deploy")
        release_of(3, "waiting", "failed")
        type_in("change", "comment", "3", "/approve")
        release = release_of(3, "rolled_back", "promoted", "failed")
        print(f"\nv3: {release['state']}: {release['reason']}")
    print(f"answers meanwhile: {traffic.told()}")
    type_in("report", "--change", "3")
    type_in("endpoints", "list")


def stop() -> None:
    subprocess.run([HEADWAY, "server", "stop"], env=ENVIRONMENT, capture_output=True, check=False)
    stop_endpoints()


def main(*, host: str = "127.0.0.1", port: int = 0, edit: Callable[[Path], object] = Path) -> None:
    """Tell it; `edit` may change the project's folder before anybody sees it."""
    lay_out(edit)
    start_server(host, port)
    try:
        story()
        print(f"\n{BOLD}The whole story took {time.monotonic() - BEGAN:.0f} s.{PLAIN}")
    except BaseException:
        stop()
        raise
    if sys.stdout.isatty():
        type_in("server", "status")
        print(f"The server stays up. HEADWAY_DATA={DATA} {HEADWAY} login   prints the address for your browser.")
        print(f"Stop it with: HEADWAY_DATA={DATA} {HEADWAY} server stop")
        return
    stop()


if __name__ == "__main__":
    main()
