"""Runs as Parquet files: one row a run, and every point, param and tag in rows of their own.

The rows come from the API page by page and leave in row groups, so that memory does not grow with what is exported.
The columns of the wide table are known only at the end: its rows wait in a file of their own until then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from headway.errors import Conflict, NotThereYet
from headway.tracking.peer.model import PeerExperiment, PeerRun
from headway.tracking.peer.reader import PeerReader

TABLES = ("runs", "metrics", "params", "tags")
_ROWS = 50_000  # in a row group of a long table
_CELLS = 500_000  # in a row group of the wide one
_RUNS = 500  # in a page


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows each table got."""

    runs: int
    points: int
    params: int
    tags: int


class _Kept(msgspec.Struct, frozen=True):
    """A run on its way through the waiting file."""

    info: dict[str, Any]
    params: dict[str, str]
    metrics: dict[str, float | None]


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module.

    Raises:
        NotThereYet: it is not installed.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
        import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise NotThereYet(
            "Parquet needs pyarrow, which is not installed",
            cause=str(error),
            hint="pip install 'headway[parquet]', or --format csv",
        ) from None
    return pa, pq


def export_parquet(
    reader: PeerReader,
    into: Path,
    *,
    where: str = "",
    limit: int | None = None,
    force: bool = False,
) -> Written:
    """Write runs.parquet, metrics.parquet, params.parquet and tags.parquet into a folder, all of them or none.

    Raises:
        Conflict: there are such files already, and `force` is not given.
        NotThereYet: pyarrow is not installed.
    """
    pa, pq = arrow()
    taken = [name for name in TABLES if (into / f"{name}.parquet").exists()]
    if taken and not force:
        raise Conflict(f"{into} has {taken[0]}.parquet already", hint="name another folder, or add --force")
    into.mkdir(parents=True, exist_ok=True)
    with _Folder(into) as parts:
        tables = {name: _Long(pq, parts.path(name), _schema(pa, name)) for name in TABLES[1:]}
        with parts.path("waiting").open("wb") as waiting:
            wide = _Wide(waiting)
            for page in _pages(reader, where, limit):
                _write_page(reader, page, tables, wide)
        counts = {name: table.close() for name, table in tables.items()}
        with parts.path("waiting").open("rb") as waiting:
            wide.write(pa, pq, parts.path("runs"), waiting)
        parts.finish()
    return Written(runs=wide.rows, points=counts["metrics"], params=counts["params"], tags=counts["tags"])


def _pages(reader: PeerReader, where: str, limit: int | None) -> Iterator[list[tuple[PeerExperiment, PeerRun]]]:
    experiments = {each.experiment_id: each for each in reader.experiments(view="ACTIVE_ONLY")}
    left = math.inf if limit is None else limit
    pages = (
        reader.run_pages(list(experiments), where=where, view="ACTIVE_ONLY", page=_RUNS) if experiments else iter(())
    )
    for page in pages:
        some = page if left >= len(page) else page[: int(left)]
        left -= len(some)
        yield [(experiments[run.info.experiment_id], run) for run in some]
        if left <= 0:
            return


def _write_page(
    reader: PeerReader, page: Sequence[tuple[PeerExperiment, PeerRun]], tables: dict[str, _Long], wide: _Wide
) -> None:
    with_key: dict[str, list[str]] = {}
    for experiment, run in page:
        wide.add(experiment, run)
        for pair in run.data.params:
            tables["params"].add((run.run_id, pair.key, pair.value))
        for pair in run.data.tags:
            tables["tags"].add((run.run_id, pair.key, pair.value))
        for metric in run.data.metrics:
            with_key.setdefault(metric.key, []).append(run.run_id)
    for key, run_ids in with_key.items():
        for run_id, point in reader.points(run_ids, key):
            tables["metrics"].add((run_id, key, point.step, point.timestamp, point.value))


