from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
from headway.logs import configure, logger
configure(process="worker")
log = logger()
log.info("started", url="http://127.0.0.1", attempts=3)
log.debug("not shown")
log.warning("odd", name="a\\nb\\x1b[31m\\u202egnp")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed", loop="jobs")
"""


def _lines() -> list[dict[str, object]]:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines_are_json_on_standard_error_with_level_and_time():
    started, odd, failed = _lines()
    assert started["event"] == "started"
    assert started["level"] == "info"
    assert started["attempts"] == 3
    assert str(started["timestamp"]).endswith("Z")
    assert [odd["level"], failed["level"]] == ["warning", "error"]


def test_a_value_can_neither_forge_a_line_nor_move_the_cursor():
    _, odd, _ = _lines()
    assert odd["name"] == "a�b�[31m�gnp"


def test_an_exception_comes_with_its_traceback():
    *_, failed = _lines()
    assert "ZeroDivisionError" in str(failed["exception"])
    assert failed["loop"] == "jobs"
