"""GPU figures, read as `nvidia-smi` prints them."""

from __future__ import annotations

from pathlib import Path

import sampling


def fake(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_each_device_has_its_figures(tmp_path: Path) -> None:
    program = fake(tmp_path / "nvidia-smi", "echo '35, 1000, 16000, 70.5'; echo '0, 0, 16000, [N/A]'")
    found = sampling.gpu_values(program)
    assert found["system/gpu_0_utilization_percentage"] == 35
    assert found["system/gpu_0_memory_usage_percentage"] == 6.25
    assert found["system/gpu_0_power_usage_watts"] == 70.5
    assert found["system/gpu_1_utilization_percentage"] == 0
    assert "system/gpu_1_power_usage_watts" not in found


def test_no_device_and_no_sense_give_nothing(tmp_path: Path) -> None:
    assert sampling.gpu_values(None) == {}
    assert sampling.gpu_values(fake(tmp_path / "a", "echo 'No devices were found'; exit 6")) == {}
    assert sampling.gpu_values(fake(tmp_path / "b", "echo nonsense")) == {}
    assert sampling.gpu_values(str(tmp_path / "gone")) == {}
