"""Runs, models, endpoints, secrets, tokens: the nouns."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


@pytest.fixture(scope="module")
def run(headway) -> str:
    return str(headway("jobs", "show", "1", "--json").json["tasks"][0]["run_id"])


def test_runs_are_found_shown_and_compared(headway, run) -> None:
    other = str(headway("train", "--set", "lr=0.15", "--json").json[0]["tasks"][0]["run_id"])
    found = headway(
        "runs", "list", "--filter", "metrics.val_auc > 0.7", "--order", "metrics.val_auc DESC", "--json"
    ).json
    assert run in {each["info"]["run_id"] for each in found}
    assert "no runs match" in headway("runs", "--filter", "metrics.val_auc > 99").err
    assert run[:8] in headway("runs", "-n", "200").out
    wrong = headway("runs", "list", "--filter", "bogus", code=2)
    assert "hint:  headway runs list --filter" in wrong.err
    shown = headway("runs", "show", run[:8]).out
    assert shown.index("val_auc") < shown.index("headway.job")  # numbers first
    assert headway("runs", "compare", run, other).out.splitlines()[0].split()[-2:] == [run[:7], other[:7]]
    assert len(headway("runs", "compare", run, other, "--json").json) == 2
    assert "nothing to be compared with" in headway("runs", "compare", run, code=2).err


def test_runs_are_tagged_exported_and_deleted_only_with_yes(headway, tmp_path, run) -> None:
    assert headway("runs", "tag", run[:8], "note=good", "--json").json["tags"] == {"note": "good"}
    assert headway("runs", "show", run, "--json").json["tags"]["note"] == "good"
    assert "written by the code or by Headway only" in headway("runs", "tag", run, "mlflow.user=me", code=2).err
    target = tmp_path / "runs.csv"
    headway("runs", "export", str(target))
    rows = list(csv.DictReader(target.open()))
    assert next(row for row in rows if row["run_id"] == run)["metrics.val_auc"] == "0.71"
    assert "is there already" in headway("runs", "export", str(target), code=1).err
    assert headway("runs", "export", "--json").json[0]["run_id"]
    doomed = str(headway("train", "--set", "lr=0.9", "--json").json[0]["tasks"][0]["run_id"])
    assert f"hint:  headway runs delete {doomed} --yes" in headway("runs", "delete", doomed[:8], code=2).err
    assert headway("runs", "delete", doomed, "--yes").out == f"deleted {doomed[:8]}\n"
    assert doomed not in headway("runs", "list", "-n", "200", "--json").out


@pytest.fixture(scope="module")
def model(headway, run) -> str:
    """A version whose files a client logged, as MLflow's does it."""
    server = json.loads((headway.data / "server.json").read_bytes())
    token = (headway.data / "admin-token").read_text().strip()
    with httpx.Client(base_url=server["url"] + "/api/2.0", headers={"authorization": f"Bearer {token}"}) as wire:
        info = wire.get("/mlflow/runs/get", params={"run_id": run}).raise_for_status().json()["run"]["info"]
        root = info["artifact_uri"].partition("mlflow-artifacts:/")[2].lstrip("/")
        for name, text in (("MLmodel", "flavors: {}\n"), ("data/weights.bin", "12345")):
            wire.put(f"/mlflow-artifacts/artifacts/{root}/model/{name}", content=text).raise_for_status()
        wire.post("/mlflow/registered-models/create", json={"name": "tiny"}).raise_for_status()
        version = {"name": "tiny", "source": f"{info['artifact_uri']}/model", "run_id": run}
        wire.post("/mlflow/model-versions/create", json=version).raise_for_status()
    return "tiny"


def test_models_are_shown_named_and_downloaded(headway, model, tmp_path) -> None:
    assert headway("models", "--json").json[0]["name"] == model
    assert "v1 (candidate)" in headway("models").out
    assert headway("models", "alias", model, "champion", "1").out == "tiny@champion is v1\n"
    assert "champion" in headway("models", "show", model).out
    folder = tmp_path / "copy"
    done = headway("models", "download", "tiny@champion", str(folder), "--json").json
    assert (done["files"], done["size"]) == (2, 17)
    assert (folder / "data" / "weights.bin").read_text() == "12345"
    assert "is not empty" in headway("models", "download", "tiny@1", str(folder), code=1).err
    assert "no version or alias 7" in headway("models", "download", "tiny@7", code=5).err
    assert "there is no model nope" in headway("models", "show", "nope", code=5).err
    assert headway("why", "tiny@1", "--json").json[0]["what"] == "model version"


