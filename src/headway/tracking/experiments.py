"""Experiments: named sets of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.auth.model import NO_PROJECT
from headway.auth.visible import EVERYTHING
from headway.clock import SystemClock, to_millis
from headway.errors import NotFound, UsageError
from headway.tracking.errors import AlreadyExists, WrongState
from headway.tracking.events import note
from headway.tracking.limits import (
    check_length,
    checked_experiment_name,
    checked_experiment_tag,
    experiment_number,
)
from headway.tracking.link import Link, marks
from headway.tracking.location import checked_location
from headway.tracking.model import DEFAULT_EXPERIMENT, Experiment, Tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from headway.auth.visible import Sight
    from headway.clock import Clock
    from headway.tracking.link import Row

_COLUMNS = "id, name, artifact_location, stage, creation_time, last_update_time, project"
_ROOT = "mlflow-artifacts:/"
# What is being purged is gone for everybody; only the purge itself still sees it.
_HERE = "stage <> 'purging'"


class ExperimentStore:
    """Experiments over one connection, in its transaction."""

    def __init__(self, tx: Connection, *, actor: str = "", clock: Clock | None = None) -> None:
        """Work inside the transaction of `tx`; events name `actor`."""
        self.link = Link(tx)
        self._actor = actor
        self._clock = clock or SystemClock()

    def ensure_default(self) -> None:
        """Make experiment 0, "Default", where it is missing; safe to race."""
        now = self._now()
        self.link.run(
            "insert into experiment (id, name, artifact_location, stage, creation_time, last_update_time) "
            "values (?, ?, ?, 'active', ?, ?) on conflict do nothing",
            (DEFAULT_EXPERIMENT, "Default", f"{_ROOT}{DEFAULT_EXPERIMENT}", now, now),
        )

    def create(
        self,
        name: str,
        *,
        artifact_location: str = "",
        tags: Sequence[Tag] = (),
        project: str = NO_PROJECT,
        is_local: bool = False,
    ) -> str:
        """Make an experiment and return its id; the name must be new in its project, also among deleted ones.

        `is_local` lets a client name a folder of the machine that it shares with this server, and opens by itself.
        """
        checked_experiment_name(name)
        location = checked_location(artifact_location, is_local=is_local) if artifact_location else ""
        pairs = dict(checked_experiment_tag(tag.key, tag.value) for tag in tags)
        now = self._now()
        row = self.link.one(
            "insert into experiment (name, artifact_location, stage, creation_time, last_update_time, project) "
            "values (?, ?, 'active', ?, ?, ?) on conflict (project, name) do nothing returning id",
            (name, location, now, now, project),
        )
        if row is None:
            raise AlreadyExists(f"Experiment(name={name}) already exists.")
        exp = int(row[0])
        if not location:
            self.link.run("update experiment set artifact_location = ? where id = ?", (f"{_ROOT}{exp}", exp))
        self._put_tags(exp, pairs)
        note(self.link, "experiment", str(exp), to_state="active", at=now, actor=self._actor)
        return str(exp)

    def get(self, experiment_id: str) -> Experiment:
        """Return an experiment, deleted or not."""
        exp = experiment_number(experiment_id)
        row = self.link.one(f"select {_COLUMNS} from experiment where id = ? and {_HERE}", (exp,))  # noqa: S608  # our own names
        if row is None:
            raise _unknown(exp)
        return self._with_tags([row])[0]

    def find(self, name: str, *, sight: Sight = EVERYTHING, project: str = NO_PROJECT) -> Experiment | None:
        """Return the experiment of a name, deleted or not: of this project, else of none, else the oldest in sight."""
        row = self.link.one(
            f"select {_COLUMNS} from experiment where name = ? and {_HERE}{_seen(sight)} "  # noqa: S608  # our own names
            "order by case when project = ? then 0 when project = '' then 1 else 2 end, id limit 1",
            (name, *sight[1], project),
        )
        return None if row is None else self._with_tags([row])[0]

    def find_in(self, project: str, name: str) -> Experiment | None:
        """Return the experiment of a name in one project, deleted or not."""
        row = self.link.one(
            f"select {_COLUMNS} from experiment where name = ? and project = ? and {_HERE}",  # noqa: S608  # ours
            (name, project),
        )
        return None if row is None else self._with_tags([row])[0]

    def get_or_create(self, name: str, *, project: str = NO_PROJECT) -> Experiment:
        """Return a project's active experiment of a name, making it when there is none."""
        found = self.find_in(project, name)
        if found is None:
            return self.get(self.create(name, project=project))
        if found.stage != "active":
            raise UsageError(
                f"the experiment {name!r} is deleted",
                hint=f"restore it (experiment {found.id}), or name another",
            )
        return found

    def all(self, stages: Sequence[str], *, sight: Sight = EVERYTHING) -> list[Experiment]:
        """Return every experiment of these stages that is in sight."""
        return self._with_tags(
            self.link.all(
                f"select {_COLUMNS} from experiment where stage in ({marks(len(stages))}){_seen(sight)}",  # noqa: S608  # ours
                (*stages, *sight[1]),
            ),
        )

    def rename(self, experiment_id: str, name: str) -> None:
        """Give an active experiment another name."""
        checked_experiment_name(name)
        found = self.get(experiment_id)
        if found.stage != "active":
            raise WrongState("Cannot rename a non-active experiment.")
        other = self.find_in(found.project, name)
        if other is not None and other.id != found.id:
            raise AlreadyExists(f"Experiment(name={name}) already exists.")
        self.link.run(
            "update experiment set name = ?, last_update_time = ? where id = ?",
            (name, self._now(), int(found.id)),
        )

    def delete(self, experiment_id: str) -> None:
        """Put an active experiment and its runs into the trash."""
        self._move(experiment_id, "active", "deleted")

    def restore(self, experiment_id: str) -> None:
        """Take a deleted experiment and its runs out of the trash."""
        self._move(experiment_id, "deleted", "active")

    def set_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Set a tag; the last writer wins."""
        pair = checked_experiment_tag(key, value)
        self._put_tags(self._active(experiment_id), dict([pair]))

    def delete_tag(self, experiment_id: str, key: str) -> None:
        """Remove a tag that is there."""
        check_length(key, "key", 10_000)
        exp = self._active(experiment_id)
        done = self.link.run("delete from experiment_tag where exp = ? and key = ?", (exp, key))
        if done.rowcount == 0:
            raise NotFound(f"No tag with name: {key} in experiment with id {experiment_id}")

    def _active(self, experiment_id: str) -> int:
        found = self.get(experiment_id)
        if found.stage != "active":
            raise UsageError(
                f"The experiment {found.id} must be in the 'active' state. Current state is {found.stage}.",
            )
        return int(found.id)

    def _move(self, experiment_id: str, stage: str, to: str) -> None:
        exp, now = experiment_number(experiment_id), self._now()
        since, by = (now, self._actor[:128]) if to == "deleted" else (None, None)
        done = self.link.run(
            "update experiment set stage = ?, last_update_time = ?, deleted_time = ?, deleted_by = ? "
            "where id = ? and stage = ?",
            (to, now, since, by, exp, stage),
        )
        if done.rowcount == 0:
            raise _unknown(exp)
        self.link.run(
            "update run set stage = ?, deleted_time = ?, deleted_by = ?, version = version + 1 "  # noqa: S608  # ours
            f"where exp = ? and {_HERE}",
            (to, since, by, exp),
        )
        note(self.link, "experiment", str(exp), to_state=to, at=now, actor=self._actor, from_state=stage)

    def _put_tags(self, exp: int, tags: dict[str, str]) -> None:
        self.link.many(
            "insert into experiment_tag (exp, key, value) values (?, ?, ?) "
            "on conflict (exp, key) do update set value = excluded.value",
            [(exp, key, value) for key, value in tags.items()],
        )

    def _with_tags(self, rows: list[Row]) -> list[Experiment]:
        tags: dict[int, dict[str, str]] = {row[0]: {} for row in rows}
        found = self.link.each("select exp, key, value from experiment_tag where exp in (??)", list(tags))
        for exp, key, value in found:
            tags[exp][key] = value
        return [
            Experiment(
                id=str(row[0]),
                name=row[1],
                artifact_location=row[2],
                stage=row[3],
                creation_time=row[4],
                last_update_time=row[5],
                project=row[6],
                tags=tags[row[0]],
            )
            for row in rows
        ]

    def _now(self) -> int:
        return to_millis(self._clock.now())


def _seen(sight: Sight) -> str:
    return f" and {sight[0]}" if sight[0] else ""


def _unknown(exp: int) -> NotFound:
    return NotFound(f"No Experiment with id={exp} exists")
