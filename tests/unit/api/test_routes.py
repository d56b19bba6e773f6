"""Every route of the API does what it says, on a real database and a real repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import headway
from headway.auth.model import Role
from headway.auth.secrets import SecretStore
from headway.forges.model import StatusState, WantedStatus


def test_the_server_says_who_is_asking(api: Any) -> None:
    assert api.get("/server")["role"] == "admin"
    assert {item["name"] for item in api.get("/doctor")} >= {"git", "database", "disk", "isolation"}


def test_events_are_read_newest_first_and_by_entity(api: Any) -> None:
    found = api.get("/events?entity=job")
    assert [each["seq"] for each in found] == sorted((each["seq"] for each in found), reverse=True)
    assert {each["entity"] for each in found} == {"job"}


def test_events_are_exported_page_by_page_and_none_is_ever_changed(api: Any) -> None:
    """Rule 32: everything comes out, oldest first; nothing in the code updates or deletes an event."""
    whole = [each["seq"] for each in reversed(api.get("/events?limit=1000"))]
    pages: list[int] = []
    while found := api.get(f"/events?after={pages[-1] if pages else 0}&limit=3"):
        pages += [each["seq"] for each in found]
    assert pages == whole
    assert len(pages) > 3
    assert api.ask("GET", "/events?after=-1").status_code == 400
    source = Path(headway.__file__).parent
    changed = re.compile(r"schema\.event\.(?:update|delete)|(?:update|delete)\(schema\.event\b")
    found_in = [path.name for path in source.rglob("*.py") if changed.search(path.read_text())]
    assert found_in == []


def test_a_backup_never_lands_in_the_data_directory(api: Any, tmp_path: Path) -> None:
    data = api.story.app.data
    (tmp_path / "link").symlink_to(data)
    for place in (data, data / "backup", tmp_path / "link" / "deep", f"{data}/x/../y"):
        answer = api.ask("POST", "/backup", json={"path": str(place)})
        assert answer.status_code in (400, 409), place
    assert not (data / "backup").exists()
    assert not (data / "y").exists()
    made = api.post("/backup", path=str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "headway.db").stat().st_size > 0
    assert made["files"] >= 1
    assert api.ask("POST", "/backup", json={"path": str(tmp_path / "copy")}).status_code == 409


def test_cleaning_answers_what_it_freed(api: Any) -> None:
    assert set(api.post("/clean")) == {"environments", "attempts", "builds"}


def test_a_repository_is_registered_once(api: Any) -> None:
    again = api.post("/repos", path=str(api.story.repository.path))
    assert again["id"] == api.story.repo.id
    assert [repo["id"] for repo in api.get("/repos")] == [again["id"]]
    assert api.ask("POST", "/repos", json={"path": "/"}).status_code >= 400


def test_a_change_is_opened_commented_and_closed(api: Any) -> None:
    api.story.repository.commit("other", {"train.py": "other\n"})
    opened = api.post(f"{api.repo}/changes", head="other", title="Another")
    place = f"{api.repo}/changes/{opened['number']}"
    said = api.post(f"{place}/comments", body="no command in it")
    assert said["body"] == "no command in it"
    shown = api.get(place)
    assert (shown["change"]["title"], [each["id"] for each in shown["comments"]]) == ("Another", [said["id"]])
    assert opened["number"] in [each["number"] for each in api.get(f"{api.repo}/changes")]
    assert api.post(f"{place}/close")["state"] == "closed"
    assert opened["number"] not in [each["number"] for each in api.get(f"{api.repo}/changes")]
    assert opened["number"] in [each["number"] for each in api.get(f"{api.repo}/changes?state=closed")]
    assert api.ask("GET", f"{api.repo}/changes?state=odd").status_code == 400


def test_only_a_green_head_is_merged(api: Any) -> None:
    api.story.repository.commit("merged", {"train.py": "merged\n"})
    change = api.post(f"{api.repo}/changes", head="merged")
    place = f"{api.repo}/changes/{change['number']}/merge"
    refused = api.ask("POST", place, json={})
    assert (refused.status_code, "never run" in refused.json()["message"]) == (403, True)
    green = WantedStatus(
        repo_id=api.story.repo.id,
        sha=change["head_sha"],
        context="headway/flights",
        state=StatusState.SUCCESS,
        title="good",
    )
    api.story.forge.deliver(green)
    assert api.post(place, method="squash")["change"]["state"] == "merged"


def test_commands_are_recorded_with_whoever_gave_them(api: Any) -> None:
    given = api.post(f"{api.repo}/commands", text="/train lr=0.1", change=api.change.number)
    assert (given["verb"], given["params"], given["head_sha"]) == ("train", {"lr": "0.1"}, api.change.head_sha)
    assert api.get(f"/commands/{given['id']}")["command"]["state"] == "accepted"
    on_main = api.post(f"{api.repo}/commands", text="/plan")
    assert on_main["head_sha"] == api.story.repository.head()


@pytest.mark.parametrize("text", ["/approve", "/deploy 1", "/rollback", "/override auc because"])
def test_a_contributor_s_token_gives_no_maintainer_s_command(api: Any, text: str) -> None:
    # The token's owner is this machine's user, an admin of the repository: the token is for less.
    by_command = api.ask("POST", f"{api.repo}/commands", role=Role.CONTRIBUTOR, json={"text": text})
    place = f"{api.repo}/changes/{api.change.number}/comments"
    by_comment = api.ask("POST", place, role=Role.CONTRIBUTOR, json={"body": f"well\n\n{text}\n"})
    for refused in (by_command, by_comment):
        assert (refused.status_code, "maintainer" in refused.json()["cause"]) == (403, True), refused.text
    assert api.ask("POST", place, role=Role.CONTRIBUTOR, json={"body": "/train"}).status_code == 200


def test_a_command_for_another_commit_is_refused(api: Any) -> None:
    for text in (f"/train @{'a' * 40}", f"/train @{api.change.head_sha[:8]}"):
        answer = api.ask("POST", f"{api.repo}/commands", json={"text": text, "change": api.change.number})
        assert answer.status_code == 400, answer.text
        assert api.change.head_sha in answer.json()["hint"]
    assert api.ask("POST", f"{api.repo}/commands", json={"text": f"/train @{'a' * 40}"}).status_code == 400


def test_a_plan_starts_nothing(api: Any) -> None:
    before = len(api.get("/jobs"))
    (plan,) = api.post(f"{api.repo}/plan", change=api.change.number)["plans"]
    assert plan["project"]["name"] == "flights"
    assert len(api.get("/jobs")) == before


def test_jobs_are_listed_filtered_and_shown(api: Any) -> None:
    # Other tests of this file may have made more jobs before.
    found = api.get(f"/jobs?change={api.change.number}&state=succeeded")
    (listed,) = [each for each in found if each["job"]["id"] == api.job.id]
    assert (listed["metrics"], listed["outcome"]) == ({"auc": 0.9}, "pass")
    assert api.get("/jobs?state=failed") == []
    shown = api.get(f"/jobs/{api.job.number}")
    assert shown["job"]["id"] == api.job.id
    assert [task["state"] for task in shown["tasks"]] == ["succeeded"]
    assert api.get(f"/jobs/{api.job.id}/logs") == {"lines": [], "next": "", "is_final": True}
    assert api.ask("GET", "/jobs/4242").status_code == 404


def test_a_report_comes_in_three_forms(api: Any) -> None:
    place = f"/jobs/{api.job.number}/report"
    assert api.get(place)["number"] == api.job.number
    assert "flights" in api.get(f"{place}?format=markdown")["body"]
    assert "flights" in api.get(f"{place}?format=terminal&width=60")["text"]


def test_jobs_are_compared_with_their_baseline_or_a_named_one(api: Any) -> None:
    other = api.story.ended(api.change, auc=0.7, params={})
    compared = api.get(f"/jobs/{api.job.number}/compare?with={other.number}")
    assert compared["metrics"] == {"auc": [0.7, 0.9]}
    assert api.ask("GET", f"/jobs/{api.job.number}/compare").status_code == 404


def test_runs_models_deployments_and_releases_that_are_not_there(api: Any) -> None:
    assert api.get("/runs") == []
    assert api.get("/models") == []
    assert api.get("/deployments") == []
    assert api.get("/releases?project=flights&change=1") == []
    for path in ("/runs/abc", "/models/m", "/deployments/d", "/deployments/d/logs", "/releases/r", "/why/x@1"):
        assert api.ask("GET", path).status_code == 404, path
    assert api.ask("POST", "/models/m/aliases", json={"alias": "a", "version": 1}).status_code == 404
    assert api.ask("GET", "/runs?filter=nonsense").status_code == 400


def test_a_secret_goes_in_and_never_comes_out(api: Any) -> None:
    value = "hunter2-and-more"
    place = f"{api.repo}/secrets/HOOK"
    assert api.ask("PUT", place, json={"value": value}).json() == {"name": "HOOK"}
    assert "HOOK" in str(api.get(f"{api.repo}/secrets"))
    paths = ["/events", "/jobs", f"{api.repo}/secrets", f"/jobs/{api.job.number}", f"/jobs/{api.job.number}/report"]
    assert all(value not in api.ask("GET", path).text for path in paths)
    with api.story.app.database.read() as tx:
        assert SecretStore(tx).all_values(api.story.repo.id)
    assert api.ask("DELETE", place).status_code == 200
    assert "HOOK" not in str(api.get(f"{api.repo}/secrets"))
