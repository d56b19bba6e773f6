"""Code that uses the real MLflow client, unmodified, survives the loss of its server."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.attempts import CLIENT, Attempts
from fakes.tracking_side import TrackingSide
from headway.sandbox.isolation import probe_isolation

pytestmark = [pytest.mark.chaos, pytest.mark.mlflow]

TRAINING = (
    CLIENT
    + """
import mlflow
with mlflow.start_run() as run:
    print("run", run.info.run_id)
    mlflow.log_param("depth", 3)
    mlflow.log_metric("loss", 1.0, step=0)
    mark("there")
    while not os.path.exists("go"): time.sleep(0.02)
    for step in range(1, 40):
        mlflow.log_metric("loss", 1.0 / step, step=step)
    mlflow.log_metrics({"f1": 0.9, "auc": 0.8}, step=1)
    mlflow.set_tag("stage", "done")
    with open("model.bin", "wb") as f: f.write(bytes(3_000_000))
    mark("away")
    mlflow.log_artifact("model.bin")
    mlflow.log_text("hello", "notes/readme.txt")
print("ended")
"""
)


def test_the_real_client_loses_nothing_when_its_server_is_killed(tmp_path: Path) -> None:
    report = probe_isolation(tmp_path / "probe")
    side = TrackingSide(tmp_path / "side")
    side.start()
    try:
        attempts = Attempts(tmp_path, report)
        network = report.level < 2
        argv = ("python", "main.py")
        handle = attempts.start(TRAINING, server_file=side.server_file, network=network, argv=argv)
        attempts.wait_for_mark(handle, "there")
        side.kill()
        (attempts.root / handle / "work" / "go").touch()
        attempts.wait_for_mark(handle, "away")
        side.start()
        end = attempts.end(handle)
        assert (end.exit_code, end.undelivered) == (0, 0), attempts.text(handle)
    finally:
        side.kill()
    assert "run run1" in attempts.text(handle)
    assert "ended" in attempts.text(handle)
    assert list(dict.fromkeys(side.points())) == list(range(40))
    assert side.points("f1") == [1]
    assert side.requests("/runs/update")[-1]["body"]["status"] == "FINISHED"
    assert (side.folder / "artifacts" / "readme.txt").read_text() == "hello"
    assert (side.folder / "artifacts" / "model.bin").read_bytes() == bytes(3_000_000)
    assert {each["token"] for each in side.requests() if each["token"]} == {"Bearer hw_real_token"}
