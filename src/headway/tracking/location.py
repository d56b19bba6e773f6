"""Where artifacts lie: which locations a client may name, and the address of a run's own."""

from __future__ import annotations

import posixpath
import re
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from headway.errors import UsageError

# The server reads and writes only behind its own proxy. The other schemes are opened by the client itself.
_SCHEMES = frozenset({"mlflow-artifacts", "s3", "gs", "abfss", "wasbs", "hdfs", "viewfs"})
_PLAIN = re.compile(r"[A-Za-z0-9][\w .+@=-]*(?:/[\w .+@=-]+)*/?\Z")
_OWN = re.compile(r"\d+(?:/|\Z)")
_MAX = 2048


def checked_location(uri: str) -> str:
    """Return an artifact location without its last slash, if a client may name it.

    Raises:
        UsageError: it is too long, climbs, has a query or fragment, or is of a scheme that this server would open.
    """
    if len(uri) > _MAX:
        raise UsageError(f"'artifact_location' exceeds the maximum length of {_MAX} characters")
    bad = UsageError(f"Invalid artifact_location: '{uri}'.", hint="leave it out, and Headway keeps the artifacts")
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise bad from None
    if not parts.scheme and not parts.netloc:  # a plain name: a folder behind our own proxy
        return checked_location(f"mlflow-artifacts:/{uri}") if _PLAIN.match(uri) else _refuse(bad)
    _check_parts(parts, bad)
    if parts.query or any(mark in uri for mark in ";?#%\\\0"):
        raise bad
    clean = parts.path.strip("/")
    if parts.scheme == "mlflow-artifacts":
        # Folders named by a number belong to the experiments of those numbers.
        if parts.netloc or not _PLAIN.match(clean) or posixpath.normpath(clean) != clean or _OWN.match(clean):
            raise bad
        return f"mlflow-artifacts:/{clean}"
    if not parts.netloc:
        raise bad
    return uri.rstrip("/")


def _check_parts(parts: SplitResult, bad: UsageError) -> None:
    if parts.fragment or ";" in parts.path:
        raise UsageError(f"{bad.message} 'artifact_location' URL can't include fragments or params.", hint=bad.hint)
    if parts.scheme not in _SCHEMES:
        raise UsageError(f"{bad.message} 'artifact_location' cannot use the '{parts.scheme}' scheme.", hint=bad.hint)
    if ".." in parts.path.split("/"):
        raise bad


def _refuse(error: UsageError) -> NoReturn:
    raise error


def artifact_uri(location: str, run_id: str) -> str:
    """Return where the artifacts of one run lie."""
    return f"{location.rstrip('/')}/{run_id}/artifacts"
