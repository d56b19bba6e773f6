"""Whether the door for GitHub's deliveries may be opened at all."""

from __future__ import annotations

from urllib.parse import urlsplit

from headway.errors import UsageError
from headway.forges.github.config import read_config
from headway.settings import LOOPBACK, Settings

LEAST_SECRET = 16  # characters; what is shorter can be guessed


def check_door(settings: Settings) -> None:
    """Return when the door may be opened, or is not wanted.

    Raises:
        UsageError: deliveries could come, and nothing here could tell them from forged ones.
    """
    config = read_config(settings.data / "github")
    weak = [each for each in config.webhook_secrets if len(each.strip()) < LEAST_SECRET]
    if weak:
        raise UsageError(
            f"a webhook secret has {len(weak[0].strip())} characters",
            cause=f"what has fewer than {LEAST_SECRET} can be guessed, and whoever knows it can give commands",
            hint="openssl rand -hex 32, at GitHub and in HEADWAY_GITHUB_WEBHOOK_SECRETS",
        )
    if config.webhook_secrets and not config.is_set_up:
        raise UsageError(
            "a webhook secret is set, and there is no way to ask GitHub anything",
            cause="neither an App nor a token is set up",
            hint="headway init --github, or set HEADWAY_GITHUB_TOKEN",
        )
    host = urlsplit(settings.public_url).hostname or ""
    if config.app is not None and not config.webhook_secrets and host and host not in LOOPBACK:
        raise UsageError(
            f"the GitHub App has no webhook secret, and {settings.public_url} can be reached",
            cause="without a secret nobody's delivery could be told from GitHub's",
            hint="set one at the App and in HEADWAY_GITHUB_WEBHOOK_SECRETS, or leave out HEADWAY_PUBLIC_URL to poll",
        )
