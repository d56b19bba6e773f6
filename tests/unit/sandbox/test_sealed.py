"""A program in a box without a supervisor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headway.sandbox.command import WRITABLE, Box, Facts
from headway.sandbox.isolation import probe_isolation
from headway.sandbox.sealed import sealed


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    report = probe_isolation(tmp_path / "probe")
    if report.facts is None:
        pytest.skip("; ".join(report.reasons))
    return report.facts


def run(tmp_path: Path, facts: Facts, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    folder = tmp_path / "box"
    for name in WRITABLE:
        (folder / name).mkdir(parents=True, exist_ok=True)
    box = Box(directory=str(folder), cwd=str(folder / "work"), env_path=sys.prefix, network=False)
    with sealed(box, facts, [sys.executable, "-I", "-S", "-c", code], variables) as ready:
        assert not any("hidden" in each for each in ready.argv)
        return subprocess.run(
            ready.argv,
            env=ready.environment,
            pass_fds=ready.descriptors,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def test_it_has_its_variables_and_its_folder_and_nothing_else(tmp_path: Path, facts: Facts) -> None:
    code = "import os; print(dict(os.environ)); open('made', 'w').close(); print(os.path.exists('/etc/shadow'))"
    done = run(tmp_path, facts, code, NAME="hidden value")
    assert done.returncode == 0, done.stderr
    environment, shadow = done.stdout.splitlines()
    assert "'NAME': 'hidden value'" in environment
    assert "PATH" not in environment
    assert shadow == "False"
    assert (tmp_path / "box" / "work" / "made").exists()


def test_its_exit_code_is_its_own(tmp_path: Path, facts: Facts) -> None:
    assert run(tmp_path, facts, "import sys; sys.exit(7)").returncode == 7


def test_a_variable_of_the_loader_reaches_the_code_and_not_the_wall(tmp_path: Path, facts: Facts) -> None:
    done = run(tmp_path, facts, "import os; print(os.environ['LD_PRELOAD'])", LD_PRELOAD="/no/such/library.so")
    assert done.stdout == "/no/such/library.so\n"
