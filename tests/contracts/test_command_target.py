"""The team's own script keeps the promises of a target."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.target import NAME, TargetContract
from headway.errors import UsageError
from headway.projects.model import DeploySpec
from headway.serving.command import CommandTarget
from headway.serving.model import Deployment, Route
from serving.models import deployment, route

SCRIPT = """
import json, os, pathlib, sys
model = pathlib.Path(os.environ["HEADWAY_MODEL_PATH"])
here = pathlib.Path(".")
with open("calls.jsonl", "a") as stream:
    stream.write(json.dumps({k: v for k, v in os.environ.items() if k.startswith("HEADWAY_")}) + "\\n")
print("putting version", os.environ["HEADWAY_MODEL_VERSION"], "at", os.environ["HEADWAY_WEIGHT"], "%", flush=True)
if model.name == "bad":
    print("the weights are damaged")
    sys.exit(3)
print("https://models.example/demo")
"""


class TestCommandTarget(TargetContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        (tmp_path / "ship.py").write_text(SCRIPT)
        self.spec = DeploySpec(target="command", command=f"{sys.executable} ship.py --to 'the cluster'")

    @pytest.fixture
    def target(self, tmp_path: Path) -> CommandTarget:
        return CommandTarget(tmp_path / "deployments")

    def good(self, version: int, weight: int = 100) -> Route:
        return route(version, weight, self.folder / f"good{version}")

    def bad(self, version: int, weight: int = 100) -> Route:
        return route(version, weight, self.folder / "bad")

    def wanted(self, *routes: Route, revision: int = 1) -> Deployment:
        plain = deployment(*routes, revision=revision, spec=self.spec)
        return replace(plain, target="command", workdir=str(self.folder))

    def restarted(self, target: CommandTarget) -> CommandTarget:
        return CommandTarget(target.root)

    def calls(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]

    def test_the_script_is_told_what_to_put_where(self, target: CommandTarget) -> None:
        seen = self.apply(target, self.wanted(self.good(2, 10), self.good(1, 90)))
        assert seen.url == "https://models.example/demo"
        call = self.calls()[0]
        assert call["HEADWAY_MODEL_PATH"].endswith("good2")
        assert (call["HEADWAY_MODEL"], call["HEADWAY_MODEL_VERSION"], call["HEADWAY_WEIGHT"]) == ("adder", "2", "10")
        assert (call["HEADWAY_DEPLOYMENT"], call["HEADWAY_ENVIRONMENT"]) == (NAME, "production")
        assert [one["weight"] for one in json.loads(call["HEADWAY_ROUTES"])] == [10, 90]

    def test_the_script_runs_once_per_revision_also_over_a_restart(self, target: CommandTarget) -> None:
        broken = self.wanted(self.bad(2))
        target.apply(broken)
        self.wait(target, lambda seen: seen.versions.get(2, "").startswith("failed"), wanted=broken)
        again = self.restarted(target)
        for _ in range(5):
            again.apply(broken)
            again.observe(NAME)
        assert len(self.calls()) == 1

    def test_the_same_shares_again_need_no_script(self, target: CommandTarget) -> None:
        self.apply(target, self.wanted(self.good(2), self.good(1, 0)))
        seen = self.apply(target, self.wanted(self.good(2), revision=2))
        assert seen.revision == 2
        assert len(self.calls()) == 1

    def test_a_failure_shows_the_exit_status_and_the_last_lines(self, target: CommandTarget) -> None:
        broken = self.wanted(self.bad(2))
        target.apply(broken)
        seen = self.wait(target, lambda seen: seen.versions.get(2, "").startswith("failed"), wanted=broken)
        assert "exit status 3" in seen.versions[2]
        assert "damaged" in seen.message
        assert target.logs(NAME, 2) == ["the weights are damaged", "[revision 1: exit status 3]"]

    def test_a_script_that_hangs_is_ended(self, tmp_path: Path) -> None:
        target = CommandTarget(tmp_path / "deployments", time_limit=0.3)
        self.spec = DeploySpec(target="command", command=f"{sys.executable} -c 'import time; time.sleep(1000)'")
        wanted = self.wanted(self.good(1))
        target.apply(wanted)
        seen = self.wait(target, lambda seen: seen.versions.get(1, "").startswith("failed"), wanted=wanted)
        assert "ended after 0.3 s" in seen.versions[1]

    def test_the_status_command_says_whether_it_answers(self, target: CommandTarget) -> None:
        state = self.folder / "state"
        state.write_text("1")
        code = f"import sys, pathlib; c = int(pathlib.Path(r'{state}').read_text()); print('pods: 0 of 2'); sys.exit(c)"
        self.spec = replace(self.spec, status_command=f'{sys.executable} -c "{code}"')
        wanted = self.wanted(self.good(1))
        target.apply(wanted)
        seen = self.wait(target, lambda seen: seen.revision == 1 and "status command" in seen.message, wanted=wanted)
        assert not seen.ready
        assert "pods: 0 of 2" in seen.message

    def test_the_status_command_may_tell_counters(self, target: CommandTarget) -> None:
        told = {"url": "http://other", "counters": [{"version": 1, "requests": 50, "errors": 2}]}
        (self.folder / "status.py").write_text(f"print('some words')\nprint({json.dumps(json.dumps(told))})\n")
        self.spec = replace(self.spec, status_command=f"{sys.executable} status.py")
        wanted = self.wanted(self.good(1))
        target.apply(wanted)
        seen = self.wait(target, lambda seen: bool(seen.counters), wanted=wanted)
        assert (seen.url, seen.counters[0].requests, seen.counters[0].errors) == ("http://other", 50, 2)

    def test_a_deployment_without_a_command_is_refused(self, target: CommandTarget) -> None:
        self.spec = DeploySpec(target="command")
        with pytest.raises(UsageError, match="no deploy command"):
            target.apply(self.wanted(self.good(1)))

    def test_scripts_see_no_secret_of_the_server(self, target: CommandTarget, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEADWAY_SECRET_KEY", "planted")
        self.apply(target, self.wanted(self.good(1)))
        assert "planted" not in json.dumps(self.calls())

    def test_a_second_revision_waits_for_the_script_of_the_first(self, target: CommandTarget) -> None:
        self.spec = DeploySpec(
            target="command", command=f"{sys.executable} -c 'import time; time.sleep(0.5); print(time.time())'"
        )
        target.apply(self.wanted(self.good(1)))
        while not target.logs(NAME, 5) and not (target.root / NAME / "runs" / "000000001" / "started").exists():
            time.sleep(0.02)
        second = self.wanted(self.good(2), revision=2)
        target.apply(second)
        assert not (target.root / NAME / "runs" / "000000002").exists()
        seen = self.wait(target, lambda seen: seen.revision == 2, wanted=second)
        assert seen.versions == {2: "ready"}
