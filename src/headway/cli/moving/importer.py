"""The import itself: experiments, their runs page by page, models, and the counts of both sides.

Every step may be repeated. A run is asked for before it is read, read before it is sent, and counted after it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from headway.cli.moving.artifacts import Copier
from headway.cli.moving.figures import Outcome, difference
from headway.cli.moving.journal import Journal
from headway.cli.moving.pack import Place, Places, batches, logged_model, pairs, registered_model, run_parts
from headway.cli.moving.source import Columns, Histories, Source
from headway.cli.moving.target import MadeExperiment, Target
from headway.cli.moving.tell import Teller
from headway.errors import HeadwayError, LoginNeeded, NotFound, Refused, Unreachable
from headway.ids import digest_bytes
from headway.tracking.model import NAME_TAG
from headway.tracking.moved import Asked, HereRun, MovedExperiment, MovedIn
from headway.tracking.peer.model import PeerExperiment, PeerLoggedModel, PeerRun

_RUNS_AT_ONCE = 100  # whose histories are in memory
_MODELS_AT_ONCE = 100
_OURS = "mlflow-artifacts:/"
_REMOTE = ("s3://", "gs://", "abfss://", "wasbs://", "hdfs://", "viewfs://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of a source shall come."""

    experiment: str = ""  # its name; "" = all
    project: str = ""  # whose it becomes here; "" = open to all members
    with_artifacts: bool = True


