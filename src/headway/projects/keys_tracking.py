"""The keys of a tracking server of the team's own."""

from __future__ import annotations

from headway.projects.shapes import Fields, Flag, Text
from headway.projects.words import ENV_NAME, choice, key

TRACKING = Fields(
    keys={
        "uri": key(
            Text(
                says="the address of an MLflow server, without a user, a query or a fragment",
                example='"https://mlflow.example"',
                pattern=r"https?://[A-Za-z0-9.\[\]:-]+(?:/[A-Za-z0-9._~/-]*)?",
                longest=500,
            ),
            "where it answers",
            needed=True,
        ),
        "mode": key(
            choice("read", "log"), "`read`: its runs stand beside ours; `log`: runs of jobs are copied there too"
        ),
        "experiment": key(
            Text(says="an experiment's name", example="churn", pattern=r"[^\x00-\x1f\x7f]+", longest=500),
            "where its runs are; the project's name when absent",
        ),
        "gates": key(Flag(), "`false`: its runs are shown, and no gate judges them"),
        "token": key(ENV_NAME, "name of the secret that holds the token"),
        "username": key(ENV_NAME, "name of the secret that holds the user's name"),
        "password": key(ENV_NAME, "name of the secret that holds the password"),
    }
)
