"""What every run of the tests ends with: how many of the published attacks were refused, and by which number."""

from __future__ import annotations

import os
from typing import Any


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
