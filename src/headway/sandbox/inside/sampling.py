"""What the tree uses, logged now and then as MLflow's system metrics of its run."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time

from door import Door
from limits import Usage, Watch

_MB = 1 << 20
_FIRST_AFTER = 1.0
_GPU_FIELDS = "utilization.gpu,memory.used,memory.total,power.draw"


class Sampler:
    """Takes the watch's last look every few seconds; the names are those of MLflow's own sampler."""

    def __init__(self, watch: Watch, door: Door | None, command: dict) -> None:
        self._watch = watch
        self._door = door
        self._run_id = command["door"]["run_id"] if command["door"] else ""
        self._every = command["sample_s"]
        self._due = time.monotonic() + min(_FIRST_AFTER, self._every)
        self._step = 0
        self._last_cpu = 0.0
        self._last_at = time.monotonic()
        self._thread: threading.Thread | None = None
        self._gpu = shutil.which("nvidia-smi")

    def tick(self, now: float) -> None:
        """Log a sample when one is due, without making the caller wait for the server."""
        if self._door is None or now < self._due or (self._thread and self._thread.is_alive()):
            return
        self._due = now + self._every
        self._thread = threading.Thread(
            target=self._log, args=(self._take(now, self._watch.usage),), name="sample", daemon=True
        )
        self._thread.start()

    def last(self, *, memory: int, cpu: float) -> None:
        """Log the whole of a run that was too short for a sample."""
        if self._thread:
            self._thread.join()
        if self._door and not self._step:
            self._log(self._take(time.monotonic(), Usage(memory, cpu, 0)))

    def _take(self, now: float, usage: Usage) -> dict[str, float]:
        elapsed = max(now - self._last_at, 1e-3)
        share = (usage.cpu - self._last_cpu) / elapsed / (os.cpu_count() or 1) * 100
        self._last_cpu, self._last_at = usage.cpu, now
        found = {
            "system/cpu_utilization_percentage": min(max(share, 0.0), 100.0),
            "system/system_memory_usage_megabytes": usage.memory / _MB,
        }
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if total > 0:
            found["system/system_memory_usage_percentage"] = usage.memory / total * 100
        return found

    def _log(self, values: dict[str, float]) -> None:
        at = int(time.time() * 1000)
        values.update(gpu_values(self._gpu))
        metrics = [
            {"key": key, "value": round(value, 3), "timestamp": at, "step": self._step} for key, value in values.items()
        ]
        self._step += 1
        self._door.record("/api/2.0/mlflow/runs/log-batch", {"run_id": self._run_id, "metrics": metrics})


def gpu_values(program: str | None) -> dict[str, float]:
    """Return the metrics of every NVIDIA device; none where there is no `nvidia-smi`."""
    if program is None:
        return {}
    try:
        output = subprocess.run(
            [program, f"--query-gpu={_GPU_FIELDS}", "--format=csv,noheader,nounits"],
            capture_output=True,
            check=True,
            timeout=10,
        ).stdout.decode()
    except (OSError, subprocess.SubprocessError):
        return {}
    found: dict[str, float] = {}
    for number, line in enumerate(output.splitlines()):
        values = [_number(text) for text in line.split(",")]
        if len(values) < 4:
            continue
        busy, used, total, power = values[:4]
        found[f"system/gpu_{number}_utilization_percentage"] = busy
        found[f"system/gpu_{number}_memory_usage_megabytes"] = used * 1.048576  # MiB, MLflow says MB
        found[f"system/gpu_{number}_memory_usage_percentage"] = used / total * 100 if total else 0.0
        found[f"system/gpu_{number}_power_usage_watts"] = power
    return {key: value for key, value in found.items() if value == value}  # noqa: PLR0124  # NaN: "[N/A]"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
