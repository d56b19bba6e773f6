"""Fuzz with atheris, which `make fuzz` installs into an environment of its own.

    .fuzz/bin/python tests/fuzz/run.py [--seconds 30] [TARGET ...]

Each target gets that long in a process of its own. What is found is kept once per place that raised, the run goes on,
and at the end every finding stands with its input in .fuzz/findings; put it into tests/fuzz/corpus once it is mended.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".fuzz"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
sys.path.insert(0, str(ROOT / "tests"))


def say(line: str) -> None:
    """Tell it at once, also through a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def fuzz(name: str, seconds: int) -> None:
    """Run one target in this process until its time is over."""
    import atheris

    with atheris.instrument_imports(include=["headway", "fuzz"]):
        from fuzz.targets import TARGETS
    target = TARGETS[name]
    seen: set[str] = set()

    def once(data: bytes) -> None:
        try:
            target(data)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what we look for
            last = traceback.extract_tb(error.__traceback__)[-1]
            ours = [each for each in traceback.extract_tb(error.__traceback__) if "/headway/" in each.filename]
            where = f"{type(error).__name__} at {[f'{Path(e.filename).name}:{e.lineno}' for e in (*ours[-1:], last)]}"
            if where not in seen:
                seen.add(where)
                kept = WORK / "findings" / f"{name}-{hashlib.sha256(where.encode()).hexdigest()[:10]}"
                kept.write_bytes(data)
                kept.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))
                say(f"FINDING {where}: {error!s:.200} -> {kept}")

    grown = WORK / "corpus" / name
    grown.mkdir(parents=True, exist_ok=True)
    words = WORK / f"{name}.dict"
    words.write_text("".join(f'"{each}"\n' for each in sorted(dictionary())))
    options = [
        *(f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1500", "-max_len=4096", "-print_final_stats=1"),
        *(f"-dict={words}", f"-artifact_prefix={WORK}/findings/{name}-hard-", "-verbosity=1"),
    ]
    atheris.Setup([sys.argv[0], *options, str(grown), str(CORPUS / name)], once)
    atheris.Fuzz()


def dictionary() -> set[str]:
    """Return the words of all languages that are fuzzed, as libFuzzer escapes them."""
    import msgspec

    from fuzz.targets import _routes
    from headway.projects.schema import project_schema

    words = {field.name for route in _routes().values() for field in msgspec.structs.fields(route.message)}
    words |= set(_routes())
    words |= set(re.findall(r'"([\w$-]{2,30})"', msgspec.json.encode(project_schema()).decode()))
    words |= {
        "AND",
        "LIKE",
        "ILIKE",
        "IN",
        "NOT",
        "IS",
        "NULL",
        "metrics.",
        "params.",
        "tags.",
        "attributes.",
        "datasets.",
        "ASC",
        "DESC",
        "NaN",
        "Infinity",
    }
    words |= {
        "runs:/",
        "models:/",
        "mlflow-artifacts:/",
        "../",
        "%2e",
        "%00",
        "/train ",
        "/deploy ",
        "created_at",
        "null",
    }
    words |= {
        "1e400",
        "9223372036854775808",
        "-1",
        "{R}",
        "[[",
        "{}",
        "2026-01-01T00:00:00Z",
        "\\x00",
        "\\xed\\xa0\\x80",
    }
    return words


def main() -> None:
    """Run the targets one after the other and print what was done."""
    ask = argparse.ArgumentParser()
    ask.add_argument("targets", nargs="*")
    ask.add_argument("--seconds", type=int, default=30)
    ask.add_argument("--one", action="store_true")
    asked = ask.parse_args()
    if asked.one:
        fuzz(asked.targets[0], asked.seconds)
        return
    (WORK / "findings").mkdir(parents=True, exist_ok=True)
    names = asked.targets or sorted(each.name for each in CORPUS.iterdir())
    total, findings = 0, 0
    for name in names:
        command = [sys.executable, __file__, "--one", name, "--seconds", str(asked.seconds)]
        done = subprocess.run(command, capture_output=True, timeout=asked.seconds + 300, check=False)
        told = (done.stdout + done.stderr).decode("utf-8", "replace")
        found = [line for line in told.splitlines() if line.startswith("FINDING")]
        count = re.search(r"number_of_executed_units: (\d+)", told)
        covered = re.findall(r"cov: (\d+)", told)
        if done.returncode and not count:
            found.append(f"FINDING it ended with {done.returncode}: {told[-1500:]}")
        elif done.returncode:
            found.append(f"FINDING hard: {' '.join(re.findall(r'.*ERROR:.*|.*Test unit written.*', told))}")
        total += int(count[1]) if count else 0
        findings += len(found)
        say(f"{name:15} {count[1] if count else '?':>9} executions, {covered[-1] if covered else '?':>6} edges")
        for line in found:
            say("  " + line)
    say(f"{total} executions, {findings} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
