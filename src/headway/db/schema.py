"""Every table on one page, in the order of the story. Times are `Instant`, records are `Json`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
)
from sqlalchemy import text as sql

from headway.db.types import Instant, Json

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    },
)

_EMPTY = sql("''")
# SQLite counts up only INTEGER primary keys; PostgreSQL should have 64 bits.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _states(column: str, *names: str) -> CheckConstraint:
    listed = ", ".join(f"'{name}'" for name in names)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


# --- what happened: written in the same transaction as the change it tells of ---------------------

event = Table(
    "event",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("entity", String(32), nullable=False),  # job | task | attempt | command | release | alias ...
    Column("entity_id", String(128), nullable=False),
    Column("from_state", String(32)),
    Column("to_state", String(32), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("actor", String(128), nullable=False),
    Column("at", Instant, nullable=False),
    Column("detail", Json),
    Index(None, "entity", "entity_id", "seq"),
)

# --- auth ------------------------------------------------------------------------------------------

# What a group of people share: repositories, experiments, models. "" elsewhere = of no project, open to all members.
project = Table(
    "project",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(128), nullable=False),
)

account = Table(
    "account",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("role", Integer, nullable=False),  # in every project that no membership names
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(128), nullable=False),
)

# A person's own role in one project: it takes the place of the account's, up or down.
membership = Table(
    "membership",
    metadata,
    Column("user", String(128), primary_key=True),
    Column("project", String(128), primary_key=True),
    Column("role", Integer, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("user", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("role", Integer, nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("run_id", String(32)),
    Column("experiment_id", String(32)),
    Column("attempt_id", String(26)),
    Column("fence", Integer, nullable=False, default=0),
    Column("revoked", Boolean, nullable=False, default=False),
    Column("project", String(128), nullable=False, default=""),  # "" = wherever its user may
    Column("label", String(128), nullable=False, default=""),
    Column("parent", String(26), nullable=False, default=""),  # a session's: the token that logged in
    Column("last_used_at", Instant),  # to a few minutes
    _states("kind", "user", "attempt", "session", "endpoint"),
    Index(None, "user"),
)

secret = Table(
    "secret",
    metadata,
    Column("repo_id", String(64), primary_key=True),  # "" = every repository
    Column("name", String(63), primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("set_by", String(128), nullable=False),
    Column("set_at", Instant, nullable=False),
)

# --- forges ----------------------------------------------------------------------------------------

repo = Table(
    "repo",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("forge", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("location", Text, nullable=False),
    Column("default_branch", String(255), nullable=False),
    Column("cursor", Text, nullable=False, default=""),
    Column("added_at", Instant, nullable=False),
    Column("project", String(128), nullable=False, server_default=_EMPTY),  # whose it is
    Column("installation", BigInteger),  # of the forge's App, through which alone its deliveries may come
    Column("removed_at", Instant),  # not listened to any more; what it did stays
    UniqueConstraint("forge", "location"),
)

# When each head of a change was first told to us: what a comment without a commit may be for.
change_head = Table(
    "change_head",
    metadata,
    Column("repo_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("sha", String(64), primary_key=True),
    Column("first_seen_at", Instant, nullable=False),
)

# The local forge's own records: changes, comments, statuses of plain git repositories.
local_change = Table(
    "local_change",
    metadata,
    Column("repo_id", ForeignKey("repo.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("title", Text, nullable=False),
    Column("author", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("head_ref", String(255), nullable=False),
    Column("base_ref", String(255), nullable=False),
    Column("head_sha", String(64), nullable=False),  # as last seen
    Column("from_fork", Boolean, nullable=False, default=False),
    Column("merged_sha", String(64)),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    _states("state", "open", "merged", "closed"),
)

# Where each branch stood when it was last looked at: what differs was pushed since.
local_branch = Table(
    "local_branch",
    metadata,
    Column("repo_id", ForeignKey("repo.id"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("sha", String(64), nullable=False),
)

local_comment = Table(
    "local_comment",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("repo_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("author", String(128), nullable=False),
    Column("is_ours", Boolean, nullable=False),
    Column("marker", String(255), nullable=False, default=""),
    Column("body", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("edited_at", Instant),
    Index(None, "repo_id", "number", "id"),
)

local_status = Table(
    "local_status",
    metadata,
    Column("repo_id", String(64), primary_key=True),
    Column("sha", String(64), primary_key=True),
    Column("context", String(128), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("title", Text, nullable=False),
    Column("summary", Text, nullable=False, default=""),
    Column("url", Text, nullable=False, default=""),
    Column("updated_at", Instant, nullable=False),
)

local_reaction = Table(
    "local_reaction",
    metadata,
    Column("comment_id", Integer, primary_key=True),
    Column("content", String(16), primary_key=True),
    Column("at", Instant, nullable=False),
)

local_deployment = Table(
    "local_deployment",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("repo_id", String(64), nullable=False),
    Column("sha", String(64), nullable=False),
    Column("environment", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("description", Text, nullable=False, default=""),
    Column("url", Text, nullable=False, default=""),
    Column("payload", Json, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

# What a polling forge has to tell: one row per happening, read by cursor (= seq).
local_event = Table(
    "local_event",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("repo_id", String(64), nullable=False),
    Column("body", Json, nullable=False),
    Column("at", Instant, nullable=False),
    Index(None, "repo_id", "seq"),
)

# --- the only door in ------------------------------------------------------------------------------

inbox = Table(
    "inbox",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("forge", String(16), nullable=False),
    Column("repo_id", String(64), nullable=False),
    Column("delivery_id", String(128), nullable=False),
    Column("body_key", String(128), nullable=False),
    Column("event", String(32), nullable=False),
    Column("body", Json, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("next_at", Instant),  # not before: set when a try has failed
    Column("error", Text, nullable=False, default=""),
    UniqueConstraint("forge", "delivery_id"),
    UniqueConstraint("forge", "body_key"),
    Index(None, "state", "id"),
    _states("state", "new", "done", "ignored", "dead"),
)

command = Table(
    "command",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("verb", String(16), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("repo_id", String(64), nullable=False),
    Column("project", String(63)),
    Column("change", Integer),
    Column("head_sha", String(64)),
    Column("branch", String(255), nullable=False, default=""),
    Column("arguments", Json, nullable=False),
    Column("params", Json, nullable=False),
    Column("environment", String(63)),
    Column("reason", Text, nullable=False, default=""),
    Column("dry_run", Boolean, nullable=False, default=False),
    Column("actor", String(128), nullable=False),
    Column("comment_id", String(64)),
    Column("line", Integer, nullable=False, default=1),
    Column("cause", Text, nullable=False, default=""),
    Column("state", String(16), nullable=False),
    Column("answer", Text, nullable=False, default=""),
    Column("job_id", String(26)),
    Column("at", Instant, nullable=False),
    UniqueConstraint("repo_id", "comment_id", "line"),
    Index(None, "state"),
    Index(None, "repo_id", "change"),
    Index(None, "origin", "at"),
    _states("state", "accepted", "needs_approval", "refused", "executed"),
)

# How far each trigger has been followed: what was missed while nobody looked is seen by it.
trigger_mark = Table(
    "trigger_mark",
    metadata,
    Column("repo_id", String(64), primary_key=True),
    Column("project", String(63), primary_key=True),
    Column("name", String(320), primary_key=True),  # schedule:CRON, version:MODEL
    Column("mark", String(64), nullable=False),  # the last time, or the last version, that was acted on
    Column("at", Instant, nullable=False),
)

# --- plan, job, task, attempt ----------------------------------------------------------------------

plan = Table(
    "plan",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("repo_id", String(64), nullable=False),
    Column("project", String(63), nullable=False),
    Column("commit", String(64), nullable=False),
    Column("body", Json, nullable=False),
    Column("made_at", Instant, nullable=False),
)

environment = Table(
    "environment",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("tier", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("python", String(16), nullable=False),
    Column("path", Text, nullable=False),
    Column("packages", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("built_at", Instant, nullable=False),
    Column("used_at", Instant, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("repo_id", String(64), nullable=False),
    Column("project", String(63), nullable=False),
    Column("plan_id", String(64), nullable=False),
    Column("command_id", String(26), nullable=False),
    Column("change", Integer),
    Column("commit", String(64), nullable=False),
    Column("branch", String(255), nullable=False),
    Column("tier", Integer, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("engine", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("desired", String(8), nullable=False),
    Column("superseded_by", String(64)),
    Column("version", Integer, nullable=False, default=1),
    Column("queued_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("settled_at", Instant),  # result and verdict are saved
    UniqueConstraint("command_id", "project"),
    Index(None, "state"),
    Index(None, "repo_id", "change", "project"),
    _states("state", "queued", "running", "succeeded", "failed", "cancelled", "refused"),
    _states("desired", "run", "cancel"),
)

task = Table(
    "task",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("position", Integer, nullable=False),
    Column("needs", Json, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("version", Integer, nullable=False, default=1),
    Column("attempts", Integer, nullable=False, default=0),
    Column("max_attempts", Integer, nullable=False, default=1),
    Column("next_at", Instant),
    Column("exact_key", String(64)),
    Column("run_id", String(32)),
    Column("outputs", Json, nullable=False),  # OutputFile list: what this job's task made or reused
    Column("exit_code", Integer),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    UniqueConstraint("job_id", "name"),
    Index(None, "state"),
    Index(None, "run_id"),
    _states(
        "state",
        "pending",
        "ready",
        "running",
        "collecting",
        "succeeded",
        "reused",
        "failed",
        "cancelled",
        "skipped",
    ),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("task_id", ForeignKey("task.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("engine", String(16), nullable=False),
    Column("handle", Text),
    Column("nonce", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("isolation", Integer),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False, default=""),
    Column("directory", Text, nullable=False),
    Column("spec", Json, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    UniqueConstraint("task_id", "number"),
    Index(None, "state"),
    _states("state", "launching", "running", "succeeded", "failed", "timed_out", "cancelled", "lost"),
)

task_result = Table(
    "task_result",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("tier", Integer, primary_key=True),
    Column("project", String(63), nullable=False),
    Column("task", String(63), nullable=False),
    Column("job_id", String(26), nullable=False),
    Column("run_id", String(32), nullable=False),
    Column("body", Json, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Index(None, "project", "task", "finished_at"),
)

result = Table(
    "result",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("repo_id", String(64), nullable=False),
    Column("project", String(63), nullable=False),
    Column("branch", String(255), nullable=False),
    Column("commit", String(64), nullable=False),
    Column("tree", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("is_baseline", Boolean, nullable=False, default=False),
    Column("body", Json, nullable=False),
    Column("at", Instant, nullable=False),
    Index(None, "repo_id", "project", "is_baseline", "at"),
)

override = Table(
    "override",
    metadata,
    Column("repo_id", String(64), primary_key=True),
    Column("change", Integer, primary_key=True),
    Column("project", String(63), primary_key=True),
    Column("head_sha", String(64), primary_key=True),
    Column("base_sha", String(64), primary_key=True),  # what it was judged by: another base, another word
    Column("check", String(255), primary_key=True),
    Column("actor", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

# A maintainer's word that one commit of a fork may run; it covers no later commit.
fork_grant = Table(
    "fork_grant",
    metadata,
    Column("repo_id", String(64), primary_key=True),
    Column("change", Integer, primary_key=True),
    Column("head_sha", String(64), primary_key=True),
    Column("actor", String(128), nullable=False),
    Column("at", Instant, nullable=False),
)

# Desired state at the forge; ten changes while it is away become one update.
outbox = Table(
    "outbox",
    metadata,
    Column("coalesce_key", String(255), primary_key=True),
    Column("repo_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("want_rev", Integer, nullable=False, default=1),
    Column("want_body", Json, nullable=False),
    Column("sent_rev", Integer, nullable=False, default=0),
    Column("remote_id", String(128), nullable=False, default=""),
    Column("next_at", Instant, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("dead", Text, nullable=False, default=""),
    Column("problem", Text, nullable=False, default=""),  # why the last try failed
    Column("told_at", Instant),  # rows of kind "told": when a job's report was last made, and of which event
    Column("told_seq", _Serial, nullable=False, default=0),
)

# --- tracking (tracking-store.md) -------------------------------------------------------------------

experiment = Table(
    "experiment",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("name", String(500), nullable=False),
    Column("artifact_location", Text, nullable=False),
    Column("stage", String(16), nullable=False, default="active"),
    Column("creation_time", BigInteger, nullable=False),
    Column("last_update_time", BigInteger, nullable=False),
    Column("deleted_time", BigInteger),
    Column("deleted_by", String(128)),
    Column("project", String(128), nullable=False, server_default=_EMPTY),  # whose it is
    UniqueConstraint("project", "name"),
    Index(None, "name"),
    sqlite_autoincrement=True,  # an id is never given again: folders and caches are named by it
)

experiment_tag = Table(
    "experiment_tag",
    metadata,
    Column("exp", Integer, primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)

# A key id already says experiment, kind and name. kind: 1 metric, 2 param, 3 tag.
key = Table(
    "key",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("exp", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("name", String(250), nullable=False),
    UniqueConstraint("exp", "kind", "name"),
    sqlite_autoincrement=True,  # writers remember ids
)

run = Table(
    "run",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("uuid", String(32), nullable=False, unique=True),
    Column("exp", Integer, nullable=False),
    Column("name", String(250), nullable=False),
    Column("user_id", String(256), nullable=False),
    Column("status", String(16), nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger),
    Column("stage", String(16), nullable=False, default="active"),
    Column("deleted_time", BigInteger),
    Column("deleted_by", String(128)),
    Column("version", Integer, nullable=False, default=1),
    Column("job_id", String(26)),
    sqlite_autoincrement=True,  # a document made of a purged run must never be taken for another's
)
_NEWEST = (run.c.start_time.desc(), run.c.uuid)
Index("ix_run_newest", run.c.exp, run.c.stage, *_NEWEST)
# The few of a status or a name among many runs, in the order that pages have.
Index("ix_run_status", run.c.exp, run.c.stage, run.c.status, *_NEWEST)
Index("ix_run_name", run.c.exp, run.c.stage, run.c.name, *_NEWEST)

run_doc = Table(
    "run_doc",
    metadata,
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("doc", LargeBinary, nullable=False),
)

metric = Table(
    "metric",
    metadata,
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("value", Float(53), nullable=False),
    Column("nan", Boolean, nullable=False, default=False),
    Column("ts", BigInteger, nullable=False),
    Column("step", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
# NaN stands outside of the order of values.
Index("ix_metric_value", metric.c.key, metric.c.nan, metric.c.value)

# Params and tags: the key's kind tells which.
text = Table(
    "text",
    metadata,
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)
# Values may be longer than an index takes.
Index("ix_text_value", text.c.key, func.substr(text.c.value, literal_column("1"), literal_column("200")))

tail = Table(
    "tail",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("run", Integer, nullable=False, index=True),
    Column("n", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

chunk = Table(
    "chunk",
    metadata,
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("n", Integer, nullable=False),
    Column("first", LargeBinary, nullable=False),
    Column("last", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

dataset = Table(
    "dataset",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("exp", Integer, nullable=False),
    Column("name", String(500), nullable=False),
    Column("digest", String(36), nullable=False),
    Column("source_type", String(36), nullable=False),
    Column("source", Text, nullable=False),
    Column("schema", Text),
    Column("profile", Text),
    UniqueConstraint("exp", "name", "digest"),
)

run_input = Table(
    "run_input",
    metadata,
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("dataset", Integer, primary_key=True, autoincrement=False),
    Column("tags", Json, nullable=False),
)

# What was answered to a request that came with an Idempotency-Key.
idempotency = Table(
    "idempotency",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("answer", Text, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
)

run_model = Table(
    "run_model",
    metadata,
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("model_id", String(64), primary_key=True),
    Column("direction", String(8), primary_key=True),  # input | output
    Column("step", BigInteger, nullable=False, default=0),
)

# --- registry --------------------------------------------------------------------------------------

logged_model = Table(
    "logged_model",
    metadata,
    Column("id", String(64), primary_key=True),  # m-<32 hex>
    Column("exp", Integer, nullable=False),
    Column("name", String(500), nullable=False),
    Column("artifact_uri", Text, nullable=False),
    Column("model_type", String(500), nullable=False, default=""),
    Column("source_run_id", String(32), nullable=False, default="", index=True),
    Column("status", String(32), nullable=False),
    Column("status_message", Text, nullable=False, default=""),
    Column("stage", String(16), nullable=False, default="active"),
    Column("creation_time", BigInteger, nullable=False),
    Column("last_update_time", BigInteger, nullable=False),
    Column("deleted_time", BigInteger),
    Column("deleted_by", String(128)),
    Index(None, "exp", "stage", "creation_time"),
)

# Params and tags of logged models; kind as in `key`: 2 param, 3 tag.
logged_text = Table(
    "logged_text",
    metadata,
    Column("model_id", String(64), primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)

# The latest value of each metric that was measured on a logged model, by run and data set.
logged_metric = Table(
    "logged_metric",
    metadata,
    Column("model_id", String(64), primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("run_id", String(32), primary_key=True),
    Column("dataset_name", String(500), primary_key=True),
    Column("dataset_digest", String(36), primary_key=True),
    Column("ts", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Float(53), nullable=False),
    Column("nan", Boolean, nullable=False, default=False),
)

registered_model = Table(
    "registered_model",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("description", Text),
    Column("next_version", Integer, nullable=False, default=1),  # numbers are never used again
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("project", String(128), nullable=False, server_default=_EMPTY),  # whose it is
)

model_version = Table(
    "model_version",
    metadata,
    Column("model", String(256), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("description", Text),
    Column("created_by", String(256), nullable=False, default=""),
    Column("source_uri", Text, nullable=False),  # as it was given
    Column("source", Text, nullable=False),  # the key that was parsed from it; "" for a prompt
    Column("run_id", String(32), nullable=False, default=""),
    Column("run_link", Text, nullable=False, default=""),
    Column("model_id", String(64), nullable=False, default=""),
    Column("stage", String(16), nullable=False, default="None"),
    Column("status", String(32), nullable=False, default="READY"),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    # Headway's own: filled when the version was made from a job.
    Column("state", String(16), nullable=False, default="candidate"),
    Column("digest", String(64), nullable=False, default=""),
    Column("env_digest", String(64), nullable=False, default=""),
    Column("env_path", Text, nullable=False, default=""),
    Column("lineage", Json, nullable=False),
    Index(None, "run_id"),
    Index(None, "model_id"),
    Index(None, "source"),
    _states("state", "candidate", "released", "archived"),
)

# number 0 = of the registered model itself.
registry_tag = Table(
    "registry_tag",
    metadata,
    Column("model", String(256), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)

model_alias = Table(
    "model_alias",
    metadata,
    Column("model", String(256), primary_key=True),
    Column("alias", String(256), primary_key=True),
    Column("number", Integer, nullable=False),
)

# --- serving ---------------------------------------------------------------------------------------

deployment = Table(
    "deployment",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("project", String(63), nullable=False),
    Column("repo_id", String(64), nullable=False),
    Column("environment", String(63), nullable=False),
    Column("target", String(16), nullable=False),
    Column("body", Json, nullable=False),  # Deployment, the wanted state
    Column("revision", Integer, nullable=False),
    Column("observed", Json),  # Observed, written by serving/reconcile.py only
    Column("observed_at", Instant),
    Column("history", Json, nullable=False),  # versions that served 100 %, oldest first: what /rollback goes back to
)

release = Table(
    "release",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("project", String(63), nullable=False),
    Column("repo_id", String(64), nullable=False),
    Column("environment", String(63), nullable=False),
    Column("change", Integer),
    Column("command_id", String(26), nullable=False),
    Column("state", String(16), nullable=False),
    Column("body", Json, nullable=False),  # Release
    Column("version_no", Integer, nullable=False, default=1),
    Column("created_at", Instant, nullable=False),
    Column("finished_at", Instant),
    UniqueConstraint("command_id", "project"),
    Index(None, "state"),
)

# --- the trash ---------------------------------------------------------------------------------------

# One asking to delete for good. Its items have the stage "purging": there is no way back for them.
purge = Table(
    "purge",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("actor", String(128), nullable=False),
    Column("cause", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("total", Integer, nullable=False, default=0),
    Column("done", Integer, nullable=False, default=0),
    Column("freed", BigInteger, nullable=False, default=0),  # bytes of artifacts
    Column("notes", Json, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Index(None, "state"),
    _states("cause", "person", "retention"),
    _states("state", "running", "done"),
)

# What a purge has still to remove; a row goes in the transaction that removes what it names.
purge_item = Table(
    "purge_item",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("purge_id", String(26), nullable=False),
    Column("rank", Integer, nullable=False),  # runs, then logged models, then experiments
    Column("kind", String(16), nullable=False),  # run | logged_model | experiment
    Column("entity_id", String(64), nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("kind", "entity_id"),
    Index(None, "purge_id", "rank", "id"),
)

# --- trackers of projects' own (tracking/outside.py) -------------------------------------------------

# Whether the MLflow server that a project names answers.
tracker = Table(
    "tracker",
    metadata,
    Column("repo_id", String(64), primary_key=True),
    Column("project", String(63), primary_key=True),
    Column("uri", Text, nullable=False),
    Column("tried_at", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("away_since", Instant),  # None = the last try was answered
    Column("cause", Text, nullable=False, default=""),
    Column("tries", Integer, nullable=False, default=0),
    Column("next_at", Instant, nullable=False),
)

# What such a server says of one commit; asked again for as long as somebody waits or the row is live.
tracker_look = Table(
    "tracker_look",
    metadata,
    Column("repo_id", String(64), primary_key=True),
    Column("project", String(63), primary_key=True),
    Column("commit", String(64), primary_key=True),
    Column("tracking", Json, nullable=False),  # TrackingSpec of the base branch
    Column("change", Integer),
    Column("branch", String(255), nullable=False, default=""),
    Column("base_sha", String(64), nullable=False, default=""),
    Column("live", Boolean, nullable=False),  # the head of an open change, or lately the default branch's
    Column("wanted_at", Instant),  # a job waits for an answer that is younger
    Column("tried_at", Instant),
    Column("answered_at", Instant),
    Column("runs", Json, nullable=False),  # OutsideRun list of the last answer
    Index(None, "live"),
)

# Runs of jobs on their way to such a server.
mirror = Table(
    "mirror",
    metadata,
    Column("run_id", String(32), primary_key=True),
    Column("job_id", String(26), nullable=False, index=True),
    Column("repo_id", String(64), nullable=False),
    Column("project", String(63), nullable=False),
    Column("tracking", Json, nullable=False),
    Column("state", String(16), nullable=False),
    Column("remote_run_id", String(64), nullable=False, default=""),
    Column("remote_url", Text, nullable=False, default=""),
    Column("done", Json, nullable=False),  # keys of metrics that stand there whole
    Column("tries", Integer, nullable=False, default=0),
    Column("next_at", Instant, nullable=False),
    Column("since", Instant, nullable=False),  # in this state
    Column("away_since", Instant),
    Column("cause", Text, nullable=False, default=""),
    Index(None, "state", "next_at"),
    _states("state", "waiting", "done", "refused"),
)
