"""What may be logged: names, lengths and counts, with MLflow's texts, which users' code matches."""

from __future__ import annotations

import json
import posixpath
import re
from typing import TYPE_CHECKING, Any

from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_KEY = 250
MAX_PARAM_VALUE = 6_000
MAX_TAG_VALUE = 8_000
MAX_EXPERIMENT_NAME = 500
MAX_EXPERIMENT_TAG_VALUE = 20_000
MAX_METRICS = 1_000
MAX_PARAMS_OR_TAGS = 100
MAX_ENTITIES = 1_000
MAX_BATCH_BYTES = 1_000_000
MAX_MODELS = 4_000_000  # all descriptions of models in the tag of a run that old clients keep
MAX_DATASET_NAME = 500
MAX_DATASET_DIGEST = 36
MAX_DATASET_SOURCE = 65_535
MAX_DATASET_SCHEMA = 1_048_575
MAX_DATASET_PROFILE = 16_777_215
MAX_INPUT_TAG_KEY = 255
MAX_INPUT_TAG_VALUE = 500
LARGEST = 1.7976931348623157e308

_NAME = re.compile(r"[/\w.\- :]*\Z")
_NUMBER = re.compile(r"-?[0-9]{1,18}\Z")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}\Z")
_BAD_CHARACTERS = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.),"
    " spaces ( ), colon(:) and slashes (/)."
)


def bad_value(path: str, value: Any, why: str = "") -> UsageError:
    """Say which value of which field is wrong, as MLflow spells it."""
    shown = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return UsageError(f"Invalid value {shown} for parameter '{path}' supplied" + (f": {why}" if why else "."))


def too_long(what: str, limit: int) -> UsageError:
    """Say what exceeds its length."""
    return UsageError(f"'{what}' exceeds the maximum length of {limit} characters")


def check_name(name: str, path: str) -> None:
    """Refuse a name that has other characters, or that as a path would mean another name."""
    if not _NAME.match(name):
        raise bad_value(path, name, _BAD_CHARACTERS)
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(("..", "/")):
        raise bad_value(
            path,
            name,
            "Names may be treated as files in certain cases, and must not resolve to other names"
            f" when treated as such. This name would resolve to {normal!r}",
        )


def check_metric_name(name: str, path: str) -> None:
    """Refuse a metric's name."""
    check_name(name, path)
    if len(name) > MAX_KEY:
        raise too_long("Metric name", MAX_KEY)


def check_length(value: str, what: str, limit: int) -> str:
    """Return a value that is short enough and that both databases can keep."""
    if len(value) > limit:
        raise too_long(what, limit)
    return storable(value, what)


def storable(value: str, what: str) -> str:
    """Return a text that has no NUL in it, which PostgreSQL cannot keep."""
    if "\0" in value:
        raise bad_value(what, value[:100], "The character NUL cannot be stored.")
    return value


def checked_param(key: str, value: str, path: str = "") -> tuple[str, str]:
    """Return a parameter that may be stored; a long value is cut, as MLflow does by default."""
    check_name(key, f"{path}.key" if path else "key")
    if len(key) > MAX_KEY:
        raise too_long("Param key", MAX_KEY)
    return key, storable(value[:MAX_PARAM_VALUE], f"{path}.value" if path else "value")


def checked_tag(key: str, value: str, path: str = "") -> tuple[str, str]:
    """Return a run's tag that may be stored; a long value is cut."""
    check_name(key, f"{path}.key" if path else "key")
    return shortened_tag(key, value, path)


def shortened_tag(key: str, value: str, path: str = "") -> tuple[str, str]:
    """Return a tag with any name that is short enough; a long value is cut."""
    where = f"{path}.key" if path else "key"
    if len(key) > MAX_KEY:
        raise too_long(where, MAX_KEY)
    return storable(key, where), storable(value[:MAX_TAG_VALUE], f"{path}.value" if path else "value")


def checked_experiment_tag(key: str, value: str) -> tuple[str, str]:
    """Return an experiment's tag that may be stored."""
    check_name(key, "key")
    check_length(key, "key", MAX_KEY)
    return key, check_length(value, "value", MAX_EXPERIMENT_TAG_VALUE)


def checked_experiment_name(name: str) -> str:
    """Return an experiment's name that may be stored."""
    if name == "":
        raise UsageError(f"Invalid experiment name: '{name}'")
    return check_length(name, "name", MAX_EXPERIMENT_NAME)


def check_run_id(run_id: str) -> None:
    """Refuse what cannot be a run's id, before asking the database."""
    if not _RUN_ID.match(run_id):
        raise bad_value("run_id", run_id[:300])


def experiment_number(experiment_id: str) -> int:
    """Return the number behind an experiment's id."""
    text = experiment_id or "0"
    if _NUMBER.match(text):
        return int(text)
    raise UsageError(f"Invalid experiment ID '{experiment_id[:100]}'. Experiment ID must be a valid integer.")


def clamped(value: float) -> float:
    """Return a value with infinities replaced by the largest finite number; NaN stays."""
    if value > LARGEST:
        return LARGEST
    return max(value, -LARGEST) if value < 0 else value


def check_batch(metrics: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]) -> None:
    """Refuse a batch that has too many of something."""
    counts = (
        ("metrics", MAX_METRICS, len(metrics)),
        ("params", MAX_PARAMS_OR_TAGS, len(params)),
        ("tags", MAX_PARAMS_OR_TAGS, len(tags)),
        ("metrics, params, and tags", MAX_ENTITIES, len(metrics) + len(params) + len(tags)),
    )
    for what, limit, count in counts:
        if count > limit:
            raise UsageError(
                f"A batch logging request can contain at most {limit} {what}. Got {count} {what}. "
                f"Please split up {what} across multiple requests and try again.",
            )


def check_unique(keys: Iterable[str]) -> None:
    """Refuse a batch that gives a parameter twice."""
    seen: set[str] = set()
    twice: list[str] = []
    for key in keys:
        if key in seen:
            twice.append(key)
        seen.add(key)
    if twice:
        raise UsageError(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure "
            "the request contains only one param value per param key.",
        )
