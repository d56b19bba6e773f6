"""Fill an MLflow SQLite database and its artifact folder fast, by SQL: runs with histories, params, tags and files.

python bench/moving/fill_mlflow.py FOLDER --runs 5000
MLflow's own code makes the tables; the rows go in straight, since its store would need an hour for them.
"""

from __future__ import annotations

import argparse
import sqlite3
import uuid
from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

START = 1_760_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--metrics", type=int, default=10)
    parser.add_argument("--points", type=int, default=20, help="in each history")
    parser.add_argument("--params", type=int, default=10)
    parser.add_argument("--tags", type=int, default=3)
    parser.add_argument("--files", type=int, default=2, help="of each run, 1 KB each")
    args = parser.parse_args()
    root = args.folder.absolute()
    artifacts = root / "artifacts"
    artifacts.mkdir(parents=True)
    database = root / "mlflow.db"
    store = SqlAlchemyStore(f"sqlite:///{database}", "mlflow-artifacts:/")
    experiment = store.create_experiment("five thousand")
    store.engine.dispose()
    fill(sqlite3.connect(database), artifacts, int(experiment), args)


def fill(db: sqlite3.Connection, artifacts: Path, experiment: int, args: argparse.Namespace) -> None:
    runs, metrics, latest, params, tags = [], [], [], [], []
    for number in range(args.runs):
        run = uuid.uuid4().hex
        began = START + number * 60_000
        place = f"mlflow-artifacts:/{experiment}/{run}/artifacts"
        runs.append((run, f"run-{number}", "bench", "FINISHED", began, began + 50_000, "active", place, experiment))
        for metric in range(args.metrics):
            for step in range(args.points):
                value = 1 / (1 + step + metric) + number * 1e-6
                metrics.append((f"metric_{metric}", value, began + step * 1000, step, 0, run))
            latest.append(metrics[-1])
        params += [(f"param_{each}", f"value {number % 97} of {each}", run) for each in range(args.params)]
        tags += [(f"tag_{each}", f"tag {number % 13}", run) for each in range(args.tags)]
        tags.append(("mlflow.runName", f"run-{number}", run))
        folder = artifacts / str(experiment) / run / "artifacts" / "plots"
        folder.mkdir(parents=True)
        for each in range(args.files):
            (folder / f"plot_{each}.bin").write_bytes(number.to_bytes(4, "little") * 256)
    with db:
        db.executemany(
            "insert into runs (run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, "
            "experiment_id, source_type, source_name, entry_point_name, source_version) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?, 'LOCAL', '', '', '')",
            runs,
        )
        point = "(key, value, timestamp, step, is_nan, run_uuid) values (?, ?, ?, ?, ?, ?)"
        db.executemany(f"insert into metrics {point}", metrics)
        db.executemany(f"insert into latest_metrics {point}", latest)
        db.executemany("insert into params (key, value, run_uuid) values (?, ?, ?)", params)
        db.executemany("insert into tags (key, value, run_uuid) values (?, ?, ?)", tags)
    print(f"{len(runs)} runs, {len(metrics)} points, {len(params)} params, {len(tags)} tags in {artifacts.parent}")


if __name__ == "__main__":
    main()
