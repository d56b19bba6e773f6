"""GitHub Actions over `headway ci`: the workflows of the documentation are run, step by step, with real processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import CONFIG, TRAIN, Terminal
from fakes.github.server import ACTIONS, ACTIONS_TOKEN, FakeGitHub, running
from fakes.github.world import NAME
from fakes.workflow import ACTIONS as FOLDER
from fakes.workflow import ROOT, Runner, blocks, load, read_outputs

PAGE = ROOT / "docs" / "how-to" / "github-actions.md"
BETTER = TRAIN.replace("0.7 + args.lr", "0.8 + args.lr")


class Checkout:
    """A repository at the fake, and a clone of it as actions/checkout leaves one."""

    def __init__(self, fake: FakeGitHub, folder: Path) -> None:
        self.fake, self.folder = fake, folder
        self.terminal = Terminal(folder / "clone" / ".headway", folder / "clone")
        fake.world.commit("main", {"headway.yaml": CONFIG, "train.py": TRAIN, ".gitignore": ".headway/\n"})
        fake.world.grant("ada", "write")
        fake.world.grant("eve", "read")
        self._clone()
        (folder / "tmp").mkdir()

    def _clone(self) -> None:
        clone = self.folder / "clone"
        self.fake.world.git.git("symbolic-ref", "HEAD", "refs/heads/main")
        subprocess.run(
            ["git", "clone", "-q", str(self.fake.world.git.folder), str(clone)], check=True, capture_output=True
        )
        self.terminal.git("remote", "set-url", "origin", f"{self.fake.world.base}/{NAME}.git")

    def change(self, branch: str = "better", *, from_fork: bool = False) -> int:
        self.fake.world.commit(branch, {"train.py": BETTER})
        number = self.fake.world.open_pull(branch, from_fork=from_fork).number
        self.fake.world.pass_time(15)
        return number

    def head(self, number: int) -> str:
        return self.fake.world.head(self.fake.world.pulls[number])

    def runner(self, event: str, payload: dict[str, Any], sha: str = "") -> Runner:
        environment = self.terminal.environment(
            PATH=f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            GITHUB_REPOSITORY=NAME,
            GITHUB_API_URL=self.fake.url,
            GITHUB_SERVER_URL=self.fake.world.base,
            GITHUB_SHA=sha or self.fake.world.branches["main"],
        )
        del environment["HEADWAY_DATA"]
        return Runner(
            workspace=self.folder / "clone",
            temp=self.folder / "tmp",
            event=event,
            payload=payload,
            token=ACTIONS_TOKEN,
            environment=environment,
        )

    def commented(self, number: int, author: str, body: str) -> Runner:
        self.fake.world.comment(number, author, body)
        return self.runner("issue_comment", self.fake.world.deliveries[-1].payload)

    def take(self, number: int, author: str, body: str) -> dict[str, str]:
        runner = self.commented(number, author, body)
        step = {"uses": "headway/headway/actions/take-command@v0.1", "id": "take"}
        assert runner.run({"jobs": {"one": {"steps": [step]}}}), runner.steps[-1].out
        return runner.steps[-1].outputs


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with running(tmp_path / "github.git") as fake:
        found = Checkout(fake, tmp_path)
        try:
            yield found
        finally:
            found.terminal.stop_server()
        assert fake.problems == []


def workflow(name: str) -> dict[str, Any]:
    (found,) = [load(text) for text in blocks(PAGE) if f"\nname: {name}\n" in f"\n{text}"]
    return found


# --- the files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", sorted(each.parent.name for each in FOLDER.glob("*/action.yml")))
def test_an_action_has_what_github_asks_for_and_puts_no_event_into_a_script(folder: str) -> None:
    """Rule 25: text of a comment goes through the environment, never into a script."""
    action = load((FOLDER / folder / "action.yml").read_text())
    assert {"name", "description", "inputs", "outputs", "runs"} <= set(action)
    assert action["runs"]["using"] == "composite"
    for name, each in action["inputs"].items():
        assert each["description"] and isinstance(each["required"], bool), name
        assert each["required"] or "default" in each, name
    ids = {each.get("id") for each in action["runs"]["steps"]}
    for name, each in action["outputs"].items():
        found = re.fullmatch(r"\$\{\{ steps\.([\w-]+)\.outputs\.([\w-]+) \}\}", each["value"])
        assert found and found[1] in ids and found[2] == name and each["description"]
    for step in action["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], f"{folder}: an expression in a script can be made a command"


def test_workflows_of_the_page_put_no_event_into_a_script() -> None:
    texts = [load(text) for text in blocks(PAGE)]
    assert len(texts) == 3
    for found in texts:
        assert found["permissions"], "a workflow without permissions has all of them"
        for job in found["jobs"].values():
            assert all("${{" not in step.get("run", "") for step in job["steps"])


# --- the story --------------------------------------------------------------------------------------


def test_the_pages_workflows_train_a_change_and_report_it(checkout: Checkout) -> None:
    """No server anywhere: main makes the baseline, a comment trains the change, one comment stands at GitHub."""
    main = checkout.runner("push", {"ref": "refs/heads/main"})
    assert main.run(workflow("headway-main")), main.steps[-1].out
    trained = next(each for each in main.steps if "train" in each.name and "passed" in each.outputs)
    assert trained.outputs["passed"] == "true" and trained.outputs["job"] == "1", trained.out
    assert "val_auc" in main.summary

    number = checkout.change()
    sha = checkout.head(number)
    runner = checkout.commented(number, "ada", "/train")
    assert runner.run(workflow("headway")), runner.steps[-1].out
    outputs = {key: value for each in runner.steps for key, value in each.outputs.items()}
    assert outputs["accepted"] == "true" and outputs["command"] == "/train"
    assert outputs["sha"] == sha and outputs["base"] == checkout.fake.world.branches["main"]
    assert outputs["passed"] == "true" and json.loads(outputs["metrics"])["val_auc"] == pytest.approx(0.81)
    assert "0.81" in outputs["markdown"] and outputs["count"] == "1"

    world = checkout.fake.world
    ours = [each for each in world.comments.values() if each.author == ACTIONS]
    assert len(ours) == 1 and "0.81" in ours[0].body and "127.0.0.1" not in ours[0].body.replace(world.base, "")
    said = [each for each in world.comments.values() if each.author == "ada"]
    assert [content for _, content in said[0].reactions] == ["eyes"]
    statuses = [(each["context"], each["state"]) for each in world.statuses if each["sha"] == sha]
    assert statuses == [("headway/tiny", "pending"), ("headway/tiny", "success")]

    # Other values than the commit's file has: tried, told in the same comment, and nothing about the merge.
    again = checkout.commented(number, "ada", "/train lr=0.2")
    assert again.run(workflow("headway")), again.steps[-1].out
    other = {key: value for each in again.steps for key, value in each.outputs.items()}
    assert other["passed"] == "false" and json.loads(other["metrics"])["val_auc"] == pytest.approx(0.82)
    assert len([each for each in world.comments.values() if each.author == ACTIONS]) == 1
    statuses = [(each["context"], each["state"]) for each in world.statuses if each["sha"] == sha]
    assert ("headway/tiny/other-values", "pending") in statuses
    assert [state for context, state in statuses if context == "headway/tiny"] == ["pending", "success"]

    everything = "".join(each.out + json.dumps(each.outputs) for each in (*main.steps, *runner.steps)) + runner.summary
    assert ACTIONS_TOKEN not in everything
    for path in (checkout.folder / "clone").rglob("*"):
        if path.is_file():
            assert ACTIONS_TOKEN.encode() not in path.read_bytes(), path


# --- who and which commit ---------------------------------------------------------------------------


def test_comments_are_taken_by_the_rules_of_the_door(checkout: Checkout) -> None:
    world, number = checkout.fake.world, checkout.change()
    sha = checkout.head(number)
    assert checkout.take(number, "ada", "looks good to me")["state"] == "ignored"
    assert checkout.take(number, "ada", "> /train")["state"] == "ignored"
    reader = checkout.take(number, "eve", "/train")
    assert reader["state"] == "refused" and "write" in reader["reason"] and reader["sha"] == ""
    assert checkout.take(number, "mallory", "/train")["state"] == "refused"
    assert "lr" in checkout.take(number, "ada", "/train lr")["reason"]
    assert "One command" in checkout.take(number, "ada", "/train\n/deploy")["reason"]
    named = checkout.take(number, "ada", f"/train @{sha}")
    assert named["accepted"] == "true" and named["command"] == "/train" and named["sha"] == sha
    refusals = [each for each in world.comments.values() if each.author == ACTIONS]
    assert refusals and all(each.body.startswith("<!-- headway:answer") for each in refusals)


def test_a_push_just_before_the_comment_is_not_what_its_author_saw(checkout: Checkout) -> None:
    """Rule 12: the head must be older than the comment by GitHub's own clock; else the comment must name it."""
    number = checkout.change()
    checkout.fake.world.pass_time(60)
    checkout.fake.world.commit("better", {"train.py": BETTER + "# swapped\n"}, actor="mallory")
    late = checkout.take(number, "ada", "/train")
    assert late["state"] == "refused" and f"/train @{checkout.head(number)}" in late["reason"]
    checkout.fake.world.activities.clear()
    checkout.fake.world.pass_time(60)
    assert checkout.take(number, "ada", "/train")["state"] == "refused"  # nobody knows when it was pushed
    assert checkout.take(number, "ada", f"/train @{checkout.head(number)}")["accepted"] == "true"


