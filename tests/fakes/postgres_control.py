"""Starting, stopping and restarting the PostgreSQL server of the tests, where `tools/with-postgres` told how."""

from __future__ import annotations

import os
import shlex
import subprocess

CONTROL = os.environ.get("HEADWAY_TEST_POSTGRES_CTL", "")


def control(what: str, mode: str = "immediate") -> None:
    """Start, stop or restart the server; `immediate` is its kill -9."""
    how = [*shlex.split(CONTROL), "-s", what] + ([] if what == "start" else ["-m", mode])
    subprocess.run(how, check=True, cwd="/", stdout=subprocess.DEVNULL)
