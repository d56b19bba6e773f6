"""Commands as rows: one per line of a comment, moved forward only, with an event for every step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, Select, select, update
from sqlalchemy.dialects import postgresql, sqlite

from headway.commands.model import Command, CommandState
from headway.db import events, schema
from headway.errors import Conflict, NotFound

_FIELDS = tuple(each.name for each in fields(Command))
_NEXT: dict[CommandState, frozenset[CommandState]] = {
    CommandState.NEEDS_APPROVAL: frozenset({CommandState.ACCEPTED, CommandState.REFUSED}),
    CommandState.ACCEPTED: frozenset({CommandState.NEEDS_APPROVAL, CommandState.EXECUTED, CommandState.REFUSED}),
    CommandState.EXECUTED: frozenset(),
    CommandState.REFUSED: frozenset(),
}


class CommandStore:
    """The commands of one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Speak to the database through `tx`."""
        self._tx = tx

    def add(self, command: Command, *, told: str = "") -> Command:
        """Keep a command and return it; the line of a comment that has one already returns that one.

        A caller sees by the id whether its own was taken. `told` is the forge's delivery that brought it.
        """
        values = {name: getattr(command, name) for name in _FIELDS}
        insert = sqlite.insert if self._tx.dialect.name == "sqlite" else postgresql.insert
        row = insert(schema.command).values(values).on_conflict_do_nothing().returning(schema.command.c.id)
        if self._tx.execute(row).scalar() is None:
            return self._existing(command)
        events.record(
            self._tx,
            "command",
            command.id,
            to_state=command.state,
            at=command.at,
            actor=command.actor,
            reason=command.reason or command.cause,
            detail={
                "verb": command.verb,
                "origin": command.origin,
                "repo": command.repo_id,
                "change": command.change,
                "sha": command.head_sha,
                "comment": command.comment_id,
                "delivery": told,
            },
        )
        return command

    def get(self, command_id: str) -> Command:
        """Return one command; `NotFound` when there is none."""
        found = self._all(select(schema.command).where(schema.command.c.id == command_id))
        if not found:
            raise NotFound(f"there is no command {command_id}")
        return found[0]

    def of_change(self, repo_id: str, change: int) -> tuple[Command, ...]:
        """Return every command of a change, oldest first."""
        table = schema.command.c
        return self._all(select(schema.command).where(table.repo_id == repo_id, table.change == change))

    def of_repo(self, repo_id: str, *, limit: int = 100) -> tuple[Command, ...]:
        """Return the latest commands of a repository, newest first."""
        table = schema.command.c
        query = select(schema.command).where(table.repo_id == repo_id)
        rows = self._tx.execute(query.order_by(table.at.desc(), table.line.desc(), table.id.desc()).limit(limit))
        return tuple(_command(row) for row in rows)

    def causes(self, command_ids: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return what asked for things, by command: origin, actor and, where it was no comment, the cause in words."""
        table = schema.command.c
        query = select(table.id, table.origin, table.actor, table.cause).where(table.id.in_(list(command_ids)))
        return {
            row.id: {"origin": row.origin, "actor": row.actor, "cause": row.cause} for row in self._tx.execute(query)
        }

    def in_state(self, state: CommandState, *, limit: int = 100) -> tuple[Command, ...]:
        """Return the commands in a state, oldest first."""
        return self._all(select(schema.command).where(schema.command.c.state == state), limit=limit)

    def move(
        self,
        command_id: str,
        *,
        to: CommandState,
        of: Sequence[CommandState],
        actor: str,
        at: datetime,
        reason: str = "",
        answer: str | None = None,
    ) -> bool:
        """Move a command that is in one of the states `of`; False when somebody else moved it first.

        Raises:
            Conflict: no path leads from one of those states to `to`.
        """
        for state in of:
            if to not in _NEXT[state]:
                raise Conflict(f"a command that is {state} cannot become {to}")
        # The row is locked by the write that follows only on PostgreSQL; the condition decides on both.
        before = self._tx.execute(select(schema.command.c.state).where(schema.command.c.id == command_id)).scalar()
        if before not in of:
            return False
        values: dict[str, object] = {"state": to} if answer is None else {"state": to, "answer": answer}
        table = schema.command.c
        moved = self._tx.execute(
            update(schema.command).where(table.id == command_id, table.state == before).values(values),
        )
        if moved.rowcount == 0:
            return False
        events.record(
            self._tx,
            "command",
            command_id,
            from_state=before,
            to_state=to,
            at=at,
            actor=actor,
            reason=reason,
        )
        return True

    def answer(self, command_id: str, text: str) -> None:
        """Keep what was said back; the latest answer stands."""
        self._set(command_id, answer=text)

    def attach_job(self, command_id: str, job_id: str) -> None:
        """Keep the job that a command led to."""
        self._set(command_id, job_id=job_id)

    def _set(self, command_id: str, **values: str) -> None:
        done = self._tx.execute(update(schema.command).where(schema.command.c.id == command_id).values(values))
        if done.rowcount == 0:
            raise NotFound(f"there is no command {command_id}")

    def _existing(self, command: Command) -> Command:
        table = schema.command.c
        same_line = (
            (table.repo_id == command.repo_id) & (table.comment_id == command.comment_id) & (table.line == command.line)
        )
        return self._all(select(schema.command).where((table.id == command.id) | same_line))[0]

    def _all(self, query: Select[tuple[object, ...]], *, limit: int | None = None) -> tuple[Command, ...]:
        table = schema.command.c
        ordered = query.order_by(table.at, table.line, table.id).limit(limit)
        return tuple(_command(row) for row in self._tx.execute(ordered))


def _command(row: Row[tuple[object, ...]]) -> Command:
    return msgspec.convert({name: getattr(row, name) for name in _FIELDS}, type=Command)
