"""`headway import mlflow`: experiments, runs, models and files of another tracker, under the ids they have there."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headway.cli.client import connect
from headway.cli.find_server import data_folder
from headway.cli.options import DryRun, Json
from headway.cli.output import count, note, say, table
from headway.errors import UsageError

if TYPE_CHECKING:
    from headway.cli.moving.figures import Outcome, Problem
    from headway.cli.moving.importer import Wanted
    from headway.cli.moving.source import Source

_SHOWN = 20
_EXAMPLES = "http://HOST:5000, sqlite:///mlflow.db, postgresql://USER:PASSWORD@HOST/NAME, or ./mlruns"

Where = Annotated[
    str, typer.Argument(help="A tracking server (http, https), its database, or an mlruns folder.", metavar="SOURCE")
]
Artifacts = Annotated[
    Path | None, typer.Option("--artifacts", help="Folder that the artifacts of a database lie in, or a copy of it.")
]


def import_mlflow(
    source: Where,
    experiment: Annotated[str, typer.Option("--experiment", help="Only the experiment of this name.")] = "",
    artifacts: Artifacts = None,
    no_artifacts: Annotated[bool, typer.Option("--no-artifacts", help="Leave the files where they are.")] = False,
    project: Annotated[str, typer.Option("--project", help="Whose it becomes here; all members' when left out.")] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Take over experiments, runs, models and files of an MLflow server; stopped in the middle, it goes on.

    A server's login: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """
    from headway.cli.moving.importer import Importer, Wanted
    from headway.cli.moving.journal import Journal
    from headway.cli.moving.target import Target
    from headway.cli.moving.tell import Teller

    wanted = Wanted(experiment=experiment, project=project, with_artifacts=not no_artifacts)
    tell = Teller(as_json=as_json)
    with ExitStack() as stack:
        opened = _opened(stack, source, artifacts, wanted)
        tell.begin(opened.about())
        if dry_run:
            _say_plan(opened, wanted, tell.event if as_json else None)
            return
        target = Target(connect())
        journal = Journal(data_folder() / "imports", opened.name, target.url if _is_remote() else "here")
        stack.callback(journal.close)
        try:
            outcome = Importer(opened, target, journal, wanted=wanted, tell=tell).run()
        finally:
            tell.end()
    if as_json:
        tell.event("end", **outcome.plain())
    else:
        _say_outcome(outcome)
    if not outcome.is_whole:
        raise typer.Exit(1)


def _is_remote() -> bool:
    return bool(os.environ.get("HEADWAY_URL"))


def _opened(stack: ExitStack, source: str, artifacts: Path | None, wanted: Wanted) -> Source:
    if artifacts is not None and not artifacts.is_dir():
        raise UsageError(f"--artifacts {artifacts} is no folder")
    if source.startswith(("http://", "https://")):
        from headway.cli.moving.server_source import ServerSource
        from headway.tracking.peer.connection import Login, PeerConnection

        login = Login(
            token=os.environ.get("MLFLOW_TRACKING_TOKEN", ""),
            username=os.environ.get("MLFLOW_TRACKING_USERNAME", ""),
            password=os.environ.get("MLFLOW_TRACKING_PASSWORD", ""),
        )
        return ServerSource(stack.enter_context(PeerConnection(source, login=login)))
    if "://" in source and not source.startswith("file://"):
        from headway.cli.moving.database_source import DatabaseSource

        if artifacts is None and wanted.with_artifacts:
            raise UsageError(
                "a database does not hold the artifacts",
                hint="add --artifacts DIR (the server's artifact folder, or a copy of it), or --no-artifacts",
            )
        database = DatabaseSource(source, artifacts)
        stack.callback(database.close)
        return database
    from headway.cli.moving.folder_source import FolderSource

    folder = Path(source.removeprefix("file://"))
    if folder.is_file():
        raise UsageError(f"{folder} is a file", hint=f"headway import mlflow sqlite:///{folder}")
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint=_EXAMPLES)
    return FolderSource(folder, artifacts)


def _say_plan(source: Source, wanted: Wanted, event: object) -> None:
    from headway.cli.moving.importer import chosen

    rows = []
    for each in chosen(source, wanted.experiment):
        runs = [run for page in source.run_pages(each) for run in page]
        logged = sum(1 for _ in source.logged_models(each))
        params, tags = sum(len(run.data.params) for run in runs), sum(len(run.data.tags) for run in runs)
        rows.append((each.name, each.lifecycle_stage, len(runs), logged, params, tags, each.artifact_location))
    models = [(model.name, len(versions)) for model, versions in source.models()]
    if callable(event):
        names = ("name", "stage", "runs", "logged_models", "params", "tags", "artifacts")
        event("plan", experiments=[dict(zip(names, row, strict=True)) for row in rows], models=dict(models))
        return
    table(("experiment", "stage", "runs", "logged models", "params", "tags", "artifacts"), rows, empty="no experiments")
    say("")
    table(("model", "versions"), models, empty="no registered models")
    note("nothing was written; the same without --dry-run takes it over")


def _say_outcome(outcome: Outcome) -> None:
    table(("", "there", "here"), outcome.rows(), empty="")
    _say_list("note", outcome.notes)
    _say_list("left out", outcome.problems)
    if outcome.is_whole:
        say(f"everything is here; {count(outcome.new, 'run')} new")
    else:
        note(f"{len(outcome.problems)} things did not come along; mend them and import again: what is here stays")


def _say_list(word: str, listed: list[Problem]) -> None:
    for each in listed[:_SHOWN]:
        note(f"{word}: {each.what}: {each.why}")
    if len(listed) > _SHOWN:
        note(f"{word}: and {len(listed) - _SHOWN} more; --json has them all")