class Importer:
    """One import from one source."""

    def __init__(self, source: Source, target: Target, journal: Journal, *, wanted: Wanted, tell: Teller) -> None:
        """Take both ends, the journal between them, and who is told."""
        self._source = source
        self._target = target
        self._journal = journal
        self._wanted = wanted
        self._tell = tell
        self._places = Places()
        self._copier = Copier(source.files, target, journal, tell.copied)
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Bring everything that is wanted, and compare."""
        for experiment in chosen(self._source, self._wanted.experiment):
            self.outcome.there.add(experiments=1)
            try:
                made = self._target.experiment(self._moved_experiment(experiment))
            except (Unreachable, LoginNeeded, Refused):
                raise
            except HeadwayError as error:
                self.outcome.problem(f"experiment {experiment.name!r}", f"{error.message}. {error.hint}")
                continue
            self.outcome.here.add(experiments=1)
            if made.became.why:
                self.outcome.note(f"experiment {experiment.name!r}", made.became.why)
            self._experiment(experiment, made)
        self._models()
        self._journal.flush()
        return self.outcome

    def _moved_experiment(self, experiment: PeerExperiment) -> MovedExperiment:
        place = experiment.artifact_location
        created = experiment.creation_time or 0
        return MovedExperiment(
            name=experiment.name,
            # Left where clients fetch them by themselves; everything else lies at ours.
            artifact_location=place if not self._wanted.with_artifacts and place.startswith(_REMOTE) else "",
            project=self._wanted.project,
            creation_time=created,
            last_update_time=experiment.last_update_time or created,
            tags=pairs(experiment.tags),
        )

    def _experiment(self, experiment: PeerExperiment, made: MadeExperiment) -> None:
        for page in self._source.run_pages(experiment):
            self._page(experiment, made, page)
        models: list[PeerLoggedModel] = []
        for model in self._source.logged_models(experiment):
            models.append(model)
            if len(models) == _MODELS_AT_ONCE:
                self._logged(made, models)
                models = []
        if models:
            self._logged(made, models)
        if experiment.lifecycle_stage == "deleted":
            self._delete(experiment, made)

    def _delete(self, experiment: PeerExperiment, made: MadeExperiment) -> None:
        """Put an experiment into the trash that lies there at the source, unless it was here before."""
        here = self._target.wire("GET", "mlflow/experiments/get", experiment_id=made.experiment_id)["experiment"]
        if here["lifecycle_stage"] == "deleted":
            return
        if int(here.get("creation_time", 0)) != (experiment.creation_time or 0):
            self.outcome.note(f"experiment {experiment.name!r}", "is deleted at the source and lives on here")
            return
        self._target.wire("POST", "mlflow/experiments/delete", experiment_id=made.experiment_id)

    # --- runs -------------------------------------------------------------------------------------

    def _page(self, experiment: PeerExperiment, made: MadeExperiment, runs: Sequence[PeerRun]) -> None:
        ids = tuple(run.run_id for run in runs)
        here = {each.run_id: each for each in self._target.counts(Asked(runs=ids)).runs}
        todo = [run for run in runs if not self._is_done(run, here.get(run.run_id))]
        became: dict[str, MovedIn] = {}
        for start in range(0, len(todo), _RUNS_AT_ONCE):
            became |= self._send(made, todo[start : start + _RUNS_AT_ONCE])
            self._tell.runs(experiment.name, self.outcome.there.runs + start, self.outcome.new)
        if todo:
            here = {each.run_id: each for each in self._target.counts(Asked(runs=ids)).runs}
        taken = [run for run in runs if self._compare(run, here.get(run.run_id), became.get(run.run_id))]
        places = [self._place(run, made) for run in taken]
        for place in places:
            self._places.add(place)
        if self._wanted.with_artifacts and made.artifact_location.startswith(_OURS):
            self._copier.copy(places, self.outcome)
        self._tell.runs(experiment.name, self.outcome.there.runs, self.outcome.new)

    def _is_done(self, run: PeerRun, here: HereRun | None) -> bool:
        said = self._journal.said("run", run.run_id)
        return here is not None and isinstance(said, list) and said == [_fingerprint(run), *_rows(here)]

    def _send(self, made: MadeExperiment, runs: Sequence[PeerRun]) -> dict[str, MovedIn]:
        histories = self._source.histories(runs)
        for run in runs:
            _complete(run, histories)
        parts = (part for run in runs for part in run_parts(run, histories.get(run.run_id, {})))
        became: dict[str, MovedIn] = {}
        for batch in batches(parts):
            for each in self._target.runs(self._source.name, made.experiment_id, batch):
                before = became.get(each.id)
                # Of a run in several parts the first one tells whether it is new, and any one that it was refused.
                became[each.id] = each if before is None or each.state == "refused" else before
        for run in runs:
            counts = _counts(run, histories.get(run.run_id, {}))
            if became[run.run_id].state != "refused":
                self._journal.write("run", run.run_id, [_fingerprint(run), *counts])
        self._journal.flush()
        return became

    def _compare(self, run: PeerRun, here: HereRun | None, became: MovedIn | None) -> bool:
        """Count a run on both sides; say whether it is here."""
        said = self._journal.said("run", run.run_id)
        points, params, tags = said[1:] if said else (0, len(run.data.params), len(run.data.tags))
        self.outcome.there.add(runs=1, points=points, params=params, tags=tags)
        if became is not None and became.state == "refused":
            self.outcome.problem(f"run {run.run_id}", became.why)
            return False
        if here is None:
            self.outcome.problem(f"run {run.run_id}", "it is not here")
            return False
        self.outcome.new += became is not None and became.state == "new"
        self.outcome.here.add(runs=1, points=here.points, params=here.params, tags=here.tags)
        counts = {"points": here.points, "params": here.params, "tags": here.tags}
        there = (("points", points), ("params", params), ("tags", tags))
        differs = difference(there, counts, is_new=became is not None and became.state == "new")
        if differs:
            self.outcome.problem(f"run {run.run_id}", differs)
        return True

    def _place(self, run: PeerRun, made: MadeExperiment) -> Place:
        here = f"{made.artifact_location.rstrip('/')}/{run.run_id}/artifacts"
        return Place(run_id=run.run_id, model_id="", there=run.info.artifact_uri, here=here)

    # --- models -----------------------------------------------------------------------------------

    def _logged(self, made: MadeExperiment, models: Sequence[PeerLoggedModel]) -> None:
        became = self._target.logged_models([logged_model(each, made.experiment_id) for each in models])
        refused = {each.id: each.why for each in became if each.state == "refused"}
        self.outcome.there.add(logged_models=len(models))
        self.outcome.here.add(logged_models=len(models) - len(refused))
        for model_id, why in refused.items():
            self.outcome.problem(f"logged model {model_id}", why)
        places = [
            Place(
                run_id=each.info.source_run_id,
                model_id=each.info.model_id,
                there=each.info.artifact_uri,
                here=f"{made.artifact_location.rstrip('/')}/models/{each.info.model_id}/artifacts",
            )
            for each in models
            if each.info.model_id not in refused
        ]
        for place in places:
            self._places.add(place)
        if self._wanted.with_artifacts and made.artifact_location.startswith(_OURS):
            self._copier.copy(places, self.outcome)

    def _models(self) -> None:
        for model, versions in self._source.models():
            mine = [each for each in versions if not self._wanted.experiment or self._places.has(each)]
            if self._wanted.experiment and not mine:
                continue
            self.outcome.there.add(models=1, versions=len(mine))
            moved = []
            for version in mine:
                try:
                    moved.append(self._places.moved(version))
                except (HeadwayError, ValueError) as error:
                    self.outcome.problem(f"model {model.name!r} version {version.version}", str(error))
            became = self._target.model(registered_model(model, moved, self._wanted.project))
            for each in became:
                if each.state == "refused":
                    self.outcome.problem(f"model {each.id}", each.why)
                elif each.why:
                    self.outcome.note(f"model {each.id}", each.why)
            here = self._target.counts(Asked(models=(model.name,))).versions if became[0].state != "refused" else {}
            if model.name in here:
                self.outcome.here.add(models=1, versions=min(here[model.name], len(mine)))
            self._tell.model(model.name)


def chosen(source: Source, name: str) -> Iterator[PeerExperiment]:
    """Yield the experiments that are wanted.

    Raises:
        NotFound: there is none of that name.
    """
    found = source.experiments()
    wanted = [each for each in found if not name or each.name == name]
    if not wanted:
        close = ", ".join(repr(each.name) for each in found[:10])
        raise NotFound(f"{source.name} has no experiment {name!r}", hint=f"it has {close}")
    yield from wanted


def _complete(run: PeerRun, histories: Histories) -> None:
    """Put histories in order; a latest value whose history is gone at the source counts as its only point."""
    mine = histories.setdefault(run.run_id, {})
    for metric in run.data.metrics:
        if not mine.get(metric.key):
            mine[metric.key] = Columns()
            mine[metric.key].add(metric.timestamp, metric.step, metric.value)
    for columns in mine.values():
        columns.tidy()


def _counts(run: PeerRun, histories: dict[str, Any]) -> list[int]:
    tags = pairs(run.data.tags)
    named = {NAME_TAG: run.info.run_name, **tags} if run.info.run_name else tags
    kept = [key for key, value in named.items() if key != NAME_TAG or value]
    return [sum(map(len, histories.values())), len(pairs(run.data.params)), len(kept)]


def _rows(here: HereRun) -> list[int]:
    return [here.points, here.params, here.tags]


def _fingerprint(run: PeerRun) -> str:
    return digest_bytes(msgspec.json.encode(run))[:32]
