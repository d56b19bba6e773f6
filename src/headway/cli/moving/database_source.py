"""MLflow's own database as the source: its tables through reflection, read only, a statement a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, MetaData, Table, create_engine, func, make_url, select
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from headway.cli.moving.local_files import LocalFiles
from headway.cli.moving.source import Columns, Histories
from headway.errors import HeadwayError, Unreachable, UsageError
from headway.tracking.peer import model as peer

T = TypeVar("T")
_PAGE = 500
_NEEDED = {
    "alembic_version": {"version_num"},
    "experiments": {"experiment_id", "name", "artifact_location", "lifecycle_stage"},
    "runs": {"run_uuid", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri", "experiment_id"},
    "metrics": {"key", "value", "timestamp", "step", "is_nan", "run_uuid"},
    "latest_metrics": {"key", "value", "timestamp", "step", "is_nan", "run_uuid"},
    "params": {"key", "value", "run_uuid"},
    "tags": {"key", "value", "run_uuid"},
}
_MAYBE = (
    "experiment_tags",
    "datasets",
    "inputs",
    "input_tags",
    "logged_models",
    "logged_model_metrics",
    "logged_model_params",
    "logged_model_tags",
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "model_versions",
    "model_version_tags",
)
LOGGED_STATUS = {
    0: "LOGGED_MODEL_PENDING",
    1: "LOGGED_MODEL_PENDING",
    2: "LOGGED_MODEL_READY",
    3: "LOGGED_MODEL_UPLOAD_FAILED",
}


class DatabaseSource:
    """Reads one database; every method is a few short statements, so that a running MLflow is not held up."""

    def __init__(self, url: str, artifacts: Path | None) -> None:
        """Open it and learn which tables it has.

        Raises:
            UsageError: no driver, no such database, or tables that are not MLflow's or older than 1.10.
            Unreachable: it does not answer.
        """
        self._engine = _open(url)
        self.name = _shown(url)
        self.files = LocalFiles(artifacts)
        self._tables = self._reflected()

    def close(self) -> None:
        """Let the connections go."""
        self._engine.dispose()

    def about(self) -> str:
        """Say which revision of MLflow's schema it has."""
        revisions = [str(row[0]) for row in self._rows(select(self._tables["alembic_version"].c.version_num))]
        if len(revisions) != 1:
            raise UsageError(
                f"{self.name} has {len(revisions)} schema revisions, not one",
                hint="bring it to one with mlflow db upgrade, then import again",
            )
        return f"MLflow database {self.name}, schema {revisions[0]}"

    # --- experiments and runs ---------------------------------------------------------------------

    def experiments(self) -> list[peer.PeerExperiment]:
        """Return every experiment."""
        tags = self._pairs("experiment_tags", "experiment_id")
        table = self._tables["experiments"]
        return [
            _record(
                peer.PeerExperiment,
                {**row, "experiment_id": str(row["experiment_id"]), "tags": tags.get(row["experiment_id"], ())},
            )
            for row in self._dicts(select(table).order_by(table.c.experiment_id))
        ]

    def run_pages(self, experiment: peer.PeerExperiment) -> Iterator[Sequence[peer.PeerRun]]:
        """Yield the runs by id, a page at a time."""
        table = self._tables["runs"]
        last = ""
        while True:
            mine = (table.c.experiment_id == int(experiment.experiment_id), table.c.run_uuid > last)
            rows = self._dicts(select(table).where(*mine).order_by(table.c.run_uuid).limit(_PAGE))
            if not rows:
                return
            last = rows[-1]["run_uuid"]
            yield self._runs(rows)

    def _runs(self, rows: list[dict[str, Any]]) -> list[peer.PeerRun]:
        ids = [row["run_uuid"] for row in rows]
        params, tags = self._pairs("params", "run_uuid", ids), self._pairs("tags", "run_uuid", ids)
        latest: dict[str, list[peer.PeerPoint]] = {}
        for row in self._of("latest_metrics", "run_uuid", ids):
            latest.setdefault(row["run_uuid"], []).append(_point(row))
        datasets, models_in, models_out = self._datasets(ids), self._links(ids, "INPUT"), self._links(ids, "OUTPUT")
        return [
            peer.PeerRun(
                info=_record(
                    peer.PeerRunInfo,
                    {
                        **row,
                        "run_id": row["run_uuid"],
                        "run_name": row.get("name"),
                        "experiment_id": str(row["experiment_id"]),
                    },
                ),
                data=peer.PeerRunData(
                    metrics=tuple(latest.get(row["run_uuid"], ())),
                    params=params.get(row["run_uuid"], ()),
                    tags=tags.get(row["run_uuid"], ()),
                ),
                inputs=peer.PeerInputs(
                    dataset_inputs=tuple(datasets.get(row["run_uuid"], ())),
                    model_inputs=tuple(models_in.get(row["run_uuid"], ())),
                ),
                outputs=peer.PeerOutputs(model_outputs=tuple(models_out.get(row["run_uuid"], ()))),
            )
            for row in rows
        ]

    def histories(self, runs: Sequence[peer.PeerRun]) -> Histories:
        """Read the points of all these runs, streamed."""
        found: Histories = {run.run_id: {} for run in runs}
        table = self._tables["metrics"]
        wanted = select(
            table.c.run_uuid, table.c.key, table.c.timestamp, table.c.step, table.c.value, table.c.is_nan
        ).where(table.c.run_uuid.in_(list(found)))
        try:
            with self._connection() as connection:
                for run_id, key, stamp, step, value, is_nan in connection.execute(wanted).yield_per(10_000):
                    columns = found[run_id].get(key)
                    if columns is None:
                        columns = found[run_id][str(key)] = Columns()
                    columns.add(int(stamp), int(step), math.nan if is_nan else float(value))
        except (TypeError, ValueError) as error:
            raise HeadwayError(f"{self.name} has a point that is no number", cause=str(error)) from None
        except SQLAlchemyError as error:
            raise self._away(error) from None
        return found

    def _datasets(self, ids: Sequence[str]) -> dict[str, list[peer.PeerDatasetInput]]:
        if not {"inputs", "datasets"} <= self._tables.keys():
            return {}
        inputs, datasets = self._tables["inputs"], self._tables["datasets"]
        query = (
            select(inputs.c.destination_id, inputs.c.input_uuid, datasets)
            .join(datasets, datasets.c.dataset_uuid == inputs.c.source_id)
            .where(
                inputs.c.source_type == "DATASET", inputs.c.destination_type == "RUN", inputs.c.destination_id.in_(ids)
            )
        )
        rows = self._dicts(query)
        tags = self._pairs("input_tags", "input_uuid", [row["input_uuid"] for row in rows], key="name")
        found: dict[str, list[peer.PeerDatasetInput]] = {}
        for row in rows:
            plain = {name.removeprefix("dataset_"): value for name, value in row.items()}
            entry = peer.PeerDatasetInput(
                dataset=_record(peer.PeerDataset, plain), tags=tags.get(row["input_uuid"], ())
            )
            found.setdefault(row["destination_id"], []).append(entry)
        return found

    def _links(self, ids: Sequence[str], way: str) -> dict[str, list[peer.PeerModelLink]]:
        if "inputs" not in self._tables:
            return {}
        inputs = self._tables["inputs"]
        query = select(inputs).where(
            inputs.c.source_type == f"RUN_{way}",
            inputs.c.destination_type == f"MODEL_{way}",
            inputs.c.source_id.in_(ids),
        )
        found: dict[str, list[peer.PeerModelLink]] = {}
        for row in self._dicts(query):
            link = peer.PeerModelLink(model_id=str(row["destination_id"]), step=int(row.get("step") or 0))
            found.setdefault(row["source_id"], []).append(link)
        return found

    # --- models -----------------------------------------------------------------------------------

    def logged_models(self, experiment: peer.PeerExperiment) -> Iterator[peer.PeerLoggedModel]:
        """Yield the logged models, deleted ones too; none before MLflow 3."""
        table = self._tables.get("logged_models")
        if table is None:
            return
        rows = self._dicts(select(table).where(table.c.experiment_id == int(experiment.experiment_id)))
        ids = [row["model_id"] for row in rows]
        params = self._pairs("logged_model_params", "model_id", ids, key="param_key", value="param_value")
        tags = self._pairs("logged_model_tags", "model_id", ids, key="tag_key", value="tag_value")
        measured: dict[str, list[peer.PeerMeasured]] = {}
        for row in self._of("logged_model_metrics", "model_id", ids):
            plain = {name.removeprefix("metric_").removesuffix("_ms"): value for name, value in row.items()}
            plain["value"] = math.nan if plain.get("value") is None else plain["value"]
            measured.setdefault(row["model_id"], []).append(
                _record(peer.PeerMeasured, {**plain, "key": row["metric_name"]})
            )
        for row in rows:
            mine = row["model_id"]
            info = {
                **row,
                "experiment_id": str(row["experiment_id"]),
                "artifact_uri": row["artifact_location"],
                "status": LOGGED_STATUS.get(row["status"], "LOGGED_MODEL_PENDING"),
                "tags": tags.get(mine, ()),
            }
            data = peer.PeerLoggedData(params=params.get(mine, ()), metrics=tuple(measured.get(mine, ())))
            yield peer.PeerLoggedModel(info=_record(peer.PeerLoggedInfo, info), data=data)

    def models(self) -> Iterator[tuple[peer.PeerModel, Sequence[peer.PeerVersion]]]:
        """Yield each registered model with its versions; what was deleted is left out."""
        if not {"registered_models", "model_versions"} <= self._tables.keys():
            return
        models, versions = self._tables["registered_models"], self._tables["model_versions"]
        tags = self._pairs("registered_model_tags", "name")
        aliases: dict[str, list[peer.PeerAlias]] = {}
        for row in self._of("registered_model_aliases", "name", None):
            aliases.setdefault(row["name"], []).append(peer.PeerAlias(alias=row["alias"], version=str(row["version"])))
        marks: dict[tuple[str, int], list[peer.PeerTag]] = {}
        for row in self._of("model_version_tags", "name", None):
            marks.setdefault((row["name"], row["version"]), []).append(_record(peer.PeerTag, row))
        for row in self._dicts(select(models).order_by(models.c.name)):
            name = row["name"]
            mine = {**_times(row), "tags": tags.get(name, ()), "aliases": tuple(aliases.get(name, ()))}
            there = self._dicts(select(versions).where(versions.c.name == name).order_by(versions.c.version))
            yield (
                _record(peer.PeerModel, mine),
                [
                    _record(
                        peer.PeerVersion,
                        {
                            **_times(each),
                            "version": str(each["version"]),
                            "tags": tuple(marks.get((name, each["version"]), ())),
                        },
                    )
                    for each in there
                    if each.get("current_stage") != "Deleted_Internal"
                ],
            )

    # --- statements -------------------------------------------------------------------------------

    def _reflected(self) -> dict[str, Table]:
        known = MetaData()
        try:
            known.reflect(self._engine, only=lambda name, _: name in _NEEDED or name in _MAYBE)
        except SQLAlchemyError as error:
            raise self._away(error) from None
        for name, columns in _NEEDED.items():
            table = known.tables.get(name)
            lacking = columns - set(table.columns.keys()) if table is not None else {"the table itself"}
            if lacking:
                raise UsageError(
                    f"{self.name} is not a database of MLflow 1.10 or newer",
                    cause=f"its table {name} lacks {', '.join(sorted(lacking))}",
                    hint="check the address; an older one is brought up with mlflow db upgrade",
                )
        return dict(known.tables)

    def _connection(self) -> Connection:
        return self._engine.connect()

    def _rows(self, query: Any) -> list[Any]:
        try:
            with self._connection() as connection:
                return list(connection.execute(query))
        except SQLAlchemyError as error:
            raise self._away(error) from None

    def _dicts(self, query: Any) -> list[dict[str, Any]]:
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query).mappings().all()
        except SQLAlchemyError as error:
            raise self._away(error) from None
        return [{str(name): each for name, each in row.items() if each is not None} for row in rows]

    def _of(self, table: str, column: str, ids: Iterable[Any] | None) -> list[dict[str, Any]]:
        found = self._tables.get(table)
        if found is None:
            return []
        query = select(found)
        return self._dicts(query if ids is None else query.where(found.c[column].in_(list(ids))))

    def _pairs(
        self, table: str, column: str, ids: Iterable[Any] | None = None, *, key: str = "key", value: str = "value"
    ) -> dict[Any, tuple[peer.PeerTag, ...]]:
        found: dict[Any, list[peer.PeerTag]] = {}
        for row in self._of(table, column, ids):
            found.setdefault(row[column], []).append(peer.PeerTag(key=str(row[key]), value=str(row.get(value, ""))))
        return {owner: tuple(pairs) for owner, pairs in found.items()}

    def count(self, table: str, *where: ColumnElement[bool]) -> int:
        """Return how many rows a table has, by the database's own count."""
        found = self._tables.get(table)
        return 0 if found is None else int(self._rows(select(func.count()).select_from(found).where(*where))[0][0])

    def _away(self, error: SQLAlchemyError) -> HeadwayError:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0][:300]
        return Unreachable(f"the database {self.name} cannot be read", cause=cause, hint="check its address and login")


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _open(url: str) -> Engine:
    if url.startswith("sqlite:"):
        path = Path(
            url.partition(":")[2].lstrip("/") if not url.startswith("sqlite:////") else url[len("sqlite:///") :]
        )
        if not path.is_file():
            raise UsageError(f"there is no database file {path}", hint="sqlite:///FILE, or sqlite:////ABSOLUTE/FILE")
        url = f"sqlite:///file:{path.absolute()}?mode=ro&uri=true"
    for scheme in ("postgresql://", "postgres://", "postgresql+psycopg2://"):
        if url.startswith(scheme):
            url = f"postgresql+psycopg://{url.removeprefix(scheme)}"
    try:
        return create_engine(url)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(
            "the source is no database address",
            cause=str(error)[:200],
            hint="sqlite:///mlflow.db or postgresql://USER:PASSWORD@HOST/NAME",
        ) from None
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the driver {error.name} for this database is not installed", hint=f"pip install {error.name}"
        ) from None


def _record(kind: type[T], row: dict[str, Any]) -> T:
    try:
        return msgspec.convert({name: each for name, each in row.items() if each is not None}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise HeadwayError("the database has a row that is not MLflow's", cause=str(error)) from None


def _point(row: dict[str, Any]) -> peer.PeerPoint:
    return _record(peer.PeerPoint, {**row, "value": math.nan if row.get("is_nan") else row.get("value")})


def _times(row: dict[str, Any]) -> dict[str, Any]:
    renamed = {"creation_time": "creation_timestamp", "last_updated_time": "last_updated_timestamp"}
    return {renamed.get(name, name): value for name, value in row.items()}
