"""Keys and tokens of GitHub during a whole run: in no log, database, file or command line outside of data/github."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from cli.conftest import CONFIG, TRAIN, Terminal, wait_for
from fakes.github.server import FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG, NAME
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.logs import conceal, forms_of, hide

HOOK_SECRET = "a-webhook-secret-without-any-known-prefix"


class Watcher:
    """Looks at every command line of this machine, again and again, for what a test names."""

    def __init__(self, fake: FakeGitHub) -> None:
        self.fake = fake
        self.seen: set[str] = set()
        self.found: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes().decode(errors="replace")
                except OSError:
                    continue
                self.seen |= {"git"} if line.startswith("git\0") else set()
                for token in list(self.fake.tokens):
                    if token in line or base64.b64encode(f"x-access-token:{token}".encode()).decode() in line:
                        self.found.append(line)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    with running(tmp_path / "github.git") as found:
        yield found
        assert found.problems == []


def test_no_secret_leaves_its_folder(alone: Terminal, fake: FakeGitHub) -> None:
    app = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key)
    save_config(alone.data / "github", GitHubConfig(api=fake.url, app=app, webhook_secrets=(HOOK_SECRET,)))
    fake.world.commit("main", {"headway.yaml": CONFIG, "train.py": TRAIN})
    fake.world.grant("ada", "write")
    with Watcher(fake) as watcher:
        alone("repo", "add", NAME, HEADWAY_CATCH_UP_SECONDS="1")
        sha = fake.world.commit("topic", {"train.py": TRAIN + "# more\n"})
        number = fake.world.open_pull("topic").number
        fake.world.comment(number, "ada", f"/train @{sha}")
        wait_for(lambda: fake.tokens, "a token")
        # GitHub repeats a token of ours in a refusal: what is kept of the refusal must not hold it.
        fake.fail("POST", "/reactions", status=403, times=1, message=f"no entry with {next(iter(fake.tokens))}")
        wait_for(
            lambda: any(each["conclusion"] == "success" for each in fake.world.checks.values()), "the check's success"
        )
        wait_for(lambda: any(each.app == APP_ID for each in fake.world.comments.values()), "the report")
        printed = alone("doctor", code=None)
    alone.stop_server()
    assert watcher.seen, "no git was seen: the watcher looked too seldom"
    assert watcher.found == []

    assert fake.tokens and all(len(each) > 300 for each in fake.tokens)
    forms = {form.encode() for secret in (*fake.tokens, HOOK_SECRET) for form in forms_of(secret)}
    forms |= {line.encode() for line in fake.private_key.splitlines() if len(line) > 40}
    files = [each for each in alone.data.rglob("*") if each.is_file() and (alone.data / "github") not in each.parents]
    assert {"headway.db", "server.log"} <= {each.name for each in files}
    for path in files:
        content = path.read_bytes()
        assert not any(form in content for form in forms), path
    said = (printed.out + printed.err).encode()
    assert not any(form in said for form in forms)
    assert alone.data.joinpath("github", "app.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("secret", ["x7yz", "short-one", "ghs_4242_" + "aB3-_." * 80, "line one of it\nline two of it"])
def test_what_is_hidden_may_have_any_length_and_form(secret: str) -> None:
    hide(secret)
    for form in forms_of(secret):
        assert form not in conceal(f"before {form} after")
    assert conceal("nothing of the kind") == "nothing of the kind"


@pytest.mark.parametrize("mark", ["ghs_4242_", "ghp_", "gho_", "ghu_", "ghr_", "github_pat_"])
def test_a_token_that_another_process_took_is_known_by_its_mark(mark: str) -> None:
    token = mark + "aB3-_x" * 40 + ".y"
    assert conceal(f"no entry with {token} here") == "no entry with *** here"
