"""Hostile code in the sandbox: it looks for planted canaries everywhere, and finds none; it reaches the door only."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.attempts import CLIENT, Attempts
from fakes.tracking_side import TrackingSide
from headway.sandbox.isolation import IsolationReport, probe_isolation

pytestmark = pytest.mark.chaos

# Each probe returns whatever it could get hold of; a canary in it, or "reached", is a hole.
PROBES = """
import ctypes, glob, json, os, socket, stat, subprocess, sys
facts = json.load(open("facts.json"))
found = {}
def probe(function):
    if facts["only"] and function.__name__ not in facts["only"]: return
    try:
        text = str(function())
        found[function.__name__] = "reached the canary" if facts["yranac"][::-1] in text else text[:3000]
    except Exception as error: found[function.__name__] = "held: " + repr(error)
def read(path): return open(path, "rb").read().decode("latin-1")
def each(pattern, how):
    out = []
    for path in glob.glob(pattern):
        try: out.append(how(path))
        except OSError: pass
    return "".join(out)
def everything(folder):
    seen = []
    for base, names, files in os.walk(folder):
        if base.startswith(("/proc", "/sys", "/usr", "/dev", *facts["skip"])): names[:] = []; continue
        for name in files:
            path = os.path.join(base, name)
            try:
                if os.path.islink(path) or path.endswith("facts.json") or os.path.getsize(path) > 5_000_000: continue
                if os.path.isfile(path): seen.append(read(path))
            except OSError: pass
    return "".join(seen)
@probe
def own_environment(): return dict(os.environ)
@probe
def parents_environment(): return each("/proc/[0-9]*/environ", read)
@probe
def command_lines(): return each("/proc/[0-9]*/cmdline", read)
@probe
def descriptors(): return each("/proc/[0-9]*/fd/*", os.readlink)
@probe
def inherited_descriptors():
    out = ""
    for n in range(3, 256):
        try: os.lseek(n, 0, 0); out += os.read(n, 100000).decode("latin-1")
        except OSError: pass
    return out
@probe
def the_whole_file_system(): return everything("/")
@probe
def the_users_home(): return everything(facts["home"])
@probe
def the_data_directory(): return everything(facts["data"])
@probe
def another_attempt(): return everything(facts["other"])
@probe
def its_own_command(): return read(os.path.join(os.path.dirname(os.getcwd()), "command.json"))
@probe
def its_own_journal(): return os.listdir(os.path.join(os.path.dirname(os.getcwd()), "door"))
@probe
def a_link_to_the_outside():
    os.symlink(facts["secret"], "link"); return read("link")
@probe
def a_hard_link_to_the_outside():
    os.link(facts["secret"], "hard"); return read("hard")
@probe
def the_root_of_init(): return read("/proc/1/root" + facts["secret"])
@probe
def the_memory_of_others():
    return ctypes.CDLL(None).ptrace(16, facts["pid"], 0, 0) == 0 and "reached"
@probe
def a_signal_to_the_server(): os.kill(facts["pid"], 0); return "reached"
def connect(host, port):
    socket.create_connection((host, port), timeout=2).close(); return "reached"
@probe
def the_machines_loopback(): return connect("127.0.0.1", facts["port"])
@probe
def the_machines_loopback_6(): return connect("::1", facts["port"])
@probe
def the_cloud_metadata(): return connect("169.254.169.254", 80)
@probe
def the_local_network(): return connect(facts["address"], facts["port"])
@probe
def the_internet(): return connect("1.1.1.1", 53)
@probe
def a_name(): return "reached " + str(socket.gethostbyname("example.com"))
@probe
def an_abstract_socket():
    s = socket.socket(socket.AF_UNIX); s.connect("\\0" + facts["abstract"]); return "reached"
@probe
def container_engines():
    for path in ("docker.sock", "podman/podman.sock", "containerd/containerd.sock"):
        for base in ("/run/", "/var/run/"):
            if os.path.exists(base + path): return "reached " + path
@probe
def agents_of_keys(): return [os.environ.get(n) for n in ("SSH_AUTH_SOCK", "GIT_ASKPASS", "DBUS_SESSION_BUS_ADDRESS")]
@probe
def git_credentials():
    return subprocess.run(["git", "credential", "fill"], input=b"protocol=https\\nhost=example.com\\n\\n",
                          capture_output=True, timeout=20, env={**os.environ, "GIT_TERMINAL_PROMPT": "0"}).stdout
