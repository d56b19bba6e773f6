"""A small runner of GitHub workflows: the steps' scripts in their order, by bash, with files for outputs and summary.

It knows what the workflows of our documentation use: composite actions of this repository, `if`, `with`, `env`, and
expressions with contexts, `==`, `!=`, `&&`, `||`, `!` and `startsWith`. Actions of others are noted and left out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
ACTIONS = ROOT / "actions"
_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(&&|\|\||==|!=|[!(),])|([A-Za-z_][\w.-]*)|(\d+))")


def load(text: str) -> dict[str, Any]:
    found = YAML(typ="safe", pure=True).load(text)
    assert isinstance(found, dict)
    return found


def blocks(page: Path, kind: str = "yaml") -> list[str]:
    """Return the fenced blocks of a page, of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


class Expression:
    """An expression of a workflow, evaluated over contexts."""

    def __init__(self, text: str, contexts: dict[str, Any]) -> None:
        self.parts: list[tuple[str, str]] = []
        position = 0
        while position < len(text.rstrip()):
            found = _TOKEN.match(text, position)
            assert found, f"cannot read {text!r} at {position}"
            kind = ("text", "sign", "name", "number")[next(n for n in range(4) if found[n + 1] is not None)]
            self.parts.append((kind, found[found.lastindex or 0]))
            position = found.end()
        self.contexts = contexts

    def value(self) -> Any:
        found = self._or()
        assert not self.parts, self.parts
        return found

    def _take(self, sign: str) -> bool:
        if self.parts and self.parts[0] == ("sign", sign):
            self.parts.pop(0)
            return True
        return False

    def _or(self) -> Any:
        left = self._and()
        while self._take("||"):
            right = self._and()
            left = left or right
        return left

    def _and(self) -> Any:
        left = self._equal()
        while self._take("&&"):
            right = self._equal()
            left = left and right
        return left

    def _equal(self) -> Any:
        left = self._one()
        for sign in ("==", "!="):
            if self._take(sign):
                same = _plain(left) == _plain(self._one())
                return same if sign == "==" else not same
        return left

    def _one(self) -> Any:
        if self._take("!"):
            return not self._one()
        if self._take("("):
            found = self._or()
            assert self._take(")")
            return found
        kind, text = self.parts.pop(0)
        if kind == "text":
            return text.replace("''", "'")
        if kind == "number":
            return int(text)
        if self._take("("):
            given = [self._or()]
            while self._take(","):
                given.append(self._or())
            assert self._take(")") and text == "startsWith", text
            return _plain(given[0]).startswith(_plain(given[1]))
        found: Any = self.contexts
        for part in text.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found


def _plain(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def filled(text: Any, contexts: dict[str, Any]) -> str:
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: _plain(Expression(found[1], contexts).value()), _plain(text))


def holds(condition: Any, contexts: dict[str, Any]) -> bool:
    if condition is None:
        return True
    text = str(condition).strip().removeprefix("${{").removesuffix("}}")
    return bool(Expression(text, contexts).value())


@dataclass
class Step:
    """One script that was run."""

    name: str
    code: int
    out: str
    outputs: dict[str, str]


@dataclass
class Runner:
    """Runs the jobs of one workflow for one event."""

    workspace: Path
    temp: Path
    event: str
    payload: dict[str, Any]
    token: str
    environment: dict[str, str]
    steps: list[Step] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    summary: str = ""
    passed: bool = False  # for who runs it and hands it on

    def run(self, workflow: dict[str, Any]) -> bool:
        """Return whether every step went well; steps after one that failed are not run."""
        for job in workflow["jobs"].values():
            contexts = self._contexts()
            if not holds(job.get("if"), contexts):
                continue
            for number, step in enumerate(job["steps"]):
                if holds(step.get("if"), contexts) and not self._step(step, contexts, f"step-{number}"):
                    return False
        return True

    def _contexts(self) -> dict[str, Any]:
        return {
            "github": {
                "event_name": self.event,
                "event": self.payload,
                "token": self.token,
                "run_id": "1234",
                "workspace": str(self.workspace),
            },
            "steps": {},
            "runner": {"temp": str(self.temp)},
        }

    def _step(self, step: dict[str, Any], contexts: dict[str, Any], name: str) -> bool:
        if "uses" not in step:
            done = self._script(step, contexts, name, Path())
        elif "/actions/" in step["uses"]:
            done = self._action(step, contexts, name)
        else:
            self.foreign.append(step["uses"])
            return True
        contexts["steps"][step.get("id", name)] = {"outputs": done.outputs}
        return done.code == 0

    def _action(self, step: dict[str, Any], contexts: dict[str, Any], name: str) -> Step:
        folder = ACTIONS / step["uses"].partition("@")[0].rpartition("/")[2]
        action = load((folder / "action.yml").read_text())
        given = {key: filled(value, contexts) for key, value in step.get("with", {}).items()}
        assert set(given) <= set(action["inputs"]), f"{folder.name} takes no {set(given) - set(action['inputs'])}"
        missing = [key for key, each in action["inputs"].items() if each["required"] and key not in given]
        assert not missing, f"{folder.name} needs {missing}"
        defaults = {key: filled(each.get("default", ""), contexts) for key, each in action["inputs"].items()}
        inside = {**contexts, "inputs": {**defaults, **given}, "steps": {}}
        code, out = 0, ""
        for number, each in enumerate(action["runs"]["steps"]):
            done = self._script(each, inside, f"{name}-{folder.name}-{number}", folder)
            inside["steps"][each.get("id", str(number))] = {"outputs": done.outputs}
            code, out = done.code, out + done.out
            if code:
                break
        outputs = {key: filled(each["value"], inside) for key, each in action["outputs"].items()}
        return Step(folder.name, code, out, outputs)

    def _script(self, step: dict[str, Any], contexts: dict[str, Any], name: str, folder: Path) -> Step:
        script = filled(step["run"], contexts)
        output, summary = self.temp / f"{name}.output", self.temp / f"{name}.summary"
        for path in (output, summary):
            path.write_text("")
        event = self.temp / "event.json"
        event.write_text(json.dumps(self.payload))
        environment = {
            **self.environment,
            **{key: filled(value, contexts) for key, value in step.get("env", {}).items()},
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": self.event,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_PATH": os.devnull,
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_ACTION_PATH": str(folder),
            "GITHUB_RUN_ID": "1234",
            "RUNNER_TEMP": str(self.temp),
        }
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.workspace,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            stdin=subprocess.DEVNULL,
        )
        self.summary += summary.read_text()
        step_done = Step(name, done.returncode, done.stdout + done.stderr, read_outputs(output.read_text()))
        self.steps.append(step_done)
        return step_done


def read_outputs(text: str) -> dict[str, str]:
    """Read outputs as the runner of GitHub does: `name=value`, or `name<<MARK` up to a line that is MARK."""
    found: dict[str, str] = {}
    lines = text.split("\n")
    while lines:
        line = lines.pop(0)
        if not line:
            continue
        name, sign, rest = line.partition("<<")
        if sign and "=" not in name:
            value: list[str] = []
            while lines and lines[0] != rest:
                value.append(lines.pop(0))
            assert lines, f"{name} has no end"
            lines.pop(0)
            found[name] = "\n".join(value)
        else:
            name, _, value_text = line.partition("=")
            found[name] = value_text
    return found
