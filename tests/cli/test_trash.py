"""The trash, space and retention in the terminal, against a real server whose worker does the removing."""

from __future__ import annotations

import json

import httpx
import pytest


@pytest.fixture
def spare(headway) -> str:
    """A deleted run of no job, with a file, as an MLflow client leaves one."""
    headway("runs", "list")  # a server runs
    server = json.loads((headway.data / "server.json").read_bytes())
    token = (headway.data / "admin-token").read_text().strip()
    with httpx.Client(base_url=server["url"] + "/api/2.0", headers={"authorization": f"Bearer {token}"}) as wire:
        made = wire.post("/mlflow/runs/create", json={"experiment_id": "0"}).raise_for_status().json()
        run = str(made["run"]["info"]["run_id"])
        root = f"/mlflow-artifacts/artifacts/0/{run}/artifacts/model.bin"
        wire.put(root, content=b"x" * 2_000_000).raise_for_status()
        wire.post("/mlflow/runs/update", json={"run_id": run, "status": "FINISHED"}).raise_for_status()
        wire.post("/mlflow/runs/delete", json={"run_id": run}).raise_for_status()
    return run


def test_a_run_is_listed_restored_and_purged(headway, spare) -> None:
    listed = headway("trash", "list").out
    assert spare in listed
    assert "2.0 MB" in listed
    assert headway("trash", "restore", spare).out.startswith(f"restored run {spare}")
    assert "is not in the trash" in headway("trash", "purge", spare, "--yes", code=1).err
    headway("runs", "delete", spare, "--yes")
    assert "1 would go" in headway("trash", "purge", spare, "--dry-run").out
    refused = headway("trash", "purge", spare, code=2)
    assert f"headway trash purge {spare} --yes" in refused.err
    assert (headway.data / "artifacts" / "0" / spare).exists()
    done = headway("trash", "purge", spare, "--yes")
    assert "purged 1 of 1, 2.0 MB of artifacts freed" in done.out
    assert not (headway.data / "artifacts" / "0" / spare).exists()
    assert spare not in headway("trash", "list", "--json").out
    assert headway("trash", "purge", spare, "--yes", code=5).err.startswith("error: there is no run")
    assert "nothing in the trash fits" in headway("trash", "purge", "--older-than", "3650d", "--yes").out
    events = httpx.get(
        json.loads((headway.data / "server.json").read_bytes())["url"] + f"/api/v1/events?entity_id={spare}",
        headers={"authorization": f"Bearer {(headway.data / 'admin-token').read_text().strip()}"},
    ).json()
    assert events[0]["to_state"] == "purged"
    assert events[0]["detail"]["bytes"] == 2_000_000


def test_space_and_retention_are_shown_and_reclaimed(headway, spare) -> None:
    shown = headway("space", "--fresh").out
    assert "artifacts" in shown
    assert spare in shown
    found = headway("space", "--json").json
    assert found["in_trash"] >= 2_000_000
    assert found["disk_free"] > 0
    done = headway("space", "reclaim", "--json").json
    assert done["database"]["how"] == "unused pages were given back"
    assert "trash: 30 days" in headway("retention").out
    assert headway("retention", "apply", "--dry-run", "--json").json["trash"] == []
