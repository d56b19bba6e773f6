from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select

from headway.clock import FixedClock
from headway.db import schema
from headway.errors import NotFound, Refused, UsageError
from headway.registry.model import Lineage, VersionState
from headway.registry.store import RegistryStore, event_id
from headway.tracking.errors import AlreadyExists


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def store(tx: Connection, clock: FixedClock) -> RegistryStore:
    return RegistryStore(tx, clock)


def events_of(tx: Connection, entity: str) -> list[tuple[str, str | None, str, str]]:
    rows = tx.execute(select(schema.event).where(schema.event.c.entity == entity).order_by(schema.event.c.seq))
    return [(row.entity_id, row.from_state, row.to_state, row.actor) for row in rows]


def candidate(store: RegistryStore, *, run_id: str = "r1", digest: str = "d1", source: str = "0/r1/artifacts/m"):
    return store.register_candidate(
        "flights",
        source=source,
        digest=digest,
        env_digest="e" * 64,
        env_path="/envs/e",
        lineage=Lineage(run_id=run_id, job_id="j1", commit="c1", change=7, actor="ann", data={"flights": "f1"}),
        actor="headway",
    )


def test_a_name_is_taken_once(store: RegistryStore) -> None:
    made = store.create_model("flights", description="late?", tags={"team": "ops"})
    assert (made.name, made.description, made.tags, made.latest) == ("flights", "late?", {"team": "ops"}, ())
    with pytest.raises(AlreadyExists, match=r"Registered Model \(name=flights\) already exists\."):
        store.create_model("flights")
    assert store.get_model("flights").tags == {"team": "ops"}


@pytest.mark.parametrize(
    "name",
    ["", "  ", "a/b", "a:b", "..", "a%2Fb", "a\u200bb", "cafe\u0301", "a\nb", "a\\b", "x" * 257, "a\0b", "\ud800"],
    ids=ascii,
)
def test_names_that_could_mean_another_model_are_refused(store: RegistryStore, name: str) -> None:
    with pytest.raises(UsageError):
        store.create_model(name)


def test_numbers_count_up_and_are_never_given_again(store: RegistryStore) -> None:
    store.create_model("m")
    numbers = [store.create_version("m", source=f"k{index}").number for index in range(3)]
    store.delete_version("m", 3)
    assert numbers == [1, 2, 3]
    assert store.create_version("m", source="k").number == 4
    with pytest.raises(NotFound, match=r"Model Version \(name=m, version=3\) not found"):
        store.get_version("m", 3)


def test_a_version_needs_its_model(store: RegistryStore) -> None:
    with pytest.raises(NotFound, match="Registered Model with name=nobody not found"):
        store.create_version("nobody", source="k")


def test_a_model_is_deleted_with_versions_tags_and_aliases(store: RegistryStore, tx: Connection) -> None:
    store.create_model("m", tags={"a": "1"})
    store.create_version("m", source="k", tags={"b": "2"})
    store.set_alias("m", "champion", number=1, actor="ann")
    store.delete_model("m", actor="ann")
    for table in (schema.registered_model, schema.model_version, schema.registry_tag, schema.model_alias):
        assert tx.execute(select(table)).all() == []
    assert store.create_model("m").tags == {}
    assert store.create_version("m", source="k").number == 1


def test_a_renamed_model_keeps_everything(store: RegistryStore) -> None:
    store.create_model("old", tags={"a": "1"})
    store.create_model("taken")
    store.create_version("old", source="k", tags={"b": "2"})
    store.set_alias("old", "champion", number=1, actor="ann")
    with pytest.raises(AlreadyExists):
        store.rename_model("old", "taken")
    renamed = store.rename_model("old", "new")
    assert (renamed.tags, renamed.aliases) == ({"a": "1"}, {"champion": 1})
    assert store.get_version("new", 1).tags == {"b": "2"}
    with pytest.raises(NotFound):
        store.get_model("old")


def test_an_alias_moves_and_each_move_is_an_event(store: RegistryStore, tx: Connection) -> None:
    store.create_model("m")
    for _ in range(2):
        store.create_version("m", source="k")
    store.set_alias("m", "champion", number=1, actor="ann")
    store.set_alias("m", "champion", number=2, actor="bob", reason="canary passed")
    store.set_alias("m", "champion", number=2, actor="bob")
    assert store.by_alias("m", "champion").number == 2
    assert store.get_version("m", 2).aliases == ("champion",)
    assert store.get_version("m", 1).aliases == ()
    store.delete_alias("m", "champion", actor="cat")
    store.delete_alias("m", "champion", actor="cat")
    assert events_of(tx, "alias") == [
        ("m@champion", None, "1", "ann"),
        ("m@champion", "1", "2", "bob"),
        ("m@champion", "2", "none", "cat"),
    ]
    with pytest.raises(UsageError, match="Registered model alias champion not found"):
        store.by_alias("m", "champion")
    assert store.find_alias("m", "champion") is None


