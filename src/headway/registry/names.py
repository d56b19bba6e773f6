"""Which names the registry takes, with MLflow's texts, which users' code matches."""

from __future__ import annotations

import posixpath
import re
import unicodedata

from headway.errors import UsageError
from headway.registry.model import STAGES
from headway.tracking.limits import bad_value, check_length, check_name, storable

MAX_MODEL_NAME = 256
MAX_ALIAS = 255
MAX_TAG_KEY = 250
MAX_TAG_VALUE = 100_000
MAX_DESCRIPTION = 100_000
MAX_SOURCE = 2_000

_AS_FILE = (
    "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. "
    "This name would resolve to '{}'"
)
_ALIAS = re.compile(r"[A-Za-z0-9_-]+\Z")
_VERSION_ALIAS = re.compile(r"[vV][0-9]+\Z")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
# Characters that show nothing, or another thing than they are.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def checked_model_name(name: str, *, what: str = "name") -> str:
    """Return a name that means the same model in a path, an address and a page."""
    if not name.strip():
        raise UsageError(f"Missing value for required parameter '{what}'.")
    if "/" in name or ":" in name:
        raise UsageError(f"Invalid model name '{name[:300]}'. Names cannot contain '/' or ':'.")
    if len(name) > MAX_MODEL_NAME:
        raise UsageError(f"'{what}' exceeds the maximum length of {MAX_MODEL_NAME} characters")
    if posixpath.normpath(name) != name or name in {".", ".."} or "\\" in name:
        raise bad_value(what, name, _AS_FILE.format(posixpath.normpath(name)))
    if _ENCODED.search(name):
        raise bad_value(what, name, "Names must not be percent-encoded: it would be another model elsewhere.")
    if any(_is_unseen(each) for each in name):
        raise bad_value(what, name, "Names must not contain invisible characters.")
    if unicodedata.normalize("NFC", name) != name:
        raise bad_value(what, name, "Names must be in Unicode normal form C: two models could look the same.")
    return name


def _is_unseen(letter: str) -> bool:
    kind = unicodedata.category(letter)
    return kind in _UNSEEN or (kind == "Zs" and letter != " ")


def checked_alias(alias: str, *, is_new: bool = True) -> str:
    """Return an alias; a new one must not read like a version number."""
    if not alias:
        raise UsageError("Registered model alias name cannot be empty.")
    if not _ALIAS.match(alias):
        raise UsageError(
            f"Invalid alias name: '{alias[:300]}'. "
            "Names may only contain alphanumerics, underscores (_), and dashes (-).",
        )
    if len(alias) > MAX_ALIAS:
        raise UsageError(f"'Registered model alias name' exceeds the maximum length of {MAX_ALIAS} characters")
    if is_new and alias.lower() == "latest":
        raise UsageError("'latest' alias name (case insensitive) is reserved.")
    if is_new and _VERSION_ALIAS.match(alias):
        raise UsageError(f"Version alias name '{alias}' is reserved.")
    return alias


def checked_registry_tag(key: str, value: str) -> tuple[str, str]:
    """Return a tag of a model or a version that may be stored."""
    check_name(key, "key")
    return check_length(key, "key", MAX_TAG_KEY), check_length(value, "value", MAX_TAG_VALUE)


def checked_description(text: str | None) -> str | None:
    """Return a description that may be stored."""
    return None if text is None else check_length(text, "description", MAX_DESCRIPTION)


def checked_number(version: str) -> int:
    """Return the number behind a version as clients spell it."""
    digits = version.strip(" ")
    if digits.isascii() and digits.isdigit() and len(digits) < 10:
        return int(digits)
    raise UsageError(f"Parameter 'version' must be an integer, got '{storable(version[:100], 'version')}'.")


def checked_stage(stage: str) -> str:
    """Return the stage in its own spelling, whatever case it was asked for in."""
    for known in STAGES:
        if stage.lower() == known.lower():
            return known
    raise UsageError(f"Invalid Model Version stage: {stage[:100]}. Value must be one of {', '.join(STAGES)}.")
