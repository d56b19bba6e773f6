"""The source of a model version: parsed once into a key, tied to the run or model that owns it, never opened.

Whatever this server keeps must be tied: `runs:/` to the run that the request names, a logged model to its id, a
location of ours to the folder of that run or model. A place that only the client opens is kept as text, once it is
certain that it climbs nowhere and names no host that somebody could want a server to call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from headway.blobs.keys import joined_key
from headway.errors import NotFound, UsageError
from headway.registry.folders import key_of, run_location, uri_of
from headway.registry.logged import LoggedModelStore
from headway.registry.names import MAX_SOURCE, checked_alias, checked_number, checked_stage
from headway.registry.store import RegistryStore
from headway.tracking.limits import check_length
from headway.tracking.location import folder_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from headway.registry.model import ModelVersion

# MLflow's client stores prompts as versions whose source is one of these words, not a place.
PROMPT_SOURCES = frozenset({"dummy-source", "prompt-template"})

_MAX_RUN_ID = 32
_LONGEST_CHAIN = 50  # copies of copies
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # one letter is a drive
_RUNS = re.compile(r"runs:/+([A-Za-z0-9][\w-]*)(?:/(.*))?\Z", re.ASCII)
_MODELS = re.compile(r"models:/([^/@]+)(?:/([^/@]+)|@([^/@]+))?\Z")
_PLACE = re.compile(r"[a-z0-9+.-]+:(/{0,2}[\w @.:~=+%-]+)(/+[\w .+=@%~,:-]*)*(\?[\w=&.-]*)?\Z", re.IGNORECASE)
# Schemes whose addresses choose the host that is called; MLflow's server refuses the same ones.
_HOSTED = frozenset({"http", "https", "ftp", "sftp", "hdfs", "viewfs", "r2", "b2", "abfss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a version's bytes are, and which run or logged model made them."""

    key: str  # "" when the client keeps them elsewhere, and for prompts
    run_id: str
    model_id: str
    uri: str = ""  # what was meant, when another text said it: `models:/name/7` for its alias


def resolve_source(tx: Connection, source: str, *, run_id: str, model_id: str, is_prompt: bool = False) -> Source:
    """Return what a source means.

    Raises:
        UsageError: it is of another form, climbs, or is not inside the run or model that the request names.
        NotFound: it names a version or a logged model that does not exist.
    """
    check_length(source, "source", MAX_SOURCE)
    check_length(run_id, "run_id", _MAX_RUN_ID)
    if is_prompt:
        if source in PROMPT_SOURCES:
            return Source(key="", run_id=run_id, model_id="")
        raise UsageError(
            f"Invalid prompt source: '{source[:300]}'. Prompt sources must use an MLflow placeholder.",
            hint=f"use one of {', '.join(sorted(PROMPT_SOURCES))}",
        )
    field = "model_id" if model_id else "run_id"
    if found := _in_local_folder(tx, source, run_id=run_id, model_id=model_id):
        return found
    scheme = _checked_scheme(source, field)
    _refuse_climbing(source)
    if scheme == "runs":
        return _in_run(tx, source, run_id=run_id, model_id=model_id)
    if scheme == "models":
        return _of_model(tx, source, run_id=run_id, model_id=model_id)
    return _at_location(tx, source, run_id=run_id, model_id=model_id)


def _in_local_folder(tx: Connection, source: str, *, run_id: str, model_id: str) -> Source | None:
    """Take a path only inside of the run or model named, whose experiment lies on the client's own disk."""
    path, made_by = folder_of(source), run_id
    if not path or any(mark in source for mark in "%?#\\\0") or not (run_id or model_id):
        return None
    place = run_location(tx, run_id) if run_id else None
    if model_id:
        model = LoggedModelStore(tx).get(model_id)
        made_by, place = model.source_run_id, model.artifact_uri
    folder = folder_of(place or "")
    if not folder or not f"{path}/".startswith(f"{folder}/"):
        return None
    return Source(key="", run_id=made_by, model_id=model_id)


def _checked_scheme(source: str, field: str) -> str:
    found = _SCHEME.match(source)
    scheme = found[1].lower() if found else ""
    if scheme in ("", "file"):
        raise UsageError(
            f"Invalid model version source: '{source[:300]}'. To use a local path as a model version source, the "
            f"{field} request parameter has to be specified and the local path has to be contained within the artifact "
            f"directory of the run specified by the {field}.",
            cause="no artifacts of this server are addressed by local paths",
            hint="register with mlflow.register_model('runs:/<run id>/<path>', name) or models:/<model id>",
        )
    # `mlflow-artifacts:/x` is this server's own; with a host it is another's.
    is_foreign = scheme == "mlflow-artifacts" and source.partition(":")[2].startswith("//")
    if scheme in _HOSTED or is_foreign:
        raise UsageError(
            f"'source' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host other than the "
            "tracking server's configured artifact storage.",
            hint="copy the model into a run of this server and register that",
        )
    return scheme


def _refuse_climbing(source: str) -> None:
    plain, before = source, ""
    while plain != before:  # each round makes it shorter
        plain, before = unquote_plus(plain), plain
    path = plain.partition(":")[2]
    is_climbing = any(part in {".", ".."} for part in re.split(r"[/\\?#]", plain))
    if not path.startswith("/") or is_climbing or "\0" in plain or "\\" in plain:
        raise UsageError(
            f"Invalid model version source: '{source[:300]}'. If supplying a source as an http, https, local file "
            "path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path "
            "references present. Please provide an absolute path.",
        )