def test_github_that_does_not_answer_is_a_refusal(checkout: Checkout) -> None:
    """Rule 10: what nobody vouches for is not allowed."""
    number = checkout.change()
    checkout.fake.fail("GET", "/collaborators/", status=502, times=5)
    assert checkout.take(number, "ada", "/train")["state"] == "refused"


@pytest.mark.parametrize("event", ["workflow_dispatch", "an_event_of_tomorrow"])
def test_a_fork_that_somebody_names_by_hand_does_not_run_beside_secrets_either(checkout: Checkout, event: str) -> None:
    """Rule 14: GitHub withholds secrets from forks under pull_request alone; every other event has them."""
    number = checkout.change(from_fork=True)
    runner = checkout.runner(event, {})
    step = {"uses": "headway/headway/actions/train@v0.1", "with": {"change": str(number)}}
    assert not runner.run({"jobs": {"one": {"steps": [step]}}})
    assert "pwn request" in runner.steps[-1].out and event in runner.steps[-1].out
    assert not (checkout.folder / "clone" / ".headway").exists()


@pytest.mark.parametrize("event", ["pull_request_target", "issue_comment"])
def test_code_of_a_fork_never_runs_beside_secrets(checkout: Checkout, event: str) -> None:
    """Rules 14 and 21: refused whoever asks, naming the rule, and nothing is trained."""
    number = checkout.change(from_fork=True)
    world, sha = checkout.fake.world, checkout.head(number)
    payload = {"pull_request": world.pull_facts(world.pulls[number])}
    if event == "issue_comment":
        assert checkout.take(number, "ada", "/train")["state"] == "refused"  # rule 13: a fork's commit is named whole
        taken = checkout.take(number, "ada", f"/train @{sha}")
        assert taken["accepted"] == "true" and taken["from-fork"] == "true"
        payload = world.deliveries[-1].payload
    runner = checkout.runner(event, payload)
    step = {"uses": "headway/headway/actions/train@v0.1", "with": {"change": str(number), "sha": sha}}
    assert not runner.run({"jobs": {"one": {"steps": [step]}}})
    assert "pwn request" in runner.steps[-1].out and event in runner.steps[-1].out
    assert not (checkout.folder / "clone" / ".headway").exists()
    without = checkout.runner(event, payload)
    without.token = ""
    assert not without.run({"jobs": {"one": {"steps": [step]}}})
    assert "it must be known whose code runs" in without.steps[-1].out


