"""Every cell of the table in docs/reference/permissions.md, asked of the fake GitHub (rules 10, 11, 14 and 18).

Each cell is a comment's command carried out by the flow itself, for a private and a public repository. The page is the
only place that says what is expected: who changes it, changes what is asked for here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fakes.github.sender import SECRET
from fakes.github.server import FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG, NAME
from headway.app import App, open_app
from headway.commands.model import Command, CommandState, Origin, Verb
from headway.commands.store import CommandStore
from headway.errors import Refused, Unreachable
from headway.flow import dispatch
from headway.flow.background import Background
from headway.flow.grants import grant
from headway.flow.standing import needed_for
from headway.flow.who_releases import check_release, may_try
from headway.forges.github import budget
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.forges.model import Permission, Repo
from headway.forges.roles import github_permission
from headway.ids import new_id
from headway.projects.model import DeploySpec, EnvironmentRule
from headway.settings import Settings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "permissions.md"
ROLES = ("none", "read", "triage", "write", "maintain", "admin")
CONFIG = (
    "name: flights\nrun: python train.py\nmetrics: {auc: {goal: maximize}}\ndeploy: {environment: production%s}\n"
    "commands: {}\n"
)
RULES = ", environments: {staging: {roles: [write]}, production: {roles: [admin], users: [named]}}"


def _table(first: str) -> list[tuple[str, ...]]:
    """Return the rows of the table whose head begins so."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index(first) :].split("\n\n", 1)[0].splitlines()[2:]
    return [tuple(cell.strip().strip("`").lstrip("/") for cell in line.strip("|").split("|")) for line in lines]


@dataclass(frozen=True)
class Cell:
    """One answer that the page gives."""

    verb: str
    environment: str
    kind: str  # member | fork | granted
    role: str
    may: bool
    private: bool

    def __str__(self) -> str:
        where = "private" if self.private else "public"
        return f"{self.verb}-{self.environment}-{self.kind}-{self.role}-{where}"


def _cells() -> Iterator[Cell]:
    for private in (True, False):
        for verb, environment, fork, *answers in _table("| Command | Environment | Change"):
            for role, answer in zip(ROLES, answers, strict=True):
                kind = "fork" if fork == "yes" else "member"
                if answer == "granted":
                    yield Cell(verb, environment, "granted", role, may=True, private=private)
                    if verb == "retry":
                        continue  # what was never let run has left nothing to try again
                yield Cell(verb, environment, kind, role, may=answer == "yes", private=private)


CELLS = list(_cells())


@dataclass
class Gate:
    """A Headway at a fake GitHub whose commands are carried out and whose jobs are not."""

    fake: FakeGitHub
    app: App
    repo: Repo
    background: Background
    changes: dict[str, int]

    def ask(self, verb: str, actor: str, kind: str = "member", environment: str = "-") -> Command:
        number = self.changes[kind]
        named = "" if environment == "-" else environment
        command = Command(
            id=new_id(),
            verb=Verb(verb),
            origin=Origin.COMMENT,
            repo_id=self.repo.id,
            actor=actor,
            at=self.app.clock.now(),
            change=number,
            head_sha=self.fake.world.head(self.fake.world.pulls[number]),
            arguments={"rollback": (named,), "override": ("auc",)}.get(verb, ()) if named or verb == "override" else (),
            environment=named if verb == "deploy" and named else None,
            reason="known" if verb == "override" else "",
        )
        with self.app.database.write() as tx:
            return CommandStore(tx).add(command)

    def run(self) -> None:
        ends = time.monotonic() + 120
        while self.waiting():
            dispatch.step(self.app, self.background)
            assert time.monotonic() < ends, f"still waiting: {self.waiting()[:3]}"
            time.sleep(0.02)

    def waiting(self) -> list[Command]:
        with self.app.database.read() as tx:
            return list(CommandStore(tx).in_state(CommandState.ACCEPTED, limit=5))

    def answer(self, command: Command) -> Command:
        with self.app.database.read() as tx:
            return CommandStore(tx).get(command.id)

    def let_in(self, command: Command) -> bool:
        """Whether nothing but the matter itself stood in the way."""
        told = self.answer(command)
        is_barred = "may not /" in told.answer or "only after a maintainer has approved" in told.answer
        assert told.state is CommandState.REFUSED or not is_barred
        assert "internal error" not in told.answer
        return not is_barred


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    with pytest.MonkeyPatch.context() as patched, running(folder / "github.git") as fake:
        # A table's worth of questions within a minute is more than GitHub allows one person's morning.
        patched.setattr(budget, "POINTS_HELD", 1_000_000)
        facts = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key)
        save_config(folder / "data" / "github", GitHubConfig(api=fake.url, app=facts, webhook_secrets=(SECRET,)))
        fake.world.commit("main", {"headway.yaml": CONFIG % "", "train.py": "1\n"})
        changes = {}
        for kind in ("member", "fork", "granted"):
            fake.world.commit(kind, {"train.py": f"{kind}\n"})
            changes[kind] = fake.world.open_pull(kind, author="mallory", from_fork=kind != "member").number
        # What a change says of itself counts for nothing: this one would let everybody do everything.
        generous = CONFIG % RULES.replace("admin", "write") + "triggers: {pull_request: {roles: [read]}}\n"
        fake.world.commit("fork", {"headway.yaml": generous})
        for role in ROLES[1:]:
            fake.world.grant(f"a-{role}", role)
        app = open_app(Settings(data=folder / "data"))
        assert app.github is not None
        repo = app.github.register_repo(NAME, by="test")
        background = Background(threads=1)
        opened = Gate(fake=fake, app=app, repo=repo, background=background, changes=changes)
        approval = opened.ask("approve", "a-maintain", "granted")
        grant(app, app.github.get_change(repo.id, changes["granted"]), approval)
        yield opened
        background.close()
        app.close()
        assert fake.problems == []


