"""Every key of headway.yaml, once: the parser, the JSON Schema and the documentation read this table."""

from __future__ import annotations

from headway.projects.keys_release import DEPLOY, MONITOR, NOTIFICATIONS, TRIGGERS
from headway.projects.keys_retention import RETENTION
from headway.projects.keys_tracking import TRACKING
from headway.projects.shapes import Either, Fields, Flag, ListOf, MapOf, Number, Scalar, Text
from headway.projects.words import (
    ANY,
    ANY_NUMBER,
    COLUMN,
    COMMAND,
    COMPUTED,
    COUNT,
    DURATION_TEXT,
    ENV_NAME,
    FAIRNESS,
    GLOB,
    IMAGE,
    METRIC,
    MOUNT_PATH,
    NAME,
    NAMESPACE,
    NOT_NEGATIVE,
    PATH,
    RESOURCES,
    URI,
    choice,
    key,
)

_VOLUMES = MapOf(
    key=NAME,
    value=Either(
        options=(
            MOUNT_PATH,
            Fields(
                keys={
                    "path": key(MOUNT_PATH, "where the step finds it", needed=True),
                    "read_only": key(Flag(), "whether it is only read"),
                }
            ),
        )
    ),
    most=20,
)
"""Name of the volume, as the server's operator calls it -> where it is mounted."""
_STEP = Fields(
    keys={
        "run": key(COMMAND, "the command line; no shell reads it", needed=True),
        "needs": key(ListOf(item=NAME), "steps that must have succeeded before"),
        "inputs": key(ListOf(item=PATH), "`data.NAME`, outputs of other steps, or files of the commit"),
        "outputs": key(ListOf(item=PATH), "files and folders that it writes"),
        "code": key(ListOf(item=GLOB), "globs of the files that it reads as code; all when absent"),
        "from": key(choice("change", "base"), "`base`: taken from the base branch, so that a change cannot edit it"),
        "cache": key(Flag(), "reuse an earlier result of equal inputs"),
        "resources": key(Fields(keys=RESOURCES), "what it may use"),
        "timeout": key(DURATION_TEXT, "how long it may take"),
        "retries": key(Number(least=0, most=10, is_whole=True), "how often it is tried again"),
        "variables": key(MapOf(key=ENV_NAME, value=Text(least=0)), "environment variables"),
        "network": key(Flag(), "whether it may use the network"),
        "image": key(IMAGE, "the container that it runs in (engine: kubernetes), instead of the Python environment"),
        "volumes": key(_VOLUMES, "volumes of the cluster that it sees (engine: kubernetes)"),
    }
)
_RULE = Fields(
    keys={
        "id": key(Text(says="a name for the rule", example="auc", pattern=r"\S(?:.*\S)?", longest=120), "its name"),
        "metric": key(METRIC, "the metric that is judged"),
        "fairness": key(choice(*FAIRNESS), "the gap between groups that is judged"),
        "check": key(choice("data_drift", "data_quality", "schema"), "another check"),
        "min": key(ANY_NUMBER, "the least value that passes"),
        "max": key(ANY_NUMBER, "the largest value that passes"),
        "max_regression": key(NOT_NEGATIVE, "how much worse than the baseline still passes"),
        "slices": key(ListOf(item=COLUMN, least=1, most=20), "columns; each of their values is judged alone"),
        "min_rows": key(COUNT, "slices with fewer rows are not judged"),
        "paired": key(Flag(), "compare row by row, with an interval"),
        "confidence": key(Number(least=0.5, most=0.9999), "of the interval"),
        "severity": key(choice("fail", "warn"), "what it does to the verdict"),
        "data": key(NAME, "the data set that a check is about"),
        "max_psi": key(NOT_NEGATIVE, "the largest population stability index that passes"),
    },
    one_of=("metric", "fairness", "check"),
)
_RULES = ListOf(item=_RULE, most=100)
_DISTRIBUTION = {
    "values": key(ListOf(item=Scalar(), least=1), "the values to choose from"),
    "distribution": key(choice("uniform", "log_uniform", "int_uniform", "int_log_uniform"), "how it is drawn"),
    "min": key(ANY_NUMBER, "least value"),
    "max": key(ANY_NUMBER, "largest value"),
    "step": key(Number(least=0, most=1e300, above_least=True), "distance between values"),
}
_TUNE = Fields(
    keys={
        "step": key(NAME, "the step whose params are searched"),
        "method": key(choice("bayes", "random", "grid"), "how the next trial is chosen"),
        "metric": key(METRIC, "what is made better; the primary metric when absent"),
        "max_trials": key(COUNT, "trials at most"),
        "max_parallel": key(Number(least=1, most=1000, is_whole=True), "trials at the same time"),
        "early_stopping": key(
            Fields(
                keys={
                    "type": key(choice("hyperband", "median"), "the rule", needed=True),
                    "min_steps": key(COUNT, "steps before a trial may be stopped"),
                }
            ),
            "ends trials without hope",
        ),
        "parameters": key(
            MapOf(key=NAME, value=Fields(keys=_DISTRIBUTION, one_of=("values", "distribution")), least=1),
            "the params and their ranges",
            needed=True,
        ),
    }
)
FILE = Fields(
    keys={
        "version": key(Number(least=1, most=1, is_whole=True), "of this format"),
        "name": key(NAME, "the project's name", needed=True),
        "run": key(COMMAND, "the command line of a project with one step"),
        "env": key(
            Fields(
                keys={
                    "python": key(
                        Text(
                            says='a Python version in quotes, such as `"3.12"`',
                            example='"3.12"',
                            pattern=r"3\.[0-9]{1,2}(?:\.[0-9]{1,2})?",
                        ),
                        "the Python version",
                    ),
                    "lockfile": key(PATH, "found by itself when absent"),
                    "variables": key(MapOf(key=ENV_NAME, value=Text(least=0)), "environment variables of each step"),
                    "secrets": key(ListOf(item=ENV_NAME), "names of secrets; their values live in the server"),
                }
            ),
            "the Python environment",
        ),
        "data": key(
            MapOf(
                key=NAME,
                value=Either(options=(URI, Fields(keys={"uri": key(URI, "path or address", needed=True)}))),
            ),
            "data sets; each run records their digests",
        ),
        "params": key(MapOf(key=NAME, value=Scalar()), "parameters and their defaults"),
        "resources": key(Fields(keys=RESOURCES), "what each step may use"),
        "network": key(Flag(), "whether each step may use the network"),
        "image": key(IMAGE, "the container that each step runs in (engine: kubernetes)"),
        "volumes": key(_VOLUMES, "volumes of the cluster that each step sees (engine: kubernetes)"),
        "seed": key(Number(least=0, most=2**32 - 1, is_whole=True), "given to each step as HEADWAY_SEED"),
        "pipeline": key(
            Fields(keys={"steps": key(MapOf(key=NAME, value=_STEP, least=1, most=100), "the steps", needed=True)}),
            "what runs",
        ),
        "metrics": key(
            MapOf(
                key=METRIC,
                value=Either(
                    options=(
                        choice("maximize", "minimize"),
                        Fields(
                            keys={
                                "goal": key(choice("maximize", "minimize"), "which direction is better"),
                                "primary": key(Flag(), "the one that stands first"),
                                "compute": key(choice(*COMPUTED), "computed by Headway from the predictions"),
                            }
                        ),
                    )
                ),
            ),
            "what is watched; the first one is primary unless another says so",
        ),
        "predictions": key(
            Fields(
                keys={
                    "path": key(PATH, "CSV that a step writes", needed=True),
                    "id": key(COLUMN, "column that names the row", needed=True),
                    "prediction": key(COLUMN, "column of the predicted class or value"),
                    "score": key(COLUMN, "column of the positive class's probability"),
                    "slices": key(ListOf(item=COLUMN, most=20), "columns that gates may slice by"),
                    "holdout": key(PATH, "CSV with the true answers", needed=True),
                    "label": key(COLUMN, "its column with the true answer"),
                }
            ),
            "predictions on the hold-out: what gates compute from",
        ),
        "gates": key(
            Either(
                options=(
                    Fields(
                        keys={
                            "baseline": key(
                                Text(
                                    says="production, main, run:ID or model:NAME@ALIAS",
                                    example="production",
                                    pattern=r"production|main|run:[A-Za-z0-9]{1,64}|model:[A-Za-z0-9][A-Za-z0-9._-]{0,62}@[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
                                ),
                                "what a change is compared with",
                            ),
                            "rules": key(_RULES, "the rules"),
                        }
                    ),
                    _RULES,
                )
            ),
            "what a change must keep to be merged",
        ),
        "model": key(
            Fields(
                keys={
                    "name": key(NAME, "its name in the registry"),
                    "path": key(PATH, "the folder among the outputs; the model logged with MLflow when absent"),
                    "signature": key(choice("infer", "none"), "its inputs and outputs"),
                }
            ),
            "the model that comes out",
        ),
        "deploy": key(DEPLOY, "how a version reaches production"),
        "tune": key(_TUNE, "the search for better params"),
        "monitor": key(MONITOR, "what is watched in production"),
        "triggers": key(TRIGGERS, "what starts work by itself"),
        "engine": key(
            Fields(
                keys={
                    "type": key(choice("local", "kubernetes"), "where it runs"),
                    "namespace": key(
                        NAMESPACE, "of Kubernetes, one of those that the server allows; its usual one when absent"
                    ),
                    "concurrency": key(
                        Fields(
                            keys={
                                "group": key(choice("pull_request"), "what is taken together"),
                                "cancel_in_progress": key(Flag(), "a push stops the work of earlier commits"),
                            }
                        ),
                        "what may run at the same time",
                    ),
                    "price_per_hour": key(NOT_NEGATIVE, "money per hour of one core"),
                    "currency": key(Text(says="a currency", example="$", longest=8), "its sign"),
                }
            ),
            "where it runs",
        ),
        "report": key(
            Fields(
                keys={
                    "template": key(PATH, "a Jinja template, read from the base branch"),
                    "columns": key(ListOf(item=METRIC, most=20), "further metrics in the table of runs"),
                }
            ),
            "the report in the pull request",
        ),
        "tracking": key(TRACKING, "an MLflow server of your own, beside Headway's tracking"),
        "retention": key(RETENTION, "how long runs and deleted things are kept"),
        "notifications": key(NOTIFICATIONS, "who is told when a long job ends"),
        "commands": key(
            MapOf(
                key=Text(
                    says="a word of small letters, digits and dashes",
                    example="run-full-test",
                    pattern=r"[a-z][a-z0-9_-]{0,62}",
                ),
                value=ANY,
                most=50,
            ),
            "your own words for a verb and its options",
        ),
    },
    one_of=("run", "pipeline"),
)
"""The whole file."""
