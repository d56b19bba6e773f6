"""The server of a data directory: started when needed, once, and what is said when it cannot be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest


def _announced(terminal) -> dict:
    return json.loads((terminal.data / "server.json").read_bytes())


def test_two_terminals_at_once_start_one_server_that_outlives_them_and_stops_when_idle(alone, waiting) -> None:
    started = [alone.start("jobs", "--json", HEADWAY_IDLE_STOP="3") for _ in range(3)]
    for process in started:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, json.loads(out)) == (0, []), err
    log = (alone.data / "server.log").read_text()
    assert log.count('"event": "listening"') == 1
    assert "another server" not in log
    waiting(lambda: not (alone.data / "server.json").exists(), "the idle server's end")
    assert "idle: stopping" in (alone.data / "server.log").read_text()
    waiting(lambda: alone("server", "status", code=None).code == 6, "the end of its lock")
    assert alone("server", "status", "--json", code=6).json == {"running": False, "data": str(alone.data)}
    assert "no server runs on" in alone("server", "stop", code=6).err


def test_closing_the_terminal_does_not_end_the_server(alone) -> None:
    """The shell's whole process group gets SIGHUP, as when its window closes."""
    code = (
        "import subprocess, sys, time\n"
        "subprocess.run([sys.executable, '-m', 'headway.cli.main', 'jobs', '--json'], check=True)\n"
        "time.sleep(600)\n"
    )
    shell = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=alone.folder,
        env=alone.environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    first = shell.stdout.readline()
    assert first == "[]\n", first + shell.stdout.read()  # an error has more lines, and ends the shell
    os.killpg(shell.pid, signal.SIGHUP)
    shell.wait(timeout=60)
    shutil.rmtree(alone.folder)  # nor does the server stand in the folder where it was started
    alone.folder.mkdir()
    assert alone("jobs", "--json").json == []
    assert alone("server", "status", "--json").json["pid"] == _announced(alone)["pid"]


def test_a_second_server_a_taken_port_and_a_backup(headway, tmp_path) -> None:
    second = headway("server", "start", "--port", "0", code=1)
    assert f"error: another server runs on {headway.data}" in second.err
    assert _announced(headway)["url"] in second.err
    empty = {"HEADWAY_DATA": str(tmp_path / "data")}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = headway("server", "start", "--port", port, code=1, **empty)
        assert f"error: port {port} on 127.0.0.1 cannot be used" in refused.err
        assert "log in:" not in refused.err + second.err, "only what listens has an address to tell"
        unborn = headway("jobs", code=6, HEADWAY_PORT=port, **empty)
        assert f"cause: port {port} on 127.0.0.1 cannot be used: " in unborn.err
        assert "hint:  choose another with --port or HEADWAY_PORT" in unborn.err
    copy = tmp_path / "backup"
    assert str(copy) in headway("server", "backup", str(copy)).out
    assert "is not empty" in headway("server", "backup", str(copy), "--json", code=1).json["message"]
    assert "a server runs on" in headway("server", "restore", str(copy), code=1).err
    assert "holds no backup" in headway("server", "restore", str(tmp_path), code=5, **empty).err
    restored = {"HEADWAY_DATA": str(tmp_path / "restored")}
    assert headway("server", "restore", str(copy), "--json", **restored).json["files"] >= 2
    assert "freed environments" in headway("server", "clean").out


def test_doctor_checks_what_support_would_ask_for(headway) -> None:
    items = headway("doctor", "--json", code=None).json
    assert {"git", "uv", "isolation", "disk", "database"} <= {each["name"] for each in items}
    assert "✓  git" in headway("doctor", code=None).out


@pytest.mark.parametrize("verb", [("jobs",), ("server", "start", "--port", "0")])
def test_a_damaged_database_is_called_one(alone, verb: tuple[str, ...]) -> None:
    alone.data.mkdir()
    (alone.data / "headway.db").write_bytes(os.urandom(8192))
    done = alone(*verb, code=6)
    assert f"cause: the database in {alone.data} is damaged: SQLite cannot read headway.db\n" in done.err
    assert "headway server restore BACKUP" in done.err


def test_a_data_directory_that_is_none(alone) -> None:
    alone.data.write_text("a file")
    for verb in (("jobs",), ("server", "start")):
        done = alone(*verb, code=2)
        assert f"error: {alone.data} cannot be used as data directory\n" in done.err
    alone.data.unlink()
    done = alone("jobs", code=6, HEADWAY_IDLE_STOP="soon")
    assert "cause: HEADWAY_IDLE_STOP='soon' is not a whole number\n" in done.err


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK) or os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_called_one(alone) -> None:
    alone.data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(alone.data)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine mounts nothing")
    try:
        done = alone("jobs", code=6)
        assert "disk" in done.err
        assert "full" in done.err
        assert "hint:  free space" in done.err
    finally:
        subprocess.run(["umount", "-l", str(alone.data)], check=True)


def test_a_server_of_another_version_is_told_and_still_asked(headway) -> None:
    path = headway.data / "server.json"
    before = path.read_bytes()
    path.write_bytes(json.dumps(json.loads(before) | {"version": "9.9.9"}).encode())
    try:
        done = headway("jobs", "--json")
        assert "the server is version 9.9.9, this terminal" in done.err
        assert isinstance(done.json, list)
    finally:
        path.write_bytes(before)


def test_what_is_no_headway_server_is_called_that(headway) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(headway.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        try:
            port = other.stdout.readline().partition("port ")[2].partition(" ")[0]
            done = headway("jobs", code=6, HEADWAY_URL=f"http://127.0.0.1:{port}")
            assert "is no Headway server" in done.err
        finally:
            other.terminate()
