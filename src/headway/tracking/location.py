"""Where artifacts lie: which locations a client may name, and the address of a run's own."""

from __future__ import annotations

import contextlib
import posixpath
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from headway.errors import UsageError

# The server reads and writes only behind its own proxy. The other schemes are opened by the client itself: object
# stores, and the databases that a plugin of MLflow's keeps artifacts in (`dialect+driver`, as SQLAlchemy writes them).
# A scheme that could lead a program to a host which somebody chose (http, ftp, git+ssh ...) or run in a page
# (javascript, data) is none of them.
_SCHEME = re.compile(
    r"mlflow-artifacts|s3[an]?|gs|abfss?|wasbs?|adl|hdfs|viewfs|dbfs|oss|cos|obs|swift|mysql|postgresql|mssql|"
    r"(?!(?:git|hg|svn|bzr|https?|view-source)\+)[a-z]\w*\+(?!https?|s?ftp|ssh|file|unix|socket)\w+",
    re.ASCII,
)
_PLAIN = re.compile(r"[A-Za-z0-9][\w .+@=-]*(?:/[\w .+@=-]+)*/?\Z")
_QUERY = re.compile(r"[\w=&.,~:@+/-]*\Z", re.ASCII)
_ROOTED = re.compile(r"/[\w .+@=~,-]+(?:/[\w .+@=~,-]+)*/?\Z")
_OWN = re.compile(r"\d+(?:/|\Z)")
_MAX = 2048
# Whose folders a program must not write to, whoever asks it to.
_OF_SYSTEM = re.compile(r"/(?:bin|boot|dev|etc|lib\w*|proc|run|sbin|sys|usr|var/(?:run|spool|lib))(?:/|\Z)")


def checked_location(uri: str, *, is_local: bool = False) -> str:
    """Return an artifact location as it is kept, if a client may name it.

    `is_local` says that server and client are one person's on one machine: then a folder of that machine may be named
    too. The client opens it; the server never does.

    Raises:
        UsageError: it is too long, climbs, has a fragment, or is of a scheme that this server would open.
    """
    if len(uri) > _MAX:
        raise UsageError(f"'artifact_location' exceeds the maximum length of {_MAX} characters")
    bad = UsageError(f"Invalid artifact_location: '{uri}'.", hint="leave it out, and Headway keeps the artifacts")
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise bad from None
    _check_marks(parts, bad)
    if is_local and uri.startswith(("/", "file:///")):
        return _checked_folder(uri, bad)
    if not parts.scheme and not parts.netloc:
        return _named(uri, bad, is_local=is_local)
    _check_parts(parts, bad)
    if any(mark in uri for mark in ";#%\\\0"):
        raise bad
    if parts.scheme == "mlflow-artifacts":
        return _behind_proxy(parts, bad)
    # `dbfs:/folder` has no host; of `s3:///x` and `foo:bar` nobody could say where they are.
    is_placed = bool(parts.netloc) if "://" in uri else parts.scheme == "dbfs" and parts.path.startswith("/")
    if not is_placed or not _QUERY.match(parts.query):
        raise bad
    return uri


def _named(uri: str, bad: UsageError, *, is_local: bool) -> str:
    """Take a plain name for a folder behind our own proxy; for a person alone, as MLflow does, for one beside it.

    That is where the server was started; from a folder of the system's, nobody means that.
    """
    if not _PLAIN.match(uri):
        raise bad
    if is_local:
        with contextlib.suppress(UsageError, OSError):
            return _checked_folder(posixpath.normpath(posixpath.join(Path.cwd().as_posix(), uri)), bad)
    return checked_location(f"mlflow-artifacts:/{uri}")


def _behind_proxy(parts: SplitResult, bad: UsageError) -> str:
    clean = parts.path.strip("/")
    # Folders named by a number belong to the experiments of those numbers.
    is_plain = _PLAIN.match(clean) and posixpath.normpath(clean) == clean and not _OWN.match(clean)
    if parts.netloc or parts.query or not is_plain:
        raise bad
    return f"mlflow-artifacts:/{clean}"


def folder_of(uri: str) -> str:
    """Return the path behind the address of a folder of the client's own disk, without detours; "" for any other."""
    path = uri.removeprefix("file://")
    return posixpath.normpath(path) if path.startswith("/") and not path.startswith("//") else ""


def _checked_folder(uri: str, bad: UsageError) -> str:
    path = uri.removeprefix("file://")
    if not _ROOTED.match(path) or posixpath.normpath(path) != path.rstrip("/") or _OF_SYSTEM.match(path):
        raise bad
    return uri


def _check_marks(parts: SplitResult, bad: UsageError) -> None:
    # Word for word as MLflow says it, whose own tests compare the whole sentence.
    if parts.fragment or ";" in parts.path:
        raise UsageError("'artifact_location' URL can't include fragments or params.", hint=bad.hint)
    if ".." in parts.query:
        raise UsageError("Invalid query string", hint=bad.hint)


def _check_parts(parts: SplitResult, bad: UsageError) -> None:
    if not _SCHEME.fullmatch(parts.scheme):
        raise UsageError(f"{bad.message} 'artifact_location' cannot use the '{parts.scheme}' scheme.", hint=bad.hint)
    if ".." in parts.path.split("/"):
        raise bad


def artifact_uri(location: str, run_id: str) -> str:
    """Return where the artifacts of one run lie."""
    return below(location, f"{run_id}/artifacts")


def below(location: str, path: str) -> str:
    """Return the address of what lies below a location; what follows a question mark stays at the end."""
    place, mark, query = location.partition("?")
    return f"{place.rstrip('/')}/{path}{mark}{query}"
