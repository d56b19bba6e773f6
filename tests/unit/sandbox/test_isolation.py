"""What is said of a machine: the level that the self-test proved, or plainly what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.errors import Refused
from headway.sandbox import isolation
from headway.sandbox.isolation import probe_isolation


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_machine_that_holds_is_proved_by_its_probes(tmp_path: Path) -> None:
    report = probe_isolation(tmp_path / "scratch")
    if report.level < 2:
        pytest.skip("; ".join(report.reasons))
    assert report.reasons == ()
    assert len(report.probes) >= 12
    assert all(probe.passed for probe in report.probes)
    assert report.facts is not None
    assert list((tmp_path / "scratch").iterdir()) == []


def test_without_bubblewrap_the_way_to_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = probe_isolation(tmp_path / "scratch")
    assert report.level == 0
    assert report.reasons[0] == "bubblewrap is not installed"
    assert "apt install bubblewrap" in report.hint
    assert report.facts is None


def test_a_bubblewrap_that_may_not_work_says_what_it_said(tmp_path: Path) -> None:
    program = script(tmp_path / "bwrap", "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    report = probe_isolation(tmp_path / "scratch", program=program)
    assert report.level == 0
    assert "setting up uid map: Permission denied" in report.reasons[0]
    assert "apparmor_restrict_unprivileged_userns" in report.hint


def test_a_sandbox_with_a_hole_is_no_sandbox(tmp_path: Path) -> None:
    # Runs the self-test without any wall: everything after `--`, in the folder that `--chdir` would name.
    program = script(
        tmp_path / "bwrap",
        'while [ "$1" != -- ]; do shift; done; shift; cd "$(ls -d '
        + str(tmp_path)
        + '/scratch/selftest-*/box/work)"; exec "$@"',
    )
    report = probe_isolation(tmp_path / "scratch", program=program)
    assert report.level == 0
    failed = {probe.name for probe in report.probes if not probe.passed}
    assert {
        "other processes are invisible",
        "no environment of another process can be read",
        "the data directory cannot be read",
        "other files of the user cannot be read",
        "servers on this machine cannot be reached",
        "abstract sockets cannot be reached",
        "no privileges can be gained",
        "system calls are filtered",
        "no signals reach other processes",
    } <= failed
    assert any("the data directory cannot be read" in reason for reason in report.reasons)


def test_an_answer_that_is_no_answer_is_no_proof(tmp_path: Path) -> None:
    report = probe_isolation(tmp_path / "scratch", program=script(tmp_path / "bwrap", "echo hello"))
    assert report.level == 0


def test_elsewhere_than_on_linux_it_is_l0(tmp_path: Path) -> None:
    report = probe_isolation(tmp_path, platform="darwin")
    assert report.level == 0
    assert "darwin" in report.reasons[0]
    assert report.hint


def test_a_wish_is_respected_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe_isolation(tmp_path, wanted=0).level == 0
    monkeypatch.setattr(isolation.shutil, "which", lambda _: None)
    with pytest.raises(Refused, match="HEADWAY_ISOLATION=2") as refusal:
        probe_isolation(tmp_path, wanted=2)
    assert "bubblewrap is not installed" in refusal.value.cause
