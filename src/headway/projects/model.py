"""A project as headway.yaml states it: frozen, complete, every default filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

ParamValue = str | int | float | bool


class Goal(StrEnum):
    """Which direction of a metric is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


class Severity(StrEnum):
    """What a failed check does to the verdict."""

    FAIL = "fail"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a step may use; None = unlimited (CPU) or the engine's default."""

    cpus: float | None = None
    memory_mb: int | None = None
    accelerators: str | None = None  # "H100:1"
    disk_mb: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvSection:
    """Where the Python environment comes from; None = found by itself."""

    python: str | None = None  # "3.12"
    lockfile: str | None = None  # path in the project
    variables: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """A named data set: a path in the project, an absolute path or an address."""

    name: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """A volume of the cluster as a step sees it."""

    name: str  # as the server's operator calls it
    path: str  # where the step finds it
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One step of the pipeline, as written."""

    name: str
    run: str  # a command line; split by shlex, never given to a shell
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()  # "data.NAME", or a path some earlier step outputs
    outputs: tuple[str, ...] = ()  # files or folders, relative to the project
    code: tuple[str, ...] = ()  # globs of what the step reads; () = every tracked file but documentation
    base: bool = False  # taken from the base branch: a change cannot grade itself (`from: base`)
    cache: bool = True
    resources: Resources = field(default_factory=Resources)
    timeout: timedelta | None = None
    retries: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    network: bool | None = None  # None = the trust of the code decides
    image: str | None = None  # a container that stands in for the Python environment
    volumes: tuple[VolumeSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """A metric that the project cares about."""

    name: str
    goal: Goal = Goal.MAXIMIZE
    primary: bool = False
    compute: str | None = None  # computed by Headway from predictions: roc_auc, accuracy, log_loss ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsSpec:
    """Predictions on the hold-out, written by a step; labels are joined from `holdout_path`."""

    path: str  # CSV or CSV.gz among a step's outputs
    id: str
    prediction: str | None = None  # column of predicted class or value
    score: str | None = None  # column of the positive class's probability
    slices: tuple[str, ...] = ()
    holdout_path: str = ""  # CSV among a step's outputs (a step taken from base) or a file of the base commit
    label: str = "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSpec:
    """One rule. Exactly one of `metric`, `fairness`, `check` names what is judged."""

    id: str  # unique and stable: what /override names, e.g. "val_auc>=0.85", "val_auc/origin"
    metric: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    max_regression: float | None = None  # how much worse than the baseline is still accepted, >= 0
    slices: tuple[str, ...] = ()
    min_rows: int = 200
    paired: bool = False  # paired bootstrap on the same rows; needs predictions
    confidence: float = 0.95
    fairness: str | None = None  # demographic_parity_difference | equalized_odds_difference | ...ratio
    check: str | None = None  # data_drift and other checks whose machinery comes later
    data: str | None = None  # the data set that `check` is about; its limit stands in `maximum`
    severity: Severity = Severity.FAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class GatesSpec:
    """The rules and what they compare with."""

    baseline: str = "production"  # production | main | run:<id> | model:<name>@<alias>
    rules: tuple[GateSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The model that a job makes."""

    name: str
    path: str | None = None  # folder among the outputs; None = the model logged with MLflow
    signature: str = "infer"  # infer | none


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStep:
    """A share of traffic and how long it is watched before the next."""

    weight: int  # percent, 1..100
    pause: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRule:
    """A limit that the canary must keep; no data is a failure."""

    metric: str  # error_rate | latency_p95_ms | latency_p99_ms | missing_rate
    maximum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTest:
    """What is thrown at a version in staging: a script of the project, or request files."""

    run: str | None = None  # gets HEADWAY_ENDPOINT; exit 0 = passed
    requests: str | None = None  # glob of JSON files {request, expect?, tolerance?}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentRule:
    """Who may release to one environment, and roll it back."""

    name: str
    roles: tuple[str, ...] = ("maintain",)  # the least of them is enough
    users: tuple[str, ...] = ()  # may besides, with write permission or more


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploySpec:
    """How a version reaches production."""

    environment: str = "production"
    staging: bool = True
    target: str = "local"  # local | command | kubernetes
    command: str | None = None  # target command: the team's script
    status_command: str | None = None
    namespace: str | None = None  # target kubernetes: one of those that the server allows; None = its usual one
    approvals: int = 1  # 0 = no approval needed
    reviewers: tuple[str, ...] = ()
    steps: tuple[CanaryStep, ...] = (CanaryStep(weight=100),)
    analysis: tuple[AnalysisRule, ...] = ()
    min_requests: int = 20  # a canary step is judged on at least so many answers
    on_failure: str = "rollback"
    test: ModelTest | None = None
    resources: Resources = field(default_factory=Resources)
    replicas_min: int = 1
    replicas_max: int = 1
    on_register: bool = False  # registering a version starts its release by itself
    environments: tuple[EnvironmentRule, ...] = ()  # those that are not named ask for maintain


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggersSpec:
    """What starts work by itself."""

    push_branches: tuple[str, ...] = ()
    comment_roles: tuple[str, ...] = ("write",)
    paths: tuple[str, ...] = ()  # globs in the project; () = everything below its folder
    schedule: str | None = None  # five cron fields, UTC
    labels: tuple[str, ...] = ()  # put on a change, they train it
    versions: tuple[str, ...] = ()  # models whose newer versions train the default branch
    dispatch: tuple[str, ...] = ()  # names by which another system trains the default branch
    comment: str = "/train"  # the command that a change is asked to be given
    retrain: dict[str, object] | None = None  # checked against the schema; its machinery comes later


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """Where the job runs."""

    type: str = "local"
    namespace: str | None = None
    cancel_in_progress: bool = True
    price_per_hour: float | None = None  # money per hour of one CPU core, for plans and reports
    currency: str = "$"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSpec:
    """Columns and text of the report; the template is read from the base branch."""

    template: str | None = None  # path in the project
    template_text: str = ""  # its text on the base branch, filled in when the project is loaded
    columns: tuple[str, ...] = ()  # extra metric columns in the run table


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySpec:
    """Where to say that a long job has ended; addresses are names of secrets."""

    kind: str  # webhook | slack
    secret: str  # name of the secret that holds the address
    events: tuple[str, ...] = ()
    channel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingSpec:
    """An MLflow server of the team's own, beside Headway's; credentials are names of secrets."""

    uri: str
    mode: str = "read"  # read | log: runs of jobs are copied there as well
    experiment: str = ""
    gates: bool = True  # whether gates may judge what runs there say
    token: str = ""
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSpec:
    """How long the runs of the project's experiment are kept; nothing said keeps runs, and the server's trash rule."""

    trash: timedelta | None = None  # how long deleted things stay in the trash
    keep_last: int | None = None  # the newest runs stay
    keep_days: int | None = None  # and so do runs that ended in these days

    @property
    def ends_runs(self) -> bool:
        """Whether finished runs go into the trash by themselves."""
        return self.keep_last is not None or self.keep_days is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSpec:
    """Everything that headway.yaml says, checked, with defaults."""

    name: str
    root: str  # folder in the repository, "" = the top
    version: int = 1
    env: EnvSection = field(default_factory=EnvSection)
    data: tuple[DataSpec, ...] = ()
    params: dict[str, ParamValue] = field(default_factory=dict)
    steps: tuple[StepSpec, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    predictions: PredictionsSpec | None = None
    gates: GatesSpec = field(default_factory=GatesSpec)
    model: ModelSpec | None = None
    deploy: DeploySpec | None = None
    triggers: TriggersSpec = field(default_factory=TriggersSpec)
    engine: EngineSpec = field(default_factory=EngineSpec)
    report: ReportSpec = field(default_factory=ReportSpec)
    tracking: TrackingSpec | None = None
    retention: RetentionSpec = field(default_factory=RetentionSpec)
    notifications: tuple[NotifySpec, ...] = ()
    commands: dict[str, str] = field(default_factory=dict)  # the team's own words: alias -> verb and options
    tune: dict[str, object] | None = None  # checked against the schema; its machinery comes later
    monitor: dict[str, object] | None = None
    seed: int | None = None
