from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from headway.environments.failure import BuildFailed
from headway.environments.files import FolderFiles
from headway.environments.find import find_environment
from headway.environments.model import BuiltEnv, Tier
from headway.environments.operator_config import OperatorConfig
from headway.environments.sealed_build import Sealing
from headway.environments.uv_builder import UvBuilder
from headway.projects.model import EnvSection
from headway.sandbox.isolation import probe_isolation

# A hostile build: it looks for what it should not see, plants a wheel of another name, and reports in its module.
BACKEND = """
import os, json, pathlib, zipfile
TAG = "Tag: py3-none-any\\n"
def wheel(path, name, body):
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(f"{name}.py", body)
        made.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        made.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n" + TAG)
        made.writestr(f"{name}-1.0.dist-info/RECORD", f"{name}.py,,\\n")
def build_wheel(folder, settings=None, metadata=None):
    seen = {"canary": os.path.exists(CANARY), "environment": sorted(os.environ)}
    seen["values"] = " ".join(os.environ.values())
    try:
        pathlib.Path(OUTSIDE).write_text("was here")
    except OSError:
        pass
    wheel(os.path.join(folder, "slow-1.0-py3-none-any.whl"), "slow", f"seen = {seen!r}\\n")
    wheel(os.path.join(folder, "leaf-1.0-py3-none-any.whl"), "leaf", "evil = True\\n")
    return "slow-1.0-py3-none-any.whl"
"""


@pytest.fixture
def sealing(tmp_path: Path) -> Sealing:
    data = tmp_path / "data"
    data.mkdir()
    report = probe_isolation(data)
    if report.facts is None:
        pytest.skip(f"no sandbox here: {'; '.join(report.reasons)}")
    (data / "canary").write_text("secret")
    return Sealing(facts=report.facts, private=(data,))


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "leaf-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("leaf.py", "evil = False\n")
        wheel.writestr("leaf-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: leaf\nVersion: 1.0\n")
        wheel.writestr("leaf-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("leaf-1.0.dist-info/RECORD", "leaf.py,,\n")
    paths = f"CANARY = {str(tmp_path / 'data/canary')!r}\nOUTSIDE = {str(tmp_path / 'outside')!r}\n"
    parts = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow"\nversion = "1.0"\n',
        "backend.py": paths + BACKEND,
        "PKG-INFO": "Metadata-Version: 2.2\nName: slow\nVersion: 1.0\n",
    }
    with tarfile.open(folder / "slow-1.0.tar.gz", "w:gz") as archive:
        for name, text in parts.items():
            info = tarfile.TarInfo(f"slow-1.0/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return folder


def build(tmp_path: Path, sealing: Sealing, text: str, tier: Tier, **more: Any) -> tuple[BuiltEnv, str]:
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "UV_INDEX": "https://user:hunter2@host/simple",
        "UV_PUBLISH_TOKEN": "hunter2",
    }
    operator = OperatorConfig(variables=variables, find_links=(str(tmp_path / "wheels"),), no_index=True)
    maker = UvBuilder(tmp_path / "data/environments", operator=operator, sealing=sealing, **more)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text(text)
    spec = find_environment(FolderFiles(folder), EnvSection(), default_python="3.11")
    log = io.StringIO()
    return maker.build(spec, folder, tier, log), log.getvalue()


def ask(built: BuiltEnv, program: str) -> Any:
    done = subprocess.run([f"{built.path}/bin/python", "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_build_in_the_sandbox_sees_no_secret_writes_nothing_outside_and_makes_only_its_own_wheel(
    tmp_path: Path, wheels: Path, sealing: Sealing
) -> None:
    """Rule 20: to build is to run the change's code, so it happens inside."""
    built, log = build(tmp_path, sealing, "slow\nleaf\n", Tier.CHANGE)
    assert "no wheel for slow: building it from source in the sandbox" in log
    seen = ask(built, "import json, slow; print(json.dumps(slow.seen))")
    assert seen["canary"] is False
    assert "hunter2" not in seen["values"]
    assert "UV_PUBLISH_TOKEN" not in seen["environment"]
    assert not (tmp_path / "outside").exists()
    assert ask(built, "import json, leaf; print(json.dumps(leaf.evil))") is False
    assert built.packages == 2
    # Nothing of the build is left beside what it made.
    assert not list((tmp_path / "data/environments/change/scratch").iterdir())


def test_the_hash_of_the_source_is_checked_before_it_is_built(tmp_path: Path, wheels: Path, sealing: Sealing) -> None:
    source = hashlib.sha256((wheels / "slow-1.0.tar.gz").read_bytes()).hexdigest()
    leaf = hashlib.sha256((wheels / "leaf-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    text = f"slow==1.0 --hash=sha256:{source}\nleaf==1.0 --hash=sha256:{leaf}\n"
    built, _ = build(tmp_path, sealing, text, Tier.MAIN)
    assert built.packages == 2


def test_a_source_of_another_hash_is_not_built(tmp_path: Path, wheels: Path, sealing: Sealing) -> None:
    with pytest.raises(BuildFailed):
        build(tmp_path, sealing, f"slow==1.0 --hash=sha256:{'1' * 64}\n", Tier.MAIN)


def test_a_fork_builds_what_the_allow_list_names_and_nothing_else(
    tmp_path: Path, wheels: Path, sealing: Sealing
) -> None:
    built, _ = build(tmp_path, sealing, "slow\n", Tier.FORK, may_build=("Slow",))
    assert built.packages == 1


def test_a_fork_builds_nothing_that_no_allow_list_names(tmp_path: Path, wheels: Path, sealing: Sealing) -> None:
    with pytest.raises(BuildFailed, match="a fork may not build it"):
        build(tmp_path, sealing, "slow\n", Tier.FORK)
