"""Whether everything at GitHub is as it must be: each question one finding, with its cause and what to do."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from headway.errors import HeadwayError, NotFound, Refused
from headway.forges.github.api import TIMEOUT
from headway.forges.github.manifest import DOOR
from headway.forges.github.permissions import EVENTS, beyond, missing
from headway.forges.github.tokens import web_base

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.forges.github.forge import GitHubForge
    from headway.forges.github.tokens import Access
    from headway.forges.model import Repo

OUR_CONTEXT = "headway"
SKEW = timedelta(seconds=45)  # our word to GitHub begins a minute in the past
LOOKED_AT = 30  # deliveries
_FORGED = (401, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One question to GitHub and its answer; what is wrong says why and what mends it."""

    name: str
    state: str  # ok | warn | fail
    found: str
    cause: str = ""
    hint: str = ""


def prove(forge: GitHubForge, repos: tuple[Repo, ...], *, public_url: str, clock: Clock) -> Iterator[Finding]:
    """Ask GitHub everything that has to be right before a comment becomes a deployment."""
    yield _clock(forge, clock)
    credentials = _guarded("github credentials", lambda: _credentials(forge))
    yield credentials
    if credentials.state == "fail":
        return
    if forge.config.app is not None:
        yield _guarded("github webhook", lambda: _webhook(forge, public_url))
    for repo in repos:
        yield from _of_repo(forge, repo)


def _of_repo(forge: GitHubForge, repo: Repo) -> Iterator[Finding]:
    name = repo.name
    try:
        access = forge.tokens.of(name)
        access.credentials()
    except HeadwayError as error:
        yield _failed(f"{name} installation", error)
        return
    if forge.config.app is not None:
        yield from _permissions(forge, name)
        yield _guarded(f"{name} required check", lambda: _required_check(forge, repo, access))
    else:
        yield Finding(
            name=f"{name} required check",
            state="warn",
            found="commit statuses, by a token",
            cause="anybody who may push can post a status of the same name",
            hint="headway init --github --force makes an App, whose check can be pinned",
        )
    yield _guarded(f"{name} fork policy", lambda: _fork_policy(forge, name, access))
    yield _guarded(f"{name} rate limit", lambda: _rate_limit(forge, name, access))


def _guarded(name: str, ask: Any) -> Finding:
    try:
        found: Finding = ask()
    except HeadwayError as error:
        return _failed(name, error)
    return found


def _failed(name: str, error: HeadwayError) -> Finding:
    return Finding(name=name, state="fail", found=error.message, cause=error.cause, hint=error.hint)


def _clock(forge: GitHubForge, clock: Clock) -> Finding:
    """Compare our clock with GitHub's: a word signed with a wrong one is not taken. Any answer has the time."""
    name = "github clock"
    try:
        answer = httpx.get(f"{forge.api.base}/rate_limit", timeout=TIMEOUT, follow_redirects=False)
        theirs = email.utils.parsedate_to_datetime(answer.headers["date"])
    except (httpx.HTTPError, KeyError, ValueError) as error:
        return Finding(
            name=name,
            state="fail",
            found=f"{forge.api.base} does not answer",
            cause=f"{type(error).__name__}: {error}"[:200],
            hint="check HEADWAY_GITHUB_API, proxy and name service of this machine",
        )
    apart = clock.now() - theirs
    seconds = round(apart.total_seconds())
    if abs(apart) <= SKEW:
        return Finding(name=name, state="ok", found=f"{abs(seconds)} s apart")
    return Finding(
        name=name,
        state="fail",
        found=f"this machine is {abs(seconds)} s {'ahead' if seconds > 0 else 'behind'}",
        cause="GitHub does not take an App's word that is signed in its future or long past",
        hint="timedatectl set-ntp true",
    )


def _credentials(forge: GitHubForge) -> Finding:
    name, app = "github credentials", forge.config.app
    if app is None:
        person = forge.tokens.of("")
        login = str(forge.api.get("/user", person).data["login"])
        return Finding(name=name, state="ok", found=f"token of {login} at {forge.api.base}")
    try:
        found = forge.api.get("/app", forge.tokens.app).data
    except Refused as error:
        raise Refused(
            f"GitHub does not know App {app.slug or app.id} by this key",
            cause=error.cause or "the key was revoked, or the App deleted",
            hint="headway init --github --force",
        ) from None
    if int(found["id"]) != app.id:
        raise Refused(f"this key is of App {found['id']}, not of {app.id}", hint="headway init --github --force")
    return Finding(name=name, state="ok", found=f"App {found['slug']} ({app.id}) at {forge.api.base}")


