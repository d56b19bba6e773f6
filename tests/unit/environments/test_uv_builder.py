from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headway.environments.failure import BuildFailed, BuildInterrupted
from headway.environments.files import FolderFiles
from headway.environments.find import find_environment
from headway.environments.model import EnvSpec, Tier
from headway.environments.operator_config import OperatorConfig
from headway.environments.uv_builder import UvBuilder
from headway.projects.model import EnvSection

# A build backend without dependencies that tells of itself: it writes what it sees, and waits when it is told to.
BACKEND = """
import os, pathlib, time, zipfile
def build_wheel(folder, settings=None, metadata=None):
    watched = pathlib.Path({watched!r})
    (watched / "ran").write_text("\\n".join(sorted(os.environ)))
    while (watched / "wait").exists():
        time.sleep(0.05)
    name = "slow-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("slow.py", "x = 1\\n")
        wheel.writestr("slow-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1.0\\n")
        wheel.writestr("slow-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slow-1.0.dist-info/RECORD", "slow.py,,\\n")
    return name
"""
LOCK = """version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "leaf"
version = "1.0"
source = {{ registry = "http://127.0.0.1:9/simple" }}
wheels = [
    {{ url = "http://127.0.0.1:9/leaf-1.0-py3-none-any.whl", hash = "sha256:{digest}", size = 100 }},
]

[[package]]
name = "p"
version = "1"
source = {{ virtual = "." }}
dependencies = [
    {{ name = "leaf" }},
]

[package.metadata]
requires-dist = [{{ name = "leaf", specifier = "==1.0" }}]
"""
PROJECT = """[project]
name = "p"
version = "1"
requires-python = ">=3.11"
dependencies = ["leaf==1.0"]

[[tool.uv.index]]
url = "http://127.0.0.1:9/simple"
default = true
"""


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with a wheel, and a source distribution whose building is watched."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "leaf-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("leaf.py", "x = 1\n")
        wheel.writestr("leaf-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: leaf\nVersion: 1.0\n")
        wheel.writestr("leaf-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("leaf-1.0.dist-info/RECORD", "leaf.py,,\n")
    watched = tmp_path / "watched"
    watched.mkdir()
    parts = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow"\nversion = "1.0"\n',
        "backend.py": BACKEND.format(watched=str(watched)),
        "PKG-INFO": "Metadata-Version: 2.2\nName: slow\nVersion: 1.0\n",
    }
    with tarfile.open(folder / "slow-1.0.tar.gz", "w:gz") as archive:
        for name, text in parts.items():
            info = tarfile.TarInfo(f"slow-1.0/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return folder


def builder(tmp_path: Path, **more: Any) -> UvBuilder:
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    operator = OperatorConfig(variables=variables, find_links=(str(tmp_path / "wheels"),), no_index=True)
    return UvBuilder(tmp_path / "environments", operator=operator, **more)


def project(tmp_path: Path, **files: str) -> tuple[EnvSpec, Path]:
    folder = tmp_path / "project"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return find_environment(FolderFiles(folder), EnvSection(), default_python="3.11"), folder


def build(maker: UvBuilder, given: tuple[EnvSpec, Path], tier: Tier = Tier.MAIN) -> tuple[Any, str]:
    log = io.StringIO()
    return maker.build(*given, tier, log), log.getvalue()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_a_lock_is_installed_from_the_operators_index_whatever_addresses_it_has(tmp_path: Path, wheels: Path) -> None:
    digest = hashlib.sha256((wheels / "leaf-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    given = project(tmp_path, uv__lock=LOCK.format(digest=digest), pyproject__toml=PROJECT)
    maker = builder(tmp_path)
    built, log = build(maker, given)
    assert built.packages == 1
    assert maker.packages(given[0].digest, Tier.FORK) == {"leaf": "1.0"}
    assert "leaf==1.0" in log
    assert "127.0.0.1" not in log
    assert list(Path(built.path).glob("lib/*/site-packages/__pycache__/leaf*.pyc"))


def test_a_lock_that_is_older_than_the_project_says_what_it_does_not_know(tmp_path: Path, wheels: Path) -> None:
    digest = hashlib.sha256((wheels / "leaf-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    text = PROJECT.replace('"leaf==1.0"', '"leaf==1.0", "Light_GBM>=4"')
    given = project(tmp_path, uv__lock=LOCK.format(digest=digest), pyproject__toml=text)
    built, log = build(builder(tmp_path), given)
    assert built.packages == 1
    assert "uv.lock does not know light-gbm of pyproject.toml: run `uv lock`, commit" in log


def test_a_lock_may_name_a_wheel_of_the_project(tmp_path: Path, wheels: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    wheel = folder / "leaf-1.0-py3-none-any.whl"
    (wheels / wheel.name).rename(wheel)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = LOCK.format(digest=digest)
    lock = lock.replace('registry = "http://127.0.0.1:9/simple"', f'path = "{wheel.name}"')
    lock = lock.replace('url = "http://127.0.0.1:9/leaf-1.0', 'filename = "leaf-1.0').replace(", size = 100", "")
    lock = lock.replace('specifier = "==1.0"', f'path = "{wheel.name}"')
    text = PROJECT.replace("leaf==1.0", "leaf") + f'[tool.uv.sources]\nleaf = {{ path = "{wheel.name}" }}\n'
    built, _ = build(builder(tmp_path), project(tmp_path, uv__lock=lock, pyproject__toml=text))
    assert built.packages == 1


def test_a_download_without_the_locked_hash_is_refused(tmp_path: Path, wheels: Path) -> None:
    given = project(tmp_path, uv__lock=LOCK.format(digest="1" * 64), pyproject__toml=PROJECT)
    with pytest.raises(BuildFailed, match=r"hash that uv\.lock states"):
        build(builder(tmp_path), given)


def test_settings_of_the_project_for_uv_and_pip_have_no_effect(tmp_path: Path, wheels: Path) -> None:
    evil = 'index-url = "http://127.0.0.1:9/simple"\nfind-links = ["/nowhere"]\n'
    text = "--index-url http://127.0.0.1:9/simple\nleaf\n"
    given = project(tmp_path, requirements__txt=text, uv__toml=evil, pip__conf="[global]\nno-index = true\n")
    built, log = build(builder(tmp_path), given)
    assert built.packages == 1
    assert "requirements.txt:1: --index-url is ignored" in log


def test_a_project_without_a_lock_is_resolved_and_says_so(tmp_path: Path, wheels: Path) -> None:
    given = project(tmp_path, pyproject__toml=PROJECT)
    built, log = build(builder(tmp_path), given)
    assert built.packages == 1
    assert "versions are chosen now" in log


def test_nothing_at_all_is_a_bare_python_and_says_so(tmp_path: Path) -> None:
    built, log = build(builder(tmp_path), project(tmp_path, train__py=""))
    assert built.packages == 0
    assert "a bare Python without packages" in log


def test_a_wheel_of_the_project_is_installed(tmp_path: Path, wheels: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (wheels / "leaf-1.0-py3-none-any.whl").rename(folder / "leaf-1.0-py3-none-any.whl")
    built, _ = build(builder(tmp_path), project(tmp_path, requirements__txt="./leaf-1.0-py3-none-any.whl\n"))
    assert built.packages == 1


def test_only_trusted_code_may_have_something_built(tmp_path: Path, wheels: Path) -> None:
    """Rule 20: what would have to be built of a fork's is refused."""
    given = project(tmp_path, requirements__txt="slow\nleaf\n")
    with pytest.raises(BuildFailed, match="no wheel for slow, and a fork may not build it") as caught:
        build(builder(tmp_path), given, Tier.FORK)
    assert "maintainer" in caught.value.hint
    assert not (tmp_path / "watched/ran").exists()
    built, log = build(builder(tmp_path), given, Tier.CHANGE)
    assert built.packages == 2
    assert "no wheel for slow: building from source, outside any sandbox" in log
    assert (tmp_path / "watched/ran").exists()


@pytest.mark.parametrize("tier", Tier)
def test_where_only_wheels_are_taken_nobody_has_anything_built(tmp_path: Path, wheels: Path, tier: Tier) -> None:
    maker = builder(tmp_path, wheels_only=True)
    with pytest.raises(BuildFailed, match="no wheel for slow, and nothing is built here") as caught:
        build(maker, project(tmp_path, requirements__txt="slow\nleaf\n"), tier)
    assert "wheels" in caught.value.hint
    assert not (tmp_path / "watched/ran").exists()
    built, _ = build(maker, project(tmp_path, requirements__txt="leaf\n"), tier)
    assert built.packages == 1
    if tier is not Tier.FORK:
        with pytest.raises(BuildFailed, match="comes from git and would have to be built"):
            build(maker, project(tmp_path, requirements__txt="leaf @ git+https://host/leaf@abc\n"), tier)


def test_without_a_sandbox_a_fork_builds_nothing_at_all(tmp_path: Path, wheels: Path) -> None:
    given = project(tmp_path, requirements__txt="slow\n")
    with pytest.raises(BuildFailed, match="a fork may not build it") as caught:
        build(builder(tmp_path, may_build=("slow",)), given, Tier.FORK)
    assert "no sandbox" in caught.value.cause


def test_a_build_sees_nothing_of_the_servers_secrets(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("HEADWAY_TOKEN", "canary")
    build(builder(tmp_path), project(tmp_path, requirements__txt="slow\n"))
    names = (tmp_path / "watched/ran").read_text().split()
    assert "PATH" in names
    assert not {name for name in names if name.startswith(("AWS_", "HEADWAY_"))}


@pytest.mark.parametrize("line", ["leaf @ https://host/leaf-1.0-py3-none-any.whl", "leaf @ git+https://host/leaf@abc"])
def test_a_fork_has_no_address_of_its_own(tmp_path: Path, wheels: Path, line: str) -> None:
    with pytest.raises(BuildFailed, match=r"requirements\.txt:1 takes"):
        build(builder(tmp_path), project(tmp_path, requirements__txt=line), Tier.FORK)


def test_files_that_changed_since_the_plan_are_refused(tmp_path: Path, wheels: Path) -> None:
    spec, folder = project(tmp_path, requirements__txt="leaf\n")
    (folder / "requirements.txt").write_text("slow\n")
    with pytest.raises(BuildFailed, match="not those that were planned with"):
        build(builder(tmp_path), (spec, folder))


def test_a_python_that_is_not_here_is_said(tmp_path: Path) -> None:
    given = project(tmp_path, **{"__python-version": "3.20\n"})
    with pytest.raises(BuildFailed, match=r"no Python 3\.20") as caught:
        build(builder(tmp_path), given)
    assert "env: {python" in caught.value.hint


def test_a_build_that_takes_too_long_is_ended_and_can_be_tried_again(tmp_path: Path, wheels: Path) -> None:
    given = project(tmp_path, requirements__txt="slow\n")
    (tmp_path / "watched/wait").touch()
    with pytest.raises(BuildInterrupted, match="not made within") as caught:
        build(builder(tmp_path, limit=timedelta(seconds=2)), given)
    assert caught.value.retryable
    (tmp_path / "watched/wait").unlink()
    built, _ = build(builder(tmp_path), given)
    assert built.packages == 1


def test_a_python_that_was_removed_makes_an_environment_unfindable(tmp_path: Path, wheels: Path) -> None:
    given = project(tmp_path, requirements__txt="leaf\n")
    maker = builder(tmp_path)
    built, _ = build(maker, given)
    python = Path(built.path, "bin/python")
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert maker.find(given[0].digest, Tier.MAIN) is None
    again, _ = build(maker, given)
    assert not again.reused


def test_a_killed_builder_leaves_nothing_to_find_and_its_orphan_cannot_spoil_the_next(
    tmp_path: Path, wheels: Path
) -> None:
    given = project(tmp_path, requirements__txt="slow\n")
    (tmp_path / "watched/wait").touch()
    program = (
        "import io, sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from test_uv_builder import builder, project, build\n"
        "tmp = Path(sys.argv[2]); build(builder(tmp), project(tmp))\n"
    )
    victim = subprocess.Popen([sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)])
    wait_for(tmp_path / "watched/ran")
    victim.send_signal(signal.SIGKILL)
    victim.wait(timeout=30)
    maker = builder(tmp_path)
    assert maker.find(given[0].digest, Tier.MAIN) is None
    # The orphaned uv still holds the digest's lock, so what is half there is not removed under it.
    assert maker.prune([]) >= 0
    assert Path(tmp_path, "environments/main/envs", given[0].digest).is_dir()
    (tmp_path / "watched/wait").unlink()
    built, _ = build(maker, given)
    assert (built.packages, built.reused) == (1, False)


def test_pruning_takes_from_the_cache_what_only_the_removed_used(tmp_path: Path, wheels: Path) -> None:
    maker = builder(tmp_path)
    slow, _ = build(maker, project(tmp_path, requirements__txt="slow\nleaf\n"))
    leaf, _ = build(maker, project(tmp_path, requirements__txt="leaf\n"))
    cache = tmp_path / "environments/main/cache"
    assert list(cache.rglob("slow.py"))
    assert maker.prune([leaf.digest]) > 0
    assert not Path(slow.path).exists()
    assert not list(cache.rglob("slow.py"))
    assert list(cache.rglob("leaf.py"))
    maker.prune([])
    assert not list(cache.rglob("leaf.py"))
    assert not list((tmp_path / "environments/main/envs").iterdir())
