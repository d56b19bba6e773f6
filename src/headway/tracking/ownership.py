"""Which project an experiment belongs to, and how it comes to another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headway.errors import UsageError
from headway.tracking.errors import AlreadyExists
from headway.tracking.events import note
from headway.tracking.experiments import ExperimentStore
from headway.tracking.limits import experiment_number

if TYPE_CHECKING:
    from headway.tracking.store import RunStore


def project_of_experiment(store: RunStore, experiment_id: str) -> str | None:
    """Return the project of an experiment, "" for an open one; None when there is none of that id."""
    row = store.link.one("select project from experiment where id = ?", (experiment_number(experiment_id),))
    return None if row is None else str(row[0])


def move_experiment(store: RunStore, experiment_id: str, project: str) -> None:
    """Put an active experiment, with all of its runs and models, into another project; "" opens it to all members.

    Raises:
        AlreadyExists: that project has an experiment of the same name.
        UsageError: the experiment is deleted.
    """
    experiments = ExperimentStore(store.tx)
    found = experiments.get(experiment_id)
    if found.stage != "active":
        raise UsageError(f"The experiment {found.id} must be in the 'active' state. Current state is {found.stage}.")
    if experiments.find_in(project, found.name) not in (None, found):
        raise AlreadyExists(f"Experiment(name={found.name}) already exists in that project.")
    store.link.run("update experiment set project = ? where id = ?", (project, int(found.id)))
    now = time.time_ns() // 1_000_000
    # The name of a project may be longer than a state.
    note(store.link, "experiment", found.id, to_state="moved" if project else "open", at=now, actor=store.actor)