@probe
def password_hashes(): return "reached" if os.path.exists("/etc/shadow") else ""
@probe
def keyring(): return ctypes.CDLL(None).syscall(250, 0, -4, 0) >= 0 and "reached"
@probe
def a_new_user_namespace(): return ctypes.CDLL(None).unshare(0x10000000) == 0 and "reached"
@probe
def io_uring(): return ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(200)) >= 0 and "reached"
@probe
def devices(): return "reached" if any(map(os.path.exists, ("/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda"))) else ""
@probe
def set_user_id():
    path = os.path.abspath("suid"); open(path, "w").close(); os.chmod(path, 0o4755)
    return "NoNewPrivs:\\t1" in read("/proc/self/status") or "reached"
@probe
def writing_to_the_environment(): open(os.path.join(sys.prefix, "lib", "evil.pth"), "w").close(); return "reached"
@probe
def the_forwarders_script(): open("/run/headway/forward.py", "a").close(); return "reached"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> IsolationReport:
    found = probe_isolation(tmp_path_factory.mktemp("probe"))
    if found.level < 2:
        pytest.skip("; ".join(found.reasons))
    return found


@pytest.fixture
def canary() -> str:
    return f"canary{secrets.token_hex(12)}"


@pytest.fixture
def trap(tmp_path: Path, canary: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A machine full of canaries: a server-like process, a home, a data directory, another attempt, listeners."""
    home, data = tmp_path / "home", tmp_path / "data"
    for folder in (home / ".aws", data / "other"):
        folder.mkdir(parents=True)
    (home / ".aws" / "credentials").write_text(canary)
    (home / ".netrc").write_text(f"machine example.com login x password {canary}")
    (home / ".git-credentials").write_text(f"https://x:{canary}@example.com")
    (home / ".gitconfig").write_text("[credential]\nhelper = store")
    (data / "headway.db").write_text(canary)
    (data / "other" / "weights.bin").write_text(canary)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", canary)
    monkeypatch.setenv("HOME", str(home))
    server = subprocess.Popen(["sleep", "600"], env={"PATH": "/usr/bin:/bin", "TOKEN": canary})
    abstract = secrets.token_hex(8)
    with socket.create_server(("", 0)) as tcp, socket.socket(socket.AF_UNIX) as local:
        local.bind("\0" + abstract)
        local.listen()
        yield {
            "home": str(home),
            "data": str(data),
            "other": str(data / "other"),
            "secret": str(home / ".netrc"),
            "pid": server.pid,
            "port": tcp.getsockname()[1],
            "address": _own_address(),
            "abstract": abstract,
            "skip": [sys.prefix, str(Path(sys.executable).resolve().parent.parent)],  # large, and without secrets
        }
    server.kill()
    server.wait()


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(trial.getsockname()[0])


def test_hostile_code_gets_nothing_out(
    tmp_path: Path, report: IsolationReport, trap: dict[str, Any], canary: str
) -> None:
    side = TrackingSide(tmp_path / "side")
    side.start()
    try:
        attempts = Attempts(tmp_path, report)
        spec = attempts.spec(PROBES, server_file=side.server_file, network=False)
        (Path(spec.directory) / "work" / "facts.json").write_text(
            json.dumps({**trap, "yranac": canary[::-1], "only": []})
        )
        end = attempts.end(attempts.engine.start(spec))
        log = attempts.text(spec.id)
        assert end.exit_code == 0, log
        found = json.loads(log)
        assert len(found) >= 30
        holes = {
            name: text
            for name, text in found.items()
            if canary in text or text.startswith("reached") or "hw_real_token" in text
        }
        assert holes == {}
        assert found["the_machines_loopback"].startswith("held: ConnectionRefused")
        assert canary not in json.dumps(side.requests())
    finally:
        side.kill()
    assert list((tmp_path / "attempts" / spec.id / "out").iterdir()) == []


def test_the_same_code_finds_the_canaries_where_there_is_no_wall(
    tmp_path: Path, trap: dict[str, Any], canary: str
) -> None:
    """Otherwise the test above would prove nothing."""
    harmless = [
        "parents_environment",
        "the_users_home",
        "the_data_directory",
        "another_attempt",
        "a_link_to_the_outside",
        "a_signal_to_the_server",
        "the_machines_loopback",
        "an_abstract_socket",
    ]
    attempts = Attempts(tmp_path, IsolationReport(level=0))
    spec = attempts.spec(PROBES)
    facts = {**trap, "yranac": canary[::-1], "only": harmless}
    (Path(spec.directory) / "work" / "facts.json").write_text(json.dumps(facts))
    attempts.end(attempts.engine.start(spec))
    found = json.loads(attempts.text(spec.id))
    assert {name: text for name, text in found.items() if not text.startswith("reached")} == {}
    assert sorted(found) == sorted(harmless)


def test_without_network_the_door_is_the_only_way(tmp_path: Path, report: IsolationReport) -> None:
    side = TrackingSide(tmp_path / "side")
    side.start()
    try:
        attempts = Attempts(tmp_path, report)
        code = CLIENT + (
            "import socket\n"
            "point(1)\n"
            f"port = {json.loads(side.server_file.read_text())['port']}\n"
            "try: socket.create_connection(('127.0.0.1', port), timeout=2); print('through')\n"
            "except OSError: print('no way')"
        )
        handle = attempts.start(code, server_file=side.server_file, network=False)
        assert attempts.end(handle).exit_code == 0
        assert attempts.text(handle) == "no way"
        assert side.points() == [1]
    finally:
        side.kill()


def test_readable_folders_are_read_only_and_private_ones_stay_hidden_in_them(
    tmp_path: Path, report: IsolationReport
) -> None:
    attempts = Attempts(tmp_path, report)
    data = tmp_path / "datasets"
    data.mkdir()
    (data / "rows.csv").write_text("a,b\n")
    code = (
        "import os\n"
        f"print(open({str(data / 'rows.csv')!r}).read().strip())\n"
        f"try: open({str(data / 'new')!r}, 'w'); print('written')\n"
        "except OSError: print('read only')\n"
        f"alone = os.listdir({str(attempts.root)!r}) == [os.environ['HEADWAY_ATTEMPT']]\n"
        f"print(sorted(os.listdir({str(tmp_path)!r})), alone)"
    )
    other = attempts.start("pass")
    handle = attempts.start(code, readable=(str(data),))
    attempts.end(handle)
    assert attempts.text(handle).splitlines() == ["a,b", "read only", "['attempts', 'datasets'] True"]
    # And where the readable folder contains the engine's own root:
    handle = attempts.start(code, readable=(str(tmp_path),))
    attempts.end(handle)
    assert attempts.text(handle).splitlines()[2].endswith("True")
    attempts.end(other)


def test_ordinary_programs_find_what_they_expect(tmp_path: Path, report: IsolationReport) -> None:
    attempts = Attempts(tmp_path, report)
    code = (
        "import getpass, os, pwd, socket, subprocess, sys, tempfile, multiprocessing, threading\n"
        "print(getpass.getuser(), pwd.getpwuid(os.getuid()).pw_name, socket.gethostbyname('localhost'))\n"
        "with tempfile.TemporaryDirectory() as d: open(d + '/x', 'w').close()\n"
        "open(os.path.expanduser('~/.cache'), 'w').close()\n"
        "open('/dev/shm/x', 'w').close()\n"
        "print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout)\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, -2]))\n"
        "print(os.getcwd() == os.path.dirname(os.path.abspath('main.py')), os.environ['HEADWAY_OUT'])\n"
        "threading.Thread(target=print, args=('thread',)).start()\n"
    )
    for network in (True, False):
        handle = attempts.start(code, network=network)
        assert attempts.end(handle).exit_code == 0, attempts.text(handle)
        lines = attempts.text(handle).splitlines()
        assert lines[0] == "headway headway 127.0.0.1"
        assert lines[1:3] == ["b'1\\n'", "[1, 2]"]
        assert lines[3] == f"True {attempts.root / handle / 'out'}"
        assert lines[4] == "thread"
        assert not (attempts.root / handle / "tmp").exists()


def test_an_environment_whose_python_lives_elsewhere_runs(tmp_path: Path, report: IsolationReport) -> None:
    """As `uv venv` makes them: bin/python is a link to a link in a folder of interpreters."""
    attempts = Attempts(tmp_path, report)
    real = Path(sys.executable).resolve()
    interpreters = tmp_path / "interpreters"
    interpreters.mkdir()
    (interpreters / "cpython-3").symlink_to(real.parent.parent)
    env = tmp_path / "env"
    (env / "bin").mkdir(parents=True)
    (env / "bin" / "python").symlink_to(interpreters / "cpython-3" / "bin" / real.name)
    (env / "pyvenv.cfg").write_text(f"home = {interpreters}/cpython-3/bin\n")
    handle = attempts.start("import json, sys; print(sys.prefix)", env_path=str(env), argv=("python", "main.py"))
    assert attempts.end(handle).exit_code == 0, attempts.text(handle)
    assert attempts.text(handle) == str(env)
