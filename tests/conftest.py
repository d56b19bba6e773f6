"""In which order the files are run, what of a failure's logs is shown, and the attacks that were refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

# What waits for processes comes first: a long file that is begun last would keep one worker busy after the others.
SLOW = tuple(
    str(Path(__file__).with_name(name)) + os.sep
    for name in ("cli", "flows", "serving", "contracts", "browser", "wire", "attacks")
)
SHOWN = 60  # lines at each end of what a failed test has logged


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow folders first, and leave the order as it is otherwise."""
    items.sort(key=lambda item: not str(item.path).startswith(SLOW))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    """Cut the middle out of long captured logs: the assertion must not drown (HEADWAY_WHOLE_LOGS=1 shows all)."""
    report = yield
    if not os.environ.get("HEADWAY_WHOLE_LOGS"):
        report.sections = [(name, _ends(text)) for name, text in report.sections]
    return report


def _ends(text: str) -> str:
    lines = text.splitlines(keepends=True)
    left_out = len(lines) - 2 * SHOWN
    if left_out <= 0:
        return text
    return "".join([*lines[:SHOWN], f"[{left_out} lines left out: HEADWAY_WHOLE_LOGS=1]\n", *lines[-SHOWN:]])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print 'N of N refused', with the whole table where HEADWAY_ATTACKS_TABLE asks for it (make attacks)."""
    refused: dict[str, list[str]] = {}
    broken: list[str] = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == "attack" and report.when == "call":
                    advisory, shown, status, is_refused = value
                    line = f"{advisory:22} {status or 'hung up':7} {shown[:110]!r}"
                    (refused.setdefault(advisory, []) if is_refused else broken).append(line)
    count = sum(map(len, refused.values()))
    if not count and not broken:
        return
    terminalreporter.section("attacks")
    if os.environ.get("HEADWAY_ATTACKS_TABLE"):
        for lines in dict(sorted(refused.items())).values():
            for line in lines:
                terminalreporter.write_line(line)
    for line in broken:
        terminalreporter.write_line("NOT REFUSED " + line)
    numbers = sum(name.startswith(("CVE-", "GHSA-")) for name in refused)
    terminalreporter.write_line(f"{count} of {count + len(broken)} refused, under {numbers} published numbers")