def test_a_fork_is_trained_where_there_are_no_secrets(checkout: Checkout) -> None:
    """The page's third workflow, on a checkout as GitHub makes it: detached, without a branch."""
    number = checkout.change(from_fork=True)
    world, sha = checkout.fake.world, checkout.head(number)
    checkout.terminal.git("checkout", "-q", "--detach")
    checkout.terminal.git("branch", "-D", "main")
    runner = checkout.runner("pull_request", {"pull_request": world.pull_facts(world.pulls[number])})
    assert runner.run(workflow("headway-fork")), runner.steps[-1].out
    outputs = {key: value for each in runner.steps for key, value in each.outputs.items()}
    assert outputs["sha"] == sha and json.loads(outputs["metrics"])["val_auc"] == pytest.approx(0.81)
    assert "0.81" in runner.summary
    assert world.comments == {} and world.statuses == []


def test_a_head_that_moved_after_the_command_is_not_trained(checkout: Checkout) -> None:
    """Rule 16: what was taken was for another commit."""
    number = checkout.change()
    runner = checkout.commented(number, "ada", "/train")
    sha = checkout.head(number)
    checkout.fake.world.commit("better", {"train.py": BETTER + "# later\n"})
    step = {"uses": "headway/headway/actions/train@v0.1", "with": {"change": str(number), "sha": sha}}
    assert not runner.run({"jobs": {"one": {"steps": [step]}}})
    assert "superseded" in runner.steps[-1].out


