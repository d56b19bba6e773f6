"""Code that crashes, hangs, floods, forks, fills and hoards ends with the right word and leaves nothing alive."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from fakes.attempts import CLIENT, Attempts, processes_with, wait_until
from headway.engines.base import Alive, Exited, Isolation, Lost
from headway.engines.local import LocalEngine
from headway.errors import Refused, UsageError
from headway.projects.model import Resources
from headway.sandbox.isolation import IsolationReport, probe_isolation

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, IsolationReport]:
    return {"L0": IsolationReport(level=0), "L2": probe_isolation(tmp_path_factory.mktemp("probe"))}


@pytest.fixture(params=["L0", "L2"])
def report(request: pytest.FixtureRequest, levels: dict[str, IsolationReport]) -> IsolationReport:
    found = levels[request.param]
    if f"L{found.level}" != request.param:
        pytest.skip("; ".join(found.reasons))
    return found


@pytest.fixture
def attempts(tmp_path: Path, report: IsolationReport) -> Attempts:
    return Attempts(tmp_path, report)


@pytest.fixture
def best(tmp_path: Path, levels: dict[str, IsolationReport]) -> Attempts:
    """For what has nothing to do with walls: the level that people get."""
    return Attempts(tmp_path, levels["L2"])


@pytest.fixture
def marker() -> str:
    """An argument for `sleep` by which its process is found again."""
    return f"31536{secrets.randbelow(10**9):09d}"


def test_a_signal_becomes_128_and_its_number(best: Attempts) -> None:
    end = best.run("import os, signal; os.kill(os.getpid(), signal.SIGABRT)")
    assert (end.exit_code, end.reason) == (134, "")


def test_what_ignores_sigterm_is_killed_after_its_grace(attempts: Attempts) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(600)"
    handle = attempts.start(code, timeout=timedelta(seconds=0.7), grace=timedelta(seconds=0.5))
    end = attempts.end(handle)
    assert (end.exit_code, end.reason) == (137, "timeout")
    assert "[headway] stopped: it ran longer than 0.7 s" in attempts.text(handle)


def test_what_listens_to_sigterm_may_finish(attempts: Attempts) -> None:
    code = CLIENT + (
        "import signal\n"
        "def end(*_):\n    print('saved', flush=True); sys.exit(9)\n"
        "signal.signal(signal.SIGTERM, end); mark('ready'); time.sleep(600)"
    )
    handle = attempts.start(code, grace=timedelta(seconds=60))
    attempts.wait_for_mark(handle, "ready")
    attempts.engine.stop(handle)
    end = attempts.end(handle)
    assert (end.exit_code, end.reason) == (9, "cancelled")
    assert "saved" in attempts.text(handle)


def test_cancelling_reaches_grandchildren_in_sessions_of_their_own(attempts: Attempts, marker: str) -> None:
    code = CLIENT + (
        "import subprocess\n"
        "for _ in range(2):\n"
        f"    subprocess.Popen(['sh', '-c', 'setsid sleep {marker} & setsid sleep {marker} &'])\n"
        f"subprocess.Popen(['sleep', '{marker}'], start_new_session=True)\n"
        "mark('ready'); time.sleep(600)"
    )
    handle = attempts.start(code)
    attempts.wait_for_mark(handle, "ready")
    wait_until(lambda: len(processes_with(marker)) >= 5)
    attempts.engine.stop(handle)
    assert attempts.end(handle).reason == "cancelled"
    assert processes_with(marker) == []


def test_what_code_leaves_running_ends_with_it(attempts: Attempts, marker: str) -> None:
    code = f"import os, subprocess; subprocess.Popen(['sleep', '{marker}'], start_new_session=True); os._exit(0)"
    assert attempts.run(code).exit_code == 0
    assert processes_with(marker) == []


@pytest.mark.parametrize("victim", ["supervisor", "guard"])
def test_a_killed_supervisor_takes_the_tree_with_it(attempts: Attempts, marker: str, victim: str) -> None:
    code = CLIENT + (
        f"import subprocess; [subprocess.Popen(['sleep', '{marker}'], start_new_session=n > 1) for n in range(4)]\n"
        f"subprocess.Popen(['sh', '-c', 'setsid sleep {marker} &'])\n"
        "mark('ready'); time.sleep(600)"
    )
    handle = attempts.start(code)
    attempts.wait_for_mark(handle, "ready")
    wait_until(lambda: len(processes_with(marker)) >= 5)
    supervisor = attempts.started(handle)["pid"]
    if victim == "guard":
        (guard,) = children_of(supervisor)
        os.kill(guard, signal.SIGKILL)
        assert attempts.end(handle).exit_code == 137
    else:
        os.kill(supervisor, signal.SIGKILL)
        seen = attempts.wait(handle, lambda seen: not isinstance(seen, Alive))
        assert isinstance(seen, Lost)
        assert "supervisor" in seen.why
    # The lock is held until the last of them is dead: no waiting here.
    assert processes_with(marker) == []


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_reboot_makes_a_running_attempt_lost(best: Attempts) -> None:
    handle = best.start("import time; time.sleep(600)")
    best.wait_alive(handle)
    os.kill(best.started(handle)["pid"], signal.SIGKILL)
    best.wait(handle, lambda seen: isinstance(seen, Lost))
    rebooted = LocalEngine(best.root, isolation=best.engine._isolation, boot_id="another")
    assert "restarted" in rebooted.observe(handle).why


def test_many_starts_at_once_run_the_code_once(attempts: Attempts, report: IsolationReport) -> None:
    spec = attempts.spec("open('runs', 'a').write('x')")
    engines = [LocalEngine(attempts.root, isolation=report) for _ in range(6)]
    threads = [threading.Thread(target=engine.start, args=(spec,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert attempts.end(spec.id).exit_code == 0
    for engine in engines:
        engine.start(spec)
    assert (attempts.root / spec.id / "work" / "runs").read_text() == "x"


def test_a_stop_before_the_start_means_that_it_never_runs(best: Attempts) -> None:
    spec = best.spec("open('ran', 'w')")
    (best.root / spec.id / "stop").touch()
    assert best.end(best.engine.start(spec)).reason == "cancelled"
    assert not (best.root / spec.id / "work" / "ran").exists()


def test_a_program_that_is_not_there_is_said(attempts: Attempts) -> None:
    handle = attempts.start("", argv=("no-such-program", "--flag"))
    end = attempts.end(handle)
    assert end.reason == "launch"
    assert "no-such-program" in attempts.text(handle)


def test_a_flood_of_output_is_cut_and_holds_nothing_up(best: Attempts) -> None:
    handle = best.start("import os\nfor _ in range(400): os.write(1, b'x' * 99999 + b'\\n')", log_limit_mb=1)
    end = best.end(handle)
    assert (end.exit_code, end.reason) == (0, "")
    assert (best.root / handle / "log").stat().st_size < (1 << 20) + 1000
    text = best.text(handle)
    assert "[headway] log cut here: it reached 1 MB" in text
    assert "38,951,424 further bytes of output were dropped" in text


def test_output_without_line_ends_and_without_sense_is_read(best: Attempts) -> None:
    handle = best.start("import os; os.write(1, b'\\xff\\xfe' * 40000 + b'\\nlast')")
    best.end(handle)
    lines = [line.text for line in best.engine.logs(handle)]
    assert lines[-1] == "last"
    assert all(len(line) <= 65536 for line in lines)


# Doubles until it is stopped, but never beyond 2**9: a wall that fails must not take the machine along.
_BOMB = """
import os, time
depth = 0
end = time.monotonic() + 30
while time.monotonic() < end:
    try:
        if depth < 9 and os.fork() == 0:
            os.setsid()
            depth += 1
    except OSError:
        pass
    time.sleep(0.02)
