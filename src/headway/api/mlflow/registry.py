"""The registry's routes: registered models, versions, stages, tags, aliases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from headway.api.mlflow.access import check_run_write, is_attempt, refuse_attempt
from headway.api.mlflow.admit import check_move
from headway.api.mlflow.route import Call, Message, Route, by_method
from headway.auth.model import NO_PROJECT
from headway.auth.projects import PROJECT_TAG, ProjectStore
from headway.auth.roles import Action, check_allowed
from headway.clock import to_millis
from headway.errors import Refused
from headway.registry.logged import LoggedModelStore
from headway.registry.model import PROMPT_TAG, ModelVersion, RegisteredModel
from headway.registry.names import checked_number
from headway.registry.source import download_uri, resolve_source
from headway.registry.store import RegistryStore

if TYPE_CHECKING:
    from collections.abc import Sequence


class Pair(msgspec.Struct, gc=False):
    """A tag or a parameter in a body."""

    key: str = ""
    value: str = ""


class Named(Message):
    """A registered model by name."""

    name: str = ""


class CreateModel(Message):
    """A new registered model."""

    name: str = ""
    tags: list[Pair] = msgspec.field(default_factory=list)
    description: str | None = None


class Rename(Message):
    """A new name for a registered model."""

    name: str = ""
    new_name: str = ""


class Describe(Message):
    """A description; `version` where one is described."""

    name: str = ""
    version: str = ""
    description: str | None = None


class Latest(Message):
    """The stages whose newest versions are wanted."""

    name: str = ""
    stages: list[str] = msgspec.field(default_factory=list)


class SetTag(Message):
    """A tag of a model or a version."""

    name: str = ""
    version: str = ""
    key: str = ""
    value: str = ""


class SetAlias(Message):
    """An alias and the version that it shall name."""

    name: str = ""
    alias: str = ""
    version: str = ""


class CreateVersion(Message):
    """A new version and where its bytes are."""

    name: str = ""
    source: str = ""
    run_id: str = ""
    run_link: str = ""
    model_id: str = ""
    description: str | None = None
    tags: list[Pair] = msgspec.field(default_factory=list)


class Versioned(Message):
    """One version."""

    name: str = ""
    version: str = ""


class Stage(Message):
    """A stage for a version."""

    name: str = ""
    version: str = ""
    stage: str = ""
    archive_existing_versions: bool = False


def pairs(tags: Sequence[Pair]) -> dict[str, str]:
    """Return what a list of tags means: the last of a key wins."""
    return {tag.key: tag.value for tag in tags}


def listed(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags as the wire lists them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def version_json(version: ModelVersion) -> dict[str, Any]:
    """Return a version as the wire shows it."""
    shown: dict[str, Any] = {
        "name": version.model,
        "version": str(version.number),
        "creation_timestamp": to_millis(version.created_at),
        "last_updated_timestamp": to_millis(version.updated_at or version.created_at),
        "current_stage": version.stage,
        "source": version.source_uri or f"mlflow-artifacts:/{version.source}",
        "run_id": version.run_id,
        "run_link": version.run_link,
        "description": version.description or "",
        "status": version.status,
    }
    given = (
        ("tags", listed(version.tags)),
        ("aliases", list(version.aliases)),
        ("user_id", version.created_by),
        ("model_id", version.model_id),
    )
    shown |= {name: value for name, value in given if value}
    return shown


def model_json(model: RegisteredModel) -> dict[str, Any]:
    """Return a registered model as the wire shows it."""
    shown: dict[str, Any] = {
        "name": model.name,
        "creation_timestamp": to_millis(model.created_at),
        "last_updated_timestamp": to_millis(model.updated_at),
    }
    given = (
        ("description", model.description),
        ("latest_versions", [version_json(each) for each in model.latest]),
        ("tags", listed(model.tags)),
        ("aliases", [{"alias": name, "version": str(number)} for name, number in model.aliases.items()]),
    )
    shown |= {name: value for name, value in given if value}
    return shown


# --- registered models ------------------------------------------------------------------------------


def _create_model(call: Call, message: CreateModel) -> Any:
    check_allowed(call.principal, Action.CREATE_VERSION)
    tags = pairs(message.tags)
    made = RegistryStore(call.tx).create_model(
        message.name,
        description=message.description,
        tags=tags,
        actor=call.principal.user,
        project=ProjectStore(call.tx).for_new(call.principal, tags.get(PROJECT_TAG, NO_PROJECT)),
    )
    return {"registered_model": model_json(made)}


def _get_model(call: Call, message: Named) -> Any:
    return {"registered_model": model_json(RegistryStore(call.tx).get_model(message.name))}


def _update_model(call: Call, message: Describe) -> Any:
    store = RegistryStore(call.tx)
    _check_may_write(call, store, message.name)
    return {"registered_model": model_json(store.update_model(message.name, description=message.description))}


def _rename_model(call: Call, message: Rename) -> Any:
    check_allowed(call.principal, Action.MOVE_ALIAS)
    made = RegistryStore(call.tx).rename_model(message.name, message.new_name, actor=call.principal.user)
    return {"registered_model": model_json(made)}


def _delete_model(call: Call, message: Named) -> Any:
    check_allowed(call.principal, Action.MOVE_ALIAS)
    RegistryStore(call.tx).delete_model(message.name, actor=call.principal.user)


def _latest(call: Call, message: Latest) -> Any:
    found = RegistryStore(call.tx).latest_versions(message.name, message.stages)
    return {"model_versions": [version_json(each) for each in found]}


def _set_model_tag(call: Call, message: SetTag) -> Any:
    store = RegistryStore(call.tx)
    _check_may_write(call, store, message.name)
    if message.key == PROJECT_TAG:
        refuse_attempt(call.principal, "move models")
        store.move_model(message.name, check_move(call.tx, call.principal, message.value), actor=call.principal.user)
    store.set_model_tag(message.name, message.key, value=message.value)


def _delete_model_tag(call: Call, message: SetTag) -> Any:
    check_allowed(call.principal, Action.CREATE_VERSION)
    refuse_attempt(call.principal, "delete tags")
    if message.key == PROJECT_TAG:
        moved = check_move(call.tx, call.principal, NO_PROJECT)
        RegistryStore(call.tx).move_model(message.name, moved, actor=call.principal.user)
    RegistryStore(call.tx).delete_model_tag(message.name, message.key)


def _set_alias(call: Call, message: SetAlias) -> Any:
    check_allowed(call.principal, Action.MOVE_ALIAS)
    RegistryStore(call.tx).set_alias(
        message.name,
        message.alias,
        number=checked_number(message.version),
        actor=call.principal.user,
        reason="set by an MLflow client",
    )


def _delete_alias(call: Call, message: SetAlias) -> Any:
    check_allowed(call.principal, Action.MOVE_ALIAS)
    RegistryStore(call.tx).delete_alias(
        message.name, message.alias, actor=call.principal.user, reason="removed by an MLflow client"
    )


def _get_alias(call: Call, message: SetAlias) -> Any:
    return {"model_version": version_json(RegistryStore(call.tx).by_alias(message.name, message.alias))}


# --- versions ---------------------------------------------------------------------------------------


def _create_version(call: Call, message: CreateVersion) -> Any:
    check_allowed(call.principal, Action.CREATE_VERSION)
    store = RegistryStore(call.tx)
    tags = pairs(message.tags)
    is_prompt = tags.get(PROMPT_TAG, "").lower() == "true"
    source = resolve_source(
        call.tx, message.source, run_id=message.run_id, model_id=message.model_id, is_prompt=is_prompt
    )
    if is_attempt(call.principal):
        _check_own_run(call, source.run_id)
    made = store.create_version(
        message.name,
        source=source.key,
        source_uri=source.uri or message.source,
        run_id=source.run_id,
        model_id=source.model_id,
        run_link=message.run_link[:2000],
        description=message.description,
        tags=tags,
        created_by=call.principal.user,
    )
    if source.model_id and not is_prompt:
        LoggedModelStore(call.tx).note_version(source.model_id, made.model, made.number)
    return {"model_version": version_json(made)}


def _get_version(call: Call, message: Versioned) -> Any:
    found = RegistryStore(call.tx).get_version(message.name, checked_number(message.version))
    return {"model_version": version_json(found)}


def _update_version(call: Call, message: Describe) -> Any:
    store = RegistryStore(call.tx)
    number = checked_number(message.version)
    _check_may_write(call, store, message.name, number)
    changed = store.update_version(message.name, number, description=message.description or "")
    return {"model_version": version_json(changed)}


def _transition(call: Call, message: Stage) -> Any:
    check_allowed(call.principal, Action.MOVE_ALIAS)
    moved = RegistryStore(call.tx).transition_stage(
        message.name,
        checked_number(message.version),
        stage=message.stage,
        archive_existing=message.archive_existing_versions,
        actor=call.principal.user,
    )
    return {"model_version": version_json(moved)}


def _delete_version(call: Call, message: Versioned) -> Any:
    check_allowed(call.principal, Action.MOVE_ALIAS)
    RegistryStore(call.tx).delete_version(message.name, checked_number(message.version), actor=call.principal.user)


def _download_uri(call: Call, message: Versioned) -> Any:
    # A training may read registered models, yet not the runs that they came from.
    by_key = is_attempt(call.principal)
    return {"artifact_uri": download_uri(call.tx, message.name, checked_number(message.version), by_key=by_key)}


def _set_version_tag(call: Call, message: SetTag) -> Any:
    store = RegistryStore(call.tx)
    number = checked_number(message.version)
    _check_may_write(call, store, message.name, number)
    store.set_version_tag(message.name, number, key=message.key, value=message.value)


def _delete_version_tag(call: Call, message: SetTag) -> Any:
    check_allowed(call.principal, Action.CREATE_VERSION)
    refuse_attempt(call.principal, "delete tags")
    RegistryStore(call.tx).delete_version_tag(message.name, checked_number(message.version), key=message.key)


def _check_may_write(call: Call, store: RegistryStore, name: str, number: int = 0) -> None:
    """Let people write descriptions and tags; a training only those of versions that its run made."""
    check_allowed(call.principal, Action.CREATE_VERSION)
    if is_attempt(call.principal):
        _check_own_run(call, store.get_version(name, number).run_id if number else "")


def _check_own_run(call: Call, run_id: str) -> None:
    if not run_id:
        raise Refused(
            "a training may register and describe the models of its own run only",
            hint="do this with your own token, outside of the pipeline",
        )
    check_run_write(call.store, call.principal, run_id)


ROUTES: tuple[Route, ...] = (
    by_method("POST", "registered-models/create", CreateModel, _create_model, "name"),
    by_method("POST", "registered-models/rename", Rename, _rename_model, "name", "new_name"),
    by_method("PATCH", "registered-models/update", Describe, _update_model, "name"),
    by_method("DELETE", "registered-models/delete", Named, _delete_model, "name"),
    by_method("GET", "registered-models/get", Named, _get_model, "name"),
    replace(by_method("GET", "registered-models/get-latest-versions", Latest, _latest, "name"), method="POST"),
    by_method("GET", "registered-models/get-latest-versions", Latest, _latest, "name"),
    by_method("POST", "registered-models/set-tag", SetTag, _set_model_tag, "name", "key"),
    by_method("DELETE", "registered-models/delete-tag", SetTag, _delete_model_tag, "name", "key"),
    by_method("POST", "registered-models/alias", SetAlias, _set_alias, "name", "alias", "version"),
    by_method("DELETE", "registered-models/alias", SetAlias, _delete_alias, "name", "alias"),
    by_method("GET", "registered-models/alias", SetAlias, _get_alias, "name", "alias"),
    by_method("POST", "model-versions/create", CreateVersion, _create_version, "name", "source"),
    by_method("GET", "model-versions/get", Versioned, _get_version, "name", "version"),
    by_method("PATCH", "model-versions/update", Describe, _update_version, "name", "version"),
    by_method("POST", "model-versions/transition-stage", Stage, _transition, "name", "version", "stage"),
    by_method("DELETE", "model-versions/delete", Versioned, _delete_version, "name", "version"),
    by_method("GET", "model-versions/get-download-uri", Versioned, _download_uri, "name", "version"),
    by_method("POST", "model-versions/set-tag", SetTag, _set_version_tag, "name", "version", "key"),
    by_method("DELETE", "model-versions/delete-tag", SetTag, _delete_version_tag, "name", "version", "key"),
)
