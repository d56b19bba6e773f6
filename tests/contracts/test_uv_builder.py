import zipfile
from pathlib import Path

import pytest

from contracts.builder import BuilderContract
from headway.environments.operator_config import OperatorConfig
from headway.environments.uv_builder import UvBuilder


def write_wheel(folder: Path, name: str, version: str) -> Path:
    """Write the smallest wheel that installs: one module that knows its version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


class TestUvBuilder(BuilderContract):
    good = "leaf==1.0\n"
    other = "leaf==2.0\n"
    bad = "leaf==9.9\n"

    @pytest.fixture
    def builder(self, tmp_path: Path) -> UvBuilder:
        for version in ("1.0", "2.0"):
            write_wheel(tmp_path / "wheels", "leaf", version)
        variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        operator = OperatorConfig(variables=variables, find_links=(str(tmp_path / "wheels"),), no_index=True)
        return UvBuilder(tmp_path / "environments", operator=operator)