# --- releasing ----------------------------------------------------------------------------------------

SHIPPED = """\
name: tiny
pipeline:
  steps:
    train: {run: python train.py, outputs: [model]}
metrics: {val_auc: maximize}
model: {name: tiny, path: model}
deploy:
  target: command
  command: sh ship.sh
  staging: false
  approval: {required: 0}
"""
MAKES = """\
import json, os
os.makedirs("model", exist_ok=True)
open("model/weights", "w").write("WEIGHTS")
json.dump({"val_auc": 0.8}, open("metrics.json", "w"))
"""
SHIP = """\
grep -q broken "$HEADWAY_MODEL_PATH/weights" && exit 7
cp "$HEADWAY_MODEL_PATH/weights" "SHELF"
echo https://shelf.example.com/tiny
"""


def shipping(checkout: Checkout, weights: str) -> Runner:
    """Run the steps that the page names on a push to main with these weights: train, then deploy."""
    script = SHIP.replace("SHELF", str(checkout.folder / "shelf"))
    files = {"headway.yaml": SHIPPED, "train.py": MAKES.replace("WEIGHTS", weights), "ship.sh": script}
    sha = checkout.fake.world.commit("main", files)
    checkout.terminal.git("fetch", "-q", str(checkout.fake.world.git.folder), "main")
    checkout.terminal.git("reset", "-q", "--hard", sha)
    runner = checkout.runner("push", {"ref": "refs/heads/main"}, sha)
    train = {"uses": "headway/headway/actions/train@v0.1", "id": "train", "with": {"post": "false"}}
    (deploy,) = [each for each in blocks(PAGE, "text") if "actions/deploy@" in each]
    steps = load("steps:\n" + textwrap.indent(deploy, "  "))["steps"]
    runner.passed = runner.run({"jobs": {"one": {"steps": [train, *steps]}}})
    return runner


def test_deploy_releases_what_was_trained_and_records_it(checkout: Checkout) -> None:
    """Rules 27 and 28 without a server: the whole commit, nothing merged, success, what it replaced inactive."""
    world = checkout.fake.world
    first = shipping(checkout, "one")
    assert first.passed, first.steps[-1].out
    second = shipping(checkout, "two")
    assert second.passed, second.steps[-1].out
    outputs = second.steps[-1].outputs
    sha = world.branches["main"]
    assert (outputs["deployed"], outputs["state"], outputs["environment"]) == ("true", "promoted", "production")
    assert (outputs["model"], outputs["version"], outputs["sha"]) == ("tiny", "2", sha)
    assert (checkout.folder / "shelf").read_text() == "two"
    assert "tiny v2 to production" in second.summary
    older, newer = sorted(world.deployments.values(), key=lambda each: int(each["id"]))
    assert (newer["sha"], newer["ref"], newer["auto_merge"]) == (sha, sha, False)
    told = {each: [one["state"] for one in world.deployment_statuses[each]] for each in (older["id"], newer["id"])}
    assert told == {older["id"]: ["in_progress", "success", "inactive"], newer["id"]: ["in_progress", "success"]}
    chain = newer["payload"]
    assert (chain["previous_deployment"], chain["model"], chain["version"]) == (str(older["id"]), "tiny", "2")
    assert (chain["job"], len(chain["run"]), len(chain["digest"])) == ("2", 32, 64)
    assert ACTIONS_TOKEN not in first.summary + second.summary + "".join(each.out for each in second.steps)

    # Rule 27: what did not come about is no success, in the step, its outputs and at GitHub; what served goes on.
    third = shipping(checkout, "broken")
    assert not third.passed
    assert "7" in third.steps[-1].out
    assert (third.steps[-1].outputs["deployed"], third.steps[-1].outputs["state"]) == ("false", "rolled_back")
    told = {each: [one["state"] for one in world.deployment_statuses[each]] for each in world.deployments}
    assert list(told.values())[1:] == [["in_progress", "success"], ["in_progress", "failure"]]
    assert (checkout.folder / "shelf").read_text() == "two"

    other = checkout.runner("push", {"ref": "refs/heads/main"})
    step = {"uses": "headway/headway/actions/deploy@v0.1", "with": {"job": "1", "sha": "a" * 40}}
    assert not other.run({"jobs": {"one": {"steps": [step]}}})
    assert f"job #1 is of {older['sha']}, not of {'a' * 40}" in other.steps[-1].out
    assert len(world.deployments) == 3