def _webhook(forge: GitHubForge, public_url: str) -> Finding:
    name, app = "github webhook", forge.tokens.app
    if not forge.listens:
        return Finding(
            name=name,
            state="ok",
            found="none: repositories are looked at again and again",
            hint="with HEADWAY_PUBLIC_URL and a webhook secret, GitHub tells at once",
        )
    said = forge.api.get("/app/hook/config", app).data
    wanted = f"{public_url.rstrip('/')}{DOOR}" if public_url else ""
    page = _app_page(forge)
    problems = [
        (not wanted, "HEADWAY_PUBLIC_URL is not set, so this server cannot know where it is reached"),
        (
            bool(wanted) and said.get("url") != wanted,
            f"GitHub sends to {said.get('url') or 'nowhere'}, not to {wanted}",
        ),
        (said.get("content_type") != "json", "its content type is not application/json"),
        (str(said.get("insecure_ssl", "0")) != "0", "it does not check our certificate"),
        (not said.get("secret"), "it has no secret, so nothing that it sends is taken"),
    ]
    wrong = "; ".join(text for is_wrong, text in problems if is_wrong)
    if wrong:
        return Finding(name=name, state="fail", found="not as it must be", cause=wrong, hint=f"{page}: Webhook")
    return _deliveries(forge, app, page)


def _deliveries(forge: GitHubForge, app: Access, page: str) -> Finding:
    name = "github webhook"
    recent = forge.api.get("/app/hook/deliveries", app, per_page=LOOKED_AT).data
    if not recent:
        return Finding(
            name=name,
            state="warn",
            found="nothing was ever delivered",
            cause="no event has happened, or the App is installed nowhere",
            hint=f"{page}/advanced: Redeliver the ping, or headway doctor --live OWNER/REPO",
        )
    latest = int(recent[0].get("status_code") or 0)
    bad = [each for each in recent if not 200 <= int(each.get("status_code") or 0) < 300]
    if not bad:
        return Finding(name=name, state="ok", found=f"the last {len(recent)} deliveries were taken")
    codes = ", ".join(sorted({str(each.get("status_code") or "no answer") for each in bad}))
    found = f"{len(bad)} of the last {len(recent)} deliveries were not taken ({codes})"
    if 200 <= latest < 300:
        return Finding(name=name, state="warn", found=found, hint="the newest was; what was missed is fetched")
    if latest in _FORGED:
        return Finding(
            name=name,
            state="fail",
            found=found,
            cause="our door refused them: the secret at GitHub is not one of ours",
            hint=f"{page}: set the webhook's secret to the one in data/github/app.json, or add GitHub's there",
        )
    return Finding(
        name=name,
        state="fail",
        found=found,
        cause="nothing of ours answered at that address: proxy, certificate, firewall, or another program",
        hint="open HEADWAY_PUBLIC_URL/health from outside",
    )


def _permissions(forge: GitHubForge, name: str) -> Iterator[Finding]:
    title = f"{name} permissions"
    try:
        found = forge.api.get(f"/repos/{name}/installation", forge.tokens.app).data
    except HeadwayError as error:
        yield _failed(title, error)
        return
    if found.get("suspended_at"):
        yield Finding(
            name=title,
            state="fail",
            found="the installation is suspended",
            cause=f"since {found['suspended_at']}",
            hint="its owner takes that back in the installation's settings",
        )
        return
    granted = {str(key): str(value) for key, value in found.get("permissions", {}).items()}
    lacking, more = missing(granted), beyond(granted)
    page = _app_page(forge)
    if lacking:
        yield Finding(
            name=title,
            state="fail",
            found="missing: " + ", ".join(f"{each.name}: {each.level}" for each in lacking),
            cause="; ".join(f"{each.name}: {each.without}" for each in lacking),
            hint=f"{page}/permissions, then the owner of {name.partition('/')[0]} accepts them",
        )
    elif more:
        yield Finding(
            name=title,
            state="warn",
            found="more than is used: " + ", ".join(f"{key}: {value}" for key, value in sorted(more.items())),
            cause="what is not needed can only be lost",
            hint=f"{page}/permissions",
        )
    else:
        yield Finding(name=title, state="ok", found="all that is needed, and no more")
    yield _events(forge, name, {str(each) for each in found.get("events", [])}, page)


def _events(forge: GitHubForge, name: str, subscribed: set[str], page: str) -> Finding:
    title = f"{name} events"
    lacking = [each for each in EVENTS if each not in subscribed]
    if not forge.listens or not lacking:
        return Finding(name=title, state="ok", found=f"{len(EVENTS) - len(lacking)} of {len(EVENTS)}")
    return Finding(
        name=title,
        state="fail",
        found="not subscribed: " + ", ".join(lacking),
        cause="; ".join(f"{each}: {EVENTS[each]}" for each in lacking),
        hint=f"{page}/permissions: Subscribe to events",
    )


