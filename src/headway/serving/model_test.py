"""Throw the team's own test at a version in staging: request files with expected answers, or a script."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from headway.projects.model import ModelTest
from headway.serving.rollout import Tested
from headway.serving.script_run import Script, ScriptRun, plain_environment, split_command

TOLERANCE = 1e-6
_MOST_CASES = 500
_MOST_BYTES = 4 << 20
_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request, what came back, and whether it was what the team expects."""

    name: str
    passed: bool
    answer: str
    expected: str = ""
    confidence: float | None = None
    milliseconds: float = 0.0
    problem: str = ""


def run_model_test(
    test: ModelTest, *, endpoint: str, checkout: Path, env_path: str, time_limit: float = 300.0
) -> Tested:
    """Run the test against `endpoint`; blocks at most `time_limit` seconds. Safe to repeat.

    `checkout` is the project's folder at the commit whose test counts: the base branch's.
    A test that finds no request file fails: no evidence is no success.
    """
    deadline = time.monotonic() + time_limit
    outputs: list[str] = []
    problems: list[str] = []
    if test.requests is not None:
        cases = list(_throw_files(test.requests, endpoint, checkout, deadline))
        outputs.append(table(cases))
        failed = [case for case in cases if not case.passed]
        if not cases:
            problems.append(f"no request file matches {test.requests}")
        elif failed:
            problems.append(f"{len(failed)} of {len(cases)} requests, first {failed[0].name}: {failed[0].problem}")
    if test.run is not None:
        problem, lines = _run_script(test.run, endpoint, checkout, env_path, deadline)
        outputs.append("\n".join(lines))
        problems += [problem] if problem else []
    if not outputs:
        problems.append("the test has neither requests nor run")
    return Tested(passed=not problems, reason="; ".join(problems), output="\n\n".join(one for one in outputs if one))


# --- request files ------------------------------------------------------------------------------------


def _throw_files(pattern: str, endpoint: str, checkout: Path, deadline: float) -> Iterator[Case]:
    with httpx.Client(base_url=endpoint, timeout=30, trust_env=False) as client:
        for path in _matching(pattern, checkout)[:_MOST_CASES]:
            name = str(path.relative_to(checkout.resolve()))
            for number, case in enumerate(_cases(path)):
                label = name if number == 0 else f"{name}#{number + 1}"
                if time.monotonic() > deadline:
                    yield Case(name=label, passed=False, answer="", problem="the test's time is over")
                    return
                yield _throw(client, label, case)


def _matching(pattern: str, checkout: Path) -> list[Path]:
    root = checkout.resolve()
    if Path(pattern).is_absolute():
        return []
    found = (path.resolve() for path in root.glob(pattern))
    # A link or `..` must not lead to files that are not the project's.
    return sorted(path for path in found if path.is_file() and root in path.parents)


def _cases(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return [f"larger than {_MOST_BYTES} bytes"]
        plain = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        return [f"not JSON: {error}"]
    return plain if isinstance(plain, list) else [plain]


def _throw(client: httpx.Client, name: str, case: Any) -> Case:
    if not isinstance(case, dict) or not isinstance(case.get("request"), dict):
        problem = case if isinstance(case, str) else "needs an object with `request`"
        return Case(name=name, passed=False, answer="", problem=problem)
    began = time.perf_counter()
    try:
        answer = client.post(
            _path(client, case["request"]), json=case["request"], headers={"X-Headway-Probabilities": "1"}
        )
        body: Any = msgspec.json.decode(answer.content)
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        return Case(name=name, passed=False, answer="", problem=f"no answer: {error}")
    milliseconds = (time.perf_counter() - began) * 1000
    if answer.status_code != 200:
        said = body.get("message") or body.get("error") if isinstance(body, dict) else ""
        problem = f"HTTP {answer.status_code}: {said}"
        return Case(name=name, passed=False, answer="", problem=problem, milliseconds=milliseconds)
    got = essence(body)
    problem = (
        difference(case["expect"], body if isinstance(case["expect"], dict) else got, _tolerance(case))
        if ("expect" in case)
        else ("" if not _has_gap(got) else "the answer has missing values")
    )
    return Case(
        name=name,
        passed=not problem,
        answer=_short(got),
        expected=_short(case["expect"]) if "expect" in case else "",
        confidence=confidence(body),
        milliseconds=milliseconds,
        problem=problem,
    )


def _path(client: httpx.Client, request: dict[str, Any]) -> str:
    inputs = request.get("inputs")
    if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict) and "datatype" in inputs[0]:
        return f"/v2/models/{client.get('/v2/models').json()['models'][0]}/infer"
    return "/invocations"


