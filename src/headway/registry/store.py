"""The registry: names, versions that count up, aliases that move, and an event for whatever matters.

Only this file moves an alias or changes a version's state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from headway.auth.model import NO_PROJECT
from headway.auth.projects import ProjectStore, may_use
from headway.clock import Clock, SystemClock
from headway.db import events, schema
from headway.errors import NotFound, Refused, UsageError
from headway.ids import digest_bytes
from headway.registry.model import PROMPT_TAG, Lineage, ModelVersion, RegisteredModel, VersionState
from headway.registry.names import (
    checked_alias,
    checked_description,
    checked_model_name,
    checked_registry_tag,
    checked_stage,
)
from headway.registry.rows import newest_by_stage, read_models, read_versions
from headway.tracking.errors import AlreadyExists

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Select

_model = schema.registered_model
_version = schema.model_version
_tag = schema.registry_tag
_alias = schema.model_alias


class RegistryStore:
    """Registered models and their versions, within the caller's transaction."""

    def __init__(self, tx: Connection, clock: Clock | None = None) -> None:
        """Speak through one connection; what is done counts when its transaction commits."""
        self.tx = tx
        self.clock = clock or SystemClock()

    # --- models -------------------------------------------------------------------------------------

    def create_model(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        actor: str = "",
        project: str = NO_PROJECT,
    ) -> RegisteredModel:
        """Take a name, for a project or open to all members; `AlreadyExists` when it is taken."""
        checked_model_name(name)
        now = self.clock.now()
        row = {"name": name, "description": checked_description(description), "created_at": now, "updated_at": now}
        row["project"] = project
        try:
            with self.tx.begin_nested():
                self.tx.execute(insert(_model).values(**row))
        except IntegrityError:
            raise self._taken(name, tags or {}) from None
        self._put_tags(name, 0, tags or {})
        self._record("registered_model", name, to_state="created", actor=actor)
        return self.get_model(name)

    def get_model(self, name: str) -> RegisteredModel:
        """Return a model with its tags, aliases and newest versions."""
        found = read_models(self.tx, select(_model).where(_model.c.name == checked_model_name(name)))
        if not found:
            raise NotFound(f"Registered Model with name={name} not found", hint="create it first, or look at the list")
        return found[0]

    def update_model(self, name: str, *, description: str | None) -> RegisteredModel:
        """Replace the description."""
        self.get_model(name)
        self._touch(name, description=checked_description(description))
        return self.get_model(name)

    def _taken(self, name: str, tags: Mapping[str, str]) -> AlreadyExists:
        kinds = ("registered model", "prompt")
        there, wanted = self.get_model(name).is_prompt, tags.get(PROMPT_TAG, "").lower() == "true"
        if there == wanted:
            return AlreadyExists(f"{'Prompt' if there else 'Registered Model'} (name={name}) already exists.")
        return AlreadyExists(
            f"Tried to create a {kinds[wanted]} with name '{name}', but the name is already taken by a {kinds[there]}. "
            "MLflow does not allow creating a model and a prompt with the same name.",
        )

    def rename_model(self, name: str, new_name: str, *, actor: str = "") -> RegisteredModel:
        """Give a model another name, versions, tags and aliases with it; the old one is free again."""
        checked_model_name(new_name, what="new_name")
        self.get_model(name)
        self._refuse_if_released(name, "rename")
        if new_name == name:
            self._touch(name)
            return self.get_model(name)
        if self.tx.execute(select(_model.c.name).where(_model.c.name == new_name)).first():
            raise AlreadyExists(f"Registered Model (name={new_name}) already exists.")
        self.tx.execute(update(_model).where(_model.c.name == name).values(name=new_name, updated_at=self.clock.now()))
        for table in (_version, _tag, _alias):
            self.tx.execute(update(table).where(table.c.model == name).values(model=new_name))
        now = self.clock.now()
        self.tx.execute(update(_version).where(_version.c.model == new_name).values(updated_at=now))
        self._record("registered_model", new_name, to_state="renamed", actor=actor, reason=f"was {name}")
        return self.get_model(new_name)

    def delete_model(self, name: str, *, actor: str = "") -> None:
        """Remove a model with all versions and aliases; the events about it stay."""
        self.get_model(name)
        self._refuse_if_released(name, "delete")
        for table in (_version, _tag, _alias):
            self.tx.execute(delete(table).where(table.c.model == name))
        self.tx.execute(delete(_model).where(_model.c.name == name))
        self._record("registered_model", name, to_state="deleted", actor=actor)

    def set_model_tag(self, name: str, key: str, *, value: str) -> None:
        """Write a tag of a model."""
        self.get_model(name)
        self._put_tags(name, 0, {key: value})

    def delete_model_tag(self, name: str, key: str) -> None:
        """Remove a tag of a model; absent is fine."""
        self.get_model(name)
        self._drop_tag(name, 0, key)

    # --- versions -----------------------------------------------------------------------------------

    def create_version(
        self,
        name: str,
        *,
        source: str,
        source_uri: str = "",
        run_id: str = "",
        model_id: str = "",
        run_link: str = "",
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        created_by: str = "",
        lineage: Lineage | None = None,
    ) -> ModelVersion:
        """Add the next version, a candidate; `source` is a key that was checked to belong to the run or model."""
        checked_model_name(name)
        now = self.clock.now()
        number = self.tx.execute(
            update(_model)
            .where(_model.c.name == name)
            .values(next_version=_model.c.next_version + 1, updated_at=now)
            .returning(_model.c.next_version - 1),
        ).scalar()
        if number is None:
            raise NotFound(f"Registered Model with name={name} not found", hint="create the registered model first")
        self.tx.execute(
            insert(_version).values(
                model=name,
                number=number,
                description=checked_description(description),
                created_by=created_by,
                source=source,
                source_uri=source_uri,
                run_id=run_id,
                run_link=run_link,
                model_id=model_id,
                created_at=now,
                updated_at=now,
                lineage=lineage or Lineage(run_id=run_id, actor=created_by),
            ),
        )
        self._put_tags(name, number, tags or {})
        self._record_version(name, number, to_state=VersionState.CANDIDATE, actor=created_by)
        return self.get_version(name, number)

    def get_version(self, name: str, number: int) -> ModelVersion:
        """Return one version."""
        checked_model_name(name)
        found = read_versions(self.tx, _this(name, number))
        if not found:
            raise NotFound(f"Model Version (name={name}, version={number}) not found")
        return found[0]

    def versions(self, name: str, *, limit: int | None = None) -> tuple[ModelVersion, ...]:
        """Return the versions of a model, newest first; none for an unknown one."""
        newest_first = select(_version).where(_version.c.model == name).order_by(_version.c.number.desc())
        return read_versions(self.tx, newest_first.limit(limit))

    def latest_versions(self, name: str, stages: Iterable[str] = ()) -> tuple[ModelVersion, ...]:
        """Return the newest version of each wanted stage; of every stage when none is named."""
        self.get_model(name)
        wanted = {checked_stage(each) for each in stages}
        return tuple(each for each in newest_by_stage(self.tx, [name])[name] if not wanted or each.stage in wanted)

    def update_version(self, name: str, number: int, *, description: str | None) -> ModelVersion:
        """Replace the description."""
        self.get_version(name, number)
        here = (_version.c.model == name, _version.c.number == number)
        values = {"description": checked_description(description), "updated_at": self.clock.now()}
        self.tx.execute(update(_version).where(*here).values(**values))  # the model's own time stays, as in MLflow
        return self.get_version(name, number)

    def delete_version(self, name: str, number: int, *, actor: str = "") -> None:
        """Remove a version with its tags and aliases; its number is not given again."""
        found = self.get_version(name, number)
        if found.state == VersionState.RELEASED:
            raise _in_use(f"version {number} of {name!r}", "delete")
        for table in (_version, _tag, _alias):
            self.tx.execute(delete(table).where(table.c.model == name, table.c.number == number))
        self._touch(name)
        self._record_version(name, number, to_state="deleted", actor=actor, from_state=found.state)

    def set_version_tag(self, name: str, number: int, *, key: str, value: str) -> None:
        """Write a tag of a version."""
        self.get_version(name, number)
        self._put_tags(name, number, {key: value})

    def delete_version_tag(self, name: str, number: int, *, key: str) -> None:
        """Remove a tag of a version; absent is fine."""
        self.get_version(name, number)
        self._drop_tag(name, number, key)

    def transition_stage(
        self, name: str, number: int, *, stage: str, archive_existing: bool = False, actor: str = ""
    ) -> ModelVersion:
        """Move a version to one of MLflow's stages, which say nothing about what Headway serves."""
        wanted = checked_stage(stage)
        if archive_existing and wanted not in {"Staging", "Production"}:
            raise UsageError(
                "Model version transition cannot archive existing model versions "
                f"because '{stage}' is not an Active stage. Valid stages are ['Staging', 'Production']",
            )
        before = self.get_version(name, number)
        now = self.clock.now()  # one moment for all that move
        if archive_existing:
            others = (_version.c.model == name, _version.c.number != number, _version.c.stage == wanted)
            self.tx.execute(update(_version).where(*others).values(stage="Archived", updated_at=now))
        here = (_version.c.model == name, _version.c.number == number)
        self.tx.execute(update(_version).where(*here).values(stage=wanted, updated_at=now))
        self._touch(name, at=now)
        self._record("model_stage", name, suffix=f"/{number}", from_state=before.stage, to_state=wanted, actor=actor)
        return self.get_version(name, number)

    # --- aliases ------------------------------------------------------------------------------------

    def set_alias(self, name: str, alias: str, *, number: int, actor: str, reason: str = "") -> None:
        """Let an alias name this version, whatever it named before; the event tells from where to where."""
        checked_alias(alias)
        self.get_version(name, number)
        before = self._alias_number(name, alias)
        if before == number:
            return
        if before is None:
            self.tx.execute(insert(_alias).values(model=name, alias=alias, number=number))
        else:
            here = (_alias.c.model == name, _alias.c.alias == alias)
            self.tx.execute(update(_alias).where(*here).values(number=number))
        self._touch(name)
        self._record_alias(name, alias, from_state=before, to_state=number, actor=actor, reason=reason)

    def delete_alias(self, name: str, alias: str, *, actor: str, reason: str = "") -> None:
        """Take an alias away; absent is fine."""
        checked_alias(alias, is_new=False)
        self.get_model(name)
        before = self._alias_number(name, alias)
        if before is None:
            return
        self.tx.execute(delete(_alias).where(_alias.c.model == name, _alias.c.alias == alias))
        self._touch(name)
        self._record_alias(name, alias, from_state=before, to_state=None, actor=actor, reason=reason)

    def find_alias(self, name: str, alias: str) -> ModelVersion | None:
        """Return the version that an alias names, or None."""
        number = self._alias_number(name, alias)
        return None if number is None else self.get_version(name, number)

    def by_alias(self, name: str, alias: str) -> ModelVersion:
        """Return the version that an alias names ("latest" is the newest)."""
        if alias.lower() == "latest":
            newest = self.versions(name, limit=1)
            if not newest:
                raise NotFound(f"Latest version not found for model {name}.")
            return newest[0]
        self.get_model(name)
        found = self.find_alias(name, checked_alias(alias, is_new=False))
        if found is None:
            raise UsageError(f"Registered model alias {alias} not found.")
        return found

    # --- Headway's own ------------------------------------------------------------------------------

    def register_candidate(
        self,
        name: str,
        *,
        source: str,
        digest: str,
        env_digest: str,
        env_path: str,
        lineage: Lineage,
        actor: str,
    ) -> ModelVersion:
        """Return the candidate version of a run's model, making the model and the version where they are absent.

        A version that the run's own code registered from the same folder is adopted: it gets digest and lineage.
        Safe to repeat: the same run, folder and digest give the same version.
        """
        self._take_for(name, ProjectStore(self.tx).of_repo(lineage.repo_id), actor=actor)
        same = select(_version).where(
            _version.c.model == name,
            _version.c.run_id == lineage.run_id,
            _version.c.source == source,
            _version.c.digest.in_(("", digest)),
        )
        found = read_versions(self.tx, same.order_by(_version.c.number.desc()).limit(1))
        version = (
            found[0]
            if found
            else self.create_version(name, source=source, run_id=lineage.run_id, created_by=actor, lineage=lineage)
        )
        if version.digest != digest:
            self._change_version(
                name, version.number, digest=digest, env_digest=env_digest, env_path=env_path, lineage=lineage
            )
        return self.get_version(name, version.number)

    def move_model(self, name: str, project: str, *, actor: str = "") -> None:
        """Put a model with all its versions into another project, or open it to all members."""
        self.get_model(name)
        self._touch(name, project=project)
        self._record("registered_model", name, to_state="moved", actor=actor, reason=f"to {project or 'all members'}")

    def _take_for(self, name: str, project: str, *, actor: str) -> None:
        """See that a model is there, and the project's own or open to all members."""
        row = self.tx.execute(select(_model.c.project).where(_model.c.name == checked_model_name(name))).first()
        if row is None:
            self.create_model(name, actor=actor, project=project)
        elif not may_use(project, row.project):
            raise Refused(
                f"the model name {name!r} is taken by another project",
                cause="names of models are the server's: two projects cannot share one",
                hint="set another model: {name: ...} in headway.yaml on the base branch",
            )

    def set_state(self, name: str, number: int, *, state: VersionState, actor: str, reason: str = "") -> ModelVersion:
        """Say how far a version has come; the release that decided it is the reason."""
        before = self.get_version(name, number)
        if before.state == state:
            return before
        self._change_version(name, number, state=str(state))
        self._record_version(name, number, to_state=state, actor=actor, from_state=before.state, reason=reason)
        return self.get_version(name, number)

    def approve(self, name: str, number: int, *, approver: str) -> ModelVersion:
        """Write who approved a version into its lineage; the first approver stays."""
        found = self.get_version(name, number)
        if not found.lineage.approved_by:
            known = {each: getattr(found.lineage, each) for each in Lineage.__slots__}
            self._change_version(name, number, lineage=Lineage(**{**known, "approved_by": approver}))
            self._record_version(name, number, to_state=found.state, actor=approver, reason="approved")
        return self.get_version(name, number)

    def version_of_run(self, run_id: str) -> ModelVersion | None:
        """Return the newest version that a run made, or None."""
        if not run_id:
            return None
        newest = select(_version).where(_version.c.run_id == run_id)
        found = read_versions(self.tx, newest.order_by(_version.c.created_at.desc(), _version.c.number.desc()).limit(1))
        return found[0] if found else None

    def lineage(self, name: str, number: int) -> Lineage:
        """Return where a version came from."""
        return self.get_version(name, number).lineage

    # --- inside -------------------------------------------------------------------------------------

    def _alias_number(self, name: str, alias: str) -> int | None:
        here = select(_alias.c.number).where(_alias.c.model == name, _alias.c.alias == alias)
        return self.tx.execute(here).scalar()

    def _put_tags(self, name: str, number: int, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            checked_registry_tag(key, value)
            here = (_tag.c.model == name, _tag.c.number == number, _tag.c.key == key)
            if not self.tx.execute(update(_tag).where(*here).values(value=value)).rowcount:
                self.tx.execute(insert(_tag).values(model=name, number=number, key=key, value=value))

    def _drop_tag(self, name: str, number: int, key: str) -> None:
        self.tx.execute(delete(_tag).where(_tag.c.model == name, _tag.c.number == number, _tag.c.key == key))

    def _touch(self, name: str, *, at: datetime | None = None, **values: object) -> None:
        now = at or self.clock.now()
        self.tx.execute(update(_model).where(_model.c.name == name).values(updated_at=now, **values))

    def _change_version(self, name: str, number: int, **values: object) -> None:
        here = (_version.c.model == name, _version.c.number == number)
        self.tx.execute(update(_version).where(*here).values(updated_at=self.clock.now(), **values))
        self._touch(name)

    def _refuse_if_released(self, name: str, verb: str) -> None:
        released = select(_version.c.number).where(_version.c.model == name, _version.c.state == VersionState.RELEASED)
        if self.tx.execute(released.limit(1)).first():
            raise _in_use(f"model {name!r}", verb)

    def _record_version(
        self, name: str, number: int, *, to_state: str, actor: str, from_state: str | None = None, reason: str = ""
    ) -> None:
        self._record(
            "model_version",
            name,
            suffix=f"/{number}",
            from_state=from_state,
            to_state=str(to_state),
            actor=actor,
            reason=reason,
        )

    def _record_alias(
        self, name: str, alias: str, *, from_state: int | None, to_state: int | None, actor: str, reason: str
    ) -> None:
        self._record(
            "alias",
            name,
            suffix=f"@{alias}",
            from_state=None if from_state is None else str(from_state),
            to_state="none" if to_state is None else str(to_state),
            actor=actor,
            reason=reason,
        )

    def _record(
        self,
        entity: str,
        name: str,
        *,
        to_state: str,
        actor: str,
        suffix: str = "",
        from_state: str | None = None,
        reason: str = "",
    ) -> None:
        events.record(
            self.tx,
            entity,
            event_id(name, suffix),
            to_state=to_state,
            at=self.clock.now(),
            actor=actor or "unknown",
            from_state=from_state,
            reason=reason,
        )


def event_id(name: str, suffix: str = "") -> str:
    """Return the id under which events of a model, `/version` or `@alias` are recorded: 128 characters at most."""
    if len(name) + len(suffix) <= 128:
        return name + suffix
    short = digest_bytes((name + suffix).encode())[:16]
    return f"{name[:60]}~{short}{suffix[:50]}"


def _this(name: str, number: int) -> Select[Any]:
    return select(_version).where(_version.c.model == name, _version.c.number == number)


def _in_use(what: str, verb: str) -> Refused:
    return Refused(
        f"cannot {verb} {what}: it is released",
        cause="a deployment may be serving it or may be rolled back to it",
        hint="roll back or remove the deployment first; its versions are then archived",
    )
