"""The whole flow in one file: comment -> command -> plan -> job -> result -> verdict -> report.

    python docs/tour/mini.py

Everything that decides is the real thing: the grammar of comments, headway.yaml, tasks, plans and keys, gates,
reports. Everything that remembers, runs or talks is a dictionary: no database, no git, no process. Read it from
top to bottom, then read `src/headway/flow/`, which does the same with the world underneath.

What is missing here is what makes the real one long: it survives being killed between any two lines, and it
trusts neither the code that it runs nor the people who comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from headway.commands.grammar import parse_comment
from headway.commands.model import Answer, ParsedCommand, Verb
from headway.commands.usage import help_text
from headway.environments.model import EnvKind, EnvSpec, Tier
from headway.gates.evaluate import evaluate
from headway.gates.measure import Side as Shown
from headway.gates.model import Evidence, Verdict
from headway.ids import digest_of
from headway.pipelines.model import GitTree, TaskSpec, TreeEntry
from headway.pipelines.steps import Side, make_tasks
from headway.planning.keys import exact_key
from headway.planning.model import Action, Plan, TaskResult
from headway.planning.plan import History, make_plan
from headway.projects.model import ProjectSpec
from headway.projects.read import read_project
from headway.reports.model import MetricRow, Report, ReportState, ReportView
from headway.reports.render import render

HEADWAY_YAML = """\
name: churn
run: python train.py --lr ${params.lr}
params: {lr: 0.1}
metrics:
  val_auc: maximize
gates:
  - {id: auc, metric: val_auc, min: 0.80}
  - {id: no-worse, metric: val_auc, max_regression: 0.01}
