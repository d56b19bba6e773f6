from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from headway.commands.model import Command, CommandState, Origin, Verb
from headway.commands.store import CommandStore
from headway.db import schema
from headway.db.connection import Database
from headway.errors import Conflict, NotFound
from headway.ids import new_id

AT = datetime(2026, 11, 2, 14, 2, tzinfo=UTC)


def command(**changed: object) -> Command:
    made = Command(
        id=new_id(),
        verb=Verb.TRAIN,
        origin=Origin.COMMENT,
        repo_id="local:1",
        actor="maria",
        at=AT,
        project="flights",
        change=7,
        head_sha="9f3c2ab" * 5,
        params={"lr": "0.2"},
        environment="staging",
        dry_run=True,
        comment_id="31",
        line=2,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def events_of(db: Database, command_id: str) -> list[tuple[str | None, str, str, str]]:
    with db.read() as tx:
        table = schema.event.c
        query = select(table.from_state, table.to_state, table.actor, table.reason)
        rows = tx.execute(query.where(table.entity == "command", table.entity_id == command_id).order_by(table.seq))
        return [tuple(row) for row in rows]


def test_a_command_comes_back_as_it_was_kept(db: Database) -> None:
    made = command(arguments=("412",), reason="because")
    with db.write() as tx:
        assert CommandStore(tx).add(made) == made
    with db.read() as tx:
        assert CommandStore(tx).get(made.id) == made
    assert events_of(db, made.id) == [(None, "accepted", "maria", "because")]


def test_one_line_of_a_comment_makes_one_command(db: Database) -> None:
    first, again, next_line = command(), command(), command(line=3)
    with db.write() as tx:
        CommandStore(tx).add(first)
    with db.write() as tx:
        assert CommandStore(tx).add(again) == first
        assert CommandStore(tx).add(first) == first
        assert CommandStore(tx).add(next_line) == next_line
    assert events_of(db, again.id) == []
    with db.read() as tx:
        assert CommandStore(tx).of_change("local:1", 7) == (first, next_line)
        assert CommandStore(tx).of_repo("local:1", limit=1) == (next_line,)
        assert CommandStore(tx).of_change("local:2", 7) == ()


def test_commands_without_a_comment_are_all_kept(db: Database) -> None:
    with db.write() as tx:
        store = CommandStore(tx)
        for _ in range(2):
            store.add(command(comment_id=None, origin=Origin.CLI, change=None))
        assert len(store.in_state(CommandState.ACCEPTED)) == 2
        assert len(store.in_state(CommandState.ACCEPTED, limit=1)) == 1


def test_states_move_on_condition_and_leave_events(db: Database) -> None:
    made = command(state=CommandState.NEEDS_APPROVAL)
    with db.write() as tx:
        CommandStore(tx).add(made)
    waiting, accepted = (CommandState.NEEDS_APPROVAL,), (CommandState.ACCEPTED,)
    with db.write() as tx:
        store = CommandStore(tx)
        assert store.move(made.id, to=CommandState.ACCEPTED, of=waiting, actor="dan", at=AT + timedelta(minutes=1))
        assert not store.move(made.id, to=CommandState.ACCEPTED, of=waiting, actor="eve", at=AT)
        assert store.move(
            made.id, to=CommandState.EXECUTED, of=accepted, actor="headway", at=AT, reason="job 12", answer="Run #12"
        )
        store.attach_job(made.id, "J")
    with db.read() as tx:
        found = CommandStore(tx).get(made.id)
    assert (found.state, found.answer, found.job_id) == (CommandState.EXECUTED, "Run #12", "J")
    assert events_of(db, made.id)[1:] == [
        ("needs_approval", "accepted", "dan", ""),
        ("accepted", "executed", "headway", "job 12"),
    ]


@pytest.mark.parametrize("ended", [CommandState.EXECUTED, CommandState.REFUSED])
@pytest.mark.parametrize("to", list(CommandState))
def test_nothing_leaves_a_final_state(db: Database, ended: CommandState, to: CommandState) -> None:
    with db.write() as tx:
        store = CommandStore(tx)
        made = store.add(command(state=ended))
        with pytest.raises(Conflict, match=f"is {ended} cannot become {to}"):
            store.move(made.id, to=to, of=(ended,), actor="x", at=AT)


def test_a_move_undone_leaves_no_event(db: Database) -> None:
    made = command()
    with db.write() as tx:
        CommandStore(tx).add(made)
    with db.engine.connect() as tx:
        assert CommandStore(tx).move(made.id, to=CommandState.REFUSED, of=(CommandState.ACCEPTED,), actor="x", at=AT)
        tx.rollback()
    with db.read() as tx:
        assert CommandStore(tx).get(made.id).state is CommandState.ACCEPTED
    assert len(events_of(db, made.id)) == 1


def test_an_unknown_command_is_not_found(db: Database) -> None:
    with db.write() as tx:
        store = CommandStore(tx)
        for ask in (lambda: store.get("X"), lambda: store.answer("X", "y"), lambda: store.attach_job("X", "J")):
            with pytest.raises(NotFound, match="no command X"):
                ask()
        assert not store.move("X", to=CommandState.REFUSED, of=(CommandState.ACCEPTED,), actor="x", at=AT)


def test_an_answer_is_kept(db: Database) -> None:
    with db.write() as tx:
        made = CommandStore(tx).add(command())
        CommandStore(tx).answer(made.id, "already trained")
        assert CommandStore(tx).get(made.id).answer == "already trained"


def test_one_line_makes_one_command_also_when_many_take_it_at_once(db: Database) -> None:
    def take(made: Command) -> str:
        with db.write() as tx:
            return CommandStore(tx).add(made).id

    tries = [command() for _ in range(8)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        kept = set(pool.map(take, tries))
    assert len(kept) == 1
    with db.read() as tx:
        assert [each.id for each in CommandStore(tx).of_change("local:1", 7)] == list(kept)
    assert sum(len(events_of(db, made.id)) for made in tries) == 1
