"""Code that crashes, hangs, floods, fills, forks or lies: a clear message, a final state, and nothing left open.

All of it runs at once, each in a repository of its own; every fork, flood and filler is bounded by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.conftest import House, Stage, open_house
from headway.forges.model import Change
from headway.jobs.model import Job
from headway.settings import Settings

CONFIG = """\
name: tiny
pipeline:
  steps:
    train:
      run: python train.py
      timeout: 60s
{more}
metrics:
  score: {{goal: maximize}}
gates:
  rules:
    - {{id: floor, metric: score, min: 0.1}}
"""

pytestmark = pytest.mark.timeout(600)
GOOD = 'import json; json.dump({"score": 0.5}, open("metrics.json", "w"))\n'

WIRE = """\
import json, os, urllib.request
def post(path, **body):
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + path
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
    body = json.dumps({"run_id": os.environ["MLFLOW_RUN_ID"], **body}).encode()
    return urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60).read()
"""


@dataclass(frozen=True)
class Case:
    """What a change does; `more` stands in the step of both sides, since all but the code comes from the base."""

    code: str
    more: str = ""


CASES = {
    "crash": Case('print("reading the data")\nraise ValueError("no column called fare")\n'),
    "killed": Case("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"),
    "hang": Case('print("waiting", flush=True)\nimport time; time.sleep(50)\n', "      timeout: 1s"),
    "flood": Case('for _ in range(30_000): print("x" * 99)\n' + GOOD),
    "disk": Case(
        "import time\n"
        "for number in range(10):\n"
        '    with open(f"part-{number}", "wb") as part: part.write(os.urandom(4 << 20)); part.flush()\n'
        "time.sleep(30)\n".replace("import time", "import os, time"),
        "      resources: {disk: 20Mi}",
    ),
    "one-file": Case(
        'with open("big", "wb") as big:\n    for _ in range(10): big.write(bytes(4 << 20)); big.flush()\n',
        "      resources: {disk: 20Mi}",
    ),
    "forks": Case(
        "import os, time\n"
        "for _ in range(60):\n"  # 60 children of one parent, each gone after 30 s: bounded by itself
        "    try:\n"
        "        if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "    except OSError: break\n"
        "time.sleep(30)\n",
        "      resources: {processes: 30}",
    ),
    "memory": Case(
        "import time\nkept = [bytearray(b'x' * (10 << 20)) for _ in range(20)]\ntime.sleep(30)\n",
        "      resources: {memory: 80Mi}",
    ),
    "missing-output": Case(GOOD + "# and no weights\n", "      outputs: [model/weights.bin]"),
    "linked-output": Case(
        GOOD + 'import os; os.symlink("/etc/passwd", "weights.bin")\n', "      outputs: [weights.bin]"
    ),
    "nan-file": Case('import json; json.dump({"score": float("nan")}, open("metrics.json", "w"))\n'),
    "nan-wire": Case(WIRE + 'post("runs/log-metric", key="score", value="NaN", timestamp=1, step=0)\n'),
    "garbage": Case('open("metrics.json", "wb").write(bytes(range(256)))\n'),
    "not-numbers": Case('open("metrics.json", "w").write(\'{"score": "good", "other": {"deep": [1]}}\')\n'),
    "no-metric": Case('print("all is well")\n'),
    "own-run-deleted": Case(GOOD + WIRE + 'post("runs/delete")\n'),
    "metrics-is-a-folder": Case('import os; os.mkdir("metrics.json")\n'),
}


@dataclass(frozen=True)
class Ended:
    """A change whose training has ended."""

    stage: Stage
    change: Change
    job: Job

    @property
    def report(self) -> str:
        return self.stage.report(self.change)

    @property
    def headline(self) -> str:
        return self.report.splitlines()[1]

    @property
    def status(self) -> str:
        return self.stage.status(self.change, "tiny")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    folder = tmp_path_factory.mktemp("bad")
    with open_house(Settings(data=folder / "data", port=0, slots=4, log_limit_mb=1)) as house:
        yield _run_all(house, folder)


def _run_all(house: House, folder: Path) -> dict[str, Ended]:
    asked: dict[str, tuple[Stage, Change]] = {}
    for name, case in CASES.items():
        stage = house.new_stage(folder / name)
        config = CONFIG.format(more=case.more)
        if "timeout" in case.more:
            config = config.replace("      timeout: 60s\n", "")
        stage.write({"headway.yaml": config, "train.py": GOOD}, message="the project")
        stage.write({"train.py": case.code}, branch="bad")
        asked[name] = stage, stage.open("bad")
        stage.comment(asked[name][1], "/train")
    first = asked["crash"][0]
    first.tick_until(
        lambda: all([job.settled_at for job in stage.jobs()] not in ([], [None]) for stage, _ in asked.values()),
        what="all ended",
        deadline=500,  # all cases at once, on a machine that does something else as well
    )
    return {name: Ended(stage, change, stage.jobs()[0]) for name, (stage, change) in asked.items()}


@pytest.mark.parametrize("name", CASES)
def test_whatever_the_code_does_nothing_is_left_open(ended: dict[str, Ended], name: str) -> None:
    case = ended[name]
    case.stage.assert_ended(case.job)
    assert "headway:report" in case.report
    assert case.status == (
        "success" if name in GOOD_ENOUGH else "failure" if case.job.state == "succeeded" else "error"
    )
    assert case.headline.startswith({"success": "### ✅", "failure": "### ❌", "error": "### 💥"}[case.status])


GOOD_ENOUGH = frozenset({"flood"})

CRASHES = {
    "crash": ("exit code 1", "no column called fare"),
    "killed": ("exit code 139", "SIGSEGV"),
    "hang": ("stopped at its time limit", "longer timeout:"),
    "disk": ("more to disk than its limit", "write less"),
    "one-file": ("File too large", "write less"),
    "forks": ("more processes than its limit", "start fewer processes"),
    "memory": ("more memory than its limit", "resources: {memory: ...}"),
    "missing-output": ("did not write its output model/weights.bin", "take model/weights.bin out of the outputs"),
    "linked-output": ("did not write its output weights.bin", "take weights.bin out of the outputs"),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_says_what_happened_and_what_to_do(ended: dict[str, Ended], name: str) -> None:
    case = ended[name]
    assert case.job.state == "failed"
    for words in CRASHES[name]:
        assert words in case.report


NO_EVIDENCE = {
    "nan-file": "score of this change is nan, which is no number to compare",
    "nan-wire": "score of this change is nan, which is no number to compare",
    "garbage": "metrics.json is no JSON",
    "not-numbers": "metrics.json: score, other no number",
    "no-metric": "this change has no metric score",
    "own-run-deleted": "the run of step train was deleted",
    "metrics-is-a-folder": "metrics.json is no plain file",
}


@pytest.mark.parametrize("name", NO_EVIDENCE)
def test_missing_evidence_never_passes_and_says_what_is_missing(ended: dict[str, Ended], name: str) -> None:
    case = ended[name]
    verdict = case.stage.result(case.job).verdict
    assert verdict is not None
    assert not verdict.allows_merge
    assert NO_EVIDENCE[name] in case.report


def test_a_flooded_log_is_cut_with_a_mark_and_harms_nothing(ended: dict[str, Ended]) -> None:
    case = ended["flood"]
    (attempt,) = case.stage.attempts(case.job)
    assert (Path(attempt.directory) / "log").stat().st_size < 2 << 20
    assert "log cut here: it reached 1 MB; raise HEADWAY_LOG_LIMIT_MB to keep more" in case.stage.log(case.job)
    assert case.stage.result(case.job).metrics["score"] == 0.5


def test_no_child_of_a_fork_bomb_is_left(ended: dict[str, Ended]) -> None:
    """Its 30 children would sleep for half a minute; the tree dies as one."""
    (attempt,) = ended["forks"].stage.attempts(ended["forks"].job)
    alive = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            alive.append(cmdline.read_text())
    assert not [line for line in alive if attempt.id in line]
