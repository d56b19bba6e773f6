"""Forks at GitHub: a maintainer's word for one commit, the strongest isolation, and no way round either.

Rules 10, 12 to 14 and 18 of the forge door. The server is a real process; GitHub is the fake.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.github.server import running
from headway.jobs.store import JobStore
from hostile.world import CONFIG, HostileWorld, hostile_world
from hostile.world import GOOD as TRAINING

GOOD = TRAINING + 'print("my environment:", sorted(os.environ))\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileWorld]:
    folder: Path = tmp_path_factory.mktemp("forks")
    with running(folder / "github.git") as fake, hostile_world(folder / "machine", fake) as opened:
        yield opened
        assert opened.leaks() == []
        # GitHub's description denies what GitHub does: the repository of a head is null where the fork is gone.
        assert [each for each in fake.problems if "head/repo: None" not in each] == []


def _log(world: HostileWorld, number: int) -> str:
    (attempt,) = world.attempts(world.settled(number))
    return (Path(attempt.directory) / "log").read_text(errors="replace")


def test_a_stranger_s_change_runs_only_by_a_maintainer_s_word_for_that_commit(world: HostileWorld) -> None:
    """Rules 13 and 18, from the first comment to the push that voids the grant."""
    number = world.fork("stranger", {"train.py": GOOD + "# one\n"})
    first = world.head(number)
    world.fake.world.comment(number, "mallory", f"/train @{first}")
    assert "needs write permission, and @mallory has read" in world.said(number, "@mallory")

    # Somebody who may write, yet has no say over forks: the line that a maintainer has to write stands there to copy.
    world.fake.world.comment(number, "ada", f"/train @{first}")
    said = world.said(number, "only after a maintainer has approved")
    assert f"/approve @{first}" in said
    world.fake.world.comment(number, "ada", f"/approve @{first}")
    assert "needs maintain permission" in world.said(number, "may not /approve")
    assert world.jobs(number) == []

    # Without the whole commit a maintainer's word is nobody's.
    world.fake.world.comment(number, "maya", f"/approve @{first[:20]}")
    world.said(number, "must name its whole commit")
    assert world.jobs(number) == []

    world.fake.world.comment(number, "maya", f"/approve @{first}")
    assert "no later commit may" in world.said(number, "may run, isolated")
    world.fake.world.comment(number, "ada", f"/train @{first}")
    job = world.settled(number)
    assert (job.commit, job.state, job.tier) == (first, "succeeded", 0)
    assert "DEPLOY_KEY" not in _log(world, number)
    assert world.concluded(number)["head_sha"] == first

    # A push voids the grant: the new commit was reviewed by nobody.
    second = world.fake.world.commit("stranger", {"train.py": GOOD + "# two\n"}, actor="mallory")
    world.fake.world.comment(number, "ada", f"/train @{second}")
    assert f"/approve @{second}" in world.said(number, f"commit {second} is not approved")
    world.fake.world.comment(number, "ada", f"/train @{first}")
    world.said(number, "is not the head of this change")
    assert {each.commit for each in world.jobs(number)} == {first}


def test_a_fork_of_the_same_owner_and_one_that_is_gone_are_forks(world: HostileWorld) -> None:
    """Rule 14: only the repository's number tells; the owner may be the same, and a deleted fork has no number."""
    for author, gone in (("acme", False), ("mallory", True)):
        branch = f"fork-{author}"
        number = world.fork(branch, {"train.py": GOOD + f"# {author}\n"}, author=author)
        world.fake.world.pulls[number].fork_is_gone = gone
        sha = world.head(number)
        world.fake.world.comment(number, "maya", "/train")
        # Without its commit nobody's word counts here; what to write stands in the answer, in full.
        world.said(number, f"/train @{sha}")
        assert world.jobs(number) == []
        world.fake.world.comment(number, "maya", f"/train @{sha}")
        assert f"/approve @{sha}" in world.said(number, "only after a maintainer has approved")
        assert world.jobs(number) == []


