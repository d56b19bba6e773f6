"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Set = Annotated[list[str] | None, typer.Option("--set", "-P", help="A parameter: lr=0.1; repeatable.")]
Ref = Annotated[str | None, typer.Argument(help="Branch or commit; the working tree when left out.")]
Project = Annotated[str | None, typer.Option("--project", help="One project of the repository.")]
OfChange = Annotated[int | None, typer.Option("--change", help="A change of the local forge.")]
Detach = Annotated[bool, typer.Option("--detach", "-d", help="Do not wait.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")]
JobNumber = Annotated[str, typer.Argument(help="Job number.", metavar="JOB")]
NewestJob = Annotated[str | None, typer.Argument(help="Job number; the newest here when left out.", metavar="[JOB]")]