@pytest.fixture(scope="module")
def asked(gate: Gate) -> dict[str, Command]:
    found = {}
    for private in (True, False):
        gate.fake.world.is_private = private
        for cell in CELLS:
            # The fork whose approval is tried stays apart from the one whose training is: a grant would open it.
            if cell.private is private:
                kind = "granted" if cell.verb == "approve" and cell.kind == "fork" else cell.kind
                found[str(cell)] = gate.ask(cell.verb, f"a-{cell.role}", kind, cell.environment)
        gate.run()
    return found


def test_the_table_is_whole() -> None:
    assert len(CELLS) >= 200
    assert {cell.verb for cell in CELLS} == {verb.value for verb in Verb}


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_cell_of_the_table(gate: Gate, asked: dict[str, Command], cell: Cell) -> None:
    assert gate.let_in(asked[str(cell)]) is cell.may, gate.answer(asked[str(cell)]).answer


ENVIRONMENTS = [
    pytest.param(verb, environment, role, answer == "yes", id=f"{verb}-{environment}-{role}")
    for verb, environment, *answers in _table("| Command | Environment | `none` | `read` | `triage` | `write` | `maint")
    for role, answer in zip((*ROLES, "named"), answers, strict=True)
]


@pytest.mark.parametrize(("verb", "environment", "role", "may"), ENVIRONMENTS)
def test_an_environment_s_own_rules(gate: Gate, verb: str, environment: str, role: str, *, may: bool) -> None:
    """Rule 11: per environment, looked at for the environment and job that the command turned out to mean."""
    gate.fake.world.grant("named", "write")
    spec = DeploySpec(
        environments=(
            EnvironmentRule(name="staging", roles=("write",)),
            EnvironmentRule(name="production", roles=("admin",), users=("@Named",)),
        )
    )
    command = replace(gate.ask("why", "named" if role == "named" else f"a-{role}"), verb=Verb(verb))
    with contextlib.nullcontext() if may else pytest.raises(Refused, match=f"to {environment}"):
        check_release(gate.app, command, spec, environment)


def test_the_base_branch_s_rules_open_and_close_environments(gate: Gate) -> None:
    """The same from a comment to its answer, by what stands on the default branch at that moment."""
    world = gate.fake.world
    world.grant("named", "write")
    before = gate.ask("deploy", "a-write", environment="staging")
    gate.run()
    assert not gate.let_in(before)
    world.commit("main", {"headway.yaml": CONFIG % RULES})
    asks = {
        (actor, environment): gate.ask("deploy", actor, environment=environment)
        for actor in ("a-write", "a-maintain", "a-admin", "named")
        for environment in ("staging", "production")
    }
    gate.run()
    told = {key: gate.let_in(command) for key, command in asks.items()}
    world.commit("main", {"headway.yaml": CONFIG % ""})
    assert told == {
        ("a-write", "staging"): True,
        ("a-write", "production"): False,
        ("a-maintain", "staging"): True,
        ("a-maintain", "production"): False,
        ("a-admin", "staging"): True,
        ("a-admin", "production"): True,
        ("named", "staging"): True,
        ("named", "production"): True,
    }
    world.grant("named", "read")  # who has left the repository has left the list
    late = gate.ask("deploy", "named", environment="production")
    gate.run()
    assert not gate.let_in(late)