def _schema(pa: Any, name: str) -> Any:
    """Return the columns of a long table; docs/how-to/export.md has them for people."""
    if name == "metrics":
        return pa.schema(
            [
                pa.field("run_id", pa.string(), nullable=False),
                pa.field("key", pa.string(), nullable=False),
                pa.field("step", pa.int64(), nullable=False),
                pa.field("timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
                pa.field("value", pa.float64(), nullable=False),
            ]
        )
    return pa.schema([pa.field(each, pa.string(), nullable=False) for each in ("run_id", "key", "value")])


class _Long:
    """A table whose rows leave as soon as a row group is full."""

    def __init__(self, pq: Any, path: Path, schema: Any) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[Sequence[Any]] = []
        self._count = 0

    def add(self, row: Sequence[Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _ROWS:
            self._flush()

    def close(self) -> int:
        if self._rows:
            self._flush()
        self._writer.close()
        return self._count

    def _flush(self) -> None:
        columns = dict(zip(self._schema.names, zip(*self._rows, strict=True), strict=True))
        self._writer.write_batch(_batch(self._schema, columns))
        self._count += len(self._rows)
        self._rows = []


def _batch(schema: Any, columns: dict[str, Iterable[Any]]) -> Any:
    pa, _ = arrow()
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _Wide:
    """The table of runs: a column for each param and metric that any of them has."""

    def __init__(self, waiting: IO[bytes]) -> None:
        self.rows = 0
        self._waiting = waiting
        self._params: dict[str, None] = {}
        self._metrics: dict[str, None] = {}

    def add(self, experiment: PeerExperiment, run: PeerRun) -> None:
        tags = {tag.key: tag.value for tag in run.data.tags}
        kept = _Kept(
            {
                "run_id": run.run_id,
                "experiment_id": run.info.experiment_id,
                "experiment_name": experiment.name,
                "name": run.info.run_name,
                "user_id": run.info.user_id,
                "status": run.info.status,
                "start_time": run.info.start_time,
                "end_time": run.info.end_time,
                "artifact_uri": run.info.artifact_uri,
                "parent_run_id": tags.get("mlflow.parentRunId"),
                "job": tags.get("headway.job"),
                "commit": tags.get("mlflow.source.git.commit"),
            },
            {pair.key: pair.value for pair in run.data.params},
            {metric.key: metric.value for metric in run.data.metrics},
        )
        self._params |= dict.fromkeys(kept.params)
        self._metrics |= dict.fromkeys(kept.metrics)
        line = msgspec.msgpack.encode(kept)
        self._waiting.write(len(line).to_bytes(4, "little") + line)
        self.rows += 1

    def write(self, pa: Any, pq: Any, path: Path, waiting: IO[bytes]) -> None:
        params, metrics = sorted(self._params), sorted(self._metrics)
        fixed = ("run_id", "experiment_id", "experiment_name", "name", "user_id", "status", "start_time", "end_time")
        moment = pa.timestamp("ms", tz="UTC")
        schema = pa.schema(
            [
                *(pa.field(each, moment if each.endswith("_time") else pa.string()) for each in fixed),
                *(pa.field(each, pa.string()) for each in ("artifact_uri", "parent_run_id", "job", "commit")),
                *(pa.field(f"params.{each}", pa.string()) for each in params),
                *(pa.field(f"metrics.{each}", pa.float64()) for each in metrics),
            ]
        )
        at_once = max(1, _CELLS // len(schema))
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for runs in _groups(_kept(waiting), at_once):
                columns: dict[str, Iterable[Any]] = {name: [run.info[name] for run in runs] for name in runs[0].info}
                columns |= {f"params.{each}": [run.params.get(each) for run in runs] for each in params}
                columns |= {f"metrics.{each}": [run.metrics.get(each) for run in runs] for each in metrics}
                writer.write_batch(_batch(schema, columns))


def _kept(waiting: IO[bytes]) -> Iterator[_Kept]:
    decoder = msgspec.msgpack.Decoder(_Kept)
    while size := waiting.read(4):
        yield decoder.decode(waiting.read(int.from_bytes(size, "little")))


def _groups(runs: Iterable[_Kept], size: int) -> Iterator[list[_Kept]]:
    group: list[_Kept] = []
    for run in runs:
        group.append(run)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


class _Folder:
    """Files under names of their own until all of them are whole."""

    def __init__(self, into: Path) -> None:
        self._into = into

    def path(self, name: str) -> Path:
        return self._into / f".{name}.part"

    def finish(self) -> None:
        for name in TABLES:
            self.path(name).replace(self._into / f"{name}.parquet")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in (*TABLES, "waiting"):
            self.path(name).unlink(missing_ok=True)