"""
_HOARDER = "import subprocess, sys, time\nwhile True: subprocess.Popen(['sleep', sys.argv[1]]); time.sleep(0.01)"


@pytest.mark.parametrize("kind", ["bomb", "hoarder"])
def test_code_that_forks_without_end_is_bounded(
    tmp_path: Path, report: IsolationReport, kind: str, marker: str
) -> None:
    # A user's bomb is held by the kernel (control group, or RLIMIT_NPROC); root without control groups has
    # only the supervisor's watch, which is fast enough for anything that does not double.
    attempts = Attempts(tmp_path, report, cgroups=kind == "bomb")
    argv = ("python", "-I", "-S", "main.py", marker)
    code = _BOMB if kind == "bomb" else _HOARDER
    handle = attempts.start(code, argv=argv, resources=Resources(processes=40))
    end = attempts.end(handle)
    assert end.reason == "processes"
    assert "more than 40 processes" in attempts.text(handle)
    assert processes_with(marker) == []


@pytest.mark.parametrize("held_by", ["kernel", "watch"])
def test_a_memory_hog_is_stopped(tmp_path: Path, report: IsolationReport, held_by: str) -> None:
    attempts = Attempts(tmp_path, report, cgroups=held_by == "kernel")
    code = "import time\nhold = []\nwhile True:\n    hold.append(b'x' * 4_000_000); time.sleep(0.01)"
    handle = attempts.start(code, resources=Resources(memory_mb=120))
    end = attempts.end(handle)
    assert end.reason == "memory"
    assert end.exit_code == 137
    assert "120 MB of memory" in attempts.text(handle)
    assert end.peak_memory_mb > 50


def test_a_full_folder_stops_it(best: Attempts) -> None:
    code = (
        "import itertools, time\n"
        "for n in itertools.count():\n"
        "    with open(f'f{n}', 'wb') as f: f.write(b'x' * 4_000_000)\n"
        "    time.sleep(0.01)"
    )
    handle = best.start(code, resources=Resources(disk_mb=30))
    assert best.end(handle).reason == "disk"
    assert "its limit is 30 MB" in best.text(handle)


def test_one_file_cannot_grow_over_the_limit(best: Attempts) -> None:
    code = "import os\nwith open('big', 'wb') as f:\n    while True: f.write(b'x' * 1_000_000)"
    handle = best.start(code, resources=Resources(disk_mb=8))
    end = best.end(handle)
    assert end.exit_code != 0
    assert (best.root / handle / "work" / "big").stat().st_size <= 8 << 20


def test_what_it_used_is_recorded(attempts: Attempts) -> None:
    code = (
        "import time\nhold = bytearray(80_000_000)\nend = time.process_time() + 0.4\n"
        "while time.process_time() < end: pass"
    )
    end = attempts.run(code)
    assert end.cpu_seconds >= 0.4
    assert end.peak_memory_mb > 75
    assert end.isolation == attempts.engine._isolation.level


def test_no_token_and_no_secret_stays_on_the_disk(tmp_path: Path, report: IsolationReport) -> None:
    attempts = Attempts(tmp_path, report, drain_seconds=0.1)
    secret = "s3cret-value-of-a-variable"
    handle = attempts.start(
        CLIENT + "mark('ready'); time.sleep(600)",
        server_file=tmp_path / "server.json",
        variables={"API_KEY": secret},
    )
    attempts.wait_for_mark(handle, "ready")
    for path in (attempts.root / handle).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"hw_real_token" not in content, path
            assert secret.encode() not in content, path
    assert processes_with(secret) == []
    assert processes_with("hw_real_token") == []
    attempts.engine.stop(handle)
    attempts.end(handle)


def test_no_network_where_it_cannot_be_taken_away_is_refused(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, IsolationReport(level=0, reasons=("bubblewrap is not installed",), hint="install it"))
    with pytest.raises(Refused, match="no network") as refusal:
        attempts.start("", network=False)
    assert refusal.value.cause == "bubblewrap is not installed"
    with pytest.raises(Refused, match="needs isolation L2"):
        attempts.start("", minimum_isolation=Isolation.L2)


def test_paths_that_lead_out_are_refused(best: Attempts) -> None:
    for changes in ({"cwd": "../out"}, {"cwd": "/etc"}, {"readable": ("/no/such/data",)}):
        with pytest.raises(UsageError):
            best.start("", **changes)


def test_a_damaged_environment_fails_with_its_reason(attempts: Attempts, tmp_path: Path) -> None:
    handle = attempts.start("", env_path=str(tmp_path / "gone"), argv=(str(tmp_path / "gone" / "bin" / "python"),))
    end = attempts.end(handle)
    assert isinstance(end, Exited)
    assert end.reason in {"launch", "isolation"}
    assert "gone" in attempts.text(handle)
