"""`headway replay`: a recorded delivery of GitHub's, read by the rules of the webhook door, and nothing done."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headway.cli.options import Json
from headway.cli.output import clean_text, print_json, say
from headway.errors import NotFound, Refused, TooLarge, Unreachable, UsageError

if TYPE_CHECKING:
    from headway.forges.github.config import GitHubConfig
    from headway.forges.github.webhook import Hook
    from headway.forges.model import Event

_LARGEST = 5 * 1024 * 1024  # what the webhook door takes


def replay(
    file: Annotated[
        str, typer.Argument(help="A payload, or a delivery as GitHub's API shows it; - reads standard input.")
    ],
    event: Annotated[str | None, typer.Option("--event", help="X-GitHub-Event; known by the payload's shape.")] = None,
    server: Annotated[
        bool, typer.Option("--server", help="Ask the server what would follow; nothing is kept.")
    ] = False,
    for_real: Annotated[bool, typer.Option("--for-real", help="Sign it and post it to this machine's server.")] = False,
    as_json: Json = False,
) -> None:
    """Say what a recorded event would be read as, and which command or refusal would follow; nothing is done."""
    from headway.cli.find_server import data_folder
    from headway.forges.github.config import read_config

    hook, body = _read(file, event)
    config = read_config(data_folder() / "github")
    found = _offline(hook, config)
    if server:
        found["server"] = _ask(hook)
    if for_real:
        found["answer"] = _post(hook, body, config)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _read(file: str, named: str | None) -> tuple[Hook, bytes]:
    """Return the delivery that a file holds, and its body as it would be posted."""
    from headway.forges.github.webhook import KINDS, Hook, check_kind, kind_of, read_payload
    from headway.ids import new_id

    data = read_payload(_bytes(file))
    guid, event = f"replay-{new_id()}", named or ""
    request = data.get("request")
    if isinstance(request, dict) and isinstance(request.get("payload"), dict):
        # As `GET /app/hook/deliveries/ID` shows it: with its own id, by which it is known where it came before.
        guid, event = str(data.get("guid") or guid), named or str(data.get("event") or "")
        data = request["payload"]
    event = event or kind_of(data) or ("ping" if "zen" in data else "")
    if not event:
        raise UsageError(
            f"{file} is of no event that anything here follows from",
            cause=f"those are: {', '.join(sorted(KINDS))}",
            hint="name its event with --event, when it is another one",
        )
    hook = Hook(event=event, delivery=guid, data=data)
    check_kind(hook)
    return hook, _compact(data)


def _compact(data: object) -> bytes:
    import msgspec

    return msgspec.json.encode(data)


def _bytes(file: str) -> bytes:
    if file == "-":
        body = sys.stdin.buffer.read(_LARGEST + 1)
    elif not Path(file).is_file():
        raise NotFound(f"there is no file {file}", hint="headway replay event.json")
    else:
        with Path(file).open("rb") as stream:
            body = stream.read(_LARGEST + 1)
    if len(body) > _LARGEST:
        raise TooLarge(f"{file} is over {_LARGEST} bytes: the webhook door would not take it")
    return body


def _offline(hook: Hook, config: GitHubConfig) -> dict[str, Any]:
    """Read it as the door would, with what this machine knows of its App."""
    from headway.clock import SystemClock
    from headway.forges.github.reading import Ignored, Reader
    from headway.forges.github.webhook import repository_of

    bot = f"{config.app.slug}[bot]" if config.app and config.app.slug else ""
    reader = Reader(app_id=config.app.id if config.app else 0, bot=bot)
    repo = repository_of(hook)
    found: dict[str, Any] = {"event": hook.event, "action": hook.action, "delivery": hook.delivery}
    found["repository"] = repo.full_name if repo else ""
    now = SystemClock().now()
    event = reader.read(hook, now)
    if isinstance(event, Ignored):
        found["ignored"] = event.why
        made = _made_at(hook)
        # A rehearsal is often of an old event: what it would have been on its day is what is asked.
        on_its_day = reader.read(hook, made) if made is not None and made < now else event
        if isinstance(on_its_day, Ignored):
            return found
        event = on_its_day
    return found | _meaning(event)


def _made_at(hook: Hook) -> datetime | None:
    comment = hook.data.get("comment")
    text = comment.get("created_at") if isinstance(comment, dict) else None
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _meaning(event: Event) -> dict[str, Any]:
    from headway.commands.grammar import format_command, parse_comment
    from headway.commands.model import Answer
    from headway.commands.usage import permission_for
    from headway.forges.model import CommentCreated

    found: dict[str, Any] = {"read_as": _words(event)}
    if isinstance(event, CommentCreated):
        found["lines"] = [
            {"line": each.line, "answer": each.text}
            if isinstance(each, Answer)
            else {"line": each.line, "command": format_command(each), "needs": permission_for(each.verb).name.lower()}
            for each in parse_comment(event.comment.body)
        ]
    return found


def _words(event: Event) -> str:
    from headway.forges import model

    match event:
        case model.CommentCreated():
            words = f"a comment by {event.comment.author} on change {event.change.number}"
        case model.ChangeMoved():
            words = f"change {event.change.number} was {event.action} by {event.actor}, at {event.change.head_sha}"
        case model.BranchPushed():
            words = f"{event.actor} pushed {event.after_sha} to {event.branch}"
        case model.ChangeLabelled():
            words = f"{event.actor} put the label {event.label!r} on change {event.change.number}"
        case model.CheckPressed():
            words = f"{event.actor} pressed {event.action!r} of our check at {event.sha}"
        case model.QueueEntered():
            words = f"the merge queue of {event.base_branch} made {event.sha}"
        case _:
            words = f"{event.actor} dispatched {event.name!r} with {len(event.payload)} fields"
    return words


def _ask(hook: Hook) -> dict[str, Any]:
    from headway.cli.client import connect
    from headway.forges.github.payloads import repo_id
    from headway.forges.github.webhook import repository_of

    repo = repository_of(hook)
    if repo is None:
        raise UsageError(f"this {hook.event} is about no repository: no server can be asked about it")
    path = f"/repos/{repo_id(repo.id)}/rehearsals"
    return dict(connect().post(path, event=hook.event, delivery=hook.delivery, payload=dict(hook.data)))


def _post(hook: Hook, body: bytes, config: GitHubConfig) -> dict[str, Any]:
    """Post it to the server of this data directory, as GitHub would."""
    import httpx

    from headway.cli.find_server import data_folder, running_server
    from headway.forges.github.webhook import sign

    if not config.webhook_secrets:
        raise Refused(
            "there is no webhook secret to sign with",
            hint="headway init --github, or set HEADWAY_GITHUB_WEBHOOK_SECRETS",
        )
    running = running_server(data_folder())
    if running is None:
        raise Unreachable(f"no server runs on {data_folder()}", hint="headway server start")
    headers = {
        "content-type": "application/json",
        "x-github-event": hook.event,
        "x-github-delivery": hook.delivery,
        "x-hub-signature-256": sign(body, config.webhook_secrets[0]),
    }
    address = f"http://127.0.0.1:{running['port']}/webhooks/github"
    try:
        answer = httpx.post(address, content=body, headers=headers, timeout=30, trust_env=False)
        said = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unreachable("the server does not answer as a webhook door does", cause=str(error)[:200]) from None
    if answer.status_code != 202:
        raise Refused(
            f"the door answered {answer.status_code}: {said.get('message', '')}", cause=str(said.get("cause", ""))
        )
    return dict(said)


def _show(found: dict[str, Any]) -> None:
    of = f" {found['action']}" if found["action"] else ""
    lines = [f"event     {found['event']}{of}, {found['repository'] or 'of no repository'}"]
    if "ignored" in found:
        lines.append(f"ignored   {found['ignored']}")
    if "read_as" in found:
        lines.append(f"{'else' if 'ignored' in found else 'read as':<9} {found['read_as']}")
        lines += [
            f"line {each['line']:<4} {each['command']}  (needs {each['needs']})"
            if "command" in each
            else f"line {each['line']:<4} answered: {each['answer']}"
            for each in found.get("lines", ())
        ]
    lines += _server_lines(found.get("server"))
    if "answer" in found:
        lines.append(f"the door  {found['answer'].get('state')} {found['answer'].get('why', '')}".rstrip())
    say(clean_text("\n".join(lines)))


def _server_lines(told: dict[str, Any] | None) -> list[str]:
    if told is None:
        return []
    if "ignored" in told:
        return [f"server    ignores it: {told['ignored']}"]
    lines = ["server    has it already: nothing would follow" if told["came_before"] else "server    would take it"]
    lines += [f"          {told['note']}"] if told["note"] else []
    lines += [f"          at {told['head']}"] if told["head"] else []
    for each in told["outcomes"]:
        what = f"{each['command']}: refused, {each['refusal']}" if each["command"] and each["refusal"] else ""
        lines.append(f"  line {each['line']:<3} {what or each['command'] or each['refusal']}")
    return lines