def test_links_among_the_outputs_lead_nowhere(world: HostileWorld) -> None:
    """Rule 23: what a job hands back is files of its own, whatever they are called."""
    files = json.dumps(world.facts["files"])
    code = (
        "import json, os\n"
        "os.makedirs('loot/deep', exist_ok=True)\n"
        f"for number, path in enumerate({files}):\n"
        "    os.symlink(path, f'loot/link-{number}')\n"
        "    os.symlink(os.path.dirname(path), f'loot/deep/folder-{number}')\n"
        "os.symlink('/proc/self/environ', 'loot/environ')\n"
        "os.mkfifo('loot/pipe')\n"
        "json.dump({'score': 0.5}, open('metrics.json', 'w'))\n"
    )
    config = CONFIG.replace("      timeout: 5m\n", "      timeout: 5m\n      outputs: [loot]\n")
    number = world.fork("links", {"train.py": code, "headway.yaml": config})
    world.granted(number)
    job = world.settled(number)
    with world.app.database.read() as tx:
        (task,) = JobStore(tx).tasks(job.id)
    assert [each.path for each in task.outputs] in ([], ["metrics.json"])


def test_a_project_s_folder_that_becomes_a_link_gives_nothing(world: HostileWorld) -> None:
    """Rule 23: outputs are read from where the step stood, not from where its folder's name leads afterwards."""
    code = (
        "import os\n"
        "os.chdir('..')\n"
        "os.rename('sub', 'gone')\n"
        f"os.symlink({str(world.data / 'github')!r}, 'sub')\n"
        "os.symlink('app.json', 'gone/metrics.json')\n"
    )
    config = CONFIG.replace("name: flights\nenv: {secrets: [DEPLOY_KEY]}\n", "name: sub\n").replace(
        "      timeout: 5m\n", "      timeout: 5m\n      outputs: [app.json]\n"
    )
    number = world.fork("folder", {"sub/headway.yaml": config, "sub/train.py": code})
    sha = world.head(number)
    world.fake.world.comment(number, "maya", f"/approve @{sha}\n/train @{sha} --project sub")
    job = world.settled(number)
    assert (job.project, job.state) == ("sub", "failed")
    assert "replaced by a link" in job.reason
    with world.app.database.read() as tx:
        assert [each.path for task in JobStore(tx).tasks(job.id) for each in task.outputs] == []


def test_a_fork_s_build_hooks_run_in_the_sandbox_or_not_at_all(world: HostileWorld) -> None:
    """Rule 20: to build an environment is to run code; a fork's is not built on this machine's word."""
    hook = (
        "import glob, os, pathlib\n"
        "home = os.path.expanduser('~')\n"
        "print('HOOK', os.environ.get('DEPLOY_KEY'), os.environ.get('HOSTILE_SERVER'))\n"
        "for path in glob.glob('/proc/[0-9]*/environ') + [home + '/.netrc', home + '/.aws/credentials']:\n"
        "    try: print('HOOK', path, open(path, errors='replace').read()[:4000])\n"
        "    except OSError: pass\n"
        f"pathlib.Path({str(world.folder / 'shared' / 'hwpoison')!r}).write_text('a hook was here')\n"
        "from setuptools import setup\nsetup(name='evil', version='1')\n"
    )
    source = {
        "requirements.txt": "./evil\n",
        "evil/setup.py": hook,
        "evil/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "evil/backend.py": hook,
        "train.py": GOOD + "# hooks\n",
    }
    number = world.fork("hooks", source)
    world.granted(number)
    world.said(number, "would have to be built from the project's own files")
    assert world.jobs(number) == []
    _nothing_ran(world)


def _nothing_ran(world: HostileWorld) -> None:
    assert not (world.folder / "shared" / "hwpoison").exists()
    assert "HOOK" not in "".join(path.read_text(errors="replace") for path in (world.data / "builds").rglob("*.log"))