def test_nothing_serves_yet(headway) -> None:
    assert "nothing is deployed: headway deploy" in headway("endpoints").err
    assert headway("endpoints", "list", "--json").json == []
    assert "there is no deployment 'x'" in headway("endpoints", "show", "x", code=5).err
    assert "there is no deployment 'x'" in headway("endpoints", "logs", "x", code=5).err
    assert "there is no deployment 'x'" in headway("endpoints", "invoke", "x", stdin="{}", code=5).err
    assert "nothing is known of 'x'" in headway("why", "x", code=5).err
    assert "hint:" in headway("deploy", "1", "--dry-run", code=1).err
    waits = headway("approve", code=1)
    assert "hint:  headway deploy" in waits.err  # not /deploy, which is for comments
    assert "which project?" in headway("rollback", code=1).err


def test_secrets_go_in_and_never_come_out(headway) -> None:
    assert headway("secrets", "set", "API_KEY", stdin="s3cret-value\n").out == "set API_KEY\n"
    assert headway("secrets", "list", "--json").json == ["API_KEY"]
    assert "s3cret" not in headway("secrets", "list").out
    assert "an empty value" in headway("secrets", "set", "API_KEY", stdin="", code=2).err
    assert "hint:  headway secrets remove API_KEY --yes" in headway("secrets", "remove", "API_KEY", code=2).err
    headway("secrets", "remove", "API_KEY", "--yes")
    assert "hint:  headway secrets list" in headway("secrets", "remove", "API_KEY", "--yes", code=5).err


def test_a_secret_typed_at_a_terminal_is_not_shown(headway) -> None:
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "headway.cli.main", "secrets", "set", "TYPED"]
    process = subprocess.Popen(
        words,
        cwd=headway.folder,
        env=headway.environment(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    said = b""
    while b"value of TYPED" not in said:
        said += os.read(master, 1000)
    os.write(master, b"hidden-value\n")
    while True:
        try:
            part = os.read(master, 1000)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(master)
    assert process.wait(timeout=60) == 0
    assert b"hidden-value" not in said
    headway("secrets", "remove", "TYPED", "--yes")


def test_login_names_the_page_and_who_one_is(headway) -> None:
    assert "/login#token=hw_" in headway("login").out
    me = headway("login", "status", "--json").json
    assert (me["role"], me["token_from"]) == ("admin", str(headway.data / "admin-token"))
    assert "no login to end" in headway("login", "out", code=2).err


def test_a_token_for_a_server_elsewhere_is_kept_privately_and_forgotten(headway) -> None:
    url = json.loads((headway.data / "server.json").read_bytes())["url"]
    token = (headway.data / "admin-token").read_text()
    elsewhere = {"HEADWAY_URL": url, "HEADWAY_DATA": str(headway.data.parent / "none")}
    assert "hint:  printf %s TOKEN | headway login --token-stdin" in headway("jobs", code=4, **elsewhere).err
    assert headway("login", "--token-stdin", stdin="hw_wrong", code=4, **elsewhere).out == ""
    assert "(admin)" in headway("login", "--token-stdin", stdin=token, **elsewhere).out
    kept = headway.data.parent / "config" / "headway" / "tokens.json"
    assert kept.stat().st_mode & 0o077 == 0
    assert headway("jobs", "--json", **elsewhere).json
    assert headway("server", "status", "--json", **elsewhere).json["running"] is True
    assert headway("login", "status", "--json", **elsewhere).json["token_from"] == str(kept)
    headway("login", "out", **elsewhere)
    assert headway("login", "out", code=4, **elsewhere).err.startswith("error: no token is kept")
    assert not Path(elsewhere["HEADWAY_DATA"]).exists()  # no server of its own was started
