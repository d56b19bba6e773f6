"""Every table of the first version; written by `tools/first-migration`, frozen with the first release."""
# ruff: noqa: E501  # written by a program

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_initial"
down_revision = None
branch_labels = None
depends_on = None


def _account() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_account")),
    )


def _change_head() -> None:
    op.create_table(
        "change_head",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sha", sa.String(length=64), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "number", "sha", name=op.f("pk_change_head")),
    )


def _chunk() -> None:
    op.create_table(
        "chunk",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("first", sa.LargeBinary(), nullable=False),
        sa.Column("last", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run", "key", "seq", name=op.f("pk_chunk")),
        sqlite_with_rowid=False,
    )


def _command() -> None:
    op.create_table(
        "command",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=True),
        sa.Column("change", sa.Integer(), nullable=True),
        sa.Column("head_sha", sa.String(length=64), nullable=True),
        sa.Column("branch", sa.String(length=255), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("environment", sa.String(length=63), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("comment_id", sa.String(length=64), nullable=True),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('accepted', 'needs_approval', 'refused', 'executed')", name=op.f("ck_command_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_command")),
        sa.UniqueConstraint("repo_id", "comment_id", "line", name=op.f("uq_command_repo_id_comment_id_line")),
    )
    op.create_index(op.f("ix_command_origin_at"), "command", ["origin", "at"], unique=False)
    op.create_index(op.f("ix_command_repo_id_change"), "command", ["repo_id", "change"], unique=False)
    op.create_index(op.f("ix_command_state"), "command", ["state"], unique=False)


def _dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("exp", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("digest", sa.String(length=36), nullable=False),
        sa.Column("source_type", sa.String(length=36), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("exp", "name", "digest", name=op.f("uq_dataset_exp_name_digest")),
    )


def _deployment() -> None:
    op.create_table(
        "deployment",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.String(length=63), nullable=False),
        sa.Column("target", sa.String(length=16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("observed", sa.Text(), nullable=True),
        sa.Column("observed_at", sa.BigInteger(), nullable=True),
        sa.Column("history", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_deployment")),
    )


def _environment() -> None:
    op.create_table(
        "environment",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("python", sa.String(length=16), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("packages", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("built_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "tier", name=op.f("pk_environment")),
    )


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("entity", sa.String(length=32), nullable=False),
        sa.Column("entity_id", sa.String(length=128), nullable=False),
        sa.Column("from_state", sa.String(length=32), nullable=True),
        sa.Column("to_state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_entity_entity_id_seq"), "event", ["entity", "entity_id", "seq"], unique=False)


def _experiment() -> None:
    op.create_table(
        "experiment",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("artifact_location", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("creation_time", sa.BigInteger(), nullable=False),
        sa.Column("last_update_time", sa.BigInteger(), nullable=False),
        sa.Column("deleted_time", sa.BigInteger(), nullable=True),
        sa.Column("deleted_by", sa.String(length=128), nullable=True),
        sa.Column("project", sa.String(length=128), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment")),
        sa.UniqueConstraint("project", "name", name=op.f("uq_experiment_project_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_experiment_name"), "experiment", ["name"], unique=False)


def _experiment_tag() -> None:
    op.create_table(
        "experiment_tag",
        sa.Column("exp", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("exp", "key", name=op.f("pk_experiment_tag")),
    )


def _fork_grant() -> None:
    op.create_table(
        "fork_grant",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.Column("head_sha", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "change", "head_sha", name=op.f("pk_fork_grant")),
    )


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_at"), "idempotency", ["at"], unique=False)


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("forge", sa.String(length=16), nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("delivery_id", sa.String(length=128), nullable=False),
        sa.Column("body_key", sa.String(length=128), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('new', 'done', 'ignored', 'dead')", name=op.f("ck_inbox_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("forge", "body_key", name=op.f("uq_inbox_forge_body_key")),
        sa.UniqueConstraint("forge", "delivery_id", name=op.f("uq_inbox_forge_delivery_id")),
    )
    op.create_index(op.f("ix_inbox_state_id"), "inbox", ["state", "id"], unique=False)


def _job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("plan_id", sa.String(length=64), nullable=False),
        sa.Column("command_id", sa.String(length=26), nullable=False),
        sa.Column("change", sa.Integer(), nullable=True),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("branch", sa.String(length=255), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("engine", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("desired", sa.String(length=8), nullable=False),
        sa.Column("superseded_by", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("desired IN ('run', 'cancel')", name=op.f("ck_job_desired")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'refused')", name=op.f("ck_job_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("command_id", "project", name=op.f("uq_job_command_id_project")),
        sa.UniqueConstraint("number", name=op.f("uq_job_number")),
    )
    op.create_index(op.f("ix_job_repo_id_change_project"), "job", ["repo_id", "change", "project"], unique=False)
    op.create_index(op.f("ix_job_state"), "job", ["state"], unique=False)


def _key() -> None:
    op.create_table(
        "key",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("exp", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key")),
        sa.UniqueConstraint("exp", "kind", "name", name=op.f("uq_key_exp_kind_name")),
        sqlite_autoincrement=True,
    )


def _local_comment() -> None:
    op.create_table(
        "local_comment",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("is_ours", sa.Boolean(), nullable=False),
        sa.Column("marker", sa.String(length=255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("edited_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_local_comment")),
    )
    op.create_index(
        op.f("ix_local_comment_repo_id_number_id"), "local_comment", ["repo_id", "number", "id"], unique=False
    )


def _local_deployment() -> None:
    op.create_table(
        "local_deployment",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("sha", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_local_deployment")),
    )


def _local_event() -> None:
    op.create_table(
        "local_event",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_local_event")),
    )
    op.create_index(op.f("ix_local_event_repo_id_seq"), "local_event", ["repo_id", "seq"], unique=False)


def _local_reaction() -> None:
    op.create_table(
        "local_reaction",
        sa.Column("comment_id", sa.Integer(), nullable=False),
        sa.Column("content", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("comment_id", "content", name=op.f("pk_local_reaction")),
    )


def _local_status() -> None:
    op.create_table(
        "local_status",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("sha", sa.String(length=64), nullable=False),
        sa.Column("context", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "sha", "context", name=op.f("pk_local_status")),
    )


def _logged_metric() -> None:
    op.create_table(
        "logged_metric",
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("dataset_name", sa.String(length=500), nullable=False),
        sa.Column("dataset_digest", sa.String(length=36), nullable=False),
        sa.Column("ts", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.Column("nan", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "model_id", "key", "run_id", "dataset_name", "dataset_digest", "ts", "step", name=op.f("pk_logged_metric")
        ),
    )


def _logged_model() -> None:
    op.create_table(
        "logged_model",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("exp", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("artifact_uri", sa.Text(), nullable=False),
        sa.Column("model_type", sa.String(length=500), nullable=False),
        sa.Column("source_run_id", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("creation_time", sa.BigInteger(), nullable=False),
        sa.Column("last_update_time", sa.BigInteger(), nullable=False),
        sa.Column("deleted_time", sa.BigInteger(), nullable=True),
        sa.Column("deleted_by", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logged_model")),
    )
    op.create_index(
        op.f("ix_logged_model_exp_stage_creation_time"), "logged_model", ["exp", "stage", "creation_time"], unique=False
    )
    op.create_index(op.f("ix_logged_model_source_run_id"), "logged_model", ["source_run_id"], unique=False)


def _logged_text() -> None:
    op.create_table(
        "logged_text",
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", "kind", "key", name=op.f("pk_logged_text")),
    )


def _membership() -> None:
    op.create_table(
        "membership",
        sa.Column("user", sa.String(length=128), nullable=False),
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user", "project", name=op.f("pk_membership")),
    )


def _metric() -> None:
    op.create_table(
        "metric",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.Column("nan", sa.Boolean(), nullable=False),
        sa.Column("ts", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", "key", name=op.f("pk_metric")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_metric_value", "metric", ["key", "nan", "value"], unique=False)


def _mirror() -> None:
    op.create_table(
        "mirror",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("tracking", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("remote_run_id", sa.String(length=64), nullable=False),
        sa.Column("remote_url", sa.Text(), nullable=False),
        sa.Column("done", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("away_since", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'done', 'refused')", name=op.f("ck_mirror_state")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_mirror")),
    )
    op.create_index(op.f("ix_mirror_job_id"), "mirror", ["job_id"], unique=False)
    op.create_index(op.f("ix_mirror_state_next_at"), "mirror", ["state", "next_at"], unique=False)


def _model_alias() -> None:
    op.create_table(
        "model_alias",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("alias", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", "alias", name=op.f("pk_model_alias")),
    )


def _model_version() -> None:
    op.create_table(
        "model_version",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.Column("source_uri", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("run_link", sa.Text(), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("env_digest", sa.String(length=64), nullable=False),
        sa.Column("env_path", sa.Text(), nullable=False),
        sa.Column("lineage", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('candidate', 'released', 'archived')", name=op.f("ck_model_version_state")),
        sa.PrimaryKeyConstraint("model", "number", name=op.f("pk_model_version")),
    )
    op.create_index(op.f("ix_model_version_model_id"), "model_version", ["model_id"], unique=False)
    op.create_index(op.f("ix_model_version_run_id"), "model_version", ["run_id"], unique=False)
    op.create_index(op.f("ix_model_version_source"), "model_version", ["source"], unique=False)


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("coalesce_key", sa.String(length=255), nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("want_rev", sa.Integer(), nullable=False),
        sa.Column("want_body", sa.Text(), nullable=False),
        sa.Column("sent_rev", sa.Integer(), nullable=False),
        sa.Column("remote_id", sa.String(length=128), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("dead", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.Column("told_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("coalesce_key", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("want_rev > sent_rev"),
        postgresql_where=sa.text("want_rev > sent_rev"),
    )


def _override() -> None:
    op.create_table(
        "override",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("head_sha", sa.String(length=64), nullable=False),
        sa.Column("base_sha", sa.String(length=64), nullable=False),
        sa.Column("check", sa.String(length=255), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "repo_id", "change", "project", "head_sha", "base_sha", "check", name=op.f("pk_override")
        ),
    )


def _plan() -> None:
    op.create_table(
        "plan",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan")),
    )


def _project() -> None:
    op.create_table(
        "project",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_project")),
    )


def _purge() -> None:
    op.create_table(
        "purge",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("freed", sa.BigInteger(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("cause IN ('person', 'retention')", name=op.f("ck_purge_cause")),
        sa.CheckConstraint("state IN ('running', 'done')", name=op.f("ck_purge_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purge")),
    )
    op.create_index(op.f("ix_purge_state"), "purge", ["state"], unique=False)


def _purge_item() -> None:
    op.create_table(
        "purge_item",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("purge_id", sa.String(length=26), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("entity_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purge_item")),
        sa.UniqueConstraint("kind", "entity_id", name=op.f("uq_purge_item_kind_entity_id")),
    )
    op.create_index(op.f("ix_purge_item_purge_id_rank_id"), "purge_item", ["purge_id", "rank", "id"], unique=False)


def _registered_model() -> None:
    op.create_table(
        "registered_model",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("next_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("project", sa.String(length=128), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_registered_model")),
    )


def _registry_tag() -> None:
    op.create_table(
        "registry_tag",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", "number", "key", name=op.f("pk_registry_tag")),
    )


def _release() -> None:
    op.create_table(
        "release",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.String(length=63), nullable=False),
        sa.Column("change", sa.Integer(), nullable=True),
        sa.Column("command_id", sa.String(length=26), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("version_no", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.UniqueConstraint("command_id", "project", name=op.f("uq_release_command_id_project")),
    )
    op.create_index(op.f("ix_release_state"), "release", ["state"], unique=False)


def _repo() -> None:
    op.create_table(
        "repo",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("forge", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("default_branch", sa.String(length=255), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("project", sa.String(length=128), server_default=sa.text("''"), nullable=False),
        sa.Column("installation", sa.BigInteger(), nullable=True),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repo")),
        sa.UniqueConstraint("forge", "location", name=op.f("uq_repo_forge_location")),
    )


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=32), nullable=False),
        sa.Column("exp", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column("user_id", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=True),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("deleted_time", sa.BigInteger(), nullable=True),
        sa.Column("deleted_by", sa.String(length=128), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("uuid", name=op.f("uq_run_uuid")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_run_deleted",
        "run",
        ["deleted_time"],
        unique=False,
        sqlite_where=sa.text("deleted_time IS NOT NULL"),
        postgresql_where=sa.text("deleted_time IS NOT NULL"),
    )
    op.create_index(
        "ix_run_name", "run", ["exp", "stage", "name", sa.literal_column("start_time DESC"), "uuid"], unique=False
    )
    op.create_index(
        "ix_run_newest", "run", ["exp", "stage", sa.literal_column("start_time DESC"), "uuid"], unique=False
    )
    op.create_index(
        "ix_run_status", "run", ["exp", "stage", "status", sa.literal_column("start_time DESC"), "uuid"], unique=False
    )


def _run_doc() -> None:
    op.create_table(
        "run_doc",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("doc", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_run_doc")),
    )


def _run_input() -> None:
    op.create_table(
        "run_input",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("dataset", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "dataset", name=op.f("pk_run_input")),
    )


def _run_model() -> None:
    op.create_table(
        "run_model",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", "model_id", "direction", name=op.f("pk_run_model")),
    )


def _secret() -> None:
    op.create_table(
        "secret",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("set_by", sa.String(length=128), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "name", name=op.f("pk_secret")),
    )


def _tail() -> None:
    op.create_table(
        "tail",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tail")),
    )
    op.create_index(op.f("ix_tail_run"), "tail", ["run"], unique=False)


def _task_result() -> None:
    op.create_table(
        "task_result",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("task", sa.String(length=63), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "tier", name=op.f("pk_task_result")),
    )
    op.create_index(
        op.f("ix_task_result_project_task_finished_at"), "task_result", ["project", "task", "finished_at"], unique=False
    )


def _text() -> None:
    op.create_table(
        "text",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "key", name=op.f("pk_text")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_text_value", "text", ["key", sa.literal_column("substr(value, 1, 200)")], unique=False)


def _token() -> None:
    op.create_table(
        "token",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("user", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("experiment_id", sa.String(length=32), nullable=True),
        sa.Column("attempt_id", sa.String(length=26), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("label", sa.String(length=128), nullable=False),
        sa.Column("parent", sa.String(length=26), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('user', 'attempt', 'session', 'endpoint')", name=op.f("ck_token_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
    )
    op.create_index(op.f("ix_token_user"), "token", ["user"], unique=False)


def _tracker() -> None:
    op.create_table(
        "tracker",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("away_since", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "project", name=op.f("pk_tracker")),
    )


def _tracker_look() -> None:
    op.create_table(
        "tracker_look",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("tracking", sa.Text(), nullable=False),
        sa.Column("change", sa.Integer(), nullable=True),
        sa.Column("branch", sa.String(length=255), nullable=False),
        sa.Column("base_sha", sa.String(length=64), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("wanted_at", sa.BigInteger(), nullable=True),
        sa.Column("tried_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("runs", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "project", "commit", name=op.f("pk_tracker_look")),
    )
    op.create_index(op.f("ix_tracker_look_live"), "tracker_look", ["live"], unique=False)


def _trigger_mark() -> None:
    op.create_table(
        "trigger_mark",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=320), nullable=False),
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repo_id", "project", "name", name=op.f("pk_trigger_mark")),
    )


def _local_branch() -> None:
    op.create_table(
        "local_branch",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("sha", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repo.id"], name=op.f("fk_local_branch_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "name", name=op.f("pk_local_branch")),
    )


def _local_change() -> None:
    op.create_table(
        "local_change",
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("head_ref", sa.String(length=255), nullable=False),
        sa.Column("base_ref", sa.String(length=255), nullable=False),
        sa.Column("head_sha", sa.String(length=64), nullable=False),
        sa.Column("from_fork", sa.Boolean(), nullable=False),
        sa.Column("merged_sha", sa.String(length=64), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('open', 'merged', 'closed')", name=op.f("ck_local_change_state")),
        sa.ForeignKeyConstraint(["repo_id"], ["repo.id"], name=op.f("fk_local_change_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "number", name=op.f("pk_local_change")),
    )


def _result() -> None:
    op.create_table(
        "result",
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("repo_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("branch", sa.String(length=255), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("tree", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("is_baseline", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_result_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_result")),
    )
    op.create_index(
        op.f("ix_result_repo_id_project_is_baseline_at"),
        "result",
        ["repo_id", "project", "is_baseline", "at"],
        unique=False,
    )


def _task() -> None:
    op.create_table(
        "task",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("exact_key", sa.String(length=64), nullable=True),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'ready', 'running', 'collecting', 'succeeded', 'reused', 'failed', 'cancelled', 'skipped')",
            name=op.f("ck_task_state"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_task_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sa.UniqueConstraint("job_id", "name", name=op.f("uq_task_job_id_name")),
    )
    op.create_index(op.f("ix_task_run_id"), "task", ["run_id"], unique=False)
    op.create_index(op.f("ix_task_state"), "task", ["state"], unique=False)


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("task_id", sa.String(length=26), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(length=16), nullable=False),
        sa.Column("handle", sa.Text(), nullable=True),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("isolation", sa.Integer(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('launching', 'running', 'succeeded', 'failed', 'timed_out', 'cancelled', 'lost')",
            name=op.f("ck_attempt_state"),
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_attempt_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("task_id", "number", name=op.f("uq_attempt_task_id_number")),
    )
    op.create_index(op.f("ix_attempt_state"), "attempt", ["state"], unique=False)
    op.create_index(
        "uq_attempt_live",
        "attempt",
        ["task_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('launching', 'running')"),
        postgresql_where=sa.text("state IN ('launching', 'running')"),
    )


def upgrade() -> None:
    for make in (
        _account,
        _change_head,
        _chunk,
        _command,
        _dataset,
        _deployment,
        _environment,
        _event,
        _experiment,
        _experiment_tag,
        _fork_grant,
        _idempotency,
        _inbox,
        _job,
        _key,
        _local_comment,
        _local_deployment,
        _local_event,
        _local_reaction,
        _local_status,
        _logged_metric,
        _logged_model,
        _logged_text,
        _membership,
        _metric,
        _mirror,
        _model_alias,
        _model_version,
        _outbox,
        _override,
        _plan,
        _project,
        _purge,
        _purge_item,
        _registered_model,
        _registry_tag,
        _release,
        _repo,
        _run,
        _run_doc,
        _run_input,
        _run_model,
        _secret,
        _tail,
        _task_result,
        _text,
        _token,
        _tracker,
        _tracker_look,
        _trigger_mark,
        _local_branch,
        _local_change,
        _result,
        _task,
        _attempt,
    ):
        make()


def downgrade() -> None:
    for table in (
        "attempt",
        "task",
        "result",
        "local_change",
        "local_branch",
        "trigger_mark",
        "tracker_look",
        "tracker",
        "token",
        "text",
        "task_result",
        "tail",
        "secret",
        "run_model",
        "run_input",
        "run_doc",
        "run",
        "repo",
        "release",
        "registry_tag",
        "registered_model",
        "purge_item",
        "purge",
        "project",
        "plan",
        "override",
        "outbox",
        "model_version",
        "model_alias",
        "mirror",
        "metric",
        "membership",
        "logged_text",
        "logged_model",
        "logged_metric",
        "local_status",
        "local_reaction",
        "local_event",
        "local_deployment",
        "local_comment",
        "key",
        "job",
        "inbox",
        "idempotency",
        "fork_grant",
        "experiment_tag",
        "experiment",
        "event",
        "environment",
        "deployment",
        "dataset",
        "command",
        "chunk",
        "change_head",
        "account",
    ):
        op.drop_table(table)