@pytest.mark.parametrize("alias", ["", "latest", "Latest", "v1", "V12", "a b", "a/b", "é", "x" * 256, "a\n"])
def test_aliases_that_look_like_versions_are_refused(store: RegistryStore, alias: str) -> None:
    store.create_model("m")
    store.create_version("m", source="k")
    with pytest.raises(UsageError):
        store.set_alias("m", alias, number=1, actor="ann")


def test_an_alias_needs_a_version(store: RegistryStore) -> None:
    store.create_model("m")
    with pytest.raises(NotFound):
        store.set_alias("m", "champion", number=1, actor="ann")


def test_stages_archive_what_was_there_and_the_newest_of_each_is_shown(store: RegistryStore) -> None:
    store.create_model("m")
    for _ in range(3):
        store.create_version("m", source="k")
    store.transition_stage("m", 1, stage="production")
    moved = store.transition_stage("m", 2, stage="Production", archive_existing=True)
    assert moved.stage == "Production"
    assert [(each.stage, each.number) for each in store.latest_versions("m")] == [
        ("None", 3),
        ("Production", 2),
        ("Archived", 1),
    ]
    assert [each.number for each in store.latest_versions("m", ["production"])] == [2]
    with pytest.raises(UsageError, match="Invalid Model Version stage"):
        store.transition_stage("m", 1, stage="Live")
    with pytest.raises(UsageError, match="not an Active stage"):
        store.transition_stage("m", 1, stage="None", archive_existing=True)


def test_tags_are_written_over_and_removed(store: RegistryStore) -> None:
    store.create_model("m")
    store.create_version("m", source="k")
    store.set_version_tag("m", 1, key="a", value="1")
    store.set_version_tag("m", 1, key="a", value="2")
    store.set_model_tag("m", "a", value="model")
    assert store.get_version("m", 1).tags == {"a": "2"}
    assert store.get_model("m").tags == {"a": "model"}
    store.delete_version_tag("m", 1, key="a")
    store.delete_version_tag("m", 1, key="absent")
    assert store.get_version("m", 1).tags == {}
    with pytest.raises(UsageError):
        store.set_model_tag("m", "a/../b", value="x")
    with pytest.raises(UsageError):
        store.set_model_tag("m", "a", value="x" * 100_001)


def test_a_candidate_has_digest_environment_and_lineage(store: RegistryStore, tx: Connection) -> None:
    made = candidate(store)
    assert (made.model, made.number, made.state, made.digest) == ("flights", 1, "candidate", "d1")
    assert made.lineage.change == 7
    assert made.lineage.data == {"flights": "f1"}
    assert store.version_of_run("r1") == made
    assert store.version_of_run("unknown") is None
    assert store.version_of_run("") is None
    assert ("flights/1", None, "candidate", "headway") in events_of(tx, "model_version")


def test_registering_again_gives_the_same_version(store: RegistryStore) -> None:
    assert candidate(store).number == candidate(store).number == 1
    assert candidate(store, digest="d2").number == 2
    assert candidate(store, run_id="r2", source="0/r2/artifacts/m").number == 3


def test_what_the_runs_code_registered_is_adopted(store: RegistryStore) -> None:
    store.create_model("flights")
    store.create_version("flights", source="0/r1/artifacts/m", run_id="r1", source_uri="models:/m-1", model_id="m-1")
    made = candidate(store)
    assert (made.number, made.digest, made.model_id, made.lineage.job_id) == (1, "d1", "m-1", "j1")


def test_a_released_version_can_be_neither_deleted_nor_renamed(store: RegistryStore, clock: FixedClock) -> None:
    candidate(store)
    clock.advance(timedelta(seconds=1))
    store.set_state("flights", 1, state=VersionState.RELEASED, actor="release-1")
    for act in (
        lambda: store.delete_version("flights", 1),
        lambda: store.delete_model("flights"),
        lambda: store.rename_model("flights", "trains"),
    ):
        with pytest.raises(Refused, match="it is released"):
            act()
    store.set_state("flights", 1, state=VersionState.ARCHIVED, actor="release-1", reason="rolled back")
    store.delete_version("flights", 1)


def test_the_first_approver_stays(store: RegistryStore) -> None:
    candidate(store)
    store.approve("flights", 1, approver="ann")
    assert store.approve("flights", 1, approver="bob").lineage.approved_by == "ann"
    assert store.lineage("flights", 1).commit == "c1"


def test_event_ids_fit_their_column() -> None:
    assert event_id("m", "/1") == "m/1"
    long = event_id("x" * 256, "@champion")
    assert len(long) <= 128
    assert long.endswith("@champion")
    assert long != event_id("x" * 255 + "y", "@champion")