# --- putting Headway on the runner ------------------------------------------------------------------------


def install(tmp_path: Path, *, path: Path) -> tuple[subprocess.CompletedProcess[str], str]:
    added = tmp_path / "added"
    added.write_text("")
    environment = {"PATH": str(path), "RUNNER_TEMP": str(tmp_path), "GITHUB_PATH": str(added)}
    bash = shutil.which("bash") or "/bin/bash"
    done = subprocess.run(
        [bash, str(FOLDER / "install.sh")], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done, added.read_text()


def test_a_runner_that_has_headway_installs_nothing(tmp_path: Path) -> None:
    done, added = install(tmp_path, path=ROOT / ".venv" / "bin")
    assert (done.returncode, done.stdout, done.stderr, added) == (0, "", "", "")


def test_a_bare_runner_gets_headway_from_the_commit_of_the_actions(tmp_path: Path) -> None:
    """A Python that only writes down what it is asked stands for the runner's: no test asks a package index."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("dirname", "mkdir", "cat", "chmod"):
        (tools / name).symlink_to(shutil.which(name) or "")
    asked = tmp_path / "asked"
    inner = f'#!{shutil.which("bash")}\nprintf "%s\\n" "$@" >> "{asked}"\n'
    (tmp_path / "inner").write_text(inner)
    outer = f"""#!{shutil.which("bash")}
[ "$1 $2" = "-m venv" ] || exit 9
mkdir -p "$3/bin"
cat "{tmp_path / "inner"}" > "$3/bin/python"
chmod +x "$3/bin/python"
"""
    (tools / "python3").write_text(outer)
    (tools / "python3").chmod(0o755)
    done, added = install(tmp_path, path=tools)
    assert done.returncode == 0, done.stderr
    assert added == f"{tmp_path}/headway/bin\n"
    words = asked.read_text().split("\n")
    assert words[:3] == ["-m", "pip", "install"]
    assert words[-2] == str(ROOT), "no name that an index could answer with somebody else's package"


# --- any other CI -----------------------------------------------------------------------------------


def test_another_ci_says_everything_itself(headway: Terminal) -> None:
    sha = headway.git("rev-parse", "HEAD")
    words = ("ci", "take", "--comment", "/train lr=0.3", "--change", "7", "--sha", sha, "--actor", "ada", "--json")
    assert "nobody says what @ada may do" in headway(*words, code=1).json["message"]
    assert headway(*words, "--role", "read").json["state"] == "refused"
    taken = headway(*words, "--role", "write").json
    assert taken["accepted"] is True and taken["command"] == "/train lr=0.3" and taken["sha"] == sha
    trained = headway("ci", "train", "--comment", taken["command"], "--sha", sha, "--json", "--keep-going").json
    assert trained["metrics"]["val_auc"] == pytest.approx(0.73) and trained["sha"] == sha
    assert "0.73" in headway("ci", "report", "--sha", sha).out
    assert "full name of a commit" in headway(*words[:6], "--sha", "abc", "--actor", "ada", code=2).err
    assert "not one command that trains" in headway("ci", "train", "--comment", "/deploy 1", code=2).err


def test_outputs_cannot_be_forged_by_their_values(tmp_path: Path, headway: Terminal) -> None:
    output = tmp_path / "output"
    output.write_text("")
    sha = headway.git("rev-parse", "HEAD")
    evil = '/why "x"\naccepted=true\nverb<<EOF\ntrain\nEOF'
    headway(
        "ci", "take", "--comment", evil, "--change", "7", "--sha", sha, "--actor", "eve\naccepted=true",
        "--role", "read", GITHUB_OUTPUT=str(output),
    )  # fmt: skip
    found = read_outputs(output.read_text())
    assert found["actor"] == "eve\naccepted=true"
    assert set(found) == {
        "accepted", "state", "reason", "verb", "command", "project", "change", "sha", "base", "from-fork", "actor",
    }  # fmt: skip
