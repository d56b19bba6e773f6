"""Who may release to an environment or roll it back: the default branch says it, and the forge who has that role."""

from __future__ import annotations

from headway.app import App
from headway.commands.model import Command, Origin, Verb
from headway.commands.usage import permission_for
from headway.errors import HeadwayError, Refused
from headway.flow.projects import projects_at, resolve
from headway.flow.repos import forge_of, get_repo
from headway.forges.model import Permission
from headway.projects.model import DeploySpec, EnvironmentRule

# What Headway itself starts needs no person's standing: the trigger stands on the base branch.
BY_ITSELF = frozenset({Origin.PUSH, Origin.SCHEDULE, Origin.VERSION, Origin.DRIFT, Origin.DATA, Origin.QUEUE})
RELEASES = frozenset({Verb.DEPLOY, Verb.ROLLBACK})


def rule_for(spec: DeploySpec, environment: str) -> EnvironmentRule:
    """Return who may release to an environment; maintainers to one of which the file says nothing."""
    found = (rule for rule in spec.environments if rule.name == environment)
    return next(found, EnvironmentRule(name=environment))


def allows(rule: EnvironmentRule, actor: str, standing: Permission) -> bool:
    """Say whether somebody may; nobody by name alone: a person who left the repository has left the list too."""
    if standing < Permission.WRITE:
        return False
    is_named = actor.casefold() in {name.lstrip("@").casefold() for name in rule.users}
    return is_named or standing >= min(Permission[role.upper()] for role in rule.roles)


def may_try(app: App, command: Command, standing: Permission) -> bool:
    """Say whether any environment is open to whoever gave a release command; which one it is, its own check looks at.

    A command that names an environment is held to that one's rules.
    """
    named = command.environment if command.verb is Verb.DEPLOY else "".join(command.arguments[:1])
    rules = [
        rule_for(spec, environment)
        for spec in _deploy_specs(app, command)
        for environment in ([named] if named else ["staging", spec.environment])
    ]
    if not rules:
        return standing >= permission_for(command.verb)
    return any(allows(rule, command.actor, standing) for rule in rules)


def _deploy_specs(app: App, command: Command) -> list[DeploySpec]:
    try:
        repo = get_repo(app, command.repo_id)
        main = resolve(app, repo, repo.default_branch)
        specs = [each.spec.deploy for each in projects_at(app, repo.id, head=main, base=main)]
    except HeadwayError as error:
        if error.retryable:
            raise  # the forge is away, or asks us to wait: the rules stand, and are read when it is back
        return []  # a file that cannot be read opens nothing: maintainers, who are then told what is wrong
    return [spec for spec in specs if spec is not None]


def check_release(app: App, command: Command, spec: DeploySpec, environment: str) -> None:
    """Return when whoever gave the command may release to this environment now, as the forge says anew.

    An approval needs maintain besides, wherever less is enough to ask.

    Raises:
        Refused: the actor may not, or the forge does not say so.
    """
    if command.origin in BY_ITSELF:
        return
    rule = rule_for(spec, environment)
    standing = forge_of(app, command.repo_id).get_permission(command.repo_id, command.actor)
    is_enough = command.verb in RELEASES or standing >= permission_for(command.verb)
    if is_enough and allows(rule, command.actor, standing):
        return
    least = min(Permission[role.upper()] for role in rule.roles).name.lower()
    others = f", or to be {' or '.join(name.lstrip('@') for name in rule.users)}" if rule.users else ""
    raise Refused(
        f"@{command.actor} may not /{command.verb} to {environment}",
        cause=f"the default branch asks for {least} permission{others}; @{command.actor} has {standing.name.lower()}",
        hint="ask somebody who may to write the same comment",
        reason="HW-NOT-ALLOWED",
    )