"""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


# --- the forge: commits, changes, comments, statuses -----------------------------------------------------


@dataclass
class Change:
    """A pull request: a branch, what was said of it, and what its head commit has shown."""

    number: int
    head: str
    comments: list[str] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)  # commit -> state
    is_merged: bool = False


@dataclass
class Forge:
    """A git forge in memory; a commit is its files."""

    commits: dict[str, Mapping[str, str]] = field(default_factory=dict)
    main: str = ""
    changes: dict[int, Change] = field(default_factory=dict)

    def commit(self, files: Mapping[str, str]) -> str:
        """Keep the files under their digest, as git does."""
        sha = digest_of(dict(files))[:40]
        self.commits[sha] = dict(files)
        return sha

    def tree(self, sha: str) -> GitTree:
        """Return a commit as git would list it."""
        entries = {
            path: TreeEntry(mode="100644", blob=digest_of(text)[:40], size=len(text))
            for path, text in self.commits[sha].items()
        }
        return GitTree(commit=sha, tree=sha, entries=entries)

    def open(self, head: str) -> Change:
        """Propose a commit."""
        change = Change(number=len(self.changes) + 1, head=head)
        change.statuses[head] = "pending"
        self.changes[change.number] = change
        return change

    def post(self, change: Change, report: Report) -> None:
        """Keep one living comment: the one that carries the same hidden marker is replaced."""
        others = [comment for comment in change.comments if not comment.startswith(report.marker)]
        change.comments = [*others, report.body]

    def merge(self, number: int) -> bool:
        """Merge where the head commit is green; a status that was never set is not green."""
        change = self.changes[number]
        if change.statuses.get(change.head) != "success":
            return False
        self.main, change.is_merged = change.head, True
        return True


# --- the engine: foreign code ---------------------------------------------------------------------------


@dataclass
class Engine:
    """Runs one task to its end; here the foreign program is a line such as `0.80 + 0.5 * lr`."""

    started: list[str] = field(default_factory=list)

    def run(self, spec: TaskSpec, source: str) -> dict[str, float]:
        """Return what the program logs."""
        self.started.append(spec.name)
        start, slope = map(float, re.fullmatch(r"([\d.]+) \+ ([\d.]+) \* lr", source).groups())
        return {"val_auc": start + slope * float(spec.params["lr"])}


# --- what is remembered ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Job:
    """One execution of one plan, ended and judged."""

    number: int
    change: int | None
    plan: Plan
    metrics: dict[str, float]
    verdict: Verdict


@dataclass
class Headway:
    """The story: each method is one step of it, and hands a frozen value to the next."""

    forge: Forge
    engine: Engine = field(default_factory=Engine)
    results: dict[str, TaskResult] = field(default_factory=dict)  # exact key -> what it gave
    jobs: list[Job] = field(default_factory=list)
    baseline: Job | None = None

    def comment(self, number: int, text: str) -> None:
        """Step 1, the only door in: text of a comment to commands, each carried out in its order."""
        change = self.forge.changes[number]
        change.comments.append(text)
        for parsed in parse_comment(text):
            if isinstance(parsed, Answer):
                change.comments.append(parsed.text)
            else:
                self._obey(change, parsed)

    def _obey(self, change: Change, command: ParsedCommand) -> None:
        match command.verb:
            case Verb.TRAIN:
                self._say(change, self.train(change.head, change=change, params=command.params), command)
            case Verb.PLAN:
                plan = self.plan(change.head, command.params)
                lines = [f"{task.spec.name}: {task.action}, {task.why}" for task in plan.tasks]
                change.comments.append("\n".join(lines))
            case Verb.HELP:
                change.comments.append(help_text())
            case verb:
                change.comments.append(f"/{verb} is not in this tour.")

    def plan(self, commit: str, params: Mapping[str, str]) -> Plan:
        """Step 2, pure: everything that will happen, decided, before anything happens."""
        head, base = self._side(commit), self._side(self.forge.main)
        tasks = make_tasks(head, base=base, overrides=params)
        # Gates come from the base branch: a change cannot move the bar that it must pass.
        project = replace(head.project, gates=base.project.gates)
        return make_plan(
            project,
            tasks,
            repo_id="tour",
            commit=commit,
            base_commit=self.forge.main,
            tree=commit,
            tier=Tier.MAIN,
            params=project.params | dict(params),
            history=History(results=self.results, job_numbers={str(job.number): job.number for job in self.jobs}),
        )

    def _side(self, commit: str) -> Side:
        files = self.forge.commits[commit]
        lock = files.get("requirements.txt", "")
        env = EnvSpec(digest=digest_of(lock), kind=EnvKind.REQUIREMENTS, python="3.11", files=("requirements.txt",))
        project = read_project(files["headway.yaml"].encode())
        return Side(project=project, tree=self.forge.tree(commit), env=env)

    def train(self, commit: str, *, change: Change | None = None, params: Mapping[str, str] | None = None) -> Job:
        """Steps 3 to 5: plan to job, job to result, result to verdict."""
        plan = self.plan(commit, params or {})
        metrics: dict[str, float] = {}
        for task in plan.tasks:
            metrics |= self._result(task.spec, number=len(self.jobs) + 1, reuse=task.action is Action.REUSE).metrics
        job = Job(
            number=len(self.jobs) + 1,
            change=change.number if change else None,
            plan=plan,
            metrics=metrics,
            verdict=self._judge(plan.project, metrics),
        )
        self.jobs.append(job)
        if change is None and job.verdict.allows_merge:
            self.baseline = job
        return job

    def _result(self, spec: TaskSpec, *, number: int, reuse: bool) -> TaskResult:
        """Run one task, or find what equal inputs gave before."""
        key = exact_key(spec, {})
        if not reuse:
            metrics = self.engine.run(spec, self.forge.commits[spec.commit]["train.py"])
            self.results[key] = TaskResult(
                key=key,
                tier=Tier.MAIN,
                project="churn",
                task=spec.name,
                job_id=str(number),
                run_id=f"run-{number}",
                outputs=(),
                metrics=metrics,
                seconds=1.0,
                commit=spec.commit,
                finished_at=NOW,
            )
        return self.results[key]

    def _judge(self, project: ProjectSpec, metrics: dict[str, float]) -> Verdict:
        """Step 5, pure: rules and evidence to a verdict. A metric that is absent or NaN never passes."""
        shown = Shown(evidence=Evidence(label="this change", metrics=metrics))
        before = self.baseline and Shown(evidence=Evidence(label="main", metrics=self.baseline.metrics))
        return evaluate(project.gates.rules, metrics=project.metrics, candidate=shown, baseline=before)

    def _say(self, change: Change, job: Job, command: ParsedCommand) -> None:
        """Step 6, pure until the last line: verdict to report, report to comment and status."""
        report = render(self._view(job, f"/{command.verb}"))
        self.forge.post(change, report)
        change.statuses[job.plan.commit] = "success" if report.passed else "failure"

    def _view(self, job: Job, command: str) -> ReportView:
        before = self.baseline.metrics if self.baseline else {}
        rows = (MetricRow(name=name, candidate=now, baseline=before.get(name)) for name, now in job.metrics.items())
        return ReportView(
            project=job.plan.project.name,
            state=ReportState.PASSED if job.verdict.allows_merge else ReportState.FAILED,
            number=job.number,
            url=f"https://headway.example/jobs/{job.number}",
            commit=job.plan.commit,
            actor="maria",
            command=command,
            already_trained=job.plan.is_all_reused,
            metrics=job.plan.project.metrics,
            baseline_label="main",
            rows=tuple(rows),
            verdict=job.verdict,
            params={name: str(value) for name, value in job.plan.params.items()},
        )

    def merge(self, number: int) -> bool:
        """Step 7: where the forge lets it through, what the change has shown becomes the baseline, untrained."""
        change = self.forge.changes[number]
        if not self.forge.merge(number):
            return False
        self.baseline = next(job for job in reversed(self.jobs) if job.plan.commit == change.head)
        return True


def story() -> Headway:
    """A baseline; a change that is worse and stays out; one that is better, asked for twice, and goes in."""
    forge = Forge()
    files = {"headway.yaml": HEADWAY_YAML, "train.py": "0.80 + 0.5 * lr", "requirements.txt": "scikit-learn==1.7.2"}
    forge.main = forge.commit(files)
    headway = Headway(forge)
    headway.train(forge.main)

    worse = forge.open(forge.commit(files | {"train.py": "0.70 + 0.5 * lr"}))
    headway.comment(worse.number, "Simpler, I think.\n\n/train")
    headway.merge(worse.number)

    better = forge.open(forge.commit(files | {"train.py": "0.85 + 0.5 * lr", "README.md": "Now with weather."}))
    headway.comment(better.number, "/plan")
    headway.comment(better.number, "/train")
    headway.comment(better.number, "/train")  # the same inputs: an answer, and nothing runs
    headway.merge(better.number)
    return headway


def told(changes: Iterable[Change]) -> str:
    """Return what stands on the changes at the end."""
    parts = []
    for change in changes:
        state = "merged" if change.is_merged else f"open, {change.statuses[change.head]}"
        parts.append("\n\n".join([f"== change {change.number} ({state}) ==", *change.comments]))
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(told(story().forge.changes.values()))