def _in_run(tx: Connection, source: str, *, run_id: str, model_id: str) -> Source:
    found = _RUNS.match(source)
    if model_id:
        raise _untied(source, "model_id")
    if found is None or source.startswith("runs://") or run_id != found[1]:
        raise _untied(source, "run_id")
    location = run_location(tx, run_id)
    root = key_of(location) if location is not None else None
    # The path is checked also where we do not keep the bytes, and where nobody knows the run.
    key = joined_key(root if root is not None else "elsewhere", _tidy(found[2] or ""))
    return Source(key=key if root is not None else "", run_id=run_id, model_id="")


def _of_model(tx: Connection, source: str, *, run_id: str, model_id: str) -> Source:
    found = _MODELS.match(source)
    if source.startswith("models://"):
        raise _invalid(source, "Registered model sources must use the active model registry.")
    if found is None:
        raise _untied(source, "model_id")
    name, suffix, alias = found.groups()
    if suffix or alias:
        return _copied(source, _version(tx, name, suffix, alias, source=source), run_id=run_id, model_id=model_id)
    if model_id != name:
        raise _untied(source, "model_id")
    model = LoggedModelStore(tx).find(name)
    if model is None or model.stage != "active":
        raise _untied(source, "model_id")
    return Source(key=key_of(model.artifact_uri) or "", run_id=model.source_run_id, model_id=name)


def _version(tx: Connection, name: str, suffix: str | None, alias: str | None, *, source: str) -> ModelVersion:
    """Return the version that is meant by number, alias, stage or `latest`."""
    store = RegistryStore(tx)
    if store.get_model(name).is_prompt:
        raise _invalid(source, "Prompt versions cannot be used as model version sources.")
    if alias:
        return store.by_alias(name, checked_alias(alias, is_new=False))
    if not suffix or suffix.lower() == "latest":
        return store.by_alias(name, "latest")
    if suffix.isascii() and suffix.isdigit():
        return store.get_version(name, checked_number(suffix))
    newest = store.latest_versions(name, [checked_stage(suffix)])
    if not newest:
        raise NotFound(f"No versions of model with name '{name}' and stage '{suffix}' found")
    return newest[0]


def _copied(source: str, found: ModelVersion, *, run_id: str, model_id: str) -> Source:
    if (run_id and run_id != found.run_id) or (model_id and model_id != found.model_id):
        raise _invalid(source, "The run_id and model_id request parameters must match the referenced model version.")
    uri = f"models:/{found.model}/{found.number}"
    return Source(key=found.source, run_id=found.run_id, model_id=found.model_id, uri="" if uri == source else uri)


def _at_location(tx: Connection, source: str, *, run_id: str, model_id: str) -> Source:
    """Take one of our locations only below the folder of the run or model named; keep others as text."""
    field = "model_id" if model_id else "run_id"
    made_by, place = run_id, run_location(tx, run_id) if run_id else None
    if model_id:
        model = LoggedModelStore(tx).get(model_id)
        made_by, place = model.source_run_id, model.artifact_uri
    if not source.startswith("mlflow-artifacts:"):
        if not _PLACE.match(source):
            raise _invalid(source, "It has characters that an artifact location cannot have.")
        return Source(key="", run_id=made_by, model_id=model_id)
    folder = key_of(place) if place is not None else None
    key = key_of(f"mlflow-artifacts:/{_tidy(source.partition(':')[2])}")
    if folder is None or key is None or not f"{key}/".startswith(f"{folder}/"):
        raise _untied(source, field)
    return Source(key=key, run_id=made_by, model_id=model_id)


def _tidy(path: str) -> str:
    """Return a path without the empty parts that `//` and a slash at an end make."""
    return "/".join(part for part in path.split("/") if part)


def download_uri(tx: Connection, name: str, number: int, *, by_key: bool = False) -> str:
    """Return where a client may download a version from: its source, or where the copied version has it.

    `by_key` asks for the place in this server's store instead, which needs no right to read the run.
    """
    store = RegistryStore(tx)
    first = found = store.get_version(name, number)
    for _ in range(_LONGEST_CHAIN):
        if (by_key and found.source) or not found.source_uri:
            break
        if not found.source_uri.startswith("models:/"):
            return found.source_uri
        parts = _MODELS.match(found.source_uri)
        if parts is None or not parts[2] or not parts[2].isdigit():
            break
        try:
            found = store.get_version(parts[1], int(parts[2]))
        except NotFound:  # deleted or renamed since
            break
    if found.source or first.source:
        return uri_of(found.source or first.source)
    model = LoggedModelStore(tx).find(found.model_id) if found.model_id else None
    if model is None:
        raise NotFound(f"Model Version (name={name}, version={number}) has no files")
    return model.artifact_uri


def _invalid(source: str, why: str) -> UsageError:
    return UsageError(
        f"Invalid model version source: '{source[:300]}'. {why}",
        hint="register with mlflow.register_model('runs:/<run id>/<path>', name) or models:/<model id>",
    )


def _untied(source: str, field: str) -> UsageError:
    return _invalid(source, f"The {field} request parameter must identify the resource that contains the source.")
