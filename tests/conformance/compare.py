"""Run the conformance suite against MLflow and against Headway, and print what each group came to.

    python tests/conformance/compare.py [mlflow headway ...] [-- pytest arguments]

The exit code is 0 only when every clause holds on MLflow and every clause that is not a deliberate difference holds on
each other server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_ABSENT = {"outcome": "not run", "why": "", "text": ""}
Tally = dict[str, dict[str, str]]


def run(name: str, extra: list[str]) -> Tally:
    """Run the suite against one server and return the outcome of each clause."""
    with tempfile.TemporaryDirectory() as folder:
        tally = Path(folder) / "tally.json"
        env = os.environ | {"CONFORMANCE_SERVER": name, "CONFORMANCE_TALLY": str(tally)}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:xdist",
            "-p",
            "no:randomly",
            "--no-header",
            "--tb=no",
        ]
        subprocess.run([*command, "-r", "", *(extra or [str(HERE)])], env=env, check=False, stdout=subprocess.DEVNULL)
        found: Any = json.loads(tally.read_text()) if tally.exists() else {}
        return found  # type: ignore[no-any-return]  # our own JSON


def show(tallies: dict[str, Tally]) -> bool:
    """Print the table and the differences; say whether all is as it should be."""
    groups: dict[str, list[str]] = {}
    for tally in tallies.values():
        for clause, told in tally.items():
            listed = groups.setdefault(told["group"], [])
            if clause not in listed:
                listed.append(clause)
    wide = max(map(len, groups), default=10)
    for group in sorted(groups):
        counts = [_count(tally, groups[group], name) for name, tally in tallies.items()]
        _say(f"{group:<{wide}}  {', '.join(counts)}")
    everything = [clause for listed in groups.values() for clause in listed]
    _say(f"{'all':<{wide}}  {', '.join(_count(t, everything, name) for name, t in tallies.items())}")
    is_good = bool(everything)
    for clause in everything:
        told = {name: tally.get(clause, _ABSENT) for name, tally in tallies.items()}
        outcomes = {name: each["outcome"] for name, each in told.items()}
        if set(outcomes.values()) <= {"passed"} or set(outcomes.values()) == {"skipped"}:
            continue
        is_good = is_good and set(outcomes.values()) <= {"passed", "departs"}
        why = next((each["why"] for each in told.values() if each["why"]), "")
        _say(f"  {clause.rpartition('conformance/')[2]}: {outcomes}" + (f"  ({why})" if why else ""))
        for name, each in told.items():
            if each["outcome"] == "failed":
                _say(f"    {name}: " + "\n        ".join(each["text"].strip().splitlines()[-4:]))
    return is_good


def _count(tally: Tally, clauses: list[str], name: str) -> str:
    good = sum(tally.get(clause, {}).get("outcome") == "passed" for clause in clauses)
    departs = sum(tally.get(clause, {}).get("outcome") == "departs" for clause in clauses)
    return f"{good} of {len(clauses)} {name}" + (f" ({departs} on purpose not)" if departs else "")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Compare the named servers."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    names, extra = arguments[:cut] or ["mlflow", "headway"], arguments[cut + 1 :]
    tallies: dict[str, Tally] = {}
    for name in names:
        _say(f"running against {name} ...")
        tallies[name] = run(name, extra)
    return 0 if show(tallies) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