def _required_check(forge: GitHubForge, repo: Repo, access: Access) -> Finding:
    title, app = f"{repo.name} required check", forge.tokens.app_id
    required = _from_rules(forge, repo, access)
    protected, is_seen = _from_protection(forge, repo, access)
    ours = [each for each in (*required, *protected) if each[0].partition("/")[0] == OUR_CONTEXT]
    rules = f"{web_base(forge.api.base)}/{repo.name}/settings/rules"
    if not ours:
        return Finding(
            name=title,
            state="warn",
            found=f"{repo.default_branch} requires none of ours" + ("" if is_seen else ", as far as we may see"),
            cause="a change can be merged whatever its check says"
            + ("" if is_seen else "; branch protection is shown to administrators alone"),
            hint=f"{rules}: require headway/PROJECT from this App",
        )
    loose = [context for context, source in ours if source != app]
    if not loose:
        names = ", ".join(sorted(context for context, _ in ours))
        return Finding(name=title, state="ok", found=f"{names}, from this App alone")
    return Finding(
        name=title,
        state="fail",
        found="not pinned to this App: " + ", ".join(sorted(set(loose))),
        cause="anybody who may push can post a status of the same name and merge",
        hint=f"{rules}: choose this App ({app}) as the source of the check",
    )


def _from_rules(forge: GitHubForge, repo: Repo, access: Access) -> list[tuple[str, int | None]]:
    """Return (context, source) of what rulesets require of the default branch."""
    found = forge.api.get(f"/repos/{repo.name}/rules/branches/{repo.default_branch}", access).data
    return [
        (str(each.get("context", "")), each.get("integration_id"))
        for rule in found
        if rule.get("type") == "required_status_checks"
        for each in rule.get("parameters", {}).get("required_status_checks", [])
    ]


def _from_protection(forge: GitHubForge, repo: Repo, access: Access) -> tuple[list[tuple[str, int | None]], bool]:
    """Return (context, source) of what the older branch protection requires, and whether we may see it at all."""
    path = f"/repos/{repo.name}/branches/{repo.default_branch}/protection/required_status_checks"
    try:
        found = forge.api.get(path, access).data
    except NotFound:
        return [], True
    except Refused:
        return [], False
    return [(str(each.get("context", "")), each.get("app_id")) for each in found.get("checks", [])], True


_FORKS = {
    "all_external_contributors": "every outsider's workflow waits for a maintainer",
    "first_time_contributors": "only a first contribution's workflow waits for a maintainer",
    "first_time_contributors_new_to_github": "only accounts that are new to GitHub wait for a maintainer",
}


def _fork_policy(forge: GitHubForge, name: str, access: Access) -> Finding:
    title = f"{name} fork policy"
    ours = "Headway's own: each commit of a fork needs a maintainer's word"
    try:
        path = f"/repos/{name}/actions/permissions/fork-pr-contributor-approval"
        policy = str(forge.api.get(path, access).data["approval_policy"])
    except (Refused, NotFound):
        return Finding(
            name=title,
            state="ok",
            found=f"{ours}; that of GitHub Actions is not shown to us",
            hint="Settings, Actions, General: require approval for all external contributors",
        )
    found = f"{ours}; in GitHub Actions {_FORKS.get(policy, policy)}"
    if policy == "all_external_contributors":
        return Finding(name=title, state="ok", found=found)
    return Finding(
        name=title,
        state="warn",
        found=found,
        cause="one merged typo makes anybody a known contributor, whose workflows start by themselves",
        hint="Settings, Actions, General: require approval for all external contributors",
    )


def _rate_limit(forge: GitHubForge, name: str, access: Access) -> Finding:
    title = f"{name} rate limit"
    try:
        core = forge.api.get("/rate_limit", access).data["resources"]["core"]
    except NotFound:
        return Finding(name=title, state="ok", found="this GitHub has none switched on")
    left, whole = int(core["remaining"]), int(core["limit"])
    back = datetime.fromtimestamp(int(core["reset"]), UTC)
    found = f"{left} of {whole} requests left until {back:%H:%M} UTC"
    if left * 10 >= whole:
        return Finding(name=title, state="ok", found=found)
    return Finding(
        name=title,
        state="warn",
        found=found,
        cause="something else uses the same installation or token",
        hint="what waits is sent when the hour begins anew; raise HEADWAY_POLL_SECONDS",
    )


def _app_page(forge: GitHubForge) -> str:
    app = forge.config.app
    return f"{web_base(forge.api.base)}/settings/apps/{app.slug if app else ''}"