def _tolerance(case: dict[str, Any]) -> float:
    found = case.get("tolerance", TOLERANCE)
    return float(found) if isinstance(found, (int, float)) and math.isfinite(found) and found >= 0 else TOLERANCE


def essence(body: Any) -> Any:
    """Return what the model answered, without the protocol around it."""
    if isinstance(body, dict) and "predictions" in body:
        return body["predictions"]
    if isinstance(body, dict) and isinstance(body.get("outputs"), list):
        outputs = [one for one in body["outputs"] if one["name"] != "probabilities"]
        return outputs[0]["data"] if len(outputs) == 1 else {one["name"]: one["data"] for one in outputs}
    return body


def confidence(body: Any) -> float | None:
    """Return the mean probability of the most likely class, where the model tells."""
    if not isinstance(body, dict):
        return None
    rows = body.get("probabilities")
    try:
        found = [max(float(value) for value in row) for row in rows] if rows else []
    except (TypeError, ValueError):
        return None
    return sum(found) / len(found) if found else None


def difference(expected: Any, got: Any, tolerance: float) -> str:
    """Return how an answer differs from the expected one; empty when it does not.

    Numbers may differ by `tolerance`; an expected object may leave fields out.
    """
    if _is_number(expected) and _is_number(got):
        return "" if abs(expected - got) <= tolerance else f"{got} instead of {expected} (tolerance {tolerance:g})"
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{len(got)} values instead of {len(expected)}"
        return next((found for pair in zip(expected, got, strict=True) if (found := difference(*pair, tolerance))), "")
    if isinstance(expected, dict) and isinstance(got, dict):
        missing = [key for key in expected if key not in got]
        if missing:
            return f"{missing[0]} is missing"
        return next((found for key in expected if (found := difference(expected[key], got[key], tolerance))), "")
    return "" if type(expected) is type(got) and expected == got else f"{_short(got)} instead of {_short(expected)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _has_gap(value: Any) -> bool:
    if isinstance(value, list):
        return any(_has_gap(one) for one in value)
    return value is None


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def table(cases: list[Case]) -> str:
    """Return the answers as an aligned table for a fenced block."""
    rows = [("request", "answer", "expected", "confidence", "time", "result")]
    for case in cases:
        sure = "" if case.confidence is None else f"{case.confidence:.0%}"
        result = "passed" if case.passed else f"failed: {case.problem}"
        rows.append((case.name, case.answer, case.expected, sure, f"{case.milliseconds:.1f} ms", result))
    widths = [max(len(row[index]) for row in rows) for index in range(5)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:5], widths, strict=True)), row[5]]) for row in rows
    )


# --- a script ------------------------------------------------------------------------------------------


def _run_script(command: str, endpoint: str, checkout: Path, env_path: str, deadline: float) -> tuple[str, list[str]]:
    argv = split_command(command, "deploy.test.run")
    plain = plain_environment(None)
    environment = {
        **plain,
        "PATH": f"{env_path}/bin:{plain.get('PATH', '/usr/bin:/bin')}",
        "VIRTUAL_ENV": env_path,
        "HEADWAY_ENDPOINT": endpoint,
        "PYTHONUNBUFFERED": "1",
    }
    limit = max(1.0, deadline - time.monotonic())
    with tempfile.TemporaryDirectory(prefix="headway-test-", ignore_cleanup_errors=True) as folder:
        run = ScriptRun(Path(folder) / "run")
        process = run.start(Script(argv=_found(argv, env_path), cwd=str(checkout), env=environment, timeout=limit))
        process.wait()
        ended = run.ended
        lines = run.lines(200)
    if ended is None:
        return "the script's runner was lost", lines
    return ("" if ended.code == 0 else f"{argv[0]}: {ended.text}"), lines


def _found(argv: tuple[str, ...], env_path: str) -> tuple[str, ...]:
    # `python check.py` means the model's Python, whatever PATH the runner has.
    program = Path(env_path) / "bin" / argv[0]
    return (str(program), *argv[1:]) if "/" not in argv[0] and program.exists() else argv
