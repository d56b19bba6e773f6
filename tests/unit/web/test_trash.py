"""The page of the trash: what lies there, back again, or gone for good."""

from __future__ import annotations

from fakes.site import Site
from headway.auth.model import Role
from headway.flow.purging import work_off
from headway.tracking.model import RunStatus
from headway.tracking.store import RunStore


def deleted_run(site: Site) -> str:
    with site.app.database.write() as tx:
        store = RunStore(tx, actor="ada")
        run = store.create_run("0" if store.experiments.find("Default") else _experiment(store), name="spare")
        store.finish(run, RunStatus.FINISHED)
        store.delete_run(run)
    return run


def _experiment(store: RunStore) -> str:
    return store.experiments.get_or_create("spare").id


def test_a_run_is_restored_and_purged_from_the_page(fresh: Site) -> None:
    first, second = deleted_run(fresh), deleted_run(fresh)
    client = fresh.client()
    page = client.get("/trash").text
    assert first[:10] in page
    assert "Delete for good" in page
    assert client.post("/trash/restore", data={"id": first}).status_code == 303
    assert client.post("/trash/purge", data={"id": second}).status_code == 303
    work_off(fresh.app)
    page = client.get("/trash").text
    assert first[:10] not in page
    assert second[:10] not in page
    with fresh.app.database.read() as tx:
        assert RunStore(tx).info(first).stage == "active"
        assert RunStore(tx).find(second) is None


def test_what_is_held_says_why_and_offers_no_purge(fresh: Site) -> None:
    run = fresh.runs[1]
    with fresh.app.database.write() as tx:
        RunStore(tx, actor="ada").delete_run(run)
    client = fresh.client()
    page = client.get("/trash").text
    assert "held: " in page
    assert "Delete for good" not in page
    refused = client.post("/trash/purge", data={"id": run})
    assert refused.status_code == 403
    assert "stays" in refused.text


def test_a_viewer_looks_and_changes_nothing(fresh: Site) -> None:
    run = deleted_run(fresh)
    viewer = fresh.client(Role.VIEWER)
    page = viewer.get("/trash").text
    assert run[:10] in page
    assert "Restore" not in page
    assert viewer.post("/trash/restore", data={"id": run}).status_code == 403
    assert fresh.client(Role.CONTRIBUTOR).post("/trash/purge", data={"id": run}).status_code == 403
