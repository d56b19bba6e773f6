"""The words of headway.yaml: names, paths, units and lists of choices that several keys share."""

from __future__ import annotations

from headway.projects.shapes import Key, Number, Shape, Text
from headway.projects.units import ACCELERATORS, DURATION, MEMORY, read_accelerators, read_duration, read_memory

COMPUTED = (
    "accuracy", "balanced_accuracy", "precision", "recall", "tpr", "fpr", "fnr", "specificity", "f1", "f1_macro",
    "selection_rate", "roc_auc", "average_precision", "log_loss", "brier", "mae", "mse", "rmse", "r2",
)  # fmt: skip
"""What `compute:` may name; `headway.stats` computes it (a test holds the two together)."""

FROM_SCORE = frozenset({"roc_auc", "average_precision", "log_loss", "brier"})
"""Those of them that need the column `score`; the others need `prediction`."""

FAIRNESS = (
    "demographic_parity_difference", "demographic_parity_ratio", "equal_opportunity_difference",
    "equal_opportunity_ratio", "equalized_odds_difference", "equalized_odds_ratio",
)  # fmt: skip
"""What `fairness:` may name."""

EVENTS = (
    "finished", "gate_passed", "gate_failed", "crashed", "approval_needed", "deployed", "rolled_back", "drift",
)  # fmt: skip
"""What a notification may be about."""

NAME = Text(
    says="a name",
    example="churn",
    pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    longest=63,
)
ANY = Text(says="a text", longest=500)
METRIC = Text(says="a metric's name", example="val_auc", pattern=r"[A-Za-z0-9_][A-Za-z0-9._/-]*", longest=128)
COLUMN = Text(says="a column's name", example="country", pattern=r"[^\s,][^\n\r]*", longest=128)
# Relative, without `..`, empty or absolute parts: it can lead nowhere but into the project.
PATH = Text(
    says="a path inside the project, with `/` between its parts",
    example="build/model",
    pattern=r"(?!.*(?:^|/)\.\.(?:/|$))[^-/\\\s*?\[][^\\\n\r*?\[]*",
    longest=500,
)
GLOB = Text(says="a glob such as `src/**/*.py`", example='"**.py"', pattern=r"[^\\\n\r]+", longest=200)
ENV_NAME = Text(says="a variable's name", example="WAREHOUSE_TOKEN", pattern=r"[A-Za-z_][A-Za-z0-9_]*", longest=100)
DURATION_TEXT = Text(
    says="a duration such as `30m`, `2h` or `1h30m`", example="30m", pattern=DURATION, longest=40, read=read_duration
)
MEMORY_TEXT = Text(
    says="an amount such as `512Mi` or `8Gi`", example="8Gi", pattern=MEMORY, longest=20, read=read_memory
)
URI = Text(
    says="a path or an address",
    example='"s3://acme/churn/train.parquet"',
    pattern=r"[^\s\x00-\x1f][^\n\r]*",
    longest=1000,
)
NAMESPACE = Text(
    says="the name of a namespace: small letters, digits and dashes",
    example="ml",
    pattern=r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
    longest=63,
)
IMAGE = Text(
    says="a container image",
    example="registry.example/team/torch:2.4",
    pattern=r"(?!.*\.\.)(?!.*//)[a-z0-9][A-Za-z0-9._:/@+-]*[A-Za-z0-9]",
    longest=255,
)
MOUNT_PATH = Text(
    says="an absolute path, such as `/data`",
    example="/data",
    pattern=r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._-]+)+/?",
    longest=250,
)
COMMAND = Text(says="a command line", example="python train.py")
SHARE = Number(least=0, most=1)
ANY_NUMBER = Number(least=-1e300, most=1e300)
NOT_NEGATIVE = Number(least=0, most=1e300)
COUNT = Number(least=1, most=1_000_000, is_whole=True)


def key(shape: Shape, says: str, *, needed: bool = False) -> Key:
    """Return one row of the table."""
    return Key(shape=shape, says=says, is_needed=needed)


def choice(*choices: str) -> Text:
    """Return a text that is one of a few words."""
    return Text(says=" or ".join(f"`{choice}`" for choice in choices), example=choices[0], choices=choices)


RESOURCES = {
    "cpus": key(Number(least=0, most=4096, above_least=True), "processor cores, also parts of one"),
    "memory": key(MEMORY_TEXT, "memory"),
    "accelerators": key(
        Text(
            says="an accelerator such as `H100:1`",
            example='"H100:1"',
            pattern=ACCELERATORS,
            longest=60,
            read=read_accelerators,
        ),
        "kind and number of accelerators",
    ),
    "disk": key(MEMORY_TEXT, "disk"),
    "processes": key(COUNT, "processes and threads at the same time"),
}