def _wheel(files: dict[str, str]) -> bytes:
    """Return a wheel whose files are laid into an environment as they are."""
    info = "evil-1.dist-info"
    files = {
        **files,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return made.getvalue()


def test_what_a_wheel_has_run_at_every_start_of_python_runs_in_the_sandbox_alone(world: HostileWorld) -> None:
    """Rule 20 again: no build, yet a line in a `.pth` is code, for whatever starts the environment's Python."""
    line = (
        f"import os; os.path.isdir({str(world.folder / 'shared')!r}) and "
        f"open({str(world.folder / 'shared' / 'hwpoison')!r}, 'w').close(); "
        "print('HOOK', os.environ.get('DEPLOY_KEY'))\n"
    )
    files = {"evil.pth": line, "sitecustomize.py": line, "evil.py": "1\n"}
    name = "evil-1-py3-none-any.whl"
    code = GOOD + "# wheel\n"
    number = world.fork("wheel", {"requirements.txt": f"./{name}\n", name: _wheel(files), "train.py": code})
    world.granted(number)
    job = world.settled(number)
    assert job.state == "succeeded", job.reason
    assert "HOOK None" in _log(world, number)  # it did run, where it may
    _nothing_ran(world)


EVIL = (
    "@acme/leads #12 <!-- headway:report change=1 --> <img src=x onerror=alert(1)> ``` [x](javascript:y) \x1b[31m\u202e"
)


def _without_fences(body: str) -> str:
    return re.sub(r"^(`{3,})[^\n]*\n.*?^\1`*$", "", body, flags=re.MULTILINE | re.DOTALL)


def test_what_a_fork_says_reaches_github_as_plain_words(world: HostileWorld) -> None:
    """Rules 9, 23 and 25: no mention, no markup, no marker and no command of the code's own making."""
    code = (
        "import json\n"
        f"text = {EVIL!r}\n"
        "print(text)\nprint('/deploy --to production')\n"
        "json.dump({text: 0.5, 'score': 0.5}, open('metrics.json', 'w'))\n"
        "raise RuntimeError(text + '\\n```\\n/deploy --to production\\n')\n"
    )
    world.fake.world.commit("evil", {"train.py": code}, actor="mallory")
    number = world.fake.world.open_pull("evil", author="mallory", from_fork=True, title=f"/train {EVIL[:80]}").number
    world.granted(number)
    world.settled(number)
    check = world.concluded(number)
    world.said(number, "RuntimeError")
    texts = [each.body for each in world.ours()]
    for body in texts:
        assert body.startswith("<!-- headway:")
        assert all(body.startswith("<!-- headway:", found.start()) for found in re.finditer("<!--", body))
    texts += [str(check["output"].get(each) or "") for each in ("title", "summary", "text")]
    for text in texts:
        plain = _without_fences(text)
        assert "<!-- headway:report change=1 -->" not in text
        assert "<img" not in plain
        assert "@acme" not in plain
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert not re.search(r"^ {0,3}/(?:deploy|train|approve)", plain, re.MULTILINE), plain


def test_a_fork_s_own_headway_yaml_grants_it_nothing(world: HostileWorld) -> None:
    """Rule 11: what decides about a change is the base branch's, and secrets are nobody's to ask for in a fork."""
    config = CONFIG.replace("[DEPLOY_KEY]", "[DEPLOY_KEY, WAREHOUSE_TOKEN]") + (
        "network: true\n"
        "triggers: {pull_request: {roles: [read]}}\n"
        "deploy: {environment: production, environments: {production: {roles: [write], users: [mallory]}}}\n"
    )
    number = world.fork("generous", {"train.py": GOOD + "# generous\n", "headway.yaml": config})
    sha = world.head(number)
    world.fake.world.comment(number, "mallory", f"/train @{sha}")
    assert "needs write permission" in world.said(number, "@mallory may not /train")
    world.fake.world.comment(number, "mallory", f"/deploy @{sha}")
    assert "needs maintain permission" in world.said(number, "@mallory may not /deploy")
    world.granted(number)
    world.settled(number)
    assert "DEPLOY_KEY" not in _log(world, number)
