"""Results of jobs, kept: what a later change is compared with and what the pages show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, select, update

from headway.db import schema
from headway.db.events import record
from headway.flow.model import JobResult


class JobResults:
    """Results inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work through this connection."""
        self._tx = tx

    def save(self, result: JobResult, *, is_baseline: bool) -> None:
        """Keep a result, replacing an earlier judgement of the same job."""
        values = {
            "repo_id": result.repo_id,
            "project": result.project,
            "branch": result.branch,
            "commit": result.commit,
            "tree": result.tree,
            "outcome": result.verdict.outcome.value if result.verdict else "none",
            "body": msgspec.to_builtins(result),
            "at": result.at,
        }
        where = schema.result.c.job_id == result.job_id
        if self._tx.execute(select(schema.result.c.job_id).where(where)).first():
            # Judged anew, it stands where and since when it stood.
            anew = {name: values[name] for name in ("outcome", "body")}
            self._tx.execute(update(schema.result).where(where).values(**anew))
        else:
            self._tx.execute(
                schema.result.insert().values(job_id=result.job_id, is_baseline=is_baseline, **values),
            )

    def get(self, job_id: str) -> JobResult | None:
        """Return the result of a job; None while it has none."""
        return next(iter(self._find(schema.result.c.job_id == job_id)), None)

    def of_jobs(self, job_ids: Iterable[str]) -> dict[str, JobResult]:
        """Return the results of these jobs, by job."""
        found = self._find(schema.result.c.job_id.in_(list(job_ids)), limit=1000)
        return {result.job_id: result for result in found}

    def latest_baseline(self, repo_id: str, project: str) -> JobResult | None:
        """Return the last good result of the default branch."""
        return next(
            iter(
                self._find(
                    schema.result.c.repo_id == repo_id,
                    schema.result.c.project == project,
                    schema.result.c.is_baseline.is_(True),
                ),
            ),
            None,
        )

    def baseline_since(self, repo_id: str, project: str) -> datetime | None:
        """Return since when the present baseline has been one; None while there is none."""
        table = schema.result.c
        query = select(table.at).where(table.repo_id == repo_id, table.project == project, table.is_baseline.is_(True))
        return self._tx.execute(query.order_by(table.at.desc()).limit(1)).scalar()

    def is_baseline(self, job_id: str) -> bool:
        """Whether a job's result is, or was, what the default branch stands for."""
        query = select(schema.result.c.is_baseline).where(schema.result.c.job_id == job_id)
        return bool(self._tx.execute(query).scalar())

    def at_commit(self, repo_id: str, project: str, commit: str) -> JobResult | None:
        """Return the newest result of one commit."""
        return next(
            iter(
                self._find(
                    schema.result.c.repo_id == repo_id,
                    schema.result.c.project == project,
                    schema.result.c.commit == commit,
                ),
            ),
            None,
        )

    def of_tree(self, repo_id: str, project: str, tree: str) -> list[JobResult]:
        """Return the results of exactly these files, newest first, whatever commit they stood at."""
        table = schema.result.c
        return self._find(table.repo_id == repo_id, table.project == project, table.tree == tree, limit=20)

    def make_baseline(self, result: JobResult, *, branch: str, actor: str, at: datetime) -> None:
        """Make a result the one that later changes are compared with."""
        # It is called after the branch that it now stands for: reports name their baseline by it.
        body = msgspec.to_builtins(replace(result, branch=branch))
        self._tx.execute(
            update(schema.result)
            .where(schema.result.c.job_id == result.job_id)
            .values(is_baseline=True, branch=branch, body=body, at=at),
        )
        record(
            self._tx,
            "result",
            result.job_id,
            to_state="baseline",
            reason=f"job #{result.number} is the baseline of {branch}",
            actor=actor,
            at=at,
        )

    def _find(self, *where: ColumnElement[bool], limit: int = 1) -> list[JobResult]:
        query = select(schema.result.c.body).where(*where).order_by(schema.result.c.at.desc()).limit(limit)
        return [msgspec.convert(body, JobResult) for body in self._tx.execute(query).scalars()]