@pytest.mark.parametrize(
    ("role", "permission", "standing"),
    [
        ("maintain", "write", Permission.MAINTAIN),
        ("triage", "read", Permission.TRIAGE),
        ("admin", "admin", Permission.ADMIN),
        ("model-releaser", "write", Permission.WRITE),  # the organisation's own
        ("Maintain", "write", Permission.WRITE),  # a name does not make a role
        ("auditor", "read", Permission.READ),
        ("owner-like", "admin", Permission.ADMIN),
        ("admin", "read", Permission.TRIAGE),  # the two contradict: the lower
        ("maintain", "read", Permission.TRIAGE),
        ("write", "none", Permission.NONE),
        ("write", "strange", Permission.NONE),
        ("", "write", Permission.WRITE),  # an older server
        ("", "", Permission.NONE),
        ("strange", "", Permission.NONE),
        ("strange", "strange", Permission.NONE),
    ],
)
def test_what_github_s_two_fields_say_together(role: str, permission: str, standing: Permission) -> None:
    assert github_permission(role, permission) is standing


def test_a_role_of_the_organisation_s_own_is_what_it_is_built_on(gate: Gate) -> None:
    gate.fake.world.grant("nina", "model-releaser", permission="write")
    trains, deploys = gate.ask("plan", "nina"), gate.ask("deploy", "nina")
    gate.run()
    assert gate.let_in(trains)
    assert not gate.let_in(deploys)


@pytest.mark.parametrize("status", [500, 502, 403, 404, 429, 0])
def test_what_github_does_not_say_is_no(gate: Gate, status: int) -> None:
    """Rule 10: on failure refuse; nothing of the command happens."""
    gate.fake.fail("GET", r"/collaborators/.*/permission", status=status, times=50, headers={"retry-after": "1"})
    command = gate.ask("stop", "a-admin")
    background = Background(threads=1)
    dispatch.step(gate.app, background)
    ends = time.monotonic() + 60
    while background.is_running(f"commands:{gate.repo.id}"):
        assert time.monotonic() < ends
        time.sleep(0.02)
    background.close()
    gate.fake.faults.clear()
    told = gate.answer(command)
    # Refused, or it waits for a GitHub that is away: never done.
    assert told.state in (CommandState.REFUSED, CommandState.ACCEPTED)
    assert "nothing to stop" not in told.answer
    gate.run()


@pytest.mark.parametrize("status", [502, 429, 0])
def test_rules_that_cannot_be_read_now_are_neither_open_nor_shut(gate: Gate, status: int) -> None:
    """The base branch may ask for more or for less than is usual: a GitHub that is away has said neither."""
    gate.fake.fail("GET", r"/pulls/1$", status=status, times=50, headers={"retry-after": "0"})
    gate.fake.fail("GET", r"/branches/main$", status=status, times=50, headers={"retry-after": "0"})
    deploys, trains = gate.ask("deploy", "a-write", environment="staging"), gate.ask("train", "a-write")
    with pytest.raises(Unreachable):
        may_try(gate.app, deploys, Permission.WRITE)
    with pytest.raises(Unreachable):
        needed_for(gate.app, trains)
    gate.fake.faults.clear()
    gate.run()
    assert not gate.let_in(deploys)
    assert gate.let_in(trains)


def test_a_role_counts_when_the_command_is_carried_out(gate: Gate) -> None:
    """No answer is remembered: what was taken away since the comment is gone, and what was given is there."""
    gate.fake.world.grant("ivy", "maintain")
    command = gate.ask("override", "ivy")
    gate.fake.world.grant("ivy", "write")
    gate.run()
    assert not gate.let_in(command)
    gate.fake.world.grant("ivy", "maintain")
    again = gate.ask("override", "ivy")
    gate.run()
    assert gate.let_in(again)
