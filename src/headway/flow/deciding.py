"""Which job speaks for a commit: the newest one that ran with the values of the commit's own headway.yaml.

A run with other values (`/train lr=0.2`) answers whoever asked for it. It must not make a status green that the files
have not earned, nor take one away that they have: it decides only for itself (ADR 0019).
"""

from __future__ import annotations

from sqlalchemy import Connection

from headway.db import schema
from headway.jobs.model import Job
from headway.jobs.store import JobStore

_LOOKED_AT = 200  # jobs of one commit


def deciding_job(tx: Connection, job: Job) -> Job | None:
    """Return the newest job that judges the commit of `job`, itself included; None when only other values were tried.

    Jobs of the same change go first: their rules are those of the base that the change is proposed to.
    """
    store, table = JobStore(tx), schema.job.c
    same = (table.repo_id == job.repo_id, table.project == job.project, table.commit == job.commit)
    jobs = sorted(store.find(*same, limit=_LOOKED_AT), key=lambda each: each.change != job.change)  # else newest first
    return next((each for each in jobs if not store.plan(each.plan_id).replaced), None)
