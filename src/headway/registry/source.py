"""The source of a model version: parsed once into a key, tied to the run or model that owns it, never opened.

Allow-list only. What a client may name: `runs:/`, `models:/`, and locations inside the run's or model's own folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway.blobs.keys import joined_key
from headway.errors import NotFound, UsageError
from headway.registry.folders import key_of, run_location, uri_of
from headway.registry.logged import LoggedModelStore
from headway.registry.names import MAX_SOURCE
from headway.registry.store import RegistryStore

if TYPE_CHECKING:
    from sqlalchemy import Connection

# MLflow's client stores prompts as versions whose source is one of these words, not a place.
PROMPT_SOURCES = frozenset({"dummy-source", "prompt-template"})

_RUNS = re.compile(r"runs:/([A-Za-z0-9][\w-]*)/(.+)\Z", re.ASCII)
_LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})\Z")
_VERSION = re.compile(r"models:/([^/@]+)/([0-9]{1,9})\Z")
_ALIAS = re.compile(r"models:/([^/@]+)@([A-Za-z0-9_-]+)\Z")
_REMOTE = re.compile(r"(s3|gs|abfss|wasbs|hdfs|viewfs)://[A-Za-z0-9@._-]+(/[\w .+=@-]+)+\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a version's bytes are, and which run or logged model made them."""

    key: str  # "" when the client keeps them elsewhere, and for prompts
    run_id: str
    model_id: str


def resolve_source(tx: Connection, source: str, *, run_id: str, model_id: str, is_prompt: bool = False) -> Source:
    """Return what a source means.

    Raises:
        UsageError: it is of another form, climbs, or is not inside the run or model that the request names.
    """
    if len(source) > MAX_SOURCE:
        raise UsageError(f"'source' exceeds the maximum length of {MAX_SOURCE} characters")
    if is_prompt:
        if source in PROMPT_SOURCES:
            return Source(key="", run_id=run_id, model_id="")
        raise _invalid(source, "a prompt's source is a fixed word")
    if found := _RUNS.match(source):
        return _in_run(tx, source, run_id=run_id, named=found[1], path=found[2])
    if found := _LOGGED.match(source):
        return _in_model(tx, source, model_id=model_id, named=found[1])
    if found := _VERSION.match(source):
        return _copied(tx, source, name=found[1], version=found[2], run_id=run_id, model_id=model_id)
    if found := _ALIAS.match(source):
        return _copied(tx, source, name=found[1], version=f"@{found[2]}", run_id=run_id, model_id=model_id)
    return _at_location(tx, source, run_id=run_id, model_id=model_id)


def _in_run(tx: Connection, source: str, *, run_id: str, named: str, path: str) -> Source:
    if run_id != named:
        raise _untied(source, "run_id")
    location = run_location(tx, run_id)
    if location is None:
        raise _untied(source, "run_id")
    root = key_of(location)
    # The path is checked also where we do not keep the bytes.
    key = joined_key(root if root is not None else "elsewhere", path)
    return Source(key=key if root is not None else "", run_id=run_id, model_id="")


def _in_model(tx: Connection, source: str, *, model_id: str, named: str) -> Source:
    if model_id != named:
        raise _untied(source, "model_id")
    model = LoggedModelStore(tx).find(named)
    if model is None or model.stage != "active":
        raise _untied(source, "model_id")
    return Source(key=key_of(model.artifact_uri) or "", run_id=model.source_run_id, model_id=named)


def _copied(tx: Connection, source: str, *, name: str, version: str, run_id: str, model_id: str) -> Source:
    store = RegistryStore(tx)
    if store.get_model(name).is_prompt:
        raise _invalid(source, "a prompt cannot be the source of a model")
    found = store.by_alias(name, version[1:]) if version.startswith("@") else store.get_version(name, int(version))
    if (run_id and run_id != found.run_id) or (model_id and model_id != found.model_id):
        raise _invalid(source, "run_id and model_id must be those of the referenced version")
    return Source(key=found.source, run_id=found.run_id, model_id=found.model_id)


def _at_location(tx: Connection, source: str, *, run_id: str, model_id: str) -> Source:
    """Take a location only below the folder of the run or model that the request names."""
    if not source.startswith("mlflow-artifacts:") and not _is_remote(source):
        raise _invalid(source, "only runs:/, models:/ and the run's or model's own artifact location may be named")
    root = _root(tx, run_id=run_id, model_id=model_id)
    if root is None:
        raise _untied(source, "model_id" if model_id else "run_id")
    place, made_by = root
    key, folder = key_of(source), key_of(place)
    if key is None or folder is None:
        # The client opens this one; we only keep the text, once it is certain where it points.
        if not _is_remote(source) or not f"{source}/".startswith(f"{place}/"):
            raise _untied(source, "model_id" if model_id else "run_id")
        return Source(key="", run_id=made_by, model_id=model_id)
    if not f"{key}/".startswith(f"{folder}/"):
        raise _untied(source, "model_id" if model_id else "run_id")
    return Source(key=key, run_id=made_by, model_id=model_id)


def _root(tx: Connection, *, run_id: str, model_id: str) -> tuple[str, str] | None:
    if model_id:
        model = LoggedModelStore(tx).find(model_id)
        return None if model is None or model.stage != "active" else (model.artifact_uri, model.source_run_id)
    location = run_location(tx, run_id) if run_id else None
    return None if location is None else (location, run_id)


def _is_remote(source: str) -> bool:
    return bool(_REMOTE.match(source)) and not {".", ".."} & set(source.split("/"))


def download_uri(tx: Connection, name: str, number: int) -> str:
    """Return where a client may download a version from."""
    found = RegistryStore(tx).get_version(name, number)
    if found.source:
        return uri_of(found.source)
    if not found.source_uri:
        raise NotFound(f"Model Version (name={name}, version={number}) has no files")
    return found.source_uri


def _invalid(source: str, cause: str) -> UsageError:
    return UsageError(
        f"Invalid model version source: '{source[:300]}'.",
        cause=cause,
        hint="register with mlflow.register_model('runs:/<run id>/<path>', name) or models:/<model id>",
    )


def _untied(source: str, field: str) -> UsageError:
    return UsageError(
        f"Invalid model version source: '{source[:300]}'. The {field} request parameter must "
        "identify the resource that contains the source.",
    )
