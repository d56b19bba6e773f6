"""Comments and reactions: one living report per marker, found by marker *and* author, never a second one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from headway.errors import NotFound, Refused
from headway.forges.github.payloads import Comment, User, login, to_list, to_type
from headway.forges.model import Receipt, WantedComment, WantedReaction

if TYPE_CHECKING:
    from headway.forges.github.api import GitHubApi
    from headway.forges.github.tokens import Access, Tokens

# GitHub takes 65,536 characters; the report is rendered to fewer, this is the last guard.
LONGEST = 65_000
ACTIONS_BOT = "github-actions[bot]"
_CUT = "\n\n_The rest is on Headway's page._"


class Comments:
    """What stands under pull requests in our name; remembers ids, and looks again after every failure."""

    def __init__(self, api: GitHubApi, tokens: Tokens) -> None:
        """Speak through `api` with the access that `tokens` has."""
        self._api = api
        self._tokens = tokens
        self._ids: dict[tuple[str, int, str], int] = {}
        self._me = ""

    def deliver(self, name: str, wanted: WantedComment, access: Access) -> Receipt:
        """Make the comment stand: edit ours, or post it once.

        Raises:
            NotFound: there is no such change.
        """
        key = (name, wanted.number, wanted.marker)
        # Whatever becomes of the request, a later one must look before it posts.
        known = self._ids.pop(key, None)
        number = known if known is not None else self._find(name, wanted, access)
        body = wanted.body if len(wanted.body) <= LONGEST else wanted.body[: LONGEST - len(_CUT)] + _CUT
        if number is None:
            answer = self._api.send(
                "POST", f"/repos/{name}/issues/{wanted.number}/comments", access, {"body": body}, is_content=True
            )
        elif wanted.fresh:
            self._ids[key] = number
            return Receipt(remote_id=str(number))
        else:
            try:
                answer = self._api.send("PATCH", f"/repos/{name}/issues/comments/{number}", access, {"body": body})
            except NotFound:
                if known is None:
                    raise
                return self.deliver(name, wanted, access)  # somebody deleted it: look, and post it again
        comment = to_type(answer.data, Comment, "comment")
        self._ids[key] = comment.id
        return Receipt(remote_id=str(comment.id), url=comment.html_url)

    def react(self, name: str, wanted: WantedReaction, access: Access) -> Receipt:
        """Put a sign on a comment; one that is there already is answered in the same way."""
        answer = self._api.send(
            "POST",
            f"/repos/{name}/issues/comments/{int(wanted.comment_id)}/reactions",
            access,
            {"content": wanted.content},
            is_content=True,
        )
        return Receipt(remote_id=str(answer.data["id"]))

    def is_ours(self, comment: Comment, access: Access) -> bool:
        """Whether we wrote a comment: by our App, or by our account with one of our markers.

        A person whose token we use writes commands with the same account, so there the marker decides too.
        """
        app = self._tokens.config.app
        if app is not None:
            via = comment.performed_via_github_app
            return (via is not None and via.id == app.id) or login(comment.user) == self.bot
        return login(comment.user) == self._login(access) and (comment.body or "").startswith("<!-- headway:")

    @property
    def bot(self) -> str:
        """The account in which our App writes; "" without an App."""
        app = self._tokens.config.app
        return f"{app.slug}[bot]" if app is not None and app.slug else ""

    def _login(self, access: Access) -> str:
        if not self._me:
            try:
                self._me = to_type(self._api.get("/user", access).data, User, "user").login
            except Refused:
                self._me = ACTIONS_BOT  # an installation's token, as a workflow has it, is no person's
        return self._me

    def _find(self, name: str, wanted: WantedComment, access: Access) -> int | None:
        """Return our comment with this marker; a second one, made by a request that came late, is taken away."""
        ours = [
            comment.id
            for page in self._api.pages(f"/repos/{name}/issues/{wanted.number}/comments", access)
            for comment in to_list(page, Comment, "comments")
            if (comment.body or "").startswith(wanted.marker) and self.is_ours(comment, access)
        ]
        for extra in ours[1:]:
            with contextlib.suppress(NotFound):
                self._api.send("DELETE", f"/repos/{name}/issues/comments/{extra}", access, None)
        return ours[0] if ours else None
