"""The container that makes an environment: once for all pods, wheels only, and its reason in its last words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headway.environments.files import FolderFiles
from headway.environments.find import find_environment
from headway.environments.in_pod import EnvironmentOrder
from headway.environments.model import EnvSpec, Tier
from headway.environments.shelf import Shelf
from headway.projects.model import EnvSection


def project(folder: Path, requirements: str = "./leaf-1.0-py3-none-any.whl\n", *, limits: str = "") -> EnvSpec:
    folder.mkdir(exist_ok=True)
    (folder / "limits.txt").write_text(limits)
    with zipfile.ZipFile(folder / "leaf-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("leaf.py", "x = 1\n")
        wheel.writestr("leaf-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: leaf\nVersion: 1.0\n")
        wheel.writestr("leaf-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("leaf-1.0.dist-info/RECORD", "leaf.py,,\n")
    (folder / "requirements.txt").write_text(requirements)
    return find_environment(FolderFiles(folder), EnvSection(), default_python="3.11")


def container(
    folder: Path, env: EnvSpec, tier: Tier, *, is_kept: bool = True, **variables: str
) -> subprocess.Popen[str]:
    """Start the container's program as the pod's description does."""
    where = {"source": str(folder / "project"), "cache": str(folder / "cache")}
    order = EnvironmentOrder(env=env, tier=int(tier), is_kept=is_kept, **where)
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "UV_OFFLINE": "1",
        "HEADWAY_POD_TERMINATION": str(folder / "said"),
        "HEADWAY_POD_ENVIRONMENT": msgspec.json.encode(order).decode(),
        **variables,
    }
    command = [sys.executable, "-I", "-m", "headway.environments.in_pod"]
    return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(folder: Path, env: EnvSpec, tier: Tier, **variables: str) -> tuple[int, str]:
    process = container(folder, env, tier, **variables)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def test_what_goes_with_its_pod_is_not_compiled(tmp_path: Path) -> None:
    env = project(tmp_path / "project")
    log, _ = container(tmp_path, env, Tier.CHANGE, is_kept=False).communicate(timeout=120)
    assert f"environment {env.digest[:12]}: 1 packages" in log
    assert "compiled" not in log


def said(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "said").read_text())
    return found


def test_it_is_made_once_and_then_only_found(tmp_path: Path) -> None:
    env = project(tmp_path / "project")
    code, log = run(tmp_path, env, Tier.CHANGE)
    assert code == 0, log
    path = Shelf(tmp_path / "cache", Tier.CHANGE).path(env.digest)
    done = subprocess.run(
        [path / "bin" / "python", "-c", "import leaf; print(leaf.x)"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
    (tmp_path / "project" / "requirements.txt").unlink()  # what is there needs no files, no index and no uv
    code, log = run(tmp_path, env, Tier.CHANGE, PATH="/nonexistent")
    assert (code, log) == (0, f"environment {env.digest[:12]}: 1 packages\n")


def test_pods_that_begin_together_make_it_together(tmp_path: Path) -> None:
    env = project(tmp_path / "project")
    started = [container(tmp_path, env, Tier.CHANGE) for _ in range(4)]
    logs = [each.communicate(timeout=120)[0] for each in started]
    assert [each.returncode for each in started] == [0] * 4, logs
    assert sum("is ready: 1 packages" in log for log in logs) == 1


def test_what_main_has_serves_a_change_and_never_the_other_way(tmp_path: Path) -> None:
    env, root = project(tmp_path / "project"), tmp_path / "cache"
    assert run(tmp_path, env, Tier.FORK)[0] == 0
    assert sorted(each.name for each in root.iterdir()) == ["fork"]
    assert run(tmp_path, env, Tier.MAIN)[0] == 0
    assert not Shelf(root, Tier.MAIN).path(env.digest).is_symlink()
    assert run(tmp_path, env, Tier.CHANGE)[0] == 0
    seen = Shelf(root, Tier.CHANGE).path(env.digest)
    assert seen.resolve() == Shelf(root, Tier.MAIN).path(env.digest)
    assert (seen / "bin" / "python").exists()
    assert run(tmp_path, env, Tier.CHANGE)[0] == 0


def test_pods_of_changes_that_begin_together_all_find_what_main_has(tmp_path: Path) -> None:
    env, root = project(tmp_path / "project"), tmp_path / "cache"
    assert run(tmp_path, env, Tier.MAIN)[0] == 0
    half = Shelf(root, Tier.CHANGE).path(env.digest)
    (half / "bin").mkdir(parents=True)  # what a killed build left
    started = [container(tmp_path, env, Tier.CHANGE) for _ in range(4)]
    logs = [each.communicate(timeout=120)[0] for each in started]
    assert [each.returncode for each in started] == [0] * 4, logs
    assert half.resolve() == Shelf(root, Tier.MAIN).path(env.digest)


def test_when_mains_is_gone_a_change_makes_its_own(tmp_path: Path) -> None:
    env, root = project(tmp_path / "project"), tmp_path / "cache"
    assert run(tmp_path, env, Tier.MAIN)[0] == 0
    assert run(tmp_path, env, Tier.CHANGE)[0] == 0
    Shelf(root, Tier.MAIN).discard(env.digest)
    assert run(tmp_path, env, Tier.CHANGE)[0] == 0
    own = Shelf(root, Tier.CHANGE)
    assert not own.path(env.digest).is_symlink()
    assert own.find(env.digest) is not None


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    env, root = project(tmp_path / "project"), tmp_path / "cache"
    assert run(tmp_path, env, Tier.MAIN)[0] == 0
    assert run(tmp_path, env, Tier.CHANGE)[0] == 0
    Shelf(root, Tier.CHANGE).discard(env.digest)
    assert Shelf(root, Tier.CHANGE).find(env.digest) is None
    assert Shelf(root, Tier.MAIN).find(env.digest) is not None


def test_what_nobody_has_wanted_for_long_goes_when_something_is_added(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "cache", Tier.CHANGE)
    leaf = "./leaf-1.0-py3-none-any.whl\n"
    made = {}
    for text in ("", leaf):
        made[text] = project(tmp_path / "project", text)
        assert run(tmp_path, made[text], Tier.CHANGE)[0] == 0
    for each in made.values():
        os.utime(shelf.path(each.digest) / "headway.json", (1, 1))
    assert run(tmp_path, made[leaf], Tier.CHANGE)[0] == 0  # wanted again; nothing is added, so nothing goes
    assert shelf.unused(60) == {made[""].digest}
    assert shelf.find(made[""].digest) is not None
    fresh = project(tmp_path / "project", f"{leaf}-c limits.txt\n", limits="leaf==1.0\n")
    assert run(tmp_path, fresh, Tier.CHANGE)[0] == 0
    assert shelf.find(made[""].digest) is None
    assert shelf.find(made[leaf].digest) is not None
    assert shelf.find(fresh.digest) is not None


@pytest.mark.parametrize(
    ("requirements", "tier", "says"),
    [
        ("nosuchpackage==1.0\n", Tier.MAIN, "nosuchpackage"),
        ("leaf @ git+https://example.invalid/leaf@abc\n", Tier.MAIN, "would have to be built"),
        ("leaf @ https://example.invalid/leaf-1.0-py3-none-any.whl\n", Tier.FORK, "from an address of its own"),
    ],
)
def test_what_cannot_be_made_is_told_in_the_last_words(
    tmp_path: Path, requirements: str, tier: Tier, says: str
) -> None:
    env = project(tmp_path / "project", requirements)
    code, log = run(tmp_path, env, tier)
    assert code == 1
    told = said(tmp_path)
    assert says in told["message"] + told["cause"]
    assert told["hint"]
    assert "Traceback" not in log
    assert Shelf(tmp_path / "cache", tier).find(env.digest) is None


def test_files_that_are_not_the_planned_ones_are_refused(tmp_path: Path) -> None:
    env = project(tmp_path / "project")
    (tmp_path / "project" / "requirements.txt").write_text("evil==1.0\n")
    assert run(tmp_path, env, Tier.CHANGE)[0] == 1
    assert "are not those that were planned with" in said(tmp_path)["message"]


def test_a_cache_that_takes_nothing_says_how_to_mend_it(tmp_path: Path) -> None:
    env = project(tmp_path / "project")
    (tmp_path / "cache").write_text("a file, where the volume should be")
    assert run(tmp_path, env, Tier.CHANGE)[0] == 1
    assert "HEADWAY_KUBERNETES_CACHE" in said(tmp_path)["hint"]
